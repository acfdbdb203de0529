//! Comparison: size made plain from the catalog's dimensions, without a word. Dimension
//! lines with a tick every centimetre (or ten), and beside the product a plain thing of
//! known size: a coin, a bank card or a sheet of paper.

use image::{GrayImage, RgbImage};
use packshot_imaging::composite::{flat, over};
use packshot_imaging::metadata::DigitalSourceType;
use packshot_pipeline::catalog::Dimensions;

use super::main::lay_shadow;
use super::pose::Pose;
use super::seed;
use super::subject::{Box2, Sized, Subject, scale_note};
use crate::generate::{Candidate, Made, MakeRequest};

const GROUND: [u8; 3] = [250, 250, 249];
const LINE: [u8; 3] = [120, 120, 118];
const CUE: [u8; 3] = [222, 221, 217];
const CUE_RIM: [u8; 3] = [186, 185, 181];

/// A thing whose size everybody knows. Millimetres.
struct Cue {
    name: &'static str,
    w: f32,
    h: f32,
    corner: f32,
}

/// Smallest first. Card: ISO/IEC 7810 ID-1; sheet: ISO 216 A4; coin: about the size of a
/// euro or a quarter.
const CUES: [Cue; 3] = [
    Cue { name: "a coin of 24 mm", w: 24.0, h: 24.0, corner: 12.0 },
    Cue { name: "a bank card (85.6 x 54 mm)", w: 85.6, h: 54.0, corner: 3.2 },
    Cue { name: "a sheet of A4 paper (210 x 297 mm)", w: 210.0, h: 297.0, corner: 0.0 },
];

pub(super) fn make(request: &MakeRequest<'_>) -> Made {
    let Some(subject) = Subject::new(request.cutout) else {
        return Made::skipped("the cut-out of the reference covers nothing");
    };
    let aspect = subject.bounds.w as f32 / subject.bounds.h as f32;
    let Some(millimetres) = apparent(request.product.dimensions, aspect) else {
        return Made::skipped("the catalog states no dimensions that fit the photo; nothing to show size by");
    };
    let longest = millimetres.0.max(millimetres.1);
    // Most telling is what is a little smaller than the product.
    let misfit = |cue: &Cue| (cue.w.max(cue.h) / longest / 0.6).ln().abs();
    let cue = CUES.iter().min_by(|a, b| misfit(a).total_cmp(&misfit(b)));
    let Some(cue) = cue.filter(|cue| (0.14..=1.4).contains(&(cue.w.max(cue.h) / longest))) else {
        return Made::skipped(format!("no everyday object suits a size of {longest:.0} mm"));
    };
    // Product and cue side by side, with room for the dimension lines.
    let widths = millimetres.0 + cue.w + 0.3 * longest;
    let heights = millimetres.1.max(cue.h);
    let share = (0.74 / widths).min(0.66 / heights);
    let side = subject.master_side((share * longest).clamp(0.1, 0.9));
    let per_mm = share * side as f32;
    let sized = subject.sized(per_mm * longest);
    let per_mm = sized.inner.w.max(sized.inner.h) / longest;
    let left = (side as f32 - widths * per_mm) * 0.5 + 0.12 * longest * per_mm;
    let foot = side as f32 * 0.5 + heights * per_mm * 0.5 - 0.02 * side as f32;
    let at = (left, foot - sized.inner.h);

    let pose = Pose::of(&request.cutout.alpha, request.style.kind(request.product));
    let mut canvas = flat(side, side, GROUND);
    let corner = (left + sized.inner.w + 0.18 * longest * per_mm, foot - cue.h * per_mm);
    draw_cue(&mut canvas, cue, corner, per_mm, pose, seed(request));
    lay_shadow(&mut canvas, &sized, at, pose, seed(request));
    draw_lines(&mut canvas, &sized, at, per_mm);
    let frame = sized.put("", canvas, at);
    let mut notes = vec![format!("beside {}, drawn to scale from the catalog's dimensions", cue.name)];
    notes.extend(scale_note(frame.scale_factor));
    Made::Candidate(Candidate {
        frames: vec![frame],
        source_type: DigitalSourceType::CompositeSynthetic,
        notes,
    })
}

/// Width and height in millimetres of what the photo shows. One stated side suffices;
/// with several the pair that fits the silhouette best is taken, and none when even that
/// is far off.
fn apparent(dimensions: Dimensions, aspect: f32) -> Option<(f32, f32)> {
    let valid =
        |mm: Option<f64>| mm.map(|mm| mm as f32).filter(|mm| mm.is_finite() && (3.0..=5000.0).contains(mm));
    let (w, h, d) = (valid(dimensions.width_mm), valid(dimensions.height_mm), valid(dimensions.depth_mm));
    let fit = |w: f32, h: f32| ((w / h) / aspect).ln().abs();
    let mut pairs = Vec::new();
    for across in [w, d] {
        for up in [h, d, w] {
            if let (Some(a), Some(u)) = (across, up)
                && (a != u || w == h)
            {
                pairs.push((a, u));
            }
        }
    }
    let best = pairs.into_iter().min_by(|a, b| fit(a.0, a.1).total_cmp(&fit(b.0, b.1)));
    match (best, w, h) {
        (Some((a, u)), _, _) if fit(a, u) < 0.3 => {
            // The photo's own proportions are kept; the stated height gives the scale.
            Some((u * aspect, u))
        }
        (None, Some(w), None) => Some((w, w / aspect)),
        (None, None, Some(h)) => Some((h * aspect, h)),
        (Some(_) | None, _, _) => None,
    }
}

