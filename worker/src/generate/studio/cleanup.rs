//! Clean-up: the reference as it was composed, with the background flattened, dust gone, the
//! shadow softened, a crop that is too tight opened up and one that is too loose closed in.
//! The product's pixels stay.

use image::{GrayImage, RgbImage};
use packshot_imaging::blur::{Plane, gaussian};
use packshot_imaging::composite::{flat, shade};
use packshot_imaging::metadata::DigitalSourceType;
use packshot_imaging::photo::{Cutout, Photo, Rect};
use packshot_imaging::resize::{resize_gray, resize_plane};

use super::main::lay_shadow;
use super::pose::Pose;
use super::seed;
use super::subject::Subject;
use crate::generate::{Candidate, Made, MakeRequest};

/// Longest side of the result; larger references are reduced to it.
const SIDE_MAX: f32 = 2400.0;
/// Free space that every side should have, as a share of the product's longer side.
const MARGIN: f32 = 0.05;
/// Free space beyond which a side is cropped, as a share of the product's longer side.
const MARGIN_LOOSE: f32 = 0.3;
/// Light left (of 255) under which a pixel shows a shadow that a crop must not cut.
const SHADOW_SEEN: u8 = 246;
/// How much of the reference's own shadow is kept.
const SHADOW_KEPT: f32 = 0.7;
/// Blur of the kept shadow, as a share of the frame's longer side.
const SHADOW_SOFTENING: f32 = 0.008;

pub(super) fn make(request: &MakeRequest<'_>) -> Made {
    let Some(subject) = Subject::new(request.cutout) else {
        return Made::skipped("the cut-out of the reference covers nothing");
    };
    let mut notes = Vec::new();
    let shown = match &request.cutout.shadow {
        Some(shadow) => with_shadow(subject.bounds, shadow),
        None => subject.bounds,
    };
    let framing = Framing::around(request.cutout.alpha.dimensions(), subject.bounds, shown, &mut notes);
    let longest = framing.w.max(framing.h);
    let wanted = (SIDE_MAX / longest).min(1.0);
    let sized = subject.sized(subject.longest() * wanted);
    let scale = sized.scale;
    let size = |v: f32| ((v * scale).round() as u32).max(1);
    let (width, height) = (size(framing.w), size(framing.h));
    let mut canvas = flat(width, height, [backdrop(request.photo, request.cutout); 3]);
    let at =
        ((subject.bounds.x as f32 + framing.left) * scale, (subject.bounds.y as f32 + framing.top) * scale);
    match &request.cutout.shadow {
        Some(shadow) => own_shadow(&mut canvas, shadow, &framing, scale, seed(request)),
        None => {
            let pose = Pose::of(&request.cutout.alpha, request.style.kind(request.product));
            lay_shadow(&mut canvas, &sized, at, pose, seed(request));
            notes.push("the reference's own shadow could not be told apart; a soft one was made".to_owned());
        }
    }
    Made::Candidate(Candidate {
        frames: vec![sized.put("", canvas, at)],
        source_type: DigitalSourceType::AlgorithmicallyEnhanced,
        notes,
    })
}

/// The smallest rectangle around the product and the shadow it throws.
fn with_shadow(product: Rect, shadow: &GrayImage) -> Rect {
    let (mut left, mut top) = (product.x, product.y);
    let (mut right, mut bottom) = (product.x + product.w, product.y + product.h);
    for (x, y, light) in shadow.enumerate_pixels() {
        if light.0[0] < SHADOW_SEEN {
            (left, top) = (left.min(x), top.min(y));
            (right, bottom) = (right.max(x + 1), bottom.max(y + 1));
        }
    }
    Rect { x: left, y: top, w: right - left, h: bottom - top }
}

/// The reference's frame with room added where the product comes too close to a border
/// without being cut off by it, and taken where there is too much of it. In pixels of the
/// reference; `left` and `top` are what is added there, negative where it is taken.
struct Framing {
    left: f32,
    top: f32,
    w: f32,
    h: f32,
}

impl Framing {
    /// `shown`: the product with its shadow, which is not cropped.
    fn around((w, h): (u32, u32), product: Rect, shown: Rect, notes: &mut Vec<String>) -> Self {
        let longest = product.w.max(product.h) as f32;
        let (tight, loose) = (longest * MARGIN, longest * MARGIN_LOOSE);
        let (mut added, mut taken) = (false, false);
        let mut room = |free: u32, free_shown: u32| {
            let free = free as f32;
            if free >= 1.0 && free < tight {
                added = true;
                (tight - free).round()
            } else if free > loose {
                let spare = (free - loose).min(free_shown as f32 - tight).max(0.0).round();
                taken |= spare > 0.0;
                -spare
            } else {
                0.0
            }
        };
        let left = room(product.x, shown.x);
        let right = room(w.saturating_sub(product.x + product.w), w.saturating_sub(shown.x + shown.w));
        let top = room(product.y, shown.y);
        let bottom = room(h.saturating_sub(product.y + product.h), h.saturating_sub(shown.y + shown.h));
        if added {
            notes.push("the crop was tight: room was added around the product".to_owned());
        }
        if taken {
            notes.push("the crop was loose: empty room around the product was taken away".to_owned());
        }
        Self { left, top, w: w as f32 + left + right, h: h as f32 + top + bottom }
    }
}

