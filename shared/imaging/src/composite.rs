//! Putting light together: a product over a background, a shadow on it, a rendered
//! background without banding.
//!
//! Everything that mixes light mixes it linearly; only a pixel whose coverage is exactly
//! 255 is copied byte for byte, so a product's own pixels survive unchanged.

use std::sync::OnceLock;

use image::{GrayImage, Rgb, RgbImage};
use rayon::prelude::*;

pub mod shadow;

use crate::colour::srgb_to_linear;

/// Steps of the linear-to-sRGB table; fine enough that the error stays under 0.1 of an
/// 8-bit step in the darkest tones, where the curve is steepest.
const ENCODE_STEPS: usize = 32_768;

/// sRGB code value (0 to 255, with its fraction) of a linear value; input is clamped to
/// 0 to 1, NaN counts as 0.
pub fn encode(linear: f32) -> f32 {
    static TABLE: OnceLock<Vec<f32>> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        (0..=ENCODE_STEPS)
            .map(|i| {
                let v = i as f32 / ENCODE_STEPS as f32;
                255.0 * if v <= 0.003_130_8 { v * 12.92 } else { 1.055 * v.powf(1.0 / 2.4) - 0.055 }
            })
            .collect()
    });
    // NaN casts to index 0.
    let index = (linear.clamp(0.0, 1.0) * ENCODE_STEPS as f32 + 0.5) as usize;
    table[index.min(ENCODE_STEPS)]
}

/// `foreground` with coverage `coverage` (0 to 255) over `background`, in linear light.
/// Coverage 0 and 255 return the one or the other unchanged.
pub fn over(background: [u8; 3], foreground: [u8; 3], coverage: u8) -> [u8; 3] {
    match coverage {
        0 => background,
        255 => foreground,
        _ => {
            let a = f32::from(coverage) / 255.0;
            std::array::from_fn(|c| {
                let f = srgb_to_linear(foreground[c]);
                let b = srgb_to_linear(background[c]);
                (encode(b + (f - b) * a) + 0.5) as u8
            })
        }
    }
}

/// Lays `foreground` with its coverage `alpha` on `canvas`, its top left corner at `at`
/// (pixels of the canvas; parts outside are clipped). Where the two inputs differ in
/// size, only what both hold is placed.
pub fn place(canvas: &mut RgbImage, foreground: &RgbImage, alpha: &GrayImage, at: (i64, i64)) {
    let w = foreground.width().min(alpha.width());
    let h = foreground.height().min(alpha.height());
    let Some((xs, ys)) = clip(canvas.dimensions(), (w, h), at) else { return };
    for y in ys {
        let cy = (i64::from(y) + at.1) as u32;
        for x in xs.clone() {
            let coverage = alpha.get_pixel(x, y).0[0];
            if coverage == 0 {
                continue;
            }
            let pixel = canvas.get_pixel_mut((i64::from(x) + at.0) as u32, cy);
            pixel.0 = over(pixel.0, foreground.get_pixel(x, y).0, coverage);
        }
    }
}

/// Lays a coverage map on another one of the same frame: the result is the union
/// `1 - (1-a)(1-b)`. Clipped like [`place`].
pub fn place_mask(canvas: &mut GrayImage, alpha: &GrayImage, at: (i64, i64)) {
    let Some((xs, ys)) = clip(canvas.dimensions(), alpha.dimensions(), at) else { return };
    for y in ys {
        let cy = (i64::from(y) + at.1) as u32;
        for x in xs.clone() {
            let a = u32::from(alpha.get_pixel(x, y).0[0]);
            let pixel = canvas.get_pixel_mut((i64::from(x) + at.0) as u32, cy);
            let b = u32::from(pixel.0[0]);
            pixel.0[0] = (255 - ((255 - a) * (255 - b) + 127) / 255) as u8;
        }
    }
}

type Span = std::ops::Range<u32>;

/// The columns and rows of an image of `size` that fall inside `canvas` when its corner
/// is at `at`; `None` when nothing does.
fn clip(canvas: (u32, u32), size: (u32, u32), at: (i64, i64)) -> Option<(Span, Span)> {
    let span = |limit: u32, length: u32, offset: i64| {
        let start = (-offset).clamp(0, i64::from(length)) as u32;
        let end = (i64::from(limit) - offset).clamp(0, i64::from(length)) as u32;
        (start < end).then_some(start..end)
    };
    Some((span(canvas.0, size.0, at.0)?, span(canvas.1, size.1, at.1)?))
}

/// Noise laid over a rendered picture: dither against banding, always, and grain like
/// that of a sensor.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Grain {
    /// Same seed, same noise.
    pub seed: u64,
    /// Standard deviation of the grain in 8-bit steps; 0 = dither only.
    pub strength: f32,
}

/// Renders `width` x `height` pixels: `shade(y, row)` fills one row with linear light
/// (0 to 1 per channel; more is clipped). The result is dithered with triangular noise
/// of one 8-bit step, so that a slow gradient does not band, and carries `grain`.
///
/// Exact 0 and exact 1 (pure white) stay exact.
pub fn render(
    width: u32,
    height: u32,
    grain: Grain,
    shade: impl Fn(u32, &mut [[f32; 3]]) + Sync,
) -> RgbImage {
    let (width, height) = (width.max(1), height.max(1));
    let mut image = RgbImage::new(width, height);
    let stride = width as usize * 3;
    image.as_mut().par_chunks_exact_mut(stride).enumerate().for_each_init(
        || vec![[0.0_f32; 3]; width as usize],
        |row, (y, bytes)| {
            row.fill([0.0; 3]);
            shade(y as u32, row);
            let mut state = mix(grain.seed ^ (y as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15));
            for (pixel, out) in row.iter().zip(bytes.chunks_exact_mut(3)) {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                quantise(*pixel, state ^ (state >> 29), grain.strength, out);
            }
        },
    );
    image
}