/// A plain card, sheet or coin, standing or lying like the product, with its shadow.
fn draw_cue(canvas: &mut RgbImage, cue: &Cue, corner: (f32, f32), per_mm: f32, pose: Pose, seed: u64) {
    let (w, h) = (cue.w * per_mm, cue.h * per_mm);
    let radius = (cue.corner * per_mm).min(w.min(h) * 0.5);
    let size = (w.ceil().max(1.0) as u32, h.ceil().max(1.0) as u32);
    let distance = |x: u32, y: u32| {
        let dx = (x as f32 + 0.5 - w * 0.5).abs() - (w * 0.5 - radius);
        let dy = (y as f32 + 0.5 - h * 0.5).abs() - (h * 0.5 - radius);
        let outside = (dx.max(0.0).powi(2) + dy.max(0.0).powi(2)).sqrt();
        outside + dx.max(dy).min(0.0) - radius
    };
    let cover = |d: f32| ((0.5 - d).clamp(0.0, 1.0) * 255.0) as u8;
    let alpha = GrayImage::from_fn(size.0, size.1, |x, y| image::Luma([cover(distance(x, y))]));
    let rim = (0.35 * per_mm).max(1.0);
    let colour =
        RgbImage::from_fn(size.0, size.1, |x, y| image::Rgb(over(CUE_RIM, CUE, cover(distance(x, y) + rim))));
    let flat_pose = match pose {
        Pose::Standing { elevation, .. } => Pose::Standing { elevation, depth: 0.03, contact: 0.5 },
        Pose::Lying { .. } => Pose::Lying { thickness: 0.012 },
    };
    let piece = Sized::whole(colour, alpha);
    lay_shadow(canvas, &piece, corner, flat_pose, seed);
    *canvas = piece.put("", std::mem::take(canvas), corner).image;
}

/// Dimension lines left of and below the product: a line over the whole side, closed by
/// long ticks, with a short tick every 10 mm (100 mm on large products).
fn draw_lines(canvas: &mut RgbImage, sized: &Sized, at: (f32, f32), per_mm: f32) {
    let inner = sized.inner;
    let side = canvas.width() as f32;
    let (gap, weight) = (0.035 * side, (side / 1000.0).max(1.0));
    let (long, short) = (0.012 * side, 0.005 * side);
    let step = per_mm * if inner.w.max(inner.h) / per_mm > 320.0 { 100.0 } else { 10.0 };
    let x = at.0 - gap;
    fill(canvas, Box2 { x: x - weight * 0.5, y: at.1, w: weight, h: inner.h });
    let y = at.1 + inner.h + gap;
    fill(canvas, Box2 { x: at.0, y: y - weight * 0.5, w: inner.w, h: weight });
    let ticks = |length: f32| (0..=((length / step) as u32).min(200)).map(move |n| n as f32 * step);
    for tick in ticks(inner.h) {
        fill(
            canvas,
            Box2 { x: x - short, y: at.1 + inner.h - tick - weight * 0.5, w: short * 2.0, h: weight },
        );
    }
    for tick in ticks(inner.w) {
        fill(canvas, Box2 { x: at.0 + tick - weight * 0.5, y: y - short, w: weight, h: short * 2.0 });
    }
    for end in [at.1, at.1 + inner.h] {
        fill(canvas, Box2 { x: x - long, y: end - weight * 0.5, w: long * 2.0, h: weight });
    }
    for end in [at.0, at.0 + inner.w] {
        fill(canvas, Box2 { x: end - weight * 0.5, y: y - long, w: weight, h: long * 2.0 });
    }
}

/// Fills a box with the line colour, its edges by coverage.
fn fill(canvas: &mut RgbImage, area: Box2) {
    let (w, h) = (canvas.width() as i64, canvas.height() as i64);
    let share = |from: f32, length: f32, pixel: i64| {
        let (a, b) = (from.max(pixel as f32), (from + length).min(pixel as f32 + 1.0));
        (b - a).clamp(0.0, 1.0)
    };
    for y in (area.y.floor() as i64).max(0)..((area.y + area.h).ceil() as i64).min(h) {
        for x in (area.x.floor() as i64).max(0)..((area.x + area.w).ceil() as i64).min(w) {
            let coverage = share(area.x, area.w, x) * share(area.y, area.h, y);
            let pixel = canvas.get_pixel_mut(x as u32, y as u32);
            pixel.0 = over(pixel.0, LINE, (coverage * 255.0) as u8);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use packshot_pipeline::role::Role;

    use super::*;
    use crate::generate::studio::make;
    use crate::generate::studio::testing::{Case, disc};

    fn sides(width: Option<f64>, height: Option<f64>) -> Dimensions {
        Dimensions { width_mm: width, height_mm: height, depth_mm: None, weight_g: None }
    }

    #[test]
    fn stated_sides_must_fit_the_photo() {
        assert_eq!(apparent(sides(None, None), 1.0), None);
        assert_eq!(apparent(sides(None, Some(100.0)), 0.5), Some((50.0, 100.0)));
        assert_eq!(apparent(sides(Some(100.0), Some(100.0)), 1.1).map(|p| p.1), Some(100.0));
        assert_eq!(apparent(sides(Some(900.0), Some(100.0)), 1.0), None);
        assert_eq!(apparent(sides(Some(f64::NAN), Some(-1.0)), 1.0), None);
    }

    #[test]
    fn without_dimensions_it_is_skipped() {
        let mut case = Case::new("Mug", "kitchen", disc(900, 900, 0.4));
        assert!(make(&case.request(Role::Comparison)).candidate().is_none());
        case.product.dimensions = sides(Some(95.0), Some(95.0));
        let made = make(&case.request(Role::Comparison));
        assert!(made.candidate().is_some_and(|c| c.notes[0].contains("bank card")));
    }
}
