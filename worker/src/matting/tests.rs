//! Models made here, loaded and asked: the shapes in common use, what is wrong with files, and
//! what an answer counts for.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::path::PathBuf;

use image::{Luma, Rgb};
use packshot_imaging::mask;

use super::tiny::{FREE, Node, Port, Tiny};
use super::*;

/// What a redness of more than a half points to, on colours from 0 to 1.
const RED: [f32; 3] = [16.0, -8.0, -8.0];
const RED_BIAS: f32 = -6.0;

struct Shelf(tempfile::TempDir);

impl Shelf {
    fn new() -> Shelf {
        Shelf(tempfile::tempdir().unwrap())
    }

    fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Settings of a file, with colours left as they are.
    fn settings(&self, name: &str, bytes: &[u8]) -> MattingSettings {
        let model = self.put(name, bytes).display().to_string();
        MattingSettings { model, size_px: 64, mean: [0.0; 3], std: [1.0; 3], ..MattingSettings::standard() }
    }

    fn ready(&self, tiny: &Tiny) -> Result<Arc<MattingModel>, MattingError> {
        MattingModel::ready(&self.settings("model.onnx", &tiny.bytes())).map(Option::unwrap)
    }
}

/// A red disc on a grey table.
fn photo() -> (RgbImage, GrayImage) {
    let inside = |x: u32, y: u32| (x as f32 - 70.0).hypot(y as f32 - 40.0) < 30.0;
    let rgb =
        RgbImage::from_fn(160, 90, |x, y| if inside(x, y) { Rgb([210, 30, 40]) } else { Rgb([200; 3]) });
    (rgb, GrayImage::from_fn(160, 90, |x, y| Luma([if inside(x, y) { 255 } else { 0 }])))
}

/// The input as rows of pixels instead of planes.
fn by_pixels(height: i64, width: i64) -> Tiny {
    let mut tiny = Tiny::coverage(RED, RED_BIAS, height, width);
    tiny.inputs = vec![Port::float("pixels", &[1, height, width, 3])];
    let ints = Some(("perm", vec![0, 3, 1, 2]));
    tiny.nodes.insert(0, Node { ints, ..Node::new("Transpose", &["pixels"], "photo") });
    tiny
}

fn unsaid() -> Tiny {
    let mut tiny = Tiny::coverage(RED, RED_BIAS, FREE, FREE);
    tiny.inputs = vec![Port::float("photo", &[FREE, FREE, FREE, FREE])];
    tiny
}

#[test]
fn the_shapes_in_use_load_and_see_the_product() {
    let shelf = Shelf::new();
    let (rgb, truth) = photo();
    let cases = [
        ("U2-Net: fixed, finer outputs behind the first", Tiny::coverage(RED, RED_BIAS, 32, 32), (32, 32)),
        ("BiRefNet: fixed, logits", Tiny::colour(RED, RED_BIAS, 96, 96), (96, 96)),
        ("MODNet: free sides", Tiny::coverage(RED, RED_BIAS, FREE, FREE), (64, 64)),
        ("not square", Tiny::coverage(RED, RED_BIAS, 48, 80), (80, 48)),
        ("pixel after pixel", by_pixels(48, 80), (80, 48)),
        ("pixel after pixel, free sides", by_pixels(FREE, FREE), (64, 64)),
        ("nothing is said but the rank", unsaid(), (64, 64)),
    ];
    for (name, tiny, size) in cases {
        let model = shelf.ready(&tiny).unwrap_or_else(|error| panic!("{name}: {error}"));
        let seen = model.coverage(&rgb).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(seen.dimensions(), size, "{name}");
        let iou = mask::iou(&packshot_imaging::resize::resize_gray(&seen, 160, 90), &truth);
        assert!(iou > 0.9, "{name}: {iou}");
    }
}

#[test]
fn mean_std_and_order_reach_the_model() {
    let shelf = Shelf::new();
    let (rgb, _) = photo();
    let tiny = Tiny::coverage(RED, RED_BIAS, 32, 32).bytes();
    let centre = |settings: MattingSettings| {
        let seen = MattingModel::load(&settings).unwrap().unwrap().coverage(&rgb).unwrap();
        seen.get_pixel(14, 14).0[0]
    };
    let plain = shelf.settings("model.onnx", &tiny);
    assert!(centre(plain.clone()) > 200);
    assert!(centre(MattingSettings { channels: Channels::Bgr, ..plain.clone() }) < 50);
    assert!(centre(MattingSettings { mean: [0.5, 0.0, 0.0], ..plain.clone() }) < 50);
    assert!(centre(MattingSettings { std: [3.0; 3], ..plain }) < 50);
}

