//! From numbers to a judgement a studio manager would sign: reasons, weaknesses, score.

use packshot_imaging::cutout::AGREEMENT_CERTAIN;
use packshot_imaging::mask;
use packshot_imaging::photo::{Cutout, CutoutQuality, CutoutSource, Photo};
use packshot_pipeline::catalog::Reference;
use packshot_pipeline::inspection::{ReferenceReport, Weakness};

use super::measure::Measured;

/// Longest side of the product below which no channel can show it.
const PRODUCT_PX_MIN: u32 = 300;
/// Longest side below which zoom and details are poor; a reason, not a refusal.
const PRODUCT_PX_GOOD: u32 = 1_000;
/// Edge width of an ordinary sharp photo.
const EDGE_SHARP_PX: f32 = 2.5;
/// Edge width above which a photo is blurred if not enough resolution is left.
const EDGE_BLURRED_PX: f32 = 5.0;
/// Sharp pixels along the product that must be left in a soft photo.
const RESOLVED_PX_MIN: f32 = 400.0;
/// Share of the product without any tone.
const CLIPPED_MAX: f32 = 0.4;
/// Clipping worth a word.
const CLIPPED_SEEN: f32 = 0.08;
/// Irregularity of the background in Lab L units.
const CLUTTER_MAX: f32 = 9.0;
/// A background that needs care.
const CLUTTER_SEEN: f32 = 3.5;
/// Share of half-transparent product: glass, or a guess.
const SOFT_SHARE_MAX: f32 = 0.3;
/// Parts from which different things are several products.
const PARTS_MAX: u32 = 4;

pub(super) fn report(reference: &Reference, photo: &Photo, cutout: &Cutout, m: &Measured) -> ReferenceReport {
    let quality = &cutout.quality;
    let product_px = m.bounds.w.max(m.bounds.h);
    let mut report = ReferenceReport {
        reference: reference.clone(),
        width: photo.rgb.width(),
        height: photo.rgb.height(),
        product_px,
        edge_width_px: m.edge_width_px,
        clipped: m.clipped_light + m.clipped_dark,
        clutter: quality.clutter,
        cast: m.cast,
        border_contact: m.contact.share,
        parts: quality.parts,
        agreement: quality.agreement,
        score: 0.0,
        reasons: Vec::new(),
        weaknesses: Vec::new(),
    };
    frame(&mut report, m);
    detail(&mut report, m);
    tone(&mut report, m);
    surroundings(&mut report, cutout, m);
    one_product(&mut report, cutout);
    report.score = score(&report, m);
    report
}

fn weak(report: &mut ReferenceReport, kind: &str, seen: String, reshoot: &str) {
    report.reasons.push(seen.clone());
    report.weaknesses.push(Weakness { kind: kind.into(), seen, reshoot: reshoot.into() });
}

fn frame(report: &mut ReferenceReport, m: &Measured) {
    if m.contact.cut.is_empty() {
        report.reasons.push("whole silhouette inside the frame".into());
        return;
    }
    let sides = m.contact.cut.join(" and ");
    let seen =
        format!("cut off at the {sides} ({:.0} % of the frame's border is product)", 100.0 * m.contact.share);
    weak(report, "cut-off", seen, "reshoot with the whole product inside the frame and some space around it");
}

/// Pixels along the product that the lens really resolved.
fn resolved_px(report: &ReferenceReport) -> f32 {
    report.product_px as f32 * (EDGE_SHARP_PX / report.edge_width_px.max(EDGE_SHARP_PX))
}

fn detail(report: &mut ReferenceReport, m: &Measured) {
    let (px, width) = (report.product_px, m.edge_width_px);
    if px < PRODUCT_PX_MIN {
        let seen = format!("the product is only {px} px long, {PRODUCT_PX_MIN} px are needed");
        weak(report, "tiny", seen, "supply a larger photo: 1,000 px or more along the product");
    } else if px < PRODUCT_PX_GOOD {
        report.reasons.push(format!("product {px} px long, details and zoom will be limited"));
    } else {
        report.reasons.push(format!("product {px} px long"));
    }
    if m.edges == 0 {
        report.reasons.push("no clear edges to judge sharpness by".into());
    } else if width > EDGE_BLURRED_PX && resolved_px(report) < RESOLVED_PX_MIN {
        let seen = format!("blurred: edges are {width:.1} px wide, sharp ones are below {EDGE_SHARP_PX} px");
        weak(report, "blurred", seen, "reshoot in focus, with the camera on a tripod");
    } else if width > EDGE_SHARP_PX * 1.5 {
        report.reasons.push(format!("somewhat soft ({width:.1} px edges)"));
    } else {
        report.reasons.push(format!("sharp ({width:.1} px edges)"));
    }
}

