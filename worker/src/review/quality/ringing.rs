//! Ringing: edges that overshoot on both sides, dark beside dark and bright beside bright, as
//! sharpening and careless enlarging leave them. The reference's own overshoot is no fault.

use super::super::channel::{Metric, quantile};
use super::profile::{HALF, LENGTH, Profile, light, mean};

/// Least step of lightness across an edge, in levels.
const CONTRAST_MIN: f32 = 45.0;
/// Fewest profiles by which anything can be said.
const COUNT_MIN: usize = 24;

/// Measures the overshoot in percent of an edge's step; `None` where too few edges are steep
/// enough.
pub(super) fn measure(profiles: &[Profile]) -> Option<Metric> {
    let mut more: Vec<f32> = profiles
        .iter()
        .filter_map(|profile| {
            let own = profile.reference.as_ref().and_then(|own| overshoot(&own.colours)).unwrap_or(0.0);
            Some(overshoot(&profile.candidate)? - own)
        })
        .collect();
    if more.len() < COUNT_MIN {
        return None;
    }
    let value = 100.0 * quantile(&mut more, 0.5).max(0.0);
    Some(Metric {
        name: "quality_ringing",
        value: f64::from(value),
        region: None,
        evidence: format!(
            "edges are over-sharpened: they overshoot by {value:.0} % of their contrast more than the reference's"
        ),
        cure: None,
    })
}

/// The smaller overshoot of the two sides, so that neither a shadow nor a rim counts, as a share
/// of the step.
fn overshoot(colours: &[[f32; 3]; LENGTH]) -> Option<f32> {
    let inside = light(mean(&colours[..HALF - 6]));
    let outside = light(mean(&colours[HALF + 6..]));
    let step = outside - inside;
    if step.abs() < CONTRAST_MIN {
        return None;
    }
    let beyond = |i: usize| (light(mean(&colours[i..i + 2])) - inside) / step;
    let low = (HALF - 6..HALF).map(beyond).fold(f32::MAX, f32::min);
    let high = (HALF - 1..HALF + 5).map(beyond).fold(f32::MIN, f32::max);
    Some((-low).min(high - 1.0).max(0.0))
}
