//! The frame in which two pictures are compared: the product's bounds in the reference plus
//! a margin, at the resolution of the coarser of the two pictures, with the candidate drawn
//! into it. Every axis measures here, so a resized candidate is not a softer product.

use image::{GrayImage, RgbImage};
use packshot_imaging::blur::{self, Plane};
use packshot_imaging::colour::{self, LabImage};
use packshot_imaging::photo::Rect;
use packshot_imaging::register::{Affine, Registration, Similarity};
use packshot_imaging::{mask, resize};
use packshot_pipeline::finding::Region;

use super::ground;

/// Longest side of the product in the frame, in pixels.
const PRODUCT_SIDE: f32 = 440.0;
/// Shortest useful longest side: below it nothing can be said about details.
pub(super) const PRODUCT_SIDE_MIN: f32 = 48.0;
/// Fewest pixels of the core by which anything can be said.
pub(super) const CORE_MIN: usize = 100;
/// Margin around the product, by its longest side.
const MARGIN: f32 = 0.14;
/// Rim of the core in which marks are not compared, by the product's size.
const RIM: f32 = 0.02;

/// What lies around the mask of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ground {
    /// What the product stands before.
    Background,
    /// The rest of the product: the mask is only a part of it.
    Product,
}

/// Two pictures of one product, pixel upon pixel.
pub(super) struct Frame {
    /// Width of every plane.
    pub(super) width: u32,
    /// Height of every plane.
    pub(super) height: u32,
    /// Square root of the product's area in pixels: the unit of lengths.
    pub(super) size: f32,
    /// The reference.
    pub(super) reference: RgbImage,
    /// The reference in CIE Lab.
    pub(super) reference_lab: LabImage,
    /// The candidate under the similarity: shape is judged here.
    pub(super) candidate: RgbImage,
    /// The same in CIE Lab.
    pub(super) candidate_lab: LabImage,
    /// The candidate under the affine map, so that a stretch does not look like a changed
    /// label: local maps are made here.
    pub(super) local_lab: LabImage,
    /// The product in the reference, 255 inside.
    pub(super) mask: GrayImage,
    /// Distance of every pixel from the product, 0 inside.
    pub(super) outside: Plane,
    /// What lies around the mask.
    pub(super) ground: Ground,
    /// Well inside the product and visible in the candidate.
    pub(super) core: Vec<bool>,
    /// The core without its rim, which shows the outline's errors before any change of marks.
    pub(super) inner: Vec<bool>,
    /// The candidate's background carried under the product, L, a and b.
    pub(super) candidate_ground: [Vec<f32>; 3],
    /// Whether the candidate's frame covers the pixel.
    pub(super) visible: Vec<bool>,
    /// Share of the product that the candidate's frame covers.
    pub(super) visible_share: f32,
    /// Candidate pixels per frame pixel, place and turn.
    pub(super) placement: Similarity,
    /// Width and height of the candidate.
    pub(super) candidate_size: (u32, u32),
    /// Corner of the frame in reference pixels, and frame pixels per reference pixel.
    corner: (f32, f32),
    reduced: f32,
}

