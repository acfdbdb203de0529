//! Repeated texture: a piece of the picture that is there twice, as cloning and tiling leave it.
//!
//! Copy-move detection by marks and their displacements (after Christlein and others 2012,
//! sections II and III): corners of the reduced picture whose surroundings are alike vote for
//! the displacement between them, and what wins is compared at full size, where two real things
//! are never equal and a copy is. What the reference has twice itself is no fault.

use std::collections::BTreeMap;

use image::RgbImage;
use packshot_imaging::blur::{Plane, box_blur};
use packshot_imaging::photo::Rect;
use packshot_pipeline::finding::Region;

use super::super::channel::Metric;
use super::Pair;
use super::profile::{colour_at, light};

/// Longest side of the reduced picture.
const SIDE: u32 = 560;
/// Most corners that are compared.
const CORNERS: usize = 1400;
/// No corner is weaker than another one so near, in reduced pixels.
const APART: usize = 3;
/// Least strength of a corner: the smaller eigenvalue of its structure, in squared levels.
const STRENGTH_MIN: f32 = 5.0;
/// A descriptor: so many samples in a row, so far apart.
const SAMPLES: usize = 6;
const SPACING: usize = 2;
/// Largest difference of two slopes of surroundings that are compared at all; of copies they
/// differ by a quarter of it.
const SLOPES_APART: f32 = 0.16;
/// Least correlation of two surroundings that may be copies.
const ALIKE: f32 = 0.93;
/// Least distance of two copies, in reduced pixels: nearer ones are a pattern.
const DISTANCE_MIN: f32 = 28.0;
/// Fewest pairs that agree on a displacement.
const VOTES_MIN: usize = 3;
/// Displacements looked at closely.
const CLOSELY: usize = 10;
/// Half the side of what is compared at full size, in reduced pixels.
const HALF: i64 = 6;
/// Largest difference of two copies as a share of their contrast, and in levels.
const DIFFERENCE_SHARE: f32 = 0.33;
const DIFFERENCE_MAX: f32 = 5.0;
/// Share of neighbouring pixels that differ on a texture; less is a drawing or a letter.
const TEXTURED: f32 = 0.35;
/// Correlation from which the reference is said to have the same twice.
const OWN: f32 = 0.6;

#[derive(Clone, Copy)]
struct Corner {
    x: usize,
    y: usize,
    surroundings: [f32; SAMPLES * SAMPLES],
    /// How much the surroundings rise to the right and downwards, -1 to 1.
    slopes: (f32, f32),
}

/// Measures the side of what is repeated in percent of the picture's.
pub(super) fn measure(pair: &Pair) -> Metric {
    let copies = copies(pair);
    let (w, h) = pair.candidate.dimensions();
    let (area, region) = covered(&copies, w, h);
    let value = 100.0 * (area / (w as f32 * h as f32).max(1.0)).sqrt();
    Metric {
        name: "quality_repeated",
        value: f64::from(value),
        region,
        evidence: "a piece of the picture is there twice, as if it had been cloned".to_owned(),
        cure: None,
    }
}

/// Squares of the candidate that are copies of another place.
fn copies(pair: &Pair) -> Vec<Rect> {
    let factor = pair.candidate.width().max(pair.candidate.height()).div_ceil(SIDE).max(1);
    let small = reduced(pair.candidate, factor);
    let corners = corners(&small);
    let mut found = Vec::new();
    for cluster in displacements(&corners) {
        let Some(shift) = exactly(pair.candidate, &corners, &cluster, factor) else { continue };
        for (a, b) in cluster {
            let (a, b) = (&corners[a], &corners[b]);
            let here = middle(a, factor);
            let there = (here.0 + shift.0, here.1 + shift.1);
            if difference(pair.candidate, here, there, factor).is_some_and(same)
                && !owned(pair, here, there, factor)
            {
                found.extend([a, b].map(|corner| square(corner, factor)));
            }
        }
    }
    found
}

