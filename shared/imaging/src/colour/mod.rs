//! Colour: sRGB and linear light, CIE Lab under D65, the CIEDE2000 difference, and plain
//! colour words that a catalog manager would use.
//!
//! Every conversion here is table driven, because reviews convert whole images many times.

mod difference;
mod words;

use std::sync::LazyLock;

use image::RgbImage;
use rayon::prelude::*;

pub use difference::{ciede76, ciede2000};
pub use words::{Contradiction, family, nearest_word, word_matches};

/// A colour in CIE Lab under D65 with the 2 degree observer: `l` 0 to 100, `a` and `b`
/// about -110 to 110 for sRGB colours.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Lab {
    /// Lightness.
    pub l: f32,
    /// Green (negative) to red (positive).
    pub a: f32,
    /// Blue (negative) to yellow (positive).
    pub b: f32,
}

impl Lab {
    /// Chroma: distance from neutral grey.
    pub fn chroma(self) -> f32 {
        self.a.hypot(self.b)
    }

    /// Hue angle in degrees, 0 to 360; meaningless when the chroma is near 0.
    pub fn hue_degrees(self) -> f32 {
        self.b.atan2(self.a).to_degrees().rem_euclid(360.0)
    }
}

/// A whole image in Lab, one plane per coordinate, row by row.
#[derive(Clone, PartialEq, Debug)]
pub struct LabImage {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Lightness, `width * height` values.
    pub l: Vec<f32>,
    /// Green to red.
    pub a: Vec<f32>,
    /// Blue to yellow.
    pub b: Vec<f32>,
}

impl LabImage {
    /// The colour at index `y * width + x`; black when out of range.
    pub fn at(&self, index: usize) -> Lab {
        match (self.l.get(index), self.a.get(index), self.b.get(index)) {
            (Some(&l), Some(&a), Some(&b)) => Lab { l, a, b },
            _ => Lab::default(),
        }
    }
}

/// White point of D65, 2 degree observer, Y = 1.
const WHITE: [f32; 3] = [0.950_47, 1.0, 1.088_83];
/// Linear sRGB to XYZ (IEC 61966-2-1), rows already divided by the white point.
const TO_XYZ: [[f32; 3]; 3] = [
    [0.412_456_4 / WHITE[0], 0.357_576_1 / WHITE[0], 0.180_437_5 / WHITE[0]],
    [0.212_672_9, 0.715_152_2, 0.072_175],
    [0.019_333_9 / WHITE[2], 0.119_192 / WHITE[2], 0.950_304_1 / WHITE[2]],
];
/// XYZ to linear sRGB.
const FROM_XYZ: [[f32; 3]; 3] = [
    [3.240_454_2, -1.537_138_5, -0.498_531_4],
    [-0.969_266, 1.876_010_8, 0.041_556],
    [0.055_643_4, -0.204_025_9, 1.057_225_2],
];

/// Steps of the inverse gamma table; fine enough that every level survives a round trip.
const GAMMA_STEPS: usize = 16_384;
/// Steps of the cube root table over 0 to 1; the interpolation error stays below 0.01 Lab.
const ROOT_STEPS: usize = 4_096;

static TO_LINEAR: LazyLock<[f32; 256]> = LazyLock::new(|| {
    std::array::from_fn(|level| {
        let v = level as f64 / 255.0;
        let linear = if v <= 0.040_45 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) };
        linear as f32
    })
});

static FROM_LINEAR: LazyLock<Vec<u8>> = LazyLock::new(|| {
    (0..=GAMMA_STEPS)
        .map(|step| (gamma(step as f64 / GAMMA_STEPS as f64) * 255.0).round().clamp(0.0, 255.0) as u8)
        .collect()
});

/// The function f of CIE Lab at `step / ROOT_STEPS`, with one guard value at the end.
static ROOT: LazyLock<Vec<f32>> = LazyLock::new(|| {
    (0..ROOT_STEPS + 2)
        .map(|step| {
            let t = step as f64 / ROOT_STEPS as f64;
            let f = if t > 216.0 / 24_389.0 { t.cbrt() } else { (24_389.0 / 27.0 * t + 16.0) / 116.0 };
            f as f32
        })
        .collect()
});

