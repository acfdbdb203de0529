//! The review: a candidate is registered to its reference and measured on every drift axis,
//! one channel per drift, and a calibrated decision is taken.
//!
//! Measuring and deciding are apart: [`measure`] looks at pixels, [`verdict::decide`] only at
//! numbers and thresholds. An axis that cannot be measured says so; it is neither drift nor
//! pass.

pub mod channel;
mod claim;
mod colour;
pub mod compare;
mod deform;
mod feature;
mod frame;
mod ground;
mod heatmap;
mod local;
mod locked;
mod material;
mod objects;
mod outline;
mod quality;
mod rules;
mod scale;
mod shape;
mod stretch;
pub mod thresholds;
mod turned;
pub mod verdict;
mod words;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use image::{GrayImage, RgbImage};
use packshot_imaging::cutout::CutoutOptions;
use packshot_imaging::photo::{Cutout, Photo};
use packshot_imaging::register::{self, Registration, Similarity};
use packshot_pipeline::facts::Facts;
use packshot_pipeline::finding::{Region, Review};
use packshot_pipeline::role::Role;

use channel::{Channel, Violation};
use frame::{Frame, Ground};
use thresholds::Thresholds;

/// Share of the product that must be in the frame where the role wants the whole product.
const WHOLE: f32 = 0.97;
/// Least share of the product by which anything can be said.
const SHOWN_MIN: f32 = 0.02;

/// How a reference is cut out that is only compared and not put on another background: an
/// outline that is doubtful here and there does hardly any harm, because no axis measures where
/// the reference itself shows no edge. Below this agreement parts of the product are lost, and
/// what happens to them would not be seen.
pub const TO_COMPARE: CutoutOptions = CutoutOptions { agreement_min: 0.3 };

/// What is to be judged.
#[derive(Clone, Copy)]
pub struct ReviewRequest<'a> {
    /// The reference photo.
    pub reference: &'a Photo,
    /// Its product.
    pub cutout: &'a Cutout,
    /// The same product made ready to be looked for, where more candidates than one are held
    /// against it; `None`: done for this one.
    pub sought: Option<&'a register::Reference>,
    /// The picture to judge.
    pub candidate: &'a RgbImage,
    /// Its coverage where it has one; the background shows where it is 0.
    pub candidate_alpha: Option<&'a GrayImage>,
    /// What the picture is for; `None`: product truth alone.
    pub role: Option<Role>,
    /// The product-truth list, for the regions worth protecting.
    pub facts: Option<&'a Facts>,
    /// Where the maker says that it put the product.
    pub hint: Option<Similarity>,
}

/// A review with its evidence.
#[derive(Clone, Debug)]
pub struct Reviewed {
    /// Scores, findings and verdict.
    pub review: Review,
    /// The candidate with what differs made visible, at most 1,000 px on the longer side.
    pub heatmap: RgbImage,
}

/// Everything measured on one candidate, before any decision.
#[derive(Clone, Debug)]
pub struct Measured {
    /// One channel per axis that could be measured.
    pub channels: Vec<Channel>,
    /// How much of the product they are about.
    pub extent: Extent,
    /// The placement found.
    pub registration: Option<Registration>,
    glow: Option<Glow>,
}

/// How much of the product two pictures let compare.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Extent {
    /// All that is seen of it.
    Whole,
    /// One part of a product that was turned.
    Part {
        /// Which, in a sentence.
        which: String,
        /// Where in the candidate.
        region: Region,
    },
    /// Nothing, and why.
    Nothing(String),
}

#[derive(Clone, Debug)]
struct Glow {
    width: u32,
    height: u32,
    map: Vec<f32>,
    placement: Similarity,
}

/// Reviews one candidate with the shipped thresholds.
pub fn review(request: &ReviewRequest) -> Reviewed {
    let measured = measure(request);
    let review = decide(&measured, request.role, thresholds::shipped());
    let heatmap = evidence(&on_backdrop(request), &measured, &review);
    Reviewed { review, heatmap }
}

/// Decides on what was measured.
pub fn decide(measured: &Measured, role: Option<Role>, thresholds: &Thresholds) -> Review {
    verdict::decide(&measured.channels, &measured.extent, role, thresholds)
}

/// Draws the evidence of a review over the candidate as it is looked at ([`on_backdrop`]).
pub fn evidence(candidate: &RgbImage, measured: &Measured, review: &Review) -> RgbImage {
    let glow = measured.glow.as_ref().map(|g| heatmap::Glow {
        width: g.width,
        height: g.height,
        map: &g.map,
        placement: g.placement,
    });
    heatmap::draw(candidate, glow.as_ref(), &review.findings)
}

