//! First segmenter: what differs from the background's smooth surface, with shadows followed
//! outside in.
//!
//! A shadow on a sweep is the surface times a factor: darker, same chroma, and smooth from its
//! penumbra on. So it can be reached from the open background in small steps, while a product
//! stands behind an edge.

use image::GrayImage;

use super::surface::{Surface, median};
use crate::blur::{Plane, box_blur};
use crate::colour::LabImage;
use crate::mask;

/// What the surface says about every pixel.
#[derive(Clone, Debug)]
pub(crate) struct Background {
    /// The background's colour.
    pub surface: Surface,
    /// Robust standard deviation of the background around the surface, in Lab units.
    pub noise: f32,
    /// Distance of each pixel to the surface in Lab units.
    pub distance: Vec<f32>,
    /// Distance from which a pixel is not background.
    pub threshold: f32,
    /// Background reached from the frame, shadows included.
    pub reached: Vec<bool>,
    /// The part of `reached` that is shadow.
    pub shadow: Vec<bool>,
    /// Lightness averaged over 3x3 pixels.
    calm: Vec<f32>,
    /// Mean step between a pixel and its surroundings, over 5x5 pixels, in L.
    pub texture: Vec<f32>,
    /// Texture from which a pixel is no shadow.
    pub texture_max: f32,
}

/// Share of the frame's shorter side that counts as its border.
const RING: f32 = 0.03;

/// Whether a pixel lies in the frame's border.
pub(crate) fn in_ring(image: &LabImage, at: usize) -> bool {
    let (w, h) = (image.width as usize, image.height as usize);
    let ring = ((w.min(h) as f32 * RING) as usize).max(2);
    let (x, y) = (at % w, at / w);
    x < ring || y < ring || x + ring >= w || y + ring >= h
}

impl Background {
    /// Models the background from the pixels that `seed` names (usually the frame's border),
    /// then again from all that it reaches. `None` when there are too few to tell.
    pub(crate) fn fit(image: &LabImage, seed: impl Fn(usize) -> bool) -> Option<Background> {
        let mut model = Background::measure(image, Surface::fit(image, &seed)?, &seed, &seed);
        for _ in 0..2 {
            let open = |at: usize| model.reached[at] && !model.shadow[at];
            let Some(surface) = Surface::fit(image, open) else { break };
            let next = Background::measure(image, surface, &seed, open);
            model = next;
        }
        model.open_holes(image);
        Some(model)
    }

    fn measure(
        image: &LabImage,
        surface: Surface,
        seed: impl Fn(usize) -> bool,
        member: impl Fn(usize) -> bool,
    ) -> Background {
        let w = image.width as usize;
        let distance: Vec<f32> = (0..image.l.len())
            .map(|at| {
                let [l, a, b] = surface.at(at % w, at / w);
                let (l, a, b) = (image.l[at] - l, image.a[at] - a, image.b[at] - b);
                (l * l + a * a + b * b).sqrt()
            })
            .collect();
        let of_members = |values: &[f32]| {
            median(values.iter().enumerate().filter(|&(at, _)| member(at)).map(|(_, &d)| d).collect())
        };
        let noise = 1.48 * of_members(&distance);
        let threshold = (1.5 + 3.0 * noise).clamp(2.0, 14.0);
        let light = Plane { width: image.width, height: image.height, data: image.l.clone() };
        let calm = box_blur(&light, 1);
        let texture = box_blur(&light.zip(&calm, |l, c| (l - c).abs()), 2).data;
        let texture_max = 0.7 + 3.0 * of_members(&texture);
        let none = vec![false; distance.len()];
        let mut model = Background {
            surface,
            noise,
            threshold,
            reached: none.clone(),
            shadow: none,
            distance,
            calm: calm.data,
            texture,
            texture_max,
        };
        model.flood(image, seed);
        model.flood_shadows(image);
        model
    }