/// The lightness averaged over squares of `factor` pixels.
fn reduced(rgb: &RgbImage, factor: u32) -> Plane {
    let (w, h) = (rgb.width() / factor, rgb.height() / factor);
    let (factor, stride) = (factor as usize, 3 * rgb.width() as usize);
    let raw = rgb.as_raw();
    let mut data = vec![0f32; w as usize * h as usize];
    let unit = 1.0 / (256 * factor * factor) as f32;
    let mut sums = vec![0u32; w as usize];
    for (y, row) in data.chunks_exact_mut((w as usize).max(1)).enumerate() {
        sums.fill(0);
        for line in 0..factor {
            let from = (y * factor + line) * stride;
            for (sum, pixels) in sums.iter_mut().zip(raw[from..].chunks_exact(3 * factor)) {
                for p in pixels.chunks_exact(3) {
                    *sum += 77 * u32::from(p[0]) + 150 * u32::from(p[1]) + 29 * u32::from(p[2]);
                }
            }
        }
        for (value, sum) in row.iter_mut().zip(&sums) {
            *value = *sum as f32 * unit;
        }
    }
    Plane { width: w, height: h, data }
}

/// The strongest corner of every square, strongest first.
fn corners(small: &Plane) -> Vec<Corner> {
    let (w, h) = (small.width as usize, small.height as usize);
    let reach = SAMPLES * SPACING / 2 + 1;
    if w < 4 * reach || h < 4 * reach {
        return Vec::new();
    }
    let smooth = box_blur(small, 1);
    let mut structure = [(); 3].map(|()| Plane::new(small.width, small.height, 0.0));
    for y in 1..h - 1 {
        for x in 1..w - 1 {
            let i = y * w + x;
            let gx = 0.5 * (small.data[i + 1] - small.data[i - 1]);
            let gy = 0.5 * (small.data[i + w] - small.data[i - w]);
            structure[0].data[i] = gx * gx;
            structure[1].data[i] = gx * gy;
            structure[2].data[i] = gy * gy;
        }
    }
    let [xx, xy, yy] = structure.map(|plane| box_blur(&plane, 3));
    let strength: Vec<f32> = (0..w * h)
        .map(|i| {
            let (a, b, c) = (xx.data[i], xy.data[i], yy.data[i]);
            0.5 * (a + c) - (0.25 * (a - c) * (a - c) + b * b).sqrt()
        })
        .collect();
    let mut found: Vec<(f32, usize, usize)> = Vec::new();
    for y in reach..h - reach {
        for x in reach..w - reach {
            let here = strength[y * w + x];
            // wherever a copy lies on the grid, it has the same corners
            let strongest = here >= STRENGTH_MIN
                && (y - APART..=y + APART).all(|v| {
                    strength[v * w + x - APART..=v * w + x + APART].iter().all(|other| *other <= here)
                });
            if strongest {
                found.push((here, x, y));
            }
        }
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    found.truncate(CORNERS);
    let mut corners: Vec<Corner> = found.into_iter().map(|(_, x, y)| corner(&smooth, x, y)).collect();
    corners.sort_by(|a, b| a.slopes.0.total_cmp(&b.slopes.0));
    corners
}

fn corner(smooth: &Plane, x: usize, y: usize) -> Corner {
    let surroundings = surroundings(smooth, x, y);
    let middle = (SAMPLES as f32 - 1.0) / 2.0;
    // a ramp of unit length over the square
    let unit = (0..SAMPLES).map(|i| (i as f32 - middle).powi(2)).sum::<f32>() * SAMPLES as f32;
    let slope = |place: fn(usize) -> usize| {
        surroundings.iter().enumerate().map(|(i, v)| v * (place(i) as f32 - middle)).sum::<f32>()
            / unit.sqrt()
    };
    Corner { x, y, surroundings, slopes: (slope(|i| i % SAMPLES), slope(|i| i / SAMPLES)) }
}

/// Samples around a place, without their mean, of unit length.
fn surroundings(smooth: &Plane, x: usize, y: usize) -> [f32; SAMPLES * SAMPLES] {
    let (w, half) = (smooth.width as usize, SAMPLES * SPACING / 2);
    let mut samples = std::array::from_fn(|i| {
        let (u, v) = (x + (i % SAMPLES) * SPACING + 1 - half, y + (i / SAMPLES) * SPACING + 1 - half);
        smooth.data[v * w + u]
    });
    normalise(&mut samples);
    samples
}

fn normalise(samples: &mut [f32]) {
    let mean = samples.iter().sum::<f32>() / samples.len() as f32;
    let length = samples.iter().map(|v| (v - mean).powi(2)).sum::<f32>().sqrt().max(1e-3);
    for v in samples {
        *v = (*v - mean) / length;
    }
}

/// Pairs of corners that agree on a displacement, likest first; the most numerous displacements.
fn displacements(corners: &[Corner]) -> Vec<Vec<(usize, usize)>> {
    const BIN: f32 = 3.0;
    let mut votes: BTreeMap<(i32, i32), Vec<(f32, usize, usize)>> = BTreeMap::new();
    for (i, a) in corners.iter().enumerate() {
        let near = corners[i + 1..].iter().take_while(|b| b.slopes.0 - a.slopes.0 <= SLOPES_APART);
        for (j, b) in (i + 1..).zip(near) {
            if (a.slopes.1 - b.slopes.1).abs() > SLOPES_APART {
                continue;
            }
            let like: f32 = a.surroundings.iter().zip(&b.surroundings).map(|(u, v)| u * v).sum();
            let (dx, dy) = (b.x as f32 - a.x as f32, b.y as f32 - a.y as f32);
            if like < ALIKE || dx.hypot(dy) < DISTANCE_MIN {
                continue;
            }
            let (dx, dy, pair) = if dx < 0.0 { (-dx, -dy, (like, j, i)) } else { (dx, dy, (like, i, j)) };
            votes.entry(((dx / BIN).round() as i32, (dy / BIN).round() as i32)).or_default().push(pair);
        }
    }
    let mut clusters: Vec<Vec<(f32, usize, usize)>> = votes
        .iter()
        .map(|(&(u, v), own)| {
            // a displacement may fall between bins
            let beside = [(1, 0), (0, 1), (1, 1)].map(|(du, dv)| votes.get(&(u + du, v + dv)));
            own.iter().chain(beside.into_iter().flatten().flatten()).copied().collect()
        })
        .filter(|pairs: &Vec<_>| pairs.len() >= VOTES_MIN)
        .collect();
    clusters.sort_by_key(|pairs| std::cmp::Reverse(pairs.len()));
    clusters.truncate(CLOSELY);
    for pairs in &mut clusters {
        pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
    }
    clusters.into_iter().map(|pairs| pairs.into_iter().map(|(_, a, b)| (a, b)).collect()).collect()
}

fn middle(corner: &Corner, factor: u32) -> (i64, i64) {
    let full = |v: usize| (v as i64) * i64::from(factor) + i64::from(factor) / 2;
    (full(corner.x), full(corner.y))
}

fn square(corner: &Corner, factor: u32) -> Rect {
    let full = |v: usize| (v as i64 - HALF).max(0) as u32 * factor;
    Rect { x: full(corner.x), y: full(corner.y), w: 2 * HALF as u32 * factor, h: 2 * HALF as u32 * factor }
}

/// The displacement to the pixel: the one that most of the first pairs are equal under.
fn exactly(
    rgb: &RgbImage,
    corners: &[Corner],
    cluster: &[(usize, usize)],
    factor: u32,
) -> Option<(i64, i64)> {
    let reach = i64::from(factor) + 1;
    let mut best: Option<(f32, (i64, i64))> = None;
    for (a, b) in cluster.iter().take(3) {
        let (here, there) = (middle(&corners[*a], factor), middle(&corners[*b], factor));
        for dy in -reach..=reach {
            for dx in -reach..=reach {
                let shifted = (there.0 + dx, there.1 + dy);
                let Some((residual, contrast, _)) = difference(rgb, here, shifted, factor) else { continue };
                let share = residual / contrast.max(1.0);
                if best.is_none_or(|(least, _)| share < least) {
                    best = Some((share, (shifted.0 - here.0, shifted.1 - here.1)));
                }
            }
        }
    }
    best.filter(|(share, _)| *share <= DIFFERENCE_SHARE).map(|(_, shift)| shift)
}

/// Difference and contrast of two places at full size, in levels, and the share of neighbours
/// that differ.
fn difference(rgb: &RgbImage, a: (i64, i64), b: (i64, i64), factor: u32) -> Option<(f32, f32, f32)> {
    let reach = HALF * i64::from(factor);
    let (w, h) = (i64::from(rgb.width()), i64::from(rgb.height()));
    let fits = |(x, y): (i64, i64)| x >= reach && y >= reach && x + reach + 1 < w && y + reach + 1 < h;
    if !fits(a) || !fits(b) {
        return None;
    }
    let raw = rgb.as_raw();
    let green = |x: i64, y: i64| f32::from(raw[(3 * (y * w + x) + 1) as usize]);
    let step = usize::try_from(factor.div_ceil(2)).unwrap_or(1);
    let (mut sum, mut square, mut shift, mut apart, mut varied, mut n) = (0f32, 0f32, 0f32, 0f32, 0f32, 0f32);
    for dy in (-reach..reach).step_by(step) {
        for dx in (-reach..reach).step_by(step) {
            let (u, v) = (green(a.0 + dx, a.1 + dy), green(b.0 + dx, b.1 + dy));
            sum += u;
            square += u * u;
            shift += v - u;
            apart += (v - u) * (v - u);
            varied += f32::from(u8::from((u - green(a.0 + dx + 1, a.1 + dy)).abs() >= 2.0));
            n += 1.0;
        }
    }
    let contrast = (square / n - (sum / n).powi(2)).max(0.0).sqrt();
    let residual = (apart / n - (shift / n).powi(2)).max(0.0).sqrt();
    Some((residual, contrast, varied / n))
}

fn same((residual, contrast, varied): (f32, f32, f32)) -> bool {
    residual <= DIFFERENCE_MAX && residual <= DIFFERENCE_SHARE * contrast && varied >= TEXTURED
}

/// Whether the reference has the same at both places.
fn owned(pair: &Pair, a: (i64, i64), b: (i64, i64), factor: u32) -> bool {
    let back = pair.similarity.inverse();
    let patch = |(x, y): (i64, i64), dx: f32, dy: f32| -> Option<Vec<f32>> {
        const N: i64 = 4;
        let spacing = HALF as f32 * factor as f32 / N as f32;
        let mut samples = Vec::with_capacity(81);
        for v in -N..=N {
            for u in -N..=N {
                let (x, y) = (x as f32 + spacing * u as f32 + dx, y as f32 + spacing * v as f32 + dy);
                let (rx, ry) = back.apply(x + 0.5, y + 0.5);
                samples.push(light(colour_at(pair.photo, rx, ry)?));
            }
        }
        normalise(&mut samples);
        Some(samples)
    };
    let Some(first) = patch(a, 0.0, 0.0) else { return false };
    let wide = factor as f32;
    let shifts = [-2.0, -1.0, 0.0, 1.0, 2.0].map(|v: f32| v * wide);
    shifts.iter().any(|dy| {
        shifts.iter().any(|dx| {
            patch(b, *dx, *dy)
                .is_some_and(|second| first.iter().zip(&second).map(|(u, v)| u * v).sum::<f32>() >= OWN)
        })
    })
}

/// The area of all squares together, counted on a coarse grid, and their bounds.
fn covered(squares: &[Rect], w: u32, h: u32) -> (f32, Option<Region>) {
    if squares.is_empty() {
        return (0.0, None);
    }
    let step = (w.max(h) / 200).max(1);
    let columns = w.div_ceil(step) as usize;
    let mut grid = vec![false; columns * h.div_ceil(step) as usize];
    for r in squares {
        for y in (r.y..(r.y + r.h).min(h)).step_by(step as usize) {
            for x in (r.x..(r.x + r.w).min(w)).step_by(step as usize) {
                grid[(y / step) as usize * columns + (x / step) as usize] = true;
            }
        }
    }
    let cells = grid.iter().filter(|set| **set).count();
    let x = squares.iter().map(|r| r.x).min().unwrap_or(0);
    let y = squares.iter().map(|r| r.y).min().unwrap_or(0);
    let right = squares.iter().map(|r| (r.x + r.w).min(w)).max().unwrap_or(0);
    let bottom = squares.iter().map(|r| (r.y + r.h).min(h)).max().unwrap_or(0);
    let region = (x < right && y < bottom).then(|| Region { x, y, w: right - x, h: bottom - y });
    (cells as f32 * (step * step) as f32, region)
}
