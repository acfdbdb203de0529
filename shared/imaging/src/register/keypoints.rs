//! Scale-space keypoints with gradient-histogram descriptors, after Lowe, "Distinctive Image
//! Features from Scale-Invariant Keypoints" (IJCV 2004), with the root normalisation of
//! Arandjelovic and Zisserman (CVPR 2012). Deterministic, no randomness.

use crate::blur::Plane;

/// Length of a descriptor.
pub(super) const DESCRIPTOR: usize = 128;

/// Scales per octave.
const INTERVALS: usize = 3;
/// Blur of the first level of an octave, in its pixels.
const SIGMA_BASE: f32 = 1.6;
/// Smallest difference-of-Gaussians response kept, for lightness in 0..1.
const CONTRAST_MIN: f32 = 0.006;
/// Largest ratio of principal curvatures: longer ridges are edges, not points.
const EDGE_RATIO_MAX: f32 = 10.0;

/// A point that can be found again, in pixels of the plane it was found in.
#[derive(Clone, Debug)]
pub(super) struct Keypoint {
    /// Continuous coordinate.
    pub(super) x: f32,
    /// Continuous coordinate.
    pub(super) y: f32,
    /// Size: blur sigma at which it was found, in pixels.
    pub(super) sigma: f32,
    /// Dominant gradient direction in radians.
    pub(super) angle: f32,
    /// Gradient histogram, unit length, each value 0 to 255 standing for 0 to 0.5.
    pub(super) descriptor: [u8; DESCRIPTOR],
}

struct Octave {
    levels: Vec<Plane>,
    /// Pixels of the input per pixel of this octave.
    step: f32,
}

/// Finds at most `keep` keypoints, strongest first, where `inside(x, y)` (input pixels) holds.
/// `gray` is lightness in 0..1 and has `blurred` pixels of blur by itself. Pictures with a side
/// under 16 px have none.
pub(super) fn keypoints(
    gray: &Plane,
    blurred: f32,
    keep: usize,
    inside: impl Fn(f32, f32) -> bool,
) -> Vec<Keypoint> {
    Pyramid::new(gray, blurred).keypoints(keep, inside)
}

/// A picture at all its scales, for who asks for keypoints of several places.
pub(super) struct Pyramid(Vec<Octave>);

impl Pyramid {
    /// Of lightness in 0..1 that has `blurred` pixels of blur by itself.
    pub(super) fn new(gray: &Plane, blurred: f32) -> Pyramid {
        let mut octaves = Vec::new();
        if gray.width.min(gray.height) < 16 {
            return Pyramid(octaves);
        }
        let first = (SIGMA_BASE * SIGMA_BASE - blurred * blurred).max(0.01).sqrt();
        let mut base = crate::blur::gaussian(gray, first);
        let mut step = 1.0;
        let k = 2f32.powf(1.0 / INTERVALS as f32);
        while base.width.min(base.height) >= 16 && octaves.len() < 6 {
            let mut levels = vec![base];
            for i in 1..INTERVALS + 3 {
                let before = SIGMA_BASE * k.powi(i as i32 - 1);
                let more = before * (k * k - 1.0).sqrt();
                let next = crate::blur::gaussian(&levels[i - 1], more);
                levels.push(next);
            }
            base = halve(&levels[INTERVALS]);
            octaves.push(Octave { levels, step });
            step *= 2.0;
        }
        Pyramid(octaves)
    }

    /// As [`keypoints`].
    pub(super) fn keypoints(&self, keep: usize, inside: impl Fn(f32, f32) -> bool) -> Vec<Keypoint> {
        let mut raw = Vec::new();
        for (index, octave) in self.0.iter().enumerate() {
            extrema(octave, index, &inside, &mut raw);
        }
        raw.sort_by(|a, b| b.response.total_cmp(&a.response));
        raw.truncate(keep);
        let mut found = Vec::with_capacity(raw.len() + raw.len() / 4);
        for point in &raw {
            let octave = &self.0[point.octave];
            let level = &octave.levels[point.level];
            for angle in orientations(level, point) {
                found.push(Keypoint {
                    x: (point.x + 0.5) * octave.step,
                    y: (point.y + 0.5) * octave.step,
                    sigma: point.sigma * octave.step,
                    angle,
                    descriptor: describe(level, point, angle),
                });
            }
        }
        found
    }
}