fn gamma(linear: f64) -> f64 {
    if linear <= 0.003_130_8 { linear * 12.92 } else { 1.055 * linear.powf(1.0 / 2.4) - 0.055 }
}

/// An 8-bit sRGB level as linear light, 0 to 1.
#[inline]
pub fn srgb_to_linear(level: u8) -> f32 {
    TO_LINEAR[usize::from(level)]
}

/// The whole table behind [`srgb_to_linear`], for inner loops that look it up often.
pub fn srgb_to_linear_table() -> &'static [f32; 256] {
    &TO_LINEAR
}

/// Linear light as the nearest 8-bit sRGB level; values outside 0 to 1 are clamped and NaN
/// becomes 0. Exact inverse of [`srgb_to_linear`] on all 256 levels.
#[inline]
pub fn linear_to_srgb(linear: f32) -> u8 {
    from_linear(&FROM_LINEAR, linear)
}

#[inline]
fn from_linear(table: &[u8], linear: f32) -> u8 {
    let step = linear.mul_add(GAMMA_STEPS as f32, 0.5) as usize;
    table.get(step.min(GAMMA_STEPS)).copied().unwrap_or(255)
}

#[inline]
fn root(table: &[f32], t: f32) -> f32 {
    let position = (t * ROOT_STEPS as f32).clamp(0.0, ROOT_STEPS as f32);
    let step = position as usize;
    let low = table[step.min(ROOT_STEPS)];
    let high = table[(step + 1).min(ROOT_STEPS + 1)];
    (high - low).mul_add(position - step as f32, low)
}

#[inline]
fn lab_with(linear: &[f32; 256], roots: &[f32], rgb: [u8; 3]) -> Lab {
    let r = linear[usize::from(rgb[0])];
    let g = linear[usize::from(rgb[1])];
    let b = linear[usize::from(rgb[2])];
    let fx = root(roots, TO_XYZ[0][0] * r + TO_XYZ[0][1] * g + TO_XYZ[0][2] * b);
    let fy = root(roots, TO_XYZ[1][0] * r + TO_XYZ[1][1] * g + TO_XYZ[1][2] * b);
    let fz = root(roots, TO_XYZ[2][0] * r + TO_XYZ[2][1] * g + TO_XYZ[2][2] * b);
    Lab { l: 116.0 * fy - 16.0, a: 500.0 * (fx - fy), b: 200.0 * (fy - fz) }
}

/// An 8-bit sRGB colour in Lab.
pub fn lab(rgb: [u8; 3]) -> Lab {
    lab_with(&TO_LINEAR, &ROOT, rgb)
}

/// A colour in linear sRGB light, 1 = white, in Lab without rounding to levels. Light over 1
/// gives lightness over 100, so that what would clip can still be compared; light under 0 is
/// taken for none.
pub fn lab_of_linear(rgb: [f32; 3]) -> Lab {
    let [r, g, b] = rgb.map(|v| v.max(0.0));
    let f = |row: [f32; 3]| {
        let t = row[0] * r + row[1] * g + row[2] * b;
        if t > 216.0 / 24_389.0 { t.cbrt() } else { (24_389.0 / 27.0 * t + 16.0) / 116.0 }
    };
    let [fx, fy, fz] = TO_XYZ.map(f);
    Lab { l: 116.0 * fy - 16.0, a: 500.0 * (fx - fy), b: 200.0 * (fy - fz) }
}