/// Measures every axis of one candidate. A copy of the reference drifts in nothing, however its
/// pixels are resampled for measuring; what its role asks for is looked at all the same.
pub fn measure(request: &ReviewRequest) -> Measured {
    let mut measured = measure_candidate(request);
    if *request.candidate == request.reference.rgb {
        for metric in measured.channels.iter_mut().flat_map(|channel| &mut channel.metrics) {
            metric.value = 0.0;
        }
    }
    measured
}

fn measure_candidate(request: &ReviewRequest) -> Measured {
    let rgb = &request.reference.rgb;
    let laid = on_backdrop(request);
    let candidate = &*laid;
    if let Some(measured) = request.hint.and_then(|hint| measure_locked(request, candidate, hint)) {
        return measured;
    }
    let registration = match find(request, candidate, request.hint) {
        Ok(found) => found,
        Err(why) => {
            let part = turned::measure(request, candidate);
            return part.unwrap_or_else(|| unmeasured(rgb, candidate, why.to_string()));
        }
    };
    if let Some(stretch) = stretch::of_picture(&registration) {
        return stretch::measure_undone(request, candidate, stretch);
    }
    measure_registered(request, candidate, registration)
}

/// Looks for the reference's product.
fn find(
    request: &ReviewRequest,
    candidate: &RgbImage,
    hint: Option<Similarity>,
) -> Result<Registration, register::NotComparable> {
    match request.sought {
        Some(reference) => reference.find(candidate, hint),
        None => register::register(&request.reference.rgb, &request.cutout.alpha, candidate, hint),
    }
}

/// Measures every axis of a candidate whose product was found.
fn measure_registered(request: &ReviewRequest, candidate: &RgbImage, registration: Registration) -> Measured {
    let rgb = &request.reference.rgb;
    let mask = &request.cutout.alpha;
    let Some(frame) = Frame::new(rgb, mask, candidate, &registration, Ground::Background) else {
        return unmeasured(rgb, candidate, "the product is too small in one of the pictures".to_owned());
    };
    if frame.visible_share < SHOWN_MIN || frame.core_count() < frame::CORE_MIN {
        return unmeasured(rgb, candidate, "the candidate shows too little of the product".to_owned());
    }
    let rules = rules::of(request.role);
    let size = candidate.dimensions();
    let colour = colour::measure(&frame, size);
    let whole = frame.visible_share >= WHOLE;
    let mut shape = shape::measure(&frame, &registration, size, whole);
    if rules.whole_product && !whole {
        shape.violations.push(cut_by_frame(&frame));
    }
    let protected = request.facts.map_or(&[][..], |f| &f.protected);
    let features = feature::measure(&frame, &registration, protected, size);
    let scene =
        claim::Scene { reference: rgb, reference_mask: mask, candidate, similarity: registration.similarity };
    let claim = claim::measure(&scene, &frame, &features, rules);
    let photo = shown(request, candidate);
    let channels = vec![
        shape,
        colour,
        material::measure(&frame),
        features.channel.clone(),
        scale::measure(&registration, rgb, candidate),
        claim,
        quality::measure(&frame, &pair(request, &photo, candidate, &registration), rules),
    ];
    let glow = Glow {
        width: frame.width,
        height: frame.height,
        map: glow_map(&frame, &features.map),
        placement: frame.placement,
    };
    Measured { channels, extent: Extent::Whole, registration: Some(registration), glow: Some(glow) }
}

/// Measures a candidate whose product is, pixel upon pixel, the reference's own where the
/// maker placed it; `None` when it is not.
fn measure_locked(request: &ReviewRequest, candidate: &RgbImage, hint: Similarity) -> Option<Measured> {
    let rgb = &request.reference.rgb;
    let mask = &request.cutout.alpha;
    let registration = locked::claimed(hint);
    // The foreground is the photo without its background's light in the rim: what is placed.
    let frame = Frame::new(&request.cutout.foreground, mask, candidate, &registration, Ground::Background)?;
    let residual = locked::residual(&frame).filter(|residual| *residual < 1.0)?;
    let rules = rules::of(request.role);
    let mut channels = locked::channels(residual);
    if rules.whole_product && frame.visible_share < WHOLE {
        channels[0].violations.push(cut_by_frame(&frame));
    }
    let features = feature::measure(&frame, &registration, &[], candidate.dimensions());
    let scene =
        claim::Scene { reference: rgb, reference_mask: mask, candidate, similarity: registration.similarity };
    let mut claim = claim::measure(&scene, &frame, &features, rules);
    claim.metrics.retain(|metric| metric.name != "claim_on_product");
    let photo = shown(request, candidate);
    let quality = quality::measure_placing(&frame, &pair(request, &photo, candidate, &registration), rules);
    channels.extend([scale::measure(&registration, rgb, candidate), claim, quality]);
    let glow = Glow {
        width: frame.width,
        height: frame.height,
        map: glow_map(&frame, &features.map),
        placement: frame.placement,
    };
    Some(Measured { channels, extent: Extent::Whole, registration: Some(registration), glow: Some(glow) })
}

