//! Background clean-up: the photo's own backdrop without dust, folds and clutter, or exact
//! white, with the product and its shadow as they are.

use image::{Rgb, RgbImage};
use packshot_imaging::photo::Cutout;

use super::behind::{Shade, dither, put};
use super::cutout::product_of;
use super::settings::Settings;
use super::{EditError, EditRequest, Outcome};

/// Pixels looked at for the surface.
const SAMPLES_MAX: usize = 30_000;
/// Fewer background pixels than this say nothing.
const SAMPLES_MIN: usize = 64;
/// Rounds of robust re-weighting.
const ROUNDS: usize = 8;
/// Deviation in levels at which a sample weighs half.
const ROBUST: f64 = 4.0;
/// A surface that varies less than this, in levels, is one flat colour.
const FLAT: f64 = 1.0;

/// Runs the operation.
pub(super) fn run(request: &EditRequest, settings: &Settings) -> Result<Outcome, EditError> {
    let cutout = product_of(request)?;
    let (w, h) = request.image.dimensions();
    let mut notes = Vec::new();
    let background = if settings.word("mode") == "white" {
        notes.push("background set to exact white".into());
        RgbImage::from_pixel(w, h, Rgb([255, 255, 255]))
    } else {
        let surface = own_surface(request.image, &cutout).ok_or_else(|| EditError::Refused {
            op: request.op.word(),
            why: "there is hardly any background to take the colour from; use mode=white".into(),
        })?;
        notes.push(format!("background flattened to its own {}", surface.words()));
        surface.image(w, h)
    };
    let shade = match settings.word("shadow") {
        "keep" => Shade::own(&cutout),
        "soften" => Shade::own(&cutout).softened(0.5, w.min(h) as f32 / 120.0),
        _ => Shade::none(),
    };
    if settings.word("shadow") != "remove" && shade.is_none() {
        notes.push("no shadow was found to keep".into());
    }
    put(request, &cutout, &background, &shade, notes)
}

/// A second-order surface per channel over the frame, in levels.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Surface {
    channels: [[f64; 6]; 3],
    flat: bool,
    size: (u32, u32),
}

impl Surface {
    fn at(&self, x: u32, y: u32) -> [f64; 3] {
        let terms = terms(x, y, self.size);
        self.channels.map(|channel| channel.iter().zip(terms).map(|(a, b)| a * b).sum())
    }

    /// The colour in the middle of the frame.
    pub(super) fn colour(&self) -> [u8; 3] {
        self.at(self.size.0 / 2, self.size.1 / 2).map(|v| v.round().clamp(0.0, 255.0) as u8)
    }

    fn words(&self) -> String {
        let colour = self.colour();
        let kind = if self.flat { "flat colour" } else { "colour and light" };
        format!("{kind}, #{:02x}{:02x}{:02x} in the middle", colour[0], colour[1], colour[2])
    }

    fn image(&self, w: u32, h: u32) -> RgbImage {
        if self.flat {
            return RgbImage::from_pixel(w, h, Rgb(self.colour()));
        }
        RgbImage::from_fn(w, h, |x, y| {
            let noise = f64::from(dither(x, y));
            Rgb(self.at(x, y).map(|v| (v + noise).round().clamp(0.0, 255.0) as u8))
        })
    }
}

/// x, y in -1..1 up to the second order.
fn terms(x: u32, y: u32, (w, h): (u32, u32)) -> [f64; 6] {
    let x = 2.0 * (f64::from(x) + 0.5) / f64::from(w) - 1.0;
    let y = 2.0 * (f64::from(y) + 0.5) / f64::from(h) - 1.0;
    [1.0, x, y, x * x, y * y, x * y]
}

