//! Measures cut-outs against truth.
//!
//! ```text
//! cargo build --release --workspace --bins
//! target/release/matting_bench FOLDER [--side PX] [--save DIR] [--only WORD]
//! ```
//!
//! Every PNG of FOLDER with a transparent background is a truth: its product is scaled to
//! `--side` (default 1024), put with a soft shadow, grain and JPEG compression on a white,
//! plain, gradient, linen, marble, wood and counter background (all made here from fixed
//! seeds), and cut out again: once blindly, once with the true mask, shifted and grown by a few
//! pixels, as its prior. One row per background and way:
//!
//! - `IoU`: mean intersection over union at half coverage; `>=.97`, `>=.95`: share of photos at
//!   least that good; refused photos count as 0;
//! - `kept`: the share whose two segmenters agree as far as inspection asks of a reference, and
//!   `IoU kept`, `>=.97 kept` on those only;
//! - `F3`: boundary F-measure at 3 px;
//! - `MAE`: mean absolute error of coverage (0 to 1) within 8 px of the true outline;
//! - `fringe`: mean error in 8-bit levels when put on mid grey, on half-covered pixels;
//! - `ms`: per photo. The last line says the process's peak memory.
//!
//! `--save` writes the cut-outs that fall under 0.97 as PNG. A folder with `lemur.png` and
//! `lemur_alpha.png` is measured as such a pair too.

#![allow(clippy::print_stdout, reason = "a command line tool's table goes to stdout")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;

use image::{GrayImage, Rgb, RgbImage, imageops};
use packshot_imaging::cutout::{AGREEMENT_CERTAIN, CutoutOptions, cut_out, cut_out_with_prior, recompose};
use packshot_imaging::mask;
use packshot_imaging::photo::{Cutout, Photo};
use packshot_tests::scenes::{Truth, background, shadow, truths};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

const BACKGROUNDS: [&str; 7] = ["white", "plain", "gradient", "linen", "marble", "wood", "counter"];

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| args.iter().position(|a| a == name).and_then(|i| args.get(i + 1));
    let folder = PathBuf::from(args.first().ok_or("usage: matting_bench FOLDER [--side PX] [--save DIR]")?);
    let side: u32 = option("--side").map_or(Ok(1024), |s| s.parse())?;
    let save = option("--save").map(PathBuf::from);
    let truths = truths(&folder, side, option("--only").map(String::as_str))?;
    println!("{} true cut-outs, longest side {side} px", truths.len());
    println!("{HEADER}");
    for prior in [false, true] {
        let mut all = Vec::new();
        for kind in BACKGROUNDS {
            let scores: Vec<Score> = truths
                .iter()
                .enumerate()
                .map(|(i, truth)| measure(truth, kind, i as u64, prior, save.as_deref()))
                .collect();
            println!("{}", row(kind, prior, &scores));
            all.extend(scores);
        }
        println!("{}", row("all", prior, &all));
    }
    lemur(&folder)?;
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        println!("{}", status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default());
    }
    Ok(())
}

const HEADER: &str =
    "background  way     IoU >=.97 >=.95   kept IoU kept >=.97 kept    F3    MAE fringe    ms";

/// What one cut-out came to.
#[derive(Clone, Copy, Default)]
struct Score {
    iou: f64,
    kept: bool,
    boundary: f64,
    error: f64,
    fringe: f64,
    ms: f64,
}

fn measure(product: &Truth, kind: &str, seed: u64, with_prior: bool, save: Option<&Path>) -> Score {
    let mut rng = SmallRng::seed_from_u64(seed * 31 + kind.len() as u64);
    let (w, h) = product.cutout.alpha.dimensions();
    let background = background(kind, w, h, &mut rng);
    let mut truth = product.cutout.clone();
    truth.shadow = Some(shadow(&truth.alpha, &mut rng));
    let scene = weathered(&recompose(&truth, &background, true), &mut rng);
    let open = CutoutOptions { agreement_min: 0.0 };
    let started = Instant::now();
    let found = if with_prior {
        let shift = imageops::crop_imm(&mask::dilate(&truth.alpha, 3), 3, 2, w - 3, h - 2).to_image();
        let mut prior = GrayImage::new(w, h);
        imageops::replace(&mut prior, &shift, 0, 0);
        cut_out_with_prior(&scene, &prior, &open)
    } else {
        cut_out(&Photo::of_pixels(scene.clone(), None), &open)
    };
    let ms = started.elapsed().as_secs_f64() * 1e3;
    let Ok(found) = found else { return Score { ms, ..Score::default() } };
    let score = Score {
        iou: f64::from(mask::iou(&found.alpha, &truth.alpha)),
        kept: found.quality.agreement >= AGREEMENT_CERTAIN,
        boundary: boundary(&found.alpha, &truth.alpha),
        error: band_error(&found.alpha, &truth.alpha),
        fringe: fringe(&found, &truth),
        ms,
    };
    if let Some(folder) = save.filter(|_| score.iou < 0.97) {
        let way = if with_prior { "prior" } else { "blind" };
        let magenta = RgbImage::from_pixel(1, 1, Rgb([255, 0, 255]));
        let mut sheet = RgbImage::new(w * 2, h);
        imageops::replace(&mut sheet, &scene, 0, 0);
        imageops::replace(&mut sheet, &recompose(&found, &magenta, false), i64::from(w), 0);
        let file =
            format!("{:.3}-{way}-{kind}-{}-{:.2}.jpg", score.iou, product.name, found.quality.agreement);
        let _ = sheet.save(folder.join(file));
    }
    score
}
fn row(kind: &str, prior: bool, scores: &[Score]) -> String {
    let mean = |scores: &[Score], value: fn(&Score) -> f64| {
        scores.iter().map(value).sum::<f64>() / scores.len().max(1) as f64
    };
    let kept: Vec<Score> = scores.iter().filter(|s| s.kept).copied().collect();
    let good = |score: &Score| f64::from(u8::from(score.iou >= 0.97));
    format!(
        "{kind:11} {:6} {:.3}  {:.2}  {:.2}   {:.2}    {:.3}       {:.2} {:.3}  {:.3} {:6.1} {:5.0}",
        if prior { "prior" } else { "blind" },
        mean(scores, |s| s.iou),
        mean(scores, good),
        mean(scores, |s| f64::from(u8::from(s.iou >= 0.95))),
        kept.len() as f64 / scores.len().max(1) as f64,
        mean(&kept, |s| s.iou),
        mean(&kept, good),
        mean(scores, |s| s.boundary),
        mean(scores, |s| s.error),
        mean(scores, |s| s.fringe),
        mean(scores, |s| s.ms),
    )
}

