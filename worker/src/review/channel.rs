//! What an axis hands to the verdict: named measurements, each able to become one finding.

use packshot_pipeline::finding::{Axis, EditOp, Region};

/// One measured number of one axis.
#[derive(Clone, Debug)]
pub struct Metric {
    /// Key of its scale in the thresholds file.
    pub name: &'static str,
    /// Larger is more drift; 0 = none.
    pub value: f64,
    /// Where in the candidate, in its pixels; `None`: the whole product or picture.
    pub region: Option<Region>,
    /// One sentence for a catalog manager.
    pub evidence: String,
    /// The local operation that can cure it, if one can, and why it can.
    pub cure: Option<(EditOp, &'static str)>,
}

/// A rule that needs no statistics: a code that the reference does not have.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Where in the candidate.
    pub region: Option<Region>,
    /// One sentence for a catalog manager.
    pub evidence: String,
    /// The local operation that can cure it.
    pub cure: Option<(EditOp, &'static str)>,
}

/// Everything one axis measured.
#[derive(Clone, Debug)]
pub struct Channel {
    /// Which promise.
    pub axis: Axis,
    /// Empty = not comparable on this axis.
    pub metrics: Vec<Metric>,
    /// Broken rules; each fails the axis by itself.
    pub violations: Vec<Violation>,
    /// How far the numbers can be believed, 0 to 1.
    pub confidence: f64,
}

impl Channel {
    /// An axis on which nothing can be said.
    pub fn silent(axis: Axis) -> Channel {
        Channel { axis, metrics: Vec::new(), violations: Vec::new(), confidence: 0.0 }
    }
}

/// The value below which `share` of the numbers lie; 0 for none. Sorts its argument.
pub(super) fn quantile(values: &mut [f32], share: f32) -> f32 {
    if values.is_empty() {
        return 0.0;
    }
    let at = ((values.len() - 1) as f32 * share.clamp(0.0, 1.0)).round() as usize;
    *values.select_nth_unstable_by(at, f32::total_cmp).1
}
