//! Feature: the product large and to one side of a quiet seamless ground, with calm space
//! for a seller's own words. No words are put there.

use packshot_imaging::metadata::DigitalSourceType;

use super::pose::Pose;
use super::stage::{Layout, Stage};
use super::style::{Backdrop, Material};
use super::subject::scale_note;
use crate::generate::{Candidate, Made, MakeRequest};

pub(super) fn make(request: &MakeRequest<'_>) -> Made {
    let Some(stage) = Stage::new(request) else {
        return Made::skipped("the cut-out of the reference covers nothing");
    };
    let scene = stage.backdrop(request);
    let quiet = Backdrop {
        floor: Material::Paper,
        floor_colour: scene.wall_colour.unwrap_or(scene.floor_colour),
        wall: None,
        wall_colour: None,
    };
    let bounds = stage.subject.bounds;
    let tall = bounds.h as f32 > bounds.w as f32 * 1.15;
    let side = stage.subject.master_side(0.72);
    // The shadow falls into the picture, the words stand on the lit side.
    let lit_left = stage.light.azimuth.cos() < 0.0;
    let layout = if tall {
        let centre = if lit_left { 0.69 } else { 0.31 };
        Layout { size: (side, side), width_max: 0.5, height_max: 0.72, centre, below: 0.42 }
    } else {
        Layout { size: (side, side), width_max: 0.72, height_max: 0.46, centre: 0.5, below: 0.26 }
    };
    let frame = match stage.pose {
        Pose::Lying { .. } if !tall => stage.frame("", Layout { height_max: 0.7, ..layout }, &quiet),
        Pose::Lying { .. } | Pose::Standing { .. } => stage.frame("", layout, &quiet),
    };
    Made::Candidate(Candidate {
        notes: scale_note(frame.scale_factor).into_iter().collect(),
        frames: vec![frame],
        source_type: DigitalSourceType::CompositeSynthetic,
    })
}
