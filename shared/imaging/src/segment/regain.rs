//! Gives back what the last cut lost of a product that has the background's colours: a white
//! shoe's toe before a white sweep. Its outline is seen all the same, so that the surface
//! segmenter has it; but so it has the hard shadow beside it, which is told by being even: what
//! throws a shadow has seams, folds and edges, the shadow itself has none.

use image::GrayImage;

use super::background::{Background, as_mask, in_ring};
use super::coarse::{FAINT, mean_plainness};
use crate::colour::LabImage;
use crate::mask::{self, Labels};

/// Least mean plainness of a background whose surface is believed this far.
const PLAIN_MIN: f32 = 0.9;
/// Half the width of the thinnest part given back, in px: the outline itself is the cut's.
const THIN: u32 = 2;
/// How near to the cut a part must come, in px, and in how many pixels.
const NEAR: u32 = 3;
const TOUCHING_MIN: f32 = 3.0;
/// Share of the picture that the surface may leave elsewhere: more are veins of marble, or things
/// beside the product, and no plain ground.
const STRAY_MAX: f32 = 0.004;
/// What lies this far inside a part, in px, is not the edge around it.
const RIM: u32 = 6;
/// A part of which less than this share could be a shadow is none.
const SHADOW_SHARE: f32 = 0.8;
/// Share of the pixels inside a part with an edge from which it is no shadow: drawn hard shadows
/// have under 0.02 nine times in ten, parts of white products over 0.03.
const EDGES_MIN: f32 = 0.02;

/// A shadow that is worth a look covers this share of the picture, and takes this much light away.
const EVEN_AREA_MIN: f32 = 0.002;
const DARK_MIN: f32 = 0.93;
/// Deviation of a hard shadow's shade: drawn ones have up to 0.011, parts of products 0.015 and more.
const EVEN_MAX: f32 = 0.016;

/// What is known of a part that the cut leaves out.
#[derive(Clone, Copy, Default)]
struct Part {
    pixels: f32,
    /// Of them, what could be a shadow.
    shadow: f32,
    /// Of them, what lies beside the cut.
    touching: f32,
    /// Whether it reaches into the frame's border, where a product that is not cut does not.
    at_border: bool,
    /// Pixels away from its edge, and of them those with an edge.
    inside: f32,
    edges: f32,
}

impl Part {
    fn is_stray(&self) -> bool {
        self.at_border || self.touching < TOUCHING_MIN
    }

    fn is_product(&self) -> bool {
        let shadow = self.shadow >= SHADOW_SHARE * self.pixels;
        let even = self.edges <= EDGES_MIN * self.inside.max(1.0);
        !(self.is_stray() || (shadow && even))
    }
}

/// `cut` with what belongs to it of `by_surface`; `None` when there is nothing of that kind, or
/// the background is none whose surface could tell.
pub(super) fn regained(
    image: &LabImage,
    background: &Background,
    cut: &[bool],
    by_surface: &[bool],
) -> Option<Vec<bool>> {
    if background.surfaces() > 1 || mean_plainness(background) < PLAIN_MIN {
        return None;
    }
    let left: Vec<bool> = by_surface.iter().zip(cut).map(|(surface, cut)| *surface && !cut).collect();
    let left = mask::open(&as_mask(&left, image), THIN);
    let left = mask::open(&mask::difference(&left, &even_shade(image, background, &left)), THIN);
    let labels = mask::label(&left);
    let parts = parts(image, background, &left, &labels, cut);
    let stray: f32 = parts.iter().filter(|part| part.is_stray()).map(|part| part.pixels).sum();
    if stray > STRAY_MAX * image.l.len() as f32 {
        return None;
    }
    let product = labels.select(|c| parts[c.label as usize].is_product());
    if mask::area(&product) == 0 {
        return None;
    }
    // Opening rounds corners off; what is at hand there belongs to the part.
    let product = mask::dilate(&product, THIN);
    let back = |at: usize| cut[at] || (by_surface[at] && product.as_raw()[at] > 0);
    Some((0..cut.len()).map(back).collect())
}

/// What lies between edges, could be shadow all over, and is as evenly dark as only one is: what
/// is lit by itself has a bright and a dark side.
fn even_shade(image: &LabImage, background: &Background, left: &GrayImage) -> GrayImage {
    let edges: Vec<bool> = background.sharp.iter().map(|sharp| *sharp > 1.0).collect();
    let labels = mask::label(&mask::difference(left, &as_mask(&edges, image)));
    let mut sums = vec![[0.0_f32; 4]; labels.components.len() + 1];
    for (at, &label) in labels.map.iter().enumerate().filter(|(_, label)| **label > 0) {
        let shade = background.shade(image, at);
        let shadow = f32::from(u8::from(background.usual_shadow(image, at)));
        for (sum, value) in sums[label as usize].iter_mut().zip([1.0, shade, shade * shade, shadow]) {
            *sum += value;
        }
    }
    let least = image.l.len() as f32 * EVEN_AREA_MIN;
    let even = labels.select(|c| {
        let [pixels, shade, squares, shadow] = sums[c.label as usize];
        let mean = shade / pixels;
        let deviation = (squares / pixels - mean * mean).max(0.0).sqrt();
        pixels > least && shadow > 0.95 * pixels && mean < DARK_MIN && deviation < EVEN_MAX
    });
    // The shadow's own edges belong to it.
    mask::dilate(&even, THIN + 1)
}

fn parts(
    image: &LabImage,
    background: &Background,
    left: &GrayImage,
    labels: &Labels,
    cut: &[bool],
) -> Vec<Part> {
    let near = mask::dilate(&as_mask(cut, image), NEAR);
    let inside = mask::erode(left, RIM);
    let mut parts = vec![Part::default(); labels.components.len() + 1];
    for (at, &label) in labels.map.iter().enumerate().filter(|(_, label)| **label > 0) {
        let part = &mut parts[label as usize];
        let count = |yes: bool| f32::from(u8::from(yes));
        part.pixels += 1.0;
        part.shadow += count(background.usual_shadow(image, at));
        part.touching += count(near.as_raw()[at] > 0);
        part.at_border |= in_ring(image, at);
        if inside.as_raw()[at] > 0 {
            part.inside += 1.0;
            part.edges += count(background.sharp[at] > FAINT);
        }
    }
    parts
}
