//! Retouch: dust, scratches, glare, creases and harsh shadows.
//!
//! Dust and scratches are replaced from their surroundings; glare, creases and shadows are
//! light on a surface that is still there, so they are attenuated and the surface's own
//! texture is kept. What could be part of the product is not guessed at: without a mask only
//! specks are looked for on it, while scratches (a seam?), glare (gloss?) and creases (a
//! fold?) wait for somebody to point at them.

mod find;
mod light;

use image::GrayImage;
use packshot_imaging::mask;

use super::cutout::product_of;
use super::erase::repair;
use super::inpaint::Method;
use super::settings::Settings;
use super::{EditError, EditRequest, Kept, Outcome, feather, painted};

/// A painted mask at most this thick, in px, is taken for the defect itself.
const DEFECT_THICKNESS_MAX: f32 = 28.0;
/// Width in px of the blend around a replaced speck.
const RIM: u32 = 1;

/// Runs the operation.
pub(super) fn run(request: &EditRequest, settings: &Settings) -> Result<Outcome, EditError> {
    let strength = settings.number("strength") as f32;
    match settings.word("kind") {
        "glare" => Ok(light::glare(request, &painted(request)?, strength)),
        "crease" => Ok(light::crease(request, &painted(request)?, strength)),
        "shadow" if request.mask.is_some() => Ok(light::shadow(request, &painted(request)?, strength)),
        "shadow" => own_shadow(request, strength),
        "dust" | "scratch" if request.mask.is_some() => replace(request, &painted(request)?),
        kind => automatic(request, settings, kind),
    }
}

/// Looks for defects and replaces them; in a mask, tells by the pixels what is wrong there.
fn automatic(request: &EditRequest, settings: &Settings, kind: &str) -> Result<Outcome, EditError> {
    let area = request.mask.map(|_| painted(request)).transpose()?;
    let product = request.product.map(|cutout| &cutout.alpha);
    let wanted = find::Wanted {
        dust: kind != "scratch",
        scratches: kind != "dust",
        scratches_on_product: kind == "scratch" || area.is_some(),
        sensitivity: settings.number("sensitivity") as f32,
    };
    let found = find::defects(request.image, request.alpha, product, area.as_ref(), &wanted);
    if found.specks + found.scratches > 0 {
        let mut outcome = replace(request, &found.mask)?;
        outcome.notes.insert(0, format!("found {} specks and {} scratches", found.specks, found.scratches));
        return Ok(outcome);
    }
    let Some(area) = area else { return Ok(unchanged(request, "no dust or scratches found")) };
    let strength = settings.number("strength") as f32;
    match light::diagnose(request.image, &area) {
        light::Fault::Glare => Ok(light::glare(request, &area, strength)),
        light::Fault::Shadow => Ok(light::shadow(request, &area, strength)),
        light::Fault::Unclear if feather::thickness(&area) <= DEFECT_THICKNESS_MAX => replace(request, &area),
        light::Fault::Unclear => Ok(unchanged(request, "nothing to repair was found inside the mask")),
    }
}

fn unchanged(request: &EditRequest, note: &str) -> Outcome {
    Outcome {
        image: request.image.clone(),
        alpha: request.alpha.cloned(),
        touched: GrayImage::new(request.image.width(), request.image.height()),
        notes: vec![note.into()],
        kept: Kept::Image { x: 0, y: 0 },
    }
}

/// Fills the holes from what is around them: product from product, background from
/// background, so a speck on the silhouette does not move it.
fn replace(request: &EditRequest, holes: &GrayImage) -> Result<Outcome, EditError> {
    let method = (feather::thickness(holes) <= DEFECT_THICKNESS_MAX).then_some(Method::Frequency);
    let Some(product) = request.product.map(|cutout| mask::threshold(&cutout.alpha, mask::SET)) else {
        let (mut outcome, methods) = repair(request, holes, None, RIM, method)?;
        outcome.notes.push(format!("filled {methods}"));
        return Ok(outcome);
    };
    let mut outcome = unchanged(request, "nothing was left to fill");
    for (side, word) in [(product.clone(), "on the product"), (mask::invert(&product), "beside it")] {
        let part = mask::intersection(holes, &side);
        // Beside a cut-out there is nothing to repair.
        let nothing = request.alpha.is_some() && word == "beside it";
        if nothing || mask::area(&part) == 0 {
            continue;
        }
        let image = outcome.image;
        let (next, methods) =
            repair(&EditRequest { image: &image, ..*request }, &part, Some(&side), RIM, method)?;
        let first = mask::area(&outcome.touched) == 0;
        let mut notes = if first { Vec::new() } else { outcome.notes };
        notes.push(format!("filled {methods} {word}"));
        outcome = Outcome { touched: mask::union(&outcome.touched, &next.touched), notes, ..next };
    }
    Ok(outcome)
}

/// Softens the photo's own shadow on the ground, found with the cut-out.
fn own_shadow(request: &EditRequest, strength: f32) -> Result<Outcome, EditError> {
    let cutout = product_of(request)?;
    let Some(shadow) = &cutout.shadow else {
        let why = "no shadow could be told from the background; paint it as a mask";
        return Err(EditError::Refused { op: request.op.word(), why: why.into() });
    };
    let (image, touched) = light::softened(request.image, &cutout.alpha, shadow, strength);
    Ok(Outcome {
        image: feather::blend(request.image, &image, &mask::threshold(&touched, 1)),
        alpha: request.alpha.cloned(),
        touched,
        notes: vec![format!("softened the shadow on the ground by {:.0} %", strength * 100.0)],
        kept: Kept::Image { x: 0, y: 0 },
    })
}
