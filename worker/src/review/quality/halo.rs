//! A halo: a bright ring around the product, some pixels of the frame wide.

use packshot_pipeline::finding::EditOp;

use super::super::channel::{Metric, quantile};
use super::super::frame::Frame;

/// A bright ring just outside the product that neither product nor background has: all
/// around it, so that something bright at one side, or a horizon, is no halo.
pub(super) fn measure(frame: &Frame) -> Metric {
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
