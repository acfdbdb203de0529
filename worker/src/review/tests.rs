//! The review of drawn products: each drift is named by its own axis, harmless changes are
//! not, and every input is answered.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use image::{GrayImage, Luma, Rgb, RgbImage};
use packshot_imaging::photo::{Cutout, CutoutQuality, CutoutSource, Photo};
use packshot_pipeline::finding::Axis;
use packshot_pipeline::role::Role;

use super::*;

const SIDE: u32 = 420;

/// A sage box with shading and irregular marks; `change` may paint other pixels (u, v in
/// product coordinates, 0 to 1).
fn product(u: f32, v: f32) -> [f32; 3] {
    let shade = 0.75 + 0.35 * (u * 2.6).sin();
    let (i, j) = ((u * 11.0) as u32, (v * 14.0) as u32);
    let hash =
        (i.wrapping_mul(2_654_435_761) ^ j.wrapping_mul(40_503).wrapping_add(77)).wrapping_mul(97) >> 7;
    let (du, dv) = ((u * 11.0).fract() - 0.5, (v * 14.0).fract() - 0.5);
    let mark = hash % 3 == 0 && du.hypot(dv) < 0.18 + (hash % 17) as f32 / 90.0;
    if mark { [60.0, 58.0, 66.0] } else { [120.0 * shade, 150.0 * shade, 110.0 * shade] }
}

struct Drawing {
    rgb: RgbImage,
    mask: GrayImage,
}

fn draw(paint: impl Fn(f32, f32) -> [f32; 3], wide: f32, ground: [u8; 3]) -> Drawing {
    let mut rgb = RgbImage::from_pixel(SIDE, SIDE, Rgb(ground));
    let mut mask = GrayImage::new(SIDE, SIDE);
    for (x, y, pixel) in rgb.enumerate_pixels_mut() {
        let u = ((x as f32 + 0.5) / SIDE as f32 - 0.5) / (0.62 * wide) + 0.5;
        let v = ((y as f32 + 0.5) / SIDE as f32 - 0.1) / 0.8;
        if (0.0..1.0).contains(&u) && (0.0..1.0).contains(&v) {
            pixel.0 = paint(u, v).map(|c| c.clamp(0.0, 255.0) as u8);
            mask.put_pixel(x, y, Luma([255]));
        }
    }
    Drawing { rgb, mask }
}

fn reference() -> (Photo, Cutout) {
    let drawing = draw(product, 1.0, [238, 238, 236]);
    let quality = CutoutQuality {
        source: CutoutSource::SuppliedAlpha,
        agreement: 1.0,
        opinion: None,
        edge_contrast: 30.0,
        border_contact: 0.0,
        clutter: 0.0,
        soft_share: 0.0,
        parts: 1,
    };
    let cutout = Cutout { foreground: drawing.rgb.clone(), alpha: drawing.mask, shadow: None, quality };
    (Photo::of_pixels(drawing.rgb, None), cutout)
}

fn reviewed(candidate: &RgbImage, role: Option<Role>) -> Review {
    let (photo, cutout) = reference();
    let request = ReviewRequest {
        reference: &photo,
        cutout: &cutout,
        sought: None,
        candidate,
        candidate_alpha: None,
        role,
        facts: None,
        hint: None,
    };
    review(&request).review
}

fn check(name: &str, candidate: &RgbImage, fails: Option<Axis>) {
    let review = reviewed(candidate, None);
    assert!(review.comparable, "{name}: {:?}", review.verdict);
    match fails {
        None => assert_eq!(review.verdict.word(), "accept", "{name}: {:?} {:?}", review.verdict, review.axes),
        Some(axis) => {
            let score = review.axes.iter().find(|a| a.axis == axis).unwrap();
            assert!(!score.pass, "{name}: {score:?}");
            assert_ne!(review.verdict.word(), "accept", "{name}");
        }
    }
}

