//! A reference made ready to be looked for in any number of candidates.

use image::{GrayImage, RgbImage};

use super::keypoints::{Keypoint, Pyramid};
use super::working::Working;
use super::{NotComparable, SIDE_MIN};
use crate::mask::{self, Labels};
use crate::photo::Rect;
use crate::resize;

/// Longest side of the product in the reference's working size, in pixels.
const PRODUCT_SIDE: f32 = 480.0;
/// How much larger both are worked on when the product shows few points.
const FINE: f32 = 2.0;
/// A product with fewer points than this is worked on larger.
const POINTS_FEW: usize = 250;
/// Keypoints kept of a reference's product.
const KEYPOINTS_REFERENCE: usize = 900;

/// A reference's product with its keypoints. What it costs is spent once, and not for every
/// candidate; it holds some 4 MB.
pub struct Reference {
    pub(super) working: Working,
    /// Of the working picture's size.
    pub(super) mask: GrayImage,
    /// What was cut out, piece by piece.
    pub(super) pieces: Labels,
    pub(super) product_points: Vec<Keypoint>,
    pub(super) other_points: Vec<Keypoint>,
    /// Longest side of the product in working pixels.
    pub(super) product_side: f32,
    /// How many times larger than usual it is worked on, because it shows few points.
    pub(super) enlarge: f32,
}

impl Reference {
    /// Of the product that is 255 in `ref_mask`, which has the picture's size.
    ///
    /// # Errors
    /// [`NotComparable`] when there is no product, or too small a one.
    pub fn new(reference: &RgbImage, ref_mask: &GrayImage) -> Result<Reference, NotComparable> {
        if reference.dimensions() != ref_mask.dimensions() {
            return Err(NotComparable::because("the reference and its mask differ in size"));
        }
        let bounds = mask::bounds(ref_mask, 128)
            .ok_or_else(|| NotComparable::because("the reference has no product"))?;
        if bounds.w.max(bounds.h) < SIDE_MIN {
            return Err(NotComparable::because("the picture is too small to compare"));
        }
        let usual = Reference::at(reference, ref_mask, bounds, 1.0);
        Ok(if usual.product_points.len() < POINTS_FEW {
            Reference::at(reference, ref_mask, bounds, FINE)
        } else {
            usual
        })
    }

    fn at(reference: &RgbImage, ref_mask: &GrayImage, bounds: Rect, enlarge: f32) -> Reference {
        let longest = bounds.w.max(bounds.h);
        let around = around(bounds, longest, reference.dimensions());
        let working = Working::new(reference, around, enlarge * PRODUCT_SIDE, longest as f32, enlarge);
        let (w, h) = working.rgb.dimensions();
        let mask = resize::resize_gray(&resize::crop_gray(ref_mask, around), w, h);
        let (grown, far) = (mask::dilate(&mask, 3), mask::dilate(&mask, 8));
        let set = |mask: &GrayImage, x: f32, y: f32| {
            mask.get_pixel((x as u32).min(w - 1), (y as u32).min(h - 1)).0[0] > 127
        };
        let pyramid = Pyramid::new(&working.lightness(), working.camera_blur());
        Reference {
            product_points: pyramid.keypoints(KEYPOINTS_REFERENCE, |x, y| set(&grown, x, y)),
            other_points: pyramid.keypoints(KEYPOINTS_REFERENCE / 2, |x, y| !set(&far, x, y)),
            product_side: longest as f32 * working.factor,
            pieces: mask::label(&mask::threshold(&mask, 128)),
            mask,
            working,
            enlarge,
        }
    }
}

/// The product's bounds with as much surrounding as is useful, clipped to the picture.
fn around(bounds: Rect, longest: u32, (w, h): (u32, u32)) -> Rect {
    let room = longest / 2;
    let x = bounds.x.saturating_sub(room);
    let y = bounds.y.saturating_sub(room);
    Rect { x, y, w: (bounds.x + bounds.w + room).min(w) - x, h: (bounds.y + bounds.h + room).min(h) - y }
}
