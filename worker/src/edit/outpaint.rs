//! Outpaint: a larger canvas, continued from a plain background.
//!
//! The rows and columns at the frame's edge go on: their colour, the slope of their light,
//! and their grain. That is honest for walls, sweeps and table tops and for nothing else, so
//! an edge that shows a pattern, an object or the product itself is refused.

mod edge;

use image::{GrayImage, Luma};
use packshot_imaging::mask;

use super::settings::Settings;
use super::{EditError, EditRequest, Kept, Outcome, PIXELS_MAX, SIDE_MAX};
use edge::{Continued, Side};

/// Runs the operation.
pub(super) fn run(request: &EditRequest, settings: &Settings) -> Result<Outcome, EditError> {
    let op = request.op.word();
    let (w, h) = request.image.dimensions();
    let mut sides = ["left", "right", "top", "bottom"].map(|side| settings.pixels(side));
    if let Some(ratio) = settings.ratio("ratio") {
        widen(&mut sides, w, h, ratio);
    }
    let [left, right, top, bottom] = sides;
    let (to_w, to_h) = (
        u64::from(w) + u64::from(left) + u64::from(right),
        u64::from(h) + u64::from(top) + u64::from(bottom),
    );
    if to_w.max(to_h) > u64::from(SIDE_MAX) || to_w * to_h > PIXELS_MAX {
        let why = format!("{to_w}x{to_h} px is more than {SIDE_MAX} px a side or {PIXELS_MAX} pixels");
        return Err(EditError::Refused { op, why });
    }
    if sides == [0; 4] {
        let why = "nothing to add: give left, right, top or bottom in px, or a ratio other than the image's";
        return Err(EditError::Refused { op, why: why.into() });
    }
    let mut image = request.image.clone();
    let mut free = free(request);
    // Sides first, then top and bottom over the whole new width, so corners agree.
    for (side, by) in [(Side::Left, left), (Side::Right, right), (Side::Top, top), (Side::Bottom, bottom)] {
        if by > 0 {
            let continued: Continued =
                edge::continued(&image, &free, side, by).map_err(|why| EditError::Refused { op, why })?;
            (image, free) = (continued.image, continued.free);
        }
    }
    let mut touched = GrayImage::from_pixel(image.width(), image.height(), Luma([255]));
    image::imageops::replace(&mut touched, &GrayImage::new(w, h), i64::from(left), i64::from(top));
    let alpha = request.alpha.map(|alpha| {
        let mut wide = GrayImage::from_pixel(image.width(), image.height(), Luma([255]));
        image::imageops::replace(&mut wide, alpha, i64::from(left), i64::from(top));
        wide
    });
    let notes =
        vec![format!("{w}x{h} to {to_w}x{to_h} px: {left} left, {right} right, {top} above, {bottom} below")];
    Ok(Outcome { image, alpha, touched, notes, kept: Kept::Image { x: i64::from(left), y: i64::from(top) } })
}

/// Adds what is missing to the ratio, half on each side.
fn widen(sides: &mut [u32; 4], w: u32, h: u32, ratio: f64) {
    let (now_w, now_h) = (
        f64::from(w) + f64::from(sides[0]) + f64::from(sides[1]),
        f64::from(h) + f64::from(sides[2]) + f64::from(sides[3]),
    );
    let more_w = (now_h * ratio - now_w).round().max(0.0) as u32;
    let more_h = (now_w / ratio - now_h).round().max(0.0) as u32;
    for (side, more) in [(0, more_w / 2), (1, more_w - more_w / 2), (2, more_h / 2), (3, more_h - more_h / 2)]
    {
        sides[side] = sides[side].saturating_add(more);
    }
}

/// 255 where there is background to continue: not product, not transparent.
fn free(request: &EditRequest) -> GrayImage {
    let (w, h) = request.image.dimensions();
    let mut free = GrayImage::from_pixel(w, h, Luma([255]));
    if let Some(cutout) = request.product {
        free = mask::invert(&mask::threshold(&cutout.alpha, 8));
    }
    match request.alpha {
        Some(alpha) => mask::intersection(&free, &mask::threshold(alpha, 250)),
        None => free,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use super::*;

    fn check(sides: [u32; 4], size: (u32, u32), ratio: f64, wanted: [u32; 4]) {
        let mut sides = sides;
        widen(&mut sides, size.0, size.1, ratio);
        assert_eq!(sides, wanted);
    }

    #[test]
    fn ratios_are_reached_by_adding_only() {
        check([0; 4], (100, 100), 1.0, [0; 4]);
        check([0; 4], (100, 100), 2.0, [50, 50, 0, 0]);
        check([0; 4], (100, 80), 0.8, [0, 0, 22, 23]);
        check([10, 0, 0, 0], (100, 110), 1.0, [10, 0, 0, 0]);
    }
}