#[test]
fn every_drift_fails_its_own_axis_and_the_same_picture_passes() {
    let grey = [238, 238, 236];
    check("the same", &draw(product, 1.0, grey).rgb, None);
    check("another background", &draw(product, 1.0, [205, 200, 190]).rgb, None);
    check("wider", &draw(product, 1.1, grey).rgb, Some(Axis::Shape));
    let blue = |u: f32, v: f32| {
        let [r, g, b] = product(u, v);
        [r * 0.8, g * 0.85, b * 1.45]
    };
    check("bluer", &draw(blue, 1.0, grey).rgb, Some(Axis::Colour));
    let wiped = |u: f32, v: f32| {
        let shade = 0.75 + 0.35 * (u * 2.6_f32).sin();
        let blank = (0.3..0.7).contains(&u) && (0.3..0.6).contains(&v);
        if blank { [120.0 * shade, 150.0 * shade, 110.0 * shade] } else { product(u, v) }
    };
    check("marks wiped away", &draw(wiped, 1.0, grey).rgb, Some(Axis::Feature));
    let mut badge = draw(product, 1.0, grey).rgb;
    for (x, y, pixel) in badge.enumerate_pixels_mut() {
        let (dx, dy) = (x as f32 - 45.0, y as f32 - 60.0);
        if dx.hypot(dy) < 26.0 {
            pixel.0 = if (dx * 0.9).sin() * (dy * 0.9).sin() > 0.2 { [255, 255, 255] } else { [200, 20, 40] };
        }
    }
    check("badge", &badge, Some(Axis::Claim));
}

#[test]
fn a_main_image_must_be_white_and_whole() {
    let candidate = draw(product, 1.0, [238, 238, 236]).rgb;
    let review = reviewed(&candidate, Some(Role::Main));
    assert_eq!(review.verdict.word(), "edit", "{:?}", review.verdict);
    let white = draw(product, 1.0, [255, 255, 255]).rgb;
    assert_eq!(reviewed(&white, Some(Role::Main)).verdict.word(), "accept");
    let cut = image::imageops::crop_imm(&white, 0, 0, SIDE * 3 / 5, SIDE).to_image();
    assert!(!reviewed(&cut, Some(Role::Main)).axes[0].pass);
}

#[test]
fn every_candidate_is_answered() {
    for (w, h) in [(1, 1), (1, 700), (60, 40), (300, 300)] {
        let review = reviewed(&RgbImage::from_pixel(w, h, Rgb([90, 90, 90])), None);
        assert!(!review.comparable);
        assert_eq!(review.verdict.word(), "human");
    }
}

/// The product turned until it is half as wide and most of it is hidden.
fn turned(paint: impl Fn(f32, f32) -> [f32; 3]) -> RgbImage {
    RgbImage::from_fn(SIDE, SIDE, |x, y| {
        let u = ((x as f32 + 0.5) / SIDE as f32 - 0.3) / 0.3;
        let v = ((y as f32 + 0.5) / SIDE as f32 - 0.08 - 0.12 * u) / 0.8;
        if (0.0..0.6).contains(&u) && (0.0..1.0).contains(&v) {
            Rgb(paint(u, v).map(|c| c.clamp(0.0, 255.0) as u8))
        } else {
            Rgb([230, 232, 236])
        }
    })
}

#[test]
fn what_is_found_of_a_turned_product_goes_to_a_person() {
    let review = reviewed(&turned(product), None);
    assert!(review.comparable, "{:?}", review.verdict);
    assert_eq!(review.verdict.word(), "human", "{:?}", review.verdict);
    assert!(review.axes.iter().all(|axis| axis.pass), "{:?}", review.axes);
    let told = |axis: Axis| review.axes.iter().any(|a| a.axis == axis && a.score.is_some());
    assert!(told(Axis::Colour) && !told(Axis::Shape) && !told(Axis::Feature), "{:?}", review.axes);
    let place = review.findings[0].region.expect("where the part is");
    assert!(place.x + place.w <= SIDE && place.x > SIDE / 4, "{place:?}");
}
