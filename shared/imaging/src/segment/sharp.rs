//! How sharp the edge at a pixel is.
//!
//! A step looks much steeper to a narrow Gaussian than to a wide one, a soft penumbra looks the
//! same to both (compare Lindeberg, "Edge detection and ridge detection with automatic scale
//! selection", 1998).

use crate::blur::{Plane, gaussian};
use crate::colour::LabImage;

/// Narrow and wide standard deviation in px.
const SCALES: [f32; 2] = [1.0, 3.0];
/// Slope in Lab units per px above which no penumbra is expected: near a strong edge the wide
/// Gaussian sees that one, and would hide a faint one.
const SLOPE_MAX: f32 = 1.5;

/// Gradient at the narrow scale above that at the wide one, in Lab units per px; 0 = smooth.
pub(crate) fn sharpness(image: &LabImage) -> Vec<f32> {
    let [narrow, wide] = SCALES.map(|sigma| {
        let mut squares = vec![0.0_f32; image.l.len()];
        for data in [&image.l, &image.a, &image.b] {
            let plane = Plane { width: image.width, height: image.height, data: data.clone() };
            add_squares(&gaussian(&plane, sigma), &mut squares);
        }
        squares
    });
    narrow
        .iter()
        .zip(wide)
        .map(|(narrow, wide)| (narrow.sqrt() - (1.2 * wide.sqrt()).min(SLOPE_MAX)).max(0.0))
        .collect()
}

/// Adds the squared length of the gradient by central differences.
fn add_squares(plane: &Plane, squares: &mut [f32]) {
    let (w, h) = (plane.width as usize, plane.height as usize);
    for (at, square) in squares.iter_mut().enumerate() {
        let (x, y) = (at % w, at / w);
        let row = y * w;
        let dx = plane.data[row + (x + 1).min(w - 1)] - plane.data[row + x.saturating_sub(1)];
        let dy = plane.data[(y + 1).min(h - 1) * w + x] - plane.data[y.saturating_sub(1) * w + x];
        *square += (dx * dx + dy * dy) / 4.0;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use super::*;

    #[test]
    fn a_step_is_sharp_and_a_ramp_is_not() {
        let (w, h) = (80_usize, 20_usize);
        let profile = |x: usize| match x {
            0..20 => 90.0,
            20..40 => 90.0 - (x - 20) as f32,
            40..60 => 70.0,
            _ => 64.0,
        };
        let l: Vec<f32> = (0..w * h).map(|at| profile(at % w)).collect();
        let image = LabImage { width: 80, height: 20, a: vec![0.0; w * h], b: vec![0.0; w * h], l };
        let sharp = sharpness(&image);
        assert!(sharp[10 * w + 60] > 1.0);
        assert!((10..50).all(|x| sharp[10 * w + x] < 0.2));
    }
}
