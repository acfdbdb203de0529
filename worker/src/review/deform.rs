//! How the product's shape was deformed, with how exactly that is known: one robust least
//! squares over where marks went and where the outline stands, first an affine map, then a
//! cubic field beyond it. Every result carries its standard error, so that a product with
//! few marks and a blurred outline is measured as little as it can be, instead of wrongly.

use nalgebra::{DMatrix, DVector};
use packshot_imaging::register::Registration;

use super::channel::quantile;
use super::frame::Frame;
use super::outline::Outline;

/// Terms of a cubic polynomial in two variables.
const TERMS: usize = 10;
/// Terms of an affine map.
const AFFINE: usize = 3;
/// Standard errors that are taken off a measurement: what is surely there.
const SURE: f64 = 2.0;
/// Ridge of the cubic field, as a share of the evidence: marks in one corner bend nothing.
const RIDGE: f64 = 0.01;

/// One thing known about the displacement at a place: its component along a direction.
#[derive(Clone, Copy)]
struct Clue {
    /// Place, in units of the product's radius from its middle.
    at: (f64, f64),
    /// Unit direction along which the displacement is known.
    along: (f64, f64),
    /// Displacement along it, in frame pixels.
    shift: f64,
    /// Weight of this clue against one that stands alone: neighbours repeat each other.
    share: f64,
}

/// A deformation in units of the product.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deformation {
    /// Logarithm of how much longer the longest direction became than the shortest.
    pub(super) stretch: f64,
    /// How much wider it became than it became taller, as a logarithm.
    pub(super) widening: f64,
    /// Standard error of both.
    pub(super) stretch_error: f64,
    /// Root mean square of the field beyond the affine map, by the product's radius.
    pub(super) bend: f64,
    /// What of it noise explains.
    pub(super) bend_error: f64,
}

impl Deformation {
    /// The stretch that is surely there.
    pub(super) fn sure_stretch(&self) -> f64 {
        (self.stretch - SURE * self.stretch_error).max(0.0)
    }

    /// The bend that is surely there.
    pub(super) fn sure_bend(&self) -> f64 {
        (self.bend.powi(2) - (SURE * self.bend_error).powi(2)).max(0.0).sqrt()
    }
}

/// The deformation that the marks show; `None` with too few of them.
pub(super) fn of_marks(frame: &Frame, registration: &Registration) -> Option<Deformation> {
    let back = frame.placement.inverse();
    let (middle, radius) = extent(frame)?;
    let mut clues = Vec::with_capacity(2 * registration.matches.len());
    for m in &registration.matches {
        let from = frame.place_of(m.from);
        let to = back.apply(m.to.0, m.to.1);
        let at = ((from.0 - middle.0) / radius, (from.1 - middle.1) / radius);
        let at = (f64::from(at.0), f64::from(at.1));
        clues.push(Clue { at, along: (1.0, 0.0), shift: f64::from(to.0 - from.0), share: 0.5 });
        clues.push(Clue { at, along: (0.0, 1.0), shift: f64::from(to.1 - from.1), share: 0.5 });
    }
    solve(&clues, f64::from(radius))
}

/// The deformation that the outline shows; `None` when too little of it can be told.
pub(super) fn of_outline(frame: &Frame, outline: &Outline) -> Option<Deformation> {
    let (middle, radius) = extent(frame)?;
    let clues: Vec<Clue> = outline
        .points
        .iter()
        .zip(&outline.normals)
        .zip(&outline.raw)
        .filter_map(|((p, n), offset)| {
            let at = ((p.0 - middle.0) / radius, (p.1 - middle.1) / radius);
            Some(Clue {
                at: (f64::from(at.0), f64::from(at.1)),
                along: (f64::from(n.0), f64::from(n.1)),
                shift: f64::from((*offset)?),
                share: 0.25,
            })
        })
        .collect();
    (clues.len() * 3 >= outline.points.len()).then(|| solve(&clues, f64::from(radius))).flatten()
}

