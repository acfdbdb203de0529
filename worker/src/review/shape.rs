//! Shape drift under the similarity: stretch and bend from the field of matches, growth and
//! shrinkage of the outline from its own edge profiles, and parts that are missing.

use image::GrayImage;
use packshot_imaging::mask;
use packshot_imaging::photo::Rect;
use packshot_imaging::register::{Method, Registration};
use packshot_pipeline::finding::{Axis, Region};

use super::channel::{Channel, Metric, quantile};
use super::deform::{self, Deformation};
use super::frame::Frame;
use super::outline::{self, Outline};

/// Measures the axis.
pub(super) fn measure(frame: &Frame, registration: &Registration, size: (u32, u32), whole: bool) -> Channel {
    let mut metrics = Vec::new();
    let outline = outline::find(frame);
    let known: Vec<Deformation> =
        [deform::of_marks(frame, registration), deform::of_outline(frame, &outline)]
            .into_iter()
            .flatten()
            .collect();
    metrics.extend(stretch(&known));
    metrics.extend(bend(&known));
    if whole {
        metrics.extend(contour(frame, &outline, size));
    }
    metrics.push(missing(frame, size));
    let believed = match registration.method {
        Method::Keypoints => registration.confidence.max(outline.decided),
        Method::Edges => 0.5 * outline.decided,
    };
    Channel { axis: Axis::Shape, metrics, violations: Vec::new(), confidence: f64::from(believed) }
}

/// Largest standard error of a stretch, as a logarithm, with which it is still measured.
const STRETCH_ERROR_MAX: f64 = 0.02;

/// Unequal scale along two directions, from marks and outline, each weighed by how exactly
/// it knows.
fn stretch(known: &[Deformation]) -> Option<Metric> {
    let (mut sum, mut wide, mut weight) = (0.0, 0.0, 0.0);
    for d in known.iter().filter(|d| d.stretch_error < STRETCH_ERROR_MAX) {
        let w = 1.0 / (d.stretch_error.powi(2) + 1e-6);
        sum += w * d.sure_stretch();
        wide += w * d.widening;
        weight += w;
    }
    if weight == 0.0 {
        return None;
    }
    let (value, wide) = (sum / weight, wide / weight);
    let percent = 100.0 * (wide.abs().exp() - 1.0);
    let evidence = if wide.abs() > 0.6 * value {
        let word = if wide > 0.0 { "wider" } else { "taller" };
        format!("the product is {percent:.1} % {word} than in the reference")
    } else {
        format!("the product is sheared by {:.1} %", 100.0 * (value.exp() - 1.0))
    };
    Some(Metric { name: "shape_stretch", value, region: None, evidence, cure: None })
}

/// Smooth bending (taper, bulge, lean): the cubic field beyond the affine map, from whichever
/// of marks and outline knows it better.
fn bend(known: &[Deformation]) -> Option<Metric> {
    let best = known.iter().min_by(|a, b| a.bend_error.total_cmp(&b.bend_error))?;
    let evidence = format!("the product is bent or tapered by {:.1} % of its size", 100.0 * best.bend);
    Some(Metric { name: "shape_bend", value: best.sure_bend(), region: None, evidence, cure: None })
}

/// How far the outline stands from where the reference has it.
fn contour(frame: &Frame, outline: &Outline, size: (u32, u32)) -> Option<Metric> {
    let decided: Vec<(usize, f32)> =
        outline.offsets.iter().enumerate().filter_map(|(i, o)| o.map(|o| (i, o))).collect();
    if decided.len() < 24 || outline.decided < 0.25 {
        return None;
    }
    let mut away: Vec<f32> = decided.iter().map(|(_, o)| o.abs()).collect();
    let far = quantile(&mut away, 0.90) / frame.size;
    let &(at, peak) = decided.iter().max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()))?;
    let (x, y) = outline.points[at];
    let reach = (0.08 * frame.size).max(6.0);
    let rect = Rect {
        x: (x - reach).max(0.0) as u32,
        y: (y - reach).max(0.0) as u32,
        w: (2.0 * reach) as u32,
        h: (2.0 * reach) as u32,
    };
    let signed = decided.iter().map(|(_, o)| o).sum::<f32>() / decided.len() as f32 / frame.size;
    let evidence = widths(frame, outline).unwrap_or_else(|| {
        let word = if peak > 0.0 { "outside" } else { "inside" };
        format!(
            "the outline lies up to {:.1} % of the product's size {word} the reference's ({} by {:.1} % on average)",
            100.0 * peak.abs() / frame.size,
            if signed > 0.0 { "larger" } else { "smaller" },
            100.0 * signed.abs()
        )
    });
    Some(Metric {
        name: "shape_outline",
        value: f64::from(far),
        region: frame.region(rect, size),
        evidence,
        cure: None,
    })
}

