//! Pixel blocks of an enlargement: when pixels were repeated instead of interpolated, changes
//! come at every second or third pixel only, in both directions at the same distance.
//!
//! The periodicity is that of Gallagher (2005), of first differences instead of second ones:
//! those are periodic after every interpolation, which is no fault, these only when it shows.

use image::RgbImage;
use packshot_imaging::photo::Rect;

use super::super::channel::Metric;
use super::super::frame::Frame;
use super::Pair;

/// Longest run of pixels looked at.
const RUN: u32 = 768;
/// Lines that are taken together.
const LINES: u32 = 160;
/// Frequencies looked at, in periods per pixel: blocks of two to six pixels.
const LOWEST: f32 = 0.15;
const HIGHEST: f32 = 0.5;
/// Largest difference that one pair of pixels brings in, in levels.
const STEP_MAX: f32 = 40.0;

/// Measures how much of all change between neighbours comes in step, 0 to 1, beyond the
/// reference; `None` when the product is too small for it.
pub(super) fn measure(frame: &Frame, pair: &Pair) -> Option<Metric> {
    let (fw, fh) = (frame.width, frame.height);
    let whole = Rect { x: 0, y: 0, w: fw, h: fh };
    let here = frame.region(whole, pair.candidate.dimensions())?;
    let own = frame.reference_rect(whole, pair.photo.dimensions())?;
    let (found, period) = in_step(pair.candidate, Rect { x: here.x, y: here.y, w: here.w, h: here.h })?;
    let before = in_step(pair.photo, own).map_or(0.0, |(strength, _)| strength);
    let value = (found - before).max(0.0);
    Some(Metric {
        name: "quality_pixels",
        value: f64::from(value),
        region: None,
        evidence: format!(
            "the picture was enlarged by repeating pixels: blocks of {period:.1} px are visible"
        ),
        cure: None,
    })
}

/// The strongest period that both directions share: its strength, 0 to 1, and its length in
/// pixels.
fn in_step(rgb: &RgbImage, rect: Rect) -> Option<(f32, f32)> {
    let (across, down) = (changes(rgb, rect, false)?, changes(rgb, rect, true)?);
    let (across, down) = (spectrum(&across), spectrum(&down));
    let n = across.len();
    // a peak may fall between two lines of the spectrum, differently in either direction
    let near =
        |s: &[f32], i: usize| s[i.saturating_sub(1)..(i + 2).min(n)].iter().copied().fold(0.0, f32::max);
    let eighth = ((0.125f32 - 0.1) / STEP_F) as usize;
    let grid = across[..=2 * eighth].iter().chain(&down[..=2 * eighth]).copied().fold(0.0, f32::max);
    (0..n)
        .map(|i| (0.1 + STEP_F * i as f32, near(&across, i).min(near(&down, i))))
        .filter(|(f, _)| *f >= LOWEST)
        .map(|(f, strength)| {
            // the blocks of JPEG have a metric of their own, and all its multiples
            let of_grid = ((f * 8.0) - (f * 8.0).round()).abs() < 0.1;
            (if of_grid { (strength - grid).max(0.0) } else { strength }, 1.0 / f)
        })
        .max_by(|a, b| a.0.total_cmp(&b.0))
}

/// Distance of two lines of the spectrum: half of what a run can tell apart.
const STEP_F: f32 = 0.5 / RUN as f32;

/// Mean change from each column to the next (or row, when `down`), relative to the changes
/// around it, minus 1.
fn changes(rgb: &RgbImage, rect: Rect, down: bool) -> Option<Vec<f32>> {
    let (length, breadth) = if down { (rect.h, rect.w) } else { (rect.w, rect.h) };
    let run = length.min(RUN);
    if run < 64 || breadth < 32 {
        return None;
    }
    let from = (length - run) / 2;
    let (raw, width) = (rgb.as_raw(), rgb.width() as usize);
    let green = |x: u32, y: u32| f32::from(raw[3 * (y as usize * width + x as usize) + 1]);
    let mut sums = vec![0f32; run as usize - 1];
    for line in (0..breadth).step_by(breadth.div_ceil(LINES).max(1) as usize) {
        let at = |i: u32| {
            if down {
                green(rect.x + line, rect.y + from + i)
            } else {
                green(rect.x + from + i, rect.y + line)
            }
        };
        let mut last = at(0);
        for (i, sum) in sums.iter_mut().enumerate() {
            let next = at(i as u32 + 1);
            *sum += (next - last).abs().min(STEP_MAX);
            last = next;
        }
    }
    const AROUND: usize = 12;
    let total: f32 = sums.iter().sum::<f32>() / sums.len() as f32;
    let mut before = vec![0f32; sums.len() + 1];
    for (i, sum) in sums.iter().enumerate() {
        before[i + 1] = before[i] + sum;
    }
    let relative = (0..sums.len()).map(|i| {
        let (a, b) = (i.saturating_sub(AROUND), (i + AROUND + 1).min(sums.len()));
        let around = (before[b] - before[a]) / (b - a) as f32;
        sums[i] / (around + 0.1 * total + 1e-3) - 1.0
    });
    Some(relative.collect())
}

/// Amplitudes from a frequency of 0.1 to 0.5 (Goertzel 1958), 1 for an impulse per period.
fn spectrum(values: &[f32]) -> Vec<f32> {
    let mean = values.iter().sum::<f32>() / values.len().max(1) as f32;
    let count = ((HIGHEST - 0.1) / STEP_F) as usize + 1;
    (0..count)
        .map(|i| {
            let turn = std::f32::consts::TAU * (0.1 + STEP_F * i as f32);
            let twice = 2.0 * turn.cos();
            let (mut one, mut two) = (0f32, 0f32);
            for v in values {
                let next = v - mean + twice * one - two;
                two = one;
                one = next;
            }
            let power = (one * one + two * two - twice * one * two).max(0.0);
            power.sqrt() / values.len() as f32
        })
        .collect()
}