/// Level of the flat neutral background: a light photo keeps about its own tone, every
/// other one gets a light grey.
fn backdrop(photo: &Photo, cutout: &Cutout) -> u8 {
    const USUAL: u8 = 248;
    if photo.alpha.is_some() || photo.rgb.dimensions() != cutout.alpha.dimensions() {
        return USUAL;
    }
    let (w, h) = photo.rgb.dimensions();
    let mut levels: Vec<u8> = Vec::new();
    for y in (0..h).step_by((h as usize / 64).max(1)) {
        for x in (0..w).step_by((w as usize / 64).max(1)) {
            if cutout.alpha.get_pixel(x, y).0[0] == 0 {
                let p = photo.rgb.get_pixel(x, y).0;
                levels.push(((u32::from(p[0]) * 3 + u32::from(p[1]) * 6 + u32::from(p[2])) / 10) as u8);
            }
        }
    }
    levels.sort_unstable();
    match levels.get(levels.len() * 6 / 10) {
        Some(level) if *level >= 215 => level.saturating_add(8).clamp(238, 252),
        Some(_) | None => USUAL,
    }
}

/// Lays the reference's own shadow, softened and lightened, into the new frame.
fn own_shadow(canvas: &mut RgbImage, shadow: &GrayImage, framing: &Framing, scale: f32, seed: u64) {
    // A soft thing needs few pixels: a quarter of the size is blurred, then read back
    // between its pixels.
    let (w, h) = ((shadow.width() / 4).max(1), (shadow.height() / 4).max(1));
    let small = Plane::from_gray(&resize_gray(shadow, w, h));
    let sigma = (w.max(h) as f32 * SHADOW_SOFTENING).max(0.6);
    let full = gaussian(&small, sigma);
    let factor = resize_plane(
        &full,
        ((shadow.width() as f32 * scale).round() as u32).max(1),
        ((shadow.height() as f32 * scale).round() as u32).max(1),
    );

    let (ox, oy) = ((framing.left * scale).round() as i64, (framing.top * scale).round() as i64);
    let (sw, sh) = (i64::from(factor.width), i64::from(factor.height));
    shade(canvas, seed, |x, y| {
        let (u, v) = (i64::from(x) - ox, i64::from(y) - oy);
        if u < 0 || v < 0 || u >= sw || v >= sh {
            return 1.0;
        }
        1.0 - SHADOW_KEPT * (1.0 - (factor.data[(v * sw + u) as usize] / 255.0).clamp(0.0, 1.0))
    });
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use packshot_pipeline::role::Role;

    use crate::generate::Made;
    use crate::generate::studio::make;
    use crate::generate::studio::testing::{Case, disc};

    #[test]
    fn the_framing_stays_and_the_background_is_flat() {
        let case = Case::new("Mug", "kitchen", disc(640, 480, 0.42));
        let Made::Candidate(made) = make(&case.request(Role::Cleanup)) else { panic!("skipped") };
        let frame = &made.frames[0];
        assert_eq!(frame.image.dimensions(), (640, 480));
        assert_eq!(frame.image.get_pixel(2, 2), frame.image.get_pixel(637, 3));
        assert_eq!(frame.scale_factor, 1.0);
    }

    #[test]
    fn a_loose_crop_is_closed_in_around_the_product() {
        let case = Case::new("Mug", "kitchen", disc(900, 900, 0.15));
        let Made::Candidate(made) = make(&case.request(Role::Cleanup)) else { panic!("skipped") };
        let side = made.frames[0].image.width();
        assert!((400..480).contains(&side), "{side}");
        assert!(made.notes.iter().any(|note| note.contains("loose")), "{:?}", made.notes);
    }

    #[test]
    fn a_tight_crop_is_opened() {
        let case = Case::new("Mug", "kitchen", disc(400, 400, 0.495));
        let Made::Candidate(made) = make(&case.request(Role::Cleanup)) else { panic!("skipped") };
        assert!(made.frames[0].image.width() > 400 && !made.notes.is_empty());
    }
}
