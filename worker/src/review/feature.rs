//! Feature drift: labels, logos, dials, seams that were removed, added, garbled or moved.
//!
//! After registration the local structure of lightness is compared inside the product
//! (structural similarity without its luminance term, Wang et al. 2004, with a large constant
//! so that flat areas do not vote). Every place that differs is then looked for nearby: found
//! elsewhere is *moved*, structure on one side only is *missing* or *added*, else *changed*.

use image::GrayImage;
use packshot_imaging::blur;
use packshot_imaging::mask;
use packshot_imaging::photo::Rect;
use packshot_imaging::register::{Method, Registration};
use packshot_pipeline::facts::ProtectedRegion;
use packshot_pipeline::finding::Axis;

use super::channel::{Channel, Metric, quantile};
use super::frame::Frame;
use super::local;
use super::words::{self, Fate, Mark};

/// Window of the structure map, by the product's size.
const WINDOW: f32 = 0.022;
/// Variance of lightness below which structure does not count.
const FLAT: f32 = 18.0;
/// How far a moved mark is looked for, by the product's size.
const SEARCH: f32 = 0.18;

/// The axis and the map it was made from, 0 to 1 per frame pixel.
pub(super) struct FeatureMap {
    /// What the verdict reads.
    pub(super) channel: Channel,
    /// Where structure differs.
    pub(super) map: Vec<f32>,
    /// Where the candidate has structure that the reference has not, in Lab L per pixel.
    pub(super) added: Vec<f32>,
}

/// Measures the axis.
pub(super) fn measure(
    frame: &Frame,
    registration: &Registration,
    protected: &[ProtectedRegion],
    size: (u32, u32),
) -> FeatureMap {
    let weight = frame.core_blur(1.0);
    let reference = frame.inside_blur(&frame.reference_lab.l, 1.0, &weight);
    let candidate = frame.inside_blur(&frame.local_lab.l, 1.0, &weight);
    let (reference, candidate) = (masked(frame, &reference), masked(frame, &candidate));
    let beyond = blur::gaussian(&frame.plane(frame.local_lab.l.clone()), 1.0).data;
    let candidate = local::aligned(frame, &reference, &candidate, &beyond);
    let map = within(frame, structure(frame, &reference, &candidate));
    let (missing, added) = one_sided(frame, &reference, &candidate);
    let (missing, added) = (within(frame, missing), within(frame, added));
    let mut inside: Vec<f32> = map.iter().zip(&frame.inner).filter(|(_, k)| **k).map(|(v, _)| *v).collect();
    if inside.len() < 200 {
        let empty = Channel::silent(Axis::Feature);
        return FeatureMap { channel: empty, map: vec![0.0; frame.core.len()], added };
    }
    let top = top_mean(&mut inside, 0.003);
    let places = places(frame, &map);
    let marks: Vec<Mark> = places
        .iter()
        .take(6)
        .map(|p| Mark {
            fate: fate(frame, p, &reference, &candidate, &missing, &added),
            side: side(frame, p.rect),
            label: words::on_label(frame, p.rect, protected),
        })
        .collect();
    let region = places.first().and_then(|p| frame.region(p.rect, size));
    let told = |fates: &dyn Fn(Fate) -> bool, else_all_over: &str| {
        let marks: Vec<Mark> = marks.iter().copied().filter(|m| fates(m.fate)).collect();
        if marks.is_empty() { else_all_over.to_owned() } else { words::sentence(&marks) }
    };
    let evidence = told(&|_| true, "fine structure differs a little all over the product");
    let gone = told(
        &|fate| matches!(fate, Fate::Missing | Fate::Moved(_)),
        "fine marks of the reference are missing or fainter",
    );
    let new = told(&|fate| fate == Fate::Added, "fine marks that the reference does not have");
    let edges = |plane: &[f32]| {
        let mut v: Vec<f32> = plane.iter().zip(&frame.inner).filter(|(_, k)| **k).map(|(v, _)| *v).collect();
        top_mean(&mut v, 0.003)
    };
    let metrics = vec![
        Metric { name: "feature_structure", value: f64::from(top), region, evidence, cure: None },
        Metric {
            name: "feature_missing",
            value: f64::from(edges(&missing)),
            region,
            evidence: gone,
            cure: None,
        },
        Metric { name: "feature_added", value: f64::from(edges(&added)), region, evidence: new, cure: None },
    ];
    let confidence = match registration.method {
        Method::Keypoints => registration.confidence,
        Method::Edges => 0.3 * registration.confidence,
    };
    let channel =
        Channel { axis: Axis::Feature, metrics, violations: Vec::new(), confidence: f64::from(confidence) };
    FeatureMap { channel, map, added }
}

