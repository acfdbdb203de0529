//! First segmenter: what differs from the background's smooth surface, with shadows followed
//! outside in.
//!
//! A shadow on a sweep is the surface times a factor: darker, same chroma, and without a sharp
//! edge. So it can be reached from the open background without crossing one, while a product
//! stands behind its outline, be it ever so faint. A wall above a table is two surfaces.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use image::GrayImage;

use super::sharp::sharpness;
use super::surface::{Surface, median};
use crate::blur::{Plane, box_blur, gaussian};
use crate::colour::LabImage;
use crate::mask;

/// One smooth part of the background: all of it, or the table under a wall.
#[derive(Clone, Debug)]
struct Layer {
    surface: Surface,
    /// Robust standard deviation of the background around the surface, in Lab units.
    noise: f32,
    /// Distance from which a pixel is not of this surface.
    threshold: f32,
    /// First row in which it counts.
    top: usize,
}

/// How carefully to flood.
#[derive(Clone, Copy, Debug)]
struct Care {
    /// Sharpness that stops the flood, 1 = what the background's own grain hardly has.
    edge: f32,
    /// Half the width in px of the narrowest passage for a shadow.
    width: u32,
    /// Lightness, as a share of the background's, below which nothing is shadow any more.
    dark: f32,
}

/// Edges and passages with which a flood is tried, and how dark its shadows may be.
const CARE: [(f32, u32); 3] = [(1.0, 2), (0.6, 3), (0.35, 5)];
const DARK: [f32; 4] = [0.4, 0.58, 0.72, 0.84];

/// A shadow darker than this is one only where the flood has followed it there.
const DARK_USUAL: f32 = 0.58;

/// How much lighter than the darkest place on the way a shadow may get again, as a share of
/// the background's lightness: grain, and light that falls in from the side.
const LIGHTER_MAX: f32 = 0.045;

/// A pixel that a shadow has been followed to, and the darkest place on the lightest way to it.
#[derive(PartialEq)]
struct Front {
    darkest: f32,
    at: usize,
}

impl Eq for Front {}

impl PartialOrd for Front {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Front {
    fn cmp(&self, other: &Self) -> Ordering {
        self.darkest.total_cmp(&other.darkest).then(self.at.cmp(&other.at))
    }
}

/// What the surfaces say about every pixel.
#[derive(Clone, Debug)]
pub(crate) struct Background {
    layers: Vec<Layer>,
    /// Which layer each pixel is nearest to.
    layer: Vec<u8>,
    /// Distance of each pixel to its layer, 1 = the threshold.
    pub reach: Vec<f32>,
    /// Background reached from the frame without crossing a sharp edge, shadows included.
    pub reached: Vec<bool>,
    /// The part of `reached` that is shadow.
    pub shadow: Vec<bool>,
    /// Looks like background and lies behind nothing but a faint edge: white on white.
    pub doubtful: Vec<bool>,
    /// Sharpness of each pixel's edge over what the background's grain has, 1 = an edge.
    pub sharp: Vec<f32>,
    /// Mean step between a pixel and its surroundings, over 5x5 pixels, 1 = no shadow.
    texture: Vec<f32>,
    /// Texture below which a pixel is too smooth for this background; 0 on a sweep.
    texture_min: f32,
    /// Least texture within 3 px: not raised by an edge nearby.
    pub grain: Vec<f32>,
    /// Distance in px to what was reached.
    pub depth: Vec<f32>,
    /// Lightness, as a share of the background's, below which nothing is shadow.
    dark: f32,
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

impl Layer {
    fn fit(image: &LabImage, top: usize, member: impl Fn(usize) -> bool) -> Option<Layer> {
        let surface = Surface::fit(image, &member)?;
        let w = image.width as usize;
        let mut layer = Layer { surface, noise: 1.0, threshold: 1.0, top };
        let distances = (0..image.l.len()).filter(|&at| member(at)).map(|at| layer.distance(image, w, at));
        layer.noise = 1.48 * median(distances.collect());
        layer.threshold = (1.5 + 3.0 * layer.noise).clamp(2.0, 14.0);
        Some(layer)
    }

