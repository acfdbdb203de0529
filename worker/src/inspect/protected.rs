//! Regions that a buyer reads or studies: print, logos, dials, seams, closures.

use image::GrayImage;
use packshot_imaging::blur::{Plane, gaussian};
use packshot_imaging::colour::LabImage;
use packshot_imaging::mask;
use packshot_pipeline::facts::{ProtectedKind, ProtectedRegion};
use packshot_pipeline::finding::Region;

/// Most regions reported.
const REGIONS_MAX: usize = 8;
/// Corner strength, in squared Lab L units per pixel, that stands out on any surface.
const CORNER_MIN: f32 = 4.0;
/// How far above the product's own median a region must stand.
const OVER_MEDIAN: f32 = 5.0;
/// Share of lightness variance that two tones explain in print on a ground (Otsu's
/// separability); weave and grain stay below.
const TWO_TONES: f32 = 0.78;

/// Regions of `product` (pixels of the scaled product, whose origin in the reference is
/// `origin` and whose pixels are `1 / scale` reference pixels wide), strongest first.
/// `cover` is the coverage, 0 to 1.
pub(super) fn protected(
    product: &LabImage,
    cover: &Plane,
    origin: (u32, u32),
    scale: f32,
) -> Vec<ProtectedRegion> {
    let (w, h) = (product.width, product.height);
    if w < 16 || h < 16 {
        return Vec::new();
    }
    let corners = corners(product, cover);
    let mut sorted: Vec<f32> =
        corners.data.iter().zip(&cover.data).filter(|(_, c)| **c > 0.9).map(|(v, _)| *v).collect();
    if sorted.is_empty() {
        return Vec::new();
    }
    let at = sorted.len() / 2;
    let median = *sorted.select_nth_unstable_by(at, f32::total_cmp).1;
    let limit = (median * OVER_MEDIAN).max(CORNER_MIN);
    let hot = GrayImage::from_fn(w, h, |x, y| {
        image::Luma([if corners.at(x.into(), y.into()) > limit { 255 } else { 0 }])
    });
    let product_area = sorted.len() as f32;
    let mut regions: Vec<ProtectedRegion> = mask::components(&hot, (product_area * 0.001) as u64 + 4)
        .into_iter()
        .filter(|c| (c.area as f32) < 0.6 * product_area)
        .map(|c| {
            let (separability, mean_corner) = inside(product, &corners, &hot, c.rect);
            let kind =
                if separability >= TWO_TONES { ProtectedKind::Label } else { ProtectedKind::HighDetail };
            let back = |v: u32| (v as f32 / scale) as u32;
            ProtectedRegion {
                kind,
                region: Region {
                    x: origin.0 + back(c.rect.x),
                    y: origin.1 + back(c.rect.y),
                    w: back(c.rect.w).max(1),
                    h: back(c.rect.h).max(1),
                },
                strength: (mean_corner / (8.0 * limit)).sqrt().clamp(0.0, 1.0),
            }
        })
        .collect();
    regions.sort_by(|x, y| {
        let weight = |r: &ProtectedRegion| r.strength * (r.region.w as f32 * r.region.h as f32).sqrt();
        weight(y).total_cmp(&weight(x))
    });
    regions.truncate(REGIONS_MAX);
    regions
}

/// The smaller eigenvalue of the smoothed structure tensor (Shi and Tomasi 1994): high only
/// where lightness changes in two directions, so outlines and folds do not count.
fn corners(product: &LabImage, cover: &Plane) -> Plane {
    let (w, h) = (product.width, product.height);
    let light = gaussian(&Plane { width: w, height: h, data: product.l.clone() }, 0.8);
    let inside = gaussian(cover, 2.0);
    let mut xx = Plane::new(w, h, 0.0);
    let mut yy = Plane::new(w, h, 0.0);
    let mut xy = Plane::new(w, h, 0.0);
    let row = w as usize;
    for y in 1..h as usize - 1 {
        for x in 1..row - 1 {
            let i = y * row + x;
            if inside.data[i] < 0.97 {
                continue;
            }
            let dx = (light.data[i + 1] - light.data[i - 1]) / 2.0;
            let dy = (light.data[i + row] - light.data[i - row]) / 2.0;
            xx.data[i] = dx * dx;
            yy.data[i] = dy * dy;
            xy.data[i] = dx * dy;
        }
    }
    let sigma = (w.max(h) as f32 * 0.014).max(2.0);
    let (xx, yy, xy) = (gaussian(&xx, sigma), gaussian(&yy, sigma), gaussian(&xy, sigma));
    let mut out = xx.zip(&yy, |a, b| a + b);
    for (i, v) in out.data.iter_mut().enumerate() {
        let half = *v / 2.0;
        let spread = ((xx.data[i] - yy.data[i]) / 2.0).hypot(xy.data[i]);
        *v = (half - spread).max(0.0);
    }
    out
}

/// Otsu's separability of lightness and the mean corner strength inside a region.
fn inside(
    product: &LabImage,
    corners: &Plane,
    hot: &GrayImage,
    rect: packshot_imaging::photo::Rect,
) -> (f32, f32) {
    let mut histogram = [0.0f64; 101];
    let (mut corner_sum, mut count) = (0.0f64, 0.0f64);
    for y in rect.y..(rect.y + rect.h).min(product.height) {
        for x in rect.x..(rect.x + rect.w).min(product.width) {
            if hot.get_pixel(x, y).0[0] == 0 {
                continue;
            }
            let i = (y * product.width + x) as usize;
            histogram[product.l[i].clamp(0.0, 100.0) as usize] += 1.0;
            corner_sum += f64::from(corners.data[i]);
            count += 1.0;
        }
    }
    if count < 1.0 {
        return (0.0, 0.0);
    }
    let total: f64 = histogram.iter().enumerate().map(|(l, n)| l as f64 * n).sum();
    let mean = total / count;
    let variance: f64 =
        histogram.iter().enumerate().map(|(l, n)| (l as f64 - mean).powi(2) * n).sum::<f64>() / count;
    let (mut below, mut below_sum, mut best) = (0.0f64, 0.0f64, 0.0f64);
    for (l, n) in histogram.iter().enumerate() {
        below += n;
        below_sum += l as f64 * n;
        let above = count - below;
        if below > 0.0 && above > 0.0 {
            let gap = below_sum / below - (total - below_sum) / above;
            best = best.max(below * above * gap * gap / (count * count));
        }
    }
    ((best / variance.max(1e-6)) as f32, (corner_sum / count) as f32)
}
