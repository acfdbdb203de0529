//! Scale drift: the product against what surrounds it. Only measurable where the same
//! surroundings are in both pictures; without such a cue the axis is not comparable.

use packshot_imaging::register::Registration;
use packshot_pipeline::finding::Axis;

use super::channel::{Channel, Metric};

/// Measures the axis.
pub(super) fn measure(registration: &Registration) -> Channel {
    let Some(around) = registration.surroundings else { return Channel::silent(Axis::Scale) };
    let ratio = (registration.similarity.scale / around.similarity.scale.max(1e-6)).ln();
    let percent = 100.0 * (ratio.abs().exp() - 1.0);
    let word = if ratio > 0.0 { "larger" } else { "smaller" };
    let metric = Metric {
        name: "scale_scene",
        value: f64::from(ratio.abs()),
        region: None,
        evidence: format!(
            "the product is {percent:.0} % {word} against its surroundings than in the reference"
        ),
        cure: None,
    };
    Channel {
        axis: Axis::Scale,
        metrics: vec![metric],
        violations: Vec::new(),
        confidence: f64::from(1.0 - (-(around.inliers as f32) / 15.0).exp()),
    }
}