    fn distance(&self, image: &LabImage, w: usize, at: usize) -> f32 {
        let [l, a, b] = self.surface.at(at % w, at / w);
        let (l, a, b) = (image.l[at] - l, image.a[at] - a, image.b[at] - b);
        (l * l + a * a + b * b).sqrt()
    }
}

impl Background {
    /// Models the background from the pixels that `seed` names (usually the frame's border),
    /// then again from all that it reaches. `None` when there are too few to tell.
    pub(crate) fn fit(image: &LabImage, seed: impl Fn(usize) -> bool) -> Option<Background> {
        let mut layers = vec![Layer::fit(image, 0, &seed)?];
        if let Some((upper, lower)) = table(image, &layers[0], &seed) {
            layers = vec![upper, lower];
        }
        let sharp = sharpness(image);
        let light = Plane { width: image.width, height: image.height, data: image.l.clone() };
        let calm = box_blur(&light, 1);
        let texture = box_blur(&light.zip(&calm, |l, c| (l - c).abs()), 2).data;
        let count = image.l.len();
        let mut model = Background {
            layers,
            layer: vec![0; count],
            reach: vec![0.0; count],
            reached: vec![false; count],
            shadow: vec![false; count],
            doubtful: vec![false; count],
            sharp: vec![0.0; count],
            texture: vec![0.0; count],
            texture_min: 0.0,
            grain: vec![0.0; count],
            depth: vec![0.0; count],
            dark: DARK[0],
        };
        model.measure(image, &sharp, &texture, &seed, &seed);
        for _ in 0..2 {
            let open: Vec<bool> = (0..count).map(|at| model.reached[at] && !model.shadow[at]).collect();
            for k in 0..model.layers.len() {
                let member = |at: usize| open[at] && usize::from(model.layer[at]) == k;
                if let Some(next) = Layer::fit(image, model.layers[k].top, member) {
                    model.layers[k] = next;
                }
            }
            model.measure(image, &sharp, &texture, &seed, |at| open[at]);
        }
        model.choose(image, &seed);
        model.grain = least(&model.texture, image.width as usize, 3);
        model.depth = mask::distance_outside(&as_mask(&model.reached, image)).data;
        Some(model)
    }

    /// Number of surfaces: one, or a table and the wall above it.
    pub(crate) fn surfaces(&self) -> usize {
        self.layers.len()
    }

    /// The background's colour at a pixel.
    pub(crate) fn colour(&self, image: &LabImage, at: usize) -> [f32; 3] {
        let w = image.width as usize;
        self.layers[usize::from(self.layer[at])].surface.at(at % w, at / w)
    }

    /// Robust standard deviation of the noisiest layer, in Lab units.
    pub(crate) fn noise(&self) -> f32 {
        self.layers.iter().map(|layer| layer.noise).fold(0.0, f32::max)
    }

    /// How far the surface can be trusted at a pixel: 1 on a smooth sweep, 0 on texture.
    pub(crate) fn plainness(&self, at: usize) -> f32 {
        ((7.0 - self.layers[usize::from(self.layer[at])].noise) / 4.0).clamp(0.0, 1.0)
    }

    fn measure(
        &mut self,
        image: &LabImage,
        sharp: &[f32],
        texture: &[f32],
        seed: impl Fn(usize) -> bool,
        member: impl Fn(usize) -> bool,
    ) {
        let w = image.width as usize;
        for at in 0..image.l.len() {
            let mut best = (f32::INFINITY, 0);
            for (k, layer) in self.layers.iter().enumerate() {
                if at / w < layer.top {
                    continue;
                }
                let reach = layer.distance(image, w, at) / layer.threshold;
                if reach < best.0 {
                    best = (reach, k);
                }
            }
            (self.reach[at], self.layer[at]) = (best.0, best.1 as u8);
        }
        let of_members = |values: &[f32], share: f32| {
            let mut values: Vec<f32> =
                values.iter().enumerate().filter(|&(at, _)| member(at)).map(|(_, &v)| v).collect();
            let rank = (values.len() as f32 * share) as usize;
            if rank >= values.len() { 0.0 } else { *values.select_nth_unstable_by(rank, f32::total_cmp).1 }
        };
        let edge = 0.2 + 1.5 * of_members(sharp, 0.9);
        let usual = of_members(texture, 0.5);
        let grain = 0.7 + 3.0 * usual;
        // On cloth or plaster a smooth place is not background, nor a shadow on it.
        self.texture_min = if usual > 0.8 { 0.4 * usual / grain } else { 0.0 };
        self.sharp = sharp.iter().map(|v| v / edge).collect();
        self.texture = texture.iter().map(|v| v / grain).collect();
        self.flood(image, seed, Care { edge: CARE[0].0, width: CARE[0].1, dark: DARK[0] });
    }

