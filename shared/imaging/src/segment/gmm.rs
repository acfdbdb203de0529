//! Colour distributions as mixtures of Gaussians in Lab, with full covariances, as in Rother,
//! Kolmogorov and Blake, "`GrabCut`", 2004.

use crate::colour::LabImage;

const COMPONENTS: usize = 5;
const SAMPLES: usize = 12_000;
/// Variance in Lab units added to every component: sensor noise and 8-bit rounding.
const FLOOR: f32 = 2.5;

/// One weighted Gaussian, ready to be evaluated.
#[derive(Clone, Copy, Debug)]
struct Gaussian {
    mean: [f32; 3],
    /// Inverse covariance: xx, xy, xz, yy, yz, zz.
    inverse: [f32; 6],
    /// ln(weight) − ½·ln(determinant).
    offset: f32,
}

/// A mixture of Gaussians over Lab colours.
#[derive(Clone, Debug)]
pub(crate) struct Mixture(Vec<Gaussian>);

impl Mixture {
    /// Fits a mixture to the pixels for which `member` says yes: k-means started from the
    /// farthest points, then one Gaussian per cluster. `None` with under 8 of them.
    pub(crate) fn fit(image: &LabImage, member: impl Fn(usize) -> bool) -> Option<Mixture> {
        let all: Vec<usize> = (0..image.l.len()).filter(|&at| member(at)).collect();
        if all.len() < 8 {
            return None;
        }
        let stride = (all.len() / SAMPLES) | 1;
        let points: Vec<[f32; 3]> =
            all.iter().step_by(stride).map(|&at| [image.l[at], image.a[at], image.b[at]]).collect();
        let mut centres = seeds(&points);
        let mut owner = vec![0_usize; points.len()];
        for _ in 0..6 {
            for (owner, point) in owner.iter_mut().zip(&points) {
                *owner = nearest(&centres, point).0;
            }
            let mut sums = vec![([0.0_f32; 3], 0.0_f32); centres.len()];
            for (&owner, point) in owner.iter().zip(&points) {
                for (sum, value) in sums[owner].0.iter_mut().zip(point) {
                    *sum += value;
                }
                sums[owner].1 += 1.0;
            }
            for (centre, (sum, count)) in centres.iter_mut().zip(sums) {
                if count > 0.0 {
                    *centre = sum.map(|s| s / count);
                }
            }
        }
        let total = points.len() as f32;
        let parts: Vec<Gaussian> = (0..centres.len())
            .filter_map(|k| {
                let cluster: Vec<&[f32; 3]> =
                    points.iter().zip(&owner).filter(|(_, owner)| **owner == k).map(|(p, _)| p).collect();
                (!cluster.is_empty()).then(|| gaussian(&cluster, cluster.len() as f32 / total))
            })
            .collect();
        Some(Mixture(parts))
    }

    /// −ln of the density at a colour, up to a constant common to all mixtures.
    pub(crate) fn cost(&self, l: f32, a: f32, b: f32) -> f32 {
        let mut best = f32::NEG_INFINITY;
        let mut exponents = [f32::NEG_INFINITY; COMPONENTS];
        for (exponent, g) in exponents.iter_mut().zip(&self.0) {
            let (x, y, z) = (l - g.mean[0], a - g.mean[1], b - g.mean[2]);
            let [xx, xy, xz, yy, yz, zz] = g.inverse;
            let square = xx * x * x + yy * y * y + zz * z * z + 2.0 * (xy * x * y + xz * x * z + yz * y * z);
            *exponent = g.offset - 0.5 * square;
            best = best.max(*exponent);
        }
        let rest: f32 = exponents.iter().filter(|&&e| best - e < 12.0).map(|e| (e - best).exp()).sum();
        -(best + rest.max(1e-9).ln())
    }
}

/// Start centres: the mean, then again and again the point farthest from all centres so far,
/// weighted down for outliers by taking the 98th percentile instead of the maximum.
fn seeds(points: &[[f32; 3]]) -> Vec<[f32; 3]> {
    let count = points.len() as f32;
    let mut mean = [0.0_f32; 3];
    for point in points {
        for (mean, value) in mean.iter_mut().zip(point) {
            *mean += value / count;
        }
    }
    let mut centres = vec![mean];
    while centres.len() < COMPONENTS {
        let mut far: Vec<(f32, usize)> =
            points.iter().enumerate().map(|(i, point)| (nearest(&centres, point).1, i)).collect();
        let rank = (far.len() * 98 / 100).min(far.len() - 1);
        let &mut (distance, i) = far.select_nth_unstable_by(rank, |x, y| x.0.total_cmp(&y.0)).1;
        if distance < 1.0 {
            break;
        }
        centres.push(points[i]);
    }
    centres
}

fn nearest(centres: &[[f32; 3]], point: &[f32; 3]) -> (usize, f32) {
    let mut best = (0, f32::INFINITY);
    for (k, centre) in centres.iter().enumerate() {
        let distance = centre.iter().zip(point).map(|(c, p)| (c - p).powi(2)).sum();
        if distance < best.1 {
            best = (k, distance);
        }
    }
    best
}

fn gaussian(points: &[&[f32; 3]], weight: f32) -> Gaussian {
    let count = points.len() as f32;
    let mut mean = [0.0_f32; 3];
    for point in points {
        for (mean, value) in mean.iter_mut().zip(*point) {
            *mean += value / count;
        }
    }
    let mut c = [0.0_f32; 6];
    for point in points {
        let d = [point[0] - mean[0], point[1] - mean[1], point[2] - mean[2]];
        for (sum, (i, j)) in c.iter_mut().zip([(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]) {
            *sum += d[i] * d[j] / count;
        }
    }
    let [xx, xy, xz, yy, yz, zz] = [c[0] + FLOOR, c[1], c[2], c[3] + FLOOR, c[4], c[5] + FLOOR];
    let cofactors = [yy * zz - yz * yz, xz * yz - xy * zz, xy * yz - xz * yy];
    let determinant = (xx * cofactors[0] + xy * cofactors[1] + xz * cofactors[2]).max(1e-3);
    let inverse =
        [cofactors[0], cofactors[1], cofactors[2], xx * zz - xz * xz, xy * xz - xx * yz, xx * yy - xy * xy]
            .map(|v| v / determinant);
    Gaussian { mean, inverse, offset: weight.ln() - 0.5 * determinant.ln() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use super::*;

    #[test]
    fn a_mixture_prefers_its_own_colours() {
        let l: Vec<f32> = (0..400).map(|i| if i % 2 == 0 { 20.0 } else { 80.0 } + (i % 7) as f32).collect();
        let image = LabImage { width: 20, height: 20, a: vec![0.0; 400], b: vec![5.0; 400], l };
        let mixture = Mixture::fit(&image, |_| true).unwrap();
        assert!(mixture.cost(22.0, 0.0, 5.0) + 3.0 < mixture.cost(50.0, 0.0, 5.0));
        assert!(mixture.cost(83.0, 0.0, 5.0) + 3.0 < mixture.cost(83.0, 40.0, 5.0));
        assert!(Mixture::fit(&image, |at| at < 4).is_none());
    }
}
