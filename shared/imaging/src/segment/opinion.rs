//! A third opinion on where the product is, held against the two segmenters'.
//!
//! Somebody else's coverage (a learned model's) is no oracle: it counts where it agrees with
//! what was seen without it. Where the two segmenters are sure of each other, it must agree
//! with what they decided; where they are not, with one of the two, so that of three
//! independent opinions two are the same.

use image::GrayImage;

use super::coarse::{Coarse, Seen, agreement_of, around, explained, without_specks};
use crate::colour::LabImage;
use crate::mask;
use crate::resize::resize_gray;

/// Agreement (see [`Coarse::agreement`]) from which two opinions are the same one.
pub(crate) const CERTAIN: f32 = 0.8;

/// Coverage between these two is neither clearly in nor clearly out.
const SOFT: std::ops::RangeInclusive<u8> = 26..=229;

/// A third opinion and how far the others share it.
#[derive(Clone, Debug)]
pub(crate) struct Opinion {
    /// True = product, on the grid of the reduced photo.
    product: Vec<bool>,
    /// True = half covered, or the rim of something too fine for that grid.
    pub soft: Vec<bool>,
    /// Agreement with what the two segmenters decided together, 0 to 1.
    pub decided: f32,
    /// Agreement with the first segmenter.
    pub surface: f32,
    /// Agreement with the second segmenter.
    pub colour: f32,
}

/// Holds `coverage`, of any size, against what was `seen`.
pub(crate) fn weigh(image: &LabImage, seen: &Seen, coverage: &GrayImage) -> Opinion {
    let coverage = resize_gray(coverage, image.width, image.height);
    let covered: Vec<bool> = coverage.as_raw().iter().map(|&a| a >= mask::SET).collect();
    let product = without_specks(image, &covered);
    let kept = |at: usize| product[at] == covered[at];
    let soft = (0..product.len()).map(|at| kept(at) && SOFT.contains(&coverage.as_raw()[at])).collect();
    let believed = explained(image, &seen.decided.background, &product, &seen.by_surface);
    let agreement = |other: &[bool]| believed * agreement_of(image, &product, other);
    Opinion {
        decided: agreement(&seen.decided.product),
        surface: agreement(&seen.by_surface),
        colour: agreement(&seen.by_colour),
        product,
        soft,
    }
}

impl Opinion {
    /// The agreement that counts: with the decision where it was certain, else with that one of
    /// the two segmenters that is nearer.
    pub(crate) fn counting(&self, decided: &Coarse) -> f32 {
        if decided.agreement >= CERTAIN { self.decided } else { self.surface.max(self.colour) }
    }

