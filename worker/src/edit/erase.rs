//! Erase: an object disappears and its surroundings go on where it stood.

use image::GrayImage;
use packshot_imaging::mask;

use super::inpaint::{self, Filled, Method};
use super::settings::Settings;
use super::{EditError, EditRequest, Kept, Outcome, feather, painted};

/// Width in px of the blend around the filled hole.
const RIM: u32 = 3;
/// Coverage from which a pixel belongs to the product and is protected.
const PRODUCT: u8 = 8;

/// Runs the operation. The mask says what goes; with a known product and `protect=product` the
/// product stays and is no material for the fill.
pub(super) fn run(request: &EditRequest, settings: &Settings) -> Result<Outcome, EditError> {
    let op = request.op.word();
    let mut hole = mask::dilate(&painted(request)?, settings.pixels("grow"));
    let mut notes = Vec::new();
    let protected = request.product.filter(|_| settings.word("protect") == "product");
    let background = protected.map(|cutout| mask::invert(&mask::threshold(&cutout.alpha, PRODUCT)));
    if let Some(background) = &background {
        let before = mask::area(&hole);
        hole = mask::intersection(&hole, background);
        let after = mask::area(&hole);
        if after == 0 {
            let why = "the mask lies wholly on the product; set protect=nothing to change the product itself";
            return Err(EditError::Refused { op, why: why.into() });
        }
        if after < before {
            notes.push("the product under the mask was left alone".into());
        }
    }
    let method = Method::parse(settings.word("method"));
    let (outcome, methods) = repair(request, &hole, background.as_ref(), RIM, method)?;
    notes.push(format!("filled {methods}"));
    Ok(Outcome { notes, ..outcome })
}

/// Fills `hole` and blends it in over `rim` px, never beyond `allowed`; also says in words how.
pub(super) fn repair(
    request: &EditRequest,
    hole: &GrayImage,
    allowed: Option<&GrayImage>,
    rim: u32,
    method: Option<Method>,
) -> Result<(Outcome, String), EditError> {
    let mut soft = feather::feathered(hole, rim as f32);
    if let Some(allowed) = allowed {
        soft = mask::intersection(&soft, allowed);
    }
    let wide = mask::threshold(&soft, 1);
    // Under transparent pixels there is no colour to learn from.
    let seen = request.alpha.map(|alpha| mask::threshold(alpha, 250));
    let material = match (allowed, &seen) {
        (Some(allowed), Some(seen)) => Some(mask::intersection(allowed, seen)),
        (Some(only), None) | (None, Some(only)) => Some(only.clone()),
        (None, None) => None,
    };
    let Filled { image, methods } = inpaint::fill(request.image, &wide, material.as_ref(), method)
        .map_err(|error| EditError::Refused { op: request.op.word(), why: error.to_string() })?;
    let words: Vec<String> =
        methods.iter().map(|(method, count)| format!("{count} by {}", method.word())).collect();
    let outcome = Outcome {
        image: feather::blend(request.image, &image, &soft),
        alpha: request.alpha.cloned(),
        touched: soft,
        notes: Vec::new(),
        kept: Kept::Image { x: 0, y: 0 },
    };
    Ok((outcome, words.join(", ")))
}
