//! Pixel truth: a maker that places the reference's own pixels says where, and the claim is
//! checked pixel upon pixel. Where it holds, nothing of the product can have drifted, and
//! no statistics are needed to say so; where it does not, the placement is found and the
//! product measured as if nobody had claimed anything.

use packshot_imaging::colour::LabImage;
use packshot_imaging::register::{Method, Registration, Similarity};
use packshot_pipeline::finding::Axis;

use super::channel::{Channel, Metric, quantile};
use super::frame::{CORE_MIN, Frame};

/// Largest colour difference (CIE 1976) that resampling and 8-bit rounding leave behind, on
/// all but a thousandth of the product.
const RESIDUAL_MAX: f32 = 4.0;
/// The share of the product that the limit holds for.
const SHARE: f32 = 0.999;
/// Blur before comparing, in frame pixels: takes out phase and sharpness of two resamplings.
const SIGMA: f32 = 3.5;
/// Coverage from which a pixel shows the product alone; below it the surroundings shine
/// through, as they must behind a lens.
const OPAQUE: u8 = 250;
/// Least share of the product that is opaque, for the rest to be believed.
const OPAQUE_SHARE_MIN: f32 = 0.4;

/// The placement that the maker claims, as if it had been found.
pub(super) fn claimed(hint: Similarity) -> Registration {
    Registration {
        similarity: hint,
        affine: hint.to_affine(),
        method: Method::Keypoints,
        matches: Vec::new(),
        inliers: 0,
        spread: 1.0,
        recall: 1.0,
        edges: 1.0,
        confidence: 1.0,
        surroundings: None,
        companion: None,
        scene: false,
    }
}

/// How far candidate and reference differ on the product, as a share of what resampling may
/// leave behind: below 1 they show the same pixels. `None` when too little is visible.
pub(super) fn residual(frame: &Frame) -> Option<f32> {
    if frame.core_count() < CORE_MIN {
        return None;
    }
    let weight = frame.core_blur(SIGMA);
    let soft =
        |lab: &LabImage| [&lab.l, &lab.a, &lab.b].map(|plane| frame.inside_blur(plane, SIGMA, &weight));
    let (reference, candidate) = (soft(&frame.reference_lab), soft(&frame.candidate_lab));
    let (w, h) = (frame.width as usize, frame.height as usize);
    let mask = frame.mask.as_raw();
    let mut differences = Vec::with_capacity(frame.core_count());
    for y in 1..h.saturating_sub(1) {
        for x in 1..w.saturating_sub(1) {
            let here = y * w + x;
            if !frame.core[here] || mask[here] < OPAQUE {
                continue;
            }
            // Two resamplings may lie up to a frame pixel apart, so the nearest of nine counts.
            let nearest = (0..9).map(|n| {
                let there = (y + n / 3 - 1) * w + x + n % 3 - 1;
                let apart = |plane: usize| reference[plane][there] - candidate[plane][here];
                if frame.core[there] { (0..3).map(|plane| apart(plane).powi(2)).sum() } else { f32::MAX }
            });
            differences.push(nearest.fold(f32::MAX, f32::min).sqrt());
        }
    }
    let opaque = differences.len() as f32 / frame.core_count() as f32;
    (opaque >= OPAQUE_SHARE_MIN).then(|| quantile(&mut differences, SHARE) / RESIDUAL_MAX)
}

/// The axes of the product itself, all settled by the residual.
pub(super) fn channels(residual: f32) -> Vec<Channel> {
    [Axis::Shape, Axis::Colour, Axis::Material, Axis::Feature]
        .map(|axis| {
            let metric = Metric {
                name: "pixel_truth",
                value: f64::from(residual),
                region: None,
                evidence: "the product's pixels are the reference's own".to_owned(),
                cure: None,
            };
            Channel { axis, metrics: vec![metric], violations: Vec::new(), confidence: 1.0 }
        })
        .into()
}