impl Frame {
    /// Lays `candidate` over `reference`; `None` when the product is too small in either.
    pub(super) fn new(
        reference: &RgbImage,
        ref_mask: &GrayImage,
        candidate: &RgbImage,
        registration: &Registration,
        ground: Ground,
    ) -> Option<Frame> {
        let bounds = mask::bounds(ref_mask, 128)?;
        let longest = bounds.w.max(bounds.h) as f32;
        let crop = grown(bounds, (MARGIN * longest) as u32 + 4, reference.dimensions());
        let scale = (PRODUCT_SIDE / longest).min(1.0).min(registration.similarity.scale);
        if longest * scale < PRODUCT_SIDE_MIN {
            return None;
        }
        let (w, h) = ((crop.w as f32 * scale).round().max(1.0), (crop.h as f32 * scale).round().max(1.0));
        let (width, height) = (w as u32, h as u32);
        let scale = w / crop.w as f32;
        let small_reference = resize::resize_rgb(&resize::crop_rgb(reference, crop), width, height);
        let small_mask = resize::resize_gray(&resize::crop_gray(ref_mask, crop), width, height);
        // frame pixels -> reference pixels -> candidate pixels
        let placement = from_frame(&registration.similarity, crop, scale);
        let local = affine_from_frame(&capped(&registration.affine, &registration.similarity), crop, scale);
        let source = Source::new(candidate, &placement, width, height);
        let (drawn, visible) = source.draw(&placement.to_affine(), width, height);
        let (drawn_local, _) = source.draw(&local, width, height);
        let area = mask::area(&mask::threshold(&small_mask, 128)).max(1);
        let outside = mask::distance_outside(&mask::threshold(&small_mask, 20));
        let beside: Vec<bool> =
            outside.data.iter().zip(&visible).map(|(d, seen)| *d > 5.0 && *seen).collect();
        let size = (area as f32).sqrt();
        let (reference_lab, candidate_lab) = (colour::lab_image(&small_reference), colour::lab_image(&drawn));
        let candidate_ground = ground::carried(&candidate_lab, &beside, size);
        let reference_ground = ground::carried(&reference_lab, &beside, size);
        let through = ground::seen_through(
            (&reference_lab, &reference_ground),
            (&candidate_lab, &candidate_ground),
            &beside,
        );
        let depth = mask::distance_inside(&mask::difference(&mask::threshold(&small_mask, 200), &through));
        let core: Vec<bool> = depth.data.iter().zip(&visible).map(|(d, seen)| *d > 2.0 && *seen).collect();
        let rim = 2.0 + (RIM * size).clamp(1.0, 5.0);
        let inner = depth.data.iter().zip(&core).map(|(d, core)| *d > rim && *core).collect();
        let shown = small_mask.pixels().zip(&visible).filter(|(p, seen)| p.0[0] > 127 && **seen).count();
        Some(Frame {
            width,
            height,
            size,
            reference_lab,
            candidate_lab,
            candidate_ground,
            local_lab: colour::lab_image(&drawn_local),
            reference: small_reference,
            candidate: drawn,
            outside,
            ground,
            mask: small_mask,
            core,
            inner,
            visible,
            visible_share: shown as f32 / area as f32,
            placement,
            candidate_size: candidate.dimensions(),
            corner: (crop.x as f32, crop.y as f32),
            reduced: scale,
        })
    }

    /// A place of the reference in frame pixels.
    pub(super) fn place_of(&self, (x, y): (f32, f32)) -> (f32, f32) {
        ((x - self.corner.0) * self.reduced, (y - self.corner.1) * self.reduced)
    }

    /// A rectangle of the frame in pixels of the reference, clipped to it; `None` when nothing is
    /// left.
    pub(super) fn reference_rect(&self, rect: Rect, (width, height): (u32, u32)) -> Option<Rect> {
        let back = |v: u32, corner: f32| (v as f32 / self.reduced + corner).max(0.0) as u32;
        let (x, y) = (back(rect.x, self.corner.0), back(rect.y, self.corner.1));
        let right = back(rect.x + rect.w, self.corner.0).min(width);
        let bottom = back(rect.y + rect.h, self.corner.1).min(height);
        (x < right && y < bottom).then(|| Rect { x, y, w: right - x, h: bottom - y })
    }

    /// A rectangle of the frame in pixels of the candidate (its upright bounding box there).
    pub(super) fn region(&self, rect: Rect, (width, height): (u32, u32)) -> Option<Region> {
        let (low, high) = upright(rect, |x, y| self.placement.apply(x, y));
        let (x, y) = (low.0.max(0.0) as u32, low.1.max(0.0) as u32);
        let right = (high.0.max(0.0) as u32).min(width);
        let bottom = (high.1.max(0.0) as u32).min(height);
        (x < right && y < bottom).then(|| Region { x, y, w: right - x, h: bottom - y })
    }

