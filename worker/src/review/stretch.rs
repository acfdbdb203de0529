//! A picture that was stretched as a whole, product and surroundings alike, by a careless
//! resize: measured by the surroundings or by another thing beside it, undone before the
//! product is judged, and reported as what it is instead of as a drift of the product.

use image::RgbImage;
use packshot_imaging::register::Registration;
use packshot_imaging::resize;
use packshot_pipeline::finding::{Axis, Region};

use super::channel::Metric;
use super::{Measured, ReviewRequest};

/// Fewest matches beside the product that measure a stretch.
const MATCHES_MIN: usize = 14;
/// Smallest stretch worth undoing, and largest that a resize explains, as logarithms.
const SMALLEST: f32 = 0.008;
const LARGEST: f32 = 0.12;

/// How much wider the whole picture became than it became taller, as a logarithm; `None`
/// when nothing beside the product shows it.
pub(super) fn of_picture(registration: &Registration) -> Option<f32> {
    let around = registration.surroundings.or(registration.companion.map(|[_, other]| other))?;
    let upright = around.similarity.angle.abs() < 0.03;
    let wide = around.affine.widening();
    let plain = around.affine.anisotropy() < 1.5 * wide.abs();
    let range = (SMALLEST..LARGEST).contains(&wide.abs());
    (around.inliers >= MATCHES_MIN && upright && plain && range).then_some(wide)
}

/// Measures with the stretch taken out; regions are in pixels of the candidate as given.
pub(super) fn measure_undone(request: &ReviewRequest, candidate: &RgbImage, stretch: f32) -> Measured {
    let half = (stretch / 2.0).exp();
    let (w, h) = candidate.dimensions();
    let (nw, nh) = (((w as f32 / half).round() as u32).max(1), ((h as f32 * half).round() as u32).max(1));
    let upright = resize::resize_rgb(candidate, nw, nh);
    let registration = match super::find(request, &upright, None) {
        Ok(found) => found,
        Err(why) => return super::unmeasured(&request.reference.rgb, candidate, why.to_string()),
    };
    let mut measured = super::measure_registered(request, &upright, registration);
    let back = |r: Region| {
        let scale =
            |v: u32, from: u32, to: u32| (u64::from(v) * u64::from(to) / u64::from(from.max(1))) as u32;
        let (x, y) = (scale(r.x, nw, w).min(w - 1), scale(r.y, nh, h).min(h - 1));
        Region { x, y, w: scale(r.w, nw, w).clamp(1, w - x), h: scale(r.h, nh, h).clamp(1, h - y) }
    };
    for channel in &mut measured.channels {
        let regions = channel.metrics.iter_mut().map(|m| &mut m.region);
        for region in regions.chain(channel.violations.iter_mut().map(|v| &mut v.region)) {
            *region = region.map(back);
        }
        if channel.axis == Axis::Quality {
            channel.metrics.push(whole(stretch));
        }
    }
    measured
}

fn whole(stretch: f32) -> Metric {
    let word = if stretch > 0.0 { "wider" } else { "taller" };
    Metric {
        name: "quality_stretched",
        value: f64::from(stretch.abs()),
        region: None,
        evidence: format!(
            "the whole picture was stretched {:.1} % {word}",
            100.0 * (stretch.abs().exp() - 1.0)
        ),
        cure: None,
    }
}
