//! Cutout: the product alone, with soft edges and no colour of the old background in them.

use std::borrow::Cow;

use packshot_imaging::cutout::{CutoutOptions, cut_out_asking};
use packshot_imaging::mask;
use packshot_imaging::photo::{Cutout, CutoutSource, Photo};

use super::settings::Settings;
use super::{EditError, EditRequest, Kept, Outcome, crop, feather};

/// Space in px that a tight crop leaves around the softest pixel.
const TIGHT_MARGIN: u32 = 2;

/// The product of a request: the given cut-out, else one made now.
pub(super) fn product_of<'a>(request: &EditRequest<'a>) -> Result<Cow<'a, Cutout>, EditError> {
    if let Some(cutout) = request.product {
        return Ok(Cow::Borrowed(cutout));
    }
    let photo = Photo::of_pixels(request.image.clone(), request.alpha.cloned());
    cut_out_asking(&photo, &CutoutOptions::DEFAULT, request.segmenter)
        .map(Cow::Owned)
        .map_err(|error| EditError::Product { op: request.op.word(), why: error.to_string() })
}

/// Runs the operation. A mask, when given, limits the product to what is inside it.
pub(super) fn run(request: &EditRequest, settings: &Settings) -> Result<Outcome, EditError> {
    let cutout = product_of(request)?;
    let mut alpha = cutout.alpha.clone();
    if let Some(mask) = request.mask {
        alpha = mask::intersection(&alpha, mask);
    }
    let bounds = mask::bounds(&alpha, 1).ok_or_else(|| EditError::Product {
        op: request.op.word(),
        why: "nothing of it is inside the mask".into(),
    })?;
    // Inside, the photo's own bytes; only the rim takes the colour freed of the background.
    let touched = mask::invert(&mask::threshold(&alpha, 255));
    let mut image = request.image.clone();
    for ((to, from), touched) in image.pixels_mut().zip(cutout.foreground.pixels()).zip(touched.pixels()) {
        if touched.0[0] > 0 {
            *to = *from;
        }
    }
    let mut notes = vec![format!(
        "outline from {}, agreement {:.2}",
        match cutout.quality.source {
            CutoutSource::SuppliedAlpha => "the file's own coverage",
            CutoutSource::Segmented => "the pixels",
            CutoutSource::Learned => "the matting model",
        },
        cutout.quality.agreement
    )];
    if settings.word("crop") == "keep" {
        return Ok(Outcome { image, alpha: Some(alpha), touched, notes, kept: Kept::Image { x: 0, y: 0 } });
    }
    let frame = feather::grown(bounds, TIGHT_MARGIN, image.width(), image.height());
    notes.push(format!("cut down to {}x{} px", frame.w, frame.h));
    let whole = EditRequest { image: &image, alpha: Some(&alpha), ..*request };
    let cut = crop::cut(&whole, frame, notes);
    Ok(Outcome { touched: feather::crop(&touched, frame), ..cut })
}
