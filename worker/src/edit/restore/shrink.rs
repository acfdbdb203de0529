//! Shrinkage of overlapping 8 × 8 cosine transforms: white noise and the edges of JPEG blocks
//! spread over all coefficients, structure does not.
//!
//! Two passes: hard thresholds (Yu and Sapiro 2011), then a Wiener filter whose signal is the
//! first pass (Ghael, Sayeed, Baraniuk 1997). Overlapping shifts also undo JPEG blocks
//! (Nosratinia 2001).

use packshot_imaging::blur::Plane;
use rayon::prelude::*;

const SIDE: usize = 8;
/// Distance of neighbouring blocks in px.
const STEP: usize = 3;
/// Thresholds, in standard deviations.
const HARD: f32 = 2.7;
/// Output rows per strip.
const STRIP: usize = 96;

/// `plane` without noise of standard deviation `sigma`.
pub(super) fn shrunk(plane: &Plane, sigma: f32) -> Plane {
    if (plane.width as usize) < SIDE || (plane.height as usize) < SIDE {
        return plane.clone();
    }
    let basis = basis();
    let pilot = pass(
        plane,
        &basis,
        |block, _| {
            let mut kept = 0.0;
            for value in block.iter_mut().skip(1) {
                if value.abs() < HARD * sigma {
                    *value = 0.0;
                } else {
                    kept += 1.0;
                }
            }
            1.0 / (1.0 + kept)
        },
        plane,
    );
    pass(
        plane,
        &basis,
        |block, pilot| {
            let mut kept = 0.0;
            for (value, pilot) in block.iter_mut().zip(pilot).skip(1) {
                let gain = pilot * pilot / (pilot * pilot + sigma * sigma);
                *value *= gain;
                kept += gain * gain;
            }
            1.0 / (1.0 + kept)
        },
        &pilot,
    )
}

type Block = [f32; SIDE * SIDE];

/// Runs `work` on the transform of every block, beside that of the same block of `guide`, and
/// adds the results up with the weights it returns.
fn pass(
    plane: &Plane,
    basis: &Block,
    work: impl Fn(&mut Block, &Block) -> f32 + Sync,
    guide: &Plane,
) -> Plane {
    let (w, h) = (plane.width as usize, plane.height as usize);
    let guided = !std::ptr::eq(plane, guide);
    let lefts = places(w);
    let tops = places(h);
    let mut out = plane.clone();
    out.data.par_chunks_mut(w * STRIP).enumerate().for_each(|(strip, rows)| {
        let first = strip * STRIP;
        let last = first + rows.len() / w;
        let mut weights = vec![0.0_f32; rows.len()];
        rows.fill(0.0);
        for &top in tops.iter().filter(|top| **top + SIDE > first && **top < last) {
            for &left in &lefts {
                let mut block = transformed(plane, left, top, basis);
                let beside = if guided { transformed(guide, left, top, basis) } else { block };
                let weight = work(&mut block, &beside);
                let pixels = back(&block, basis);
                for dy in 0..SIDE {
                    let y = top + dy;
                    if y < first || y >= last {
                        continue;
                    }
                    let at = (y - first) * w + left;
                    for dx in 0..SIDE {
                        rows[at + dx] += pixels[dy * SIDE + dx] * weight;
                        weights[at + dx] += weight;
                    }
                }
            }
        }
        for (value, weight) in rows.iter_mut().zip(weights) {
            *value /= weight.max(1e-9);
        }
    });
    out
}

/// Starts of blocks along an axis, the last one flush with its end.
fn places(length: usize) -> Vec<usize> {
    let last = length - SIDE;
    (0..last).step_by(STEP).chain([last]).collect()
}

/// Rows of the orthonormal cosine transform.
fn basis() -> Block {
    std::array::from_fn(|k| {
        let (frequency, place) = ((k / SIDE) as f64, (k % SIDE) as f64);
        let scale = if frequency == 0.0 { (1.0 / 8.0_f64).sqrt() } else { 0.5 };
        (scale * (std::f64::consts::PI * (2.0 * place + 1.0) * frequency / 16.0).cos()) as f32
    })
}

fn transformed(plane: &Plane, left: usize, top: usize, basis: &Block) -> Block {
    let w = plane.width as usize;
    let mut half = [0.0; SIDE * SIDE];
    for y in 0..SIDE {
        let row = &plane.data[(top + y) * w + left..][..SIDE];
        for k in 0..SIDE {
            let wave = &basis[k * SIDE..][..SIDE];
            half[k * SIDE + y] = row.iter().zip(wave).map(|(a, b)| a * b).sum();
        }
    }
    let mut out = [0.0; SIDE * SIDE];
    for kx in 0..SIDE {
        let column = &half[kx * SIDE..][..SIDE];
        for ky in 0..SIDE {
            let wave = &basis[ky * SIDE..][..SIDE];
            out[ky * SIDE + kx] = column.iter().zip(wave).map(|(a, b)| a * b).sum();
        }
    }
    out
}

fn back(block: &Block, basis: &Block) -> Block {
    let mut half = [0.0; SIDE * SIDE];
    for ky in 0..SIDE {
        for y in 0..SIDE {
            let wave = basis[ky * SIDE + y];
            for kx in 0..SIDE {
                half[y * SIDE + kx] += block[ky * SIDE + kx] * wave;
            }
        }
    }
    let mut out = [0.0; SIDE * SIDE];
    for y in 0..SIDE {
        for kx in 0..SIDE {
            let value = half[y * SIDE + kx];
            for x in 0..SIDE {
                out[y * SIDE + x] += value * basis[kx * SIDE + x];
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use super::*;

    #[test]
    fn the_transform_is_undone() {
        let plane = Plane { width: 8, height: 8, data: (0..64).map(|k| ((k * 29) % 17) as f32).collect() };
        let basis = basis();
        let again = back(&transformed(&plane, 0, 0, &basis), &basis);
        for (a, b) in plane.data.iter().zip(again) {
            assert!((a - b).abs() < 1e-3);
        }
    }

    #[test]
    fn noise_goes_and_an_edge_stays() {
        let noise = |k: usize| {
            packshot_imaging::composite::mix(k as u64 + 7) as u32 as f32 / u32::MAX as f32 * 20.0 - 10.0
        };
        let truth = |k: usize| if k % 64 < 30 { 60.0 } else { 180.0 };
        let data = (0..64 * 64).map(|k| truth(k) + noise(k)).collect();
        let out = shrunk(&Plane { width: 64, height: 64, data }, 5.8);
        let error = |plane: &Plane| {
            plane.data.iter().enumerate().map(|(k, v)| (v - truth(k)).powi(2)).sum::<f32>() / 4096.0
        };
        assert!(error(&out) < 8.0, "{}", error(&out));
    }
}
