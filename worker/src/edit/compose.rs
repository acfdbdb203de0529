//! Compose: the product into a given scene, with a contact shadow.
//!
//! The scene's pixels stay as they are except where the product or its shadow falls; the
//! product is scaled, and nothing else is done to it.

use image::{GrayImage, Luma, Rgb, RgbImage};
use packshot_imaging::blur::Plane;
use packshot_imaging::mask;
use packshot_imaging::photo::{Cutout, Rect};
use packshot_imaging::resize::resize_plane;

use super::behind::{Shade, over};
use super::cutout::product_of;
use super::feather;
use super::settings::Settings;
use super::{EditError, EditRequest, Kept, Outcome};

/// Largest factor by which a product is enlarged without a warning.
const FACTOR_GOOD: f64 = 1.25;
/// Largest factor at all; beyond it the product would be blur beside a sharp scene.
const FACTOR_MAX: f64 = 2.0;
/// Coverage from which a pixel counts for the product's bounds.
const PRODUCT: u8 = 16;

/// Runs the operation.
pub(super) fn run(request: &EditRequest, settings: &Settings) -> Result<Outcome, EditError> {
    let op = request.op.word();
    let scene = request.picture.ok_or(EditError::PictureMissing { op })?;
    let cutout = product_of(request)?;
    let bounds = mask::bounds(&cutout.alpha, PRODUCT)
        .ok_or_else(|| EditError::Product { op, why: "the cut-out is empty".into() })?;
    let (sw, sh) = (f64::from(scene.width()), f64::from(scene.height()));
    let factor = settings.number("height") * sh / f64::from(bounds.h);
    if factor > FACTOR_MAX {
        let why = format!(
            "the product would be enlarged {factor:.1} times; use a smaller height or a larger photo"
        );
        return Err(EditError::Refused { op, why });
    }
    let (foreground, alpha) = scaled(&cutout, bounds, factor);
    let left = (settings.number("x") * sw - f64::from(alpha.width()) / 2.0).round() as i64;
    let top = (settings.number("y") * sh - f64::from(alpha.height())).round() as i64;
    let fits = left >= 0
        && top >= 0
        && left + i64::from(alpha.width()) <= i64::from(scene.width())
        && top + i64::from(alpha.height()) <= i64::from(scene.height());
    if !fits {
        let why = "the product would be cut by the scene's edge; choose another x, y or height";
        return Err(EditError::Refused { op, why: why.into() });
    }
    let mut placed = GrayImage::new(scene.width(), scene.height());
    image::imageops::replace(&mut placed, &alpha, left, top);
    let shade = if settings.word("shadow") == "contact" { Shade::contact(&placed) } else { Shade::none() };
    let (image, touched) = laid(scene, &foreground, &placed, (left as u32, top as u32), &shade);
    let mut notes = vec![format!(
        "product at {:.0} % of the scene's height, {factor:.2} times its photo's size",
        settings.number("height") * 100.0
    )];
    if factor > FACTOR_GOOD {
        notes.push("enlarged beyond its photo: it is softer than the scene".into());
    }
    Ok(Outcome { image, alpha: None, touched, notes, kept: Kept::Picture })
}

/// Foreground and coverage of the product's bounds at another size. Colour is averaged by
/// coverage, so nothing of the old background comes in.
fn scaled(cutout: &Cutout, bounds: Rect, factor: f64) -> (RgbImage, GrayImage) {
    let length = |v: u32| ((f64::from(v) * factor).round() as u32).max(1);
    let (w, h) = (length(bounds.w), length(bounds.h));
    let alpha = feather::crop(&cutout.alpha, bounds);
    if (w, h) == (bounds.w, bounds.h) {
        let Rect { x, y, w, h } = bounds;
        return (image::imageops::crop_imm(&cutout.foreground, x, y, w, h).to_image(), alpha);
    }
    let coverage: Vec<f32> = alpha.pixels().map(|p| f32::from(p.0[0]) / 255.0).collect();
    let cover = resize_plane(&Plane { width: bounds.w, height: bounds.h, data: coverage.clone() }, w, h);
    let channels: [Plane; 3] = std::array::from_fn(|c| {
        let data = (0..bounds.w * bounds.h)
            .zip(&coverage)
            .map(|(at, a)| {
                f32::from(
                    cutout.foreground.get_pixel(bounds.x + at % bounds.w, bounds.y + at / bounds.w).0[c],
                ) * a
            })
            .collect();
        resize_plane(&Plane { width: bounds.w, height: bounds.h, data }, w, h)
    });
    let at = |x: u32, y: u32| y as usize * w as usize + x as usize;
    let foreground = RgbImage::from_fn(w, h, |x, y| {
        let a = cover.data[at(x, y)].max(1e-3);
        Rgb(std::array::from_fn(|c| (channels[c].data[at(x, y)] / a).round().clamp(0.0, 255.0) as u8))
    });
    let alpha = GrayImage::from_fn(w, h, |x, y| {
        Luma([(cover.data[at(x, y)] * 255.0).round().clamp(0.0, 255.0) as u8])
    });
    (foreground, alpha)
}

/// The scene with shadow and product, and where it changed.
fn laid(
    scene: &RgbImage,
    foreground: &RgbImage,
    placed: &GrayImage,
    (left, top): (u32, u32),
    shade: &Shade,
) -> (RgbImage, GrayImage) {
    let mut image = scene.clone();
    let mut touched = GrayImage::new(scene.width(), scene.height());
    for (x, y, pixel) in image.enumerate_pixels_mut() {
        let coverage = placed.get_pixel(x, y).0[0];
        let factor = shade.at(x, y);
        if coverage == 0 && factor > 0.996 {
            continue;
        }
        let product = if coverage > 0 { foreground.get_pixel(x - left, y - top).0 } else { [0; 3] };
        pixel.0 = over(pixel.0, product, coverage, factor);
        let shown = f32::from(coverage).max((1.0 - factor) * 255.0);
        touched.put_pixel(x, y, Luma([shown.round().clamp(1.0, 255.0) as u8]));
    }
    (image, touched)
}
