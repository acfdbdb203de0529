//! Banding: a gradient that goes in steps, plateau after plateau, all in one direction. Steps
//! of one level are what eight bits can do and are not seen.

use image::RgbImage;

use super::super::channel::{Metric, quantile};

/// Lines looked at in either direction.
const LINES: u32 = 72;
/// Shortest plateau, in pixels.
const PLATEAU_MIN: usize = 10;
/// Largest range of levels on a plateau, and between neighbours on it: what files leave.
const PLATEAU_RANGE: i32 = 2;
/// Pixels at the ends of two plateaus between which their step is measured.
const EDGE: usize = 4;
/// Pixels that a step may take, for one resized picture.
const STEP_PIXELS: usize = 5;
/// Steps of a band, in levels: smaller ones are not seen, larger ones are edges.
const STEPS: std::ops::RangeInclusive<i32> = 3..=24;
/// Fewest steps in one direction that are a staircase and not the edge of something.
const STAIRS_MIN: usize = 3;
/// Share of all that was looked at from which bands count in full.
const SHARE_FULL: f32 = 0.03;

/// Measures the height of the steps in levels, beyond the reference's own.
pub(super) fn measure(candidate: &RgbImage, photo: &RgbImage) -> Metric {
    let (value, before) = (bands(candidate), bands(photo));
    let value = (value - before).max(0.0);
    Metric {
        name: "quality_banding",
        value: f64::from(value),
        region: None,
        evidence: format!("a smooth gradient is broken into bands, {value:.0} levels apart"),
        cure: None,
    }
}

/// Median height of the steps of all staircases, less where there are few.
fn bands(rgb: &RgbImage) -> f32 {
    let (w, h) = rgb.dimensions();
    let raw = rgb.as_raw();
    let level = |x: u32, y: u32| {
        let at = 3 * (y as usize * w as usize + x as usize);
        (77 * i32::from(raw[at]) + 150 * i32::from(raw[at + 1]) + 29 * i32::from(raw[at + 2]) + 128) >> 8
    };
    let mut heights = Vec::new();
    let (mut covered, mut looked) = (0usize, 0usize);
    let mut line = Vec::new();
    for y in (0..h).step_by(h.div_ceil(LINES).max(1) as usize) {
        line.clear();
        line.extend((0..w).map(|x| level(x, y)));
        covered += staircases(&line, &mut heights);
        looked += line.len();
    }
    for x in (0..w).step_by(w.div_ceil(LINES).max(1) as usize) {
        line.clear();
        line.extend((0..h).map(|y| level(x, y)));
        covered += staircases(&line, &mut heights);
        looked += line.len();
    }
    let share = covered as f32 / looked.max(1) as f32;
    quantile(&mut heights, 0.5) * (share / SHARE_FULL).min(1.0)
}

/// Adds the heights of the steps of every staircase on a line; the pixels that they cover.
fn staircases(line: &[i32], heights: &mut Vec<f32>) -> usize {
    let plateaus = plateaus(line);
    let mut covered = 0;
    let mut stairs: Vec<i32> = Vec::new();
    let mut from = 0;
    let mut end = |stairs: &mut Vec<i32>, from: usize, to: usize| {
        if stairs.len() >= STAIRS_MIN {
            heights.extend(stairs.iter().map(|s| s.abs() as f32));
            covered += to - from;
        }
        stairs.clear();
    };
    for pair in plateaus.windows(2) {
        let (a, b) = (&pair[0], &pair[1]);
        // what the gradient does on the plateaus themselves is no step
        let step = level(line, b.from, b.from + EDGE) - level(line, a.to - EDGE, a.to);
        let near = b.from - a.to <= STEP_PIXELS && STEPS.contains(&step.abs());
        // not longer than a few times its neighbour: stairs are even, things are not
        let even = (b.to - b.from) < 8 * (a.to - a.from) && (a.to - a.from) < 8 * (b.to - b.from);
        let onward = stairs.last().is_none_or(|last| (*last > 0) == (step > 0));
        if !(near && even && onward) {
            end(&mut stairs, from, a.to);
        }
        if near && even {
            if stairs.is_empty() {
                from = a.from;
            }
            stairs.push(step);
        }
    }
    end(&mut stairs, from, plateaus.last().map_or(0, |p| p.to));
    covered
}

/// Rounded mean level of a stretch.
fn level(line: &[i32], from: usize, to: usize) -> i32 {
    let sum: i32 = line[from..to].iter().sum();
    (sum as f32 / (to - from) as f32).round() as i32
}

struct Plateau {
    from: usize,
    to: usize,
}

fn plateaus(line: &[i32]) -> Vec<Plateau> {
    let mut found = Vec::new();
    let mut from = 0;
    while from < line.len() {
        let (mut low, mut high) = (line[from], line[from]);
        let mut to = from;
        while to < line.len() {
            let (l, h) = (low.min(line[to]), high.max(line[to]));
            if h - l > PLATEAU_RANGE {
                break;
            }
            (low, high) = (l, h);
            to += 1;
        }
        if to - from >= PLATEAU_MIN {
            found.push(Plateau { from, to });
            from = to;
        } else {
            from += 1;
        }
    }
    found
}
