//! What every operation promises, checked on each of them: nothing changes outside the
//! touched mask, hostile sizes are answered, and the same request gives the same bytes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use image::{Luma, Rgb};
use packshot_imaging::mask;
use packshot_imaging::photo::{CutoutQuality, CutoutSource};

use super::*;

/// A textured box on a light sweep, its mask, and a speck on it.
fn scene(w: u32, h: u32) -> (RgbImage, GrayImage) {
    let inside = |x: u32, y: u32| x >= w / 4 && x < 3 * w / 4 && y >= h / 4 && y < 3 * h / 4;
    let noise = |x: u32, y: u32| (x.wrapping_mul(73) ^ y.wrapping_mul(151)).wrapping_mul(2_654_435_761) >> 29;
    let image = RgbImage::from_fn(w, h, |x, y| {
        let n = noise(x, y) as u8;
        if inside(x, y) { Rgb([150 + n, 60 + n, 40 + n]) } else { Rgb([214 + n, 215 + n, 218 + n]) }
    });
    (image, GrayImage::from_fn(w, h, |x, y| Luma([if inside(x, y) { 255 } else { 0 }])))
}

fn cutout_of(image: &RgbImage, alpha: &GrayImage) -> Cutout {
    let quality = CutoutQuality {
        source: CutoutSource::Segmented,
        agreement: 1.0,
        opinion: None,
        edge_contrast: 50.0,
        border_contact: 0.0,
        clutter: 0.0,
        soft_share: 0.0,
        parts: 1,
    };
    Cutout { foreground: image.clone(), alpha: alpha.clone(), shadow: None, quality }
}

