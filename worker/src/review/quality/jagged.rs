//! Jagged edges: an outline that goes in steps of whole pixels instead of running smoothly, as
//! a mask without antialiasing, or one made for a smaller picture, leaves it.

use nalgebra::{Matrix3, Vector3};

use super::super::channel::{Metric, quantile};
use super::Pair;
use super::profile::{Colour, HALF, Profile, colour_at, light, mean};

/// Rows followed to either side of a point.
const ROWS: i32 = 8;
/// Fewest rows in which the edge must be found.
const FOUND_MIN: usize = 14;
/// Least step of lightness across the edge, in levels.
const CONTRAST_MIN: f32 = 40.0;
/// Slope of the edge against the grid, in pixels per row: less shows no step, more no run.
const SLOPES: std::ops::Range<f32> = 0.06..1.2;
/// Change of the edge from one row to the next that is none: in pixels, and as a share of the
/// slope.
const STILL: (f32, f32) = (0.1, 0.3);
/// Least share of such rows in a staircase: the ridges of a bezel have slants instead.
const STILL_MIN: f32 = 0.4;
/// Fewest stretches of the outline by which anything can be said: a tenth of all that are looked
/// at, because a corner or a letter at the outline is no smooth line either.
const COUNT_MIN: usize = 40;

/// Measures the steps as the deviation of the edge from a smooth line, in candidate pixels
/// beyond the reference's; `None` where too little of the outline is sharp and slanted in both. The
/// reference is read on the candidate's grid of pixels, so that the ridges of a bezel, too small
/// for the candidate to draw them smoothly, are as rough there.
pub(super) fn measure(profiles: &[Profile], pair: &Pair) -> Option<Metric> {
    let into_reference = pair.similarity.inverse();
    let candidate = |x: i32, y: i32| {
        let pixel = pair.candidate.get_pixel_checked(u32::try_from(x).ok()?, u32::try_from(y).ok()?)?;
        Some(light(pixel.0.map(f32::from)))
    };
    let reference = |x: i32, y: i32| {
        let (x, y) = into_reference.apply(x as f32 + 0.5, y as f32 + 0.5);
        colour_at(pair.photo, x, y).map(light)
    };
    let mut excess: Vec<f32> = profiles
        .iter()
        .filter_map(|profile| {
            let own = profile.reference.as_ref()?;
            let at = pair.similarity.apply(own.at.0, own.at.1);
            let own = edge(reference, at, profile.normal, &own.colours)?;
            let here = edge(candidate, profile.at, profile.normal, &profile.candidate)?;
            let more = here.roughness.powi(2) - own.roughness.powi(2);
            Some(if here.in_steps { more.max(0.0).sqrt() } else { 0.0 })
        })
        .collect();
    if excess.len() < COUNT_MIN {
        return None;
    }
    let value = quantile(&mut excess, 0.5);
    Some(Metric {
        name: "quality_jagged",
        value: f64::from(value),
        region: None,
        evidence: format!("the outline is jagged: it goes in steps of about {:.1} px", value * 12f32.sqrt()),
        cure: None,
    })
}

/// A stretch of the outline.
struct Edge {
    /// Deviation from the parabola through it, in pixels across the edge.
    roughness: f32,
    /// Whether it stands still between its steps.
    in_steps: bool,
}

/// Follows the edge row by row, or column by column where it lies flat.
fn edge(
    lightness: impl Fn(i32, i32) -> Option<f32>,
    at: (f32, f32),
    normal: (f32, f32),
    colours: &[Colour],
) -> Option<Edge> {
    let (inside, outside) = (light(mean(&colours[..HALF - 4])), light(mean(&colours[HALF + 4..])));
    if (outside - inside).abs() < CONTRAST_MIN {
        return None;
    }
    let upright = normal.0.abs() >= normal.1.abs();
    let (along, across, n) = if upright { (at.1, at.0, normal) } else { (at.0, at.1, (normal.1, normal.0)) };
    let slope = -n.1 / n.0;
    if !SLOPES.contains(&slope.abs()) {
        return None;
    }
    let level = |row: i32, column: i32| if upright { lightness(column, row) } else { lightness(row, column) };
    let middle = 0.5 * (inside + outside);
    let rising = (outside - inside) * n.0 > 0.0;
    let crossing = |row: i32, expected: f32| {
        let mut best: Option<f32> = None;
        for column in (expected - 4.0) as i32..=(expected + 4.0) as i32 {
            let (a, b) = (level(row, column)? - middle, level(row, column + 1)? - middle);
            if (a < 0.0) == (b < 0.0) || (b > a) != rising {
                continue;
            }
            let place = column as f32 + 0.5 + a / (a - b);
            if best.is_none_or(|known| (place - expected).abs() < (known - expected).abs()) {
                best = Some(place);
            }
        }
        best
    };
    let first = along.floor() as i32;
    let mut found: Vec<(f32, f32)> = Vec::with_capacity(2 * ROWS as usize + 1);
    for direction in [1, -1] {
        let mut last = across + slope * (first as f32 + 0.5 - along);
        let from = i32::from(direction < 0);
        for i in from..=ROWS {
            let expected = if i == 0 { last } else { last + slope * direction as f32 };
            last = expected;
            if let Some(place) = crossing(first + direction * i, expected) {
                found.push(((direction * i) as f32, place));
                // a step is followed half the way, so that the next row is looked for between
                last = 0.5 * (expected + place);
            }
        }
    }
    if found.len() < FOUND_MIN {
        return None;
    }
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    Some(Edge { roughness: from_parabola(&found) * n.0.abs(), in_steps: is_staircase(&found, slope) })
}

/// Whether the edge stands still between its steps.
fn is_staircase(points: &[(f32, f32)], slope: f32) -> bool {
    let still = STILL.0 + STILL.1 * slope.abs();
    let count = points.windows(2).filter(|pair| (pair[1].1 - pair[0].1).abs() < still).count();
    count as f32 >= STILL_MIN * (points.len() - 1) as f32
}

/// Root mean square distance from the best parabola.
fn from_parabola(points: &[(f32, f32)]) -> f32 {
    let powers = |t: f32| {
        let t = f64::from(t) / f64::from(ROWS);
        Vector3::new(1.0, t, t * t)
    };
    let (mut matrix, mut right) = (Matrix3::zeros(), Vector3::zeros());
    for &(t, v) in points {
        let row = powers(t);
        matrix += row * row.transpose();
        right += row * f64::from(v);
    }
    let Some(terms) = matrix.cholesky().map(|matrix| matrix.solve(&right)) else { return 0.0 };
    let square: f64 = points.iter().map(|&(t, v)| (f64::from(v) - powers(t).dot(&terms)).powi(2)).sum();
    (square / (points.len() as f64 - 3.0).max(1.0)).sqrt() as f32
}
