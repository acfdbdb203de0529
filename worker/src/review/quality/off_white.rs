//! A background that should be white and is not.

use image::RgbImage;
use packshot_pipeline::finding::EditOp;

use super::super::channel::{Violation, quantile};

/// A main image's border that is not exactly white, beyond what compression does to 255.
pub(super) fn measure(candidate: &RgbImage) -> Option<Violation> {
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
