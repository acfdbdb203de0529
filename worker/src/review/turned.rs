//! A product that was turned: the one part of it that is found again, a label or a print, is
//! laid flat. How far its marks agree is told, and its colour is measured; what turning hides,
//! bends or foreshortens is not compared, and a person is told so: a part that agrees does not
//! make the whole agree.

use image::RgbImage;
use packshot_imaging::mask;
use packshot_imaging::photo::Rect;
use packshot_imaging::register::{self, Affine, Part, Similarity};
use packshot_imaging::resize;
use packshot_pipeline::finding::Region;

use super::frame::{self, Frame, Ground};
use super::{Extent, Measured, ReviewRequest, claim, colour, locked};

/// Confidence of a part's colour: a surface that was turned is lit otherwise.
const CONFIDENCE: f64 = 0.2;
/// How many times more than on a product seen from the same side its colour may differ for that
/// reason. Of the real pairs of a product turned, the one lit most differently needs 2.2.
const ROOM: f64 = 4.0;
/// Margin around the part, by its longer side.
const MARGIN: f32 = 0.15;

/// Measures the part of the product that is found again; `None` when none is.
pub(super) fn measure(request: &ReviewRequest, candidate: &RgbImage) -> Option<Measured> {
    let rgb = &request.reference.rgb;
    let part = register::part(rgb, &request.cutout.alpha, candidate)?;
    let flat = Flat::new(&part, candidate)?;
    let registration = locked::claimed(flat.placement);
    let frame = Frame::new(rgb, &part.mask, &flat.rgb, &registration, Ground::Product)?;
    if frame.core_count() < frame::CORE_MIN {
        return None;
    }
    let size = flat.rgb.dimensions();
    let mut colour = colour::measure(&frame, size);
    colour.confidence = colour.confidence.min(CONFIDENCE);
    for metric in &mut colour.metrics {
        metric.value /= ROOM;
        metric.region = metric.region.map(|r| flat.back(r, candidate.dimensions()));
    }
    let extent = Extent::Part {
        which: format!(
            "the product is turned, or its outline is hidden; a part of it ({:.0} %) was found again by {} \
             marks and agrees with the reference to {:.0} %",
            100.0 * part.share,
            part.inliers,
            100.0 * part.correlation
        ),
        region: flat.back(flat.part, candidate.dimensions()),
    };
    let channels = vec![colour, claim::codes_only(rgb, candidate)];
    Some(Measured { channels, extent, registration: None, glow: None })
}

/// The candidate drawn as the reference sees the part.
struct Flat {
    rgb: RgbImage,
    /// Reference pixels to pixels of `rgb`.
    placement: Similarity,
    /// Pixels of `rgb` to candidate pixels.
    map: Affine,
    /// Where in `rgb` the part lies.
    part: Region,
}

impl Flat {
    /// As fine as the candidate is along its coarser direction; `None` for nothing to draw.
    fn new(part: &Part, candidate: &RgbImage) -> Option<Flat> {
        let bounds = mask::bounds(&part.mask, 128)?;
        let margin = (MARGIN * bounds.w.max(bounds.h) as f32) as u32 + 6;
        let rect = frame::grown(bounds, margin, part.mask.dimensions());
        let det = part.affine.determinant().abs();
        let stretch = part.affine.anisotropy().exp();
        let (fine, coarse) = ((det * stretch).sqrt().min(1.0), (det / stretch).sqrt().min(1.0));
        let drawn = draw(&part.affine, rect, fine, candidate)?;
        let (w, h) = (rect.w as f32 * coarse, rect.h as f32 * coarse);
        let rgb = resize::resize_rgb(&drawn, w.round().max(1.0) as u32, h.round().max(1.0) as u32);
        let scale = rgb.width() as f32 / rect.w as f32;
        let (x, y) = (rect.x as f32, rect.y as f32);
        let placement = Similarity { scale, angle: 0.0, tx: -scale * x, ty: -scale * y };
        let map = frame::affine_from_frame(&part.affine, rect, scale);
        let part = Region {
            x: ((bounds.x - rect.x) as f32 * scale) as u32,
            y: ((bounds.y - rect.y) as f32 * scale) as u32,
            w: (bounds.w as f32 * scale) as u32,
            h: (bounds.h as f32 * scale) as u32,
        };
        Some(Flat { rgb, placement, map, part })
    }

    /// A region of `rgb` as the upright box around it in the candidate.
    fn back(&self, r: Region, (width, height): (u32, u32)) -> Region {
        let rect = Rect { x: r.x, y: r.y, w: r.w, h: r.h };
        let (low, high) = frame::upright(rect, |x, y| self.map.apply(x, y));
        let clamp = |v: f32, most: u32| (v.max(0.0) as u32).min(most);
        let (x, y) = (clamp(low.0, width - 1), clamp(low.1, height - 1));
        let (right, bottom) = (clamp(high.0, width), clamp(high.1, height));
        Region { x, y, w: right.saturating_sub(x).max(1), h: bottom.saturating_sub(y).max(1) }
    }
}

/// The candidate under the part's map over `rect` of the reference, `scale` pixels a pixel.
fn draw(map: &Affine, rect: Rect, scale: f32, candidate: &RgbImage) -> Option<RgbImage> {
    let (w, h) = ((rect.w as f32 * scale).round() as u32, (rect.h as f32 * scale).round() as u32);
    if w.min(h) < 8 {
        return None;
    }
    let map = frame::affine_from_frame(map, rect, scale);
    Some(RgbImage::from_fn(w, h, |x, y| {
        let (u, v) = map.apply(x as f32 + 0.5, y as f32 + 0.5);
        image::Rgb(frame::cubic(candidate, u - 0.5, v - 0.5))
    }))
}
