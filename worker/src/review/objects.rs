//! Things beside the product: what stands out from a background, whatever the background is.
//!
//! Two signs, both relative to the picture's own background. *Marks*: gradients in more than
//! one direction at once (letters, seals, stars, codes), where wood grain, veins and horizons
//! run one way. *Objects*: a place that differs from what lies around it in every direction,
//! where a table's edge has its own side and a shadow is only darker.

use image::{GrayImage, RgbImage};
use packshot_imaging::blur::{self, Plane};
use packshot_imaging::colour;
use packshot_imaging::photo::Rect;
use packshot_imaging::{mask, resize};

use super::channel::quantile;

/// Longest side at which a background is looked at.
const SIDE: f32 = 512.0;

/// How strongly the strongest thing stands out, and where, in pixels of the picture given.
#[derive(Clone, Debug)]
pub(super) struct Sight {
    pub(super) marks: f32,
    pub(super) marks_at: Option<Rect>,
    pub(super) object: f32,
    pub(super) object_at: Option<Rect>,
}

/// Looks at everything off the product; `is_product` answers for a pixel of `rgb`.
pub(super) fn look(rgb: &RgbImage, is_product: impl Fn(f32, f32) -> bool) -> Sight {
    let nothing = Sight { marks: 0.0, marks_at: None, object: 0.0, object_at: None };
    let (w, h) = rgb.dimensions();
    let factor = (SIDE / w.max(h).max(1) as f32).min(1.0);
    let (sw, sh) = (((w as f32 * factor) as u32).max(1), ((h as f32 * factor) as u32).max(1));
    if sw.min(sh) < 32 {
        return nothing;
    }
    let small = resize::resize_rgb(rgb, sw, sh);
    let product = GrayImage::from_fn(sw, sh, |x, y| {
        let on = is_product((x as f32 + 0.5) / factor, (y as f32 + 0.5) / factor);
        image::Luma([if on { 255 } else { 0 }])
    });
    let away = mask::distance_outside(&product);
    let margin = (sw.max(sh) as f32 / 50.0).max(3.0);
    let inner = |i: usize| {
        let (x, y) = (i as u32 % sw, i as u32 / sw);
        x > 2 && y > 2 && x + 3 < sw && y + 3 < sh
    };
    let free: Vec<bool> = away.data.iter().enumerate().map(|(i, d)| *d > margin && inner(i)).collect();
    if free.iter().filter(|f| **f).count() < 400 {
        return nothing;
    }
    let lab = colour::lab_image(&small);
    let planes = [&lab.l, &lab.a, &lab.b].map(|c| Plane { width: sw, height: sh, data: c.clone() });
    let (marks, marks_at) = marks(&planes, &free);
    let (object, object_at) = surrounded(&planes, &free);
    let full = |r: Option<Rect>| {
        r.map(|r| Rect {
            x: (r.x as f32 / factor) as u32,
            y: (r.y as f32 / factor) as u32,
            w: ((r.w as f32 / factor) as u32).max(1),
            h: ((r.h as f32 / factor) as u32).max(1),
        })
    };
    Sight { marks, marks_at: full(marks_at), object, object_at: full(object_at) }
}

/// Smaller eigenvalue of the structure tensor (Förstner 1986) against the background's own.
fn marks(planes: &[Plane; 3], free: &[bool]) -> (f32, Option<Rect>) {
    let (w, h) = (planes[0].width as usize, planes[0].height as usize);
    let mut tensor = [vec![0f32; w * h], vec![0f32; w * h], vec![0f32; w * h]];
    for (plane, weight) in planes.iter().zip([1.0f32, 0.7, 0.7]) {
        let soft = blur::gaussian(plane, 0.7).data;
        for y in 1..h - 1 {
            for x in 1..w - 1 {
                let i = y * w + x;
                if free[i] {
                    let gx = 0.5 * weight * (soft[i + 1] - soft[i - 1]);
                    let gy = 0.5 * weight * (soft[i + w] - soft[i - w]);
                    tensor[0][i] += gx * gx;
                    tensor[1][i] += gx * gy;
                    tensor[2][i] += gy * gy;
                }
            }
        }
    }
    let sigma = (0.012 * w.max(h) as f32).max(2.5);
    let [xx, xy, yy] =
        tensor.map(|data| blur::gaussian(&Plane { width: w as u32, height: h as u32, data }, sigma).data);
    let strength: Vec<f32> = (0..w * h)
        .map(|i| {
            let half = (xx[i] + yy[i]) / 2.0;
            let root = ((xx[i] - yy[i]) / 2.0).hypot(xy[i]);
            (half - root).max(0.0).sqrt()
        })
        .collect();
    peak(&strength, free, w, 0.6, 1.0)
}

