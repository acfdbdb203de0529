//! Cuts a product out of its photo and puts it on another background.
//!
//! The layer model is `photo = A·F + (1 − A)·B·S` per pixel on sRGB values, the arithmetic of
//! every viewer that shows a transparent PNG: coverage A, product colour F, background colour
//! B, shadow factor S.

use image::{GrayImage, RgbImage};

use crate::blur::Plane;
use crate::colour::{LabImage, ciede2000, lab_image};
use crate::mask;
use crate::photo::{Cutout, CutoutQuality, CutoutSource, Photo};
use crate::resize::{resize_gray, resize_rgb};
use crate::segment::coarse::{self, Coarse};
use crate::segment::matte::{Guide, matte};
use crate::segment::spread::spread;
use crate::segment::supplied;
use crate::segment::surface::median;

/// What to accept as a cut-out.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct CutoutOptions {
    /// Agreement of the two segmenters (intersection over union, 0 to 1) below which an opaque
    /// photo is refused as [`CutoutError::Uncertain`]; 0 accepts everything.
    pub agreement_min: f32,
}

impl CutoutOptions {
    /// Refuses what two independent segmenters see very differently.
    pub const DEFAULT: CutoutOptions = CutoutOptions { agreement_min: 0.5 };
}

/// Why there is no cut-out.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum CutoutError {
    /// Nothing stands out from the background.
    #[error(
        "no product found: nothing stands out from the background; use a photo with more contrast or supply an alpha channel"
    )]
    NoProduct,
    /// Something was found, but it cannot be believed.
    #[error("product outline uncertain: {why}; supply an alpha channel or a photo on a plain background")]
    Uncertain {
        /// What does not fit, for a person.
        why: String,
    },
}

/// How far in px the foreground's colours go beyond its coverage.
const MARGIN: u32 = 12;
/// Coverage from which a supplied pixel's own colour is believed.
const COLOUR_KNOWN: u8 = 24;

/// Separates the product of `photo` from its background.
///
/// The file's own alpha channel is believed, except that a drop shadow baked into it goes to
/// [`Cutout::shadow`].
pub fn cut_out(photo: &Photo, options: &CutoutOptions) -> Result<Cutout, CutoutError> {
    if photo.rgb.width() == 0 || photo.rgb.height() == 0 {
        return Err(CutoutError::NoProduct);
    }
    match &photo.alpha {
        Some(alpha) if alpha.dimensions() == photo.rgb.dimensions() && is_cutout(alpha) => {
            from_supplied(&photo.rgb, alpha)
        }
        Some(_) | None => from_opaque(&photo.rgb, *options),
    }
}

/// Puts the product on `background`, which is sampled at the same pixel and continued at its
/// edges where it is smaller than the cut-out. With `keep_shadow` the photo's own shadow
/// darkens the background first.
pub fn recompose(cutout: &Cutout, background: &RgbImage, keep_shadow: bool) -> RgbImage {
    let mut out = cutout.foreground.clone();
    if background.width() == 0 || background.height() == 0 {
        return out;
    }
    let (right, bottom) = (background.width() - 1, background.height() - 1);
    for (x, y, pixel) in out.enumerate_pixels_mut() {
        let a = u32::from(cutout.alpha.get_pixel_checked(x, y).map_or(0, |p| p.0[0]));
        if a == 255 {
            continue;
        }
        let shadow = cutout.shadow.as_ref().filter(|_| keep_shadow);
        let s = shadow.and_then(|s| s.get_pixel_checked(x, y)).map_or(255, |p| u32::from(p.0[0]));
        let behind = background.get_pixel(x.min(right), y.min(bottom)).0;
        for (f, b) in pixel.0.iter_mut().zip(behind) {
            let b = u32::from(b) * s;
            *f = ((u32::from(*f) * a * 255 + b * (255 - a) + 32_512) / 65_025) as u8;
        }
    }
    out
}

/// Whether an alpha channel draws an outline, and is not just a rounded corner or a stray hole.
fn is_cutout(alpha: &GrayImage) -> bool {
    let clear = alpha.as_raw().iter().filter(|&&a| a < 16).count();
    clear * 50 >= alpha.as_raw().len()
}

