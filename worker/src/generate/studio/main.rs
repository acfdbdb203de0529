//! Main: the whole product, centred on exact white; beside it the same with a soft
//! contact shadow, for channels that allow one.

use image::RgbImage;
use packshot_imaging::composite::shadow::{GroundShadow, Light, Rest, ground_shadow};
use packshot_imaging::composite::{flat, shade};
use packshot_imaging::metadata::DigitalSourceType;
use packshot_imaging::photo::Cutout;

use super::pose::Pose;
use super::subject::{Sized, Subject, scale_note};
use super::{contrast_with_white, seed};
use crate::generate::{Candidate, Made, MakeRequest};

/// Soft light from above and a little from the front left, as over a packshot table.
const TABLE_LIGHT: Light = Light { azimuth: -2.4, altitude: 1.15, radius: 0.4, key: 0.4 };
/// How much of the shadow's darkness is kept on white.
const SHADOW_STRENGTH: f32 = 0.62;
/// Contrast (Lab L) of the rim against white under which a person is told.
const CONTRAST_WEAK: f32 = 4.0;

pub(super) fn make(request: &MakeRequest<'_>) -> Made {
    packshot(request, request.cutout)
}

/// A packshot of any view on white.
pub(super) fn packshot(request: &MakeRequest<'_>, cutout: &Cutout) -> Made {
    let Some(subject) = Subject::new(cutout) else {
        return Made::skipped("the cut-out of the reference covers nothing");
    };
    let fill = request.style.fill.main.clamp(0.5, 0.94);
    let side = subject.master_side(fill);
    let sized = subject.sized(side as f32 * fill);
    let at = sized.centred(side, side);
    let white = flat(side, side, [255; 3]);
    let plain = sized.put("", white.clone(), at);

    let pose = Pose::of(&cutout.alpha, request.style.kind(request.product));
    let mut grounded = white;
    lay_shadow(&mut grounded, &sized, at, pose, seed(request));
    let shadow = sized.put("shadow", grounded, at);

    let mut notes: Vec<String> = scale_note(sized.scale).into_iter().collect();
    if side < 1000 {
        notes.push(format!("the reference is small: the master measures {side} px, channels want 1000 px"));
    }
    let contrast = contrast_with_white(&plain.image, &plain.product_mask);
    if contrast < CONTRAST_WEAK {
        notes.push(
            "the product is nearly white: its outline is weak on white; the frame with a shadow reads better"
                .into(),
        );
    }
    Made::Candidate(Candidate {
        frames: vec![plain, shadow],
        source_type: DigitalSourceType::AlgorithmicallyEnhanced,
        notes,
    })
}

/// Darkens a light canvas by the shadow of a product placed at `at`.
pub(super) fn lay_shadow(canvas: &mut RgbImage, sized: &Sized, at: (f32, f32), pose: Pose, seed: u64) {
    let rest = pose.rest(sized.inner.w.max(sized.inner.h));
    let shadow = ground_shadow(&sized.alpha, rest, TABLE_LIGHT);
    let corner = sized.corner(at);
    let (w, h) = (canvas.width() as f32, canvas.height() as f32);
    shade(canvas, seed, |x, y| {
        let light = on_screen(&shadow, rest, x as f32 - corner.0 as f32, y as f32 - corner.1 as f32);
        // Nothing of the shadow may meet the frame's border.
        let border = (x as f32).min(w - 1.0 - x as f32).min(y as f32).min(h - 1.0 - y as f32);
        let fade = (border / (0.045 * w.min(h))).clamp(0.0, 1.0);
        1.0 - (1.0 - light) * SHADOW_STRENGTH * fade * fade * (3.0 - 2.0 * fade)
    });
}

/// Light left at a pixel, given relative to the mask's corner, without perspective.
fn on_screen(shadow: &GroundShadow, rest: Rest, x: f32, y: f32) -> f32 {
    match rest {
        Rest::Standing { elevation, .. } => shadow.at(x, (y - shadow.ground_row) / elevation.sin().max(0.05)),
        Rest::Lying { .. } => shadow.at(x, y),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use packshot_pipeline::role::Role;
    use proptest::prelude::*;

    use crate::generate::Made;
    use crate::generate::studio::make;
    use crate::generate::studio::testing::{Case, disc};

    #[test]
    fn outside_the_product_it_is_exactly_white() {
        let case = Case::new("Mug", "kitchen", disc(700, 620, 0.3));
        let Made::Candidate(made) = make(&case.request(Role::Main)) else { panic!("skipped") };
        let plain = &made.frames[0];
        assert_eq!(plain.name, "");
        for (pixel, mask) in plain.image.pixels().zip(plain.product_mask.pixels()) {
            assert!(mask.0[0] > 0 || pixel.0 == [255; 3]);
        }
        let shadow = &made.frames[1];
        assert_eq!(shadow.name, "shadow");
        assert!(shadow.image.get_pixel(0, shadow.image.height() - 1).0 == [255; 3]);
        assert!(shadow.image != plain.image);
    }

    #[test]
    fn at_scale_one_the_core_is_the_reference_byte_for_byte() {
        let case = Case::new("Mug", "kitchen", disc(1900, 1900, 0.45));
        let Made::Candidate(made) = make(&case.request(Role::Main)) else { panic!("skipped") };
        let frame = &made.frames[0];
        assert_eq!(frame.scale_factor, 1.0);
        let (dx, dy) = (frame.placement.tx as i64, frame.placement.ty as i64);
        let mut core = 0;
        for (x, y, alpha) in case.cutout.alpha.enumerate_pixels().filter(|(_, _, a)| a.0[0] == 255) {
            let (u, v) = ((i64::from(x) + dx) as u32, (i64::from(y) + dy) as u32);
            assert_eq!(frame.image.get_pixel(u, v), case.cutout.foreground.get_pixel(x, y), "{alpha:?}");
            core += 1;
        }
        assert!(core > 100_000);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(6))]
        #[test]
        fn odd_sizes_do_not_panic(w in 1u32..60, h in 1u32..60, r in 0.0f32..0.9) {
            let case = Case::new("Thing", "", disc(w, h, r));
            for role in Role::ALL {
                let _ = make(&case.request(role));
            }
        }
    }
}
