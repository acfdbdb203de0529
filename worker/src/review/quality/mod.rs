//! Image quality, one file per fault: what is wrong with the picture even where the product in
//! it is the right one. Every fault is measured against the reference wherever the reference can
//! have it too, so that a noisy, jagged or patterned photo does not accuse its copy.

mod banding;
mod blocks;
mod clipped;
mod fringe;
mod halo;
mod jagged;
mod noise;
mod off_white;
mod pixels;
mod profile;
mod repeated;
mod ringing;
mod soft;
#[cfg(test)]
mod tests;

use image::RgbImage;
use packshot_imaging::register::Similarity;
use packshot_pipeline::finding::Axis;

use super::channel::Channel;
use super::frame::Frame;
use super::rules::Rules;

/// The two pictures at their own sizes.
#[derive(Clone, Copy)]
pub(super) struct Pair<'a> {
    /// The reference, laid on a plain background where it is transparent.
    pub(super) photo: &'a RgbImage,
    /// The reference's product without its background's light.
    pub(super) foreground: &'a RgbImage,
    /// The picture to judge.
    pub(super) candidate: &'a RgbImage,
    /// Where it shows the product.
    pub(super) similarity: Similarity,
}

/// Measures the axis.
pub(super) fn measure(frame: &Frame, pair: &Pair, rules: Rules) -> Channel {
    let mut channel = measure_placing(frame, pair, rules);
    channel.metrics.extend([soft::measure(frame), blocks::measure(pair.candidate)]);
    channel.metrics.extend(noise::measure(frame, pair));
    channel.metrics.extend(pixels::measure(frame, pair));
    channel.metrics.extend(clipped::measure(frame));
    channel
}

/// Measures what can go wrong when the reference's own pixels are placed, and with what is made
/// around them. How sharp, noisy, blocky or clipped those pixels are was inspected with the reference.
pub(super) fn measure_placing(frame: &Frame, pair: &Pair, rules: Rules) -> Channel {
    let profiles = profile::along_outline(frame, pair);
    let mut metrics = vec![halo::measure(frame), banding::measure(pair.candidate, pair.photo)];
    metrics.extend(jagged::measure(&profiles, pair));
    metrics.extend(fringe::measure(&profiles));
    metrics.extend(ringing::measure(&profiles));
    metrics.push(repeated::measure(pair));
    let violations = if rules.white_background {
        off_white::measure(pair.candidate).into_iter().collect()
    } else {
        Vec::new()
    };
    Channel { axis: Axis::Quality, metrics, violations, confidence: 1.0 }
}
