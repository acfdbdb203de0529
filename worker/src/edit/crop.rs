//! Crop: another frame, to the product with a margin or to a given rectangle.
//!
//! A crop never resamples: every pixel of the new frame is a pixel of the old one.

use image::GrayImage;
use packshot_imaging::mask;
use packshot_imaging::photo::Rect;

use super::cutout::product_of;
use super::settings::Settings;
use super::{EditError, EditRequest, Kept, Outcome};

/// Coverage from which a pixel counts as product when its bounds are taken.
const PRODUCT: u8 = 16;

/// Runs the operation.
pub(super) fn run(request: &EditRequest, settings: &Settings) -> Result<Outcome, EditError> {
    let op = request.op.word();
    let (w, h) = request.image.dimensions();
    let mut notes = Vec::new();
    let frame = match settings.rect("rect") {
        Some(rect) => {
            let fits = u64::from(rect.x) + u64::from(rect.w) <= u64::from(w)
                && u64::from(rect.y) + u64::from(rect.h) <= u64::from(h);
            if !fits {
                let why = format!("the rectangle reaches beyond the image, which is {w}x{h} px");
                return Err(EditError::Refused { op, why });
            }
            rect
        }
        None => around_product(request, settings, &mut notes)?,
    };
    notes.push(format!("cut to {}x{} px at {},{}", frame.w, frame.h, frame.x, frame.y));
    Ok(cut(request, frame, notes))
}

/// The outcome that shows `frame` of the image.
pub(super) fn cut(request: &EditRequest, frame: Rect, notes: Vec<String>) -> Outcome {
    let Rect { x, y, w, h } = frame;
    Outcome {
        image: image::imageops::crop_imm(request.image, x, y, w, h).to_image(),
        alpha: request.alpha.map(|alpha| image::imageops::crop_imm(alpha, x, y, w, h).to_image()),
        touched: GrayImage::new(w, h),
        notes,
        kept: Kept::Image { x: -i64::from(x), y: -i64::from(y) },
    }
}

fn around_product(
    request: &EditRequest,
    settings: &Settings,
    notes: &mut Vec<String>,
) -> Result<Rect, EditError> {
    let op = request.op.word();
    let bounds = if let Some(mask) = request.mask {
        mask::bounds(mask, mask::SET).ok_or(EditError::MaskMissing { op })?
    } else {
        let cutout = product_of(request)?;
        mask::bounds(&cutout.alpha, PRODUCT)
            .ok_or_else(|| EditError::Product { op, why: "the cut-out is empty".into() })?
    };
    let (w, h) = request.image.dimensions();
    fitted(bounds, settings.number("margin"), settings.ratio("ratio"), w, h, notes).ok_or_else(|| {
        let why = "a frame of this ratio would cut the product; extend the canvas with outpaint first";
        EditError::Refused { op: request.op.word(), why: why.into() }
    })
}

/// The smallest frame of `ratio` around `bounds` with `margin` (a share of the longer side),
/// moved and, where the image is too small, with less margin. `None` when the ratio cannot be
/// had without cutting the product.
fn fitted(
    bounds: Rect,
    margin: f64,
    ratio: Option<f64>,
    width: u32,
    height: u32,
    notes: &mut Vec<String>,
) -> Option<Rect> {
    let (pw, ph) = (f64::from(bounds.w), f64::from(bounds.h));
    let space = 2.0 * margin * pw.max(ph);
    let (mut w, mut h) = (pw + space, ph + space);
    if let Some(ratio) = ratio {
        (w, h) = (w.max(h * ratio), h.max(w / ratio));
    }
    let (fw, fh) = (f64::from(width), f64::from(height));
    if w > fw || h > fh {
        (w, h) = if ratio.is_some() {
            let shrink = (fw / w).min(fh / h);
            (w * shrink, h * shrink)
        } else {
            (w.min(fw), h.min(fh))
        };
        notes.push("the image is too small for the whole margin; it was made smaller".into());
    }
    let (w, h) = (whole(w, width), whole(h, height));
    if w < bounds.w || h < bounds.h {
        return None;
    }
    // Centred on the product, then pushed back into the image.
    let x =
        (f64::from(bounds.x) + pw / 2.0 - f64::from(w) / 2.0).round().clamp(0.0, f64::from(width - w)) as u32;
    let y = (f64::from(bounds.y) + ph / 2.0 - f64::from(h) / 2.0).round().clamp(0.0, f64::from(height - h))
        as u32;
    Some(Rect { x, y, w, h })
}

fn whole(length: f64, limit: u32) -> u32 {
    (length.round() as u32).clamp(1, limit)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use super::*;

    fn check(
        bounds: (u32, u32, u32, u32),
        margin: f64,
        ratio: Option<f64>,
        frame: Option<(u32, u32, u32, u32)>,
    ) {
        let (x, y, w, h) = bounds;
        let found = fitted(Rect { x, y, w, h }, margin, ratio, 1000, 800, &mut Vec::new());
        assert_eq!(found.map(|r| (r.x, r.y, r.w, r.h)), frame);
    }

    #[test]
    fn frames_hold_the_product_and_the_ratio() {
        check((400, 300, 200, 100), 0.1, None, Some((380, 280, 240, 140)));
        check((400, 300, 200, 100), 0.1, Some(1.0), Some((380, 230, 240, 240)));
        check((0, 0, 200, 100), 0.1, Some(1.0), Some((0, 0, 240, 240)));
        check((100, 0, 300, 800), 0.1, Some(1.0), Some((0, 0, 800, 800)));
        check((0, 100, 1000, 300), 0.1, Some(1.0), None);
        check((0, 0, 1000, 800), 0.5, None, Some((0, 0, 1000, 800)));
        check((5, 5, 1, 1), 0.0, Some(20.0), Some((0, 5, 20, 1)));
    }
}