/// Zero in the rim.
fn within(frame: &Frame, mut plane: Vec<f32>) -> Vec<f32> {
    for (v, k) in plane.iter_mut().zip(&frame.inner) {
        if !k {
            *v = 0.0;
        }
    }
    plane
}

fn masked(frame: &Frame, plane: &[f32]) -> Vec<f32> {
    plane.iter().zip(&frame.core).map(|(v, k)| if *k { *v } else { 0.0 }).collect()
}

/// Mean of the largest `share` of the values.
fn top_mean(values: &mut [f32], share: f32) -> f32 {
    let limit = quantile(values, 1.0 - share);
    let (sum, n) = values.iter().filter(|v| **v >= limit).fold((0.0, 0.0), |s, v| (s.0 + v, s.1 + 1.0));
    sum / f32::max(n, 1.0)
}

/// One minus structural similarity without luminance, per pixel of the core, 0 to about 2.
fn structure(frame: &Frame, a: &[f32], b: &[f32]) -> Vec<f32> {
    let sigma = (WINDOW * frame.size).max(2.0);
    let weight = frame.core_blur(sigma);
    let mean = |v: &[f32]| frame.inside_blur(v, sigma, &weight);
    let product = |x: &[f32], y: &[f32]| -> Vec<f32> { x.iter().zip(y).map(|(x, y)| x * y).collect() };
    let (ma, mb) = (mean(a), mean(b));
    let (aa, bb, ab) = (mean(&product(a, a)), mean(&product(b, b)), mean(&product(a, b)));
    (0..a.len())
        .map(|i| {
            if !frame.core[i] {
                return 0.0;
            }
            let va = (aa[i] - ma[i] * ma[i]).max(0.0);
            let vb = (bb[i] - mb[i] * mb[i]).max(0.0);
            let cov = ab[i] - ma[i] * mb[i];
            1.0 - (2.0 * cov + FLAT) / (va + vb + FLAT)
        })
        .collect()
}

/// Edge strength that only one picture has, with two pixels of tolerance.
fn one_sided(frame: &Frame, reference: &[f32], candidate: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let (r, c) = (gradient(frame, reference), gradient(frame, candidate));
    let (wide_r, wide_c) = (spread_max(frame, &r, 2), spread_max(frame, &c, 2));
    let sigma = (0.014 * frame.size).max(1.5);
    let weight = frame.core_blur(sigma);
    let excess = |a: &[f32], b: &[f32]| {
        let raw: Vec<f32> = a.iter().zip(b).map(|(a, b)| (a - 1.15 * b).max(0.0)).collect();
        frame.inside_blur(&raw, sigma, &weight)
    };
    (excess(&r, &wide_c), excess(&c, &wide_r))
}

fn gradient(frame: &Frame, l: &[f32]) -> Vec<f32> {
    let (w, h) = (frame.width as usize, frame.height as usize);
    let mut out = vec![0f32; w * h];
    for y in 1..h.saturating_sub(1) {
        for x in 1..w.saturating_sub(1) {
            let i = y * w + x;
            // the rim of the core is no edge of the product
            if frame.core[i]
                && frame.core[i - 1]
                && frame.core[i + 1]
                && frame.core[i - w]
                && frame.core[i + w]
            {
                out[i] = (l[i + 1] - l[i - 1]).hypot(l[i + w] - l[i - w]);
            }
        }
    }
    out
}

/// Largest value within `radius` pixels, square window.
fn spread_max(frame: &Frame, values: &[f32], radius: usize) -> Vec<f32> {
    let (w, h) = (frame.width as usize, frame.height as usize);
    let mut rows = vec![0f32; w * h];
    for y in 0..h {
        for x in 0..w {
            let line = &values[y * w + x.saturating_sub(radius)..y * w + (x + radius + 1).min(w)];
            rows[y * w + x] = line.iter().copied().fold(0.0, f32::max);
        }
    }
    let mut out = vec![0f32; w * h];
    for y in 0..h {
        for x in 0..w {
            out[y * w + x] = (y.saturating_sub(radius)..(y + radius + 1).min(h))
                .map(|v| rows[v * w + x])
                .fold(0.0, f32::max);
        }
    }
    out
}

/// A connected place where structure differs.
pub(super) struct Place {
    pub(super) rect: Rect,
    weight: f32,
}

