//! Light that lies on a surface: glare, creases, shadows.
//!
//! What the surface would look like without it is stretched as a membrane over the mask from
//! the pixels around. Only the smooth difference to that is taken away, in linear light, so
//! the surface's fine texture stays; and never all of it, so gloss stays gloss. Glare adds
//! white light to a surface (dichromatic model, Shafer 1985), shadows and creases multiply.

use image::{GrayImage, Luma, Rgb, RgbImage};
use packshot_imaging::blur::{Plane, gaussian};
use packshot_imaging::colour::{linear_to_srgb, srgb_to_linear};
use packshot_imaging::mask;
use packshot_imaging::photo::Rect;

use super::super::inpaint;
use super::super::{EditRequest, Kept, Outcome, feather};

/// Width in px over which an effect fades out beyond the mask.
const RIM: f32 = 2.0;
/// Pixels around the mask that say what the surface looks like.
const MARGIN: u32 = 24;
/// Texture finer than this, in px, is never touched.
const FINE: f32 = 1.6;
/// Darkest shadow that is lifted, as a share of the lit surface; below there is only noise.
const SHADE_MIN: f32 = 0.12;

/// What seems wrong inside a mask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    /// Brighter than its surroundings and less coloured.
    Glare,
    /// Darker than its surroundings, of the same colour.
    Shadow,
    /// Neither.
    Unclear,
}

/// Linear light of the part of an image around a mask, with the surface as it should be.
struct Lit {
    rect: Rect,
    w: usize,
    /// Linear light, per channel.
    light: [Vec<f32>; 3],
    /// The same without texture finer than [`FINE`].
    smooth: [Vec<f32>; 3],
    /// The membrane from outside the mask.
    base: [Vec<f32>; 3],
    /// Inside the mask.
    inside: Vec<bool>,
}

impl Lit {
    fn of(image: &RgbImage, area: &GrayImage) -> Option<Lit> {
        let bounds = mask::bounds(area, mask::SET)?;
        let margin = MARGIN.max(bounds.w.max(bounds.h) / 4);
        let rect = feather::grown(bounds, margin, image.width(), image.height());
        let (w, h) = (rect.w as usize, rect.h as usize);
        let pixel = |at: usize| image.get_pixel(rect.x + (at % w) as u32, rect.y + (at / w) as u32).0;
        let light: [Vec<f32>; 3] =
            std::array::from_fn(|c| (0..w * h).map(|at| srgb_to_linear(pixel(at)[c])).collect());
        let part = feather::crop(area, rect);
        let inside: Vec<bool> = part.pixels().map(|p| p.0[0] >= mask::SET).collect();
        let outside: Vec<bool> = inside.iter().map(|inside| !inside).collect();
        if outside.iter().all(|outside| !outside) {
            return None;
        }
        let smooth = std::array::from_fn(|c| blurred(&light[c], rect, FINE));
        let base = std::array::from_fn(|c| {
            let rim = blurred_where(&light[c], &outside, rect, 3.0);
            inpaint::membrane(&rim, &outside, w)
        });
        Some(Lit { rect, w, light, smooth, base, inside })
    }

    fn mean_inside(&self, value: impl Fn(usize) -> f32) -> f32 {
        let (mut sum, mut count) = (0.0, 0.0_f32);
        for at in (0..self.inside.len()).filter(|at| self.inside[*at]) {
            sum += value(at);
            count += 1.0;
        }
        sum / count.max(1.0)
    }

    /// The outcome with `light` in place of the old light, blended inside the feathered mask.
    fn outcome(
        &self,
        request: &EditRequest,
        area: &GrayImage,
        light: &[Vec<f32>; 3],
        note: String,
    ) -> Outcome {
        let mut image = request.image.clone();
        for at in (0..self.inside.len()).filter(|at| self.inside[*at]) {
            let rgb = std::array::from_fn(|c| linear_to_srgb(light[c][at].clamp(0.0, 1.0)));
            image.put_pixel(self.rect.x + (at % self.w) as u32, self.rect.y + (at / self.w) as u32, Rgb(rgb));
        }
        let soft = feather::feathered(area, RIM);
        Outcome {
            image: feather::blend(request.image, &image, &soft),
            alpha: request.alpha.cloned(),
            touched: soft,
            notes: vec![note],
            kept: Kept::Image { x: 0, y: 0 },
        }
    }
}

fn blurred(values: &[f32], rect: Rect, sigma: f32) -> Vec<f32> {
    gaussian(&Plane { width: rect.w, height: rect.h, data: values.to_vec() }, sigma).data
}

