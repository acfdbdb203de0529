//! Measures the edit operations on real photos whose truth is known.
//!
//! ```text
//! cargo build --release --workspace --bins
//! target/release/edit_bench PHOTOS_DIR [COUNT] [OUT_DIR]
//! ```
//!
//! Holes (dust of 2–4 px, creases of 5 px, blobs of 20–40 px) are punched into the product and
//! filled again: PSNR over the hole, and the fine-texture energy (luma minus its blur by
//! 1.5 px, squared) inside the hole against the true pixels and against a ring around it.
//! Photos halved by averaging are enlarged again: PSNR against the photo, and the residual
//! after shrinking once more. Pixels changed outside the mask are counted; the answer must be
//! 0. With a third argument the pictures are written there, to be looked at.

#![allow(clippy::print_stdout, reason = "the table is what this program is for")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use image::{GrayImage, Luma, Rgb, RgbImage};
use packshot_imaging::blur::{Plane, gaussian};
use packshot_imaging::mask;
use packshot_pipeline::finding::EditOp;
use packshot_worker::edit::{EditRequest, Method, apply, fill};

/// Longest side of a photo in the bench, in px.
const SIDE: u32 = 1000;

struct Sample {
    name: String,
    image: RgbImage,
    product: GrayImage,
}

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let directory = PathBuf::from(args.next().context("give the directory of the photos")?);
    let count = args.next().map_or(Ok(12), |text| text.parse()).context("COUNT is a number")?;
    let out = args.next().map(PathBuf::from);
    if let Some(out) = &out {
        std::fs::create_dir_all(out)?;
    }
    let samples = samples(&directory, count)?;
    println!("{} photos at {SIDE} px", samples.len());
    println!(
        "\n{:<10} {:<10} {:>8} {:>12} {:>12} {:>8} {:>8}",
        "hole", "method", "psnr dB", "kept/true", "kept/ring", "outside", "ms"
    );
    for hole in ["dust", "crease", "blob"] {
        for method in [None, Some(Method::Frequency), Some(Method::Exemplar), Some(Method::Surface)] {
            inpainting(&samples, hole, method, out.as_deref())?;
        }
    }
    println!("\n{:<22} {:>8} {:>10} {:>8}", "enlarged twice", "psnr dB", "residual", "ms");
    enlarging(&samples, out.as_deref())
}

fn samples(directory: &Path, count: usize) -> Result<Vec<Sample>> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(directory)
        .with_context(|| format!("cannot list {}", directory.display()))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| matches!(path.extension().and_then(|e| e.to_str()), Some("png" | "jpg" | "webp")))
        .collect();
    paths.sort();
    let stride = (paths.len() / count.max(1)).max(1);
    let mut samples = Vec::new();
    for path in paths.iter().step_by(stride).take(count) {
        let decoded = image::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        let decoded = decoded.thumbnail(SIDE, SIDE);
        let (image, alpha) = (decoded.to_rgb8(), decoded.to_rgba8());
        let opaque = alpha.pixels().all(|p| p.0[3] == 255);
        let (w, h) = image.dimensions();
        // Without an outline the middle of the frame stands for the product.
        let product = GrayImage::from_fn(w, h, |x, y| {
            let middle = x > w / 4 && x < 3 * w / 4 && y > h / 4 && y < 3 * h / 4;
            let inside = if opaque { middle } else { alpha.get_pixel(x, y).0[3] == 255 };
            Luma([if inside { 255 } else { 0 }])
        });
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        samples.push(Sample { name, image, product: mask::erode(&product, 6) });
    }
    Ok(samples)
}

