//! A change of light on pixels: one rising curve per channel, with a shoulder so that nothing
//! clips that did not, and with care for what was clipped before.

use image::{GrayImage, Rgb, RgbImage};
use packshot_imaging::colour::{linear_to_srgb, srgb_to_linear};
use rayon::prelude::*;

use super::light::Light;

/// Linear light from which the shoulder begins where one is needed.
const KNEE: f64 = 0.8;
/// Level from which a channel may have been clipped.
const CLIPPED: u8 = 254;
/// Level from which a channel is taken for less and less certain.
const DOUBTFUL: u8 = 250;
/// How much light may be missing where a clipped channel must become darker, as a share of the
/// product times the share by which it becomes darker: what was above white is not known.
const LOST_MAX: f64 = 0.01;
/// Share of the product that may be pushed beyond white, and by how much a place must be to
/// count: under it the shoulder bends it back unseen.
const PUSHED_MAX: f64 = 0.05;
const PUSHED_FROM: f64 = 1.06;

/// Whether the light can be laid on the product of `image` without harm; the reason when not.
pub(super) fn checked(image: &RgbImage, product: &GrayImage, light: &Light) -> Result<(), String> {
    let darker: [f64; 3] = std::array::from_fn(|c| (1.0 - light.of_channel(c, 1.0)).max(0.0));
    let pushes: [[bool; 256]; 3] = std::array::from_fn(|c| {
        std::array::from_fn(|level| {
            let linear = f64::from(srgb_to_linear(level as u8));
            level < usize::from(CLIPPED) && light.of_channel(c, linear) > PUSHED_FROM
        })
    });
    let (mut inside, mut clipped, mut lost, mut pushed) = (0u64, 0u64, 0.0, 0u64);
    for (pixel, cover) in image.pixels().zip(product.pixels()) {
        if cover.0[0] < 250 {
            continue;
        }
        inside += 1;
        let missing = (0..3).filter(|c| pixel.0[*c] >= CLIPPED).map(|c| darker[c]).fold(0.0, f64::max);
        // Where all are clipped and one stays, the place is white before and after.
        let white = pixel.0.iter().all(|v| *v >= CLIPPED) && darker.contains(&0.0);
        if missing > 0.0 && !white {
            clipped += 1;
            lost += missing;
        }
        pushed += u64::from((0..3).any(|c| pushes[c][usize::from(pixel.0[c])]));
    }
    let all = inside.max(1) as f64;
    if lost / all > LOST_MAX {
        let percent = clipped as f64 / all * 100.0;
        return Err(format!(
            "{percent:.0} % of the product is clipped, its light is lost; make the image anew"
        ));
    }
    let pushed = pushed as f64 / all;
    if pushed > PUSHED_MAX {
        let percent = pushed * 100.0;
        return Err(format!("it would push {percent:.0} % of the product into white; make the image anew"));
    }
    Ok(())
}

/// The image under `light`, computed where `product` is over 0 and as it was elsewhere.
pub(super) fn lit(image: &RgbImage, product: &GrayImage, light: &Light) -> RgbImage {
    let curves: [[f32; 256]; 3] = std::array::from_fn(|c| curve(light, c));
    let mut out = image.clone();
    let row = 3 * image.width().max(1) as usize;
    let cover = product.as_raw();
    out.par_chunks_mut(row).zip(cover.par_chunks(row / 3)).for_each(|(pixels, cover)| {
        for (pixel, cover) in pixels.chunks_exact_mut(3).zip(cover) {
            if *cover > 0 {
                let Rgb(now) = one(&curves, [pixel[0], pixel[1], pixel[2]]);
                pixel.copy_from_slice(&now);
            }
        }
    });
    out
}

/// Linear light of every level under `light`. Where white would be passed, a shoulder bends
/// the curve so that level 255 comes out as white and every other one below it.
fn curve(light: &Light, channel: usize) -> [f32; 256] {
    let top = light.of_channel(channel, 1.0);
    let above = (top - KNEE) / (1.0 - KNEE);
    std::array::from_fn(|level| {
        let value = light.of_channel(channel, f64::from(srgb_to_linear(level as u8)));
        if top <= 1.0 || value <= KNEE {
            return value as f32;
        }
        // Slope 1 at the knee, 1 at the top, rising between.
        let over = (value - KNEE) / (1.0 - KNEE);
        (KNEE + (1.0 - KNEE) * over / (1.0 + over * (above - 1.0) / above)) as f32
    })
}

fn one(curves: &[[f32; 256]; 3], was: [u8; 3]) -> Rgb<u8> {
    let lit: [f32; 3] = std::array::from_fn(|c| curves[c][usize::from(was[c])]);
    let brightest = lit.iter().copied().fold(0.0, f32::max);
    Rgb(std::array::from_fn(|c| {
        // A clipped channel was at least as bright as it shows: with the brightest of the
        // others it is white, with less it would take the complement's colour.
        let doubt = f32::from(was[c].saturating_sub(DOUBTFUL)) / f32::from(255 - DOUBTFUL);
        let level = linear_to_srgb(lit[c] + (brightest - lit[c]) * doubt);
        match was[c] {
            255 | 0 => level,
            _ => level.clamp(1, 254),
        }
    }))
}
