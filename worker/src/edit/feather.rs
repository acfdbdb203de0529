//! Blending inside a feathered mask and nowhere else.
//!
//! A local edit is only as trustworthy as its edge: the mask is 255 where the edit is whole,
//! falls off smoothly over a few pixels outside, and from there on the original bytes are
//! kept exactly. [`blend`] is the only way in which local operations write pixels.

use image::{GrayImage, Luma, RgbImage};
use imageproc::distance_transform::euclidean_squared_distance_transform;
use packshot_imaging::mask;
use packshot_imaging::photo::Rect;

/// `hole` (set = 128 and more) as a soft mask: 255 inside, falling to 0 over `radius` px
/// outside along a smooth step. The same size as `hole`.
pub(super) fn feathered(hole: &GrayImage, radius: f32) -> GrayImage {
    let mut soft = mask::threshold(hole, mask::SET);
    let Some(bounds) = mask::bounds(&soft, mask::SET) else { return soft };
    let area = grown(bounds, radius.ceil() as u32 + 1, hole.width(), hole.height());
    let part = crop(&soft, area);
    let distance = euclidean_squared_distance_transform(&part);
    for (x, y, d) in distance.enumerate_pixels() {
        let d = d.0[0].sqrt() as f32;
        if d > 0.0 && d < radius + 1.0 {
            let t = 1.0 - d / (radius + 1.0);
            let value = t * t * (3.0 - 2.0 * t) * 255.0;
            soft.put_pixel(area.x + x, area.y + y, Luma([value.round() as u8]));
        }
    }
    soft
}

/// `original` with `edited` shown through `soft`; where `soft` is 0 the original bytes stay.
/// All three must have one size, else the original comes back.
pub(super) fn blend(original: &RgbImage, edited: &RgbImage, soft: &GrayImage) -> RgbImage {
    let mut out = original.clone();
    if edited.dimensions() != original.dimensions() || soft.dimensions() != original.dimensions() {
        debug_assert!(false, "blend of different sizes");
        return out;
    }
    for ((to, from), weight) in out.pixels_mut().zip(edited.pixels()).zip(soft.pixels()) {
        let weight = u32::from(weight.0[0]);
        if weight == 0 {
            continue;
        }
        for (to, from) in to.0.iter_mut().zip(from.0) {
            *to = ((u32::from(*to) * (255 - weight) + u32::from(from) * weight + 127) / 255) as u8;
        }
    }
    out
}

/// Twice the depth of the deepest set pixel of a mask, in px; 0 when it is empty.
pub(super) fn thickness(hole: &GrayImage) -> f32 {
    let Some(bounds) = mask::bounds(hole, mask::SET) else { return 0.0 };
    let rect = grown(bounds, 1, hole.width(), hole.height());
    let outside = mask::invert(&mask::threshold(&crop(hole, rect), mask::SET));
    let distance = euclidean_squared_distance_transform(&outside);
    // Without anything outside every distance is infinite: the frame is the limit.
    let frame = f64::from(rect.w.min(rect.h)).powi(2) / 4.0;
    let deepest = distance.pixels().map(|d| d.0[0].min(frame)).fold(0.0, f64::max);
    deepest.sqrt() as f32 * 2.0
}

/// `rect` grown by `by` px on every side and kept inside a `width` × `height` frame.
pub(super) fn grown(rect: Rect, by: u32, width: u32, height: u32) -> Rect {
    let x = rect.x.saturating_sub(by);
    let y = rect.y.saturating_sub(by);
    let right = rect.x.saturating_add(rect.w).saturating_add(by).min(width);
    let bottom = rect.y.saturating_add(rect.h).saturating_add(by).min(height);
    Rect { x, y, w: right.saturating_sub(x).max(1), h: bottom.saturating_sub(y).max(1) }
}

/// The part of `image` inside `rect`, which must lie inside it.
pub(super) fn crop(image: &GrayImage, rect: Rect) -> GrayImage {
    image::imageops::crop_imm(image, rect.x, rect.y, rect.w, rect.h).to_image()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use image::Rgb;

    use super::*;

    #[test]
    fn the_mask_is_whole_inside_and_gone_outside() {
        let hole = GrayImage::from_fn(40, 30, |x, y| Luma([if x == 20 && y == 15 { 255 } else { 0 }]));
        let soft = feathered(&hole, 4.0);
        assert_eq!(soft.get_pixel(20, 15).0[0], 255);
        assert!(soft.get_pixel(22, 15).0[0] > soft.get_pixel(23, 15).0[0]);
        assert_eq!(soft.get_pixel(25, 15).0[0], 0);
        assert_eq!(soft.get_pixel(20, 9).0[0], 0);
    }

    #[test]
    fn hostile_masks_pass_through() {
        for (w, h, v) in [(1, 1, 255), (1, 1, 0), (7, 1, 255), (3, 3, 127)] {
            let soft = feathered(&GrayImage::from_pixel(w, h, Luma([v])), 3.0);
            assert!(soft.pixels().all(|p| p.0[0] == if v >= 128 { 255 } else { 0 }));
        }
    }

    #[test]
    fn blending_keeps_every_byte_outside() {
        let a = RgbImage::from_fn(16, 16, |x, y| Rgb([x as u8 * 9, y as u8 * 7, 3]));
        let b = RgbImage::from_pixel(16, 16, Rgb([255, 0, 255]));
        let soft = GrayImage::from_fn(16, 16, |x, _| Luma([if x < 8 { 0 } else { x as u8 * 17 }]));
        let out = blend(&a, &b, &soft);
        for (x, y, p) in out.enumerate_pixels() {
            if x < 8 {
                assert_eq!(p, a.get_pixel(x, y));
            } else if x == 15 {
                assert_eq!(p, b.get_pixel(x, y));
            }
        }
    }
}
