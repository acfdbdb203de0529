//! Background replacement: a colour, a gradient, a picture or nothing behind the product.

use image::{Rgb, RgbImage};
use packshot_imaging::colour::{linear_to_srgb, srgb_to_linear};
use packshot_imaging::mask;
use packshot_imaging::resize::resize_rgb;

use super::behind::{Shade, dither, put};
use super::cutout::product_of;
use super::settings::Settings;
use super::{EditError, EditRequest, Outcome};

/// Runs the operation.
pub(super) fn run(request: &EditRequest, settings: &Settings) -> Result<Outcome, EditError> {
    let (w, h) = request.image.dimensions();
    let fill = settings.word("fill");
    let first = settings.colour("colour").unwrap_or([255; 3]);
    let background = match fill {
        "gradient" => {
            let second =
                settings.colour("colour2").unwrap_or_else(|| first.map(|v| (f32::from(v) * 0.82) as u8));
            gradient(w, h, first, second, settings.word("direction"))
        }
        "picture" => {
            let picture = request.picture.ok_or(EditError::PictureMissing { op: request.op.word() })?;
            covering(picture, w, h)
        }
        _ => RgbImage::from_pixel(w, h, Rgb(first)),
    };
    let cutout = product_of(request)?;
    if fill == "transparent" {
        let mut outcome =
            put(request, &cutout, &background, &Shade::none(), vec!["background taken away".into()])?;
        // Under a transparent pixel lies the product's own colour, so no edge shows a fringe.
        for (x, y, pixel) in outcome.image.enumerate_pixels_mut() {
            if outcome.touched.get_pixel(x, y).0[0] > 0 {
                *pixel = *cutout.foreground.get_pixel(x, y);
            }
        }
        outcome.touched = mask::threshold(&outcome.touched, 1);
        outcome.alpha = Some(cutout.alpha.clone());
        return Ok(outcome);
    }
    let (shade, shadow) = match settings.word("shadow") {
        "keep" => (Shade::own(&cutout), "its own shadow"),
        "contact" => (Shade::contact(&cutout.alpha), "a drawn contact shadow"),
        _ => (Shade::none(), "no shadow"),
    };
    let shadow = if shade.is_none() { "no shadow" } else { shadow };
    put(
        request,
        &cutout,
        &background,
        &shade,
        vec![format!("{fill} background behind the product, {shadow}")],
    )
}

/// A gradient in linear light, dithered against bands.
fn gradient(w: u32, h: u32, first: [u8; 3], second: [u8; 3], direction: &str) -> RgbImage {
    let (first, second) = (first.map(srgb_to_linear), second.map(srgb_to_linear));
    let share = |at: u32, length: u32| (at as f32 + 0.5) / length as f32;
    RgbImage::from_fn(w, h, |x, y| {
        let (across, down) = (share(x, w), share(y, h));
        let t = match direction {
            "right" => across,
            // Brightest behind the product, darker towards the corners.
            "centre" => ((across - 0.5).hypot(down - 0.45) * std::f32::consts::SQRT_2).min(1.0),
            _ => down,
        };
        let t = t * t * (3.0 - 2.0 * t);
        let noise = dither(x, y);
        Rgb(std::array::from_fn(|c| {
            let light = first[c] + (second[c] - first[c]) * t;
            // A level of dither in sRGB; linear_to_srgb rounds, so nudge before it.
            let level = f32::from(linear_to_srgb(light));
            let next = srgb_to_linear((level as u8).saturating_add(1)) - srgb_to_linear(level as u8);
            linear_to_srgb(light + noise * next)
        }))
    })
}

/// `picture` scaled to cover `w` × `h` and cut evenly at its sides.
pub(super) fn covering(picture: &RgbImage, w: u32, h: u32) -> RgbImage {
    let (pw, ph) = (f64::from(picture.width()), f64::from(picture.height()));
    let scale = (f64::from(w) / pw).max(f64::from(h) / ph);
    let cut_w = ((f64::from(w) / scale).round() as u32).clamp(1, picture.width());
    let cut_h = ((f64::from(h) / scale).round() as u32).clamp(1, picture.height());
    let (x, y) = ((picture.width() - cut_w) / 2, (picture.height() - cut_h) / 2);
    let part = image::imageops::crop_imm(picture, x, y, cut_w, cut_h).to_image();
    resize_rgb(&part, w, h)
}