fn tone(report: &mut ReferenceReport, m: &Measured) {
    for (share, what, cure) in [
        (
            m.clipped_light,
            "burnt out to white",
            "reshoot with less exposure so that the product keeps its tones",
        ),
        (m.clipped_dark, "drowned in black", "reshoot with more light so that the product keeps its tones"),
    ] {
        let percent = 100.0 * share;
        if share > CLIPPED_MAX {
            weak(report, "clipped", format!("{percent:.0} % of the product is {what}"), cure);
        } else if share > CLIPPED_SEEN {
            report.reasons.push(format!("{percent:.0} % of the product is {what}"));
        }
    }
    if let Some(l) = m.background_l
        && l > 70.0
        && (4.0..14.0).contains(&m.cast)
    {
        report.reasons.push(format!("light background with a colour cast (chroma {:.0})", m.cast));
    }
}

fn surroundings(report: &mut ReferenceReport, cutout: &Cutout, m: &Measured) {
    let quality = &cutout.quality;
    if quality.source == CutoutSource::SuppliedAlpha {
        report.reasons.push("outline supplied with the file".into());
        return;
    }
    if m.background_l.is_none() && m.contact.share > 0.9 {
        weak(
            report,
            "no-product",
            "no background is visible around the product".into(),
            "reshoot with plain background visible on all sides",
        );
        return;
    }
    let clutter = quality.clutter;
    // What stands around a product blinds the segmenters, not a model that one of them confirms.
    if clutter > CLUTTER_MAX && quality.source == CutoutSource::Segmented {
        let seen =
            format!("cluttered background (irregularity {clutter:.1}, plain ones are below {CLUTTER_SEEN})");
        weak(
            report,
            "uncertain-outline",
            seen,
            "reshoot on a plain, evenly lit background without other objects",
        );
    } else if clutter > CLUTTER_SEEN {
        report.reasons.push(format!("uneven background (irregularity {clutter:.1})"));
    } else {
        report.reasons.push("plain background".into());
    }
    third_opinion(report, quality);
    if quality.agreement < AGREEMENT_CERTAIN {
        let seen = format!(
            "uncertain outline: two independent segmentations agree on only {:.0} % of the product",
            100.0 * quality.agreement
        );
        weak(
            report,
            "uncertain-outline",
            seen,
            "reshoot on a plain background that differs in colour from the product, or supply a cut-out with transparency",
        );
    } else if quality.soft_share > SOFT_SHARE_MAX {
        let seen = format!(
            "uncertain outline: {:.0} % of the product is neither clearly in nor clearly out, as with glass",
            100.0 * quality.soft_share
        );
        weak(report, "uncertain-outline", seen, "supply a cut-out with transparency");
    }
}

/// What came of asking a model, if one was asked.
fn third_opinion(report: &mut ReferenceReport, quality: &CutoutQuality) {
    let Some(opinion) = quality.opinion else { return };
    let percent = 100.0 * opinion;
    report.reasons.push(match quality.source {
        CutoutSource::Learned => format!(
            "outline by the matting model, an independent segmentation agrees on {percent:.0} % of the product"
        ),
        CutoutSource::Segmented | CutoutSource::SuppliedAlpha => {
            format!("the matting model agrees on only {percent:.0} % of the product and was not followed")
        }
    });
}

/// Parts alone do not make several products: a pair of shoes, a set of mugs and two bottles
/// are one. Many parts of very different sizes are not.
fn one_product(report: &mut ReferenceReport, cutout: &Cutout) {
    if cutout.quality.parts < 2 {
        return;
    }
    let parts = mask::components(&cutout.alpha, 64);
    let largest = parts.first().map_or(1, |p| p.area).max(1);
    let counted: Vec<f32> =
        parts.iter().map(|p| p.area as f32 / largest as f32).filter(|&share| share > 0.03).collect();
    let smallest = counted.iter().copied().fold(1.0, f32::min);
    if cutout.quality.parts > PARTS_MAX && smallest < 0.4 {
        let seen = format!("{} separate objects of different sizes", cutout.quality.parts);
        weak(report, "several-products", seen, "reshoot the product alone");
    } else if smallest >= 0.4 {
        report.reasons.push(format!("{} parts of similar size, taken as one product", cutout.quality.parts));
    } else {
        report.reasons.push(format!("{} separate parts", cutout.quality.parts));
    }
}

/// About 1 for a large, sharp, clean photo; every weakness costs more than any merit adds.
fn score(report: &ReferenceReport, m: &Measured) -> f32 {
    let resolution = (resolved_px(report).max(1.0) / 200.0).log2().clamp(0.0, 4.0) / 4.0;
    let clean = 1.0 - (report.clutter / (2.0 * CLUTTER_MAX)).clamp(0.0, 1.0);
    let tones = 1.0 - (report.clipped / CLIPPED_MAX).clamp(0.0, 1.0);
    let whole = 1.0 - (8.0 * m.contact.share).clamp(0.0, 1.0);
    let neutral = 1.0 - (m.cast / 60.0).clamp(0.0, 1.0);
    let merit = 0.45 * resolution
        + 0.15 * clean
        + 0.15 * tones
        + 0.1 * whole
        + 0.1 * report.agreement
        + 0.05 * neutral;
    merit / (1.0 + report.weaknesses.len() as f32 * 2.0)
}
