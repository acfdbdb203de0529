//! The loop inside one job: review a frame, edit its weak area, review again, and keep the
//! best; make the whole candidate anew only when its concept is wrong.

use packshot_imaging::photo::{Cutout, CutoutQuality, CutoutSource, Photo};
use packshot_pipeline::facts::Facts;
use packshot_pipeline::finding::{Axis, EditOp, Region, Review, Verdict};
use packshot_pipeline::role::Role;
use packshot_service::names;
use tracing::field::Empty;
use tracing::{Span, debug_span};

use image::{GrayImage, Luma, RgbImage};
use std::collections::BTreeMap;

use crate::edit::{EditRequest, apply};
use crate::generate::Frame;
use crate::review::{ReviewRequest, Reviewed, review};

/// What a frame is measured against.
#[derive(Clone, Copy, Debug)]
pub struct Truth<'a> {
    /// The reference the frame was made from.
    pub photo: &'a Photo,
    /// Its cut-out.
    pub cutout: &'a Cutout,
    /// What must stay true.
    pub facts: &'a Facts,
}

/// A frame with its last review.
#[derive(Clone, Debug)]
pub struct ReviewedFrame {
    /// The image.
    pub frame: Frame,
    /// What the review says of it.
    pub review: Review,
    /// Where it differs from the reference, as a picture.
    pub heatmap: RgbImage,
    /// Edits applied, in order, with the reason of each.
    pub edits: Vec<(EditOp, String)>,
}

/// Reviews `frame` and follows `edit` verdicts at most `edits_max` times. An edited frame
/// replaces the best one only when its review is better, so the loop never makes it worse.
pub fn refine(truth: Truth<'_>, role: Role, frame: Frame, edits_max: u32) -> ReviewedFrame {
    let first = look(truth, role, &frame);
    let mut best = ReviewedFrame { frame, review: first.review, heatmap: first.heatmap, edits: Vec::new() };
    for _ in 0..edits_max {
        let Verdict::Edit { op, region, why } = best.review.verdict.clone() else { break };
        let step =
            debug_span!(names::EDIT, { names::EDIT_OP } = op.word(), { names::KEPT } = false).entered();
        let Some(edited) = edit_frame(&best.frame, op, region) else { break };
        let again = look(truth, role, &edited);
        if again.review.badness() >= best.review.badness() {
            break;
        }
        step.record(names::KEPT, true);
        best.edits.push((op, why));
        best =
            ReviewedFrame { frame: edited, review: again.review, heatmap: again.heatmap, edits: best.edits };
    }
    best
}

fn look(truth: Truth<'_>, role: Role, frame: &Frame) -> Reviewed {
    let step = debug_span!(
        names::REVIEW,
        { names::VERDICT } = Empty,
        { names::COMPARABLE } = Empty,
        { names::FAILED_AXES } = Empty,
        { names::SCORE_SHAPE } = Empty,
        { names::SCORE_COLOUR } = Empty,
        { names::SCORE_MATERIAL } = Empty,
        { names::SCORE_FEATURE } = Empty,
        { names::SCORE_SCALE } = Empty,
        { names::SCORE_CLAIM } = Empty,
        { names::SCORE_QUALITY } = Empty,
    );
    let reviewed = step.in_scope(|| measure(truth, role, frame));
    if !step.is_disabled() {
        say(&step, &reviewed.review);
    }
    reviewed
}

/// What a review found, on its span.
fn say(step: &Span, review: &Review) {
    step.record(names::VERDICT, review.verdict.word());
    step.record(names::COMPARABLE, review.comparable);
    let failed: Vec<&str> =
        review.axes.iter().filter(|axis| !axis.pass).map(|axis| axis.axis.word()).collect();
    step.record(names::FAILED_AXES, failed.join(",").as_str());
    for axis in &review.axes {
        let name = match axis.axis {
            Axis::Shape => names::SCORE_SHAPE,
            Axis::Colour => names::SCORE_COLOUR,
            Axis::Material => names::SCORE_MATERIAL,
            Axis::Feature => names::SCORE_FEATURE,
            Axis::Scale => names::SCORE_SCALE,
            Axis::Claim => names::SCORE_CLAIM,
            Axis::Quality => names::SCORE_QUALITY,
        };
        step.record(name, axis.score);
    }
}

fn measure(truth: Truth<'_>, role: Role, frame: &Frame) -> Reviewed {
    review(&ReviewRequest {
        reference: truth.photo,
        cutout: truth.cutout,
        sought: None,
        candidate: &frame.image,
        candidate_alpha: frame.alpha.as_ref(),
        role: Some(role),
        facts: Some(truth.facts),
        hint: Some(frame.placement),
    })
}

/// `None` when the operation does not apply to this image: there is then nothing to gain
/// from editing, and the review as it stands decides.
fn edit_frame(frame: &Frame, op: EditOp, region: Option<Region>) -> Option<Frame> {
    let mask = region.map(|region| region_mask(frame.image.dimensions(), region));
    let product = placed(&frame.image, &frame.product_mask);
    let settings = BTreeMap::new();
    let request = EditRequest {
        alpha: frame.alpha.as_ref(),
        mask: mask.as_ref(),
        product: Some(&product),
        ..EditRequest::new(op, &frame.image, &settings)
    };
    match apply(&request) {
        Ok(edited) if edited.image.dimensions() == frame.image.dimensions() => {
            Some(Frame { image: edited.image, alpha: edited.alpha, ..frame.clone() })
        }
        Ok(_) => None,
        Err(error) => {
            tracing::info!(op = op.word(), %error, "the edit that the review asked for does not apply");
            None
        }
    }
}

/// A product as an edit wants it: what the maker placed, where it placed it.
pub(crate) fn placed(image: &RgbImage, product_mask: &GrayImage) -> Cutout {
    Cutout {
        foreground: image.clone(),
        alpha: product_mask.clone(),
        shadow: None,
        quality: CutoutQuality {
            source: CutoutSource::SuppliedAlpha,
            agreement: 1.0,
            opinion: None,
            edge_contrast: 100.0,
            border_contact: 0.0,
            clutter: 0.0,
            soft_share: 0.0,
            parts: 1,
        },
    }
}

fn region_mask((width, height): (u32, u32), region: Region) -> GrayImage {
    GrayImage::from_fn(width, height, |x, y| {
        let inside = (region.x..region.x.saturating_add(region.w)).contains(&x)
            && (region.y..region.y.saturating_add(region.h)).contains(&y);
        Luma([if inside { 255 } else { 0 }])
    })
}

/// The verdict of a whole candidate: the heaviest of its frames.
pub fn verdict(frames: &[ReviewedFrame]) -> Verdict {
    let weight = |verdict: &Verdict| match verdict {
        Verdict::Accept => 0,
        Verdict::Edit { .. } => 1,
        Verdict::Human { .. } => 2,
        Verdict::Regenerate { .. } => 3,
    };
    frames
        .iter()
        .map(|frame| frame.review.verdict.clone())
        .max_by_key(weight)
        .unwrap_or(Verdict::Human { why: "the maker returned no frame".to_owned() })
}

/// How bad a whole candidate is, for keeping the best; smaller is better.
pub fn badness(frames: &[ReviewedFrame]) -> f64 {
    frames.iter().map(|frame| frame.review.badness()).fold(0.0, f64::max)
}
