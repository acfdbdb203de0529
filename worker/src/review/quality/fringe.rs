//! Fringed edges: a thin rim along the outline whose colour is neither the product's, nor the
//! background's, nor any mixture of the two. It is the old background carried along. A rim that
//! the reference shows too is no fault.

use packshot_imaging::colour::srgb_to_linear;
use packshot_imaging::composite;

use super::super::channel::{Metric, quantile};
use super::profile::{Colour, HALF, LENGTH, Profile, apart, length, mean};

/// How far a mixture may lie beyond its two colours, as a share of their difference: what
/// resampling overshoots.
const BEYOND: f32 = 0.12;
/// Levels that another light may add or take; more is another colour.
const LIGHT_MAX: f32 = 30.0;
/// Least depth at which the reference's colours are the product's own, in candidate pixels.
const DEEP: usize = 2;
/// Share of the outline that may have a rim of its own.
const SHARE: f32 = 0.6;
/// Fewest profiles by which anything can be said.
const COUNT_MIN: usize = 24;

/// Measures the rim in levels; `None` where too little of the outline can be seen.
pub(super) fn measure(profiles: &[Profile]) -> Option<Metric> {
    if profiles.len() < COUNT_MIN {
        return None;
    }
    let mut rims: Vec<f32> = profiles
        .iter()
        .map(|profile| {
            let own = profile.reference.as_ref().map_or(0.0, |own| rim(&own.colours, &profile.product));
            (rim(&profile.candidate, &profile.product) - own).max(0.0)
        })
        .collect();
    let value = quantile(&mut rims, SHARE);
    Some(Metric {
        name: "quality_fringe",
        value: f64::from(value),
        region: None,
        evidence: format!(
            "a coloured rim along the outline, {value:.0} levels off both the product and its background"
        ),
        cure: None,
    })
}

/// How far the rim of one profile is from every mixture of the product with what is behind it.
fn rim(shown: &[Colour; LENGTH], own: &[Colour; LENGTH]) -> f32 {
    let behind = mean(&shown[HALF + 5..]);
    // the candidate's own light, told where both show the product
    let (bright, plain) = (mean(&shown[..HALF - 5]), mean(&own[..HALF - 5]));
    let shift: Colour = std::array::from_fn(|c| bright[c] - plain[c]);
    // another colour than the reference's is another fault: the rim is held against the colour
    // that is there
    let dyed = shift.iter().any(|c| c.abs() > LIGHT_MAX);
    let (of, shift) = if dyed { (&shown[..HALF - 5], [0.0; 3]) } else { (&own[..HALF - DEEP], shift) };
    let mixtures: Vec<[Colour; 3]> = of
        .iter()
        .map(|of| {
            let product = std::array::from_fn(|c| of[c] + shift[c]);
            [product, half(product, behind), behind]
        })
        .collect();
    let strange = |colour: Colour| mixtures.iter().map(|m| from_mixture(colour, m)).fold(f32::MAX, f32::min);
    // two pixels together: JPEG keeps hue at half the resolution
    let pairs = |from: usize, to: usize| (from..to).map(|i| mean(&shown[i..i + 2]));
    let worst = pairs(HALF - 4, HALF + 4).map(strange).fold(0.0, f32::max);
    // what the background strays by itself is no rim
    let astray = pairs(HALF + 5, LENGTH - 1).map(|c| apart(c, behind)).fold(0.0, f32::max);
    (worst - astray).max(0.0)
}

/// The mixture of equal parts in light.
fn half(a: Colour, b: Colour) -> Colour {
    let light = |level: f32| srgb_to_linear(level.clamp(0.0, 255.0) as u8);
    std::array::from_fn(|c| composite::encode(0.5 * (light(a[c]) + light(b[c]))))
}

/// Distance from the nearest mixture of the first and the last, mixed in levels or, by way of
/// the second, in light.
fn from_mixture(colour: Colour, [product, half, behind]: &[Colour; 3]) -> f32 {
    let straight = from_segment(colour, *product, *behind, BEYOND);
    let bent = from_segment(colour, *product, *half, 0.0).min(from_segment(colour, *half, *behind, 0.0));
    straight.min(bent)
}

fn from_segment(colour: Colour, a: Colour, b: Colour, beyond: f32) -> f32 {
    let way: Colour = std::array::from_fn(|c| b[c] - a[c]);
    let off: Colour = std::array::from_fn(|c| colour[c] - a[c]);
    let square: f32 = way.iter().map(|v| v * v).sum();
    let along: f32 = way.iter().zip(&off).map(|(w, o)| w * o).sum();
    let t = if square > 1e-3 { (along / square).clamp(-beyond, 1.0 + beyond) } else { 0.0 };
    length(std::array::from_fn(|c| off[c] - t * way[c]))
}
