//! Image quality: softness against the reference at equal scale, compression blocks, noise,
//! a halo around the product, and, where the role asks for white, a background that is not.

use image::RgbImage;
use packshot_pipeline::finding::{Axis, EditOp};

use super::channel::{Channel, Metric, Violation, quantile};
use super::frame::Frame;
use super::material;
use super::rules::Rules;

/// Measures the axis.
pub(super) fn measure(frame: &Frame, candidate: &RgbImage, rules: Rules) -> Channel {
    let mut metrics = vec![softness(frame), halo(frame)];
    metrics.push(blocks(candidate));
    let violations =
        if rules.white_background { off_white(candidate).into_iter().collect() } else { Vec::new() };
    Channel { axis: Axis::Quality, metrics, violations, confidence: 1.0 }
}

/// Logarithm of how much less steep edges are than the reference's, whatever their contrast.
fn softness(frame: &Frame) -> Metric {
    let before = material::steepness(frame, &frame.reference_lab.l);
    let after = material::steepness(frame, &frame.candidate_lab.l);
    let value = if before > 0.0 && after > 0.0 { (before / after).ln().max(0.0) } else { 0.0 };
    Metric {
        name: "quality_soft",
        value: f64::from(value),
        region: None,
        evidence: format!("softer than the reference: edges are {:.0} % as steep", 100.0 * (-value).exp()),
        cure: Some((EditOp::Restore, "mild blur can be sharpened without new content")),
    }
}

/// A bright ring just outside the product that neither product nor background has: all
/// around it, so that something bright at one side, or a horizon, is no halo.
fn halo(frame: &Frame) -> Metric {
    const SECTORS: usize = 12;
    let (near, far) = (ring(frame, 2.0, 5.0), ring(frame, 9.0, 14.0));
    let (cx, cy) = (frame.width as f32 / 2.0, frame.height as f32 / 2.0);
    let sector = |i: usize| {
        let (x, y) = ((i as u32 % frame.width) as f32 - cx, (i as u32 / frame.width) as f32 - cy);
        ((y.atan2(x) / std::f32::consts::TAU + 1.0) * SECTORS as f32) as usize % SECTORS
    };
    let middles = |l: &[f32], at: &[usize]| {
        let mut levels = vec![Vec::new(); SECTORS];
        for &i in at {
            levels[sector(i)].push(l[i]);
        }
        levels.into_iter().map(|mut v| (v.len() >= 12).then(|| quantile(&mut v, 0.5))).collect::<Vec<_>>()
    };
    let excess = |l: &[f32]| -> Vec<Option<f32>> {
        middles(l, &near).iter().zip(middles(l, &far)).map(|(n, f)| Some((*n)? - f?)).collect()
    };
    let (before, after) = (excess(&frame.reference_lab.l), excess(&frame.candidate_lab.l));
    // a shadow darkens smoothly and is no halo: only what is brighter counts
    let mut found: Vec<f32> =
        before.iter().zip(&after).filter_map(|(b, a)| Some(((*a)? - (*b)?.max(0.0)).max(0.0))).collect();
    let value = if found.len() < 5 { 0.0 } else { quantile(&mut found, 0.4) };
    Metric {
        name: "quality_halo",
        value: f64::from(value),
        region: None,
        evidence: format!("a bright rim of {value:.1} L around the product"),
        cure: Some((EditOp::Background, "the rim lies outside the product and can be laid anew")),
    }
}

fn ring(frame: &Frame, from: f32, to: f32) -> Vec<usize> {
    let away = &frame.outside.data;
    (0..away.len()).filter(|&i| away[i] > from && away[i] <= to && frame.visible[i]).collect()
}

/// Strength of the 8 x 8 grid of JPEG: steps across block borders against steps inside.
fn blocks(candidate: &RgbImage) -> Metric {
    let (w, h) = candidate.dimensions();
    let raw = candidate.as_raw();
    let light = |x: u32, y: u32| f32::from(raw[(3 * (y * w + x) + 1) as usize]);
    let (mut on, mut off, mut n_on, mut n_off) = (0.0f64, 0.0f64, 0.0f64, 0.0f64);
    let step = (h / 400).max(1);
    for y in (0..h).step_by(step as usize) {
        for x in 1..w.saturating_sub(2) {
            // second difference: how far the step stands out from its neighbours' slope
            let d = (light(x, y) - light(x + 1, y)).abs()
                - 0.5 * ((light(x - 1, y) - light(x, y)).abs() + (light(x + 1, y) - light(x + 2, y)).abs());
            let d = f64::from(d.clamp(-20.0, 20.0));
            if (x + 1) % 8 == 0 {
                on += d;
                n_on += 1.0;
            } else {
                off += d;
                n_off += 1.0;
            }
        }
    }
    let value = if n_on > 500.0 { (on / n_on - off / n_off).max(0.0) } else { 0.0 };
    Metric {
        name: "quality_blocks",
        value,
        region: None,
        evidence: format!("compression blocks are visible ({value:.2} levels across their borders)"),
        cure: Some((EditOp::Restore, "block borders can be smoothed without touching real edges")),
    }
}

/// A main image's border that is not exactly white, beyond what compression does to 255.
fn off_white(candidate: &RgbImage) -> Option<Violation> {
    const COMPRESSION: f32 = 3.0;
    let (w, h) = candidate.dimensions();
    let mut levels: Vec<f32> = candidate
        .enumerate_pixels()
        .filter(|(x, y, _)| *x < 3 || *y < 3 || x + 3 >= w || y + 3 >= h)
        .map(|(_, _, p)| f32::from(255 - p.0.iter().copied().min().unwrap_or(0)))
        .collect();
    let value = quantile(&mut levels, 0.98);
    (value > COMPRESSION).then(|| Violation {
        region: None,
        evidence: format!("the background is not white: {value:.0} levels below 255 at the border"),
        cure: Some((EditOp::Background, "the background can be set to white outside the product")),
    })
}