/// Blur from those pixels only for which `known` holds.
fn blurred_where(values: &[f32], known: &[bool], rect: Rect, sigma: f32) -> Vec<f32> {
    let weights: Vec<f32> = known.iter().map(|known| f32::from(u8::from(*known))).collect();
    let weighted: Vec<f32> = values.iter().zip(&weights).map(|(v, weight)| v * weight).collect();
    let (sums, spread) = (blurred(&weighted, rect, sigma), blurred(&weights, rect, sigma));
    let of = |((sum, weight), value): ((f32, f32), &f32)| if weight > 1e-3 { sum / weight } else { *value };
    sums.into_iter().zip(spread).zip(values).map(of).collect()
}

fn luminance(planes: &[Vec<f32>; 3], at: usize) -> f32 {
    0.2126 * planes[0][at] + 0.7152 * planes[1][at] + 0.0722 * planes[2][at]
}

fn unchanged(request: &EditRequest, note: &str) -> Outcome {
    super::unchanged(request, note)
}

/// Tells glare from shadow by the light inside the mask against the membrane.
pub(super) fn diagnose(image: &RgbImage, area: &GrayImage) -> Fault {
    let Some(lit) = Lit::of(image, area) else { return Fault::Unclear };
    let ratio = lit.mean_inside(|at| luminance(&lit.smooth, at))
        / lit.mean_inside(|at| luminance(&lit.base, at)).max(1e-4);
    let chroma = |planes: &[Vec<f32>; 3], at: usize| {
        let rgb = [planes[0][at], planes[1][at], planes[2][at]];
        let (low, high) = rgb.iter().fold((1.0_f32, 0.0_f32), |(low, high), v| (low.min(*v), high.max(*v)));
        (high - low) / high.max(0.02)
    };
    let paler =
        lit.mean_inside(|at| chroma(&lit.smooth, at)) <= lit.mean_inside(|at| chroma(&lit.base, at)) + 0.05;
    if ratio > 1.12 && paler {
        Fault::Glare
    } else if ratio < 0.85 {
        Fault::Shadow
    } else {
        Fault::Unclear
    }
}

/// Takes `strength` of the glare inside `area` away. Where the sensor was not clipped the
/// surface's own detail comes back; where it was, its surroundings are continued.
pub(super) fn glare(request: &EditRequest, area: &GrayImage, strength: f32) -> Outcome {
    let Some(lit) = Lit::of(request.image, area) else {
        return unchanged(request, "the mask leaves no surroundings to compare with");
    };
    let added = specular(&lit, area);
    let mut surface = uncovered(&lit, &added);
    let core = core(request.image, &lit, &added);
    if mask::area(&core) > 0 {
        continue_into(request.image, &lit, &core, &mut surface);
    }
    let mut light = lit.light.clone();
    for (plane, surface) in light.iter_mut().zip(&surface) {
        for at in (0..lit.inside.len()).filter(|at| lit.inside[*at]) {
            plane[at] += (surface[at] - plane[at]) * strength;
        }
    }
    let share = mask::area(&core) as f32 / mask::area(area).max(1) as f32 * 100.0;
    let continued = if share >= 0.5 {
        format!("; {share:.0} % of the area was clipped and is continued from around")
    } else {
        String::new()
    };
    let note = format!("reduced glare by {:.0} %{continued}", strength * 100.0);
    lit.outcome(request, area, &light, note)
}

/// White light added inside the mask, linear, per pixel.
///
/// It lifts all channels alike, so it is at most what the darkest channel has too much of. It
/// is smooth, so what is brighter on a smaller scale is print or texture and stays.
fn specular(lit: &Lit, area: &GrayImage) -> Vec<f32> {
    let count = lit.inside.len();
    let darkest = |planes: &[Vec<f32>; 3], at: usize| planes[0][at].min(planes[1][at]).min(planes[2][at]);
    let own: Vec<f32> = (0..count).map(|at| darkest(&lit.smooth, at)).collect();
    let outside: Vec<bool> = lit.inside.iter().map(|inside| !inside).collect();
    let rim = blurred_where(&own, &outside, lit.rect, 3.0);
    let base = inpaint::membrane(&rim, &outside, lit.w);
    let excess: Vec<f32> =
        (0..count).map(|at| if lit.inside[at] { (own[at] - base[at]).max(0.0) } else { 0.0 }).collect();
    let reach = (feather::thickness(area) / 16.0).clamp(1.0, 12.0) as usize;
    let opened = extreme(&extreme(&excess, lit.w, reach, f32::min), lit.w, reach, f32::max);
    let smooth = blurred(&opened, lit.rect, reach as f32 / 2.0);
    smooth.into_iter().zip(own).map(|(added, own)| added.min(own)).collect()
}

