//! Placement by all edges at once: the product's edge picture, inner edges and outline, is
//! laid over the candidate's and moved until both correlate best. It verifies a placement that
//! keypoints voted for, and finds that of products which have hardly any.

use image::{GrayImage, RgbImage};

use super::transform::Similarity;
use crate::blur::{self, Plane};
use crate::resize;

/// Longest side of the product in the edge pictures, in pixels.
const SIDE: f32 = 128.0;
/// Contrast, in levels, at which an edge counts half: strong edges must not rule alone.
const HALF: f32 = 14.0;

/// Two edge pictures at one scale.
pub(super) struct Edges {
    /// Sampled reference edges: position in the reference's edge picture, value, per blur.
    samples: [Vec<(f32, f32, f32)>; 2],
    /// Reference edge pixels per working pixel.
    from: f32,
    candidate: [Plane; 2],
    /// Candidate edge pixels per working pixel.
    to: f32,
}

/// Blur of the edge pictures, coarse and fine, in their pixels.
const BLURS: [f32; 2] = [2.6, 1.0];

impl Edges {
    /// Edge pictures for placements with about this scale (candidate px per reference px).
    pub(super) fn new(
        reference: &RgbImage,
        mask: &GrayImage,
        product_side: f32,
        candidate: &RgbImage,
        scale: f32,
    ) -> Edges {
        let from = (SIDE / product_side.max(1.0)).min(1.0);
        let to = (from / scale.max(1e-3)).min(1.0);
        let small = reduced(reference, from);
        let (w, h) = small.dimensions();
        let from = w as f32 / reference.width() as f32;
        // the outline belongs to the product: a little beyond the mask counts
        let near = crate::mask::dilate(&resize::resize_gray(mask, w, h), 3);
        let target = reduced(candidate, to);
        let to = target.width() as f32 / candidate.width() as f32;
        let (raw_reference, raw_candidate) = (magnitude(&small), magnitude(&target));
        let samples = BLURS.map(|sigma| {
            let soft = blur::gaussian(&raw_reference, sigma);
            near.enumerate_pixels()
                .filter(|(_, _, p)| p.0[0] > 60)
                .map(|(x, y, _)| (x as f32 + 0.5, y as f32 + 0.5, soft.data[(y * w + x) as usize]))
                .collect()
        });
        let candidate = BLURS.map(|sigma| blur::gaussian(&raw_candidate, sigma));
        Edges { samples, from, candidate, to }
    }

    /// Correlation of the edges under a placement of working pixels, -1 to 1; pixels outside
    /// the candidate count as empty.
    pub(super) fn score(&self, similarity: &Similarity, level: usize) -> f32 {
        let map = similarity.resized(self.from, self.to);
        let plane = &self.candidate[level];
        let (w, h) = (plane.width as f32, plane.height as f32);
        let (sin, cos) = map.angle.sin_cos();
        let (a, b) = (map.scale * cos, map.scale * sin);
        let (mut n, mut x1, mut y1, mut xx, mut yy, mut xy) = (0f64, 0f64, 0f64, 0f64, 0f64, 0f64);
        for &(px, py, value) in &self.samples[level] {
            let (u, v) = (a * px - b * py + map.tx, b * px + a * py + map.ty);
            if u < 0.0 || v < 0.0 || u >= w || v >= h {
                continue;
            }
            let other = f64::from(plane.between(u - 0.5, v - 0.5));
            let value = f64::from(value);
            n += 1.0;
            x1 += value;
            y1 += other;
            xx += value * value;
            yy += other * other;
            xy += value * other;
        }
        let seen = n / self.samples[level].len().max(1) as f64;
        if seen < 0.1 {
            return 0.0;
        }
        let cov = n * xy - x1 * y1;
        let spread = ((n * xx - x1 * x1).max(1e-9) * (n * yy - y1 * y1).max(1e-9)).sqrt();
        (cov / spread) as f32
    }

    /// Moves a placement uphill, coarse then fine, about the product's centre `(x, y)` in
    /// working pixels of the reference. Returns it with its score at the fine level.
    pub(super) fn climb(&self, start: &Similarity, centre: (f32, f32), side: f32) -> (Similarity, f32) {
        let mut best = *start;
        for level in 0..BLURS.len() {
            let mut score = self.score(&best, level);
            let mut step = if level == 0 { 0.05 } else { 0.012 };
            while step > if level == 0 { 0.01 } else { 0.0012 } {
                let reach = step * side * best.scale;
                let moves = [
                    (1.0 + step, 0.0, 0.0, 0.0),
                    (1.0 / (1.0 + step), 0.0, 0.0, 0.0),
                    (1.0, step, 0.0, 0.0),
                    (1.0, -step, 0.0, 0.0),
                    (1.0, 0.0, reach, 0.0),
                    (1.0, 0.0, -reach, 0.0),
                    (1.0, 0.0, 0.0, reach),
                    (1.0, 0.0, 0.0, -reach),
                ];
                let mut better = None;
                for (scale, turn, dx, dy) in moves {
                    let next = about(&best, centre, scale, turn, dx, dy);
                    let value = self.score(&next, level);
                    if value > score + 1e-5 {
                        score = value;
                        better = Some(next);
                    }
                }
                match better {
                    Some(next) => best = next,
                    None => step *= 0.5,
                }
            }
        }
        let score = self.score(&best, BLURS.len() - 1);
        (best, score)
    }
}

/// The placement scaled, turned and shifted about the image of a reference point.
fn about(s: &Similarity, centre: (f32, f32), scale: f32, turn: f32, dx: f32, dy: f32) -> Similarity {
    let (x, y) = s.apply(centre.0, centre.1);
    let next = Similarity { scale: s.scale * scale, angle: s.angle + turn, tx: 0.0, ty: 0.0 };
    let (u, v) = next.apply(centre.0, centre.1);
    Similarity { tx: x + dx - u, ty: y + dy - v, ..next }
}

fn reduced(rgb: &RgbImage, factor: f32) -> RgbImage {
    let side = |v: u32| ((v as f32 * factor).round() as u32).max(1);
    resize::resize_rgb(rgb, side(rgb.width()), side(rgb.height()))
}

/// Colour gradient magnitude, compressed to 0..1.
fn magnitude(rgb: &RgbImage) -> Plane {
    let (w, h) = rgb.dimensions();
    let mut out = Plane::new(w, h, 0.0);
    let raw = rgb.as_raw();
    let (w, h) = (w as usize, h as usize);
    for y in 1..h.saturating_sub(1) {
        for x in 1..w.saturating_sub(1) {
            let at = |x: usize, y: usize, c: usize| f32::from(raw[3 * (y * w + x) + c]);
            let power: f32 = (0..3)
                .map(|c| {
                    (at(x + 1, y, c) - at(x - 1, y, c)).powi(2) + (at(x, y + 1, c) - at(x, y - 1, c)).powi(2)
                })
                .sum();
            let value = power.sqrt() / 3f32.sqrt();
            out.data[y * w + x] = value / (value + HALF);
        }
    }
    out
}
