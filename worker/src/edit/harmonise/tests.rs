//! What harmonising promises: outside bytes stay, a light that was put on is taken off, a dye
//! is refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::path::Path;

use image::{GrayImage, Luma, Rgb, RgbImage};
use packshot_imaging::colour::{ciede2000, lab, linear_to_srgb, srgb_to_linear};
use packshot_imaging::cutout::{CutoutOptions, cut_out};
use packshot_imaging::decode::{DecodeLimits, decode};
use packshot_imaging::photo::Cutout;
use packshot_imaging::resize::{resize_gray, resize_rgb};
use packshot_pipeline::finding::EditOp;
use proptest::prelude::*;

use super::super::{EditError, EditRequest, Edited, apply};

/// A photo of the sample at most 500 px large, with its product.
fn photo(name: &str) -> (RgbImage, Cutout) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/sample/images").join(name);
    let bytes = std::fs::read(path).unwrap();
    let photo = decode(&bytes, &DecodeLimits::DEFAULT).unwrap();
    let cutout = cut_out(&photo, &CutoutOptions { agreement_min: 0.3 }).unwrap();
    let (w, h) = photo.rgb.dimensions();
    let scale = (500.0 / f64::from(w.max(h))).min(1.0);
    let side = |v: u32| (f64::from(v) * scale).round() as u32;
    let small = resize_rgb(&photo.rgb, side(w), side(h));
    let alpha = resize_gray(&cutout.alpha, side(w), side(h));
    let foreground = small.clone();
    (small, Cutout { foreground, alpha, shadow: None, ..cutout })
}

/// A light put on a whole picture: gains of linear red, green and blue.
fn under(image: &RgbImage, gain: [f32; 3]) -> RgbImage {
    let mut out = image.clone();
    for pixel in out.pixels_mut() {
        pixel.0 = std::array::from_fn(|c| linear_to_srgb(srgb_to_linear(pixel.0[c]) * gain[c]));
    }
    out
}

fn harmonised(
    image: &RgbImage,
    product: &Cutout,
    target: (&RgbImage, &GrayImage),
    strength: &str,
) -> Result<Edited, EditError> {
    let settings = BTreeMap::from([("strength".to_owned(), strength.to_owned())]);
    apply(&EditRequest {
        product: Some(product),
        picture: Some(target.0),
        picture_product: Some(target.1),
        ..EditRequest::new(EditOp::Harmonise, image, &settings)
    })
}

/// Mean CIEDE2000 inside the product.
fn apart(a: &RgbImage, b: &RgbImage, product: &GrayImage) -> f32 {
    let pixels = a.pixels().zip(b.pixels()).zip(product.pixels()).filter(|(_, m)| m.0[0] > 250);
    let (sum, n) =
        pixels.fold((0.0, 0), |(sum, n), ((a, b), _)| (sum + ciede2000(lab(a.0), lab(b.0)), n + 1));
    sum / n.max(1) as f32
}

const WARM: [f32; 3] = [1.0, 0.92, 0.74];
const COLD: [f32; 3] = [0.78, 0.92, 1.0];
const GREEN: [f32; 3] = [0.8, 1.0, 0.8];
const DARK: [f32; 3] = [0.7, 0.7, 0.7];

#[test]
fn a_light_put_on_a_photo_is_taken_off_and_nothing_else_changes() {
    for name in ["saleor-apple-drink.png", "solidus-cap-black-1.png", "boutique-mug.jpg"] {
        let (image, product) = photo(name);
        for gain in [WARM, COLD, GREEN, DARK] {
            let lit = under(&image, gain);
            let edited = harmonised(&lit, &product, (&image, &product.alpha), "1").unwrap();
            let before = apart(&lit, &image, &product.alpha);
            let after = apart(&edited.image, &image, &product.alpha);
            assert!(after < 1.2 && after < 0.35 * before, "{name} {gain:?}: {before} to {after}");
            for ((was, now), cover) in lit.pixels().zip(edited.image.pixels()).zip(product.alpha.pixels()) {
                assert!(cover.0[0] > 0 || was == now);
                let clips = was.0.iter().zip(now.0).any(|(was, now)| *was < 255 && now == 255);
                assert!(!clips, "{name}: {was:?} became {now:?}");
            }
        }
    }
}

#[test]
fn what_was_harmonised_stays_as_it_is() {
    let (image, product) = photo("saleor-blue-plimsolls-4.png");
    let lit = under(&image, WARM);
    let once = harmonised(&lit, &product, (&image, &product.alpha), "1").unwrap();
    let twice = harmonised(&once.image, &product, (&image, &product.alpha), "1").unwrap();
    let most = once.image.iter().zip(twice.image.iter()).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
    assert!(most <= 2, "{most}: {:?}", twice.notes);
}

#[test]
fn notes_say_what_was_taken_out() {
    let (image, product) = photo("boutique-loafers.jpg");
    let edited =
        harmonised(&under(&image, [1.0, 0.94, 0.88]), &product, (&image, &product.alpha), "1").unwrap();
    assert!(edited.notes[0].contains("warmer light taken out"), "{:?}", edited.notes);
}

