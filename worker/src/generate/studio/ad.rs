//! Ad: the scene of the lifestyle composed anew for 1:1, 4:5, 9:16 and 1.91:1. Each ratio
//! is rendered for itself, so the product is never cropped and stays readable.

use packshot_imaging::metadata::DigitalSourceType;

use super::pose::Pose;
use super::stage::{Layout, Stage};
use super::subject::scale_note;
use crate::generate::{Candidate, Made, MakeRequest};

/// Names, sizes, and the most the product may take of width and height.
const RATIOS: [(&str, (u32, u32), (f32, f32)); 4] = [
    ("1x1", (1200, 1200), (0.72, 0.68)),
    ("4x5", (1080, 1350), (0.80, 0.60)),
    ("9x16", (1080, 1920), (0.84, 0.50)),
    ("191x100", (1910, 1000), (0.46, 0.74)),
];

pub(super) fn make(request: &MakeRequest<'_>) -> Made {
    let Some(stage) = Stage::new(request) else {
        return Made::skipped("the cut-out of the reference covers nothing");
    };
    let backdrop = stage.backdrop(request);
    let lit_left = stage.light.azimuth.cos() < 0.0;
    let frames: Vec<_> = RATIOS
        .iter()
        .map(|(name, size, (width_max, height_max))| {
            let wide = size.0 > size.1 * 3 / 2;
            let centre = match (wide, lit_left) {
                (false, _) => 0.5,
                (true, true) => 0.62,
                (true, false) => 0.38,
            };
            let below = if size.1 > size.0 { 0.40 } else { 0.38 };
            let grow = match stage.pose {
                Pose::Standing { .. } => 1.0,
                Pose::Lying { .. } => 1.12,
            };
            let layout = Layout {
                size: *size,
                width_max: width_max * grow,
                height_max: height_max * grow,
                centre,
                below,
            };
            stage.frame(name, layout, backdrop)
        })
        .collect();
    let scale = frames.iter().map(|frame| frame.scale_factor).fold(0.0, f32::max);
    Made::Candidate(Candidate {
        notes: scale_note(scale).into_iter().collect(),
        frames,
        source_type: DigitalSourceType::CompositeSynthetic,
    })
}
