//! What is measured of the product in one image of a set, inside its mask only, at a
//! common size, so that the images of a set can be compared.

use image::{GrayImage, RgbImage};
use packshot_imaging::blur::{Plane, gaussian};
use packshot_imaging::colour::{Lab, LabImage, lab_image};
use packshot_imaging::mask;
use packshot_imaging::photo::Rect;
use packshot_imaging::resize::{crop_gray, crop_rgb, resize_gray, resize_rgb};

/// Longer side in pixels at which products are compared.
const COMMON_PX: u32 = 320;
/// Colours of a palette.
const COLOURS: usize = 6;
/// Coverage from which a pixel is inside; soft rims mix with the background.
const INSIDE: u8 = 250;
/// Rim of the product left out where fine detail is measured, in px at [`COMMON_PX`].
const RIM_PX: u32 = 4;
/// Fewer inside pixels than this say nothing.
const PIXELS_MIN: usize = 64;

/// One colour of a product and its share of the area, 0 to 1.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Shade {
    pub(super) colour: Lab,
    pub(super) share: f32,
}

/// What is known of the product in one image.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Measured {
    /// Colours, largest first.
    pub(super) palette: Vec<Shade>,
    /// Width divided by height of the bounding box.
    pub(super) aspect: f64,
    /// Larger share of the frame's sides that the bounding box takes.
    pub(super) fill: f64,
    /// The image's frame cuts the product.
    pub(super) cut: bool,
    /// Longer side of the bounding box in the image's own pixels.
    pub(super) product_px: u32,
    /// Slope of lightness across the product, to the right and downwards, in Lab L units
    /// from one end of the bounding box to the other.
    pub(super) light: [f64; 2],
    /// Standard deviation of lightness in three bands, finest first, in Lab L units at
    /// [`COMMON_PX`]. Edges of parts and prints make most of it.
    pub(super) bands: [f64; 3],
    /// Median amount of the two finer bands together, in the same units: the surface between
    /// the edges.
    pub(super) grain: f64,
    /// Mean lightness, Lab L.
    pub(super) lightness: f64,
}

/// Measures one image; `None` when its mask holds too little product.
pub(super) fn measure(image: &RgbImage, product_mask: &GrayImage) -> Option<Measured> {
    if image.dimensions() != product_mask.dimensions() {
        return None;
    }
    let (w, h) = image.dimensions();
    let bounds = mask::bounds(product_mask, 128)?;
    let scale = (f64::from(COMMON_PX) / f64::from(bounds.w.max(bounds.h))).min(1.0);
    let side = |length: u32| ((f64::from(length) * scale).round() as u32).max(1);
    let size = (side(bounds.w), side(bounds.h));
    let rgb = resize_rgb(&crop_rgb(image, bounds), size.0, size.1);
    let coverage = resize_gray(&crop_gray(product_mask, bounds), size.0, size.1);
    let inside: Vec<bool> = coverage.iter().map(|&v| v >= INSIDE).collect();
    if inside.iter().filter(|&&v| v).count() < PIXELS_MIN {
        return None;
    }
    let lab = lab_image(&rgb);
    // At the rim the ground shines in, the more the softer the image is.
    let core = mask::erode(&mask::threshold(&coverage, INSIDE), RIM_PX);
    let core: Vec<bool> = core.iter().map(|&v| v > 0).collect();
    let deep = if core.iter().filter(|&&v| v).count() < PIXELS_MIN { &inside } else { &core };
    let (bands, grain) = bands(&lab, deep);
    Some(Measured {
        palette: palette(&lab, &inside),
        aspect: f64::from(bounds.w) / f64::from(bounds.h),
        fill: super::super::frame::fill(bounds, w, h),
        cut: is_cut(bounds, w, h),
        product_px: bounds.w.max(bounds.h),
        light: slope(&lab, &inside),
        bands,
        grain,
        lightness: mean(within(&lab, &inside)).map_or(0.0, |mean| f64::from(mean.l)),
    })
}

fn is_cut(b: Rect, w: u32, h: u32) -> bool {
    b.x == 0 || b.y == 0 || b.x + b.w >= w || b.y + b.h >= h
}

/// K-means in Lab with centres started far apart (each new one at the pixel farthest from
/// all before), which needs no chance and finds small accents.
fn palette(lab: &LabImage, inside: &[bool]) -> Vec<Shade> {
    let pixels: Vec<Lab> = within(lab, inside).step_by(3).collect();
    let Some(first) = mean(pixels.iter().copied()) else { return Vec::new() };
    let mut centres = vec![first];
    let mut reach: Vec<f32> = pixels.iter().map(|p| distance(*p, first)).collect();
    while centres.len() < COLOURS {
        let farthest = reach.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
        // Colours nearer than 6 Lab units are one colour.
        let Some((at, _)) = farthest.filter(|(_, far)| **far > 36.0) else { break };
        let centre = pixels[at];
        centres.push(centre);
        for (reach, pixel) in reach.iter_mut().zip(&pixels) {
            *reach = reach.min(distance(*pixel, centre));
        }
    }
    let mut shares = vec![0usize; centres.len()];
    for _ in 0..8 {
        let mut groups: Vec<([f64; 3], usize)> = vec![([0.0; 3], 0); centres.len()];
        for pixel in &pixels {
            let near = nearest(&centres, *pixel);
            let (sum, count) = &mut groups[near];
            sum[0] += f64::from(pixel.l);
            sum[1] += f64::from(pixel.a);
            sum[2] += f64::from(pixel.b);
            *count += 1;
        }
        for ((centre, share), (sum, count)) in centres.iter_mut().zip(&mut shares).zip(&groups) {
            *share = *count;
            if *count > 0 {
                let n = *count as f64;
                *centre = Lab { l: (sum[0] / n) as f32, a: (sum[1] / n) as f32, b: (sum[2] / n) as f32 };
            }
        }
    }
    let total = pixels.len() as f32;
    let mut palette: Vec<Shade> = centres
        .into_iter()
        .zip(shares)
        .filter(|(_, count)| *count > 0)
        .map(|(colour, count)| Shade { colour, share: count as f32 / total })
        .collect();
    palette.sort_by(|a, b| b.share.total_cmp(&a.share));
    palette
}

