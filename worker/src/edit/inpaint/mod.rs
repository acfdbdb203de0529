//! Filling holes from their surroundings, with the texture kept.
//!
//! Three methods, each where it is best: small holes by frequency-selective extrapolation,
//! holes in smooth surfaces by a membrane, large holes in textured surroundings by exemplars;
//! all get their grain back. Measured by `tests/src/bin/edit_bench.rs`.

mod exemplar;
mod fourier;
mod frequency;
mod grain;
mod surface;
mod window;

use std::collections::BTreeMap;

use image::{GrayImage, RgbImage};
use packshot_imaging::mask::{self, Component, Labels};
use packshot_imaging::photo::Rect;
use rayon::prelude::*;

use super::feather;
pub(super) use grain::random;
pub(super) use surface::membrane;

use frequency::Fineness;
use window::Window;

/// How a hole is filled.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Method {
    /// A membrane over the hole: sweeps, walls, table tops.
    Surface,
    /// Frequency-selective extrapolation: dust, scratches, creases, blobs.
    Frequency,
    /// Patches from around: large holes in structured surroundings.
    Exemplar,
}

impl Method {
    /// The word used in settings and notes.
    pub fn word(self) -> &'static str {
        match self {
            Method::Surface => "surface",
            Method::Frequency => "frequency",
            Method::Exemplar => "exemplar",
        }
    }

    /// The method with this word, if any.
    pub fn parse(word: &str) -> Option<Method> {
        [Method::Surface, Method::Frequency, Method::Exemplar]
            .into_iter()
            .find(|method| method.word() == word)
    }
}

/// An image with its holes filled.
#[derive(Clone, Debug)]
pub struct Filled {
    /// The image; outside the hole byte for byte the old one.
    pub image: RgbImage,
    /// How many holes were filled by each method.
    pub methods: BTreeMap<Method, usize>,
}

/// There is nothing to fill a hole from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the mask leaves nothing to fill the hole from; paint less of the image")]
pub struct NoMaterial;

/// Holes at most this thick are filled by frequency, in px.
const FREQUENCY_THICKNESS_MAX: f32 = 44.0;
/// Hole pixels that frequency filling takes on at once.
const FREQUENCY_AREA_MAX: u64 = 16_000;
/// Holes filled one by one; if there are more, the smallest are filled as one surface.
const HOLES_MAX: usize = 1_500;
/// Rim of pixels kept around a small hole, in px.
const MARGIN: u32 = 40;
/// A rim is a plain surface when its structure stays under this, in levels.
const PLAIN_MAX: f32 = 2.5;

/// Fills the set pixels of `hole` (128 and more, of the image's size) from the others.
///
/// Where `source` is given (same size), only its set pixels are material: a hole beside the
/// product is not filled with product. `method` forces one; `None` chooses by the hole's size
/// and surroundings. The same input gives the same bytes.
pub fn fill(
    image: &RgbImage,
    hole: &GrayImage,
    source: Option<&GrayImage>,
    method: Option<Method>,
) -> Result<Filled, NoMaterial> {
    let sizes_agree = hole.dimensions() == image.dimensions()
        && source.is_none_or(|source| source.dimensions() == image.dimensions());
    debug_assert!(sizes_agree, "masks of other sizes than the image");
    let area = mask::area(hole);
    let material = source.map_or(u64::MAX, |source| mask::area(&mask::difference(source, hole)));
    if !sizes_agree || area >= u64::from(image.width()) * u64::from(image.height()) || material == 0 {
        return Err(NoMaterial);
    }
    let mut filled = Filled { image: image.clone(), methods: BTreeMap::new() };
    if area == 0 {
        return Ok(filled);
    }
    let labels = mask::label(hole);
    let (large, small) = labels.components.split_at(labels.components.len().min(HOLES_MAX));
    if !small.is_empty() {
        fill_rest(&mut filled.image, hole, source, &labels, small);
        filled.methods.insert(Method::Surface, small.len());
    }
    let patches: Vec<(Component, Rect, Window, Method)> =
        large.par_iter().map(|component| fill_one(image, hole, source, &labels, component, method)).collect();
    for (component, rect, window, method) in patches {
        window.write(&mut filled.image, rect, |at| label_at(&labels, rect, at) == component.label);
        *filled.methods.entry(method).or_default() += 1;
    }
    Ok(filled)
}

