//! Jagged edges: an outline that goes in steps of whole pixels instead of running smoothly, as
//! a mask without antialiasing, or one made for a smaller picture, leaves it.

use image::RgbImage;

use super::super::channel::{Metric, quantile};
use super::Pair;
use super::profile::{Colour, HALF, Profile, light, mean};

/// Rows followed to either side of a point.
const ROWS: i32 = 8;
/// Fewest rows in which the edge must be found.
const FOUND_MIN: usize = 14;
/// Least step of lightness across the edge, in levels.
const CONTRAST_MIN: f32 = 40.0;
/// Slope of the edge against the grid, in pixels per row: less shows no step, more no run.
const SLOPES: std::ops::Range<f32> = 0.06..1.2;
/// Fewest stretches of the outline by which anything can be said.
const COUNT_MIN: usize = 12;

/// Measures the steps as the deviation of the edge from a smooth line, in candidate pixels
/// beyond the reference's; `None` where too little of the outline is sharp and slanted.
pub(super) fn measure(profiles: &[Profile], pair: &Pair) -> Option<Metric> {
    let pairs: Vec<(f32, Option<f32>)> = profiles
        .iter()
        .filter_map(|profile| {
            let here = roughness(pair.candidate, profile.at, profile.normal, &profile.candidate)?;
            // in pixels of the candidate; enlarged, a step of the reference is as much larger
            let own = profile.reference.as_ref().and_then(|own| {
                roughness(pair.photo, own.at, own.normal, &own.colours)
                    .map(|r| r * pair.similarity.scale.max(1.0))
            });
            Some((here, own))
        })
        .collect();
    if pairs.len() < COUNT_MIN {
        return None;
    }
    let mut owns: Vec<f32> = pairs.iter().filter_map(|(_, own)| *own).collect();
    let usual = if owns.is_empty() { 0.1 } else { quantile(&mut owns, 0.5) };
    let mut excess: Vec<f32> = pairs
        .iter()
        .map(|(here, own)| {
            let own = own.unwrap_or(usual);
            (here * here - own * own).max(0.0).sqrt()
        })
        .collect();
    let value = quantile(&mut excess, 0.5);
    Some(Metric {
        name: "quality_jagged",
        value: f64::from(value),
        region: None,
        evidence: format!("the outline is jagged: it goes in steps of about {:.1} px", value * 12f32.sqrt()),
        cure: None,
    })
}

/// Deviation of the edge's place, row by row (or column by column where the edge lies flat),
/// from the parabola through it, in pixels across the edge.
fn roughness(rgb: &RgbImage, at: (f32, f32), normal: (f32, f32), colours: &[Colour]) -> Option<f32> {
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
    let level = |row: i32, column: i32| {
        let (x, y) = if upright { (column, row) } else { (row, column) };
        let pixel = rgb.get_pixel_checked(u32::try_from(x).ok()?, u32::try_from(y).ok()?)?;
        Some(light(pixel.0.map(f32::from)))
    };
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
    (found.len() >= FOUND_MIN).then(|| from_parabola(&found) * n.0.abs())
}

/// Root mean square distance from the best parabola.
fn from_parabola(points: &[(f32, f32)]) -> f32 {
    let n = points.len() as f64;
    let (mut sums, mut rights) = ([0f64; 5], [0f64; 3]);
    for &(t, v) in points {
        let (t, v) = (f64::from(t) / f64::from(ROWS), f64::from(v));
        for (k, sum) in sums.iter_mut().enumerate() {
            *sum += t.powi(k as i32);
        }
        for (k, right) in rights.iter_mut().enumerate() {
            *right += v * t.powi(k as i32);
        }
    }
    let matrix = [[sums[0], sums[1], sums[2]], [sums[1], sums[2], sums[3]], [sums[2], sums[3], sums[4]]];
    let Some([a, b, c]) = solved(matrix, rights) else { return 0.0 };
    let square: f64 = points
        .iter()
        .map(|&(t, v)| {
            let t = f64::from(t) / f64::from(ROWS);
            (f64::from(v) - a - b * t - c * t * t).powi(2)
        })
        .sum();
    (square / (n - 3.0).max(1.0)).sqrt() as f32
}

/// Cramer's rule; `None` when the rows do not say enough.
fn solved(m: [[f64; 3]; 3], right: [f64; 3]) -> Option<[f64; 3]> {
    let determinant = |m: &[[f64; 3]; 3]| {
        m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1]) - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0])
            + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0])
    };
    let whole = determinant(&m);
    (whole.abs() > 1e-6).then(|| {
        std::array::from_fn(|column| {
            let mut other = m;
            for row in 0..3 {
                other[row][column] = right[row];
            }
            determinant(&other) / whole
        })
    })
}