fn settings_of(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

struct Case {
    op: EditOp,
    pairs: &'static [(&'static str, &'static str)],
}

/// Every operation in its ways of working.
const CASES: &[Case] = &[
    Case { op: EditOp::Cutout, pairs: &[] },
    Case { op: EditOp::Cutout, pairs: &[("crop", "tight")] },
    Case { op: EditOp::Erase, pairs: &[] },
    Case { op: EditOp::Erase, pairs: &[("protect", "nothing"), ("method", "exemplar")] },
    Case { op: EditOp::Erase, pairs: &[("protect", "nothing"), ("method", "surface")] },
    Case { op: EditOp::Erase, pairs: &[("protect", "nothing"), ("method", "frequency")] },
    Case { op: EditOp::Retouch, pairs: &[] },
    Case { op: EditOp::Retouch, pairs: &[("kind", "dust")] },
    Case { op: EditOp::Retouch, pairs: &[("kind", "scratch")] },
    Case { op: EditOp::Retouch, pairs: &[("kind", "glare")] },
    Case { op: EditOp::Retouch, pairs: &[("kind", "crease")] },
    Case { op: EditOp::Retouch, pairs: &[("kind", "shadow")] },
    Case { op: EditOp::Upscale, pairs: &[] },
    Case { op: EditOp::Upscale, pairs: &[("factor", "1.37")] },
    Case { op: EditOp::Background, pairs: &[] },
    Case { op: EditOp::Background, pairs: &[("mode", "white"), ("shadow", "soften")] },
    Case { op: EditOp::Background, pairs: &[("shadow", "remove")] },
    Case { op: EditOp::ReplaceBackground, pairs: &[] },
    Case { op: EditOp::ReplaceBackground, pairs: &[("fill", "gradient"), ("shadow", "contact")] },
    Case { op: EditOp::ReplaceBackground, pairs: &[("fill", "gradient"), ("direction", "centre")] },
    Case { op: EditOp::ReplaceBackground, pairs: &[("fill", "picture"), ("shadow", "none")] },
    Case { op: EditOp::ReplaceBackground, pairs: &[("fill", "transparent")] },
    Case { op: EditOp::Restore, pairs: &[] },
    Case { op: EditOp::Restore, pairs: &[("denoise", "8"), ("deblock", "1"), ("deblur", "1")] },
    Case { op: EditOp::Outpaint, pairs: &[("left", "9"), ("bottom", "30")] },
    Case { op: EditOp::Outpaint, pairs: &[("ratio", "2:1")] },
    Case { op: EditOp::Outpaint, pairs: &[] },
    Case { op: EditOp::Compose, pairs: &[] },
    Case { op: EditOp::Compose, pairs: &[("height", "0.1"), ("shadow", "none")] },
    Case { op: EditOp::Style, pairs: &[] },
    Case { op: EditOp::Harmonise, pairs: &[] },
    Case { op: EditOp::Harmonise, pairs: &[("strength", "0")] },
    Case { op: EditOp::Crop, pairs: &[] },
    Case { op: EditOp::Crop, pairs: &[("ratio", "1:1"), ("margin", "0.02")] },
    Case { op: EditOp::Crop, pairs: &[("rect", "0,0,1,1")] },
];

fn masks(w: u32, h: u32) -> Vec<Option<GrayImage>> {
    let small = GrayImage::from_fn(w, h, |x, y| {
        Luma([if x.abs_diff(w / 2) < 4 && y.abs_diff(h / 2) < 3 { 255 } else { 0 }])
    });
    let edge = GrayImage::from_fn(w, h, |x, y| Luma([if x < w / 3 && y < h / 3 { 200 } else { 127 }]));
    let full = GrayImage::from_pixel(w, h, Luma([255]));
    vec![None, Some(GrayImage::new(w, h)), Some(small), Some(edge), Some(full)]
}

#[test]
fn no_operation_panics_or_reaches_outside_on_any_size_and_mask() {
    for (w, h) in [(1, 1), (2, 1), (1, 9), (7, 7), (64, 48), (90, 120)] {
        let (image, product) = scene(w, h);
        let cutout = cutout_of(&image, &product);
        for mask in masks(w, h) {
            for Case { op, pairs } in CASES {
                let settings = settings_of(pairs);
                let request = EditRequest {
                    mask: mask.as_ref(),
                    product: Some(&cutout),
                    picture: Some(&image),
                    ..EditRequest::new(*op, &image, &settings)
                };
                match apply(&request) {
                    Ok(edited) => {
                        assert_eq!(edited.touched.dimensions(), edited.image.dimensions());
                        assert!(!edited.notes.is_empty(), "{} says nothing", op.word());
                    }
                    Err(EditError::Outside { op, pixels }) => {
                        panic!("{op} changed {pixels} px outside at {w}x{h}")
                    }
                    Err(error) => assert!(!error.to_string().is_empty()),
                }
            }
        }
    }
}

#[test]
fn the_same_request_gives_the_same_bytes() {
    let (image, product) = scene(96, 80);
    let cutout = cutout_of(&image, &product);
    let mask = masks(96, 80).remove(2);
    for Case { op, pairs } in CASES {
        let settings = settings_of(pairs);
        let request = EditRequest {
            mask: mask.as_ref(),
            product: Some(&cutout),
            picture: Some(&image),
            ..EditRequest::new(*op, &image, &settings)
        };
        let (Ok(a), Ok(b)) = (apply(&request), apply(&request)) else { continue };
        assert!(a.image == b.image && a.touched == b.touched && a.alpha == b.alpha, "{}", op.word());
    }
}

#[test]
fn sizes_that_do_not_belong_together_are_refused() {
    let (image, _) = scene(32, 32);
    let mask = GrayImage::new(31, 32);
    let settings = BTreeMap::new();
    for op in EditOp::ALL {
        let request = EditRequest { mask: Some(&mask), ..EditRequest::new(op, &image, &settings) };
        let error = apply(&request).unwrap_err();
        assert!(matches!(error, EditError::Size { what: "mask", .. }), "{}: {error}", op.word());
        let none = RgbImage::new(0, 5);
        assert!(matches!(apply(&EditRequest { image: &none, mask: None, ..request }), Err(EditError::Empty)));
    }
}

#[test]
fn unknown_settings_are_refused_with_the_list() {
    let (image, _) = scene(8, 8);
    let settings = settings_of(&[("shiny", "yes")]);
    for op in EditOp::ALL {
        let request = EditRequest::new(op, &image, &settings);
        let error = apply(&request).unwrap_err().to_string();
        assert!(error.contains("has no setting `shiny`"), "{error}");
        for setting in table::settings(op) {
            assert!(error.contains(setting.name), "{error}");
        }
    }
}

#[test]
fn an_operation_that_reaches_outside_is_thrown_away() {
    let (image, _) = scene(16, 16);
    let settings = BTreeMap::new();
    let request = EditRequest::new(EditOp::Erase, &image, &settings);
    let mut broken = image.clone();
    broken.put_pixel(3, 3, Rgb([1, 2, 3]));
    let mut outcome = Outcome {
        image: broken,
        alpha: None,
        touched: GrayImage::new(16, 16),
        notes: Vec::new(),
        kept: Kept::Image { x: 0, y: 0 },
    };
    assert_eq!(outside(&request, &outcome), 1);
    outcome.touched.put_pixel(3, 3, Luma([1]));
    assert_eq!(outside(&request, &outcome), 0);
    outcome.touched = GrayImage::new(15, 16);
    assert_eq!(outside(&request, &outcome), 256);
}

#[test]
fn a_speck_is_found_and_replaced_with_texture() {
    let (mut image, product) = scene(200, 200);
    for (x, y) in [(100, 100), (101, 100), (100, 101), (101, 101), (99, 100), (100, 99)] {
        image.put_pixel(x, y, Rgb([240, 225, 220]));
    }
    let cutout = cutout_of(&image, &product);
    let settings = BTreeMap::new();
    let request =
        EditRequest { product: Some(&cutout), ..EditRequest::new(EditOp::Retouch, &image, &settings) };
    let edited = apply(&request).unwrap();
    let now = edited.image.get_pixel(100, 100).0;
    assert!(now[0] < 175 && now[1] < 85, "{now:?} {:?}", edited.notes);
    assert!(mask::area(&edited.touched) < 60, "{}", mask::area(&edited.touched));
}

#[test]
fn erasing_fills_from_the_background_and_leaves_the_product() {
    let (image, product) = scene(160, 120);
    let cutout = cutout_of(&image, &product);
    let mask = GrayImage::from_fn(160, 120, |x, y| {
        Luma([if (30..60).contains(&x) && (40..70).contains(&y) { 255 } else { 0 }])
    });
    let mut spoilt = image.clone();
    for y in 40..70 {
        for x in 30..40 {
            spoilt.put_pixel(x, y, Rgb([10, 200, 10]));
        }
    }
    let settings = BTreeMap::new();
    let request = EditRequest {
        mask: Some(&mask),
        product: Some(&cutout),
        ..EditRequest::new(EditOp::Erase, &spoilt, &settings)
    };
    let edited = apply(&request).unwrap();
    for y in 42..68 {
        let filled = edited.image.get_pixel(34, y).0;
        assert!(filled.iter().all(|v| v.abs_diff(218) < 16), "{filled:?}");
        assert_eq!(edited.image.get_pixel(45, y), image.get_pixel(45, y));
    }
}

#[test]
fn enlarging_gives_the_input_back_when_shrunk() {
    let (image, _) = scene(61, 43);
    for factor in ["1", "1.5", "2", "3.3"] {
        let settings = settings_of(&[("factor", factor)]);
        let request = EditRequest::new(EditOp::Upscale, &image, &settings);
        let edited = apply(&request).unwrap();
        let wanted = (61.0 * factor.parse::<f64>().unwrap()).round() as u32;
        assert_eq!(edited.image.width(), wanted);
        assert!(upscale::residual(&image, &edited.image) < 0.3);
    }
}
