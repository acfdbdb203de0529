//! Scale drift: the product against what surrounds it. Only measurable where the same
//! surroundings, or a thing beside the product, are in both pictures; without such a cue the
//! axis is not comparable.

use image::RgbImage;
use packshot_imaging::register::{self, Motions, Registration, Similarity};
use packshot_pipeline::finding::{Axis, Region};

use super::channel::{Channel, Metric};

/// Standard errors that are taken off a measured change of size.
const SURE: f32 = 2.0;

/// Measures the axis, twice where it can: by what surrounds the product or was cut out with it,
/// and by what moved apart in the whole scene, whichever thing the product is.
pub(super) fn measure(registration: &Registration, reference: &RgbImage, candidate: &RgbImage) -> Channel {
    let seen = if registration.scene { register::motions(reference, candidate) } else { None };
    let unclear = seen.is_some_and(|seen| seen.ratio.is_none());
    let ratio = |product: Similarity, other: Similarity| (product.scale / other.scale.max(1e-6)).ln();
    let things = registration.companion.map(|[product, other]| {
        (ratio(product.similarity, other.similarity), other.inliers.min(product.inliers))
    });
    // a placement over things that moved apart is none of the product
    let around = registration.surroundings.filter(|_| !unclear);
    let around = around.map(|a| (ratio(registration.similarity, a.similarity), a.inliers));
    let cue = [things, around].into_iter().flatten().max_by(|a, b| a.0.abs().total_cmp(&b.0.abs()));
    let cue = cue.map(|(ratio, inliers)| channel("scale_cue", ratio, ratio.abs(), inliers, None));
    let scene = seen.map_or_else(|| Channel::silent(Axis::Scale), of_motions);
    match cue {
        Some(cue) => Channel {
            metrics: cue.metrics.into_iter().chain(scene.metrics).collect(),
            confidence: cue.confidence.max(scene.confidence),
            ..scene
        },
        None => scene,
    }
}

/// Measures the axis between two pictures whose product is not known; silent when they do not
/// show the same scene.
pub(super) fn of_scene(reference: &RgbImage, candidate: &RgbImage) -> Channel {
    register::motions(reference, candidate).map_or_else(|| Channel::silent(Axis::Scale), of_motions)
}

fn of_motions(seen: Motions) -> Channel {
    let Some(ratio) = seen.ratio else { return Channel::silent(Axis::Scale) };
    let region = seen.region.map(|r| Region { x: r.x, y: r.y, w: r.w, h: r.h });
    let sure = (ratio.abs() - SURE * seen.error).max(0.0);
    channel("scale_scene", ratio, sure, seen.inliers.0, region)
}

fn channel(name: &'static str, ratio: f32, value: f32, inliers: usize, region: Option<Region>) -> Channel {
    let percent = 100.0 * (ratio.abs().exp() - 1.0);
    let word = if ratio > 0.0 { "larger" } else { "smaller" };
    let metric = Metric {
        name,
        value: f64::from(value),
        region,
        evidence: format!(
            "the product is {percent:.0} % {word} against its surroundings than in the reference"
        ),
        cure: None,
    };
    Channel {
        axis: Axis::Scale,
        metrics: vec![metric],
        violations: Vec::new(),
        confidence: f64::from(1.0 - (-(inliers as f32) / 15.0).exp()),
    }
}
