//! The picture of the evidence: the candidate, paler, with what differs glowing over the
//! product and every finding framed in the colour of its weight.

use image::{Rgb, RgbImage};
use packshot_imaging::register::Similarity;
use packshot_imaging::resize;
use packshot_pipeline::finding::{Finding, Region, Severity};

/// Longest side of the picture.
const SIDE: u32 = 1000;

/// What glows: a map over the comparison frame.
pub(super) struct Glow<'a> {
    pub(super) width: u32,
    pub(super) height: u32,
    /// 0 = the same, 1 = fully different.
    pub(super) map: &'a [f32],
    /// Frame pixels to candidate pixels.
    pub(super) placement: Similarity,
}

/// Draws the evidence, at most 1,000 px on the longer side.
pub(super) fn draw(candidate: &RgbImage, glow: Option<&Glow>, findings: &[Finding]) -> RgbImage {
    let (w, h) = candidate.dimensions();
    let factor = (SIDE as f32 / w.max(h).max(1) as f32).min(1.0);
    let (sw, sh) = ((w as f32 * factor) as u32, (h as f32 * factor) as u32);
    let mut out = resize::resize_rgb(candidate, sw.max(1), sh.max(1));
    for pixel in out.pixels_mut() {
        let grey = (u32::from(pixel.0[0]) + u32::from(pixel.0[1]) + u32::from(pixel.0[2])) / 3;
        // half colour, lifted towards white: the evidence must stand out
        pixel.0 = pixel.0.map(|v| ((u32::from(v) + grey) / 4 + 118).min(255) as u8);
    }
    if let Some(glow) = glow {
        let back = glow.placement.inverse();
        for (x, y, pixel) in out.enumerate_pixels_mut() {
            let (u, v) = back.apply((x as f32 + 0.5) / factor, (y as f32 + 0.5) / factor);
            if u < 0.0 || v < 0.0 || u >= glow.width as f32 || v >= glow.height as f32 {
                continue;
            }
            let heat = glow.map[v as usize * glow.width as usize + u as usize].clamp(0.0, 1.0);
            let strength = ((heat - 0.15) / 0.6).clamp(0.0, 0.85);
            let colour = [235.0, 190.0 * (1.0 - heat), 40.0];
            for (p, c) in pixel.0.iter_mut().zip(colour) {
                *p = (f32::from(*p) * (1.0 - strength) + c * strength) as u8;
            }
        }
    }
    for finding in findings.iter().rev() {
        if let Some(region) = finding.region {
            let colour = match finding.severity {
                Severity::Drift => Rgb([200, 20, 30]),
                Severity::Warning => Rgb([230, 140, 0]),
                Severity::Note => Rgb([60, 110, 190]),
            };
            frame(&mut out, region, factor, colour);
        }
    }
    out
}

fn frame(out: &mut RgbImage, region: Region, factor: f32, colour: Rgb<u8>) {
    let (w, h) = out.dimensions();
    let at = |v: u32, most: u32| ((v as f32 * factor) as u32).min(most - 1);
    let (x0, y0) = (at(region.x, w), at(region.y, h));
    let (x1, y1) = (at(region.x.saturating_add(region.w), w), at(region.y.saturating_add(region.h), h));
    for t in 0..3u32 {
        for x in x0..=x1 {
            out.put_pixel(x, (y0 + t).min(h - 1), colour);
            out.put_pixel(x, y1.saturating_sub(t), colour);
        }
        for y in y0..=y1 {
            out.put_pixel((x0 + t).min(w - 1), y, colour);
            out.put_pixel(x1.saturating_sub(t), y, colour);
        }
    }
}
