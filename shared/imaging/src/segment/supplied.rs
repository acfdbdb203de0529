//! Cleans coverage that came with the file: takes a drop shadow that was baked into the alpha
//! channel apart from the product.
//!
//! Shops often export a product floating over a soft black shadow, both in one alpha channel.
//! Such a shadow is black, smooth, never near full coverage, and wide. Where it touches the
//! product's rim both are mixed; with the shadow's coverage `s` continued under the rim the
//! product's own coverage is `(alpha − s) / (1 − s)`, as the "over" operator says.

use image::{GrayImage, RgbImage};

use super::spread::spread;
use crate::mask;

/// A product's own coverage and colour, and the shadow that was mixed in.
pub(crate) struct Supplied {
    /// Coverage of the product alone.
    pub alpha: GrayImage,
    /// Colours with the shadow's black taken out of the rim.
    pub rgb: RgbImage,
    /// 255 = no shadow; `None` when nothing was baked in.
    pub shadow: Option<GrayImage>,
}

/// From this coverage a pixel is product, never baked shadow.
const CORE: u8 = 160;
/// Brightest channel of a baked shadow's colour.
const DARK: u8 = 72;
/// Largest step of coverage between neighbours inside a baked shadow.
const STEP: u8 = 9;

/// Splits `alpha` into product and baked shadow.
pub(crate) fn split(rgb: &RgbImage, alpha: &GrayImage) -> Supplied {
    let Some(shadow) = find_shadow(rgb, alpha) else {
        return Supplied { alpha: alpha.clone(), rgb: rgb.clone(), shadow: None };
    };
    let mut own = alpha.clone();
    let mut colour = rgb.clone();
    let pixels = own.as_mut().iter_mut().zip(colour.as_mut().as_chunks_mut::<3>().0);
    for ((a, rgb), &s) in pixels.zip(shadow.as_raw()) {
        if s == 0 || *a == 0 {
            continue;
        }
        let (mixed, s) = (f32::from(*a) / 255.0, f32::from(s) / 255.0);
        let product = ((mixed - s) / (1.0 - s).max(0.01)).clamp(0.0, 1.0);
        // Below this what is left is rounding of the shadow, not product.
        if product < 0.05 {
            *a = 0;
            continue;
        }
        let gain = mixed / product;
        for channel in rgb {
            *channel = (f32::from(*channel) * gain).round().min(255.0) as u8;
        }
        *a = (product * 255.0).round() as u8;
    }
    Supplied { alpha: own, rgb: colour, shadow: Some(mask::invert(&shadow)) }
}

/// Coverage of the baked shadow alone, 0 where there is none; `None` when nothing qualifies.
fn find_shadow(rgb: &RgbImage, alpha: &GrayImage) -> Option<GrayImage> {
    let (w, h) = (alpha.width() as usize, alpha.height() as usize);
    let core = mask::threshold(alpha, CORE);
    let reach = rim(w, h);
    let near_core = mask::dilate(&core, reach);
    let pixels = alpha.as_raw();
    let smooth = |at: usize| {
        let (x, y) = (at % w, at / w);
        let a = pixels[at];
        (x + 1 >= w || a.abs_diff(pixels[at + 1]) <= STEP)
            && (y + 1 >= h || a.abs_diff(pixels[at + w]) <= STEP)
    };
    let (colours, _) = rgb.as_raw().as_chunks::<3>();
    let candidate: Vec<u8> = (0..pixels.len())
        .map(|at| {
            let soft = pixels[at] > 0 && pixels[at] < CORE && near_core.as_raw()[at] == 0;
            let dark = pixels[at] < 6 || colours[at].iter().all(|&v| v <= DARK);
            if soft && dark && smooth(at) { 255 } else { 0 }
        })
        .collect();
    let candidate = GrayImage::from_raw(alpha.width(), alpha.height(), candidate)?;
    let smallest = (pixels.len() as u64 / 4000).max(12);
    let labels = mask::label(&candidate);
    let wide = |c: &mask::Component| c.area >= smallest && c.rect.w.min(c.rect.h) >= 3;
    if !labels.components.iter().any(wide) {
        return None;
    }
    let known = labels.select(wide);
    let mut values: Vec<[u8; 1]> =
        pixels.iter().zip(known.as_raw()).map(|(&a, &k)| if k > 0 { [a] } else { [0] }).collect();
    // What is left of the shadow lies under the product's rim; two rims wide is enough, as
    // full coverage hides the rest.
    let mut known = known.into_raw();
    let targets = (0..pixels.len()).filter(|&at| near_core.as_raw()[at] > 0 && pixels[at] < 255).collect();
    spread(&mut values, &mut known, w, targets, reach * 2 + 2);
    let shadow = values.iter().zip(pixels).map(|(&[s], &a)| s.min(a)).collect();
    GrayImage::from_raw(alpha.width(), alpha.height(), shadow)
}

/// Width in px of the soft rim around a product in a supplied alpha channel.
fn rim(w: usize, h: usize) -> u32 {
    ((w.max(h) as f32 / 500.0).ceil() as u32).clamp(2, 12)
}
