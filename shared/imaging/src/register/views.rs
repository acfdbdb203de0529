//! The reference as it would look from the side: keypoints that a turned product keeps, after
//! Morel and Yu, "ASIFT: A New Framework for Fully Affine Invariant Image Comparison" (SIAM
//! Journal on Imaging Sciences 2009). Only the reference is tilted: that covers one plane seen
//! from two places up to the largest tilt, at a resolution that is enough for whole parts.

use super::keypoints::{self, Keypoint};
use super::transform::{Affine, Similarity};
use crate::blur::Plane;

/// Tilts: how many times narrower the product looks across the axis it is turned about.
const TILTS: [f32; 3] = [std::f32::consts::SQRT_2, 2.0, 2.0 * std::f32::consts::SQRT_2];
/// Step between axes of a tilt of one, in degrees; a tilt of t has t times as many.
const STEP: f32 = 72.0;

/// Keypoints of one simulated view.
pub(super) struct View {
    pub(super) points: Vec<Keypoint>,
    /// Pixels of the view to pixels of the plane it was made from.
    pub(super) back: Affine,
}

/// Views of `light`, the frontal one first, each with at most `keep` points where
/// `inside(x, y)` (pixels of `light`) holds. `blurred` is the blur it has by itself.
pub(super) fn views(
    light: &Plane,
    blurred: f32,
    keep: usize,
    inside: impl Fn(f32, f32) -> bool,
) -> Vec<View> {
    let still = Similarity::IDENTITY.to_affine();
    let mut found = vec![View { points: keypoints::keypoints(light, blurred, keep, &inside), back: still }];
    for tilt in TILTS {
        let count = (180.0 * tilt / STEP).round() as usize;
        for k in 0..count {
            let angle = std::f32::consts::PI * k as f32 / count as f32;
            let (plane, back) = tilted(light, angle, tilt);
            let on = |x: f32, y: f32| {
                let (u, v) = back.apply(x, y);
                inside(u, v)
            };
            found.push(View { points: keypoints::keypoints(&plane, blurred, keep, on), back });
        }
    }
    found
}

/// The plane turned by `angle` and made `tilt` times narrower, with the map back.
fn tilted(light: &Plane, angle: f32, tilt: f32) -> (Plane, Affine) {
    let (w, h) = (light.width as f32, light.height as f32);
    let (sin, cos) = angle.sin_cos();
    let (wide, high) = (w * cos.abs() + h * sin.abs(), w * sin.abs() + h * cos.abs());
    // what is squeezed together is first blurred along the same direction
    let sigma = 0.8 * (tilt * tilt - 1.0).max(0.0).sqrt();
    let reach = (2.5 * sigma).ceil() as i32;
    let weights: Vec<f32> =
        (-reach..=reach).map(|d| (-0.5 * (d as f32 / sigma.max(0.1)).powi(2)).exp()).collect();
    let total: f32 = weights.iter().sum();
    let (width, height) = (((wide / tilt) as u32).max(1), (high as u32).max(1));
    // view pixels -> turned pixels about the middle -> plane pixels
    let back = Affine {
        a: cos * tilt,
        b: sin,
        c: -sin * tilt,
        d: cos,
        tx: w / 2.0 - cos * wide / 2.0 - sin * high / 2.0,
        ty: h / 2.0 + sin * wide / 2.0 - cos * high / 2.0,
    };
    let mut out = Plane::new(width, height, 0.0);
    for y in 0..height {
        for x in 0..width {
            let (u, v) = back.apply(x as f32 + 0.5, y as f32 + 0.5);
            let sum: f32 = weights
                .iter()
                .zip(-reach..=reach)
                .map(|(weight, d)| weight * sample(light, u + cos * d as f32, v - sin * d as f32))
                .sum();
            out.data[(y * width + x) as usize] = sum / total;
        }
    }
    (out, back)
}

/// The plane at a continuous place, as the transforms count.
pub(super) fn sample(plane: &Plane, x: f32, y: f32) -> f32 {
    plane.between(x - 0.5, y - 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tilted_view_shows_the_same_things_where_its_map_says() {
        let light = Plane {
            width: 90,
            height: 70,
            data: (0..90 * 70)
                .map(|i| {
                    let (x, y) = ((i % 90) as f32 - 30.0, (i / 90) as f32 - 40.0);
                    (-(x * x + y * y) / 200.0).exp()
                })
                .collect(),
        };
        for (angle, tilt) in [(0.0, 1.0), (0.6, 1.5), (2.0, 2.0)] {
            let (view, back) = tilted(&light, angle, tilt);
            let top =
                (0..view.data.len()).max_by(|&a, &b| view.data[a].total_cmp(&view.data[b])).unwrap_or(0);
            let w = view.width as usize;
            let (x, y) = back.apply((top % w) as f32 + 0.5, (top / w) as f32 + 0.5);
            assert!((x - 30.5).hypot(y - 40.5) < 2.0 * tilt, "{angle} {tilt}: {x} {y}");
        }
    }
}
