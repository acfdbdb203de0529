//! Every fault of quality is found on real photos, and neither harmless changes nor a reference
//! that has the fault itself are accused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::OnceLock;

use image::{GrayImage, Luma, Rgb, RgbImage, imageops};
use packshot_imaging::mask;
use proptest::prelude::*;

use super::super::channel::Metric;
use super::super::frame::Ground;
use super::super::thresholds;
use super::super::{locked, rules};
use super::*;

const SIDE: u32 = 640;

/// A product with its true coverage, from a photo with a transparent background.
struct Product {
    rgb: RgbImage,
    alpha: GrayImage,
}

fn product(name: &str) -> Product {
    let path = format!("{}/../deploy/sample/images/{name}.png", env!("CARGO_MANIFEST_DIR"));
    let file = image::open(path).unwrap().thumbnail(SIDE, SIDE).to_rgba8();
    let alpha = GrayImage::from_fn(file.width(), file.height(), |x, y| Luma([file.get_pixel(x, y).0[3]]));
    Product { rgb: image::DynamicImage::ImageRgba8(file).to_rgb8(), alpha }
}

fn bottle() -> &'static Product {
    static BOTTLE: OnceLock<Product> = OnceLock::new();
    BOTTLE.get_or_init(|| product("saleor-apple-drink"))
}

fn shoe() -> &'static Product {
    static SHOE: OnceLock<Product> = OnceLock::new();
    SHOE.get_or_init(|| product("saleor-blue-plimsolls-1"))
}

impl Product {
    fn on(&self, ground: impl Fn(u32, u32) -> [u8; 3]) -> RgbImage {
        laid(&self.rgb, &self.alpha, ground)
    }

    fn studio(&self) -> RgbImage {
        jpeg(&self.on(|_, y| [(238 - y / 40) as u8; 3]), 93)
    }

    /// Every metric of the axis in units of its limit: 1 fails.
    fn against(&self, reference: &RgbImage, candidate: &RgbImage, scale: f32) -> BTreeMap<&'static str, f64> {
        let similarity = Similarity { scale, ..Similarity::IDENTITY };
        let frame =
            Frame::new(reference, &self.alpha, candidate, &locked::claimed(similarity), Ground::Background)
                .unwrap();
        let pair = Pair { photo: reference, foreground: &self.rgb, candidate, similarity };
        let shipped = thresholds::shipped();
        let limit = |name| shipped.scale(name) * shipped.limit(Axis::Quality);
        measure(&frame, &pair, rules::of(None))
            .metrics
            .iter()
            .map(|m| (m.name, m.value / limit(m.name)))
            .collect()
    }
}

fn laid(rgb: &RgbImage, alpha: &GrayImage, ground: impl Fn(u32, u32) -> [u8; 3]) -> RgbImage {
    RgbImage::from_fn(rgb.width(), rgb.height(), |x, y| {
        let a = u32::from(alpha.get_pixel(x, y).0[0]);
        let (own, behind) = (rgb.get_pixel(x, y).0, ground(x, y));
        Rgb(std::array::from_fn(|c| {
            ((u32::from(own[c]) * a + u32::from(behind[c]) * (255 - a) + 127) / 255) as u8
        }))
    })
}

fn jpeg(picture: &RgbImage, quality: u8) -> RgbImage {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, quality);
    picture.write_with_encoder(encoder).unwrap();
    image::load_from_memory(bytes.get_ref()).unwrap().to_rgb8()
}

/// A number from 0 to 1 for every place, the same each time.
fn dice(x: u32, y: u32, salt: u32) -> f32 {
    let mut v = x.wrapping_mul(0x9E37_79B1) ^ y.wrapping_mul(0x85EB_CA77) ^ salt.wrapping_mul(0xC2B2_AE3D);
    v ^= v >> 15;
    v = v.wrapping_mul(0x2C1B_3C6D);
    v ^= v >> 12;
    v = v.wrapping_mul(0x297A_2D39);
    (v >> 8) as f32 / 16_777_216.0
}

