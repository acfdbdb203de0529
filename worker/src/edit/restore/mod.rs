//! Restore: noise, JPEG blocks and mild blur, each only as far as it is measured.
//!
//! Nothing is added: noise and blocks are thresholded away in overlapping cosine transforms,
//! blur is undone by a few rounds of deconvolution that may not overshoot an edge. A clean
//! photo comes back as it was.

mod measure;
mod sharpen;
mod shrink;

use image::{GrayImage, Luma, Rgb, RgbImage};
use packshot_imaging::blur::Plane;

use super::settings::Settings;
use super::{EditError, EditRequest, Kept, Outcome, feather, painted};

/// Standard deviation, in levels, under which noise is left alone.
const NOISE_MIN: f32 = 1.2;
/// Excess step over block borders, in levels, under which blocks are left alone.
const BLOCKS_MIN: f32 = 0.35;
/// Strength of the smoothing, in levels, per level of excess step.
const PER_BLOCK_STEP: f32 = 2.2;
/// Blur, as the standard deviation in px, that counts as sharp.
const SHARP: f32 = 0.95;
/// Blur in px beyond which detail is gone and deconvolution would invent.
const HOPELESS: f32 = 2.6;

/// Runs the operation, inside the mask when there is one.
pub(super) fn run(request: &EditRequest, settings: &Settings) -> Result<Outcome, EditError> {
    let area = request.mask.map(|_| painted(request)).transpose()?;
    let planes = split(request.image);
    let mut notes = Vec::new();
    let noise: [f32; 3] = match settings.number_or_auto("denoise") {
        Some(sigma) => [sigma as f32; 3],
        None => std::array::from_fn(|c| measure::noise(&planes[c], request.alpha)),
    };
    let blocks = measure::blocks(&planes[0]);
    let deblock = match settings.number_or_auto("deblock") {
        Some(strength) => strength as f32 * blocks.max(1.0) * PER_BLOCK_STEP,
        None if blocks > BLOCKS_MIN => blocks * PER_BLOCK_STEP,
        None => 0.0,
    };
    let mut out = smoothed(&planes, noise, deblock, &mut notes);
    let blur = measure::blur(&out[0]);
    let amount = match settings.number_or_auto("deblur") {
        Some(amount) => amount as f32,
        None if blur > SHARP && blur < HOPELESS => 0.7 * (-noise[0] / 6.0).exp(),
        None => 0.0,
    };
    if amount > 0.0 {
        // Asked for by hand, a sharp image is treated as slightly soft.
        let blur = blur.clamp(SHARP, HOPELESS);
        out[0] = sharpen::deblurred(&out[0], blur, amount);
        notes.push(format!("undid a blur of {blur:.1} px by {:.0} %", amount * 100.0));
    } else if blur >= HOPELESS {
        notes.push(format!("a blur of {blur:.1} px is too much to undo; the photo needs to be taken again"));
    }
    if notes.is_empty() {
        notes.push("clean already: no noise, blocks or blur worth touching".into());
    }
    let soft = area.map(|area| feather::feathered(&area, 4.0));
    let image = match &soft {
        Some(soft) => feather::blend(request.image, &joined(&out), soft),
        None => joined(&out),
    };
    let touched = touched(request.image, &image, soft.as_ref());
    Ok(Outcome { image, alpha: request.alpha.cloned(), touched, notes, kept: Kept::Image { x: 0, y: 0 } })
}

/// The planes without noise and blocks; untouched where there is nothing to do.
fn smoothed(planes: &[Plane; 3], noise: [f32; 3], deblock: f32, notes: &mut Vec<String>) -> [Plane; 3] {
    let sigma: [f32; 3] = std::array::from_fn(|c| {
        let noise = if noise[c] >= NOISE_MIN { noise[c] } else { 0.0 };
        // Colour is coarser in JPEG, and its blocks weigh less to the eye.
        noise.hypot(if c == 0 { deblock } else { 0.5 * deblock })
    });
    if noise[0] >= NOISE_MIN {
        notes.push(format!("took out noise of {:.1} levels", noise[0]));
    }
    if deblock > 0.0 {
        notes.push(format!("smoothed JPEG blocks by {deblock:.1} levels"));
    }
    std::array::from_fn(
        |c| if sigma[c] > 0.0 { shrink::shrunk(&planes[c], sigma[c]) } else { planes[c].clone() },
    )
}

/// Luma, blue − luma, red − luma.
fn split(image: &RgbImage) -> [Plane; 3] {
    let of = |value: fn(f32, f32, f32, f32) -> f32| {
        let data = image
            .pixels()
            .map(|p| {
                let [r, g, b] = p.0.map(f32::from);
                value(0.299 * r + 0.587 * g + 0.114 * b, r, g, b)
            })
            .collect();
        Plane { width: image.width(), height: image.height(), data }
    };
    [of(|y, _, _, _| y), of(|y, _, _, b| b - y), of(|y, r, _, _| r - y)]
}

fn joined(planes: &[Plane; 3]) -> RgbImage {
    let (w, h) = (planes[0].width, planes[0].height);
    RgbImage::from_fn(w, h, |x, y| {
        let at = y as usize * w as usize + x as usize;
        let [luma, blue, red] = std::array::from_fn(|c| planes[c].data[at]);
        let (r, b) = (red + luma, blue + luma);
        let g = (luma - 0.299 * r - 0.114 * b) / 0.587;
        Rgb([r, g, b].map(|v| v.round().clamp(0.0, 255.0) as u8))
    })
}

/// Where bytes differ; with a soft mask, that mask.
fn touched(was: &RgbImage, now: &RgbImage, soft: Option<&GrayImage>) -> GrayImage {
    if let Some(soft) = soft {
        return soft.clone();
    }
    let mut touched = GrayImage::new(was.width(), was.height());
    for ((was, now), touched) in was.pixels().zip(now.pixels()).zip(touched.pixels_mut()) {
        *touched = Luma([if was == now { 0 } else { 255 }]);
    }
    touched
}