/// Every pixel of the product whose hue is within 40 degrees of its main one turned by
/// `degrees`: another dye, which leaves soles, prints and metal as they are.
fn dyed(image: &RgbImage, product: &GrayImage, degrees: f32) -> RgbImage {
    let mut out = image.clone();
    let mut hues = [0.0f32; 36];
    for (pixel, cover) in image.pixels().zip(product.pixels()) {
        let colour = lab(pixel.0);
        if cover.0[0] > 250 && colour.chroma() > 8.0 {
            hues[(colour.hue_degrees().rem_euclid(360.0) / 10.0) as usize % 36] += colour.chroma();
        }
    }
    let main = (0..36).max_by(|a, b| hues[*a].total_cmp(&hues[*b])).unwrap() as f32 * 10.0 + 5.0;
    for (pixel, cover) in out.pixels_mut().zip(product.pixels()) {
        let colour = lab(pixel.0);
        let off = (colour.hue_degrees() - main + 540.0).rem_euclid(360.0) - 180.0;
        if cover.0[0] > 0 && off.abs() < 40.0 && colour.chroma() > 4.0 {
            let (sin, cos) = degrees.to_radians().sin_cos();
            let turned = packshot_imaging::colour::Lab {
                l: colour.l,
                a: colour.a * cos - colour.b * sin,
                b: colour.a * sin + colour.b * cos,
            };
            pixel.0 = packshot_imaging::colour::lab_to_srgb(turned);
        }
    }
    out
}

#[test]
fn another_dye_is_refused() {
    for name in [
        "saleor-blue-plimsolls-4.png",
        "solidus-cap-red-1.png",
        "saleor-cushion-blue.png",
        "saleor-carrot-drink.png",
    ] {
        let (image, product) = photo(name);
        for degrees in [-60.0, 40.0, 180.0] {
            let other = dyed(&image, &product.alpha, degrees);
            let result = harmonised(&other, &product, (&image, &product.alpha), "1");
            let error = result.map(|edited| edited.notes).expect_err(name).to_string();
            assert!(
                error.contains("another colour") || error.contains("no light explains"),
                "{name}: {error}"
            );
        }
    }
}

#[test]
fn a_dye_does_not_hide_in_contrast() {
    let (image, product) = photo("saleor-cushion-blue.png");
    let other = dyed(&image, &product.alpha, -25.0);
    let result = harmonised(&other, &product, (&image, &product.alpha), "1");
    let error = result.map(|edited| edited.notes).expect_err("a dye is refused").to_string();
    assert!(error.contains("another colour"), "{error}");
}

#[test]
fn a_colour_of_its_own_without_a_picture_is_asked_for() {
    let (image, product) = photo("saleor-mighty-mug.png");
    let settings = BTreeMap::new();
    let request =
        EditRequest { product: Some(&product), ..EditRequest::new(EditOp::Harmonise, &image, &settings) };
    assert!(matches!(apply(&request), Err(EditError::PictureMissing { .. })));
    let wrong = GrayImage::new(3, 3);
    let sized = EditRequest { picture: Some(&image), picture_product: Some(&wrong), ..request };
    assert!(matches!(apply(&sized), Err(EditError::Size { what: "picture's coverage", .. })));
}

/// Patches of many colours in a soft-edged box.
fn patches(size: u32) -> (RgbImage, GrayImage) {
    let image = RgbImage::from_fn(size, size, |x, y| {
        let (i, j) = (x * 6 / size, y * 6 / size);
        let grain = ((x * 7 + y * 13) % 11) as u8;
        Rgb([
            40 + (i * 25) as u8 + grain,
            50 + (j * 24) as u8 + grain,
            60 + ((i * 5 + j * 3) % 7 * 18) as u8 + grain,
        ])
    });
    let mask = GrayImage::from_fn(size, size, |x, y| {
        let edge = x.min(y).min(size - 1 - x).min(size - 1 - y);
        Luma([(edge.saturating_sub(9) * 60).min(255) as u8])
    });
    (image, mask)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn outside_bytes_stay_and_strength_0_changes_nothing(
        gain in prop::array::uniform3(0.6..1.25f32), strength in 0.0..=1.0f64,
    ) {
        let (image, alpha) = patches(120);
        let lit = under(&image, gain);
        let mut product = photo("saleor-sunnies-dark.png").1;
        product.foreground = lit.clone();
        product.alpha = alpha.clone();
        let strength = format!("{strength:.3}");
        if let Ok(edited) = harmonised(&lit, &product, (&image, &alpha), &strength) {
            for ((was, now), cover) in lit.pixels().zip(edited.image.pixels()).zip(alpha.pixels()) {
                prop_assert!(cover.0[0] > 0 || was == now);
            }
        }
        if let Ok(edited) = harmonised(&lit, &product, (&image, &alpha), "0") {
            prop_assert!(edited.image == lit);
            prop_assert!(edited.touched.pixels().all(|p| p.0[0] == 0));
        }
    }
}