/// Middle of the product and root mean square distance from it, in frame pixels.
fn extent(frame: &Frame) -> Option<((f32, f32), f32)> {
    let (mut n, mut sx, mut sy, mut ss) = (0f64, 0f64, 0f64, 0f64);
    for (x, y, p) in frame.mask.enumerate_pixels() {
        if p.0[0] > 127 {
            let (x, y) = (f64::from(x) + 0.5, f64::from(y) + 0.5);
            n += 1.0;
            sx += x;
            sy += y;
            ss += x * x + y * y;
        }
    }
    if n < 50.0 {
        return None;
    }
    let (mx, my) = (sx / n, sy / n);
    let radius = (ss / n - mx * mx - my * my).max(1.0).sqrt();
    Some(((mx as f32, my as f32), radius as f32))
}

fn basis((x, y): (f64, f64)) -> [f64; TERMS] {
    [1.0, x, y, x * x, x * y, y * y, x * x * x, x * x * y, x * y * y, y * y * y]
}

/// The row of the design matrix of a clue, x terms before y terms.
fn row(clue: &Clue, terms: usize) -> Vec<f64> {
    let b = basis(clue.at);
    let along = [clue.along.0, clue.along.1];
    along.iter().flat_map(|a| b[..terms].iter().map(move |v| a * v)).collect()
}

fn solve(clues: &[Clue], radius: f64) -> Option<Deformation> {
    let shifts: Vec<f64> = clues.iter().map(|c| c.shift).collect();
    let affine = fit(clues, &shifts, AFFINE, 0.0, radius)?;
    let rest: Vec<f64> =
        clues.iter().zip(&shifts).map(|(c, s)| s - dot(&row(c, AFFINE), &affine.values)).collect();
    // x' = x + t + (xx xy; yx yy) p / radius
    let per = |i: usize| affine.values[i] / radius;
    let (xx, xy, yx, yy) = (1.0 + per(1), per(2), per(4), 1.0 + per(5));
    let (e, f, g, h) = ((xx + yy) / 2.0, (xx - yy) / 2.0, (yx + xy) / 2.0, (yx - xy) / 2.0);
    let (q, r) = (e.hypot(h), f.hypot(g));
    let widening = (xx.hypot(yx).max(1e-6) / xy.hypot(yy).max(1e-6)).ln();
    let stretch = ((q + r) / (q - r).abs().max(1e-6)).ln();
    let error = |a: usize, b: usize, sign: f64| {
        (affine.covariance[(a, a)] + affine.covariance[(b, b)] + 2.0 * sign * affine.covariance[(a, b)])
            .max(0.0)
            .sqrt()
            / radius
    };
    let stretch_error = error(1, 5, -1.0).max(error(2, 4, 1.0));
    let cubic = fit(clues, &rest, TERMS, RIDGE, radius);
    let (bend, bend_error) = cubic.map_or((0.0, 0.0), |cubic| {
        let (mut power, mut noise, mut n) = (0.0, 0.0, 0.0);
        for clue in clues.iter().step_by(1 + clues.len() / 400) {
            for along in [(1.0, 0.0), (0.0, 1.0)] {
                let row = row(&Clue { along, ..*clue }, TERMS);
                power += dot(&row, &cubic.values).powi(2).min((0.2 * radius).powi(2));
                noise += quadratic(&row, &cubic.covariance);
            }
            n += 1.0;
        }
        ((power / f64::max(n, 1.0)).sqrt() / radius, (noise / f64::max(n, 1.0)).sqrt() / radius)
    });
    Some(Deformation { stretch, widening, stretch_error, bend, bend_error })
}

struct Fit {
    values: Vec<f64>,
    covariance: DMatrix<f64>,
}