/// Minimum or maximum over a square of `reach` px on each side.
fn extreme(values: &[f32], w: usize, reach: usize, pick: fn(f32, f32) -> f32) -> Vec<f32> {
    let h = values.len() / w.max(1);
    let across: Vec<f32> = (0..values.len())
        .map(|at| {
            let (x, row) = (at % w, at / w * w);
            let near = &values[row + x.saturating_sub(reach)..row + (x + reach + 1).min(w)];
            near.iter().copied().fold(values[at], pick)
        })
        .collect();
    (0..values.len())
        .map(|at| {
            let (x, y) = (at % w, at / w);
            let rows = y.saturating_sub(reach)..(y + reach + 1).min(h);
            rows.map(|y| across[y * w + x]).fold(across[at], pick)
        })
        .collect()
}

/// The surface without the added light. A channel that was clipped cannot say how bright it
/// was; it follows the least clipped one in the ratio of the surroundings.
fn uncovered(lit: &Lit, added: &[f32]) -> [Vec<f32>; 3] {
    let mut surface = lit.light.clone();
    for at in (0..lit.inside.len()).filter(|at| lit.inside[*at] && added[*at] > 0.0) {
        let open: [f32; 3] = std::array::from_fn(|c| (lit.light[c][at] - added[at]).max(0.0));
        let clip: [f32; 3] = std::array::from_fn(|c| step(0.88, 0.98, lit.light[c][at]));
        let guide = (0..3).fold(0, |best, c| if lit.light[c][at] < lit.light[best][at] { c } else { best });
        for c in 0..3 {
            let ratio = (lit.base[c][at] / lit.base[guide][at].max(0.004)).clamp(0.0, 12.0);
            let followed = (open[guide] * ratio).clamp(open[c], lit.light[c][at].max(open[c]));
            surface[c][at] = open[c] * (1.0 - clip[c]) + followed * clip[c];
        }
    }
    surface
}

/// Where every channel was clipped by added light, with a rim; of the image's size.
fn core(image: &RgbImage, lit: &Lit, added: &[f32]) -> GrayImage {
    let mut core = GrayImage::new(image.width(), image.height());
    for at in (0..lit.inside.len()).filter(|at| lit.inside[*at] && added[*at] > 0.1) {
        let (x, y) = (lit.rect.x + (at % lit.w) as u32, lit.rect.y + (at / lit.w) as u32);
        if image.get_pixel(x, y).0.iter().all(|v| *v >= 248) {
            core.put_pixel(x, y, Luma([255]));
        }
    }
    mask::dilate(&core, 2)
}

/// Fills the clipped core of `surface` from the surface around it, already free of glare.
fn continue_into(image: &RgbImage, lit: &Lit, core: &GrayImage, surface: &mut [Vec<f32>; 3]) {
    let mut open = image.clone();
    let place = |at: usize| (lit.rect.x + (at % lit.w) as u32, lit.rect.y + (at / lit.w) as u32);
    for at in (0..lit.inside.len()).filter(|at| lit.inside[*at]) {
        let (x, y) = place(at);
        open.put_pixel(x, y, Rgb(std::array::from_fn(|c| linear_to_srgb(surface[c][at].clamp(0.0, 1.0)))));
    }
    let Ok(filled) = inpaint::fill(&open, core, None, None) else { return };
    for at in 0..lit.inside.len() {
        let (x, y) = place(at);
        if core.get_pixel(x, y).0[0] >= mask::SET {
            for (plane, level) in surface.iter_mut().zip(filled.image.get_pixel(x, y).0) {
                plane[at] = srgb_to_linear(level);
            }
        }
    }
}