fn within(lab: &LabImage, inside: &[bool]) -> impl Iterator<Item = Lab> {
    inside.iter().enumerate().filter(|(_, v)| **v).map(|(i, _)| lab.at(i))
}

fn mean(colours: impl Iterator<Item = Lab>) -> Option<Lab> {
    let (mut sum, mut n) = ([0.0f64; 3], 0.0f64);
    for colour in colours {
        sum[0] += f64::from(colour.l);
        sum[1] += f64::from(colour.a);
        sum[2] += f64::from(colour.b);
        n += 1.0;
    }
    (n > 0.0).then(|| Lab { l: (sum[0] / n) as f32, a: (sum[1] / n) as f32, b: (sum[2] / n) as f32 })
}

/// Squared Euclidean distance in Lab: enough to group, and quick.
fn distance(a: Lab, b: Lab) -> f32 {
    (a.l - b.l).powi(2) + (a.a - b.a).powi(2) + (a.b - b.b).powi(2)
}

fn nearest(centres: &[Lab], pixel: Lab) -> usize {
    let all = centres.iter().enumerate();
    all.min_by(|a, b| distance(*a.1, pixel).total_cmp(&distance(*b.1, pixel))).map_or(0, |(i, _)| i)
}

/// Least-squares plane through lightness inside the mask; coordinates run from -0.5 to
/// 0.5 over the bounding box.
fn slope(lab: &LabImage, inside: &[bool]) -> [f64; 2] {
    let (w, h) = (lab.width.max(1) as usize, f64::from(lab.height.max(1)));
    let points = || {
        inside.iter().enumerate().filter(|(_, v)| **v).map(move |(i, _)| {
            let x = ((i % w) as f64 + 0.5) / w as f64 - 0.5;
            let y = ((i / w) as f64 + 0.5) / h - 0.5;
            (x, y, f64::from(lab.l[i]))
        })
    };
    let (mut n, mut mx, mut my, mut ml) = (0.0, 0.0, 0.0, 0.0);
    for (x, y, l) in points() {
        n += 1.0;
        mx += x;
        my += y;
        ml += l;
    }
    if n < 3.0 {
        return [0.0; 2];
    }
    let (mx, my, ml) = (mx / n, my / n, ml / n);
    let (mut xx, mut yy, mut xy, mut xl, mut yl) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (x, y, l) in points() {
        let (x, y, l) = (x - mx, y - my, l - ml);
        xx += x * x;
        yy += y * y;
        xy += x * y;
        xl += x * l;
        yl += y * l;
    }
    let det = xx * yy - xy * xy;
    if det.abs() < 1e-9 * n * n {
        return [0.0; 2];
    }
    [(xl * yy - yl * xy) / det, (yl * xx - xl * xy) / det]
}

/// Standard deviation inside the mask of lightness between Gaussians of sigma 0, 1, 3 and
/// 9 px, and the median amount of what is finer than 3 px.
fn bands(lab: &LabImage, inside: &[bool]) -> ([f64; 3], f64) {
    let plain = Plane { width: lab.width, height: lab.height, data: filled(lab, inside) };
    let smooth = [gaussian(&plain, 1.0), gaussian(&plain, 3.0), gaussian(&plain, 9.0)];
    let pairs = [(&plain, &smooth[0]), (&smooth[0], &smooth[1]), (&smooth[1], &smooth[2])];
    let bands = pairs.map(|(fine, coarse)| {
        let (mut sum, mut n) = (0.0f64, 0.0f64);
        for (i, _) in inside.iter().enumerate().filter(|(_, v)| **v) {
            sum += f64::from(fine.data[i] - coarse.data[i]).powi(2);
            n += 1.0;
        }
        (sum / n.max(1.0)).sqrt()
    });
    let fine = plain.data.iter().zip(&smooth[1].data).zip(inside).filter(|(_, v)| **v);
    let mut fine: Vec<f32> = fine.map(|((plain, smooth), _)| (plain - smooth).abs()).collect();
    fine.sort_by(f32::total_cmp);
    (bands, fine.get(fine.len() / 2).copied().map_or(0.0, f64::from))
}

/// Lightness with everything outside at the product's mean, so that the silhouette's edge
/// does not count as texture.
fn filled(lab: &LabImage, inside: &[bool]) -> Vec<f32> {
    let (mut sum, mut n) = (0.0f64, 0.0f64);
    for (l, _) in lab.l.iter().zip(inside).filter(|(_, v)| **v) {
        sum += f64::from(*l);
        n += 1.0;
    }
    let mean = (sum / n.max(1.0)) as f32;
    lab.l.iter().zip(inside).map(|(&l, &v)| if v { l } else { mean }).collect()
}