fn label_at(labels: &Labels, rect: Rect, at: usize) -> u32 {
    let (x, y) = (rect.x as usize + at % rect.w as usize, rect.y as usize + at / rect.w as usize);
    labels.map[y * labels.width as usize + x]
}

fn fill_one(
    image: &RgbImage,
    hole: &GrayImage,
    source: Option<&GrayImage>,
    labels: &Labels,
    component: &Component,
    method: Option<Method>,
) -> (Component, Rect, Window, Method) {
    let longest = component.rect.w.max(component.rect.h);
    let mut margin = MARGIN.max(longest / 2);
    let (rect, mut window) = loop {
        let rect = feather::grown(component.rect, margin, image.width(), image.height());
        let window = Window::cut(image, hole, source, rect);
        let usable = window.usable.iter().filter(|usable| **usable).count() as u64;
        let whole = rect.w == image.width() && rect.h == image.height();
        if whole || usable >= component.area / 2 + 64 {
            break (rect, window);
        }
        margin = margin.saturating_mul(2);
    };
    // Other holes in the window are unknown too, but are not this one's business.
    for at in 0..window.hole.len() {
        window.hole[at] &= label_at(labels, rect, at) == component.label;
    }
    let method = method.unwrap_or_else(|| choose(&window, component));
    let method = fill_window(&mut window, component, method);
    (*component, rect, window, method)
}

fn fill_window(window: &mut Window, component: &Component, method: Method) -> Method {
    let method = match method {
        Method::Exemplar => {
            if exemplar::fill(window) {
                Method::Exemplar
            } else {
                surface::fill(window);
                Method::Surface
            }
        }
        Method::Surface => {
            surface::fill(window);
            Method::Surface
        }
        Method::Frequency => {
            frequency::fill(window, fineness(component));
            Method::Frequency
        }
    };
    grain::lay(window);
    method
}

fn fineness(component: &Component) -> Fineness {
    if component.area <= 400 {
        Fineness { block: 4, size: 32, waves: 100 }
    } else {
        Fineness { block: 8, size: 64, waves: 120 }
    }
}

fn choose(window: &Window, component: &Component) -> Method {
    let thin = feather::thickness(&window.hole_mask()) <= FREQUENCY_THICKNESS_MAX;
    if thin && component.area <= FREQUENCY_AREA_MAX {
        Method::Frequency
    } else if structure(window) <= PLAIN_MAX {
        Method::Surface
    } else {
        Method::Exemplar
    }
}

/// How far the known pixels near the hole stray from a smooth surface through them: the root
/// mean square, in levels, of luma smoothed by 2 px against luma smoothed by 12 px.
fn structure(window: &Window) -> f32 {
    let (fine, coarse) = (surface::smoothed(window, 2.0), surface::smoothed(window, 12.0));
    let mut sum = 0.0;
    let mut count = 0.0_f32;
    for (at, _) in window.usable.iter().enumerate().filter(|(_, usable)| **usable) {
        sum += (fine[0][at] - coarse[0][at]).powi(2);
        count += 1.0;
    }
    (sum / count.max(1.0)).sqrt()
}

/// Fills the many smallest holes at once.
fn fill_rest(
    image: &mut RgbImage,
    hole: &GrayImage,
    source: Option<&GrayImage>,
    labels: &Labels,
    small: &[Component],
) {
    let rect = Rect { x: 0, y: 0, w: image.width(), h: image.height() };
    let mut wanted = vec![false; labels.components.len() + 1];
    for component in small {
        wanted[component.label as usize] = true;
    }
    let mut window = Window::cut(image, hole, source, rect);
    surface::fill(&mut window);
    window.write(image, rect, |at| wanted[labels.map[at] as usize]);
}
