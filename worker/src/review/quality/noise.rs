//! Noise: how much grainier the product's flat places are than the reference's.
//!
//! The deviation is estimated from the Laplacian-like mask of Immerkaer (1996), which slow
//! shading does not answer to, in the places that are flattest in both pictures. The candidate
//! is measured as it is and the reference reduced to its scale, never enlarged: enlarging would
//! make it cleaner than it is.

use image::RgbImage;
use packshot_imaging::photo::Rect;
use packshot_imaging::resize;
use packshot_pipeline::finding::EditOp;

use super::super::channel::{Metric, quantile};
use super::super::frame::Frame;
use super::Pair;
use super::profile::light;

/// Side of a place in candidate pixels.
const SIDE: f32 = 24.0;
/// Most places measured.
const COUNT: usize = 32;
/// Fewest places by which anything can be said.
const COUNT_MIN: usize = 5;
/// Deviation from which a place is texture, which may be drawn more or less sharply: grain cannot
/// be told from it.
const TEXTURE: f32 = 4.0;
/// Levels between which noise is not cut off.
const LEVELS: std::ops::Range<f32> = 8.0..247.0;

/// Measures the excess standard deviation in levels; `None` where the product has too few
/// flat places.
pub(super) fn measure(frame: &Frame, pair: &Pair) -> Option<Metric> {
    let mut excess: Vec<f32> =
        flattest(frame).into_iter().filter_map(|place| more_noise(frame, pair, place)).collect();
    if excess.len() < COUNT_MIN {
        return None;
    }
    let value = quantile(&mut excess, 0.5);
    Some(Metric {
        name: "quality_noise",
        value: f64::from(value),
        region: None,
        evidence: format!(
            "the product is noisy: {value:.1} levels of grain that the reference does not have"
        ),
        cure: Some((EditOp::Restore, "noise can be taken out without touching edges")),
    })
}

/// By how much the deviation is larger at one place.
fn more_noise(frame: &Frame, pair: &Pair, place: Rect) -> Option<f32> {
    let here = frame.region(place, pair.candidate.dimensions())?;
    let own = frame.reference_rect(place, pair.photo.dimensions())?;
    let rect = Rect { x: here.x, y: here.y, w: here.w, h: here.h };
    let candidate = resize::crop_rgb(pair.candidate, rect);
    let mut reference = resize::crop_rgb(pair.photo, own);
    let scale = pair.similarity.scale;
    if scale < 0.985 {
        let reduced = |side: u32| ((side as f32 * scale).round() as u32).max(1);
        reference = resize::resize_rgb(&reference, reduced(own.w), reduced(own.h));
    }
    let (after, before) = (deviation(&candidate)?, deviation(&reference).filter(|own| *own <= TEXTURE)?);
    // not the root of the squares' difference: of two noisy pictures it makes much of little
    Some((after - before).max(0.0))
}

/// Places of the product that are flat in both pictures, flattest first.
fn flattest(frame: &Frame) -> Vec<Rect> {
    let side = (SIDE / frame.placement.scale).max(5.0) as usize;
    let (w, h) = (frame.width as usize, frame.height as usize);
    let (reference, candidate) = (&frame.reference_lab.l, &frame.candidate_lab.l);
    let mut found = Vec::new();
    for y in (0..h.saturating_sub(side)).step_by(side) {
        for x in (0..w.saturating_sub(side)).step_by(side) {
            let rows = || (y..y + side).map(|row| row * w + x..row * w + x + side);
            if !rows().all(|row| frame.inner[row].iter().all(|inner| *inner)) {
                continue;
            }
            let spread = |l: &[f32]| {
                let n = (side * side) as f32;
                let (sum, square) =
                    rows().flatten().fold((0f32, 0f32), |(s, q), i| (s + l[i], q + l[i] * l[i]));
                (square / n - (sum / n).powi(2)).max(0.0)
            };
            let rect = Rect { x: x as u32, y: y as u32, w: side as u32, h: side as u32 };
            found.push((spread(reference) + spread(candidate), rect));
        }
    }
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    // the flattest half, and no more than are needed
    let count = (found.len() / 2).clamp(COUNT_MIN, COUNT);
    found.into_iter().take(count).map(|(_, rect)| rect).collect()
}

/// Immerkaer's estimate in levels; `None` where levels are cut off or the place is too small.
fn deviation(rgb: &RgbImage) -> Option<f32> {
    let (w, h) = (rgb.width() as usize, rgb.height() as usize);
    if w < 5 || h < 5 {
        return None;
    }
    let light: Vec<f32> = rgb.pixels().map(|p| light(p.0.map(f32::from))).collect();
    let mean = light.iter().sum::<f32>() / light.len() as f32;
    if !LEVELS.contains(&mean) {
        return None;
    }
    let mut sum = 0f32;
    for y in 1..h - 1 {
        for x in 1..w - 1 {
            let i = y * w + x;
            let row = |i: usize| light[i - 1] - 2.0 * light[i] + light[i + 1];
            sum += (row(i - w) - 2.0 * row(i) + row(i + w)).abs();
        }
    }
    Some(sum * (std::f32::consts::PI / 2.0).sqrt() / (6.0 * ((w - 2) * (h - 2)) as f32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimate_is_the_deviation_and_shading_is_none() {
        let mut state = 7u32;
        let mut dice = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f32::from((state >> 16) as u16) / 65_536.0
        };
        for sigma in [0.0f32, 3.0, 9.0] {
            let rgb = RgbImage::from_fn(64, 64, |x, y| {
                let grain: f32 = (0..12).map(|_| dice()).sum::<f32>() - 6.0;
                image::Rgb([(60.0 + x as f32 + 0.5 * y as f32 + sigma * grain) as u8; 3])
            });
            let found = deviation(&rgb).unwrap_or(-1.0);
            assert!((found - sigma).abs() < 0.5, "{sigma}: {found}");
        }
    }
}