/// The peak of a map against a quantile of it, as a logarithm, and the box around it where
/// the map is at least half as high.
fn peak(map: &[f32], free: &[bool], w: usize, share: f32, floor: f32) -> (f32, Option<Rect>) {
    let mut off: Vec<f32> = map.iter().zip(free).filter(|(_, f)| **f).map(|(v, _)| *v).collect();
    let usual = quantile(&mut off, share);
    let Some((at, top)) =
        (0..map.len()).filter(|&i| free[i]).map(|i| (i, map[i])).max_by(|a, b| a.1.total_cmp(&b.1))
    else {
        return (0.0, None);
    };
    let value = ((top + floor) / (usual + floor)).ln();
    let h = map.len() / w;
    let limit = usual + 0.35 * (top - usual);
    let mut high = GrayImage::new(w as u32, h as u32);
    for (pixel, (v, f)) in high.as_mut().iter_mut().zip(map.iter().zip(free)) {
        *pixel = if *f && *v >= limit { 255 } else { 0 };
    }
    let (px, py) = ((at % w) as u32, (at / w) as u32);
    let rect = mask::components(&mask::close(&high, 3), 1)
        .into_iter()
        .map(|c| c.rect)
        .find(|r| (r.x..r.x + r.w).contains(&px) && (r.y..r.y + r.h).contains(&py));
    (value, rect)
}

/// Least colour distance to the surroundings over eight directions, greatest over radii.
fn surrounded(planes: &[Plane; 3], free: &[bool]) -> (f32, Option<Rect>) {
    let (w, h) = (planes[0].width as i32, planes[0].height as i32);
    let side = w.max(h) as f32;
    let soft: Vec<Vec<f32>> =
        planes.iter().map(|p| blur::gaussian(p, (0.008 * side).max(1.5)).data).collect();
    let distance = |i: usize, j: usize| {
        let dl = soft[0][i] - soft[0][j];
        // darker only: it may be a shadow, which keeps the hue
        let dl = if dl < 0.0 { 0.35 * dl } else { dl };
        (dl * dl + (soft[1][i] - soft[1][j]).powi(2) + (soft[2][i] - soft[2][j]).powi(2)).sqrt()
    };
    let mut best = vec![0f32; soft[0].len()];
    for radius in [0.035, 0.065, 0.10, 0.14] {
        let r = radius * side;
        let steps: Vec<(i32, i32)> = (0..8)
            .map(|k| {
                let angle = std::f32::consts::TAU * k as f32 / 8.0;
                ((r * angle.cos()).round() as i32, (r * angle.sin()).round() as i32)
            })
            .collect();
        for y in 3..h - 3 {
            for x in 3..w - 3 {
                let i = (y * w + x) as usize;
                if !free[i] {
                    continue;
                }
                let (mut least, mut known) = (f32::MAX, 0);
                for (dx, dy) in &steps {
                    let (u, v) = (x + dx, y + dy);
                    if u < 0 || v < 0 || u >= w || v >= h || !free[(v * w + u) as usize] {
                        continue;
                    }
                    known += 1;
                    least = least.min(distance(i, (v * w + u) as usize));
                    if least <= best[i] {
                        break;
                    }
                }
                if known >= 5 && least > best[i] {
                    best[i] = least;
                }
            }
        }
    }
    peak(&best, free, w as usize, 0.8, 3.0)
}