    /// Floods with more and more care, then with ever lighter shadows, and keeps the answer
    /// whose outline fits the photo's sharp edges best: too little care runs through faint
    /// outlines and soft contacts into the product, too much leaves shadows on it.
    fn choose(&mut self, image: &LabImage, seed: impl Fn(usize) -> bool) {
        let mut best: Option<(f32, Care, Background)> = None;
        for (edge, width) in CARE {
            let care = Care { edge, width, dark: DARK[0] };
            let misfit = self.attempt(image, &seed, care);
            if best.as_ref().is_none_or(|(least, ..)| misfit < *least) {
                best = Some((misfit, care, self.clone()));
            }
        }
        for dark in &DARK[1..] {
            let Some((least, care, chosen)) = &mut best else { return };
            if chosen.darkest_shadow(image) > *dark {
                chosen.dark = chosen.dark.max(dark.min(DARK_USUAL));
                continue;
            }
            let misfit = self.attempt(image, &seed, Care { dark: *dark, ..*care });
            if misfit < *least || (misfit == *least && *dark <= DARK_USUAL) {
                (*least, *chosen) = (misfit, self.clone());
            }
        }
        if let Some((.., chosen)) = best {
            *self = chosen;
        }
    }

    /// Floods with `care` and says how badly the outline fits.
    fn attempt(&mut self, image: &LabImage, seed: impl Fn(usize) -> bool, care: Care) -> f32 {
        self.flood(image, seed, care);
        self.open_holes(image, care);
        let product: Vec<bool> = self.reached.iter().map(|reached| !reached).collect();
        self.misfit(image, &product)
    }

    /// Lightness of the darkest shadow as a share of the background's; 1 without any.
    fn darkest_shadow(&self, image: &LabImage) -> f32 {
        (0..image.l.len()).filter(|&at| self.shadow[at]).map(|at| self.shade(image, at)).fold(1.0, f32::min)
    }

    /// Lightness of a pixel as a share of the background's there.
    pub(crate) fn shade(&self, image: &LabImage, at: usize) -> f32 {
        image.l[at] / self.colour(image, at)[0].max(1.0)
    }

    /// Whether a pixel is no darker than shadows usually are, and could be one.
    pub(crate) fn usual_shadow(&self, image: &LabImage, at: usize) -> bool {
        self.could_be_shadow(image, at) && self.shade(image, at) > DARK_USUAL
    }

    /// Length in px of the product's outline without a sharp edge and of sharp edges without an
    /// outline.
    pub(crate) fn misfit(&self, image: &LabImage, product: &[bool]) -> f32 {
        let product = mask::open(&as_mask(product, image), 1);
        let sharp: Vec<bool> = self.sharp.iter().map(|&sharp| sharp > 1.0).collect();
        let sharp = as_mask(&sharp, image);
        let outline = mask::difference(&product, &mask::erode(&product, 1));
        let bare = mask::area(&mask::difference(&outline, &mask::dilate(&sharp, 3)));
        let lost = mask::area(&mask::difference(&sharp, &mask::dilate(&product, 4)));
        // An edge is about three sharp pixels wide.
        bare as f32 + lost as f32 / 3.0
    }

    /// Marks the open background, then shadows, then what only a faint edge keeps away.
    fn flood(&mut self, image: &LabImage, seed: impl Fn(usize) -> bool, care: Care) {
        self.dark = care.dark;
        let count = self.reach.len();
        let seeds: Vec<usize> = (0..count).filter(|&at| seed(at) && self.reach[at] < 1.0).collect();
        let weak = grown(image, &seeds, |at| self.reach[at] < 1.0);
        let open = wide(image, care.width / 2, |at| {
            self.reach[at] < 1.0 && self.sharp[at] < care.edge && self.texture[at] >= self.texture_min
        });
        let core = grown(image, &seeds, |at| open.as_raw()[at] > 0);
        // The open background ends before an edge; what is left up to it belongs to it.
        let near = mask::dilate(&as_mask(&core, image), 3);
        self.reached =
            (0..count).map(|at| core[at] || (near.as_raw()[at] > 0 && self.reach[at] < 1.0)).collect();
        self.shadow = vec![false; count];
        self.flood_shadows(image, care);
        self.doubtful = (0..count).map(|at| weak[at] && !self.reached[at]).collect();
    }