fn step(low: f32, high: f32, value: f32) -> f32 {
    let t = ((value - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// Attenuates a crease: the middle band of its shading, lighter and darker alike. A mask that
/// hugs the crease gives the surface around it; in a wide one only what is both soft-edged
/// and line-like is evened out, so print stays.
pub(super) fn crease(request: &EditRequest, area: &GrayImage, strength: f32) -> Outcome {
    let Some(lit) = Lit::of(request.image, area) else {
        return unchanged(request, "the mask leaves no surroundings to compare with");
    };
    let unit = (request.image.width().min(request.image.height()) as f32 / 1000.0).max(1.0);
    let hugging = feather::thickness(area) <= 40.0 * unit;
    let count = lit.inside.len();
    let log = |planes: &[Vec<f32>; 3]| {
        (0..count).map(|at| (luminance(planes, at) + 0.004).ln()).collect::<Vec<f32>>()
    };
    let own = log(&lit.smooth);
    let wanted = if hugging { log(&lit.base) } else { blurred(&own, lit.rect, 9.0 * unit) };
    let sharp = sharpness(&log(&lit.light), lit.w);
    let mut light = lit.light.clone();
    for at in (0..count).filter(|at| lit.inside[*at]) {
        let band = own[at] - wanted[at];
        let trusted = if hugging { 1.0 } else { 1.0 - step(0.10, 0.25, sharp[at]) };
        let gain = (-band.clamp(-0.9, 0.9) * strength * trusted).exp();
        for plane in &mut light {
            plane[at] *= gain;
        }
    }
    let how = if hugging { "" } else { ", print and sharp edges left alone" };
    lit.outcome(
        request,
        area,
        &light,
        format!("evened the crease's shading by {:.0} %{how}", strength * 100.0),
    )
}

/// Largest step to a neighbour, spread over three pixels.
fn sharpness(log: &[f32], w: usize) -> Vec<f32> {
    let h = log.len() / w.max(1);
    let steps: Vec<f32> = (0..log.len())
        .map(|at| {
            let right = if at % w + 1 < w { (log[at + 1] - log[at]).abs() } else { 0.0 };
            let down = if at / w + 1 < h { (log[at + w] - log[at]).abs() } else { 0.0 };
            right.max(down)
        })
        .collect();
    (0..log.len())
        .map(|at| {
            let (x, y) = (at % w, at / w);
            let rows = y.saturating_sub(2)..(y + 3).min(h);
            rows.flat_map(|y| steps[y * w + x.saturating_sub(2)..y * w + (x + 3).min(w)].iter())
                .fold(0.0_f32, |a, b| a.max(*b))
        })
        .collect()
}

/// Lifts a shadow inside `area` by `strength`. Only pixels of the surrounding surface's own
/// hue say how dark the shadow is, so a darker material in it stays darker.
pub(super) fn shadow(request: &EditRequest, area: &GrayImage, strength: f32) -> Outcome {
    let Some(lit) = Lit::of(request.image, area) else {
        return unchanged(request, "the mask leaves no surroundings to compare with");
    };
    let count = lit.inside.len();
    let mut like = vec![false; count];
    let mut shade = vec![1.0_f32; count];
    for at in 0..count {
        let (own, base) = (luminance(&lit.smooth, at), luminance(&lit.base, at));
        let ratio = own / base.max(1e-3);
        let hue = (0..3)
            .map(|c| (lit.smooth[c][at] / own.max(1e-3) - lit.base[c][at] / base.max(1e-3)).abs())
            .fold(0.0, f32::max);
        shade[at] = ratio.clamp(SHADE_MIN, 1.0);
        like[at] = hue < 0.35;
    }
    let spread = blurred_where(&shade, &like, lit.rect, 1.5);
    let shade = inpaint::membrane(&spread, &like, lit.w);
    let mut light = lit.light.clone();
    for at in (0..count).filter(|at| lit.inside[*at]) {
        let gain = shade[at].clamp(SHADE_MIN, 1.0).powf(-strength);
        for plane in &mut light {
            plane[at] *= gain;
        }
    }
    lit.outcome(request, area, &light, format!("lifted the shadow by {:.0} %", strength * 100.0))
}

/// The photo with its own ground shadow (255 = none) lighter and softer, and where it changed.
/// Product pixels of full coverage stay.
pub(super) fn softened(
    image: &RgbImage,
    alpha: &GrayImage,
    shadow: &GrayImage,
    strength: f32,
) -> (RgbImage, GrayImage) {
    let (w, h) = image.dimensions();
    let rect = Rect { x: 0, y: 0, w, h };
    let sigma = 1.0 + strength * w.min(h) as f32 / 150.0;
    let old: Vec<f32> = shadow.pixels().map(|p| (f32::from(p.0[0]) / 255.0).max(SHADE_MIN)).collect();
    let lighter: Vec<f32> = old.iter().map(|s| s.powf(1.0 - strength)).collect();
    let new = blurred(&lighter, rect, sigma);
    let free: Vec<bool> = alpha.pixels().map(|p| p.0[0] == 0).collect();
    let mut out = image.clone();
    let mut touched = GrayImage::new(w, h);
    for c in 0..3 {
        let lit: Vec<f32> = image.pixels().zip(&old).map(|(p, s)| f32::from(p.0[c]) / s).collect();
        let behind = inpaint::membrane(&lit, &free, w as usize);
        for (at, pixel) in out.pixels_mut().enumerate() {
            let (x, y) = (at as u32 % w, at as u32 / w);
            let cover = f32::from(alpha.get_pixel(x, y).0[0]) / 255.0;
            let change = (1.0 - cover) * behind[at].min(255.0) * (new[at] - old[at]);
            let value = (f32::from(pixel.0[c]) + change).round().clamp(0.0, 255.0) as u8;
            if value != pixel.0[c] {
                pixel.0[c] = value;
                touched.put_pixel(x, y, Luma([255]));
            }
        }
    }
    (out, touched)
}