/// Every second pixel in both directions: the level is blurred enough for that.
fn halve(plane: &Plane) -> Plane {
    let (w, h) = (plane.width / 2, plane.height / 2);
    let mut data = Vec::with_capacity((w * h) as usize);
    for y in 0..h {
        let row = (2 * y * plane.width) as usize;
        data.extend((0..w as usize).map(|x| plane.data[row + 2 * x]));
    }
    Plane { width: w, height: h, data }
}

struct Raw {
    octave: usize,
    level: usize,
    /// Pixel indices (not continuous) within the octave, refined.
    x: f32,
    y: f32,
    sigma: f32,
    response: f32,
}

fn extrema(octave: &Octave, index: usize, inside: &impl Fn(f32, f32) -> bool, out: &mut Vec<Raw>) {
    let (w, h) = (octave.levels[0].width as usize, octave.levels[0].height as usize);
    let difference: Vec<Vec<f32>> = octave
        .levels
        .windows(2)
        .map(|pair| pair[1].data.iter().zip(&pair[0].data).map(|(b, a)| b - a).collect())
        .collect();
    let border = 5;
    if w <= 2 * border || h <= 2 * border {
        return;
    }
    for level in 1..=INTERVALS {
        let stack = [&difference[level - 1], &difference[level], &difference[level + 1]];
        for y in border..h - border {
            for x in border..w - border {
                let at = y * w + x;
                let value = stack[1][at];
                if value.abs() < 0.7 * CONTRAST_MIN || !is_extremum(&stack, at, w, value) {
                    continue;
                }
                if !inside((x as f32 + 0.5) * octave.step, (y as f32 + 0.5) * octave.step) {
                    continue;
                }
                if let Some((dx, dy, ds, response)) = refine(&stack, at, w) {
                    let scale = level as f32 + ds;
                    out.push(Raw {
                        octave: index,
                        level: (scale.round() as usize).clamp(1, INTERVALS),
                        x: x as f32 + dx,
                        y: y as f32 + dy,
                        sigma: SIGMA_BASE * 2f32.powf(scale / INTERVALS as f32),
                        response,
                    });
                }
            }
        }
    }
}

fn is_extremum(stack: &[&Vec<f32>; 3], at: usize, w: usize, value: f32) -> bool {
    let rows = [at - w - 1, at - 1, at + w - 1];
    let sign = value.signum();
    let height = value.abs();
    for (depth, plane) in stack.iter().enumerate() {
        for row in rows {
            for (offset, other) in plane[row..row + 3].iter().enumerate() {
                let own = depth == 1 && row + offset == at;
                if !own && other * sign >= height {
                    return false;
                }
            }
        }
    }
    true
}

/// One Newton step to the sub-pixel extremum; `None` for weak points, edges and points that
/// belong to a neighbour.
fn refine(stack: &[&Vec<f32>; 3], at: usize, w: usize) -> Option<(f32, f32, f32, f32)> {
    let d = |s: usize, o: isize| stack[s][at.wrapping_add_signed(o)];
    let row = w as isize;
    let v = d(1, 0);
    let g = [(d(1, 1) - d(1, -1)) / 2.0, (d(1, row) - d(1, -row)) / 2.0, (d(2, 0) - d(0, 0)) / 2.0];
    let xx = d(1, 1) + d(1, -1) - 2.0 * v;
    let yy = d(1, row) + d(1, -row) - 2.0 * v;
    let ss = d(2, 0) + d(0, 0) - 2.0 * v;
    let xy = (d(1, row + 1) - d(1, row - 1) - d(1, 1 - row) + d(1, -1 - row)) / 4.0;
    let xs = (d(2, 1) - d(2, -1) - d(0, 1) + d(0, -1)) / 4.0;
    let ys = (d(2, row) - d(2, -row) - d(0, row) + d(0, -row)) / 4.0;
    let trace = xx + yy;
    let det = xx * yy - xy * xy;
    if det <= 0.0 || trace * trace * EDGE_RATIO_MAX >= (EDGE_RATIO_MAX + 1.0).powi(2) * det {
        return None;
    }
    // Cramer's rule on H * o = -g
    let det3 = xx * (yy * ss - ys * ys) - xy * (xy * ss - ys * xs) + xs * (xy * ys - yy * xs);
    if det3.abs() < 1e-20 {
        return None;
    }
    let solve = |c0: [f32; 3], c1: [f32; 3], c2: [f32; 3]| {
        (c0[0] * (c1[1] * c2[2] - c2[1] * c1[2]) - c1[0] * (c0[1] * c2[2] - c2[1] * c0[2])
            + c2[0] * (c0[1] * c1[2] - c1[1] * c0[2]))
            / det3
    };
    let (hx, hy, hs, n) = ([xx, xy, xs], [xy, yy, ys], [xs, ys, ss], [-g[0], -g[1], -g[2]]);
    let offset = [solve(n, hy, hs), solve(hx, n, hs), solve(hx, hy, n)];
    if offset.iter().any(|o| o.abs() > 1.0) {
        return None;
    }
    let response = (v + 0.5 * (g[0] * offset[0] + g[1] * offset[1] + g[2] * offset[2])).abs();
    (response >= CONTRAST_MIN).then_some((offset[0], offset[1], offset[2], response))
}

