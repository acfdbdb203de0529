//! The slow misalignment that the affine map leaves, taken out: a smooth field of small
//! shifts after Lucas and Kanade (1981). What is smoothed is the evidence, not the shifts, so
//! that a stripe says something only across itself, a blank place says nothing, and a single
//! moved mark stays moved.

use packshot_imaging::blur::{self, Plane};

use super::frame::Frame;

/// Side of a cell that evidence is gathered in, in frame pixels.
const CELL: usize = 8;
/// Largest shift, in frame pixels.
const REACH: f32 = 4.0;
/// How far evidence is carried, by the product's size.
const SMOOTH: f32 = 0.22;
/// Difference of lightness at which a pixel's word counts half: it belongs to something new.
const STRANGE: f32 = 10.0;
const ROUNDS: usize = 3;

/// The candidate's lightness moved upon the reference's. `beyond` is what the candidate shows
/// where the core ends.
pub(super) fn aligned(frame: &Frame, reference: &[f32], candidate: &[f32], beyond: &[f32]) -> Vec<f32> {
    let (w, h) = (frame.width as usize, frame.height as usize);
    let (columns, rows) = (w.div_ceil(CELL), h.div_ceil(CELL));
    let whole: Vec<f32> = (0..w * h).map(|i| if frame.core[i] { candidate[i] } else { beyond[i] }).collect();
    let source = frame.plane(whole);
    let mut field = vec![(0f32, 0f32); columns * rows];
    let mut moved = source.data.clone();
    for _ in 0..ROUNDS {
        let more = step(frame, reference, &moved, columns, rows);
        for (f, m) in field.iter_mut().zip(more) {
            f.0 = (f.0 + m.0).clamp(-REACH, REACH);
            f.1 = (f.1 + m.1).clamp(-REACH, REACH);
        }
        moved = drawn(&source, &field, columns, rows);
    }
    moved.iter().zip(&frame.core).map(|(v, k)| if *k { *v } else { 0.0 }).collect()
}

/// One round: normal equations per cell, carried to the neighbours, solved.
fn step(frame: &Frame, reference: &[f32], moved: &[f32], columns: usize, rows: usize) -> Vec<(f32, f32)> {
    let (w, h) = (frame.width as usize, frame.height as usize);
    // a change of light is slow: only what is left without it moves anything
    let sigma = (0.05 * frame.size).max(4.0);
    let difference: Vec<f32> =
        (0..w * h).map(|i| if frame.core[i] { reference[i] - moved[i] } else { 0.0 }).collect();
    let slow = frame.inside_blur(&difference, sigma, &frame.core_blur(sigma));
    let mut sums = [(); 5].map(|()| vec![0f32; columns * rows]);
    for y in 1..h.saturating_sub(1) {
        for x in 1..w.saturating_sub(1) {
            let i = y * w + x;
            let inside = [i, i - 1, i + 1, i - w, i + w].iter().all(|&j| frame.core[j]);
            if !inside {
                continue;
            }
            let mean = |j: usize| 0.5 * (reference[j] + moved[j]);
            let (gx, gy) = (0.5 * (mean(i + 1) - mean(i - 1)), 0.5 * (mean(i + w) - mean(i - w)));
            let r = difference[i] - slow[i];
            let weight = 1.0 / (1.0 + (r / STRANGE).powi(2));
            let cell = y / CELL * columns + x / CELL;
            let parts = [gx * gx, gx * gy, gy * gy, gx * r, gy * r];
            for (sum, part) in sums.iter_mut().zip(parts) {
                sum[cell] += weight * part;
            }
        }
    }
    let sigma = (SMOOTH * frame.size / CELL as f32).max(1.0);
    let [xx, xy, yy, xr, yr] = sums
        .map(|data| blur::gaussian(&Plane { width: columns as u32, height: rows as u32, data }, sigma).data);
    let mean = xx.iter().zip(&yy).map(|(a, b)| a + b).sum::<f32>() / (columns * rows) as f32;
    let ridge = 0.04 * mean + 1e-3;
    (0..columns * rows)
        .map(|c| {
            let (a, b, d) = (xx[c] + ridge, xy[c], yy[c] + ridge);
            let det = (a * d - b * b).max(1e-9);
            ((d * xr[c] - b * yr[c]) / det, (a * yr[c] - b * xr[c]) / det)
        })
        .collect()
}

/// The plane read at the shifted places, the field read bilinearly between cell middles.
fn drawn(source: &Plane, field: &[(f32, f32)], columns: usize, rows: usize) -> Vec<f32> {
    let (w, h) = (source.width as usize, source.height as usize);
    let mut out = Vec::with_capacity(w * h);
    for y in 0..h {
        let v = ((y as f32 + 0.5) / CELL as f32 - 0.5).clamp(0.0, (rows - 1) as f32);
        let (r0, fy) = (v as usize, v.fract());
        let r1 = (r0 + 1).min(rows - 1);
        for x in 0..w {
            let u = ((x as f32 + 0.5) / CELL as f32 - 0.5).clamp(0.0, (columns - 1) as f32);
            let (c0, fx) = (u as usize, u.fract());
            let c1 = (c0 + 1).min(columns - 1);
            let at = |get: fn(&(f32, f32)) -> f32| {
                (get(&field[r0 * columns + c0]) * (1.0 - fx) + get(&field[r0 * columns + c1]) * fx)
                    * (1.0 - fy)
                    + (get(&field[r1 * columns + c0]) * (1.0 - fx) + get(&field[r1 * columns + c1]) * fx) * fy
            };
            out.push(source.between(x as f32 + at(|f| f.0), y as f32 + at(|f| f.1)));
        }
    }
    out
}
