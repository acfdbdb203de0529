//! Light: where it comes from in the reference, and the pattern of a window.

use image::{GrayImage, RgbImage};
use packshot_imaging::colour::srgb_to_linear;

use super::Scene;
use super::material::smooth;

/// Which side lights the product, measured on its own shading: -1 = clearly from the
/// left, 1 = clearly from the right, about 0 = even. Compares the light on the two
/// flanks of each row of the product, robustly against prints and colours.
pub(in crate::generate::studio) fn side_of_light(foreground: &RgbImage, alpha: &GrayImage) -> f32 {
    if foreground.dimensions() != alpha.dimensions() {
        return 0.0;
    }
    let (w, h) = alpha.dimensions();
    let level = |x: u32, y: u32| {
        let p = foreground.get_pixel(x, y).0;
        0.25 * srgb_to_linear(p[0]) + 0.65 * srgb_to_linear(p[1]) + 0.1 * srgb_to_linear(p[2])
    };
    let mut votes = Vec::new();
    for y in (0..h).step_by((h as usize / 160).max(1)) {
        let first = (0..w).find(|x| alpha.get_pixel(*x, y).0[0] == 255);
        let last = (0..w).rev().find(|x| alpha.get_pixel(*x, y).0[0] == 255);
        let (Some(first), Some(last)) = (first, last) else { continue };
        let width = last - first;
        if width < 24 {
            continue;
        }
        let band = |from: f32, to: f32| {
            let (a, b) = (first + (width as f32 * from) as u32, first + (width as f32 * to) as u32);
            let values: Vec<f32> = (a..b)
                .step_by(((b - a) as usize / 12).max(1))
                .filter(|x| alpha.get_pixel(*x, y).0[0] == 255)
                .map(|x| level(x, y))
                .collect();
            let count = values.len().max(1) as f32;
            values.iter().sum::<f32>() / count
        };
        let (left, right) = (band(0.03, 0.22), band(0.78, 0.97));
        if left + right > 0.01 {
            votes.push((right - left) / (right + left));
        }
    }
    if votes.len() < 8 {
        return 0.0;
    }
    votes.sort_by(f32::total_cmp);
    (votes[votes.len() / 2] * 4.0).clamp(-1.0, 1.0)
}

/// Light through a window: one wide bright field in which the product stands, with soft
/// edges and a bar, projected along the light's direction on floor and wall.
pub(super) struct Window {
    strength: f32,
    /// 1 = light from the right, -1 = from the left.
    from: f32,
    left: f32,
    right: f32,
    soft: f32,
    lean: f32,
    foot: f32,
    bar: f32,
}

impl Window {
    pub(super) fn new(scene: &Scene<'_>, side: f32) -> Self {
        let from = if scene.light.azimuth.cos() >= 0.0 { 1.0 } else { -1.0 };
        let (left, right, height) = scene.product;
        let lean = 0.55;
        // The product and its height along the lean stay within the bright field.
        let reach = height * lean;
        let (left, right) =
            if from > 0.0 { (left - 0.1 * side, right + reach) } else { (left - reach, right + 0.1 * side) };
        let pad = 0.16 * side;
        Self {
            strength: scene.window.clamp(0.0, 1.0),
            from,
            left: left - pad,
            right: right + pad,
            soft: 0.16 * side,
            lean,
            foot: 0.0,
            bar: 0.05 * side,
        }
    }

    /// Light on the floor at a point around the product's base, 1 = full.
    pub(super) fn floor(&self, across: f32, depth: f32) -> f32 {
        self.pattern(across + self.from * depth * 0.35)
    }

    /// Light on the wall, `height` above its foot.
    pub(super) fn wall(&self, across: f32, height: f32) -> f32 {
        self.pattern(across - self.from * (height - self.foot) * self.lean)
    }

    fn pattern(&self, along: f32) -> f32 {
        if self.strength <= 0.0 {
            return 1.0;
        }
        let field = smooth(self.left - self.soft, self.left, along)
            * smooth(self.right + self.soft, self.right, along);
        // Beyond the bar a second pane begins, further away from the light.
        let second = {
            let offset =
                if self.from > 0.0 { self.left - self.soft - along } else { along - self.right - self.soft };
            smooth(0.0, self.soft, offset - self.bar * 0.2) * 0.55
        };
        let lit = (field + second).min(1.0);
        1.0 - self.strength * 0.30 * (1.0 - lit)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use image::{Luma, Rgb};

    use super::*;

    #[test]
    fn a_ramp_tells_its_side() {
        let alpha = GrayImage::from_pixel(200, 200, Luma([255]));
        let ramp = RgbImage::from_fn(200, 200, |x, _| Rgb([60 + (x / 2) as u8; 3]));
        assert!(side_of_light(&ramp, &alpha) > 0.5);
        let flat = RgbImage::from_pixel(200, 200, Rgb([90; 3]));
        assert!(side_of_light(&flat, &alpha).abs() < 0.05);
        assert_eq!(side_of_light(&flat, &GrayImage::new(1, 1)), 0.0);
    }
}