fn gradient(level: &Plane, x: isize, y: isize) -> Option<(f32, f32)> {
    let (w, h) = (level.width as isize, level.height as isize);
    if x < 1 || y < 1 || x >= w - 1 || y >= h - 1 {
        return None;
    }
    let at = (y * w + x) as usize;
    let w = w as usize;
    Some((level.data[at + 1] - level.data[at - 1], level.data[at + w] - level.data[at - w]))
}

/// The dominant gradient directions: peaks of a 36-bin histogram that reach 80 % of the
/// highest, at most two.
fn orientations(level: &Plane, point: &Raw) -> Vec<f32> {
    const BINS: usize = 36;
    let sigma = 1.5 * point.sigma;
    let radius = (2.5 * sigma).round() as isize;
    let (cx, cy) = (point.x.round() as isize, point.y.round() as isize);
    let mut histogram = [0f32; BINS];
    for dy in -radius..=radius {
        for dx in -radius..=radius {
            let Some((gx, gy)) = gradient(level, cx + dx, cy + dy) else { continue };
            let weight = (-((dx * dx + dy * dy) as f32) / (2.0 * sigma * sigma)).exp();
            let turn = gy.atan2(gx) / std::f32::consts::TAU;
            let bin = ((turn + 1.0) * BINS as f32) as usize % BINS;
            histogram[bin] += weight * gx.hypot(gy);
        }
    }
    for _ in 0..2 {
        let before = histogram;
        for (i, value) in histogram.iter_mut().enumerate() {
            *value = 0.25 * before[(i + BINS - 1) % BINS] + 0.5 * before[i] + 0.25 * before[(i + 1) % BINS];
        }
    }
    let top = histogram.iter().copied().fold(0.0, f32::max);
    let mut peaks: Vec<(f32, f32)> = Vec::new();
    for i in 0..BINS {
        let (l, c, r) = (histogram[(i + BINS - 1) % BINS], histogram[i], histogram[(i + 1) % BINS]);
        if top > 0.0 && c >= 0.8 * top && c > l && c >= r {
            let shift = 0.5 * (l - r) / (l - 2.0 * c + r).min(-1e-12);
            peaks.push((c, (i as f32 + 0.5 + shift) / BINS as f32 * std::f32::consts::TAU));
        }
    }
    peaks.sort_by(|a, b| b.0.total_cmp(&a.0));
    peaks.into_iter().take(2).map(|(_, angle)| angle).collect()
}

/// 4 x 4 cells of 8 directions, each sample spread over its neighbours.
fn describe(level: &Plane, point: &Raw, angle: f32) -> [u8; DESCRIPTOR] {
    let mut bins = [0f32; DESCRIPTOR];
    let (sin, cos) = angle.sin_cos();
    let cell = 3.0 * point.sigma;
    let radius = (cell * std::f32::consts::SQRT_2 * 2.5).round().min(60.0) as isize;
    let (cx, cy) = (point.x.round() as isize, point.y.round() as isize);
    let (fx, fy) = (point.x - cx as f32, point.y - cy as f32);
    for dy in -radius..=radius {
        for dx in -radius..=radius {
            let (px, py) = (dx as f32 - fx, dy as f32 - fy);
            let u = (cos * px + sin * py) / cell;
            let v = (-sin * px + cos * py) / cell;
            if u.abs() >= 2.5 || v.abs() >= 2.5 {
                continue;
            }
            let Some((gx, gy)) = gradient(level, cx + dx, cy + dy) else { continue };
            let weight = (-(u * u + v * v) / 8.0).exp() * (gx * gx + gy * gy).sqrt();
            let turn = (direction(gx, gy) - angle) / std::f32::consts::TAU;
            let turn = (turn - turn.floor()) * 8.0;
            spread(&mut bins, u + 1.5, v + 1.5, turn, weight);
        }
    }
    normalise(&bins)
}

