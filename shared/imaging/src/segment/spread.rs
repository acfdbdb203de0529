//! Carries known values outwards, ring by ring.

use image::{GrayImage, RgbImage};

/// How far in px the foreground's colours go beyond its coverage.
const MARGIN: u32 = 12;

/// Gives every pixel of `targets` within `rings` px of a known one the mean of its already
/// known 8-neighbours, ring by ring. `known` (row-major, 0 = unknown) is updated; values of
/// pixels that are neither known nor a target are never touched.
pub(crate) fn spread<const N: usize>(
    values: &mut [[u8; N]],
    known: &mut [u8],
    width: usize,
    mut targets: Vec<usize>,
    rings: u32,
) {
    if width == 0 || known.is_empty() {
        return;
    }
    let height = known.len() / width;
    targets.retain(|&at| known[at] == 0);
    let mut found = Vec::new();
    for _ in 0..rings {
        found.clear();
        targets.retain(|&at| match mean(values, known, at, width, height) {
            Some(value) => {
                found.push((at, value));
                false
            }
            None => true,
        });
        if found.is_empty() {
            break;
        }
        for &(at, value) in &found {
            values[at] = value;
            known[at] = 255;
        }
    }
}

/// Continues colours from the pixels covered at least `known` outwards, and paints the rest
/// black.
pub(crate) fn extend(mut rgb: RgbImage, alpha: &GrayImage, known: u8) -> RgbImage {
    let width = alpha.width() as usize;
    let mut state: Vec<u8> = alpha.as_raw().iter().map(|&a| if a >= known { 255 } else { 0 }).collect();
    let targets = near(&state, width, MARGIN as usize);
    let values = rgb.as_mut().as_chunks_mut::<3>().0;
    spread(values, &mut state, width, targets, MARGIN);
    for (pixel, known) in values.iter_mut().zip(state) {
        if known == 0 {
            *pixel = [0; 3];
        }
    }
    rgb
}

/// Pixels that are 0 themselves but have others within a square of `radius` px.
fn near(state: &[u8], width: usize, radius: usize) -> Vec<usize> {
    let Some(height) = state.len().checked_div(width) else { return Vec::new() };
    let mut rows = vec![0_u8; state.len()];
    for (row, line) in rows.chunks_exact_mut(width).zip(state.chunks_exact(width)) {
        let mut until = 0;
        for x in 0..width + radius {
            if x < width && line[x] > 0 {
                until = x + 2 * radius + 1;
            }
            if x >= radius && x < until {
                row[x - radius] = 1;
            }
        }
    }
    let mut until = vec![0_usize; width];
    let mut found = Vec::new();
    for y in 0..height + radius {
        for x in 0..width {
            if y < height && rows[y * width + x] > 0 {
                until[x] = y + 2 * radius + 1;
            }
            if y >= radius && y < until[x] && state[(y - radius) * width + x] == 0 {
                found.push((y - radius) * width + x);
            }
        }
    }
    found
}

fn mean<const N: usize>(
    values: &[[u8; N]],
    known: &[u8],
    at: usize,
    width: usize,
    height: usize,
) -> Option<[u8; N]> {
    let (mut sum, mut count) = ([0_u32; N], 0_u32);
    around(at, width, height, |near| {
        if known[near] > 0 {
            count += 1;
            for (sum, &value) in sum.iter_mut().zip(&values[near]) {
                *sum += u32::from(value);
            }
        }
    });
    (count > 0).then(|| sum.map(|sum| ((sum + count / 2) / count) as u8))
}

/// Visits the 8-neighbours of a pixel that lie inside the frame.
pub(crate) fn around(at: usize, width: usize, height: usize, mut visit: impl FnMut(usize)) {
    let (x, y) = (at % width, at / width);
    for ny in y.saturating_sub(1)..=(y + 1).min(height - 1) {
        for nx in x.saturating_sub(1)..=(x + 1).min(width - 1) {
            let near = ny * width + nx;
            if near != at {
                visit(near);
            }
        }
    }
}