    /// Follows shadows from the open background, through places wide enough not to be a leak.
    ///
    /// A shadow deepens towards what throws it. What gets lighter again behind the dark line of
    /// contact is the product's foot, which mirrors the table, and not more of the shadow.
    fn flood_shadows(&mut self, image: &LabImage, care: Care) {
        let passable = wide(image, care.width, |at| {
            self.reached[at]
                || (self.texture[at] < 1.0 && self.sharp[at] < care.edge && self.could_be_shadow(image, at))
        });
        for (at, followed) in self.deepening(image, |at| passable.as_raw()[at] > 0).into_iter().enumerate() {
            if followed && !self.reached[at] {
                self.shadow[at] = true;
                self.reached[at] = true;
            }
        }
    }

    /// What is reached from the background through what `passes`, the background included, without
    /// its getting lighter again on the way, as a shadow does not towards what throws it.
    pub(super) fn deepening(&self, image: &LabImage, passes: impl Fn(usize) -> bool) -> Vec<bool> {
        let count = self.reach.len();
        let light = self.light(image);
        let mut darkest = vec![f32::NEG_INFINITY; count];
        let mut front = BinaryHeap::new();
        for at in (0..count).filter(|&at| self.reached[at]) {
            darkest[at] = 1.0;
            front.push(Front { darkest: 1.0, at });
        }
        let (w, h) = (image.width as usize, image.height as usize);
        while let Some(Front { darkest: here, at }) = front.pop() {
            if here < darkest[at] {
                continue;
            }
            beside(at, w, h, |next| {
                let there = here.min(light[next]);
                if passes(next) && light[next] <= here + LIGHTER_MAX && there > darkest[next] {
                    darkest[next] = there;
                    front.push(Front { darkest: there, at: next });
                }
            });
        }
        darkest.into_iter().map(|darkest| darkest > f32::NEG_INFINITY).collect()
    }

    /// Lightness of each pixel as a share of its background's, smoothed over the grain.
    fn light(&self, image: &LabImage) -> Vec<f32> {
        let ratio = (0..image.l.len()).map(|at| self.shade(image, at)).collect();
        gaussian(&Plane { width: image.width, height: image.height, data: ratio }, 1.0).data
    }

    /// Opens the enclosed regions through which the background is seen (a mug's handle, a
    /// watch strap's loop) and follows the shadows in them.
    ///
    /// Such a region matches the surface, is enclosed by something that clearly does not, and
    /// that is not much thicker than the region is wide; a white label in the middle of a
    /// product on white is not opened.
    fn open_holes(&mut self, image: &LabImage, care: Care) {
        let (w, h) = (image.width as usize, image.height as usize);
        let like: Vec<bool> =
            (0..w * h).map(|at| !self.reached[at] && !self.doubtful[at] && self.reach[at] < 1.0).collect();
        let thickness = mask::distance_outside(&as_mask(&self.reached, image));
        let like = as_mask(&like, image);
        let radius = mask::distance_inside(&like);
        let labels = mask::label(&like);
        let mut measures = vec![(f32::INFINITY, 0.0_f32, 0.0_f32); labels.components.len() + 1];
        for (at, &label) in labels.map.iter().enumerate() {
            let measure = &mut measures[label as usize];
            *measure = (
                measure.0.min(thickness.data[at]),
                measure.1.max(radius.data[at]),
                measure.2 + self.texture[at],
            );
        }
        let smallest = (w * h / 12_000).max(6) as u64;
        let open = labels.select(|c| {
            let (thickness, radius, texture) = measures[c.label as usize];
            let alike = texture / c.area.max(1) as f32 >= self.texture_min;
            alike && c.area >= smallest && radius >= 2.0 && thickness <= 4.0 * radius + 2.0
        });
        for (reached, &open) in self.reached.iter_mut().zip(open.as_raw()) {
            *reached |= open > 0;
        }
        self.flood_shadows(image, care);
    }

