//! How steep an outline is drawn, free of its contrast: a product in focus ends within a pixel or
//! two, the penumbra of its shadow does not.

use image::GrayImage;

use super::surface::median;
use crate::blur::{Plane, gaussian};
use crate::colour::LabImage;

/// How far on either side of an outline it is looked at, in px.
const REACH: i32 = 5;
/// Least step over that way, in L, that shows anything.
const STEP_MIN: f32 = 3.0;
/// Fewest places by which anything can be said.
const COUNT_MIN: usize = 12;

/// How an outline is drawn, by the medians of its places.
#[derive(Clone, Copy, Debug)]
pub(super) struct Steepness {
    /// Largest step over two pixels as a share of the whole step: about 1 for a sharp edge, 0.2
    /// for an even ramp.
    pub(super) ratio: f32,
    /// The whole step, in L.
    pub(super) contrast: f32,
}

/// Looks across the outline of `mask` where `open` says that background lies beyond it; `None`
/// where too few places show a step.
pub(super) fn steepness(
    image: &LabImage,
    mask: &GrayImage,
    open: impl Fn(usize) -> bool,
) -> Option<Steepness> {
    let light = Plane { width: image.width, height: image.height, data: image.l.clone() };
    let soft = gaussian(&Plane::from_gray(mask), 1.5);
    let (w, h) = (i64::from(image.width), i64::from(image.height));
    let margin = i64::from(REACH) + 1;
    let (mut ratios, mut contrasts) = (Vec::new(), Vec::new());
    for y in margin..h - margin {
        for x in margin..w - margin {
            let at = |dx: i64, dy: i64| soft.at(x + dx, y + dy);
            let inside = at(0, 0) >= 127.5;
            let ends = [(1, 0), (-1, 0), (0, 1), (0, -1)].iter().any(|&(dx, dy)| at(dx, dy) < 127.5);
            if !(inside && ends && open((y * w + x) as usize)) {
                continue;
            }
            let (gx, gy) = (at(1, 0) - at(-1, 0), at(0, 1) - at(0, -1));
            let length = gx.hypot(gy).max(1e-3);
            let along = |d: i32| {
                let d = d as f32 / length;
                light.between(x as f32 - gx * d, y as f32 - gy * d)
            };
            let profile: Vec<f32> = (-REACH..=REACH).map(along).collect();
            let whole = (profile[profile.len() - 1] - profile[0]).abs();
            if whole > STEP_MIN {
                let steepest = profile.windows(3).map(|p| (p[2] - p[0]).abs()).fold(0.0, f32::max);
                ratios.push(steepest / whole);
                contrasts.push(whole);
            }
        }
    }
    (ratios.len() >= COUNT_MIN).then(|| Steepness { ratio: median(ratios), contrast: median(contrasts) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use image::Luma;

    use super::*;

    #[test]
    fn a_penumbra_is_less_steep_than_an_edge_of_any_contrast() {
        let mask = GrayImage::from_fn(60, 40, |x, _| Luma([if x < 30 { 255 } else { 0 }]));
        let of = |low: f32, wide: f32| {
            let level = |x: usize| low + (90.0 - low) * ((x as f32 - 30.0) / wide + 0.5).clamp(0.0, 1.0);
            let l = (0..60 * 40).map(|at| level(at % 60)).collect();
            let image = LabImage { width: 60, height: 40, l, a: vec![0.0; 2400], b: vec![0.0; 2400] };
            steepness(&image, &mask, |_| true)
        };
        let (faint, strong, soft) = (of(80.0, 1.5).unwrap(), of(20.0, 1.5).unwrap(), of(60.0, 9.0).unwrap());
        assert!((faint.ratio - strong.ratio).abs() < 0.05 && strong.ratio > 0.9);
        assert!(soft.ratio < 0.35 && soft.contrast > 25.0, "{soft:?}");
        assert!(of(89.0, 1.5).is_none());
    }
}
