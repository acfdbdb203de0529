//! Undoing a mild, known blur.

use packshot_imaging::blur::{Plane, gaussian};

/// Rounds of deconvolution.
const ROUNDS: usize = 8;
/// Blur in px that a sharp photo has anyway and that is left in.
const NATURAL: f32 = 0.55;
/// Share of the local contrast by which a result may leave the local range.
const OVERSHOOT: f32 = 0.08;

/// `plane` with a Gaussian blur of `sigma` px undone by `amount` (0 to 1).
///
/// Richardson-Lucy (1972, 1974), then held within the range of the 5 × 5 pixels around, so no
/// edge gets a halo and no new mark appears.
pub(super) fn deblurred(plane: &Plane, sigma: f32, amount: f32) -> Plane {
    let sigma = (sigma * sigma - NATURAL * NATURAL).max(0.05).sqrt();
    let observed = plane.zip(plane, |v, _| v.max(0.0) + 1.0);
    let mut estimate = observed.clone();
    for _ in 0..ROUNDS {
        let ratio =
            observed.zip(&gaussian(&estimate, sigma), |seen, model| (seen / model.max(0.5)).clamp(0.25, 4.0));
        estimate = estimate.zip(&gaussian(&ratio, sigma), |value, gain| value * gain);
    }
    let (low, high) = (extreme(plane, f32::min), extreme(plane, f32::max));
    let slack = high.zip(&low, |high, low| OVERSHOOT * (high - low));
    let top = high.zip(&slack, |high, slack| high + slack);
    let bottom = low.zip(&slack, |low, slack| low - slack);
    let held = estimate.zip(&top, |value, top| (value - 1.0).min(top)).zip(&bottom, f32::max);
    plane.zip(&held, |was, now| was + (now - was) * amount)
}

/// Minimum or maximum over 5 × 5 pixels.
fn extreme(plane: &Plane, pick: fn(f32, f32) -> f32) -> Plane {
    let (w, h) = (plane.width as usize, plane.height as usize);
    let mut across = plane.clone();
    for y in 0..h {
        for x in 0..w {
            let row = &plane.data[y * w + x.saturating_sub(2)..y * w + (x + 3).min(w)];
            across.data[y * w + x] = row.iter().copied().fold(plane.data[y * w + x], pick);
        }
    }
    let mut out = across.clone();
    for y in 0..h {
        for x in 0..w {
            let rows = y.saturating_sub(2)..(y + 3).min(h);
            out.data[y * w + x] = rows.map(|y| across.data[y * w + x]).fold(across.data[y * w + x], pick);
        }
    }
    out
}
