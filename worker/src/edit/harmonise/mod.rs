//! Harmonise: the light on the product as in another picture of the same product.
//!
//! Product truth comes first: what may be undone is a change of light on the whole product (a
//! cast, an exposure, a contrast), never a colour. So the change is a light model of five
//! numbers, fitted to what both pictures show ([`pairs`]), and the operation is refused when
//! the colours still disagree under the best such light, when no believable light is as
//! strong, and when the colours were lost in clipped places. A tint of a product that has one
//! colour only and a tint of its light look alike; there the bound on the light is the guard,
//! and what is reached is the colour of the other picture, never one of its own.
//!
//! Only pixels of the product change, as far as they are covered by it.

mod agree;
mod curve;
mod light;
mod pairs;

use std::borrow::Cow;

use image::{GrayImage, RgbImage};
use packshot_imaging::cutout::{CutoutOptions, cut_out_asking};
use packshot_imaging::mask;
use packshot_imaging::photo::Photo;

use super::cutout::product_of;
use super::settings::Settings;
use super::{EditError, EditRequest, Kept, Outcome, feather};

use agree::{Agreement, agreement};
use light::Light;

/// Difference of the colours in CIEDE2000 under which nobody sees one.
const ALIKE: f32 = 0.8;
/// Share of the difference that a light must explain to be worth taking out.
const EXPLAINED_MIN: f32 = 0.3;

/// Runs the operation. A mask, when given, limits the product to what is inside it.
pub(super) fn run(request: &EditRequest, settings: &Settings) -> Result<Outcome, EditError> {
    let op = request.op.word();
    let target = request.picture.ok_or(EditError::PictureMissing { op })?;
    let cutout = product_of(request)?;
    let product = match request.mask {
        Some(mask) => Cow::Owned(mask::intersection(&cutout.alpha, mask)),
        None => Cow::Borrowed(&cutout.alpha),
    };
    let target_product = product_in(target, request)?;
    let refused = |why: String| EditError::Refused { op, why };
    let pairs = pairs::pairs(target, &target_product, request.image, &product).map_err(refused)?;
    let before = agreement(&pairs, &Light::none());
    if before.whole < ALIKE {
        let note = format!("its light agrees already: {:.1} CIEDE2000 between the colours", before.whole);
        return Ok(unchanged(request, vec![note]));
    }
    let light = light::fit(&pairs.list);
    let after = agreement(&pairs, &light);
    checked(&light, &before, &after).map_err(refused)?;
    let light = light.weakened(settings.number("strength"));
    if light.is_none() {
        return Ok(unchanged(request, vec!["nothing was changed: strength is 0".to_owned()]));
    }
    curve::checked(request.image, &product, &light).map_err(refused)?;
    let lit = curve::lit(request.image, &product, &light);
    let image = feather::blend(request.image, &lit, &product);
    let mut notes = vec![light.words()];
    notes.push(format!(
        "the colours differed by {:.1} CIEDE2000 and would by {:.1} under the whole of that light, {}",
        before.whole,
        after.whole,
        if pairs.matched { "pixel by pixel" } else { "colour by colour: the views differ" }
    ));
    Ok(Outcome {
        image,
        alpha: request.alpha.cloned(),
        touched: product.into_owned(),
        notes,
        kept: Kept::Image { x: 0, y: 0 },
    })
}

/// The coverage of the product in the other picture: given, or cut out now.
fn product_in<'a>(target: &RgbImage, request: &EditRequest<'a>) -> Result<Cow<'a, GrayImage>, EditError> {
    if let Some(product) = request.picture_product {
        return Ok(Cow::Borrowed(product));
    }
    let photo = Photo::of_pixels(target.clone(), None);
    cut_out_asking(&photo, &CutoutOptions::DEFAULT, request.segmenter)
        .map(|cutout| Cow::Owned(cutout.alpha))
        .map_err(|error| EditError::Product {
            op: request.op.word(),
            why: format!("in the other picture: {error}"),
        })
}

fn unchanged(request: &EditRequest, notes: Vec<String>) -> Outcome {
    let (w, h) = request.image.dimensions();
    Outcome {
        image: request.image.clone(),
        alpha: request.alpha.cloned(),
        touched: GrayImage::new(w, h),
        notes,
        kept: Kept::Image { x: 0, y: 0 },
    }
}

/// Whether it is another light and nothing else, and one that a picture can be freed of.
fn checked(light: &Light, before: &Agreement, after: &Agreement) -> Result<(), String> {
    if let Some(why) = light.unbelievable() {
        return Err(format!("{why}: that is another colour, not another light; make the image anew"));
    }
    if let Some(why) = after.disagrees() {
        return Err(format!("{why}: that is another colour, not another light; make the image anew"));
    }
    let explained = 1.0 - after.whole / before.whole.max(1e-6);
    if explained < EXPLAINED_MIN {
        return Err(format!(
            "no light explains the difference of {:.1} CIEDE2000, the best leaves {:.1} of it",
            before.whole, after.whole
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
