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
//! - `kept`: the share that default options accept, and `IoU kept`, `>=.97 kept` on those only;
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

use image::{GrayImage, Luma, Rgb, RgbImage, imageops};
use packshot_imaging::blur::{Plane, gaussian};
use packshot_imaging::cutout::{CutoutOptions, cut_out, cut_out_with_prior, recompose};
use packshot_imaging::mask;
use packshot_imaging::photo::{Cutout, Photo, Rect};
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
                .map(|(i, truth)| truth.measure(kind, i as u64, prior, save.as_deref()))
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

/// A product with known coverage.
struct Truth {
    name: String,
    cutout: Cutout,
}

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

fn truths(folder: &Path, side: u32, only: Option<&str>) -> Result<Vec<Truth>, Box<dyn Error>> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)?.flatten().map(|e| e.path()).collect();
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        let name = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        let png = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("png"));
        if !png || only.is_some_and(|word| !name.contains(word)) {
            continue;
        }
        let file = image::open(&path)?;
        if !file.color().has_alpha() {
            continue;
        }
        let rgba = file.to_rgba8();
        let alpha = GrayImage::from_fn(rgba.width(), rgba.height(), |x, y| Luma([rgba.get_pixel(x, y).0[3]]));
        let photo = Photo::of_pixels(file.to_rgb8(), Some(alpha));
        let Ok(cutout) = cut_out(&photo, &CutoutOptions::DEFAULT) else { continue };
        if let Some(cutout) = framed(&cutout, side) {
            found.push(Truth { name, cutout });
        }
    }
    Ok(found)
}

/// The product with a margin of an eighth, scaled to `side`.
fn framed(cutout: &Cutout, side: u32) -> Option<Cutout> {
    let Rect { x, y, w, h } = mask::bounds(&cutout.alpha, 64)?;
    let margin = w.max(h) / 8;
    let (left, top) = (x.saturating_sub(margin), y.saturating_sub(margin));
    let right = (x + w + margin).min(cutout.alpha.width());
    let bottom = (y + h + margin).min(cutout.alpha.height());
    let (w, h) = (right - left, bottom - top);
    let scale = (f64::from(side) / f64::from(w.max(h))).min(1.0);
    let (sw, sh) = ((f64::from(w) * scale) as u32, (f64::from(h) * scale) as u32);
    let rgb = imageops::crop_imm(&cutout.foreground, left, top, w, h).to_image();
    let alpha = imageops::crop_imm(&cutout.alpha, left, top, w, h).to_image();
    let mut scaled = cutout.clone();
    scaled.foreground = imageops::resize(&rgb, sw, sh, imageops::FilterType::Triangle);
    scaled.alpha = imageops::resize(&alpha, sw, sh, imageops::FilterType::Triangle);
    Some(scaled)
}

impl Truth {
    fn measure(&self, kind: &str, seed: u64, with_prior: bool, save: Option<&Path>) -> Score {
        let mut rng = SmallRng::seed_from_u64(seed * 31 + kind.len() as u64);
        let (w, h) = self.cutout.alpha.dimensions();
        let background = background(kind, w, h, &mut rng);
        let mut truth = self.cutout.clone();
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
            kept: found.quality.agreement >= CutoutOptions::DEFAULT.agreement_min,
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
                format!("{:.3}-{way}-{kind}-{}-{:.2}.jpg", score.iou, self.name, found.quality.agreement);
            let _ = sheet.save(folder.join(file));
        }
        score
    }
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

/// A soft ellipse at the product's foot.
fn shadow(alpha: &GrayImage, rng: &mut SmallRng) -> GrayImage {
    let (w, h) = alpha.dimensions();
    let Some(rect) = mask::bounds(alpha, 128) else { return GrayImage::from_pixel(w, h, Luma([255])) };
    let (cx, cy) = (rect.x as f32 + rect.w as f32 / 2.0, (rect.y + rect.h) as f32);
    let wide = rect.w as f32 * rng.random_range(0.42..0.55);
    let high = (wide * rng.random_range(0.06..0.16)).max(3.0);
    let mut plane = Plane::new(w, h, 0.0);
    for (at, value) in plane.data.iter_mut().enumerate() {
        let (x, y) = ((at as u32 % w) as f32 - cx, (at as u32 / w) as f32 - cy);
        *value = if (x / wide).hypot(y / high) < 1.0 { 1.0 } else { 0.0 };
    }
    let strength = rng.random_range(0.25..0.5);
    let soft = gaussian(&plane, high * 0.7);
    let levels = soft.data.iter().map(|v| ((1.0 - v * strength) * 255.0) as u8).collect();
    GrayImage::from_raw(w, h, levels).unwrap_or_default()
}