    /// Darker than the surface, but not black, or a little lighter (uneven light), and of the
    /// surface's chroma.
    pub(crate) fn could_be_shadow(&self, image: &LabImage, at: usize) -> bool {
        let layer = &self.layers[usize::from(self.layer[at])];
        let [l, a, b] = self.colour(image, at);
        let ratio = image.l[at] / l.max(1.0);
        let chroma = (image.a[at] - a * ratio).hypot(image.b[at] - b * ratio);
        self.texture[at] >= self.texture_min
            && ratio > self.dark
            && ratio < 1.25
            && chroma < 5.0 + 1.5 * layer.noise
    }
}

/// Finds a table under a wall: a lower part of the border, across the whole frame, that the
/// first surface does not explain. Returns both parts' surfaces.
fn table(image: &LabImage, first: &Layer, seed: impl Fn(usize) -> bool) -> Option<(Layer, Layer)> {
    let (w, h) = (image.width as usize, image.height as usize);
    // A horizon shows as the row at which the border's sides change most, on both sides alike.
    let side = ((w.min(h) as f32 * RING) as usize).max(2);
    let mean = |x0: usize, y0: usize, y1: usize| {
        let (mut sum, mut count) = ([0.0_f32; 3], 0.0_f32);
        for y in y0..y1 {
            for x in x0..(x0 + side).min(w) {
                let at = y * w + x;
                if seed(at) {
                    sum = [sum[0] + image.l[at], sum[1] + image.a[at], sum[2] + image.b[at]];
                    count += 1.0;
                }
            }
        }
        (count > 0.0).then(|| sum.map(|v| v / count))
    };
    let window = (h / 12).max(4);
    let step = |x0: usize, y: usize| -> f32 {
        match (mean(x0, y - window, y), mean(x0, y, y + window)) {
            (Some(a), Some(b)) => a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt(),
            _ => 0.0,
        }
    };
    let mut best = (0.0, 0);
    for y in (window.max(h / 5)..(h * 9 / 10).min(h.saturating_sub(window))).step_by(2) {
        let both = step(0, y).min(step(w.saturating_sub(side), y));
        if both > best.0 {
            best = (both, y);
        }
    }
    let (contrast, horizon) = best;
    if contrast < 4.0 {
        return None;
    }
    let gap = 3;
    let upper = Layer::fit(image, 0, |at| seed(at) && at / w + gap < horizon)?;
    let lower = Layer::fit(image, horizon.saturating_sub(gap), |at| seed(at) && at / w > horizon + gap)?;
    // Two surfaces must explain the border clearly better than one.
    let together = upper.noise.mul_add(0.5, lower.noise * 0.5);
    (together < 0.75 * first.noise).then_some((upper, lower))
}

/// The places for which `pass` says yes and that are wider than about `2 * radius` px.
fn wide(image: &LabImage, radius: u32, pass: impl Fn(usize) -> bool) -> GrayImage {
    let pass: Vec<bool> = (0..image.l.len()).map(pass).collect();
    mask::open(&as_mask(&pass, image), radius)
}

/// The smallest value within a square of `radius` px.
fn least(plane: &[f32], w: usize, radius: usize) -> Vec<f32> {
    let h = plane.len() / w.max(1);
    let pass = |from: &[f32], along: usize, count: usize, other: usize, lines: usize| {
        let mut to = from.to_vec();
        for line in 0..lines {
            for i in 0..count {
                let window = i.saturating_sub(radius)..=(i + radius).min(count - 1);
                to[line * other + i * along] =
                    window.map(|j| from[line * other + j * along]).fold(f32::INFINITY, f32::min);
            }
        }
        to
    };
    let rows = pass(plane, 1, w, w, h);
    pass(&rows, w, h, 1, w)
}

/// What can be reached from `seeds` through pixels for which `pass` says yes.
fn grown(image: &LabImage, seeds: &[usize], pass: impl Fn(usize) -> bool) -> Vec<bool> {
    let (w, h) = (image.width as usize, image.height as usize);
    let mut reached = vec![false; image.l.len()];
    let mut stack = seeds.to_vec();
    for &at in seeds {
        reached[at] = true;
    }
    while let Some(at) = stack.pop() {
        beside(at, w, h, |next| {
            if !reached[next] && pass(next) {
                reached[next] = true;
                stack.push(next);
            }
        });
    }
    reached
}

/// The pixels that are `on` as a mask of the size of `like`.
pub(crate) fn as_mask(on: &[bool], like: &LabImage) -> GrayImage {
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