    /// Number of pixels in the core.
    pub(super) fn core_count(&self) -> usize {
        self.core.iter().filter(|c| **c).count()
    }

    /// A plane of the size of the frame.
    pub(super) fn plane(&self, data: Vec<f32>) -> Plane {
        Plane { width: self.width, height: self.height, data }
    }

    /// Blur that only knows the core: pixels outside neither give nor take
    /// (normalised convolution, Knutsson and Westin 1993).
    pub(super) fn inside_blur(&self, values: &[f32], sigma: f32, weight: &CoreBlur) -> Vec<f32> {
        let masked: Vec<f32> =
            values.iter().zip(&self.core).map(|(v, c)| if *c { *v } else { 0.0 }).collect();
        let soft = blur::gaussian(&self.plane(masked), sigma);
        soft.data.iter().zip(&weight.data).map(|(v, w)| v / w.max(1e-3)).collect()
    }

    /// The weights that [`Frame::inside_blur`] divides by.
    pub(super) fn core_blur(&self, sigma: f32) -> CoreBlur {
        let ones = self.core.iter().map(|c| f32::from(u8::from(*c))).collect();
        CoreBlur { data: blur::gaussian(&self.plane(ones), sigma).data }
    }
}

/// The core mask blurred by one sigma.
pub(super) struct CoreBlur {
    data: Vec<f32>,
}

fn from_frame(map: &Similarity, crop: Rect, scale: f32) -> Similarity {
    let (x, y) = map.apply(crop.x as f32, crop.y as f32);
    Similarity { scale: map.scale / scale, angle: map.angle, tx: x, ty: y }
}

/// Pixels of `crop`, drawn at `scale`, to where `map` takes them.
pub(super) fn affine_from_frame(map: &Affine, crop: Rect, scale: f32) -> Affine {
    let (x, y) = map.apply(crop.x as f32, crop.y as f32);
    Affine { a: map.a / scale, b: map.b / scale, c: map.c / scale, d: map.d / scale, tx: x, ty: y }
}

/// The affine map, or the similarity when the affine map is not believable.
fn capped(affine: &Affine, similarity: &Similarity) -> Affine {
    if affine.anisotropy() < 0.25 { *affine } else { similarity.to_affine() }
}

/// Least and greatest coordinates of the corners of `rect` where `map` moves them.
pub(super) fn upright(rect: Rect, map: impl Fn(f32, f32) -> (f32, f32)) -> ((f32, f32), (f32, f32)) {
    let (x0, y0) = (rect.x as f32, rect.y as f32);
    let (x1, y1) = (x0 + rect.w as f32, y0 + rect.h as f32);
    let corners = [(x0, y0), (x1, y0), (x0, y1), (x1, y1)].map(|(x, y)| map(x, y));
    corners.iter().fold(((f32::MAX, f32::MAX), (f32::MIN, f32::MIN)), |(low, high), c| {
        ((low.0.min(c.0), low.1.min(c.1)), (high.0.max(c.0), high.1.max(c.1)))
    })
}

/// `rect` grown by `by` pixels on every side, clipped to a picture.
pub(super) fn grown(rect: Rect, by: u32, (w, h): (u32, u32)) -> Rect {
    let (x, y) = (rect.x.saturating_sub(by), rect.y.saturating_sub(by));
    Rect {
        x,
        y,
        w: (rect.x + rect.w).saturating_add(by).min(w).saturating_sub(x).max(1),
        h: (rect.y + rect.h).saturating_add(by).min(h).saturating_sub(y).max(1),
    }
}

/// The part of the candidate that the frame shows, reduced to the frame's resolution.
struct Source {
    rgb: RgbImage,
    offset: (f32, f32),
    factor: (f32, f32),
}