fn inpainting(samples: &[Sample], hole: &str, method: Option<Method>, out: Option<&Path>) -> Result<()> {
    let (mut error, mut pixels) = (0.0, 0.0_f64);
    let (mut psnr, mut kept_true, mut kept_ring) = (Vec::new(), Vec::new(), Vec::new());
    let mut outside = 0_u64;
    let mut spent = 0.0;
    for (index, sample) in samples.iter().enumerate() {
        let holes = punched(&sample.product, hole, index as u64);
        if mask::area(&holes) == 0 {
            continue;
        }
        let mut damaged = sample.image.clone();
        paint(&mut damaged, &holes);
        let begun = Instant::now();
        let filled = fill(&damaged, &holes, Some(&sample.product), method)?.image;
        spent += begun.elapsed().as_secs_f64() * 1000.0;
        let (mut sum, mut count) = (0.0, 0.0_f64);
        for ((x, y, now), was) in filled.enumerate_pixels().zip(sample.image.pixels()) {
            if holes.get_pixel(x, y).0[0] > 0 {
                sum +=
                    now.0.iter().zip(was.0).map(|(a, b)| (f64::from(*a) - f64::from(b)).powi(2)).sum::<f64>();
                count += 3.0;
            }
        }
        error += sum;
        pixels += count;
        psnr.push(decibel(sum / count));
        let ring = mask::intersection(
            &mask::difference(&mask::dilate(&holes, 5), &mask::dilate(&holes, 1)),
            &sample.product,
        );
        let inside = fine(&filled, &holes);
        kept_true.push(inside / fine(&sample.image, &holes).max(0.01));
        kept_ring.push(inside / fine(&filled, &ring).max(0.01));
        outside += changed_outside(&damaged, &holes)?;
        if let (Some(out), None) = (out, method) {
            damaged.save(out.join(format!("{}-{hole}-damaged.png", sample.name)))?;
            filled.save(out.join(format!("{}-{hole}-filled.png", sample.name)))?;
        }
    }
    let _ = decibel(error / pixels.max(1.0));
    println!(
        "{hole:<10} {:<10} {:>8.2} {:>12.2} {:>12.2} {outside:>8} {:>8.0}",
        method.map_or("auto", Method::word),
        mean(&psnr),
        median(&mut kept_true),
        median(&mut kept_ring),
        spent / samples.len() as f64,
    );
    Ok(())
}

/// Pixels that a whole edit changes where its touched mask is 0.
fn changed_outside(image: &RgbImage, holes: &GrayImage) -> Result<u64> {
    let settings = BTreeMap::from([("kind".to_owned(), "dust".to_owned())]);
    let request = EditRequest { mask: Some(holes), ..EditRequest::new(EditOp::Retouch, image, &settings) };
    let edited = apply(&request)?;
    let pairs = edited.image.pixels().zip(image.pixels()).zip(edited.touched.pixels());
    Ok(pairs.filter(|((now, was), touched)| touched.0[0] == 0 && now != was).count() as u64)
}

fn enlarging(samples: &[Sample], out: Option<&Path>) -> Result<()> {
    let mut rows: [(&str, Vec<f64>, Vec<f64>, f64); 2] =
        [("lanczos", Vec::new(), Vec::new(), 0.0), ("upscale", Vec::new(), Vec::new(), 0.0)];
    for sample in samples {
        let (w, h) = (sample.image.width() / 2 * 2, sample.image.height() / 2 * 2);
        let truth = image::imageops::crop_imm(&sample.image, 0, 0, w, h).to_image();
        let small = halved(&truth);
        for row in &mut rows {
            let begun = Instant::now();
            let large = if row.0 == "lanczos" {
                image::imageops::resize(&small, w, h, image::imageops::FilterType::Lanczos3)
            } else {
                let settings = BTreeMap::new();
                let request = EditRequest::new(EditOp::Upscale, &small, &settings);
                apply(&request)?.image
            };
            row.3 += begun.elapsed().as_secs_f64() * 1000.0;
            row.1.push(decibel(squared(&truth, &large)));
            row.2.push(absolute(&small, &halved(&large)));
            if let Some(out) = out {
                large.save(out.join(format!("{}-{}.png", sample.name, row.0)))?;
            }
        }
    }
    for (name, psnr, residual, spent) in rows {
        println!(
            "{name:<22} {:>8.2} {:>10.3} {:>8.0}",
            mean(&psnr),
            mean(&residual),
            spent / samples.len() as f64
        );
    }
    Ok(())
}