/// The nearest 8-bit sRGB colour; colours outside sRGB are clamped channel by channel.
pub fn lab_to_srgb(colour: Lab) -> [u8; 3] {
    let fy = (colour.l + 16.0) / 116.0;
    let f = [fy + colour.a / 500.0, fy, fy - colour.b / 200.0];
    let xyz: [f32; 3] = std::array::from_fn(|i| {
        let cubed = f[i] * f[i] * f[i];
        let t = if cubed > 216.0 / 24_389.0 { cubed } else { (116.0 * f[i] - 16.0) * 27.0 / 24_389.0 };
        t * WHITE[i]
    });
    std::array::from_fn(|row| {
        linear_to_srgb(FROM_XYZ[row][0] * xyz[0] + FROM_XYZ[row][1] * xyz[1] + FROM_XYZ[row][2] * xyz[2])
    })
}

/// A whole image in Lab, on all cores.
pub fn lab_image(image: &RgbImage) -> LabImage {
    let (width, height) = image.dimensions();
    let row = (width as usize).max(1);
    let count = width as usize * height as usize;
    let (mut l, mut a, mut b) = (vec![0.0; count], vec![0.0; count], vec![0.0; count]);
    let (linear, roots): (&[f32; 256], &[f32]) = (&TO_LINEAR, &ROOT);
    image
        .as_raw()
        .par_chunks(row * 3)
        .zip(l.par_chunks_mut(row))
        .zip(a.par_chunks_mut(row).zip(b.par_chunks_mut(row)))
        .with_min_len(16)
        .for_each(|((pixels, l), (a, b))| {
            for (i, p) in pixels.chunks_exact(3).enumerate() {
                let colour = lab_with(linear, roots, [p[0], p[1], p[2]]);
                (l[i], a[i], b[i]) = (colour.l, colour.a, colour.b);
            }
        });
    LabImage { width, height, l, a, b }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use super::*;

    #[test]
    fn every_level_survives_linear_light() {
        for level in 0..=255u8 {
            assert_eq!(linear_to_srgb(srgb_to_linear(level)), level);
        }
        assert_eq!(linear_to_srgb(-1.0), 0);
        assert_eq!(linear_to_srgb(7.0), 255);
        assert_eq!(linear_to_srgb(f32::NAN), 0);
        assert_eq!(linear_to_srgb(f32::INFINITY), 255);
    }

    #[test]
    fn lab_of_known_colours() {
        let check = |rgb, expected: [f32; 3]| {
            let got = lab(rgb);
            for (g, e) in [got.l, got.a, got.b].into_iter().zip(expected) {
                assert!((g - e).abs() < 0.05, "{rgb:?}: {got:?} is not {expected:?}");
            }
        };
        check([255, 255, 255], [100.0, 0.0, 0.0]);
        check([0, 0, 0], [0.0, 0.0, 0.0]);
        check([255, 0, 0], [53.24, 80.09, 67.20]);
        check([0, 0, 255], [32.30, 79.19, -107.86]);
        check([119, 119, 119], [50.03, 0.0, 0.0]);
    }

    #[test]
    fn lab_and_back() {
        for r in (0..=255).step_by(15) {
            for g in (0..=255).step_by(15) {
                for b in (0..=255).step_by(15) {
                    let rgb = [r as u8, g as u8, b as u8];
                    let exact = lab_of_linear(rgb.map(srgb_to_linear));
                    let tabled = lab(rgb);
                    assert!((exact.l - tabled.l).abs() < 0.05 && (exact.a - tabled.a).abs() < 0.1);
                    let back = lab_to_srgb(tabled);
                    for (x, y) in rgb.into_iter().zip(back) {
                        assert!(x.abs_diff(y) <= 1, "{rgb:?} came back as {back:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn whole_image_equals_single_colours() {
        let image = RgbImage::from_fn(37, 21, |x, y| image::Rgb([x as u8 * 5, y as u8 * 9, (x * y) as u8]));
        let converted = lab_image(&image);
        for (i, p) in image.pixels().enumerate() {
            assert_eq!(converted.at(i), lab(p.0));
        }
        assert_eq!(lab_image(&RgbImage::new(0, 0)).l.len(), 0);
        assert_eq!(converted.at(usize::MAX), Lab::default());
    }
}