/// F-measure of the outlines: share of each that lies within 3 px of the other.
fn boundary(a: &GrayImage, b: &GrayImage) -> f64 {
    let edge = |m: &GrayImage| mask::difference(&mask::threshold(m, mask::SET), &mask::erode(m, 1));
    let (a, b) = (edge(a), edge(b));
    let near = |x: &GrayImage, y: &GrayImage| {
        let hit = mask::area(&mask::intersection(x, &mask::dilate(y, 3)));
        hit as f64 / mask::area(x).max(1) as f64
    };
    let (precision, recall) = (near(&a, &b), near(&b, &a));
    2.0 * precision * recall / (precision + recall).max(1e-9)
}

fn band_error(found: &GrayImage, truth: &GrayImage) -> f64 {
    let band = mask::difference(&mask::dilate(truth, 8), &mask::erode(truth, 8));
    let (mut sum, mut count) = (0.0, 0_u32);
    for ((f, t), b) in found.as_raw().iter().zip(truth.as_raw()).zip(band.as_raw()) {
        if *b > 0 {
            sum += f64::from(f.abs_diff(*t)) / 255.0;
            count += 1;
        }
    }
    sum / f64::from(count.max(1))
}

/// Mean error in levels on half-covered pixels when both are put on mid grey.
fn fringe(found: &Cutout, truth: &Cutout) -> f64 {
    let grey = RgbImage::from_pixel(1, 1, Rgb([128; 3]));
    let (a, b) = (recompose(found, &grey, false), recompose(truth, &grey, false));
    let (mut sum, mut count) = (0.0, 0_u32);
    for ((p, q), t) in a.pixels().zip(b.pixels()).zip(truth.alpha.as_raw()) {
        if (26..230).contains(t) {
            sum += p.0.iter().zip(q.0).map(|(p, q)| f64::from(p.abs_diff(q))).sum::<f64>() / 3.0;
            count += 1;
        }
    }
    sum / f64::from(count.max(1))
}

/// Grain of 1.2 levels and a round through JPEG at quality 92.
fn weathered(scene: &RgbImage, rng: &mut SmallRng) -> RgbImage {
    let mut grained = scene.clone();
    for pixel in grained.pixels_mut() {
        let grain = (rng.random::<f32>() + rng.random::<f32>() + rng.random::<f32>() - 1.5) * 2.4;
        pixel.0 = pixel.0.map(|v| (f32::from(v) + grain).clamp(0.0, 255.0) as u8);
    }
    let mut bytes = std::io::Cursor::new(Vec::new());
    let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 92);
    if grained.write_with_encoder(encoder).is_err() {
        return grained;
    }
    image::load_from_memory(bytes.get_ref()).map_or(grained, |decoded| decoded.to_rgb8())
}

/// The classic matting pair, when the folder has it.
fn lemur(folder: &Path) -> Result<(), Box<dyn Error>> {
    let (scene, truth) = (folder.join("lemur.png"), folder.join("lemur_alpha.png"));
    if !scene.is_file() || !truth.is_file() {
        return Ok(());
    }
    let (scene, truth) = (image::open(scene)?.to_rgb8(), image::open(truth)?.to_luma8());
    let open = CutoutOptions { agreement_min: 0.0 };
    for (way, found) in [
        ("blind", cut_out(&Photo::of_pixels(scene.clone(), None), &open)),
        ("prior", cut_out_with_prior(&scene, &mask::dilate(&truth, 4), &open)),
    ] {
        let found = found?;
        println!(
            "lemur {way}: IoU {:.3}, agreement {:.2}, coverage error near the outline {:.3}",
            mask::iou(&found.alpha, &truth),
            found.quality.agreement,
            band_error(&found.alpha, &truth),
        );
    }
    Ok(())
}
