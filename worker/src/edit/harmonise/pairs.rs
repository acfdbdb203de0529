//! Corresponding colours of one product in two pictures: pixel by pixel where the pictures can
//! be registered to each other, else colour by colour in the order of their lightness.

use image::{GrayImage, Luma, RgbImage};
use packshot_imaging::colour::{Lab, lab_of_linear, srgb_to_linear};
use packshot_imaging::mask;
use packshot_imaging::photo::Rect;
use packshot_imaging::register::{Similarity, register};
use packshot_imaging::resize::{crop_gray, crop_rgb, resize_gray, resize_rgb_linear};

/// Longer side of the product at which colours are compared, in px: single pixels are noise.
const SIDE: u32 = 160;
/// Coverage from which a pixel is inside; soft rims mix with the background.
const INSIDE: u8 = 250;
/// Levels from which a channel is taken for clipped, its light for unknown.
const CLIPPED: u8 = 253;
/// Fewest pairs that tell anything.
const PAIRS_MIN: usize = 64;
/// Most pairs that are worth their time.
const PAIRS_MAX: usize = 4_000;
/// Share of the product in the target that must be found in the picture to go by pixels.
const FOUND_MIN: f32 = 0.3;
/// Steps of lightness that are paired when the views differ.
const STEPS: usize = 48;

/// One colour in both pictures.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Pair {
    /// Linear light in the picture to change, 0 to 1.
    pub(super) from: [f32; 3],
    /// What it should be.
    pub(super) to: Lab,
}

/// Everything that two pictures tell of each other's light.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Pairs {
    /// The colours to fit a light to.
    pub(super) list: Vec<Pair>,
    /// Whether each pair is one place of the product.
    pub(super) matched: bool,
    /// All colours of the product in the picture to change, for views that differ.
    pub(super) own: Vec<[f32; 3]>,
    /// All colours of the product in the target, for views that differ.
    pub(super) target: Vec<Lab>,
}

/// Pairs the colours of the product in `target` with those in `image`; masks are coverage of
/// their pictures' size. The error says why nothing can be told.
pub(super) fn pairs(
    target: &RgbImage,
    target_product: &GrayImage,
    image: &RgbImage,
    product: &GrayImage,
) -> Result<Pairs, String> {
    let theirs = Small::of(target, target_product).ok_or("the other picture shows too little product")?;
    let ours = Small::of(image, product).ok_or("the picture shows too little of the product")?;
    if let Ok(found) = register(target, target_product, image, None)
        && let Some(list) = by_place(&theirs, &ours, found.similarity)
    {
        return Ok(Pairs { list, matched: true, own: Vec::new(), target: Vec::new() });
    }
    let own: Vec<[f32; 3]> = ours.inside().map(linear).collect();
    let target: Vec<[f32; 3]> = theirs.inside().map(linear).collect();
    if own.len() < PAIRS_MIN || target.len() < PAIRS_MIN {
        return Err("most of the product is clipped in one of the pictures".to_owned());
    }
    let list = by_lightness(&own, &target);
    Ok(Pairs { list, matched: false, own, target: target.into_iter().map(lab_of_linear).collect() })
}

/// A product at common size.
struct Small {
    rgb: RgbImage,
    /// 255 where a pixel is well inside and not clipped.
    core: GrayImage,
    bounds: Rect,
    /// Small pixels per pixel, across and down.
    factor: (f32, f32),
}

impl Small {
    fn of(image: &RgbImage, product: &GrayImage) -> Option<Small> {
        let bounds = mask::bounds(product, mask::SET)?;
        let scale = (SIDE as f32 / bounds.w.max(bounds.h) as f32).min(1.0);
        let side = |length: u32| ((length as f32 * scale).round() as u32).max(1);
        let (w, h) = (side(bounds.w), side(bounds.h));
        let rgb = resize_rgb_linear(&crop_rgb(image, bounds), w, h);
        let coverage = resize_gray(&crop_gray(product, bounds), w, h);
        let mut core = mask::erode(&mask::threshold(&coverage, INSIDE), 1);
        for (core, pixel) in core.pixels_mut().zip(rgb.pixels()) {
            if pixel.0.iter().any(|v| *v >= CLIPPED) {
                *core = Luma([0]);
            }
        }
        let factor = (w as f32 / bounds.w as f32, h as f32 / bounds.h as f32);
        (mask::area(&core) > 0).then_some(Small { rgb, core, bounds, factor })
    }