fn grained(picture: &RgbImage, sigma: f32) -> RgbImage {
    let mut out = picture.clone();
    for (x, y, pixel) in out.enumerate_pixels_mut() {
        let grain: f32 = (0..6).map(|k| dice(x, y, k)).sum::<f32>() - 3.0;
        pixel.0 = pixel.0.map(|v| (f32::from(v) + 1.414 * sigma * grain + 0.5).clamp(0.0, 255.0) as u8);
    }
    out
}

/// Irregular spots of all sizes, as of stone.
fn stone(x: u32, y: u32) -> [u8; 3] {
    let octave = |size: u32, salt: u32| {
        let (u, v) = (x / size, y / size);
        let (fx, fy) = ((x % size) as f32 / size as f32, (y % size) as f32 / size as f32);
        let upper = dice(u, v, salt) * (1.0 - fx) + dice(u + 1, v, salt) * fx;
        let lower = dice(u, v + 1, salt) * (1.0 - fx) + dice(u + 1, v + 1, salt) * fx;
        upper * (1.0 - fy) + lower * fy
    };
    let level = 90.0 + 50.0 * octave(23, 1) + 40.0 * octave(9, 2) + 25.0 * octave(4, 3) + 8.0 * dice(x, y, 4);
    [level as u8, (level * 0.97) as u8, (level * 0.93) as u8]
}

fn resized(picture: &RgbImage, factor: f32) -> RgbImage {
    let side = |v: u32| (v as f32 * factor).round() as u32;
    imageops::resize(picture, side(picture.width()), side(picture.height()), imageops::FilterType::CatmullRom)
}

/// The fault is at or over its limit, and no longer when the reference has it too.
fn check(name: &str, product: &Product, reference: &RgbImage, faulty: &RgbImage) {
    let found = product.against(reference, faulty, 1.0);
    assert!(found.get(name).is_some_and(|v| *v >= 1.0), "{name} is missed: {found:?}");
    let own = product.against(faulty, &jpeg(faulty, 92), 1.0);
    assert!(own.get(name).is_none_or(|v| *v < 1.0), "{name} of the reference's own: {own:?}");
}

#[test]
fn harmless_changes_are_no_faults() {
    for (name, product) in [("bottle", bottle()), ("shoe", shoe())] {
        let reference = product.studio();
        let lit = |gain: f32| {
            let mut out = reference.clone();
            out.pixels_mut().for_each(|p| p.0 = p.0.map(|v| (f32::from(v) * gain).min(255.0) as u8));
            out
        };
        let scene = |x: u32, y: u32| {
            let shade = 1.0 - 0.3 * (-((y as f32 - 560.0) / 60.0).powi(2)).exp();
            stone(x, y).map(|v| (f32::from(v) * shade) as u8)
        };
        for (change, candidate, scale) in [
            ("jpeg 60", jpeg(&reference, 60), 1.0),
            ("jpeg 95", jpeg(&reference, 95), 1.0),
            ("grain", grained(&reference, 2.0), 1.0),
            ("brighter", lit(1.05), 1.0),
            ("darker", lit(0.95), 1.0),
            ("smaller", resized(&reference, 0.7), 0.7),
            ("larger", resized(&reference, 1.3), 1.3),
            ("another scene", jpeg(&product.on(scene), 88), 1.0),
            ("a dark scene", jpeg(&product.on(|_, y| [(60 + y / 20) as u8, 70, 84]), 90), 1.0),
        ] {
            let found = product.against(&reference, &candidate, scale);
            let old = ["quality_soft", "quality_blocks", "quality_halo"];
            for (metric, value) in found.iter().filter(|(metric, _)| !old.contains(*metric)) {
                assert!(*value < 1.0, "{name}, {change}: {metric} is {value:.2} of its limit");
            }
        }
    }
}

