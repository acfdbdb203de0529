//! Registration of products without marks (a plain bottle, a ball) by their outline alone:
//! moments for the start, then iterated closest points on the contours (Besl and `McKay`,
//! PAMI 1992) with the robust similarity fit.

use image::{GrayImage, RgbImage};

use super::fit;
use super::matching::Match;
use super::transform::Similarity;

/// An outline fit.
pub(super) struct OutlineFit {
    pub(super) similarity: Similarity,
    /// Intersection over union of the reference mask moved over and the candidate's mask.
    pub(super) overlap: f32,
}

/// Foreground of a picture on a smooth background: what differs from the colour surface
/// fitted through the border ring. A rough guess, only good on sweeps; 255 = product.
pub(super) fn rough_mask(rgb: &RgbImage) -> GrayImage {
    let (w, h) = rgb.dimensions();
    let mut mask = GrayImage::new(w, h);
    let ring = (w.min(h) / 24).max(2);
    let mut corners = [[0f64; 3]; 4];
    let mut counts = [0f64; 4];
    for (x, y, pixel) in rgb.enumerate_pixels() {
        if x < ring || y < ring || x + ring >= w || y + ring >= h {
            let corner = usize::from(x * 2 >= w) + 2 * usize::from(y * 2 >= h);
            counts[corner] += 1.0;
            for (sum, &v) in corners[corner].iter_mut().zip(&pixel.0) {
                *sum += f64::from(v);
            }
        }
    }
    for (sum, n) in corners.iter_mut().zip(counts) {
        for v in sum.iter_mut() {
            *v /= n.max(1.0);
        }
    }
    let surface = |x: u32, y: u32, c: usize| {
        let (u, v) = ((f64::from(x) + 0.5) / f64::from(w), (f64::from(y) + 0.5) / f64::from(h));
        corners[0][c] * (1.0 - u) * (1.0 - v)
            + corners[1][c] * u * (1.0 - v)
            + corners[2][c] * (1.0 - u) * v
            + corners[3][c] * u * v
    };
    let away: Vec<f64> = rgb
        .enumerate_pixels()
        .map(|(x, y, p)| (0..3).map(|c| (f64::from(p.0[c]) - surface(x, y, c)).powi(2)).sum::<f64>().sqrt())
        .collect();
    let mut border: Vec<f64> = rgb
        .enumerate_pixels()
        .zip(&away)
        .filter(|((x, y, _), _)| *x < ring || *y < ring || x + ring >= w || y + ring >= h)
        .map(|(_, &d)| d)
        .collect();
    border.sort_by(f64::total_cmp);
    let noise = border.get(border.len() * 9 / 10).copied().unwrap_or(0.0);
    let threshold = 18.0 + 1.5 * noise;
    for (pixel, d) in mask.pixels_mut().zip(&away) {
        pixel.0[0] = if *d > threshold { 255 } else { 0 };
    }
    mask
}

/// Fits the outline of `reference` to that of `candidate` (both masks at working size).
/// The product is taken to be upright within about 25 degrees.
pub(super) fn fit_outline(reference: &GrayImage, candidate: &GrayImage) -> Option<OutlineFit> {
    let (from, size_from) = moments(reference)?;
    let (to, size_to) = moments(candidate)?;
    let scale = size_to / size_from;
    let mut similarity =
        Similarity { scale, angle: 0.0, tx: to.0 - scale * from.0, ty: to.1 - scale * from.1 };
    let source = contour(reference, 500);
    let target = contour(candidate, 900);
    if source.len() < 12 || target.len() < 12 {
        return None;
    }
    for round in 0..24 {
        let pairs: Vec<Match> = source
            .iter()
            .map(|&p| {
                let (x, y) = similarity.apply(p.0, p.1);
                let near = target
                    .iter()
                    .min_by(|a, b| {
                        let d = |q: &(f32, f32)| (q.0 - x).powi(2) + (q.1 - y).powi(2);
                        d(a).total_cmp(&d(b))
                    })
                    .copied()
                    .unwrap_or((x, y));
                Match { from: p, to: near, scale: similarity.scale, turn: similarity.angle, distance: 0.0 }
            })
            .collect();
        let reach = size_to * if round < 8 { 0.3 } else { 0.08 };
        let next = fit::similarity_of(&pairs, reach)?;
        similarity = next;
    }
    if similarity.angle.abs() > 0.45 || !similarity.is_sane() {
        return None;
    }
    Some(OutlineFit { similarity, overlap: overlap(reference, candidate, &similarity) })
}