/// One pixel to bytes with dither and grain out of the 64 random `bits`.
fn quantise(pixel: [f32; 3], bits: u64, strength: f32, out: &mut [u8]) {
    let byte = |n: u32| ((bits >> (8 * n)) & 0xFF) as f32 / 255.0;
    // Four uniform bytes make a bell of standard deviation 0.577; the eye sees grain in
    // lightness much more than in colour, so all channels share it.
    let lightness = (byte(7) + byte(6) + byte(5) + byte(4) - 2.0) * 1.73 * strength;
    for (c, out) in out.iter_mut().enumerate() {
        if pixel[c] >= 1.0 {
            *out = 255;
            continue;
        }
        if pixel[c] <= 0.0 {
            *out = 0;
            continue;
        }
        let dither = byte(c as u32) + byte((c as u32 + 1) % 3 + 1) - 1.0;
        *out = (encode(pixel[c]) + lightness + dither + 0.5).clamp(0.0, 255.0) as u8;
    }
}

/// Scrambles 64 bits (the finaliser of `SplitMix64`, Steele et al. 2014).
pub fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A canvas of one colour.
pub fn flat(width: u32, height: u32, colour: [u8; 3]) -> RgbImage {
    RgbImage::from_pixel(width.max(1), height.max(1), Rgb(colour))
}

/// Multiplies the light of `canvas` by `factor(x, y)` (0 = black, 1 = unchanged).
/// Factors of 0.9995 and more leave the pixel exactly as it is. Dithered by `seed`, so a
/// wide soft shadow does not band, but never brighter than before.
pub fn shade(canvas: &mut RgbImage, seed: u64, factor: impl Fn(u32, u32) -> f32 + Sync) {
    let stride = canvas.width() as usize * 3;
    if stride == 0 {
        return;
    }
    canvas.as_mut().par_chunks_exact_mut(stride).enumerate().for_each(|(y, bytes)| {
        let mut state = mix(seed ^ (y as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        for (x, pixel) in bytes.chunks_exact_mut(3).enumerate() {
            let f = factor(x as u32, y as u32);
            if f >= 0.9995 || f.is_nan() {
                continue;
            }
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let dither = ((state >> 40) & 0xFFFF) as f32 / 65_536.0;
            for value in pixel {
                let lit = encode(srgb_to_linear(*value) * f.max(0.0));
                *value = ((lit + dither) as u8).min(*value);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use image::Luma;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn full_coverage_copies_and_none_leaves(b: [u8; 3], f: [u8; 3]) {
            prop_assert_eq!(over(b, f, 255), f);
            prop_assert_eq!(over(b, f, 0), b);
        }

        #[test]
        fn over_stays_between_its_inputs(b: u8, f: u8, a: u8) {
            let mixed = over([b; 3], [f; 3], a)[0];
            prop_assert!(mixed >= b.min(f).saturating_sub(1) && mixed <= b.max(f).saturating_add(1));
        }

        #[test]
        fn place_never_panics(w in 1u32..9, h in 1u32..9, x in -20i64..20, y in -20i64..20) {
            let mut canvas = flat(5, 4, [255; 3]);
            place(&mut canvas, &flat(w, h, [0; 3]), &GrayImage::from_pixel(h, w, Luma([255])), (x, y));
        }
    }

    #[test]
    fn encode_inverts_the_decoder() {
        for v in 0..=255_u8 {
            assert!((encode(srgb_to_linear(v)) - f32::from(v)).abs() < 0.25, "{v}");
        }
        assert_eq!(encode(f32::NAN), 0.0);
    }

    #[test]
    fn a_slow_gradient_does_not_band() {
        let picture = render(400, 64, Grain { seed: 7, strength: 0.0 }, |_, row| {
            for (x, pixel) in row.iter_mut().enumerate() {
                *pixel = [0.50 + x as f32 * 2e-5; 3];
            }
        });
        // Where an undithered ramp would show one edge, neighbouring columns mix levels.
        let mean = |x: u32| (0..64).map(|y| f64::from(picture.get_pixel(x, y).0[1])).sum::<f64>() / 64.0;
        let steps = (1..400).filter(|x| (mean(*x) - mean(x - 1)).abs() > 0.9).count();
        assert_eq!(steps, 0);
    }

    #[test]
    fn pure_white_stays_pure_and_noise_repeats() {
        let make = |seed| {
            render(33, 9, Grain { seed, strength: 2.0 }, |y, row| {
                row.fill([if y < 4 { 1.0 } else { 0.4 }; 3]);
            })
        };
        let picture = make(1);
        assert!((0..33).all(|x| picture.get_pixel(x, 2).0 == [255; 3]));
        assert_eq!(make(1), picture);
        assert_ne!(make(2), picture);
    }

    #[test]
    fn a_factor_of_one_changes_nothing() {
        let mut canvas = flat(7, 5, [200, 13, 255]);
        shade(&mut canvas, 1, |_, _| 1.0);
        assert_eq!(canvas, flat(7, 5, [200, 13, 255]));
        shade(&mut canvas, 1, |_, _| f32::NAN);
        assert_eq!(canvas, flat(7, 5, [200, 13, 255]));
    }
}