#[test]
fn noise_is_found_and_not_that_of_the_reference() {
    let reference = bottle().studio();
    check("quality_noise", bottle(), &reference, &jpeg(&grained(&reference, 8.0), 95));
}

#[test]
fn bands_are_found_and_not_those_of_the_reference() {
    let banded = |x: u32, y: u32| [(((230 - (y + x / 6) / 8) / 6) * 6) as u8; 3];
    check("quality_banding", bottle(), &bottle().studio(), &jpeg(&bottle().on(banded), 94));
}

#[test]
fn steps_of_the_outline_are_found_and_not_those_of_the_reference() {
    let alpha = GrayImage::from_fn(bottle().alpha.width(), bottle().alpha.height(), |x, y| {
        let own = bottle().alpha.get_pixel(x / 2 * 2, y / 2 * 2).0[0];
        Luma([if own > 127 { 255 } else { 0 }])
    });
    let faulty = laid(&bottle().rgb, &alpha, |_, _| [40, 60, 80]);
    check("quality_jagged", bottle(), &bottle().studio(), &jpeg(&faulty, 94));
}

#[test]
fn a_rim_of_the_old_background_is_found() {
    let reference = bottle().studio();
    let alpha = mask::dilate(&bottle().alpha, 2);
    let faulty = jpeg(&laid(&reference, &alpha, |_, _| [50, 70, 96]), 94);
    check("quality_fringe", bottle(), &reference, &faulty);
}

#[test]
fn over_sharpening_is_found_and_not_that_of_the_reference() {
    let sharp = |picture: &RgbImage| {
        let soft = imageops::blur(picture, 1.5);
        let mut out = picture.clone();
        for (pixel, soft) in out.pixels_mut().zip(soft.pixels()) {
            pixel.0 = std::array::from_fn(|c| {
                let (own, soft) = (f32::from(pixel.0[c]), f32::from(soft.0[c]));
                (own + 4.0 * (own - soft)).clamp(0.0, 255.0) as u8
            });
        }
        out
    };
    let mid = bottle().on(|_, _| [150; 3]);
    check("quality_ringing", bottle(), &mid, &jpeg(&sharp(&mid), 94));
}

#[test]
fn repeated_pixels_are_found_and_not_those_of_the_reference() {
    for blocks in [2, 3] {
        let reference = shoe().studio();
        let small = resized(&reference, 1.0 / blocks as f32);
        let faulty =
            imageops::resize(&small, reference.width(), reference.height(), imageops::FilterType::Nearest);
        check("quality_pixels", shoe(), &reference, &jpeg(&faulty, 94));
    }
}

#[test]
fn lost_shadows_and_highlights_are_found_and_not_those_of_the_reference() {
    let reference = shoe().studio();
    let cut = |level: fn(f32) -> f32| {
        let mut out = reference.clone();
        out.pixels_mut().for_each(|p| p.0 = p.0.map(|v| level(f32::from(v)).clamp(0.0, 255.0) as u8));
        out
    };
    check("quality_highlights", shoe(), &reference, &jpeg(&cut(|v| v * 1.3), 94));
    let dark = jpeg(&cut(|v| v * 0.3), 95);
    let mut crushed = dark.clone();
    crushed.pixels_mut().for_each(|p| {
        if p.0.iter().all(|v| *v < 60) {
            p.0 = [0; 3];
        }
    });
    check("quality_shadows", shoe(), &dark, &crushed);
}

#[test]
fn a_cloned_piece_is_found_and_not_that_of_the_reference() {
    let reference = shoe().studio();
    let scene = shoe().on(stone);
    let mut faulty = scene.clone();
    for (x, y) in (0..80).flat_map(|y| (0..80).map(move |x| (x, y))) {
        faulty.put_pixel(531 + x, 13 + y, *scene.get_pixel(30 + x, 4 + y));
    }
    check("quality_repeated", shoe(), &reference, &jpeg(&faulty, 92));
    let calm = shoe().against(&reference, &jpeg(&scene, 92), 1.0);
    assert!(calm["quality_repeated"] < 1.0, "{calm:?}");
}