/// The places where the map is high, heaviest first.
pub(super) fn places(frame: &Frame, map: &[f32]) -> Vec<Place> {
    let mut high = GrayImage::new(frame.width, frame.height);
    for (pixel, v) in high.as_mut().iter_mut().zip(map) {
        *pixel = if *v > 0.5 { 255 } else { 0 };
    }
    let joined = mask::close(&high, ((0.01 * frame.size) as u32).max(1));
    let mut found: Vec<Place> = mask::components(&joined, ((0.0004 * frame.size * frame.size) as u64).max(6))
        .into_iter()
        .map(|c| Place { rect: c.rect, weight: c.area as f32 })
        .collect();
    found.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    found
}

/// What happened to the mark at a place.
fn fate(
    frame: &Frame,
    place: &Place,
    reference: &[f32],
    candidate: &[f32],
    missing: &[f32],
    added: &[f32],
) -> Fate {
    let mean = |plane: &[f32]| {
        let (mut sum, mut n) = (0.0, 1e-3);
        for y in place.rect.y..place.rect.y + place.rect.h {
            for x in place.rect.x..place.rect.x + place.rect.w {
                sum += plane[(y * frame.width + x) as usize];
                n += 1.0;
            }
        }
        sum / n
    };
    let (gone, new) = (mean(missing), mean(added));
    if gone > 2.0 * new + 0.3 {
        return displaced(frame, place.rect, reference, candidate)
            .map_or(Fate::Missing, |(dx, dy)| Fate::Moved(dx.hypot(dy) * frame.placement.scale));
    }
    if new > 2.0 * gone + 0.3 { Fate::Added } else { Fate::Changed }
}

/// Where on the product a place lies, in words.
fn side(frame: &Frame, rect: Rect) -> &'static str {
    let Some(bounds) = mask::bounds(&frame.mask, 128) else { return "middle" };
    let x = (rect.x as f32 + rect.w as f32 / 2.0 - bounds.x as f32) / bounds.w as f32;
    let y = (rect.y as f32 + rect.h as f32 / 2.0 - bounds.y as f32) / bounds.h as f32;
    let third = |v: f32| usize::from(v > 0.36) + usize::from(v > 0.64);
    [["upper left", "top", "upper right"], ["left", "middle", "right"], ["lower left", "foot", "lower right"]]
        [third(y)][third(x)]
}

/// Where the reference's patch is found in the candidate, when it is found clearly.
fn displaced(frame: &Frame, rect: Rect, reference: &[f32], candidate: &[f32]) -> Option<(f32, f32)> {
    let (w, h) = (frame.width as i32, frame.height as i32);
    let reach = (SEARCH * frame.size) as i32;
    let step = (reach / 24).max(1);
    let pixels: Vec<(i32, i32)> = (rect.y..rect.y + rect.h)
        .step_by(2)
        .flat_map(|y| (rect.x..rect.x + rect.w).step_by(2).map(move |x| (x as i32, y as i32)))
        .filter(|(x, y)| frame.core[(y * w + x) as usize])
        .collect();
    if pixels.len() < 25 {
        return None;
    }
    let correlation = |dx: i32, dy: i32| {
        let (mut n, mut a, mut b, mut aa, mut bb, mut ab) = (0.0f32, 0.0, 0.0, 0.0, 0.0, 0.0);
        for (x, y) in &pixels {
            let (u, v) = (x + dx, y + dy);
            if u < 0 || v < 0 || u >= w || v >= h || !frame.core[(v * w + u) as usize] {
                continue;
            }
            let (p, q) = (reference[(y * w + x) as usize], candidate[(v * w + u) as usize]);
            n += 1.0;
            a += p;
            b += q;
            aa += p * p;
            bb += q * q;
            ab += p * q;
        }
        if n < 0.7 * pixels.len() as f32 {
            return 0.0;
        }
        (n * ab - a * b) / ((n * aa - a * a).max(1e-3) * (n * bb - b * b).max(1e-3)).sqrt()
    };
    let mut best = (0.0, 0, 0);
    for dy in (-reach..=reach).step_by(step as usize) {
        for dx in (-reach..=reach).step_by(step as usize) {
            let c = correlation(dx, dy);
            if c > best.0 {
                best = (c, dx, dy);
            }
        }
    }
    let far = (best.1 as f32).hypot(best.2 as f32) > 0.015 * frame.size;
    (best.0 > 0.7 && far && best.0 > correlation(0, 0) + 0.2).then_some((best.1 as f32, best.2 as f32))
}
