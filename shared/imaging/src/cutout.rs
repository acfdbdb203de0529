//! Cuts a product out of its photo and puts it on another background.
//!
//! The layer model is `photo = A·F + (1 − A)·B·S` per pixel on sRGB values, the arithmetic of
//! every viewer that shows a transparent PNG: coverage A, product colour F, background colour
//! B, shadow factor S.

use image::{GrayImage, RgbImage};

use crate::blur::Plane;
use crate::colour::{LabImage, lab_image};
use crate::mask;
use crate::photo::{Cutout, CutoutQuality, CutoutSource, Photo};
use crate::resize::{resize_gray, resize_rgb};
use crate::segment::background::as_mask;
use crate::segment::coarse::{self, Coarse};
use crate::segment::matte::{Guide, matte};
use crate::segment::opinion::{self, Opinion};
use crate::segment::quality::{border_contact, edge_contrast, parts, soft_share};
use crate::segment::spread::{extend, spread};
use crate::segment::supplied;

/// What to accept as a cut-out.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct CutoutOptions {
    /// Agreement of the two segmenters (intersection over union, 0 to 1) below which an opaque
    /// photo is refused as [`CutoutError::Uncertain`]; 0 accepts everything.
    pub agreement_min: f32,
}

impl CutoutOptions {
    /// Refuses what two independent segmenters see differently, or what leaves edges unexplained.
    pub const DEFAULT: CutoutOptions = CutoutOptions { agreement_min: 0.6 };
}

/// Agreement (intersection over union, 0 to 1) from which two independent segmentations of a
/// photo count as the same one.
pub const AGREEMENT_CERTAIN: f32 = opinion::CERTAIN;

/// Somebody else who can be asked where the product is, for example a learned model. How the
/// answer is found is nothing that this crate knows.
pub trait Segmenter: std::fmt::Debug + Send + Sync {
    /// Coverage of the product in `rgb`, 0 to 255, of any size: it is stretched over the photo.
    ///
    /// # Errors
    /// Why there is no answer, for a person.
    fn coverage(&self, rgb: &RgbImage) -> Result<GrayImage, String>;
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
    /// The [`Segmenter`] that was to be asked gives no answer.
    #[error("the matting model gives no answer for this photo: {why}; run without it or use another one")]
    NoAnswer {
        /// What it says instead.
        why: String,
    },
}

/// Coverage from which a supplied pixel's own colour is believed.
const COLOUR_KNOWN: u8 = 24;

/// Separates the product of `photo` from its background.
///
/// The file's own alpha channel is believed, except that a drop shadow baked into it goes to
/// [`Cutout::shadow`].
pub fn cut_out(photo: &Photo, options: &CutoutOptions) -> Result<Cutout, CutoutError> {
    cut_out_asking(photo, options, None)
}