fn from_supplied(rgb: &RgbImage, alpha: &GrayImage) -> Result<Cutout, CutoutError> {
    let split = supplied::split(rgb, alpha);
    if mask::bounds(&split.alpha, 64).is_none() {
        return Err(CutoutError::NoProduct);
    }
    let foreground = extend(split.rgb, &split.alpha, COLOUR_KNOWN);
    let quality = CutoutQuality {
        source: CutoutSource::SuppliedAlpha,
        agreement: 1.0,
        edge_contrast: 100.0,
        border_contact: border_contact(&split.alpha),
        clutter: 0.0,
        soft_share: soft_share(&split.alpha),
        parts: parts(&split.alpha),
    };
    Ok(Cutout { foreground, alpha: split.alpha, shadow: split.shadow, quality })
}

/// Separates a product whose place is known: `prior` (same size as `rgb`, [`mask::SET`] and
/// more = expected product) is for example a reference's mask moved over a candidate. The
/// outline is searched only near the expected one, so clutter elsewhere does no harm;
/// [`CutoutQuality::agreement`] is the intersection over union with `prior`.
pub fn cut_out_with_prior(
    rgb: &RgbImage,
    prior: &GrayImage,
    options: &CutoutOptions,
) -> Result<Cutout, CutoutError> {
    let Some(bounds) = mask::bounds(prior, mask::SET) else { return Err(CutoutError::NoProduct) };
    if rgb.dimensions() != prior.dimensions() {
        return Err(CutoutError::Uncertain {
            why: "the expected mask has another size than the photo".into(),
        });
    }
    let small = Reduced::of(rgb);
    let prior = resize_gray(prior, small.image.width, small.image.height);
    let outline = signed_distance(&prior, 1.0);
    let size = ((bounds.w * small.image.width / rgb.width().max(1)) as f32)
        .hypot((bounds.h * small.image.height / rgb.height().max(1)) as f32);
    let band = (size * 0.03).clamp(3.0, 16.0);
    let coarse = coarse::segment_near(&small.image, &outline.data, band).ok_or(CutoutError::NoProduct)?;
    finish(rgb, &small, &coarse, *options)
}

/// Pixels of the reduced photo on which product and background are told apart.
const COARSE_PIXELS: f32 = 262_144.0;

/// A photo reduced for segmentation.
struct Reduced {
    image: LabImage,
    /// Pixels of the photo per pixel of the reduced one, in length.
    unit: f32,
}

impl Reduced {
    fn of(rgb: &RgbImage) -> Reduced {
        let (w, h) = rgb.dimensions();
        let scale = (COARSE_PIXELS / (w as f32 * h as f32)).sqrt().min(1.0);
        let (cw, ch) = (((w as f32 * scale) as u32).max(1), ((h as f32 * scale) as u32).max(1));
        Reduced { image: lab_image(&resize_rgb(rgb, cw, ch)), unit: 1.0 / scale }
    }
}

fn from_opaque(rgb: &RgbImage, options: CutoutOptions) -> Result<Cutout, CutoutError> {
    let small = Reduced::of(rgb);
    let coarse = coarse::segment(&small.image).ok_or(CutoutError::NoProduct)?;
    finish(rgb, &small, &coarse, options)
}

/// From the coarse decision to the cut-out at full resolution.
fn finish(
    rgb: &RgbImage,
    small: &Reduced,
    coarse: &Coarse,
    options: CutoutOptions,
) -> Result<Cutout, CutoutError> {
    if coarse.agreement < options.agreement_min {
        let percent = (coarse.agreement * 100.0).round();
        return Err(CutoutError::Uncertain {
            why: format!("two independent segmentations agree on only {percent} % of the product"),
        });
    }
    let image = &small.image;
    let product = as_mask(&coarse.product, image.width, image.height);
    let outline = signed_distance(&product, small.unit);
    let guide = Guide {
        outline: &outline,
        unsure: &vec![false; coarse.product.len()],
        band: (2.0 * small.unit).max(2.5),
        noise: coarse.background.noise * 2.5,
        plain: coarse::plainness(&coarse.background),
    };
    let matte = matte(rgb, &guide);
    let quality = CutoutQuality {
        source: CutoutSource::Segmented,
        agreement: coarse.agreement,
        edge_contrast: edge_contrast(image, &product),
        border_contact: border_contact(&matte.alpha),
        clutter: coarse.clutter,
        soft_share: soft_share(&matte.alpha),
        parts: parts(&matte.alpha),
    };
    let foreground = extend(matte.foreground, &matte.alpha, mask::SET / 2);
    let shadow = shadow_layer(image, coarse, rgb.width(), rgb.height());
    Ok(Cutout { foreground, alpha: matte.alpha, shadow, quality })
}

