//! Upscale: more pixels, never more content.
//!
//! Lanczos interpolation, a smoothing along edges against stair-steps, and back-projection
//! (Irani and Peleg 1991): the result is corrected until averaging it down gives the input
//! back. That is also why it cannot invent a letter: whatever is added must cancel out within
//! every input pixel. The residual is measured and an image that misses it is not returned.

use std::ops::Range;

use image::{GrayImage, Luma, RgbImage};
use rayon::prelude::*;

use super::settings::Settings;
use super::{EditError, EditRequest, Kept, Outcome, PIXELS_MAX, SIDE_MAX};
use sample::{Axis, Grid};

mod sample;

/// Side of a tile in input px; tiles bound the memory and run side by side.
const TILE: usize = 160;
/// Input px around a tile that are computed and thrown away.
const OVERLAP: usize = 12;
/// Rounds of back-projection before and after the smoothing.
const ROUNDS: usize = 4;
/// Largest mean residual, in levels of 255, with which a result is handed out. Rounding to 8
/// bits and clipping at black and white alone give up to about 0.15.
const RESIDUAL_MAX: f64 = 0.35;

/// Runs the operation.
pub(super) fn run(request: &EditRequest, settings: &Settings) -> Result<Outcome, EditError> {
    let op = request.op.word();
    let factor = settings.number("factor");
    let (w, h) = request.image.dimensions();
    let (to_w, to_h) = ((f64::from(w) * factor).round(), (f64::from(h) * factor).round());
    if to_w.max(to_h) > f64::from(SIDE_MAX) || to_w * to_h > PIXELS_MAX as f64 {
        let why = format!("{to_w}x{to_h} px is more than {SIDE_MAX} px a side or {PIXELS_MAX} pixels");
        return Err(EditError::Refused { op, why });
    }
    let (to_w, to_h) = (to_w as u32, to_h as u32);
    let image = enlarged(request.image, to_w, to_h);
    let residual = residual(request.image, &image);
    if residual > RESIDUAL_MAX {
        let why = format!("shrinking the result misses the input by {residual:.2} levels");
        return Err(EditError::Refused { op, why });
    }
    let mut notes = vec![format!(
        "{w}x{h} to {to_w}x{to_h} px; shrunk again it differs from the input by {residual:.3} levels on average"
    )];
    if factor > 2.0 {
        notes
            .push(format!("{factor:.1} times larger: sharp detail cannot be expected, shoot larger instead"));
    }
    Ok(Outcome {
        image,
        alpha: request.alpha.map(|alpha| enlarged_gray(alpha, to_w, to_h)),
        touched: GrayImage::from_pixel(to_w, to_h, Luma([255])),
        notes,
        kept: Kept::Nothing,
    })
}

fn enlarged(image: &RgbImage, to_w: u32, to_h: u32) -> RgbImage {
    let (w, h) = image.dimensions();
    let channels: Vec<Vec<u8>> =
        (0..3).map(|channel| plane_enlarged(image.as_raw(), 3, channel, (w, h), (to_w, to_h))).collect();
    let mut out = RgbImage::new(to_w, to_h);
    for (at, pixel) in out.pixels_mut().enumerate() {
        pixel.0 = [channels[0][at], channels[1][at], channels[2][at]];
    }
    out
}

fn enlarged_gray(image: &GrayImage, to_w: u32, to_h: u32) -> GrayImage {
    let plane = plane_enlarged(image.as_raw(), 1, 0, image.dimensions(), (to_w, to_h));
    GrayImage::from_raw(to_w, to_h, plane).unwrap_or_else(|| GrayImage::new(to_w, to_h))
}

/// One channel of an interleaved image, enlarged tile by tile.
fn plane_enlarged(raw: &[u8], stride: usize, channel: usize, from: (u32, u32), to: (u32, u32)) -> Vec<u8> {
    let (w, h) = (from.0 as usize, from.1 as usize);
    let (to_w, to_h) = (to.0 as usize, to.1 as usize);
    let tiles: Vec<(Span, Span)> = spans(h, to_h)
        .into_iter()
        .flat_map(|down| spans(w, to_w).into_iter().map(move |across| (across, down.clone())))
        .collect();
    let parts: Vec<Grid> = tiles
        .par_iter()
        .map(|(across, down)| {
            let data = down
                .inputs
                .clone()
                .flat_map(|y| across.inputs.clone().map(move |x| (y * w + x) * stride + channel))
                .map(|at| f32::from(raw[at]))
                .collect();
            let input = Grid { w: across.inputs.len(), h: down.inputs.len(), data };
            sample::back_projected(&input, &across.axis(w, to_w), &down.axis(h, to_h), ROUNDS)
        })
        .collect();
    let mut plane = vec![0; to_w * to_h];
    for ((across, down), part) in tiles.iter().zip(parts) {
        for y in down.kept.clone() {
            let row = (y - down.outputs.start) * part.w;
            for x in across.kept.clone() {
                let value = part.data[row + x - across.outputs.start];
                plane[y * to_w + x] = value.round().clamp(0.0, 255.0) as u8;
            }
        }
    }
    plane
}

/// One tile along one axis.
#[derive(Clone)]
struct Span {
    /// Inputs with their overlap.
    inputs: Range<usize>,
    /// Outputs that are computed from them.
    outputs: Range<usize>,
    /// Outputs that belong to this tile alone.
    kept: Range<usize>,
}

impl Span {
    fn axis(&self, from: usize, to: usize) -> Axis {
        Axis::new(from, to, self.inputs.clone(), self.outputs.clone())
    }
}

fn spans(from: usize, to: usize) -> Vec<Span> {
    let first_output = |at: usize| (at * to).div_ceil(from);
    (0..from)
        .step_by(TILE)
        .map(|start| {
            let end = (start + TILE).min(from);
            let inputs = start.saturating_sub(OVERLAP)..(end + OVERLAP).min(from);
            let outputs = first_output(inputs.start)..first_output(inputs.end);
            Span { inputs, outputs, kept: first_output(start)..first_output(end) }
        })
        .collect()
}

/// Mean absolute difference, in levels, of `large` averaged down and `small`.
pub(super) fn residual(small: &RgbImage, large: &RgbImage) -> f64 {
    let (w, h) = (small.width() as usize, small.height() as usize);
    let (to_w, to_h) = (large.width() as usize, large.height() as usize);
    let across = Axis::new(w, to_w, 0..w, 0..to_w);
    let mut sum = 0.0;
    for channel in 0..3 {
        for top in (0..h).step_by(TILE) {
            let bottom = (top + TILE).min(h);
            let first = top * to_h / h;
            let last = (bottom * to_h).div_ceil(h).min(to_h);
            let down = Axis::new(h, to_h, top..bottom, first..last);
            let data =
                (first * to_w..last * to_w).map(|at| f32::from(large.as_raw()[at * 3 + channel])).collect();
            let shrunk = sample::shrunk(&Grid { w: to_w, h: last - first, data }, &across, &down);
            for (k, value) in shrunk.data.iter().enumerate() {
                sum += f64::from((value - f32::from(small.as_raw()[(top * w + k) * 3 + channel])).abs());
            }
        }
    }
    sum / (w * h * 3) as f64
}
