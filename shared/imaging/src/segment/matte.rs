//! From a coarse decision to soft coverage and clean foreground colour at full resolution.
//!
//! Only a band around the coarse outline is worked on. There the product's colour F is carried
//! outwards from sure product and the background's colour B inwards from sure background, ring
//! by ring, so that both follow local texture, light and shadow. A pixel's coverage is its
//! place on the line from B to F; what lies off that line on a smooth background is product of
//! another colour. A contrast-weighted smoothness term (as in random-walk matting, Grady et
//! al. 2005) settles what colour cannot. The pixel's own colour is then freed of B by the same
//! equation, as in Germer et al., "Fast Multi-Level Foreground Estimation", 2020, with B known
//! and the carried F as its regulariser.

use image::{GrayImage, RgbImage};

use super::spread::spread;
use crate::blur::Plane;

/// What the matting needs to know beyond the photo.
pub(crate) struct Guide<'a> {
    /// Signed distance to the coarse outline in full-resolution px: positive inside.
    pub outline: &'a Plane,
    /// Extra unknown pixels of the coarse grid (fine hair, uncertain parts), 0 or 1.
    pub unsure: &'a [bool],
    /// Half width of the unknown band in full-resolution px.
    pub band: f32,
    /// Standard deviation of the background's colour in 8-bit levels.
    pub noise: f32,
    /// 0 (texture) to 1 (smooth): how far a deviation from B means product.
    pub plain: f32,
}

/// Soft coverage and foreground colour.
pub(crate) struct Matte {
    /// Coverage.
    pub alpha: GrayImage,
    /// Product colour, defined where coverage is over 0.
    pub foreground: RgbImage,
}

const UNKNOWN: u8 = 0;
const OUT: u8 = 1;
const IN: u8 = 2;
const SWEEPS: usize = 12;
/// How far in px colours are carried: along a thin part (a temple of glasses) there is no sure
/// product for a long way.
const REACH: u32 = 600;

/// Estimates coverage and foreground colour of `rgb`.
pub(crate) fn matte(rgb: &RgbImage, guide: &Guide) -> Matte {
    let (w, h) = (rgb.width() as usize, rgb.height() as usize);
    let (tri, prior, band) = trimap(guide, w, h);
    let pixels = rgb.as_raw().as_chunks::<3>().0;
    let carry = |side: u8| {
        let mut values = pixels.to_vec();
        let mut known: Vec<u8> = tri.iter().map(|&t| if t == side { 255 } else { 0 }).collect();
        spread(&mut values, &mut known, w, band.clone(), REACH);
        (values, known)
    };
    let (inner, inner_known) = carry(IN);
    let (outer, outer_known) = carry(OUT);
    let samples: Vec<Sample> = band
        .iter()
        .map(|&at| {
            let f = (inner_known[at] > 0).then(|| inner[at]);
            let b = (outer_known[at] > 0).then(|| outer[at]);
            estimate(pixels[at], f, b, prior[at], guide)
        })
        .collect();
    let mut alpha: Vec<f32> = tri.iter().map(|&t| if t == IN { 1.0 } else { 0.0 }).collect();
    for (&at, sample) in band.iter().zip(&samples) {
        alpha[at] = sample.alpha;
    }
    settle(&mut alpha, pixels, &band, &samples, w, h, guide.noise);
    let mut foreground = pixels.to_vec();
    for &at in &band {
        // Settling leaves traces of both ends that no eye sees but every background shows.
        alpha[at] = ((alpha[at] - 0.03) / 0.94).clamp(0.0, 1.0);
        foreground[at] = unmix(pixels[at], inner[at], outer[at], alpha[at], inner_known[at] > 0);
    }
    let alpha = alpha.iter().map(|a| (a * 255.0 + 0.5) as u8).collect();
    Matte {
        alpha: GrayImage::from_raw(rgb.width(), rgb.height(), alpha).unwrap_or_default(),
        foreground: RgbImage::from_raw(rgb.width(), rgb.height(), foreground.into_flattened())
            .unwrap_or_default(),
    }
}

/// A first guess at one pixel's coverage and how far to trust it.
#[derive(Clone, Copy)]
struct Sample {
    alpha: f32,
    trust: f32,
}

