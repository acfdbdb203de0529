//! What the tests of this part share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;

use image::{GrayImage, Luma, RgbImage};
use packshot_imaging::metadata::DigitalSourceType;
use packshot_pipeline::catalog::{Dimensions, Product};
use packshot_pipeline::ids::Sku;
use packshot_pipeline::role::Role;

use super::export::Member;

/// A product with nothing but a SKU.
pub(crate) fn product(sku: &str) -> Product {
    Product {
        sku: Sku::new(sku).unwrap(),
        title: "A mug".to_owned(),
        description: String::new(),
        category: String::new(),
        brand: String::new(),
        colour: String::new(),
        material: String::new(),
        dimensions: Dimensions::default(),
        accessories: Vec::new(),
        group: None,
        references: Vec::new(),
        codes: BTreeMap::new(),
        line: 2,
    }
}

/// How a made product looks.
#[derive(Clone, Copy)]
pub(crate) struct Look {
    pub(crate) colour: [u8; 3],
    pub(crate) ground: [u8; 3],
    /// Lightness change from left to right, in sRGB steps.
    pub(crate) slope: f32,
    /// Factor on the product's width.
    pub(crate) stretch: f32,
    /// Factor on the product's size; the default fills 80 % of the frame.
    pub(crate) zoom: f32,
    pub(crate) gain: [f32; 3],
    pub(crate) blur: f32,
}

impl Default for Look {
    fn default() -> Self {
        Self {
            colour: [170, 90, 70],
            ground: [255; 3],
            slope: 20.0,
            stretch: 1.0,
            zoom: 1.0,
            gain: [1.0; 3],
            blur: 0.0,
        }
    }
}

/// A member that shows a striped, textured oval with a soft rim.
pub(crate) fn member(role: Role, size: u32, look: Look) -> Member {
    let mut image = RgbImage::new(size, size);
    let mut product_mask = GrayImage::new(size, size);
    let s = size as f32;
    let (rx, ry) = (s * 0.30 * look.zoom * look.stretch, s * 0.40 * look.zoom);
    for (x, y, pixel) in image.enumerate_pixels_mut() {
        let (u, v) = ((x as f32 + 0.5 - s / 2.0) / rx, (y as f32 + 0.5 - s / 2.0) / ry);
        let coverage = ((1.0 - u.hypot(v)) * rx.min(ry) + 0.5).clamp(0.0, 1.0);
        let stripe = if (v * 9.0).rem_euclid(2.0) < 0.5 { 45.0 } else { 0.0 };
        let grain =
            (((u * 160.0).floor() as i32 * 7 + (v * 160.0).floor() as i32 * 13).rem_euclid(17)) as f32;
        pixel.0 = std::array::from_fn(|c| {
            let body = (f32::from(look.colour[c]) + stripe + grain + u * look.slope / 2.0) * look.gain[c];
            (body.clamp(0.0, 250.0) * coverage + f32::from(look.ground[c]) * (1.0 - coverage)).round() as u8
        });
        product_mask.put_pixel(x, y, Luma([(coverage * 255.0).round() as u8]));
    }
    if look.blur > 0.0 {
        image = imageproc::filter::gaussian_blur_f32(&image, look.blur);
    }
    Member {
        role,
        frame: String::new(),
        image,
        product_mask,
        scale_factor: 1.0,
        source_type: DigitalSourceType::AlgorithmicallyEnhanced,
        accepted: true,
    }
}