    /// Marks the open background.
    fn flood(&mut self, image: &LabImage, seed: impl Fn(usize) -> bool) {
        let (w, h) = (image.width as usize, image.height as usize);
        let mut stack: Vec<usize> =
            (0..self.distance.len()).filter(|&at| seed(at) && self.distance[at] < self.threshold).collect();
        for &at in &stack {
            self.reached[at] = true;
        }
        while let Some(at) = stack.pop() {
            beside(at, w, h, |next| {
                if !self.reached[next] && self.distance[next] < self.threshold {
                    self.reached[next] = true;
                    stack.push(next);
                }
            });
        }
    }

    /// Follows shadows from the open background, through places wide enough not to be a leak.
    fn flood_shadows(&mut self, image: &LabImage) {
        let (w, h) = (image.width as usize, image.height as usize);
        let step = 1.8 + 0.5 * self.noise;
        let passable: Vec<bool> = (0..self.distance.len())
            .map(|at| {
                self.reached[at] || (self.texture[at] < self.texture_max && self.could_be_shadow(image, at))
            })
            .collect();
        let wide = mask::open(&as_mask(&passable, image), 2);
        let mut stack: Vec<usize> = (0..self.distance.len()).filter(|&at| self.reached[at]).collect();
        while let Some(at) = stack.pop() {
            beside(at, w, h, |next| {
                if !self.reached[next]
                    && wide.as_raw()[next] > 0
                    && (self.calm[next] - self.calm[at]).abs() <= step
                {
                    self.reached[next] = true;
                    self.shadow[next] = true;
                    stack.push(next);
                }
            });
        }
    }

    /// Opens the enclosed regions through which the background is seen (a mug's handle, a
    /// watch strap's loop) and follows the shadows in them.
    ///
    /// Such a region matches the surface, and what encloses it is not much thicker than it is
    /// wide itself; a white label in the middle of a product on white is not opened.
    pub(crate) fn open_holes(&mut self, image: &LabImage) {
        let (w, h) = (image.width as usize, image.height as usize);
        let like: Vec<bool> =
            (0..w * h).map(|at| !self.reached[at] && self.distance[at] < self.threshold).collect();
        let reached = as_mask(&self.reached, image);
        let thickness = mask::distance_outside(&reached);
        let like = as_mask(&like, image);
        let radius = mask::distance_inside(&like);
        let labels = mask::label(&like);
        let mut measures = vec![(f32::INFINITY, 0.0_f32); labels.components.len() + 1];
        for (at, &label) in labels.map.iter().enumerate() {
            let measure = &mut measures[label as usize];
            *measure = (measure.0.min(thickness.data[at]), measure.1.max(radius.data[at]));
        }
        let smallest = (w * h / 12_000).max(6) as u64;
        let open = labels.select(|c| {
            let (thickness, radius) = measures[c.label as usize];
            c.area >= smallest && radius >= 2.0 && thickness <= 4.0 * radius + 2.0
        });
        for (reached, &open) in self.reached.iter_mut().zip(open.as_raw()) {
            *reached |= open > 0;
        }
        self.flood_shadows(image);
    }

    /// Darker than the surface, but not black, and of the surface's chroma.
    pub(crate) fn could_be_shadow(&self, image: &LabImage, at: usize) -> bool {
        let w = image.width as usize;
        let [l, a, b] = self.surface.at(at % w, at / w);
        let ratio = image.l[at] / l.max(1.0);
        let chroma = (image.a[at] - a * ratio).hypot(image.b[at] - b * ratio);
        ratio > 0.4 && ratio < 1.0 + self.threshold / l.max(1.0) && chroma < 3.0 + 2.0 * self.noise
    }
}

fn as_mask(on: &[bool], like: &LabImage) -> GrayImage {
    let pixels = on.iter().map(|&on| if on { 255 } else { 0 }).collect();
    GrayImage::from_raw(like.width, like.height, pixels).unwrap_or_default()
}

/// Visits the 4-neighbours of a pixel that lie inside the frame.
pub(crate) fn beside(at: usize, width: usize, height: usize, mut visit: impl FnMut(usize)) {
    let (x, y) = (at % width, at / width);
    if x > 0 {
        visit(at - 1);
    }
    if x + 1 < width {
        visit(at + 1);
    }
    if y > 0 {
        visit(at - width);
    }
    if y + 1 < height {
        visit(at + width);
    }
}
