//! Gives back what the last cut lost of a product that has the background's colours: a white
//! shoe's toe before a white sweep. Its outline is seen all the same, so that the surface
//! segmenter has it; but so it has the shadows beside it. A hard one is told by being even: what
//! throws a shadow has seams, folds and edges, the shadow itself has none. One that deepens is
//! told by its penumbra: the product ends in focus.

use image::GrayImage;

use super::background::{Background, as_mask, in_ring};
use super::coarse::{FAINT, mean_plainness};
use super::steep::steepness;
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

/// Least step, in L, over a penumbra that is told from an edge, and how steep it may be, as a share
/// of the product's own outline: penumbrae of photos have 0.45 to 0.48, drawn ones 0.30 to 0.34,
/// most parts of products over 0.6, few down to 0.52.
const PENUMBRA_MIN: f32 = 12.0;
const SOFT_MAX: f32 = 0.5;

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
    let soft = soft_shade(image, background, &product, cut);
    let product = mask::open(&mask::difference(&product, &soft), 1);
    if mask::area(&product) == 0 {
        return None;
    }
    // Opening rounds corners off; what is at hand there belongs to the part.
    let product = mask::dilate(&product, THIN);
    let gained = |at: usize| by_surface[at] && product.as_raw()[at] > 0 && soft.as_raw()[at] == 0;
    Some((0..cut.len()).map(|at| cut[at] || gained(at)).collect())
}

/// What deepens towards the product in a part that ends in a penumbra, where the product itself
/// ends in focus. Behind the darkest line it is the product's foot.
fn soft_shade(image: &LabImage, background: &Background, product: &GrayImage, cut: &[bool]) -> GrayImage {
    let cut = as_mask(cut, image);
    let beside_part = mask::dilate(product, RIM);
    let Some(own) = steepness(image, &cut, |at| beside_part.as_raw()[at] == 0) else {
        return GrayImage::new(image.width, image.height);
    };
    let beside_cut = mask::dilate(&cut, RIM);
    let labels = mask::label(product);
    let soft = labels.select(|c| {
        let part = labels.select(|other| other.label == c.label);
        steepness(image, &part, |at| beside_cut.as_raw()[at] == 0)
            .is_some_and(|edge| edge.contrast > PENUMBRA_MIN && edge.ratio < SOFT_MAX * own.ratio)
    });
    if mask::area(&soft) == 0 {
        return soft;
    }
    let passes = |at: usize| soft.as_raw()[at] > 0 && background.could_be_shadow(image, at);
    let followed = background.deepening(image, passes);
    let shade: Vec<bool> = followed.iter().zip(soft.as_raw()).map(|(f, s)| *f && *s > 0).collect();
    as_mask(&shade, image)
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use super::*;

    const W: usize = 240;

    /// A black block on a light ground, and to its right a strip with seams that darkens towards
    /// it and ends over `end` px.
    fn strip(end: f32) -> LabImage {
        let level = |x: usize, y: usize| {
            let grain = ((x * 7919 + y * 104_729) % 5) as f32 * 0.2;
            let seam = if y % 30 < 2 { -8.0 } else { 0.0 };
            let beside = 62.0 + 0.8 * (x as f32 - 140.0) + seam;
            let gone = ((x as f32 - 164.0) / end + 0.5).clamp(0.0, 1.0);
            grain
                + match (x, y) {
                    (60..140, 40..160) => 15.0,
                    (140..180, 40..160) => beside + (92.0 - beside) * gone,
                    _ => 92.0,
                }
        };
        let l = (0..W * 200).map(|at| level(at % W, at / W)).collect();
        LabImage { width: W as u32, height: 200, l, a: vec![0.0; W * 200], b: vec![0.0; W * 200] }
    }

    /// How much of the strip is given back, 0 to 1.
    fn given(end: f32) -> f32 {
        let image = strip(end);
        let background = Background::fit(&image, |at| in_ring(&image, at)).unwrap();
        let within = |right: usize| -> Vec<bool> {
            (0..image.l.len())
                .map(|at| (60..right).contains(&(at % W)) && (40..160).contains(&(at / W)))
                .collect()
        };
        let (cut, by_surface) = (within(140), within(164));
        let Some(back) = regained(&image, &background, &cut, &by_surface) else { return 0.0 };
        back.iter().zip(&cut).filter(|(back, cut)| **back && !**cut).count() as f32 / (24.0 * 120.0)
    }

    #[test]
    fn what_ends_in_focus_is_given_back_and_a_penumbra_is_not() {
        let (sharp, soft) = (given(1.0), given(12.0));
        assert!(sharp > 0.9, "{sharp}");
        assert!(soft < 0.1, "{soft}");
    }
}
