//! Softness against the reference at equal scale.

use packshot_pipeline::finding::EditOp;

use super::super::channel::Metric;
use super::super::frame::Frame;
use super::super::material;

/// Logarithm of how much less steep edges are than the reference's, whatever their contrast.
pub(super) fn measure(frame: &Frame) -> Metric {
    let before = material::steepness(frame, &frame.reference_lab.l);
    let after = material::steepness(frame, &frame.candidate_lab.l);
    let value = if before > 0.0 && after > 0.0 { (before / after).ln().max(0.0) } else { 0.0 };
    Metric {
        name: "quality_soft",
        value: f64::from(value),
        region: None,
        evidence: format!("softer than the reference: edges are {:.0} % as steep", 100.0 * (-value).exp()),
        cure: Some((EditOp::Restore, "mild blur can be sharpened without new content")),
    }
}
