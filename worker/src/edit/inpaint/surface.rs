//! Filling from a smooth surface: a membrane stretched over the hole from its rim.
//!
//! Right for sweeps, walls and table tops, where anything with a shape of its own would show.
//! The membrane solves Laplace's equation on a pyramid of grids (cascadic multigrid, Bornemann
//! and Deuflhard 1996); grain is laid over it by [`super::grain`].

use packshot_imaging::blur::{Plane, gaussian};

use super::window::Window;

/// Rounds of relaxation per level of the pyramid.
const ROUNDS: usize = 24;
/// Standard deviation in px of the smoothing that keeps noise of the rim out of the membrane.
const RIM_SIGMA: f32 = 2.5;

/// Fills the hole of `window` in place with smooth values, without grain.
pub(super) fn fill(window: &mut Window) {
    let smooth = smoothed(window, RIM_SIGMA);
    for (plane, smooth) in window.planes.iter_mut().zip(smooth) {
        let stretched = membrane(&smooth, &window.usable, window.w);
        for (at, value) in stretched.into_iter().enumerate() {
            if window.hole[at] {
                plane[at] = value;
            }
        }
    }
}

/// The planes blurred from usable pixels only; where none is near, the value itself.
pub(super) fn smoothed(window: &Window, sigma: f32) -> [Vec<f32>; 3] {
    let (w, h) = (window.w as u32, window.h as u32);
    let weights: Vec<f32> = window.usable.iter().map(|&usable| f32::from(u8::from(usable))).collect();
    let spread = gaussian(&Plane { width: w, height: h, data: weights.clone() }, sigma);
    std::array::from_fn(|channel| {
        let plane = &window.planes[channel];
        let data = plane.iter().zip(&weights).map(|(value, weight)| value * weight).collect();
        let sums = gaussian(&Plane { width: w, height: h, data }, sigma);
        let of =
            |((sum, weight), value): ((&f32, &f32), &f32)| if *weight > 1e-3 { sum / weight } else { *value };
        sums.data.iter().zip(&spread.data).zip(plane).map(of).collect()
    })
}

/// `values` where `known`, and elsewhere the membrane stretched between them; the mean is 0
/// everywhere when nothing is known.
pub(in crate::edit) fn membrane(values: &[f32], known: &[bool], width: usize) -> Vec<f32> {
    let height = values.len() / width.max(1);
    let mut field: Vec<f32> =
        values.iter().zip(known).map(|(v, known)| if *known { *v } else { 0.0 }).collect();
    if known.iter().all(|known| *known) || width * height == 0 {
        return field;
    }
    if width > 2 || height > 2 {
        let (coarse, coarse_known, cw) = halved(&field, known, width, height);
        let coarse = membrane(&coarse, &coarse_known, cw);
        let ch = coarse.len() / cw;
        for y in 0..height {
            for x in 0..width {
                if !known[y * width + x] {
                    field[y * width + x] = between(&coarse, cw, ch, x, y);
                }
            }
        }
    } else {
        let (sum, count) = field
            .iter()
            .zip(known)
            .filter(|(_, known)| **known)
            .fold((0.0, 0.0), |(s, n), (v, _)| (s + v, n + 1.0));
        let mean = if count > 0.0 { sum / count } else { 0.0 };
        for (value, _) in field.iter_mut().zip(known).filter(|(_, known)| !**known) {
            *value = mean;
        }
        return field;
    }
    relax(&mut field, known, width, height);
    field
}

/// Averages of the known pixels of each 2 × 2 block, and whether there were any.
fn halved(values: &[f32], known: &[bool], width: usize, height: usize) -> (Vec<f32>, Vec<bool>, usize) {
    let (cw, ch) = (width.div_ceil(2), height.div_ceil(2));
    let mut sums = vec![0.0; cw * ch];
    let mut counts = vec![0.0_f32; cw * ch];
    for (at, _) in known.iter().enumerate().filter(|(_, known)| **known) {
        let to = (at / width / 2) * cw + at % width / 2;
        sums[to] += values[at];
        counts[to] += 1.0;
    }
    for (sum, count) in sums.iter_mut().zip(&counts) {
        *sum /= count.max(1.0);
    }
    (sums, counts.into_iter().map(|count| count > 0.0).collect(), cw)
}

fn between(coarse: &[f32], cw: usize, ch: usize, x: usize, y: usize) -> f32 {
    let fx = ((x as f32 - 0.5) / 2.0).max(0.0);
    let fy = ((y as f32 - 0.5) / 2.0).max(0.0);
    let (x0, y0) = ((fx as usize).min(cw - 1), (fy as usize).min(ch - 1));
    let (x1, y1) = ((x0 + 1).min(cw - 1), (y0 + 1).min(ch - 1));
    let (tx, ty) = (fx - x0 as f32, fy - y0 as f32);
    let top = coarse[y0 * cw + x0] * (1.0 - tx) + coarse[y0 * cw + x1] * tx;
    let bottom = coarse[y1 * cw + x0] * (1.0 - tx) + coarse[y1 * cw + x1] * tx;
    top * (1.0 - ty) + bottom * ty
}

/// Gauss-Seidel towards the mean of the four neighbours; the frame's edge mirrors.
fn relax(field: &mut [f32], known: &[bool], width: usize, height: usize) {
    let unknown: Vec<usize> = (0..field.len()).filter(|&at| !known[at]).collect();
    for round in 0..ROUNDS {
        let mut step = |at: usize| {
            let (x, y) = (at % width, at / width);
            let left = if x > 0 { at - 1 } else { at };
            let right = if x + 1 < width { at + 1 } else { at };
            let up = if y > 0 { at - width } else { at };
            let down = if y + 1 < height { at + width } else { at };
            field[at] = 0.25 * (field[left] + field[right] + field[up] + field[down]);
        };
        if round % 2 == 0 {
            for at in &unknown {
                step(*at);
            }
        } else {
            for at in unknown.iter().rev() {
                step(*at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use super::*;

    #[test]
    fn a_ramp_is_continued_through_a_hole() {
        let (w, h) = (64, 48);
        let ramp: Vec<f32> = (0..w * h).map(|at| (at % w) as f32 * 2.0 + (at / w) as f32).collect();
        let known: Vec<bool> =
            (0..w * h).map(|at| !(20..44).contains(&(at % w)) || !(12..36).contains(&(at / w))).collect();
        let filled = membrane(&ramp, &known, w);
        for (a, b) in ramp.iter().zip(filled) {
            assert!((a - b).abs() < 1.5, "{a} {b}");
        }
    }

    #[test]
    fn nothing_known_and_single_pixels_are_survived() {
        assert_eq!(membrane(&[5.0], &[false], 1), vec![0.0]);
        assert_eq!(membrane(&[5.0, 7.0], &[true, false], 2), vec![5.0, 5.0]);
        assert_eq!(membrane(&[], &[], 0), Vec::<f32>::new());
    }
}
