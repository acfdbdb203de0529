//! Lifestyle: the product on a surface that suits it, lit from the side from which the
//! photo itself is lit, seen from the camera height of the photo.

use packshot_imaging::metadata::DigitalSourceType;

use super::pose::Pose;
use super::stage::{Layout, Stage};
use super::subject::scale_note;
use crate::generate::{Candidate, Made, MakeRequest};

pub(super) fn make(request: &MakeRequest<'_>) -> Made {
    let Some(stage) = Stage::new(request) else {
        return Made::skipped("the cut-out of the reference covers nothing");
    };
    let fill = fill(request, stage.pose);
    let side = stage.subject.master_side(fill);
    let layout = Layout {
        size: (side, side),
        width_max: fill,
        height_max: fill.min(0.64),
        centre: if stage.light.azimuth.cos() > 0.0 { 0.52 } else { 0.48 },
        below: 0.42,
    };
    let layout = match stage.pose {
        Pose::Standing { .. } => layout,
        Pose::Lying { .. } => Layout { height_max: fill, centre: 0.5, ..layout },
    };
    let frame = stage.frame("", layout, stage.backdrop(request));
    Made::Candidate(Candidate {
        notes: scale_note(frame.scale_factor).into_iter().collect(),
        frames: vec![frame],
        source_type: DigitalSourceType::CompositeSynthetic,
    })
}

/// A product seen from above takes more of the frame: there is no room around it to show.
fn fill(request: &MakeRequest<'_>, pose: Pose) -> f32 {
    let fill = request.style.fill.scene.clamp(0.2, 0.8);
    match pose {
        Pose::Standing { .. } => fill,
        Pose::Lying { .. } => (fill * 1.22).min(0.74),
    }
}
