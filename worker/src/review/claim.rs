//! Claim drift: codes, badges, text, stars and stray objects that the reference does not
//! have, beside the product and on it.

use image::{GrayImage, RgbImage};
use packshot_imaging::codes::{self, Code};
use packshot_imaging::photo::Rect;
use packshot_imaging::register::Similarity;
use packshot_imaging::resize;
use packshot_pipeline::finding::{Axis, EditOp, Region};

use super::channel::{Channel, Metric, Violation, quantile};
use super::feature::{self, FeatureMap};
use super::frame::Frame;
use super::objects;
use super::rules::Rules;

/// Longest side at which codes are decoded.
const CODE_SIDE: u32 = 1000;

/// The two whole pictures.
pub(super) struct Scene<'a> {
    pub(super) reference: &'a RgbImage,
    pub(super) reference_mask: &'a GrayImage,
    pub(super) candidate: &'a RgbImage,
    /// Reference pixels to candidate pixels.
    pub(super) similarity: Similarity,
}

/// Measures the axis.
pub(super) fn measure(scene: &Scene, frame: &Frame, features: &FeatureMap, rules: Rules) -> Channel {
    let back = scene.similarity.inverse();
    let mut seen = objects::look(scene.candidate, |x, y| {
        let (u, v) = back.apply(x, y);
        is_product(scene.reference_mask, u, v)
    });
    // what the reference shows beside its product is no news
    let before = objects::look(scene.reference, |x, y| is_product(scene.reference_mask, x, y));
    seen.marks = (seen.marks - before.marks).max(0.0);
    seen.object = (seen.object - before.object).max(0.0);
    let mut metrics = vec![on_product(frame, features, scene.candidate.dimensions())];
    if !rules.cue_lines_allowed {
        metrics.push(Metric {
            name: "claim_marks",
            value: f64::from(seen.marks),
            region: seen.marks_at.map(region),
            evidence: "text, a badge or a mark beside the product that the reference does not have"
                .to_owned(),
            cure: Some((EditOp::Erase, "it lies outside the product, so the background can be put back")),
        });
    }
    if !rules.props_allowed && !rules.cue_lines_allowed {
        metrics.push(Metric {
            name: "claim_object",
            value: f64::from(seen.object),
            region: seen.object_at.map(region),
            evidence: "an object beside the product that the reference does not have".to_owned(),
            cure: Some((EditOp::Erase, "it lies outside the product, so the background can be put back")),
        });
    }
    Channel { axis: Axis::Claim, metrics, violations: new_codes(scene), confidence: 1.0 }
}

/// Codes and off-product marks when the product itself could not be found.
pub(super) fn codes_only(reference: &RgbImage, candidate: &RgbImage) -> Channel {
    let known = decode(reference);
    let violations: Vec<Violation> = decode(candidate)
        .into_iter()
        .filter(|c| !known.iter().any(|k| k.text == c.text))
        .map(violation)
        .collect();
    if violations.is_empty() {
        return Channel::silent(Axis::Claim);
    }
    Channel { axis: Axis::Claim, metrics: Vec::new(), violations, confidence: 1.0 }
}

fn region(rect: Rect) -> Region {
    Region { x: rect.x, y: rect.y, w: rect.w, h: rect.h }
}

fn new_codes(scene: &Scene) -> Vec<Violation> {
    let found = decode(scene.candidate);
    if found.is_empty() {
        return Vec::new();
    }
    let known = decode(scene.reference);
    found.into_iter().filter(|c| !known.iter().any(|k| k.text == c.text)).map(violation).collect()
}

fn violation(code: Code) -> Violation {
    let kind = if code.format.to_lowercase().contains("qr") { "a QR code" } else { "a bar code" };
    Violation {
        region: Some(region(code.rect)),
        evidence: format!("{kind} that the reference does not have"),
        cure: Some((EditOp::Erase, "a code that the reference does not have can be erased")),
    }
}

fn decode(rgb: &RgbImage) -> Vec<Code> {
    let (w, h) = rgb.dimensions();
    let factor = (f64::from(CODE_SIDE) / f64::from(w.max(h).max(1))).min(1.0);
    let (sw, sh) = ((f64::from(w) * factor).round() as u32, (f64::from(h) * factor).round() as u32);
    let gray = image::imageops::grayscale(&resize::resize_rgb(rgb, sw.max(1), sh.max(1)));
    let full = |v: u32| (f64::from(v) / factor) as u32;
    codes::find(&gray)
        .into_iter()
        .map(|code| {
            let r = code.rect;
            let rect = Rect {
                x: full(r.x).min(w - 1),
                y: full(r.y).min(h - 1),
                w: full(r.w).max(1),
                h: full(r.h).max(1),
            };
            Code { rect, ..code }
        })
        .collect()
}

fn is_product(mask: &GrayImage, x: f32, y: f32) -> bool {
    let inside = x >= 0.0 && y >= 0.0 && x < mask.width() as f32 && y < mask.height() as f32;
    inside && mask.get_pixel(x as u32, y as u32).0[0] > 20
}

/// Structure on the product that the reference does not have.
fn on_product(frame: &Frame, features: &FeatureMap, size: (u32, u32)) -> Metric {
    let mut inside: Vec<f32> =
        features.added.iter().zip(&frame.inner).filter(|(_, k)| **k).map(|(v, _)| *v).collect();
    let value = quantile(&mut inside, 0.985);
    let place = feature::places(frame, &features.map);
    Metric {
        name: "claim_on_product",
        value: f64::from(value),
        region: place.first().and_then(|p| frame.region(p.rect, size)),
        evidence: "a mark on the product that the reference does not have".to_owned(),
        cure: None,
    }
}
