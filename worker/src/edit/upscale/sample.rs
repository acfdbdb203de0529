//! Resampling between a small grid and a large one, both ways, with the correction that ties
//! them together.

use std::ops::Range;

/// Values on a grid, row-major.
#[derive(Clone, Debug)]
pub(super) struct Grid {
    pub(super) w: usize,
    pub(super) h: usize,
    pub(super) data: Vec<f32>,
}

/// One axis of the enlargement: which inputs make an output and the other way round. Indices
/// are relative to the parts of both axes that are in memory.
pub(super) struct Axis {
    /// Per output: first input and the weights of Lanczos interpolation.
    up: Vec<Taps>,
    /// Per input: first output and the weights of the average over its area.
    down: Vec<Taps>,
}

struct Taps {
    first: usize,
    weights: Vec<f32>,
}

impl Axis {
    /// An axis of `from` inputs and `to` outputs, of which the given parts are in memory.
    pub(super) fn new(from: usize, to: usize, inputs: Range<usize>, outputs: Range<usize>) -> Axis {
        let scale = to as f64 / from as f64;
        let up = outputs
            .clone()
            .map(|out| {
                let centre = (out as f64 + 0.5) / scale - 0.5;
                let first = centre.floor() as i64 - 2;
                let taps = (first..first + 6).map(|at| (at, lanczos(centre - at as f64)));
                gathered(taps, &inputs)
            })
            .collect();
        let down = inputs
            .clone()
            .map(|at| {
                let (left, right) = (at as f64 * scale, (at + 1) as f64 * scale);
                let taps = (left.floor() as i64..right.ceil() as i64).map(|out| {
                    let overlap = (right.min(out as f64 + 1.0) - left.max(out as f64)).max(0.0);
                    (out, overlap)
                });
                gathered(taps, &outputs)
            })
            .collect();
        Axis { up, down }
    }
}

/// Weights summing to 1, with places outside `kept` given to its edge.
fn gathered(taps: impl Iterator<Item = (i64, f64)>, kept: &Range<usize>) -> Taps {
    let (low, high) = (kept.start as i64, kept.end as i64 - 1);
    let taps: Vec<(usize, f64)> =
        taps.map(|(at, weight)| ((at.clamp(low, high) - low) as usize, weight)).collect();
    let first = taps.iter().map(|tap| tap.0).min().unwrap_or(0);
    let last = taps.iter().map(|tap| tap.0).max().unwrap_or(0);
    let mut weights = vec![0.0; last - first + 1];
    let sum: f64 = taps.iter().map(|tap| tap.1).sum();
    for (at, weight) in taps {
        weights[at - first] += (weight / sum) as f32;
    }
    Taps { first, weights }
}

fn lanczos(x: f64) -> f64 {
    if x.abs() < 1e-9 {
        return 1.0;
    }
    if x.abs() >= 3.0 {
        return 0.0;
    }
    let px = std::f64::consts::PI * x;
    3.0 * px.sin() * (px / 3.0).sin() / (px * px)
}

fn applied(input: &Grid, across: &[Taps], down: &[Taps]) -> Grid {
    let tall = vertical(input, down);
    transposed(&vertical(&transposed(&tall), across))
}

/// Resamples the rows; whole rows at a time, so it runs on vectors.
fn vertical(input: &Grid, down: &[Taps]) -> Grid {
    let mut data = vec![0.0; input.w * down.len()];
    for (out, taps) in data.chunks_exact_mut(input.w).zip(down) {
        for (k, weight) in taps.weights.iter().enumerate().filter(|(_, weight)| **weight != 0.0) {
            let row = &input.data[(taps.first + k) * input.w..][..input.w];
            for (value, from) in out.iter_mut().zip(row) {
                *value += from * weight;
            }
        }
    }
    Grid { w: input.w, h: down.len(), data }
}

fn transposed(input: &Grid) -> Grid {
    let mut data = vec![0.0; input.data.len()];
    for (y, row) in input.data.chunks_exact(input.w).enumerate() {
        for (x, value) in row.iter().enumerate() {
            data[x * input.h + y] = *value;
        }
    }
    Grid { w: input.h, h: input.w, data }
}

fn grown(input: &Grid, across: &Axis, down: &Axis) -> Grid {
    applied(input, &across.up, &down.up)
}

/// `large` averaged down.
pub(super) fn shrunk(large: &Grid, across: &Axis, down: &Axis) -> Grid {
    applied(large, &across.down, &down.down)
}

