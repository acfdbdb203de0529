//! Products with true coverage and backgrounds drawn from fixed seeds, for the benches that put
//! the one before the other.

use std::error::Error;
use std::path::{Path, PathBuf};

use image::{GrayImage, Luma, Rgb, RgbImage, imageops};
use packshot_imaging::blur::{Plane, gaussian};
use packshot_imaging::cutout::{CutoutOptions, cut_out};
use packshot_imaging::mask;
use packshot_imaging::photo::{Cutout, Photo, Rect};
use rand::Rng;
use rand::rngs::SmallRng;

/// A product with known coverage.
pub struct Truth {
    /// Its file, without the ending.
    pub name: String,
    /// The product with its true coverage.
    pub cutout: Cutout,
}

/// Every PNG of the folder with a transparent background, at most `side` px long, of which the name
/// holds `only`.
///
/// # Errors
/// When the folder cannot be listed or a photo not read.
pub fn truths(folder: &Path, side: u32, only: Option<&str>) -> Result<Vec<Truth>, Box<dyn Error>> {
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

/// A soft ellipse at the product's foot: the light that is left, 255 for all.
pub fn shadow(alpha: &GrayImage, rng: &mut SmallRng) -> GrayImage {
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

/// A background: white, plain, gradient, linen, marble, wood, or a counter before a wall.
pub fn background(kind: &str, w: u32, h: u32, rng: &mut SmallRng) -> RgbImage {
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
