//! Clipped shadows and highlights: parts of the product that are plain black or plain white
//! although the reference shows something there.

use image::GrayImage;
use packshot_imaging::mask;

use super::super::channel::Metric;
use super::super::frame::Frame;

/// Levels that count as black and as white, in every channel.
const BLACK: u8 = 2;
const WHITE: u8 = 253;
/// Lightness from which the reference is not black, and up to which it is not white: a change
/// of light by a tenth reaches that far.
const FROM: f32 = 3.5;
const UP_TO: f32 = 93.0;
/// Least range of lightness around a pixel of the reference for it to show something.
const STRUCTURE: f32 = 1.5;

/// Measures the lost share of the product, in percent: shadows and highlights.
pub(super) fn measure(frame: &Frame) -> [Metric; 2] {
    [
        metric(frame, "quality_shadows", "shadows of the product are plain black", |pixel, own| {
            pixel.iter().all(|v| *v <= BLACK) && own >= FROM
        }),
        metric(frame, "quality_highlights", "highlights of the product are plain white", |pixel, own| {
            pixel.iter().all(|v| *v >= WHITE) && own <= UP_TO
        }),
    ]
}

fn metric(frame: &Frame, name: &'static str, what: &str, lost: impl Fn([u8; 3], f32) -> bool) -> Metric {
    let (w, h) = (frame.width as usize, frame.height as usize);
    let own = &frame.reference_lab.l;
    let mut map = GrayImage::new(frame.width, frame.height);
    let mut count = 0usize;
    for (i, (value, pixel)) in map.as_mut().iter_mut().zip(frame.candidate.pixels()).enumerate() {
        if frame.core[i] && lost(pixel.0, own[i]) && shows(own, i, w, h) {
            *value = 255;
            count += 1;
        }
    }
    let value = 100.0 * count as f64 / frame.core_count().max(1) as f64;
    // scattered pixels together are one place
    let place = mask::label(&mask::dilate(&map, 3)).components.first().map(|c| c.rect);
    Metric {
        name,
        value,
        region: place.filter(|_| count > 0).and_then(|rect| frame.region(rect, frame.candidate_size)),
        evidence: format!("{what} where the reference shows detail: {value:.1} % of it"),
        cure: None,
    }
}

/// Whether the reference has structure around a pixel.
fn shows(own: &[f32], i: usize, w: usize, h: usize) -> bool {
    const REACH: usize = 3;
    let (x, y) = (i % w, i / w);
    if x < REACH || y < REACH || x + REACH >= w || y + REACH >= h {
        return false;
    }
    let around = [i - REACH, i + REACH, i - REACH * w, i + REACH * w, i];
    let low = around.iter().map(|&j| own[j]).fold(f32::MAX, f32::min);
    let high = around.iter().map(|&j| own[j]).fold(f32::MIN, f32::max);
    high - low >= STRUCTURE
}
