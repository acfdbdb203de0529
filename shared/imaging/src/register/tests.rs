//! Registration of drawn products: properties, no goldens.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::*;
use image::{Luma, Rgb};

/// Lightness of a board full of discs, each of its own.
pub(super) fn marks(u: f32, v: f32) -> u8 {
    let (i, j) = ((u / 17.0) as u32, (v / 13.0) as u32);
    let hash = (i.wrapping_mul(2_654_435_761) ^ j.wrapping_mul(40_503)).wrapping_mul(97) >> 7;
    let disc = ((u % 17.0) - 8.0).hypot((v % 13.0) - 6.0) < 4.5;
    if disc { (hash % 200) as u8 } else { 120 }
}

/// A product with marks, drawn through an inverse map so that any placement is exact.
fn draw(w: u32, h: u32, back: impl Fn(f32, f32) -> (f32, f32)) -> (RgbImage, GrayImage) {
    let mut rgb = RgbImage::from_pixel(w, h, Rgb([240, 240, 238]));
    let mut mask = GrayImage::new(w, h);
    for y in 0..h {
        for x in 0..w {
            let (u, v) = back(x as f32 + 0.5, y as f32 + 0.5);
            if (60.0..240.0).contains(&u) && (40.0..280.0).contains(&v) {
                let level = marks(u, v);
                rgb.put_pixel(x, y, Rgb([level, level / 2 + 60, 90]));
                mask.put_pixel(x, y, Luma([255]));
            }
        }
    }
    (rgb, mask)
}

#[test]
fn a_moved_turned_and_smaller_product_is_found() {
    let truth = Similarity { scale: 0.8, angle: 0.12, tx: 60.0, ty: 20.0 };
    let (reference, mask) = draw(320, 320, |x, y| (x, y));
    let back = truth.inverse();
    let (candidate, _) = draw(360, 340, |x, y| back.apply(x, y));
    let found = register(&reference, &mask, &candidate, None).expect("comparable");
    assert_eq!(found.method, Method::Keypoints);
    for (x, y) in [(70.0, 50.0), (230.0, 270.0)] {
        let (a, b) = (truth.apply(x, y), found.similarity.apply(x, y));
        assert!((a.0 - b.0).hypot(a.1 - b.1) < 0.8, "{a:?} {b:?}");
    }
}

#[test]
fn a_stretch_is_not_absorbed() {
    let (reference, mask) = draw(320, 320, |x, y| (x, y));
    let (candidate, _) = draw(340, 320, |x, y| (x / 1.06, y));
    let found = register(&reference, &mask, &candidate, None).expect("comparable");
    assert!((found.affine.widening() - 1.06_f32.ln()).abs() < 0.01, "{}", found.affine.widening());
}

#[test]
fn another_picture_is_not_comparable() {
    let (reference, mask) = draw(320, 320, |x, y| (x, y));
    let noise = RgbImage::from_fn(300, 300, |x, y| {
        let v = (x.wrapping_mul(7919) ^ y.wrapping_mul(104_729)).wrapping_mul(2_246_822_519) >> 24;
        Rgb([v as u8, v as u8, v as u8])
    });
    assert!(register(&reference, &mask, &noise, None).is_err());
    assert!(register(&reference, &mask, &noise, Some(Similarity::IDENTITY)).is_err());
}

#[test]
fn any_size_is_answered() {
    let (reference, mask) = draw(320, 320, |x, y| (x, y));
    for (w, h) in [(1, 1), (1, 500), (40, 30), (300, 2)] {
        assert!(register(&reference, &mask, &RgbImage::new(w, h), None).is_err());
        let empty = GrayImage::new(w, h);
        assert!(register(&RgbImage::new(w, h), &empty, &reference, None).is_err());
    }
}