/// Iteratively re-weighted least squares with Cauchy weights and the residuals' own scale.
fn fit(clues: &[Clue], shifts: &[f64], terms: usize, ridge: f64, radius: f64) -> Option<Fit> {
    let size = 2 * terms;
    if clues.len() < 2 * size.min(16) {
        return None;
    }
    let rows: Vec<Vec<f64>> = clues.iter().map(|c| row(c, terms)).collect();
    let mut weights: Vec<f64> = clues.iter().map(|c| c.share).collect();
    let mut values = vec![0.0; size];
    let mut scale = 0.05 * radius;
    let mut inverse = DMatrix::<f64>::zeros(size, size);
    for round in 0..12 {
        let total: f64 = weights.iter().sum();
        let mut matrix = DMatrix::<f64>::zeros(size, size);
        let mut right = DVector::<f64>::zeros(size);
        for ((row, shift), w) in rows.iter().zip(shifts).zip(&weights) {
            for i in 0..size {
                let wi = w * row[i];
                right[i] += wi * shift;
                for j in 0..size {
                    matrix[(i, j)] += wi * row[j];
                }
            }
        }
        for i in 0..size {
            matrix[(i, i)] += if i % terms < AFFINE { 1e-9 } else { ridge * total };
        }
        inverse = matrix.try_inverse()?;
        let solved: DVector<f64> = &inverse * right;
        values = solved.as_slice().to_vec();
        let residuals: Vec<f64> = rows.iter().zip(shifts).map(|(row, s)| s - dot(row, &values)).collect();
        let mut away: Vec<f32> = residuals.iter().map(|r| r.abs() as f32).collect();
        let spread = 1.48 * f64::from(quantile(&mut away, 0.5));
        scale = spread.max(0.25).min(if round < 4 { 0.05 * radius } else { f64::MAX });
        for ((w, clue), r) in weights.iter_mut().zip(clues).zip(&residuals) {
            *w = clue.share / (1.0 + (r / (2.0 * scale)).powi(2));
        }
    }
    Some(Fit { values, covariance: inverse * (scale * scale) })
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn quadratic(row: &[f64], matrix: &DMatrix<f64>) -> f64 {
    matrix
        .row_iter()
        .zip(row)
        .map(|(line, r)| r * line.iter().zip(row).map(|(m, v)| m * v).sum::<f64>())
        .sum()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use super::*;

    fn clues(shift: impl Fn(f64, f64) -> (f64, f64)) -> Vec<Clue> {
        (0..60)
            .flat_map(|i| {
                let at = (f64::from(i % 8) / 4.0 - 0.9, f64::from(i / 8) / 4.0 - 0.9);
                let noise = 0.3 * (f64::from(i) * 2.4).sin();
                let (dx, dy) = shift(at.0, at.1);
                [
                    Clue { at, along: (1.0, 0.0), shift: dx + noise, share: 0.5 },
                    Clue { at, along: (0.0, 1.0), shift: dy - noise, share: 0.5 },
                ]
            })
            .collect()
    }

    #[test]
    fn a_stretch_is_no_bend_and_a_taper_no_stretch() {
        let stretched = solve(&clues(|x, _| (6.0 * x + 2.0, -1.0)), 100.0).expect("fit");
        assert!((stretched.stretch - 1.06_f64.ln()).abs() < 0.004, "{stretched:?}");
        assert!(stretched.widening > 0.05 && stretched.sure_stretch() > 0.045, "{stretched:?}");
        assert!(stretched.sure_bend() < 0.004, "{stretched:?}");
        let tapered = solve(&clues(|x, y| (6.0 * x * y, 0.0)), 100.0).expect("fit");
        // The last row of marks is not full, so that a little of the taper is affine.
        assert!(tapered.sure_stretch() < 0.008 && tapered.sure_bend() > 0.01, "{tapered:?}");
        assert!(tapered.sure_bend() > tapered.sure_stretch(), "{tapered:?}");
        let still = solve(&clues(|_, _| (3.0, 1.0)), 100.0).expect("fit");
        assert!(still.sure_stretch() < 0.002 && still.sure_bend() < 0.003, "{still:?}");
    }
}