impl Source {
    fn new(candidate: &RgbImage, placement: &Similarity, width: u32, height: u32) -> Source {
        let whole = Rect { x: 0, y: 0, w: width, h: height };
        let (least, most) = upright(whole, |x, y| placement.apply(x, y));
        let (cw, ch) = candidate.dimensions();
        let low = |v: f32, most: u32| (v.floor().max(0.0) as u32).min(most.saturating_sub(1));
        let pad = 0.1 * placement.scale * width.max(height) as f32 + 4.0;
        let x0 = low(least.0 - pad, cw);
        let y0 = low(least.1 - pad, ch);
        let x1 = low(most.0 + pad, cw) + 1;
        let y1 = low(most.1 + pad, ch) + 1;
        let rect = Rect { x: x0, y: y0, w: x1.max(x0 + 1) - x0, h: y1.max(y0 + 1) - y0 };
        let cut = resize::crop_rgb(candidate, rect);
        let reduce = 1.0 / placement.scale;
        if reduce > 0.985 {
            return Source { rgb: cut, offset: (x0 as f32, y0 as f32), factor: (1.0, 1.0) };
        }
        let w = ((rect.w as f32 * reduce).round() as u32).max(1);
        let h = ((rect.h as f32 * reduce).round() as u32).max(1);
        Source {
            rgb: resize::resize_rgb(&cut, w, h),
            offset: (x0 as f32, y0 as f32),
            factor: (w as f32 / rect.w as f32, h as f32 / rect.h as f32),
        }
    }

    /// Samples with the Catmull-Rom kernel; `false` where the candidate has no pixel.
    fn draw(&self, map: &Affine, width: u32, height: u32) -> (RgbImage, Vec<bool>) {
        let mut out = RgbImage::new(width, height);
        let mut seen = vec![false; (width * height) as usize];
        let (sw, sh) = (self.rgb.width() as f32, self.rgb.height() as f32);
        for ((x, y, pixel), seen) in out.enumerate_pixels_mut().zip(&mut seen) {
            let (u, v) = map.apply(x as f32 + 0.5, y as f32 + 0.5);
            let u = (u - self.offset.0) * self.factor.0;
            let v = (v - self.offset.1) * self.factor.1;
            *seen = u >= 0.0 && v >= 0.0 && u < sw && v < sh;
            pixel.0 = cubic(&self.rgb, u - 0.5, v - 0.5);
        }
        (out, seen)
    }
}

pub(super) fn cubic(rgb: &RgbImage, x: f32, y: f32) -> [u8; 3] {
    let (w, h) = (rgb.width() as i64, rgb.height() as i64);
    let x = x.clamp(-2.0, w as f32 + 2.0);
    let y = y.clamp(-2.0, h as f32 + 2.0);
    let (x0, y0) = (x.floor(), y.floor());
    let weights = |t: f32| {
        let (t2, t3) = (t * t, t * t * t);
        [
            -0.5 * t + t2 - 0.5 * t3,
            1.0 - 2.5 * t2 + 1.5 * t3,
            0.5 * t + 2.0 * t2 - 1.5 * t3,
            -0.5 * t2 + 0.5 * t3,
        ]
    };
    let (wx, wy) = (weights(x - x0), weights(y - y0));
    let raw = rgb.as_raw();
    let mut sum = [0f32; 3];
    for (j, wy) in wy.iter().enumerate() {
        let row = (y0 as i64 + j as i64 - 1).clamp(0, h - 1) * w;
        for (i, wx) in wx.iter().enumerate() {
            let at = ((row + (x0 as i64 + i as i64 - 1).clamp(0, w - 1)) * 3) as usize;
            let weight = wx * wy;
            for (s, v) in sum.iter_mut().zip(&raw[at..at + 3]) {
                *s += weight * f32::from(*v);
            }
        }
    }
    sum.map(|v| (v + 0.5).clamp(0.0, 255.0) as u8)
}
