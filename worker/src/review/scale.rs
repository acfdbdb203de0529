//! Scale drift: the product against what surrounds it. Only measurable where the same
//! surroundings, or a thing beside the product, are in both pictures; without such a cue the
//! axis is not comparable.

use image::RgbImage;
use packshot_imaging::register::{self, Registration};
use packshot_pipeline::finding::{Axis, Region};

use super::channel::{Channel, Metric};

/// Standard errors that are taken off a measured change of size.
const SURE: f32 = 2.0;

/// Measures the axis, twice where it can: by what surrounds the product or was cut out with it,
/// and by what moved apart in the whole scene, whichever thing the product is.
pub(super) fn measure(registration: &Registration, reference: &RgbImage, candidate: &RgbImage) -> Channel {
    let cue = registration.surroundings.or(registration.companion).map(|around| {
        let ratio = (registration.similarity.scale / around.similarity.scale.max(1e-6)).ln();
        channel("scale_cue", ratio, ratio.abs(), around.inliers, None)
    });
    let scene =
        if registration.scene { of_scene(reference, candidate) } else { Channel::silent(Axis::Scale) };
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
    let Some(found) = register::motions(reference, candidate) else { return Channel::silent(Axis::Scale) };
    let region = found.region.map(|r| Region { x: r.x, y: r.y, w: r.w, h: r.h });
    let sure = (found.ratio.abs() - SURE * found.error).max(0.0);
    channel("scale_scene", found.ratio, sure, found.inliers.0, region)
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
