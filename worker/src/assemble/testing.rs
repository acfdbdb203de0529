//! What the tests of this part share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::path::Path;

use image::{GrayImage, Luma, Rgb, RgbImage};
use packshot_imaging::cutout::{CutoutOptions, cut_out};
use packshot_imaging::decode::{DecodeLimits, decode};
use packshot_imaging::mask;
use packshot_imaging::metadata::DigitalSourceType;
use packshot_imaging::photo::{Cutout, Photo};
use packshot_imaging::resize::{crop_gray, crop_rgb, resize_gray, resize_rgb};
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

/// A photo of the sample with its product.
pub(crate) fn photo(name: &str) -> (Photo, Cutout) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/sample/images").join(name);
    let photo = decode(&std::fs::read(path).unwrap(), &DecodeLimits::DEFAULT).unwrap();
    let cutout = cut_out(&photo, &CutoutOptions { agreement_min: 0.3 }).unwrap();
    (photo, cutout)
}

/// How a photographed product is put into a picture.
#[derive(Clone, Copy)]
pub(crate) struct Stage {
    /// Share of the frame's side that the product's longer side takes.
    pub(crate) fill: f64,
    /// Factor on the product's width.
    pub(crate) stretch: f64,
    pub(crate) ground: [u8; 3],
}

/// Side of a staged picture in px.
const STAGE: u32 = 800;

/// A member that shows the product of a photo on a plain ground, untouched but for its size.
pub(crate) fn staged(cutout: &Cutout, role: Role, stage: Stage) -> Member {
    let bounds = mask::bounds(&cutout.alpha, 128).unwrap();
    let scale = stage.fill * f64::from(STAGE) / f64::from(bounds.w.max(bounds.h));
    let side = |length: u32, by: f64| (f64::from(length) * scale * by).round().max(1.0) as u32;
    let (w, h) = (side(bounds.w, stage.stretch).min(STAGE), side(bounds.h, 1.0));
    let product = resize_rgb(&crop_rgb(&cutout.foreground, bounds), w, h);
    let coverage = resize_gray(&crop_gray(&cutout.alpha, bounds), w, h);
    let mut image = RgbImage::from_pixel(STAGE, STAGE, Rgb(stage.ground));
    let mut product_mask = GrayImage::new(STAGE, STAGE);
    let (left, top) = ((STAGE - w) / 2, (STAGE - h) / 2);
    for ((x, y, colour), cover) in product.enumerate_pixels().zip(coverage.pixels()) {
        let share = u32::from(cover.0[0]);
        let mixed = std::array::from_fn(|c| {
            let (over, under) = (u32::from(colour.0[c]), u32::from(stage.ground[c]));
            ((over * share + under * (255 - share) + 127) / 255) as u8
        });
        image.put_pixel(left + x, top + y, Rgb(mixed));
        product_mask.put_pixel(left + x, top + y, *cover);
    }
    Member {
        role,
        frame: String::new(),
        image,
        product_mask,
        scale_factor: scale as f32,
        source_type: DigitalSourceType::AlgorithmicallyEnhanced,
        accepted: true,
    }
}

/// The five images of an ordinary set of one product.
pub(crate) fn five(cutout: &Cutout) -> Vec<Member> {
    let stages = [
        (Role::Main, 0.85, [255, 255, 255]),
        (Role::Angle, 0.85, [255, 255, 255]),
        (Role::Lifestyle, 0.55, [196, 178, 152]),
        (Role::Feature, 0.6, [228, 230, 233]),
        (Role::Ad, 0.5, [120, 130, 118]),
    ];
    stages.map(|(role, fill, ground)| staged(cutout, role, Stage { fill, stretch: 1.0, ground })).into()
}

/// Changes the pixels of the product, each by its place across it (0 to 1).
pub(crate) fn relit(member: &mut Member, gain: impl Fn(f32) -> [f32; 3]) {
    use packshot_imaging::colour::{linear_to_srgb, srgb_to_linear};
    let bounds = mask::bounds(&member.product_mask, 128).unwrap();
    for ((x, _, pixel), cover) in member.image.enumerate_pixels_mut().zip(member.product_mask.pixels()) {
        if cover.0[0] > 0 {
            let gain = gain((x.saturating_sub(bounds.x) as f32 + 0.5) / bounds.w as f32);
            pixel.0 = std::array::from_fn(|c| linear_to_srgb(srgb_to_linear(pixel.0[c]) * gain[c]));
        }
    }
}

/// Gains that give a middle grey this cast in Lab and leave it as light as it was.
pub(crate) fn cast(a: f32, b: f32) -> [f32; 3] {
    use packshot_imaging::colour::{Lab, lab_to_srgb, srgb_to_linear};
    let grey = srgb_to_linear(lab_to_srgb(Lab { l: 60.0, a: 0.0, b: 0.0 })[1]);
    lab_to_srgb(Lab { l: 60.0, a, b }).map(|level| srgb_to_linear(level) / grey)
}
