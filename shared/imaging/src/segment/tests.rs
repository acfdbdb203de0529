//! Drawn scenes of what real photos went wrong on: mirroring feet, hard shadows, glass.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use image::{GrayImage, Luma, Rgb, RgbImage};

use crate::cutout::{CutoutOptions, cut_out};
use crate::mask;
use crate::photo::{Cutout, Photo};

/// A light table whose light falls off, times `shade`, with `product` (coverage and grey) on it.
fn scene(shade: impl Fn(f32, f32) -> f32, product: impl Fn(f32, f32) -> (f32, f32)) -> RgbImage {
    RgbImage::from_fn(400, 400, |x, y| {
        let grain = ((x * 7919 + y * 104_729) % 5) as f32 - 2.0;
        let (x, y) = (x as f32, y as f32);
        let (a, own) = product(x, y);
        let table = (238.0 - 0.05 * y) * shade(x, y);
        Rgb([0.0, -1.0, 1.0].map(|tint| (a * own + (1.0 - a) * table + grain + tint) as u8))
    })
}

fn cut(rgb: RgbImage) -> Cutout {
    cut_out(&Photo::of_pixels(rgb, None), &CutoutOptions { agreement_min: 0.0 }).unwrap()
}

/// Coverage of an upright body, 120 wide, from row 90 down to row 300, with a soft edge.
fn body(x: f32, y: f32) -> f32 {
    let edge = |distance: f32| (distance / 3.0 + 0.5).clamp(0.0, 1.0);
    edge(60.0 - (x - 200.0).abs()) * edge(y - 90.0) * edge(300.0 - y)
}

fn truth() -> GrayImage {
    GrayImage::from_fn(400, 400, |x, y| Luma([(body(x as f32, y as f32) * 255.0) as u8]))
}

#[test]
fn a_foot_that_mirrors_the_table_is_not_taken_for_its_shadow() {
    let contact = |x: f32, y: f32| {
        let (dx, dy) = ((x - 215.0) / 120.0, (y - 300.0) / 40.0);
        1.0 - 0.42 * (1.0 - dx.hypot(dy)).clamp(0.0, 1.0)
    };
    // Black above, and below ever more of the light table in it.
    let mirror = |x: f32, y: f32| (body(x, y), 35.0 + 70.0 * ((y - 230.0) / 70.0).clamp(0.0, 1.0));
    let cutout = cut(scene(contact, mirror));
    assert!(mask::iou(&cutout.alpha, &truth()) > 0.96, "{}", mask::iou(&cutout.alpha, &truth()));
    assert!(cutout.quality.agreement > 0.8, "{}", cutout.quality.agreement);
}

#[test]
fn a_hard_shadow_is_neither_product_nor_doubt() {
    let beside = |x: f32, y: f32| if body(x - 9.0, y - 9.0) > 0.5 { 0.74 } else { 1.0 };
    let cutout = cut(scene(beside, |x, y| (body(x, y), 25.0)));
    assert!(mask::iou(&cutout.alpha, &truth()) > 0.96, "{}", mask::iou(&cutout.alpha, &truth()));
    assert!(cutout.quality.agreement > 0.8, "{}", cutout.quality.agreement);
}

/// Blue shoes with white soles and toes on white, beside the light that `shadow` leaves of 1 where
/// they stand between it and the lamp; with their true coverage.
fn white_toes(shadow: f32) -> (RgbImage, GrayImage) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/sample/images/saleor-blue-plimsolls-4.png");
    let file = image::open(path).unwrap().thumbnail(640, 640).to_rgba8();
    let (w, h) = file.dimensions();
    let supplied = GrayImage::from_fn(w, h, |x, y| Luma([file.get_pixel(x, y).0[3]]));
    let photo = Photo::of_pixels(image::DynamicImage::ImageRgba8(file).to_rgb8(), Some(supplied));
    // The file's coverage has a shadow of its own.
    let shoes = cut_out(&photo, &CutoutOptions::DEFAULT).unwrap();
    let (dx, dy) = (w * 3 / 100, h * 2 / 100);
    let coverage =
        |x: u32, y: u32| f32::from(shoes.alpha.get_pixel_checked(x, y).map_or(0, |a| a.0[0])) / 255.0;
    let rgb = RgbImage::from_fn(w, h, |x, y| {
        let grain = ((x * 7919 + y * 104_729) % 3) as f32 - 1.0;
        let (a, dark) = (coverage(x, y), coverage(x.wrapping_sub(dx), y.wrapping_sub(dy)));
        let light = 250.0 * (1.0 - dark * (1.0 - shadow));
        let own = shoes.foreground.get_pixel(x, y).0;
        Rgb(own.map(|own| (a * f32::from(own) + (1.0 - a) * light + grain).clamp(0.0, 255.0) as u8))
    });
    (rgb, shoes.alpha)
}

#[test]
fn white_toes_on_white_are_the_shoes_and_a_hard_shadow_is_not() {
    for shadow in [1.0, 0.74] {
        let (rgb, truth) = white_toes(shadow);
        let iou = mask::iou(&cut(rgb).alpha, &truth);
        assert!(iou > 0.96, "{iou} with light {shadow}");
    }
}

#[test]
fn a_lid_without_its_glass_is_not_believed() {
    let glass = |x: f32, y: f32| {
        let (across, down) = ((x - 200.0).abs(), y);
        let side = (across - 55.0).abs() < 1.5 && (120.0..300.0).contains(&down);
        let foot = (down - 300.0).abs() < 1.5 && across < 55.0;
        if side || foot { 0.93 } else { 1.0 }
    };
    let lid = |x: f32, y: f32| {
        if (x - 200.0).abs() < 60.0 && (90.0..120.0).contains(&y) { (1.0, 90.0) } else { (0.0, 0.0) }
    };
    let cutout = cut(scene(glass, lid));
    assert!(cutout.quality.agreement < 0.8, "{}", cutout.quality.agreement);
}
