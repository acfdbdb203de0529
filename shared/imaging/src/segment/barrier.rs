//! How much a pixel is walled off from the frame's edge: the minimum barrier distance
//! transform by raster scanning of Zhang et al., "Minimum Barrier Salient Object Detection at
//! 80 FPS", 2015.
//!
//! The barrier of a path is the difference between its largest and its smallest value. A
//! gradient costs little more than its range once, texture no more than its contrast, while a
//! product's outline must be crossed by every path.

/// Rounds of one forward and one backward scan each.
const ROUNDS: usize = 2;

/// Barrier distance of every pixel of a row-major plane to the frame's outermost pixels, in
/// the plane's own units.
pub(crate) fn barrier(plane: &[f32], width: usize) -> Vec<f32> {
    let mut distance = vec![f32::INFINITY; plane.len()];
    if width == 0 || plane.is_empty() {
        return distance;
    }
    let height = plane.len() / width;
    let mut high = plane.to_vec();
    let mut low = plane.to_vec();
    for (at, distance) in distance.iter_mut().enumerate() {
        let (x, y) = (at % width, at / width);
        if x == 0 || y == 0 || x + 1 == width || y + 1 == height {
            *distance = 0.0;
        }
    }
    let mut relax = |at: usize, from: usize| {
        let (top, bottom) = (high[from].max(plane[at]), low[from].min(plane[at]));
        if top - bottom < distance[at] && distance[from].is_finite() {
            distance[at] = top - bottom;
            high[at] = top;
            low[at] = bottom;
        }
    };
    for _ in 0..ROUNDS {
        for y in 0..height {
            for x in 0..width {
                let at = y * width + x;
                if x > 0 {
                    relax(at, at - 1);
                }
                if y > 0 {
                    relax(at, at - width);
                }
            }
        }
        for y in (0..height).rev() {
            for x in (0..width).rev() {
                let at = y * width + x;
                if x + 1 < width {
                    relax(at, at + 1);
                }
                if y + 1 < height {
                    relax(at, at + width);
                }
            }
        }
    }
    distance
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use super::*;

    #[test]
    fn only_what_is_walled_off_is_far() {
        let (w, h) = (40, 30);
        let inside = |at: usize| (10..25).contains(&(at % w)) && (8..20).contains(&(at / w));
        let plane: Vec<f32> =
            (0..w * h).map(|at| if inside(at) { 90.0 } else { (at % w) as f32 * 0.5 }).collect();
        let far = barrier(&plane, w);
        assert!(far.iter().enumerate().all(|(at, &d)| if inside(at) { d > 60.0 } else { d <= 10.0 }));
        assert!(barrier(&[], 0).is_empty());
        assert_eq!(barrier(&[3.0], 1), [0.0]);
    }
}