fn as_mask(on: &[bool], w: u32, h: u32) -> GrayImage {
    let pixels = on.iter().map(|&on| if on { 255 } else { 0 }).collect();
    GrayImage::from_raw(w, h, pixels).unwrap_or_default()
}

/// Distance to the outline, positive inside, times `unit`.
fn signed_distance(mask: &GrayImage, unit: f32) -> Plane {
    let outside = mask::distance_outside(mask);
    // Distances end at pixel centres, the outline runs half a pixel before them.
    let signed = |inside: f32, outside: f32| (if inside > 0.0 { inside - 0.5 } else { 0.5 - outside }) * unit;
    mask::distance_inside(mask).zip(&outside, signed)
}

/// Median CIEDE2000 between the colours a little inside and a little outside the outline.
fn edge_contrast(image: &LabImage, product: &GrayImage) -> f32 {
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

/// The photo's own shadow as a factor on the background, smoothed; `None` on backgrounds too
/// busy to tell, or without any.
fn shadow_layer(image: &LabImage, coarse: &Coarse, w: u32, h: u32) -> Option<GrayImage> {
    if coarse::plainness(&coarse.background) < 0.5 || !coarse.shadow.iter().any(|&s| s) {
        return None;
    }
    let width = image.width as usize;
    let mut values: Vec<[u8; 1]> = Vec::with_capacity(image.l.len());
    for (at, &l) in image.l.iter().enumerate() {
        let clear = coarse.background.surface.at(at % width, at / width)[0];
        let ratio = if coarse.shadow[at] { l / clear.max(1.0) } else { 1.0 };
        values.push([(ratio.clamp(0.0, 1.0) * 255.0) as u8]);
    }
    let mut known: Vec<u8> = coarse.product.iter().map(|&p| if p { 0 } else { 255 }).collect();
    let targets = (0..known.len()).filter(|&at| known[at] == 0).collect();
    spread(&mut values, &mut known, width, targets, 48);
    for (value, known) in values.iter_mut().zip(known) {
        if known == 0 {
            *value = [255];
        }
    }
    let layer = GrayImage::from_raw(image.width, image.height, values.into_flattened())?;
    Some(resize_gray(&mask::feather(&layer, 1.5), w, h))
}

/// Continues colours from the pixels covered at least `known` outwards, and paints the rest
/// black.
fn extend(mut rgb: RgbImage, alpha: &GrayImage, known: u8) -> RgbImage {
    let width = alpha.width() as usize;
    let mut state: Vec<u8> = alpha.as_raw().iter().map(|&a| if a >= known { 255 } else { 0 }).collect();
    let targets = near(&state, width, MARGIN as usize);
    let values = rgb.as_mut().as_chunks_mut::<3>().0;
    spread(values, &mut state, width, targets, MARGIN);
    for (pixel, known) in values.iter_mut().zip(state) {
        if known == 0 {
            *pixel = [0; 3];
        }
    }
    rgb
}

/// Pixels that are 0 themselves but have others within a square of `radius` px.
fn near(state: &[u8], width: usize, radius: usize) -> Vec<usize> {
    let Some(height) = state.len().checked_div(width) else { return Vec::new() };
    let mut rows = vec![0_u8; state.len()];
    for (row, line) in rows.chunks_exact_mut(width).zip(state.chunks_exact(width)) {
        let mut until = 0;
        for x in 0..width + radius {
            if x < width && line[x] > 0 {
                until = x + 2 * radius + 1;
            }
            if x >= radius && x < until {
                row[x - radius] = 1;
            }
        }
    }
    let mut until = vec![0_usize; width];
    let mut found = Vec::new();
    for y in 0..height + radius {
        for x in 0..width {
            if y < height && rows[y * width + x] > 0 {
                until[x] = y + 2 * radius + 1;
            }
            if y >= radius && y < until[x] && state[(y - radius) * width + x] == 0 {
                found.push((y - radius) * width + x);
            }
        }
    }
    found
}

/// Share of the frame's outermost pixels that are product.
fn border_contact(alpha: &GrayImage) -> f32 {
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
fn soft_share(alpha: &GrayImage) -> f32 {
    let covered = alpha.as_raw().iter().filter(|&&a| a > 12).count();
    let soft = alpha.as_raw().iter().filter(|&&a| a > 12 && a < 243).count();
    if covered == 0 { 0.0 } else { soft as f32 / covered as f32 }
}

/// Parts holding at least 2 % of the product's area.
fn parts(alpha: &GrayImage) -> u32 {
    let limit = (mask::area(alpha) / 50).max(1);
    mask::components(alpha, limit).len() as u32
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use image::{Luma, Rgb};

    use super::*;
    use crate::photo::{Format, PhotoInfo};

    fn photo(rgb: RgbImage, alpha: Option<GrayImage>) -> Photo {
        let info = PhotoInfo {
            format: Format::Png,
            layout: "rgba8".into(),
            profile: None,
            orientation: 1,
            frames: 1,
            notes: Vec::new(),
        };
        Photo { rgb, alpha, info }
    }

    /// Coverage of a disc with a rim one pixel soft.
    fn disc(x: u32, y: u32, cx: f32, cy: f32, r: f32) -> f32 {
        (r + 0.5 - (x as f32 - cx).hypot(y as f32 - cy)).clamp(0.0, 1.0)
    }

    #[test]
    fn baked_shadow_goes_to_the_shadow_layer() {
        let product = |x, y| disc(x, y, 200.0, 150.0, 80.0);
        let dark = |x: u32, y: u32| {
            let (dx, dy) = ((x as f32 - 200.0) / 90.0, (y as f32 - 235.0) / 40.0);
            0.4 * (1.0 - dx.hypot(dy)).clamp(0.0, 1.0)
        };
        let alpha = GrayImage::from_fn(400, 400, |x, y| {
            let (a, s) = (product(x, y), dark(x, y));
            Luma([((a + s * (1.0 - a)) * 255.0).round() as u8])
        });
        let rgb = RgbImage::from_fn(400, 400, |x, y| {
            let (a, s) = (product(x, y), dark(x, y));
            let own = a / (a + s * (1.0 - a)).max(1e-6);
            Rgb([(240.0 * own).round() as u8, (30.0 * own).round() as u8, (30.0 * own).round() as u8])
        });
        let cutout = cut_out(&photo(rgb, Some(alpha)), &CutoutOptions::DEFAULT).unwrap();
        let mut worst = 0.0_f32;
        for (x, y, p) in cutout.alpha.enumerate_pixels() {
            worst = worst.max((f32::from(p.0[0]) / 255.0 - product(x, y)).abs());
            if p.0[0] > 100 {
                assert!(cutout.foreground.get_pixel(x, y).0[0] > 215, "grey rim at {x},{y}");
            }
        }
        assert!(worst < 0.08, "coverage off by {worst}");
        let shadow = cutout.shadow.unwrap();
        assert!(shadow.get_pixel(200, 250).0[0] < 200 && shadow.get_pixel(10, 10).0[0] == 255);
    }

    #[test]
    fn recompose_is_exact_inside_and_outside() {
        let alpha = GrayImage::from_fn(40, 40, |x, y| Luma([(disc(x, y, 20.0, 20.0, 8.0) * 255.0) as u8]));
        let rgb = RgbImage::from_pixel(40, 40, Rgb([10, 200, 90]));
        let cutout = cut_out(&photo(rgb, Some(alpha)), &CutoutOptions::DEFAULT).unwrap();
        let out = recompose(&cutout, &RgbImage::from_pixel(1, 1, Rgb([255, 255, 255])), true);
        assert_eq!(out.get_pixel(0, 0).0, [255; 3]);
        assert_eq!(out.get_pixel(20, 20).0, [10, 200, 90]);
        assert_eq!(recompose(&cutout, &RgbImage::new(0, 0), true).dimensions(), (40, 40));
    }

    #[test]
    fn nothing_covered_is_no_product() {
        for size in [1, 2, 33] {
            let clear = photo(RgbImage::new(size, size), Some(GrayImage::new(size, size)));
            assert_eq!(cut_out(&clear, &CutoutOptions::DEFAULT).err(), Some(CutoutError::NoProduct));
        }
        assert_eq!(
            cut_out(&photo(RgbImage::new(0, 0), None), &CutoutOptions::DEFAULT).err(),
            Some(CutoutError::NoProduct)
        );
    }
}