#[test]
fn a_file_that_cannot_work_says_why_and_what_to_do() {
    let shelf = Shelf::new();
    let good = || Tiny::coverage(RED, RED_BIAS, 32, 32);
    let with = |change: &dyn Fn(&mut Tiny)| {
        let mut tiny = good();
        change(&mut tiny);
        tiny.bytes()
    };
    let whole = good().bytes();
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", vec![], "is no ONNX model"),
        ("text", b"this is not a model, but a letter to one".to_vec(), "is no ONNX model"),
        ("cut off", whole[..whole.len() / 2].to_vec(), "is no ONNX model"),
        ("unknown operator", with(&|t| t.nodes[0].op = "DeformConv"), "DeformConv"),
        ("a table", with(&|t| t.inputs[0].shape = vec![1, 10]), "takes 1 x 10; one picture"),
        ("a stack", with(&|t| t.inputs[0].shape = vec![4, 3, 32, 32]), "takes 4 x 3 x 32 x 32"),
        ("grey", with(&|t| t.inputs[0].shape = vec![1, 1, 32, 32]), "takes 1 x 1 x 32 x 32"),
        ("huge", with(&|t| t.inputs[0].shape = vec![1, 3, 1 << 40, 4096]), "no side over 2048"),
        ("bytes", with(&|t| t.inputs[0].kind = 2), "32-bit floats"),
        ("two inputs", with(&|t| t.inputs.push(Port::float("more", &[1]))), "takes 2 inputs"),
        ("no output", with(&|t| t.outputs.clear()), "0 outputs"),
        (
            "three classes",
            with(&|t| {
                t.nodes.push(Node::new("Relu", &["photo"], "classes"));
                t.outputs = vec![Port::float("classes", &[1, 3, 32, 32])];
            }),
            "[1, 3, 32, 32]",
        ),
        (
            "one number",
            with(&|t| {
                t.nodes.push(Node::new("GlobalAveragePool", &["logits"], "all"));
                t.outputs = vec![Port::float("all", &[1, 1, 1, 1])];
            }),
            "[1, 1, 1, 1]",
        ),
        (
            "weights that do not fit",
            with(&|t| t.weights[0].shape = vec![1, 1, 1, 3]),
            "trial picture of 32 x 32 px",
        ),
        ("no numbers", with(&|t| t.weights[1].values = vec![f32::NAN]), "infinities or no numbers"),
    ];
    for (name, bytes, said) in cases {
        let settings = shelf.settings("model.onnx", &bytes);
        let error = match MattingModel::ready(&settings) {
            Err(error) => packshot_runtime::causes::chain(&error),
            Ok(model) => panic!("{name}: {model:?}"),
        };
        assert!(error.contains(said) && error.contains(&settings.model), "{name}: {error}");
    }
    let gone = MattingSettings { model: "/nowhere/u2net.onnx".to_owned(), ..MattingSettings::standard() };
    let error = MattingModel::load(&gone).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("set `matting.model`"), "{error}");
    assert!(MattingModel::load(&MattingSettings::standard()).unwrap().is_none());
}

#[test]
fn settings_that_cannot_be_are_named_at_once() {
    let bad = MattingSettings { size_px: 100, std: [1.0, 0.0, 1.0], ..MattingSettings::standard() };
    let error = MattingModel::load(&bad).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("`matting.size_px` is 100") && error.contains("`matting.std`"), "{error}");
}

#[test]
fn the_fingerprint_is_what_determines_an_answer() {
    let shelf = Shelf::new();
    let of = |name: &str, settings: MattingSettings| {
        MattingModel::load(&settings).unwrap().unwrap_or_else(|| panic!("{name}")).fingerprint()
    };
    let fixed = Tiny::coverage(RED, RED_BIAS, 32, 32).bytes();
    let base = shelf.settings("a.onnx", &fixed);
    let first = of("base", base.clone());
    assert_eq!(first, of("another name", shelf.settings("b.onnx", &fixed)));
    assert_eq!(first, of("a size that is not used", MattingSettings { size_px: 128, ..base.clone() }));
    let mut others = vec![
        of("file", shelf.settings("c.onnx", &Tiny::coverage(RED, -5.0, 32, 32).bytes())),
        of("mean", MattingSettings { mean: [0.1, 0.0, 0.0], ..base.clone() }),
        of("std", MattingSettings { std: [2.0; 3], ..base.clone() }),
        of("order", MattingSettings { channels: Channels::Bgr, ..base.clone() }),
        of("meaning", MattingSettings { output: Output::Coverage, ..base }),
    ];
    let free = shelf.settings("d.onnx", &Tiny::coverage(RED, RED_BIAS, FREE, FREE).bytes());
    others.push(of("free", free.clone()));
    others.push(of("free, larger", MattingSettings { size_px: 128, ..free }));
    others.push(first);
    let all = others.len();
    others.sort_by_key(|digest| digest.to_hex());
    others.dedup();
    assert_eq!(others.len(), all);
}