/// The backdrop's own colour and light under its shadows, fitted robustly to the pixels that
/// the product leaves free; `None` when there are too few.
pub(super) fn own_surface(image: &RgbImage, cutout: &Cutout) -> Option<Surface> {
    let (w, h) = image.dimensions();
    let stride = ((f64::from(w) * f64::from(h) / SAMPLES_MAX as f64).sqrt().ceil() as usize).max(1);
    let mut samples: Vec<([f64; 6], [f64; 3])> = Vec::new();
    for y in (0..h).step_by(stride) {
        for x in (0..w).step_by(stride) {
            let shade = cutout.shadow.as_ref().map_or(255, |shadow| shadow.get_pixel(x, y).0[0]);
            if cutout.alpha.get_pixel(x, y).0[0] > 0 || shade < 200 {
                continue;
            }
            let lift = 255.0 / f64::from(shade);
            samples.push((terms(x, y, (w, h)), image.get_pixel(x, y).0.map(|v| f64::from(v) * lift)));
        }
    }
    if samples.len() < SAMPLES_MIN {
        return None;
    }
    let mut channels = std::array::from_fn(|c| fitted(&samples, c));
    let swing = |channel: &[f64; 6]| channel[1..].iter().map(|v| v.abs()).sum::<f64>();
    let flat = channels.iter().all(|channel| swing(channel) < FLAT);
    if flat {
        channels = channels.map(|channel| [channel[0], 0.0, 0.0, 0.0, 0.0, 0.0]);
    }
    Some(Surface { channels, flat, size: (w, h) })
}

/// Least squares with Cauchy weights, from the median.
fn fitted(samples: &[([f64; 6], [f64; 3])], channel: usize) -> [f64; 6] {
    let mut values: Vec<f64> = samples.iter().map(|(_, rgb)| rgb[channel]).collect();
    values.sort_by(f64::total_cmp);
    let mut fit = [values[values.len() / 2], 0.0, 0.0, 0.0, 0.0, 0.0];
    for round in 0..ROUNDS {
        // Wide at first, so a strong gradient is not taken for clutter.
        let scale = ROBUST * (1.0 + 8.0 / f64::from(1 << round));
        let mut matrix = [[0.0; 7]; 6];
        for (terms, rgb) in samples {
            let model: f64 = fit.iter().zip(terms).map(|(a, b)| a * b).sum();
            let off = (rgb[channel] - model) / scale;
            let weight = 1.0 / (1.0 + off * off);
            for (row, a) in matrix.iter_mut().zip(terms) {
                for (cell, b) in row.iter_mut().zip(terms.iter().chain([&rgb[channel]])) {
                    *cell += weight * a * b;
                }
            }
        }
        let Some(next) = solved(matrix) else { break };
        fit = next;
    }
    fit
}

/// Gauss elimination with pivots; `None` when singular.
fn solved(mut matrix: [[f64; 7]; 6]) -> Option<[f64; 6]> {
    for column in 0..6 {
        let pivot =
            (column..6).max_by(|a, b| matrix[*a][column].abs().total_cmp(&matrix[*b][column].abs()))?;
        matrix.swap(column, pivot);
        if matrix[column][column].abs() < 1e-9 {
            return None;
        }
        let head = matrix[column];
        for (_, row) in matrix.iter_mut().enumerate().filter(|(at, _)| *at != column) {
            let factor = row[column] / head[column];
            for (cell, above) in row.iter_mut().zip(head) {
                *cell -= factor * above;
            }
        }
    }
    Some(std::array::from_fn(|k| matrix[k][6] / matrix[k][k]))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use super::*;

    #[test]
    fn a_surface_is_found_through_clutter() {
        let mut samples = Vec::new();
        for y in 0..60 {
            for x in 0..60 {
                let t = terms(x, y, (60, 60));
                let v = 200.0 + 20.0 * t[1] - 8.0 * t[4];
                let v = if x < 12 && y > 20 { 30.0 } else { v };
                samples.push((t, [v; 3]));
            }
        }
        let fit = fitted(&samples, 0);
        assert!((fit[0] - 200.0).abs() < 2.0 && (fit[1] - 20.0).abs() < 2.0, "{fit:?}");
    }
}
