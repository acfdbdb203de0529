//! How far a cut-out can be believed, measured.

use image::GrayImage;

use super::surface::median;
use crate::colour::{LabImage, ciede2000};
use crate::mask;

/// Median CIEDE2000 between the colours a little inside and a little outside the outline.
pub(crate) fn edge_contrast(image: &LabImage, product: &GrayImage) -> f32 {
    let (w, h) = (image.width as usize, image.height as usize);
    let on = |at: usize| product.as_raw()[at] >= mask::SET;
    let mut steps = Vec::new();
    for at in 0..image.l.len() {
        let (x, y) = (at % w, at / w);
        for (dx, dy) in [(4, 0), (0, 4)] {
            if x + dx < w && y + dy < h {
                let (middle, far) = (at + dx / 2 + dy / 2 * w, at + dx + dy * w);
                let edge = on(middle) != on(middle - dx / 4 - dy / 4 * w);
                if edge && on(at) != on(far) {
                    steps.push(ciede2000(image.at(at), image.at(far)));
                }
            }
        }
    }
    median(steps)
}

/// Share of the frame's outermost pixels that are product.
pub(crate) fn border_contact(alpha: &GrayImage) -> f32 {
    let (w, h) = alpha.dimensions();
    if w == 0 || h == 0 {
        return 0.0;
    }
    let rows = (0..w).flat_map(|x| [(x, 0), (x, h - 1)]);
    let columns = (0..h).flat_map(|y| [(0, y), (w - 1, y)]);
    let (mut product, mut all) = (0_u32, 0_u32);
    for (x, y) in rows.chain(columns) {
        all += 1;
        product += u32::from(alpha.get_pixel(x, y).0[0] >= mask::SET);
    }
    product as f32 / all as f32
}

/// Share of the covered pixels that are neither clearly in nor clearly out.
pub(crate) fn soft_share(alpha: &GrayImage) -> f32 {
    let covered = alpha.as_raw().iter().filter(|&&a| a > 12).count();
    let soft = alpha.as_raw().iter().filter(|&&a| a > 12 && a < 243).count();
    if covered == 0 { 0.0 } else { soft as f32 / covered as f32 }
}

/// Parts holding at least 2 % of the product's area.
pub(crate) fn parts(alpha: &GrayImage) -> u32 {
    let limit = (mask::area(alpha) / 50).max(1);
    mask::components(alpha, limit).len() as u32
}