/// In, out or unknown for every pixel, the coverage the coarse outline suggests, and the list
/// of unknown pixels.
fn trimap(guide: &Guide, w: usize, h: usize) -> (Vec<u8>, Vec<f32>, Vec<usize>) {
    let (cw, ch) = (guide.outline.width as usize, guide.outline.height as usize);
    let (sx, sy) = (cw as f32 / w as f32, ch as f32 / h as f32);
    let mut tri = vec![OUT; w * h];
    let mut prior = vec![0.0_f32; w * h];
    let mut band = Vec::new();
    for y in 0..h {
        let v = ((y as f32 + 0.5) * sy - 0.5).clamp(0.0, (ch - 1) as f32);
        let (row, ty) = (v as usize, v.fract());
        let below = (row + 1).min(ch - 1);
        for x in 0..w {
            let u = ((x as f32 + 0.5) * sx - 0.5).clamp(0.0, (cw - 1) as f32);
            let (column, tx) = (u as usize, u.fract());
            let right = (column + 1).min(cw - 1);
            let value = |r: usize, c: usize| guide.outline.data[r * cw + c];
            let top = value(row, column) * (1.0 - tx) + value(row, right) * tx;
            let bottom = value(below, column) * (1.0 - tx) + value(below, right) * tx;
            let inside = top * (1.0 - ty) + bottom * ty;
            let at = y * w + x;
            let nearest = (v + 0.5) as usize * cw + (u + 0.5) as usize;
            if inside.abs() <= guide.band || guide.unsure[nearest.min(cw * ch - 1)] {
                tri[at] = UNKNOWN;
                prior[at] = (0.5 + inside / guide.band).clamp(0.0, 1.0);
                band.push(at);
            } else if inside > 0.0 {
                tri[at] = IN;
            }
        }
    }
    (tri, prior, band)
}

fn estimate(own: [u8; 3], f: Option<[u8; 3]>, b: Option<[u8; 3]>, prior: f32, guide: &Guide) -> Sample {
    let (Some(f), Some(b)) = (f, b) else {
        // No product within reach: specks in the open. No background: the middle of a part.
        return Sample { alpha: if f.is_some() { 1.0 } else { 0.0 }, trust: 1.0 };
    };
    let (own, f, b) = (own.map(f32::from), f.map(f32::from), b.map(f32::from));
    let line: [f32; 3] = std::array::from_fn(|i| f[i] - b[i]);
    let off: [f32; 3] = std::array::from_fn(|i| own[i] - b[i]);
    let length = line.iter().map(|v| v * v).sum::<f32>();
    let along = line.iter().zip(&off).map(|(l, o)| l * o).sum::<f32>() / length.max(1.0);
    let mixed = along.clamp(0.0, 1.0);
    let aside = line.iter().zip(&off).map(|(l, o)| (o - l * mixed).powi(2)).sum::<f32>().sqrt();
    let scale = 3.0 * guide.noise + 8.0;
    // Off the line: product of another colour, as far as the background is known.
    let foreign = guide.plain * ((aside - scale) / (2.0 * scale)).clamp(0.0, 1.0);
    let seen = mixed + (1.0 - mixed) * foreign;
    let trust = (length / (length + 4.0 * scale * scale)).max(foreign);
    Sample { alpha: prior + (seen - prior) * trust, trust: 0.05 + trust }
}

/// Gauss-Seidel sweeps over the unknown pixels: each moves to the trusted mean of its guess
/// and of its neighbours, which count by how alike they look.
fn settle(
    alpha: &mut [f32],
    pixels: &[[u8; 3]],
    band: &[usize],
    samples: &[Sample],
    w: usize,
    h: usize,
    noise: f32,
) {
    let scale = 2.0 * (noise * noise + 16.0);
    let links: Vec<[f32; 4]> = band
        .iter()
        .map(|&at| {
            let (x, y) = (at % w, at / w);
            let weight = |inside: bool, near: usize| {
                if !inside {
                    return 0.0;
                }
                let step: f32 =
                    pixels[at].iter().zip(pixels[near]).map(|(&p, q)| f32::from(p.abs_diff(q)).powi(2)).sum();
                0.3 * (-step / scale).exp()
            };
            [
                weight(x > 0, at.wrapping_sub(1)),
                weight(x + 1 < w, at + 1),
                weight(y > 0, at.wrapping_sub(w)),
                weight(y + 1 < h, at + w),
            ]
        })
        .collect();
    for _ in 0..SWEEPS {
        for ((&at, sample), link) in band.iter().zip(samples).zip(&links) {
            let (mut sum, mut mass) = (sample.alpha * sample.trust, sample.trust);
            let near = [at.wrapping_sub(1), at + 1, at.wrapping_sub(w), at + w];
            for (&weight, near) in link.iter().zip(near) {
                if weight > 0.0 {
                    sum += weight * alpha[near];
                    mass += weight;
                }
            }
            alpha[at] = sum / mass;
        }
    }
}

/// The pixel's own product colour: (photo − (1 − A)·B) / A, pulled to the carried colour as
/// coverage falls and the quotient grows unsafe.
fn unmix(own: [u8; 3], f: [u8; 3], b: [u8; 3], alpha: f32, f_known: bool) -> [u8; 3] {
    if alpha >= 0.999 || !f_known {
        return own;
    }
    let trust = alpha * alpha;
    std::array::from_fn(|i| {
        let (own, f, b) = (f32::from(own[i]), f32::from(f[i]), f32::from(b[i]));
        let freed = ((own - (1.0 - alpha) * b) / alpha.max(0.05)).clamp(0.0, 255.0);
        (f + (freed - f) * trust).round().clamp(0.0, 255.0) as u8
    })
}