/// `input` enlarged: interpolated, corrected, smoothed along edges, corrected again.
pub(super) fn back_projected(input: &Grid, across: &Axis, down: &Axis, rounds: usize) -> Grid {
    let mut large = grown(input, across, down);
    correct(&mut large, input, across, down, rounds);
    if large.w > input.w || large.h > input.h {
        large = along_edges(&large);
        correct(&mut large, input, across, down, rounds);
    }
    large
}

fn correct(large: &mut Grid, input: &Grid, across: &Axis, down: &Axis, rounds: usize) {
    for _ in 0..rounds {
        let mut missing = shrunk(large, across, down);
        for (value, wanted) in missing.data.iter_mut().zip(&input.data) {
            *value = wanted - *value;
        }
        let back = grown(&missing, across, down);
        for (value, more) in large.data.iter_mut().zip(back.data) {
            *value = (*value + more).clamp(0.0, 255.0);
        }
    }
}

/// Smooths along the direction in which the structure tensor is coherent: stair-steps go,
/// corners and texture stay.
fn along_edges(grid: &Grid) -> Grid {
    let (w, h) = (grid.w, grid.h);
    let at = |x: usize, y: usize| grid.data[y * w + x];
    let mut tensor = vec![[0.0_f32; 3]; w * h];
    for y in 0..h {
        let (up, down) = (y.saturating_sub(1), (y + 1).min(h - 1));
        for x in 0..w {
            let (left, right) = (x.saturating_sub(1), (x + 1).min(w - 1));
            let (gx, gy) = (at(right, y) - at(left, y), at(x, down) - at(x, up));
            tensor[y * w + x] = [gx * gx, gy * gy, gx * gy];
        }
    }
    let tensor = averaged(&averaged(&tensor, w, h), w, h);
    let mut out = grid.data.clone();
    for y in 0..h {
        for x in 0..w {
            let [xx, yy, xy] = tensor[y * w + x];
            let spread = ((xx - yy).powi(2) + 4.0 * xy * xy).sqrt();
            let total = xx + yy;
            // Below about two levels of slope there is only noise to follow.
            let coherence = spread / (total + 32.0);
            if coherence < 0.2 {
                continue;
            }
            let angle = 0.5 * (2.0 * xy).atan2(xx - yy);
            // The tangent is across the gradient.
            let (dx, dy) = (-angle.sin(), angle.cos());
            let ahead = bilinear(grid, x as f32 + dx, y as f32 + dy);
            let behind = bilinear(grid, x as f32 - dx, y as f32 - dy);
            let smooth = 0.5 * at(x, y) + 0.25 * (ahead + behind);
            out[y * w + x] += (smooth - at(x, y)) * coherence.min(1.0);
        }
    }
    Grid { w, h, data: out }
}

fn averaged(tensor: &[[f32; 3]], w: usize, h: usize) -> Vec<[f32; 3]> {
    let mut across = vec![[0.0; 3]; w * h];
    for y in 0..h {
        for x in 0..w {
            let (left, right) = (y * w + x.saturating_sub(1), y * w + (x + 1).min(w - 1));
            let here = tensor[y * w + x];
            across[y * w + x] =
                std::array::from_fn(|c| 0.25 * tensor[left][c] + 0.5 * here[c] + 0.25 * tensor[right][c]);
        }
    }
    let mut out = vec![[0.0; 3]; w * h];
    for y in 0..h {
        let (up, down) = (y.saturating_sub(1) * w, (y + 1).min(h - 1) * w);
        for x in 0..w {
            let here = across[y * w + x];
            out[y * w + x] = std::array::from_fn(|c| {
                0.25 * across[up + x][c] + 0.5 * here[c] + 0.25 * across[down + x][c]
            });
        }
    }
    out
}

fn bilinear(grid: &Grid, x: f32, y: f32) -> f32 {
    let x = x.clamp(0.0, (grid.w - 1) as f32);
    let y = y.clamp(0.0, (grid.h - 1) as f32);
    let (x0, y0) = (x as usize, y as usize);
    let (x1, y1) = ((x0 + 1).min(grid.w - 1), (y0 + 1).min(grid.h - 1));
    let (tx, ty) = (x - x0 as f32, y - y0 as f32);
    let row = |y: usize| grid.data[y * grid.w + x0] * (1.0 - tx) + grid.data[y * grid.w + x1] * tx;
    row(y0) * (1.0 - ty) + row(y1) * ty
}