/// Names the band of the product, top to bottom, whose width changed most.
fn widths(frame: &Frame, outline: &Outline) -> Option<String> {
    let bounds = mask::bounds(&frame.mask, 128)?;
    let middle = bounds.x as f32 + bounds.w as f32 / 2.0;
    const BANDS: [&str; 5] = ["top", "neck or shoulder", "middle", "lower half", "foot"];
    let mut sums = [[0f32; 2]; 5];
    let mut counts = [[0f32; 2]; 5];
    for ((x, y), offset) in outline.points.iter().zip(&outline.offsets) {
        let Some(offset) = offset else { continue };
        let band = ((y - bounds.y as f32) / bounds.h as f32 * 5.0).clamp(0.0, 4.0) as usize;
        let side = usize::from(*x > middle);
        sums[band][side] += offset;
        counts[band][side] += 1.0;
    }
    let change = |band: usize| {
        let both = (0..2).all(|s| counts[band][s] >= 3.0);
        both.then(|| (0..2).map(|s| sums[band][s] / counts[band][s]).sum::<f32>() / bounds.w as f32)
    };
    let (band, most) =
        (0..5).filter_map(|b| change(b).map(|c| (b, c))).max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()))?;
    (most.abs() > 0.015).then(|| {
        let word = if most > 0.0 { "wider" } else { "narrower" };
        format!("{} {:.0} % {word} than in the reference", BANDS[band], 100.0 * most.abs())
    })
}

/// The largest piece at the product's edge where the candidate shows its background.
fn missing(frame: &Frame, size: (u32, u32)) -> Metric {
    let (w, h) = (frame.width, frame.height);
    let inside = mask::threshold(&frame.mask, 200);
    let ground = &frame.candidate_ground;
    let shift = middle_shift(frame);
    let (r, c) = (&frame.reference_lab, &frame.candidate_lab);
    let mut gone = GrayImage::new(w, h);
    let out = gone.as_mut();
    for i in 0..out.len() {
        if inside.as_raw()[i] == 0 || !frame.visible[i] {
            continue;
        }
        let (l, a, b) = (c.l[i] - r.l[i], c.a[i] - r.a[i], c.b[i] - r.b[i]);
        // the same colour as before, or moved as the product as a whole has moved
        let from_product = (l * l + a * a + b * b)
            .min((l - shift[0]).powi(2) + (a - shift[1]).powi(2) + (b - shift[2]).powi(2));
        let from_ground = (c.l[i] - ground[0][i]).powi(2)
            + (c.a[i] - ground[1][i]).powi(2)
            + (c.b[i] - ground[2][i]).powi(2);
        if from_product > 100.0 && from_ground < 0.3 * from_product {
            out[i] = 255;
        }
    }
    let solid = mask::open(&gone, ((0.008 * frame.size) as u32).max(1));
    let piece = at_the_edge(&solid, &inside);
    let area = mask::area(&inside).max(1) as f32;
    let (share, region): (f32, Option<Region>) = match piece {
        Some((gone, rect)) => (gone as f32 / area, frame.region(rect, size)),
        None => (0.0, None),
    };
    Metric {
        name: "shape_missing",
        value: f64::from(share),
        region,
        evidence: format!("a part is missing: {:.1} % of the product shows background", 100.0 * share),
        cure: None,
    }
}

/// The largest piece that reaches the product's edge: area in pixels and bounds. A mark of
/// the background's colour inside the product is a mark.
fn at_the_edge(gone: &GrayImage, product: &GrayImage) -> Option<(u64, Rect)> {
    let rim = mask::difference(product, &mask::erode(product, 4));
    let labels = mask::label(gone);
    let mut pieces: Vec<_> = labels.components.iter().filter(|c| c.area >= 20).collect();
    pieces.sort_by_key(|c| std::cmp::Reverse(c.area));
    pieces
        .into_iter()
        .take(6)
        .find(|piece| labels.map.iter().zip(rim.as_raw()).any(|(l, r)| *l == piece.label && *r > 0))
        .map(|piece| (piece.area, piece.rect))
}

/// How the product's middle colour moved, in Lab.
fn middle_shift(frame: &Frame) -> [f32; 3] {
    let middle = |reference: &[f32], candidate: &[f32]| {
        let mut d: Vec<f32> =
            (0..frame.core.len()).filter(|&i| frame.core[i]).map(|i| candidate[i] - reference[i]).collect();
        quantile(&mut d, 0.5)
    };
    let (r, c) = (&frame.reference_lab, &frame.candidate_lab);
    [middle(&r.l, &c.l), middle(&r.a, &c.a), middle(&r.b, &c.b)]
}