#[test]
fn every_metric_has_a_shipped_scale() {
    let reference = bottle().studio();
    let found = bottle().against(&reference, &jpeg(&reference, 90), 1.0);
    for name in found.keys() {
        assert!(thresholds::shipped().scales.contains_key(*name), "{name} is not in thresholds.json");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn numbers_are_finite_on_odd_pictures(
        w in 1u32..90, h in 1u32..90, cw in 1u32..90, ch in 1u32..90, flat in any::<bool>(), salt in any::<u32>()
    ) {
        let paint = |x: u32, y: u32| Rgb([if flat { 77 } else { (255.0 * dice(x, y, salt)) as u8 }; 3]);
        let photo = RgbImage::from_fn(w, h, paint);
        let candidate = RgbImage::from_fn(cw, ch, paint);
        let alpha = GrayImage::from_fn(w, h, |x, y| Luma([if x * 3 > w && y * 4 > h { 255 } else { 0 }]));
        let similarity = Similarity { scale: 0.8, angle: 0.3, tx: -3.0, ty: 5.0 };
        let pair = Pair { photo: &photo, foreground: &photo, candidate: &candidate, similarity };
        let mut metrics = vec![banding::measure(&candidate, &photo), repeated::measure(&pair)];
        if let Some(frame) = Frame::new(&photo, &alpha, &candidate, &locked::claimed(similarity), Ground::Background) {
            metrics.extend(measure(&frame, &pair, rules::of(None)).metrics);
        }
        for metric in metrics {
            prop_assert!(metric.value.is_finite() && metric.value >= 0.0, "{metric:?}");
        }
    }
}

/// The new metrics' time on one core at 2,000 px: `cargo test -- --ignored the_time --nocapture`.
#[test]
#[ignore = "prints times"]
fn the_time_of_each_metric() {
    let wide = |p: &Product| {
        let side = |v: u32| v * 2000 / p.rgb.width().max(p.rgb.height());
        let (w, h) = (side(p.rgb.width()), side(p.rgb.height()));
        Product {
            rgb: imageops::resize(&p.rgb, w, h, imageops::FilterType::CatmullRom),
            alpha: imageops::resize(&p.alpha, w, h, imageops::FilterType::CatmullRom),
        }
    };
    let product = wide(bottle());
    let (reference, candidate) = (product.studio(), jpeg(&product.on(stone), 90));
    let similarity = Similarity::IDENTITY;
    let frame =
        Frame::new(&reference, &product.alpha, &candidate, &locked::claimed(similarity), Ground::Background)
            .unwrap();
    let pair = Pair { photo: &reference, foreground: &product.rgb, candidate: &candidate, similarity };
    let profiles = profile::along_outline(&frame, &pair);
    let time = |name: &str, work: &dyn Fn() -> f64| {
        let mut times: Vec<f64> = (0..7)
            .map(|_| {
                let started = std::time::Instant::now();
                std::hint::black_box(work());
                started.elapsed().as_secs_f64() * 1e3
            })
            .collect();
        times.sort_by(f64::total_cmp);
        println!("{name:10} {:6.2} ms", times[0]);
    };
    let of = |m: Option<Metric>| m.map_or(0.0, |m| m.value);
    time("profiles", &|| profile::along_outline(&frame, &pair).len() as f64);
    time("jagged", &|| of(jagged::measure(&profiles, &pair)));
    time("fringe", &|| of(fringe::measure(&profiles)));
    time("ringing", &|| of(ringing::measure(&profiles)));
    time("pixels", &|| of(pixels::measure(&frame, &pair)));
    time("repeated", &|| repeated::measure(&pair).value);
    time("banding", &|| banding::measure(&candidate, &reference).value);
    time("noise", &|| of(noise::measure(&frame, &pair)));
    time("clipped", &|| clipped::measure(&frame)[0].value);
    println!("{} profiles", profiles.len());
}
