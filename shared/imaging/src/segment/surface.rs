//! The background of a studio photo as a smooth surface.
//!
//! A second-order polynomial per Lab channel, fitted by iteratively re-weighted least squares
//! with Geman-McClure weights, so that a product that reaches into the
//! border does not pull it.

use crate::colour::LabImage;

const TERMS: usize = 6;
const ROUNDS: usize = 12;
/// Samples are thinned out to about this many.
const SAMPLES: usize = 16_000;

/// Background colour as a function of place.
#[derive(Clone, Debug)]
pub(crate) struct Surface {
    terms: [[f32; TERMS]; 3],
    width: f32,
    height: f32,
    /// Robust standard deviation of the background around the surface in L, a and b.
    pub noise: [f32; 3],
}

impl Surface {
    /// Fits the surface to the pixels for which `member` says yes; `None` with under 24 of
    /// them.
    pub(crate) fn fit(image: &LabImage, member: impl Fn(usize) -> bool) -> Option<Surface> {
        let (width, height) = (image.width.max(1) as f32, image.height.max(1) as f32);
        let all: Vec<usize> = (0..image.l.len()).filter(|&at| member(at)).collect();
        if all.len() < 24 {
            return None;
        }
        // An odd stride does not fall into step with the rows.
        let stride = (all.len() / SAMPLES) | 1;
        let samples: Vec<usize> = all.into_iter().step_by(stride).collect();
        let mut surface = Surface { terms: [[0.0; TERMS]; 3], width, height, noise: [1.0; 3] };
        let bases: Vec<[f32; TERMS]> = samples
            .iter()
            .map(|&at| surface.basis(at % image.width as usize, at / image.width as usize))
            .collect();
        let mut weights = vec![1.0_f32; samples.len()];
        let planes = [&image.l, &image.a, &image.b];
        for _ in 0..ROUNDS {
            for (terms, plane) in surface.terms.iter_mut().zip(planes) {
                *terms = solve(&bases, &weights, samples.iter().map(|&at| plane[at]));
            }
            let mut residuals = vec![0.0_f32; samples.len()];
            for (channel, plane) in planes.iter().enumerate() {
                for ((sum, &at), basis) in residuals.iter_mut().zip(&samples).zip(&bases) {
                    *sum += (plane[at] - dot(&surface.terms[channel], basis)).powi(2);
                }
            }
            let scale = 1.48 * median(residuals.iter().map(|r| r.sqrt()).collect()) + 0.3;
            for (weight, residual) in weights.iter_mut().zip(&residuals) {
                *weight = (1.0 + residual / (2.0 * scale).powi(2)).powi(-2);
            }
        }
        for (channel, plane) in planes.iter().enumerate() {
            let off = samples
                .iter()
                .zip(&bases)
                .map(|(&at, b)| (plane[at] - dot(&surface.terms[channel], b)).abs());
            surface.noise[channel] = 1.48 * median(off.collect());
        }
        Some(surface)
    }

    fn basis(&self, x: usize, y: usize) -> [f32; TERMS] {
        let (x, y) = (x as f32 / self.width * 2.0 - 1.0, y as f32 / self.height * 2.0 - 1.0);
        [1.0, x, y, x * y, x * x, y * y]
    }

    /// Lab of the background at a pixel.
    pub(crate) fn at(&self, x: usize, y: usize) -> [f32; 3] {
        let basis = self.basis(x, y);
        self.terms.map(|terms| dot(&terms, &basis))
    }
}

fn dot(a: &[f32; TERMS], b: &[f32; TERMS]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The median; 0 of nothing. NaN sorts last.
pub(crate) fn median(mut values: Vec<f32>) -> f32 {
    if values.is_empty() {
        return 0.0;
    }
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f32::total_cmp).1
}

/// Weighted least squares by Gaussian elimination of the normal equations, with a little ridge
/// so that a degenerate set of places (one row of pixels) still has an answer.
fn solve(bases: &[[f32; TERMS]], weights: &[f32], values: impl Iterator<Item = f32>) -> [f32; TERMS] {
    let mut m = [[0.0_f64; TERMS + 1]; TERMS];
    for ((basis, &weight), value) in bases.iter().zip(weights).zip(values) {
        for (i, row) in m.iter_mut().enumerate() {
            let scaled = f64::from(weight * basis[i]);
            for (cell, &b) in row.iter_mut().zip(basis) {
                *cell += scaled * f64::from(b);
            }
            row[TERMS] += scaled * f64::from(value);
        }
    }
    let ridge = 1e-6 * m.iter().enumerate().map(|(i, row)| row[i]).fold(1e-9, f64::max);
    for (i, row) in m.iter_mut().enumerate() {
        row[i] += ridge;
    }
    for i in 0..TERMS {
        let pivot = m[i];
        for (j, row) in m.iter_mut().enumerate() {
            if j != i {
                let factor = row[i] / pivot[i];
                for (cell, above) in row.iter_mut().zip(pivot) {
                    *cell -= factor * above;
                }
            }
        }
    }
    std::array::from_fn(|i| (m[i][TERMS] / m[i][i]) as f32)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use super::*;

    #[test]
    fn a_product_in_the_border_does_not_pull_the_surface() {
        let (w, h) = (80, 60);
        let truth = |x: usize, y: usize| 80.0 + 10.0 * (x as f32 / 80.0) - 6.0 * (y as f32 / 60.0).powi(2);
        let l: Vec<f32> = (0..w * h)
            .map(|at| if at % w < 16 && at / w > 24 { 15.0 } else { truth(at % w, at / w) })
            .collect();
        let image =
            LabImage { width: w as u32, height: h as u32, a: vec![2.0; l.len()], b: vec![1.0; l.len()], l };
        let surface = Surface::fit(&image, |_| true).unwrap();
        for (x, y) in [(40, 30), (5, 55), (79, 0)] {
            assert!((surface.at(x, y)[0] - truth(x, y)).abs() < 1.0);
        }
        assert!(surface.noise[0] < 0.5);
        assert!(Surface::fit(&image, |at| at < 3).is_none());
    }
}