/// Centre of gravity and square root of the area; `None` for under 30 pixels.
fn moments(mask: &GrayImage) -> Option<((f32, f32), f32)> {
    let (mut n, mut sx, mut sy) = (0.0f64, 0.0f64, 0.0f64);
    for (x, y, pixel) in mask.enumerate_pixels() {
        if pixel.0[0] > 127 {
            n += 1.0;
            sx += f64::from(x) + 0.5;
            sy += f64::from(y) + 0.5;
        }
    }
    (n >= 30.0).then(|| (((sx / n) as f32, (sy / n) as f32), n.sqrt() as f32))
}

/// Pixels of the mask with a neighbour outside it, thinned evenly to about `keep`.
pub(super) fn contour(mask: &GrayImage, keep: usize) -> Vec<(f32, f32)> {
    let (w, h) = mask.dimensions();
    let on = |x: u32, y: u32| mask.get_pixel(x, y).0[0] > 127;
    let mut points = Vec::new();
    for y in 0..h {
        for x in 0..w {
            if on(x, y)
                && (x == 0
                    || y == 0
                    || x + 1 == w
                    || y + 1 == h
                    || !on(x - 1, y)
                    || !on(x + 1, y)
                    || !on(x, y - 1)
                    || !on(x, y + 1))
            {
                points.push((x as f32 + 0.5, y as f32 + 0.5));
            }
        }
    }
    let step = points.len().div_ceil(keep.max(1)).max(1);
    points.into_iter().step_by(step).collect()
}

fn overlap(reference: &GrayImage, candidate: &GrayImage, similarity: &Similarity) -> f32 {
    let back = similarity.inverse();
    let (mut both, mut either) = (0u64, 0u64);
    for (x, y, pixel) in candidate.enumerate_pixels() {
        let (u, v) = back.apply(x as f32 + 0.5, y as f32 + 0.5);
        let inside = u >= 0.0
            && v >= 0.0
            && u < reference.width() as f32
            && v < reference.height() as f32
            && reference.get_pixel(u as u32, v as u32).0[0] > 127;
        let here = pixel.0[0] > 127;
        both += u64::from(inside && here);
        either += u64::from(inside || here);
    }
    both as f32 / either.max(1) as f32
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use super::*;

    fn bottle(scale: f32, dx: f32, dy: f32) -> GrayImage {
        GrayImage::from_fn(200, 200, |x, y| {
            let (u, v) = ((x as f32 - dx) / scale, (y as f32 - dy) / scale);
            let body = (20.0..60.0).contains(&u) && (40.0..110.0).contains(&v);
            let neck = (33.0..47.0).contains(&u) && (10.0..41.0).contains(&v);
            image::Luma([if body || neck { 255 } else { 0 }])
        })
    }

    #[test]
    fn an_outline_is_laid_over_its_copy() {
        let fit = fit_outline(&bottle(1.0, 5.0, 5.0), &bottle(1.3, 40.0, 20.0)).expect("fit");
        assert!((fit.similarity.scale - 1.3).abs() < 0.03, "{:?}", fit.similarity);
        assert!(fit.overlap > 0.95, "{}", fit.overlap);
    }

    #[test]
    fn empty_masks_have_no_outline() {
        let empty = GrayImage::new(50, 50);
        assert!(fit_outline(&empty, &bottle(1.0, 0.0, 0.0)).is_none());
        assert!(rough_mask(&RgbImage::new(1, 1)).pixels().all(|p| p.0[0] == 0));
    }
}