    fn inside(&self) -> impl Iterator<Item = [u8; 3]> {
        let step = (self.core.as_raw().len() / PAIRS_MAX).max(1);
        let pixels = self.rgb.pixels().zip(self.core.pixels());
        pixels.filter(|(_, core)| core.0[0] > 0).map(|(pixel, _)| pixel.0).step_by(step)
    }

    /// The colour at full-size coordinates, mixed from four neighbours; `None` outside.
    fn at(&self, x: f32, y: f32) -> Option<[f32; 3]> {
        let u = (x - self.bounds.x as f32) * self.factor.0 - 0.5;
        let v = (y - self.bounds.y as f32) * self.factor.1 - 0.5;
        if u < 0.0 || v < 0.0 {
            return None;
        }
        let (left, top) = (u as u32, v as u32);
        if left + 1 >= self.rgb.width() || top + 1 >= self.rgb.height() {
            return None;
        }
        let (fx, fy) = (u - left as f32, v - top as f32);
        let mut sum = [0.0; 3];
        for (dx, dy, weight) in [
            (0, 0, (1.0 - fx) * (1.0 - fy)),
            (1, 0, fx * (1.0 - fy)),
            (0, 1, (1.0 - fx) * fy),
            (1, 1, fx * fy),
        ] {
            if self.core.get_pixel(left + dx, top + dy).0[0] == 0 {
                return None;
            }
            let colour = linear(self.rgb.get_pixel(left + dx, top + dy).0);
            for (sum, value) in sum.iter_mut().zip(colour) {
                *sum += value * weight;
            }
        }
        Some(sum)
    }
}

fn linear(rgb: [u8; 3]) -> [f32; 3] {
    rgb.map(srgb_to_linear)
}

/// Pairs of places under `placement`, which takes the target to the picture.
fn by_place(theirs: &Small, ours: &Small, placement: Similarity) -> Option<Vec<Pair>> {
    let count = mask::area(&theirs.core);
    let mut list = Vec::new();
    for (x, y, pixel) in theirs.rgb.enumerate_pixels() {
        if theirs.core.get_pixel(x, y).0[0] == 0 {
            continue;
        }
        let full_x = (x as f32 + 0.5) / theirs.factor.0 + theirs.bounds.x as f32;
        let full_y = (y as f32 + 0.5) / theirs.factor.1 + theirs.bounds.y as f32;
        let (x, y) = placement.apply(full_x, full_y);
        if let Some(from) = ours.at(x, y) {
            list.push(Pair { from, to: lab_of_linear(linear(pixel.0)) });
        }
    }
    let found = list.len() as f32 / count.max(1) as f32;
    if list.len() < PAIRS_MIN || found < FOUND_MIN {
        return None;
    }
    let step = list.len().div_ceil(PAIRS_MAX);
    Some(list.into_iter().step_by(step).collect())
}

/// Mean colours of equal shares of both products, darkest first: the same product under
/// another light has them in the same order.
fn by_lightness(own: &[[f32; 3]], target: &[[f32; 3]]) -> Vec<Pair> {
    let steps = STEPS.min(own.len()).min(target.len());
    let ours = shares(own, steps);
    let theirs = shares(target, steps);
    ours.into_iter().zip(theirs).map(|(from, to)| Pair { from, to: lab_of_linear(to) }).collect()
}

fn shares(colours: &[[f32; 3]], steps: usize) -> Vec<[f32; 3]> {
    let light = |c: &[f32; 3]| 0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2];
    let mut sorted = colours.to_vec();
    sorted.sort_by(|a, b| light(a).total_cmp(&light(b)));
    (0..steps)
        .map(|step| {
            let share = &sorted[step * sorted.len() / steps..(step + 1) * sorted.len() / steps];
            let n = share.len().max(1) as f32;
            std::array::from_fn(|c| share.iter().map(|colour| colour[c]).sum::<f32>() / n)
        })
        .collect()
}