/// Noise of about unit variance, smoothed by `sigma`.
fn noise(w: u32, h: u32, sigma: f32, rng: &mut SmallRng) -> Plane {
    let data = (0..w * h).map(|_| rng.random::<f32>() - 0.5).collect();
    let mut plane = gaussian(&Plane { width: w, height: h, data }, sigma);
    let count = plane.data.len().max(1) as f32;
    let mean = plane.data.iter().sum::<f32>() / count;
    let deviation = (plane.data.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / count).sqrt().max(1e-6);
    for value in &mut plane.data {
        *value = (*value - mean) / deviation;
    }
    plane
}

fn background(kind: &str, w: u32, h: u32, rng: &mut SmallRng) -> RgbImage {
    let scale = w.max(h) as f32 / 512.0;
    let tone = |low: f32, high: f32, tint: f32, rng: &mut SmallRng| -> [f32; 3] {
        let level = rng.random_range(low..high);
        std::array::from_fn(|_| level + rng.random_range(-tint..tint))
    };
    let paint = |colour: &dyn Fn(u32, u32) -> [f32; 3]| {
        RgbImage::from_fn(w, h, |x, y| Rgb(colour(x, y).map(|v| (v.clamp(0.0, 1.0) * 255.0) as u8)))
    };
    let at = |plane: &Plane, x: u32, y: u32| plane.data[(y * w + x) as usize];
    match kind {
        "white" => paint(&|_, _| [0.985; 3]),
        "plain" => {
            let c = tone(0.6, 0.95, 0.06, rng);
            paint(&|_, _| c)
        }
        "gradient" => {
            let (a, b) = (tone(0.6, 0.95, 0.05, rng), rng.random_range(-0.18..0.18));
            paint(&|_, y| a.map(|v| v + b * y as f32 / h as f32))
        }
        "linen" => {
            let c = tone(0.6, 0.85, 0.05, rng);
            let (fine, wide) = (noise(w, h, 0.8, rng), noise(w, h, 2.0 * scale, rng));
            paint(&|x, y| c.map(|v| v + 0.03 * at(&fine, x, y) + 0.012 * at(&wide, x, y)))
        }
        "marble" => {
            let c = tone(0.85, 0.95, 0.01, rng);
            let (big, small) = (noise(w, h, 20.0 * scale, rng), noise(w, h, 6.0 * scale, rng));
            paint(&|x, y| {
                let vein = (-(at(&big, x, y) + 0.5 * at(&small, x, y)).abs() * 3.5).exp();
                c.map(|v| v - 0.28 * vein)
            })
        }
        "wood" => {
            let (a, b) = (rng.random_range(0.75..1.3), rng.random_range(14.0..26.0));
            let (waves, grain) = (noise(w, h, 30.0 * scale, rng), noise(w, h, 1.0, rng));
            paint(&|x, y| {
                let ring = y as f32 / h as f32 * b + 0.5 * at(&waves, x, y);
                let dark = 0.5 + 0.5 * (ring * std::f32::consts::TAU).sin();
                [0.62, 0.44, 0.28].map(|v| v * a * (1.0 - 0.25 * dark) + 0.015 * at(&grain, x, y))
            })
        }
        _ => {
            let horizon = (h as f32 * rng.random_range(0.55..0.75)) as u32;
            let wall = background("gradient", w, h, rng);
            let kind = ["wood", "marble", "linen"][rng.random_range(0..3)];
            let table = background(kind, w, h, rng);
            RgbImage::from_fn(w, h, |x, y| *if y < horizon { &wall } else { &table }.get_pixel(x, y))
        }
    }
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