/// The angle of a gradient in radians, -π to π, off by less than 2e-5: the polynomial 4.4.49 of
/// Abramowitz and Stegun, "Handbook of Mathematical Functions" (1964).
fn direction(x: f32, y: f32) -> f32 {
    let (wide, high) = (x.abs(), y.abs());
    let z = wide.min(high) / wide.max(high).max(f32::MIN_POSITIVE);
    let s = z * z;
    let arc = z * (0.999_866 + s * (-0.330_299_5 + s * (0.180_141 + s * (-0.085_133 + s * 0.020_835_1))));
    let arc = if high > wide { std::f32::consts::FRAC_PI_2 - arc } else { arc };
    let arc = if x < 0.0 { std::f32::consts::PI - arc } else { arc };
    if y < 0.0 { -arc } else { arc }
}

fn spread(bins: &mut [f32; DESCRIPTOR], u: f32, v: f32, turn: f32, weight: f32) {
    let (u0, v0, t0) = (u.floor(), v.floor(), turn.floor());
    for (vi, vw) in [(v0, 1.0 - (v - v0)), (v0 + 1.0, v - v0)] {
        if !(0.0..4.0).contains(&vi) {
            continue;
        }
        for (ui, uw) in [(u0, 1.0 - (u - u0)), (u0 + 1.0, u - u0)] {
            if !(0.0..4.0).contains(&ui) {
                continue;
            }
            let cell = (vi as usize * 4 + ui as usize) * 8;
            let t = turn - t0;
            bins[cell + t0 as usize % 8] += weight * vw * uw * (1.0 - t);
            bins[cell + (t0 as usize + 1) % 8] += weight * vw * uw * t;
        }
    }
}

fn normalise(bins: &[f32; DESCRIPTOR]) -> [u8; DESCRIPTOR] {
    let length = bins.iter().map(|b| b * b).sum::<f32>().sqrt().max(1e-9);
    let clipped = bins.map(|b| (b / length).min(0.2));
    let total = clipped.iter().sum::<f32>().max(1e-9);
    // the square root of an L1-normalised histogram has unit Euclidean length
    clipped.map(|b| ((b / total).sqrt() * 510.0).min(255.0) as u8)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use super::*;

    #[test]
    fn a_direction_is_that_of_the_arc_tangent() {
        assert_eq!(direction(0.0, 0.0), 0.0);
        for step in 0..720 {
            let angle = (step as f32 - 359.5) / 360.0 * std::f32::consts::PI;
            let (sin, cos) = angle.sin_cos();
            assert!((direction(0.3 * cos, 0.3 * sin) - angle).abs() < 2e-5, "{angle}");
        }
    }

    #[test]
    fn a_blob_is_found_at_its_centre_and_size() {
        let mut plane = Plane::new(96, 80, 0.2);
        for y in 0..80 {
            for x in 0..96 {
                let d = ((x as f32 + 0.5 - 40.0).powi(2) + (y as f32 + 0.5 - 30.0).powi(2)) / (2.0 * 25.0);
                plane.data[y * 96 + x] += 0.6 * (-d).exp();
            }
        }
        let points = keypoints(&plane, 0.5, 10, |_, _| true);
        let best = points.first().expect("the blob");
        assert!((best.x - 40.0).abs() < 0.6 && (best.y - 30.0).abs() < 0.6, "{} {}", best.x, best.y);
        assert!((3.0..8.0).contains(&best.sigma), "{}", best.sigma);
    }

    #[test]
    fn tiny_and_flat_pictures_have_none() {
        for (w, h) in [(1, 1), (1, 300), (15, 15), (64, 64)] {
            assert!(keypoints(&Plane::new(w, h, 0.5), 0.5, 100, |_, _| true).is_empty());
        }
    }
}