/// The same, with a third opinion on an opaque photo.
///
/// Its coverage is taken, refined to the photo's own resolution, where it agrees to
/// [`AGREEMENT_CERTAIN`] with what was seen without it: with the decision of the two
/// segmenters where they agree that far themselves, else with one of them. A photo that they
/// would refuse is rescued by that. Otherwise everything is as if it had not been asked, but
/// [`CutoutQuality::opinion`] and a refusal's reason tell of it.
pub fn cut_out_asking(
    photo: &Photo,
    options: &CutoutOptions,
    third: Option<&dyn Segmenter>,
) -> Result<Cutout, CutoutError> {
    if photo.rgb.width() == 0 || photo.rgb.height() == 0 {
        return Err(CutoutError::NoProduct);
    }
    match &photo.alpha {
        Some(alpha) if alpha.dimensions() == photo.rgb.dimensions() && is_cutout(alpha) => {
            from_supplied(&photo.rgb, alpha)
        }
        Some(_) | None => from_opaque(&photo.rgb, *options, third),
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
        opinion: None,
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
    finish(rgb, &small, Found::segmented(coarse, None), *options)
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

/// A coarse decision and where it comes from.
struct Found {
    coarse: Coarse,
    source: CutoutSource,
    /// Further pixels of the reduced photo that the matting shall look at.
    soft: Vec<bool>,
    /// Pixels of the photo on either side of the outline that the matting shall look at, at least.
    reach: f32,
    /// Agreement of the third opinion, if there is one.
    opinion: Option<f32>,
}

impl Found {
    fn segmented(coarse: Coarse, opinion: Option<f32>) -> Found {
        let soft = vec![false; coarse.product.len()];
        Found { coarse, source: CutoutSource::Segmented, soft, reach: 2.5, opinion }
    }
}

fn from_opaque(
    rgb: &RgbImage,
    options: CutoutOptions,
    third: Option<&dyn Segmenter>,
) -> Result<Cutout, CutoutError> {
    let small = Reduced::of(rgb);
    let seen = coarse::segment(&small.image).ok_or(CutoutError::NoProduct)?;
    let Some(third) = third else {
        return finish(rgb, &small, Found::segmented(seen.decided, None), options);
    };
    let coverage = third.coverage(rgb).map_err(|why| CutoutError::NoAnswer { why })?;
    if coverage.width() == 0 || coverage.height() == 0 {
        return Err(CutoutError::NoAnswer { why: "its coverage has no pixels".to_owned() });
    }
    let opinion = opinion::weigh(&small.image, &seen, &coverage);
    let agreement = opinion.counting(&seen.decided);
    if agreement < AGREEMENT_CERTAIN {
        if seen.decided.agreement < options.agreement_min {
            return Err(CutoutError::Uncertain { why: doubt(seen.decided.agreement, Some(&opinion)) });
        }
        return finish(rgb, &small, Found::segmented(seen.decided, Some(agreement)), options);
    }
    let (coarse, soft) = opinion.followed(&small.image, seen.decided);
    // The outline cannot be known better than to the asked one's own pixel.
    let cell =
        (rgb.width() as f32 / coverage.width() as f32).max(rgb.height() as f32 / coverage.height() as f32);
    let found = Found {
        coarse,
        source: CutoutSource::Learned,
        soft,
        reach: (1.5 * cell).max(2.5),
        opinion: Some(agreement),
    };
    finish(rgb, &small, found, options)
}

/// Why a photo is refused.
fn doubt(agreement: f32, opinion: Option<&Opinion>) -> String {
    let percent = |share: f32| (share * 100.0).round();
    let two = format!("two independent segmentations agree on only {} % of the product", percent(agreement));
    match opinion {
        None => two,
        Some(opinion) => format!(
            "{two}, and the matting model agrees with neither ({} and {} %)",
            percent(opinion.surface),
            percent(opinion.colour)
        ),
    }
}

/// From the coarse decision to the cut-out at full resolution.
fn finish(
    rgb: &RgbImage,
    small: &Reduced,
    found: Found,
    options: CutoutOptions,
) -> Result<Cutout, CutoutError> {
    let Found { coarse, source, soft, reach, opinion } = found;
    if coarse.agreement < options.agreement_min {
        return Err(CutoutError::Uncertain { why: doubt(coarse.agreement, None) });
    }
    let image = &small.image;
    let product = as_mask(&coarse.product, image);
    let outline = signed_distance(&product, small.unit);
    let guide = Guide {
        outline: &outline,
        unsure: &soft,
        band: (2.0 * small.unit).max(reach),
        noise: coarse.background.noise() * 2.5,
        plain: coarse::mean_plainness(&coarse.background),
    };
    let matte = matte(rgb, &guide);
    let quality = CutoutQuality {
        source,
        agreement: coarse.agreement,
        opinion,
        edge_contrast: edge_contrast(image, &product),
        border_contact: border_contact(&matte.alpha),
        clutter: coarse.clutter,
        soft_share: soft_share(&matte.alpha),
        parts: parts(&matte.alpha),
    };
    let foreground = extend(matte.foreground, &matte.alpha, mask::SET / 2);
    let shadow = shadow_layer(image, &coarse, rgb.width(), rgb.height());
    Ok(Cutout { foreground, alpha: matte.alpha, shadow, quality })
}

/// Distance to the outline, positive inside, times `unit`.
fn signed_distance(mask: &GrayImage, unit: f32) -> Plane {
    let outside = mask::distance_outside(mask);
    // Distances end at pixel centres, the outline runs half a pixel before them.
    let signed = |inside: f32, outside: f32| (if inside > 0.0 { inside - 0.5 } else { 0.5 - outside }) * unit;
    mask::distance_inside(mask).zip(&outside, signed)
}

/// The photo's own shadow as a factor on the background, smoothed; `None` on backgrounds too
/// busy to tell, or without any.
fn shadow_layer(image: &LabImage, coarse: &Coarse, w: u32, h: u32) -> Option<GrayImage> {
    if coarse::mean_plainness(&coarse.background) < 0.5 || !coarse.shadow.iter().any(|&s| s) {
        return None;
    }
    let width = image.width as usize;
    let mut values: Vec<[u8; 1]> = Vec::with_capacity(image.l.len());
    for (at, &l) in image.l.iter().enumerate() {
        let clear = coarse.background.colour(image, at)[0];
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use image::{Luma, Rgb};

    use super::*;

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
        let cutout = cut_out(&Photo::of_pixels(rgb, Some(alpha)), &CutoutOptions::DEFAULT).unwrap();
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
        let cutout = cut_out(&Photo::of_pixels(rgb, Some(alpha)), &CutoutOptions::DEFAULT).unwrap();
        let out = recompose(&cutout, &RgbImage::from_pixel(1, 1, Rgb([255, 255, 255])), true);
        assert_eq!(out.get_pixel(0, 0).0, [255; 3]);
        assert_eq!(out.get_pixel(20, 20).0, [10, 200, 90]);
        assert_eq!(recompose(&cutout, &RgbImage::new(0, 0), true).dimensions(), (40, 40));
    }

    #[test]
    fn nothing_covered_is_no_product() {
        for size in [1, 2, 33] {
            let clear = Photo::of_pixels(RgbImage::new(size, size), Some(GrayImage::new(size, size)));
            assert_eq!(cut_out(&clear, &CutoutOptions::DEFAULT).err(), Some(CutoutError::NoProduct));
        }
        assert_eq!(
            cut_out(&Photo::of_pixels(RgbImage::new(0, 0), None), &CutoutOptions::DEFAULT).err(),
            Some(CutoutError::NoProduct)
        );
    }

    /// A dark ring (a mug's handle) over a sweep that darkens downwards, with a soft shadow.
    fn ring_on_sweep() -> (RgbImage, GrayImage) {
        let truth = GrayImage::from_fn(220, 180, |x, y| {
            let ring = disc(x, y, 105.0, 85.0, 60.0) - disc(x, y, 105.0, 85.0, 30.0);
            Luma([(ring * 255.0).round() as u8])
        });
        let scene = RgbImage::from_fn(220, 180, |x, y| {
            let a = f32::from(truth.get_pixel(x, y).0[0]) / 255.0;
            let (dx, dy) = ((x as f32 - 110.0) / 90.0, (y as f32 - 148.0) / 22.0);
            let shade = 1.0 - 0.35 * (1.0 - dx.hypot(dy)).clamp(0.0, 1.0);
            let light = (236.0 - 0.12 * y as f32) * shade;
            let grain = ((x * 7919 + y * 104_729) % 5) as f32 - 2.0;
            Rgb([30.0, 60.0, 110.0].map(|f| (a * f + (1.0 - a) * light + grain).round() as u8))
        });
        (scene, truth)
    }

    #[test]
    fn a_ring_on_a_sweep_is_found_with_its_hole_open() {
        let (scene, truth) = ring_on_sweep();
        let cutout = cut_out(&Photo::of_pixels(scene, None), &CutoutOptions::DEFAULT).unwrap();
        assert!(mask::iou(&cutout.alpha, &truth) > 0.97);
        assert!(cutout.alpha.get_pixel(105, 85).0[0] == 0, "hole closed");
        assert!(cutout.alpha.get_pixel(110, 165).0[0] == 0, "shadow kept");
        // No light fringe: every rim pixel carries the product's own dark colour.
        for (x, y, a) in cutout.alpha.enumerate_pixels() {
            let red = cutout.foreground.get_pixel(x, y).0[0];
            assert!(a.0[0] < 20 || red < 75, "fringe of {red} at {x},{y}");
        }
        // Colours go on beyond the coverage.
        assert!(cutout.foreground.get_pixel(105, 85 - 60 - 8).0[2] > 80);
    }

    #[test]
    fn a_prior_finds_a_product_among_clutter() {
        let (_, truth) = ring_on_sweep();
        let scene = RgbImage::from_fn(220, 180, |x, y| {
            let a = f32::from(truth.get_pixel(x, y).0[0]) / 255.0;
            let tile = [[200.0, 90.0, 60.0], [90.0, 160.0, 90.0], [230.0, 220.0, 150.0]]
                [(x / 23 + y / 19) as usize % 3];
            let mixed: [f32; 3] = std::array::from_fn(|i| a * [30.0, 60.0, 110.0][i] + (1.0 - a) * tile[i]);
            Rgb(mixed.map(|v| v as u8))
        });
        let mut prior = GrayImage::new(220, 180);
        image::imageops::replace(&mut prior, &mask::dilate(&truth, 2), 2, 1);
        let cutout = cut_out_with_prior(&scene, &prior, &CutoutOptions::DEFAULT).unwrap();
        assert!(mask::iou(&cutout.alpha, &truth) > 0.95);
        let small = GrayImage::from_pixel(3, 3, Luma([255]));
        assert!(cut_out_with_prior(&scene, &small, &CutoutOptions::DEFAULT).is_err());
        assert!(cut_out_with_prior(&scene, &GrayImage::new(220, 180), &CutoutOptions::DEFAULT).is_err());
    }

    #[test]
    fn odd_pictures_do_no_harm() {
        let open = CutoutOptions { agreement_min: 0.0 };
        for (w, h) in [(1, 1), (1, 9), (2, 2), (5, 3), (9, 1), (40, 17), (64, 64)] {
            let full = GrayImage::from_pixel(w, h, Luma([255]));
            let half = GrayImage::from_fn(w, h, |x, _| Luma([if x * 2 < w { 255 } else { 0 }]));
            let noise =
                RgbImage::from_fn(w, h, |x, y| Rgb([(x * 97 + y * 57) as u8, (x * y) as u8, (y * 31) as u8]));
            for rgb in [RgbImage::new(w, h), RgbImage::from_pixel(w, h, Rgb([255; 3])), noise] {
                for alpha in [None, Some(full.clone()), Some(half.clone()), Some(GrayImage::new(w, h))] {
                    if let Ok(cutout) = cut_out(&Photo::of_pixels(rgb.clone(), alpha), &open) {
                        assert_eq!(recompose(&cutout, &rgb, true).dimensions(), (w, h));
                    }
                }
                let _ = cut_out_with_prior(&rgb, &full, &open);
                let _ = cut_out_with_prior(&rgb, &half, &open);
            }
        }
    }
}