    /// The decision that follows this opinion instead of the segmenters'.
    pub(crate) fn followed(self, image: &LabImage, decided: Coarse) -> (Coarse, Vec<bool>) {
        let agreement = self.counting(&decided);
        (around(image, decided.background, self.product, agreement), self.soft)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use std::sync::atomic::{AtomicU32, Ordering};

    use image::{GrayImage, Luma, Rgb, RgbImage};

    use crate::cutout::{AGREEMENT_CERTAIN, CutoutError, CutoutOptions, Segmenter, cut_out, cut_out_asking};
    use crate::mask;
    use crate::photo::{Cutout, CutoutSource, Photo};
    use crate::resize::resize_gray;

    /// Somebody who answers the same to everybody.
    #[derive(Debug)]
    struct Says(Result<GrayImage, String>, AtomicU32);

    impl Says {
        fn coverage(coverage: GrayImage) -> Says {
            Says(Ok(coverage), AtomicU32::new(0))
        }
    }

    impl Segmenter for Says {
        fn coverage(&self, _rgb: &RgbImage) -> Result<GrayImage, String> {
            self.1.fetch_add(1, Ordering::Relaxed);
            self.0.clone()
        }
    }

    fn disc(cx: f32, cy: f32, r: f32) -> GrayImage {
        GrayImage::from_fn(360, 300, |x, y| {
            let inside = (r + 0.5 - (x as f32 - cx).hypot(y as f32 - cy)).clamp(0.0, 1.0);
            Luma([(inside * 255.0).round() as u8])
        })
    }

    /// `product` in `own` colour on a background, with grain.
    fn photo(product: &GrayImage, own: [f32; 3], background: impl Fn(u32, u32) -> [f32; 3]) -> Photo {
        let rgb = RgbImage::from_fn(360, 300, |x, y| {
            let a = f32::from(product.get_pixel(x, y).0[0]) / 255.0;
            let (behind, grain) = (background(x, y), ((x * 7919 + y * 104_729) % 5) as f32 - 2.0);
            Rgb(std::array::from_fn(|i| (a * own[i] + (1.0 - a) * behind[i] + grain).clamp(0.0, 255.0) as u8))
        });
        Photo::of_pixels(rgb, None)
    }

    fn plain(product: &GrayImage) -> Photo {
        photo(product, [200.0, 40.0, 40.0], |_, y| [236.0 - 0.05 * y as f32; 3])
    }

    /// A red disc on a table that ends before a dark wall: what is not table is not all product.
    fn before_a_wall(product: &GrayImage) -> Photo {
        let wall = |x| if x > 290 { [70.0, 90.0, 60.0] } else { [236.0; 3] };
        photo(product, [200.0, 40.0, 40.0], |x, _| wall(x))
    }

    fn ask(photo: &Photo, says: &Says) -> Result<Cutout, CutoutError> {
        cut_out_asking(photo, &CutoutOptions::DEFAULT, Some(says))
    }

    #[test]
    fn what_agrees_is_taken_and_refined() {
        let truth = disc(170.0, 150.0, 90.0);
        let rough = resize_gray(&truth, 40, 40);
        let cutout = ask(&plain(&truth), &Says::coverage(rough.clone())).unwrap();
        assert_eq!(cutout.quality.source, CutoutSource::Learned);
        assert_eq!(cutout.quality.opinion, Some(cutout.quality.agreement));
        assert!(cutout.quality.agreement >= AGREEMENT_CERTAIN);
        let stretched = mask::iou(&resize_gray(&rough, 360, 300), &truth);
        let refined = mask::iou(&cutout.alpha, &truth);
        assert!(refined > 0.98 && refined > stretched, "{refined} against {stretched}");
        let worst =
            cutout.foreground.enumerate_pixels().filter(|(x, y, _)| cutout.alpha.get_pixel(*x, *y).0[0] > 60);
        assert!(worst.map(|(_, _, own)| own.0[1]).max().unwrap() < 90, "a light fringe");
    }

    #[test]
    fn what_contradicts_two_that_are_sure_changes_nothing() {
        let truth = disc(170.0, 150.0, 90.0);
        let photo = plain(&truth);
        let alone = cut_out(&photo, &CutoutOptions::DEFAULT).unwrap();
        for other in [disc(60.0, 60.0, 40.0), GrayImage::new(9, 9), GrayImage::from_pixel(9, 9, Luma([255]))]
        {
            let cutout = ask(&photo, &Says::coverage(other)).unwrap();
            assert_eq!(cutout.quality.source, CutoutSource::Segmented);
            assert_eq!(cutout.alpha, alone.alpha);
            assert!(cutout.quality.opinion.unwrap() < AGREEMENT_CERTAIN);
        }
    }

    #[test]
    fn one_of_two_that_disagree_is_enough_and_none_is_not() {
        let truth = disc(120.0, 150.0, 80.0);
        let photo = before_a_wall(&truth);
        let alone = cut_out(&photo, &CutoutOptions::DEFAULT).map(|cutout| cutout.quality.agreement);
        assert!(matches!(alone, Err(CutoutError::Uncertain { .. })), "{alone:?}");
        let rescued = ask(&photo, &Says::coverage(resize_gray(&truth, 64, 64))).unwrap();
        assert_eq!(rescued.quality.source, CutoutSource::Learned);
        assert!(mask::iou(&rescued.alpha, &truth) > 0.97, "{}", mask::iou(&rescued.alpha, &truth));
        let Err(CutoutError::Uncertain { why }) = ask(&photo, &Says::coverage(disc(60.0, 60.0, 30.0))) else {
            panic!("believed although nobody shares it")
        };
        assert!(why.contains("the matting model agrees with neither"), "{why}");
    }

    #[test]
    fn a_supplied_outline_is_not_asked_about() {
        let truth = disc(170.0, 150.0, 90.0);
        let supplied = Photo { alpha: Some(truth.clone()), ..plain(&truth) };
        let says = Says::coverage(disc(60.0, 60.0, 40.0));
        assert_eq!(ask(&supplied, &says).unwrap().quality.source, CutoutSource::SuppliedAlpha);
        assert_eq!(says.1.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn no_answer_is_no_cut_out() {
        let photo = plain(&disc(170.0, 150.0, 90.0));
        for says in [Err("it broke off".to_owned()), Ok(GrayImage::new(0, 4))] {
            let answer = ask(&photo, &Says(says, AtomicU32::new(0)));
            assert!(matches!(answer, Err(CutoutError::NoAnswer { .. })), "{answer:?}");
        }
    }
}
