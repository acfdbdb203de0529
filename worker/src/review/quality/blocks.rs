//! Compression blocks of JPEG.

use image::RgbImage;
use packshot_pipeline::finding::EditOp;

use super::super::channel::Metric;

/// Strength of the 8 x 8 grid of JPEG: steps across block borders against steps inside.
pub(super) fn measure(candidate: &RgbImage) -> Metric {
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