/// Holes wholly inside `product`, at places that depend on `seed` only.
fn punched(product: &GrayImage, kind: &str, seed: u64) -> GrayImage {
    let (w, h) = product.dimensions();
    let mut dice = Dice(seed ^ 0x5eed);
    let mut holes = GrayImage::new(w, h);
    let wanted = match kind {
        "dust" => 30,
        "crease" => 4,
        _ => 3,
    };
    let mut made = 0;
    for _ in 0..4000 {
        if made == wanted {
            break;
        }
        let (x, y) = (dice.below(w), dice.below(h));
        let points: Vec<(f32, f32, f32)> = match kind {
            "dust" => vec![(x as f32, y as f32, 1.0 + dice.below(100) as f32 / 100.0)],
            "crease" => {
                let angle = dice.below(628) as f32 / 100.0;
                let bend = dice.below(100) as f32 / 5000.0 - 0.01;
                (0..80)
                    .scan((x as f32, y as f32, angle), |(x, y, angle), _| {
                        (*x, *y, *angle) = (*x + angle.cos(), *y + angle.sin(), *angle + bend);
                        Some((*x, *y, 2.5))
                    })
                    .collect()
            }
            _ => vec![(x as f32, y as f32, 10.0 + dice.below(100) as f32 / 10.0)],
        };
        let inside = |(px, py, radius): &(f32, f32, f32)| {
            [(-radius, 0.0), (*radius, 0.0), (0.0, -radius), (0.0, *radius)].iter().all(|(dx, dy)| {
                let (x, y) = ((px + dx).round(), (py + dy).round());
                x >= 0.0
                    && y >= 0.0
                    && product.get_pixel_checked(x as u32, y as u32).is_some_and(|p| p.0[0] > 0)
            })
        };
        if !points.iter().all(inside) {
            continue;
        }
        made += 1;
        for (px, py, radius) in points {
            let reach = radius.ceil() as i64;
            for dy in -reach..=reach {
                for dx in -reach..=reach {
                    let (x, y) = (px.round() as i64 + dx, py.round() as i64 + dy);
                    let hit = ((dx * dx + dy * dy) as f32).sqrt() <= radius;
                    if hit && x >= 0 && y >= 0 && x < i64::from(w) && y < i64::from(h) {
                        holes.put_pixel(x as u32, y as u32, Luma([255]));
                    }
                }
            }
        }
    }
    holes
}

fn paint(image: &mut RgbImage, holes: &GrayImage) {
    for (pixel, hole) in image.pixels_mut().zip(holes.pixels()).filter(|(_, hole)| hole.0[0] > 0) {
        let _ = hole;
        *pixel = Rgb([255, 0, 255]);
    }
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 20) % u64::from(end.max(1))) as u32
    }
}

/// Mean energy of the fine band over the set pixels of `over`.
fn fine(image: &RgbImage, over: &GrayImage) -> f64 {
    let data = image
        .pixels()
        .map(|p| 0.299 * f32::from(p.0[0]) + 0.587 * f32::from(p.0[1]) + 0.114 * f32::from(p.0[2]))
        .collect();
    let luma = Plane { width: image.width(), height: image.height(), data };
    let smooth = gaussian(&luma, 1.5);
    let (mut sum, mut count) = (0.0, 0.0_f64);
    for ((value, smooth), over) in luma.data.iter().zip(&smooth.data).zip(over.pixels()) {
        if over.0[0] > 0 {
            sum += f64::from(value - smooth).powi(2);
            count += 1.0;
        }
    }
    sum / count.max(1.0)
}

fn halved(image: &RgbImage) -> RgbImage {
    RgbImage::from_fn(image.width() / 2, image.height() / 2, |x, y| {
        Rgb(std::array::from_fn(|c| {
            let sum: u32 = [(0, 0), (1, 0), (0, 1), (1, 1)]
                .iter()
                .map(|(dx, dy)| u32::from(image.get_pixel(2 * x + dx, 2 * y + dy).0[c]))
                .sum();
            ((sum + 2) / 4) as u8
        }))
    })
}

fn squared(a: &RgbImage, b: &RgbImage) -> f64 {
    let sum: f64 =
        a.as_raw().iter().zip(b.as_raw()).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
    sum / a.as_raw().len() as f64
}

fn absolute(a: &RgbImage, b: &RgbImage) -> f64 {
    let sum: f64 =
        a.as_raw().iter().zip(b.as_raw()).map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs()).sum();
    sum / a.as_raw().len() as f64
}

fn decibel(error: f64) -> f64 {
    10.0 * (255.0 * 255.0 / error.max(1e-6)).log10()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
