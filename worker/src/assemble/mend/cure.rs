//! The edits that can bring one image in line with its set, and the review that each edited
//! image must pass again.

use std::collections::BTreeMap;

use image::{GrayImage, RgbImage};
use packshot_imaging::mask;
use packshot_imaging::photo::Rect;
use packshot_imaging::register::Similarity;
use packshot_imaging::resize::crop_gray;
use packshot_pipeline::finding::{EditOp, Verdict};

use super::super::export::Member;
use super::super::{frame, provenance};
use crate::edit::{EditError, EditRequest, Edited, apply};
use crate::refine::{Truth, placed};
use crate::review::{ReviewRequest, review};

/// Why an edited image does not take the place of the accepted one.
#[derive(Debug, thiserror::Error)]
pub(super) enum CureError {
    /// The operation would do harm.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// The operation found nothing to do.
    #[error("it changed nothing: {0}")]
    Unchanged(String),
    /// The mask says that there is no product, or that it is cut.
    #[error("the product's place in the image is not known well enough to set a frame around it")]
    Frame,
    /// The review does not accept it.
    #[error("the review of the edited image says {verdict}: {why}")]
    Review {
        /// The verdict's word.
        verdict: &'static str,
        /// Its reason.
        why: String,
    },
    /// The set sees no difference.
    #[error("it would still stand out as much")]
    StillOut,
    /// Another disagreement would take its place.
    #[error("the {image} image would stand out in {property} instead")]
    OtherOut {
        /// Which image.
        image: String,
        /// In which property.
        property: String,
    },
}

/// `member` in the light of `target`, and what was done.
pub(super) fn harmonised(
    member: &Member,
    target: &RgbImage,
    target_product: &GrayImage,
) -> Result<(Member, String), CureError> {
    let product = placed(&member.image, &member.product_mask);
    let edited = apply(&EditRequest {
        product: Some(&product),
        picture: Some(target),
        picture_product: Some(target_product),
        ..EditRequest::new(EditOp::Harmonise, &member.image, &BTreeMap::new())
    })?;
    taken(member, EditOp::Harmonise, edited, member.product_mask.clone())
}

/// `member` with the softness of its product taken back.
pub(super) fn restored(member: &Member) -> Result<(Member, String), CureError> {
    let product = placed(&member.image, &member.product_mask);
    let edited = apply(&EditRequest {
        mask: Some(&member.product_mask),
        product: Some(&product),
        ..EditRequest::new(EditOp::Restore, &member.image, &BTreeMap::new())
    })?;
    taken(member, EditOp::Restore, edited, member.product_mask.clone())
}

/// `member` cut down until its product fills as much of the frame as that of `like`.
pub(super) fn cropped(member: &Member, like: &Member) -> Result<(Member, String), CureError> {
    let rect = frame_like(member, like).ok_or(CureError::Frame)?;
    let Rect { x, y, w, h } = rect;
    let settings = BTreeMap::from([("rect".to_owned(), format!("{x},{y},{w},{h}"))]);
    let edited = apply(&EditRequest::new(EditOp::Crop, &member.image, &settings))?;
    taken(member, EditOp::Crop, edited, crop_gray(&member.product_mask, rect))
}

fn taken(
    member: &Member,
    op: EditOp,
    edited: Edited,
    product_mask: GrayImage,
) -> Result<(Member, String), CureError> {
    let did = edited.notes.join("; ");
    if edited.image == member.image {
        return Err(CureError::Unchanged(did));
    }
    let source_type = provenance::edited(member.source_type, op);
    Ok((Member { image: edited.image, product_mask, source_type, ..member.clone() }, did))
}

/// The part of `member` in its own ratio, around its product as far as it can be in the middle.
fn frame_like(member: &Member, like: &Member) -> Option<Rect> {
    let fill_of = |member: &Member| {
        let (w, h) = member.image.dimensions();
        mask::bounds(&member.product_mask, mask::SET).map(|bounds| (bounds, frame::fill(bounds, w, h)))
    };
    let ((product, fill), (_, wanted)) = (fill_of(member)?, fill_of(like)?);
    let (width, height) = member.image.dimensions();
    let share = (fill / wanted.max(1e-6)).min(1.0);
    let side = |length: u32, least: u32| ((f64::from(length) * share).round() as u32).clamp(least, length);
    let (w, h) = (side(width, product.w), side(height, product.h));
    let place = |start: u32, length: u32, frame: u32, whole: u32| {
        let middle = f64::from(start) + f64::from(length) / 2.0 - f64::from(frame) / 2.0;
        (middle.round().max(0.0) as u32).min(whole - frame)
    };
    Some(Rect { x: place(product.x, product.w, w, width), y: place(product.y, product.h, h, height), w, h })
}

/// Reviews an edited image as any other candidate of its role.
pub(super) fn reviewed(member: &Member, truth: Truth<'_>) -> Result<(), CureError> {
    let seen = review(&ReviewRequest {
        reference: truth.photo,
        cutout: truth.cutout,
        sought: None,
        candidate: &member.image,
        candidate_alpha: None,
        role: Some(member.role),
        facts: Some(truth.facts),
        hint: hint(&truth.cutout.alpha, member),
    });
    let verdict = seen.review.verdict.word();
    match seen.review.verdict {
        Verdict::Accept => Ok(()),
        Verdict::Edit { why, .. } | Verdict::Regenerate { why } | Verdict::Human { why } => {
            Err(CureError::Review { verdict, why })
        }
    }
}

/// Where the reference lies in the image, by the outlines of the product in both; `None` where
/// a frame cuts one of them. The review believes it only where the pictures bear it out.
fn hint(reference: &GrayImage, member: &Member) -> Option<Similarity> {
    let whole = |product: &GrayImage| {
        let b = mask::bounds(product, mask::SET)?;
        let cut = b.x == 0 || b.y == 0 || b.x + b.w >= product.width() || b.y + b.h >= product.height();
        (!cut).then_some(b)
    };
    let (from, to) = (whole(reference)?, whole(&member.product_mask)?);
    let scale = (to.w + to.h) as f32 / (from.w + from.h) as f32;
    let middle = |start: u32, length: u32| start as f32 + length as f32 / 2.0;
    Some(Similarity {
        scale,
        angle: 0.0,
        tx: middle(to.x, to.w) - scale * middle(from.x, from.w),
        ty: middle(to.y, to.h) - scale * middle(from.y, from.h),
    })
}