/// The reference as it is seen: the colour of transparent pixels means nothing, so that it is laid
/// on what the candidate stands before.
fn shown<'a>(request: &ReviewRequest<'a>, candidate: &RgbImage) -> Cow<'a, RgbImage> {
    let Photo { rgb, alpha, .. } = request.reference;
    match alpha {
        Some(alpha) => Cow::Owned(laid_on(in_corners(candidate), rgb, alpha)),
        None => Cow::Borrowed(rgb),
    }
}

/// The middle colour of a picture's corners.
fn in_corners(rgb: &RgbImage) -> [u8; 3] {
    let (right, bottom) = (rgb.width() - 1, rgb.height() - 1);
    let corners = [(0, 0), (right, 0), (0, bottom), (right, bottom)].map(|(x, y)| rgb.get_pixel(x, y).0);
    std::array::from_fn(|c| {
        let mut levels = corners.map(|corner| corner[c]);
        levels.sort_unstable();
        levels[1]
    })
}

fn pair<'a>(
    request: &ReviewRequest<'a>,
    photo: &'a RgbImage,
    candidate: &'a RgbImage,
    registration: &Registration,
) -> quality::Pair<'a> {
    quality::Pair {
        photo,
        foreground: &request.cutout.foreground,
        candidate,
        similarity: registration.similarity,
    }
}

fn cut_by_frame(frame: &Frame) -> Violation {
    let evidence =
        format!("the product is cut by the frame: {:.0} % of it is shown", 100.0 * frame.visible_share);
    Violation { region: None, evidence, cure: None }
}

/// Measures what can be measured when the reference's product could not be cut out: codes that
/// the reference does not have, and sizes within a scene that both pictures show.
pub fn measure_uncut(reference: &RgbImage, candidate: &RgbImage, why: &str) -> Measured {
    let mut measured = unmeasured(reference, candidate, why.to_owned());
    measured.channels.push(scale::of_scene(reference, candidate));
    measured
}

/// Difference of lightness that another light makes without anything glowing, in L.
const LIGHT_L: f32 = 8.0;

/// Where structure or colour differs, 0 to 1.
fn glow_map(frame: &Frame, structure: &[f32]) -> Vec<f32> {
    let (r, c) = (&frame.reference_lab, &frame.candidate_lab);
    (0..structure.len())
        .map(|i| {
            if !frame.core[i] {
                return 0.0;
            }
            // what another light does to lightness is no difference of the product
            let light = ((c.l[i] - r.l[i]).abs() - LIGHT_L).max(0.0);
            let colour = (c.a[i] - r.a[i]).hypot(c.b[i] - r.b[i]).hypot(0.6 * light);
            (0.9 * structure[i]).max((colour - 6.0) / 18.0).clamp(0.0, 1.0)
        })
        .collect()
}

fn unmeasured(reference: &RgbImage, candidate: &RgbImage, why: String) -> Measured {
    Measured {
        channels: vec![claim::codes_only(reference, candidate)],
        extent: Extent::Nothing(why),
        registration: None,
        glow: None,
    }
}

/// The candidate as it is looked at: the colour of its transparent pixels means nothing.
pub fn on_backdrop<'a>(request: &ReviewRequest<'a>) -> Cow<'a, RgbImage> {
    match request.candidate_alpha {
        Some(alpha) if alpha.dimensions() == request.candidate.dimensions() => {
            Cow::Owned(laid_on([backdrop(request.role); 3], request.candidate, alpha))
        }
        Some(_) | None => Cow::Borrowed(request.candidate),
    }
}

/// What a transparent candidate is looked at on: white where the role asks for it, else the
/// light grey of a studio sweep, on which a white product is still seen.
fn backdrop(role: Option<Role>) -> u8 {
    if rules::of(role).white_background { 255 } else { 246 }
}

fn laid_on(ground: [u8; 3], rgb: &RgbImage, alpha: &GrayImage) -> RgbImage {
    RgbImage::from_fn(rgb.width(), rgb.height(), |x, y| {
        let a = u32::from(alpha.get_pixel(x, y).0[0]);
        let p = rgb.get_pixel(x, y).0;
        image::Rgb(std::array::from_fn(|c| {
            ((u32::from(p[c]) * a + u32::from(ground[c]) * (255 - a) + 127) / 255) as u8
        }))
    })
}
