//! How noisy, blocky and blurred a photo is.

use image::GrayImage;
use packshot_imaging::blur::{Plane, gaussian};

/// Side of a tile in px for the noise estimate.
const TILE: usize = 16;

/// Standard deviation of white noise in levels; 0 when what there is looks like texture.
///
/// Median absolute diagonal Haar coefficient over 0.6745 (Donoho and Johnstone 1994) per tile;
/// only tiles count in which the next coarser band is about half as strong, as it is for
/// noise and is not for a weave. Pixels under 250 in `alpha` are not looked at.
pub(super) fn noise(plane: &Plane, alpha: Option<&GrayImage>) -> f32 {
    let (w, h) = (plane.width as usize, plane.height as usize);
    let mut found = Vec::new();
    let mut tiles = 0_usize;
    for y in (0..h.saturating_sub(TILE - 1)).step_by(TILE) {
        for x in (0..w.saturating_sub(TILE - 1)).step_by(TILE) {
            let seen = alpha.is_none_or(|alpha| {
                [(0, 0), (TILE - 1, 0), (0, TILE - 1), (TILE - 1, TILE - 1)]
                    .iter()
                    .all(|(dx, dy)| alpha.get_pixel((x + dx) as u32, (y + dy) as u32).0[0] >= 250)
            });
            if !seen {
                continue;
            }
            tiles += 1;
            let fine = haar(plane, x, y, 1);
            let coarse = haar(plane, x, y, 2);
            // Flat tiles are clipped or painted; they say nothing about noise.
            if fine > 0.3 && coarse < 0.68 * fine {
                found.push(fine);
            }
        }
    }
    if found.len() < 8 || found.len() * 50 < tiles {
        return 0.0;
    }
    found.sort_by(f32::total_cmp);
    found[found.len() * 3 / 10]
}

/// Robust deviation of the diagonal detail of one tile, on pixels averaged `step` × `step`.
fn haar(plane: &Plane, x: usize, y: usize, step: usize) -> f32 {
    let w = plane.width as usize;
    let mean = |x: usize, y: usize| {
        let sum: f32 = (0..step).map(|dy| plane.data[(y + dy) * w + x..][..step].iter().sum::<f32>()).sum();
        sum / (step * step) as f32
    };
    let mut details: Vec<f32> = (0..TILE / (2 * step))
        .flat_map(|j| (0..TILE / (2 * step)).map(move |i| (x + i * 2 * step, y + j * 2 * step)))
        .map(|(x, y)| {
            (0.5 * (mean(x, y) - mean(x + step, y) - mean(x, y + step) + mean(x + step, y + step))).abs()
        })
        .collect();
    details.sort_by(f32::total_cmp);
    details[details.len() / 2] / 0.6745
}

/// By how many levels steps over the borders of an 8 × 8 grid, at any offset, are larger than
/// steps inside its blocks, on average over both directions; 0 without a grid.
pub(super) fn blocks(plane: &Plane) -> f32 {
    let (w, h) = (plane.width as usize, plane.height as usize);
    if w < 32 || h < 32 {
        return 0.0;
    }
    let mut across = [[0.0_f64; 2]; 8];
    let mut down = [[0.0_f64; 2]; 8];
    for y in 1..h {
        for x in 1..w {
            let here = plane.data[y * w + x];
            // Steps that are too large for a block border are edges.
            let (dx, dy) =
                ((here - plane.data[y * w + x - 1]).abs(), (here - plane.data[(y - 1) * w + x]).abs());
            for (sums, place, step) in [(&mut across, x % 8, dx), (&mut down, y % 8, dy)] {
                if step < 24.0 {
                    sums[place][0] += f64::from(step);
                    sums[place][1] += 1.0;
                }
            }
        }
    }
    f32::midpoint(excess(&across).max(0.0), excess(&down).max(0.0))
}

/// The largest mean of the eight above the median of the others.
fn excess(sums: &[[f64; 2]; 8]) -> f32 {
    let mut means: Vec<f64> = sums.iter().map(|[sum, count]| sum / count.max(1.0)).collect();
    means.sort_by(f64::total_cmp);
    (means[7] - means[3]) as f32
}

/// Standard deviation in px of the blur of the usual strong edge, 0 when there are none. Thin
/// lines look sharper than they are, so it is the upper part of the middle that counts. From the ratio of gradients at two scales (Zhuo and Sim 2011).
pub(super) fn blur(plane: &Plane) -> f32 {
    const FINE: f32 = 0.6;
    const COARSE: f32 = 1.5;
    let (fine, coarse) = (gaussian(plane, FINE), gaussian(plane, COARSE));
    let (w, h) = (plane.width as usize, plane.height as usize);
    let slope = |plane: &Plane, x: usize, y: usize| {
        let dx = plane.data[y * w + x + 1] - plane.data[y * w + x - 1];
        let dy = plane.data[(y + 1) * w + x] - plane.data[(y - 1) * w + x];
        (dx.hypot(dy), dx.abs() >= dy.abs())
    };
    let mut found = Vec::new();
    for y in 2..h.saturating_sub(2) {
        for x in 2..w.saturating_sub(2) {
            let (here, level) = slope(&fine, x, y);
            if here < 24.0 {
                continue;
            }
            let (a, b) = if level {
                (slope(&fine, x - 1, y).0, slope(&fine, x + 1, y).0)
            } else {
                (slope(&fine, x, y - 1).0, slope(&fine, x, y + 1).0)
            };
            if here < a || here < b {
                continue;
            }
            let ratio = (here / slope(&coarse, x, y).0.max(1e-3)).powi(2);
            let variance = (COARSE * COARSE - ratio * FINE * FINE) / (ratio - 1.0).max(1e-3);
            found.push(variance.clamp(0.0, 100.0).sqrt());
        }
    }
    if found.len() < 40 {
        return 0.0;
    }
    found.sort_by(f32::total_cmp);
    found[found.len() * 3 / 5]
}
