//! The product's colours: k-means in Lab over a sample of its own pixels.

use image::{GrayImage, RgbImage};
use packshot_imaging::colour::{Lab, ciede2000, lab, lab_to_srgb, nearest_word};
use packshot_imaging::photo::Rect;
use packshot_pipeline::facts::ColourFact;

/// Pixels sampled.
const SAMPLES_MAX: u32 = 9_000;
/// Clusters before merging.
const CLUSTERS: usize = 8;
/// Rounds of k-means; samples settle long before.
const ROUNDS: usize = 12;
/// Lightness counts less than hue: one cloth in light and shade is one colour.
const LIGHTNESS_WEIGHT: f32 = 0.45;
/// CIEDE2000 below which two clusters are one colour.
const MERGE_DISTANCE: f32 = 9.0;
/// Clusters with the same word merge further apart.
const MERGE_DISTANCE_SAME_WORD: f32 = 18.0;
/// Smallest share reported.
const SHARE_MIN: f32 = 0.015;

/// Colours of the pixels under full coverage inside `bounds`, largest share first.
pub(super) fn colours(rgb: &RgbImage, alpha: &GrayImage, bounds: Rect) -> Vec<ColourFact> {
    let samples = sample(rgb, alpha, bounds);
    if samples.is_empty() {
        return Vec::new();
    }
    let centres = centres(&samples);
    merged(&samples, &centres)
        .into_iter()
        .map(|(colour, share)| {
            let [r, g, b] = lab_to_srgb(colour);
            ColourFact {
                lab: [colour.l, colour.a, colour.b],
                hex: format!("#{r:02x}{g:02x}{b:02x}"),
                word: nearest_word(colour).to_owned(),
                share,
            }
        })
        .collect()
}

fn sample(rgb: &RgbImage, alpha: &GrayImage, bounds: Rect) -> Vec<Lab> {
    let wanted = f64::from(SAMPLES_MAX);
    let step = (f64::from(bounds.w) * f64::from(bounds.h) / wanted).sqrt().max(1.0) as usize;
    let mut samples = Vec::new();
    for level in [250, 128] {
        for y in (bounds.y..bounds.y.saturating_add(bounds.h)).step_by(step) {
            for x in (bounds.x..bounds.x.saturating_add(bounds.w)).step_by(step) {
                let inside = alpha.get_pixel_checked(x, y).is_some_and(|a| a.0[0] >= level);
                if let (true, Some(p)) = (inside, rgb.get_pixel_checked(x, y)) {
                    samples.push(lab(p.0));
                }
            }
        }
        if samples.len() >= 30 {
            break;
        }
    }
    samples
}

fn distance(x: Lab, y: Lab) -> f32 {
    let (l, a, b) = (LIGHTNESS_WEIGHT * (x.l - y.l), x.a - y.a, x.b - y.b);
    l * l + a * a + b * b
}

fn nearest(centres: &[Lab], colour: Lab) -> usize {
    let mut best = (0, f32::MAX);
    for (i, &centre) in centres.iter().enumerate() {
        let d = distance(centre, colour);
        if d < best.1 {
            best = (i, d);
        }
    }
    best.0
}

/// K-means from farthest-point seeds: no chance involved, the same photo gives the same
/// facts.
fn centres(samples: &[Lab]) -> Vec<Lab> {
    let mut centres = vec![mean(samples.iter().copied()).unwrap_or_default()];
    let mut apart: Vec<f32> = samples.iter().map(|&s| distance(s, centres[0])).collect();
    while centres.len() < CLUSTERS {
        // A high quantile instead of the maximum keeps single odd pixels from being seeds.
        let mut order: Vec<usize> = (0..samples.len()).collect();
        let at = samples.len() * 98 / 100;
        order.select_nth_unstable_by(at, |&i, &j| apart[i].total_cmp(&apart[j]));
        if apart[order[at]] < 9.0 {
            break;
        }
        let seed = samples[order[at]];
        centres.push(seed);
        for (known, &s) in apart.iter_mut().zip(samples) {
            *known = known.min(distance(s, seed));
        }
    }
    for _ in 0..ROUNDS {
        let mut sums = vec![([0.0f64; 3], 0u32); centres.len()];
        for &s in samples {
            let (sum, count) = &mut sums[nearest(&centres, s)];
            for (total, v) in sum.iter_mut().zip([s.l, s.a, s.b]) {
                *total += f64::from(v);
            }
            *count += 1;
        }
        for (centre, (sum, count)) in centres.iter_mut().zip(sums) {
            if count > 0 {
                let [l, a, b] = sum.map(|v| (v / f64::from(count)) as f32);
                *centre = Lab { l, a, b };
            }
        }
    }
    centres
}

fn mean(colours: impl Iterator<Item = Lab>) -> Option<Lab> {
    let (sum, count) = colours.fold(([0.0f64; 3], 0u32), |(s, n), c| {
        ([s[0] + f64::from(c.l), s[1] + f64::from(c.a), s[2] + f64::from(c.b)], n + 1)
    });
    let [l, a, b] = sum.map(|v| (v / f64::from(count.max(1))) as f32);
    (count > 0).then_some(Lab { l, a, b })
}

/// Joins clusters that a person would call one colour; medians and shares, largest first.
fn merged(samples: &[Lab], centres: &[Lab]) -> Vec<(Lab, f32)> {
    let mut groups: Vec<Vec<Lab>> = vec![Vec::new(); centres.len()];
    for &s in samples {
        groups[nearest(centres, s)].push(s);
    }
    groups.retain(|g| !g.is_empty());
    let mut colours: Vec<(Lab, f32)> =
        groups.iter_mut().map(|g| (median(g), g.len() as f32 / samples.len() as f32)).collect();
    loop {
        let mut closest: Option<(usize, usize, f32)> = None;
        for i in 0..colours.len() {
            for j in i + 1..colours.len() {
                let (x, y) = (colours[i].0, colours[j].0);
                let limit = if nearest_word(x) == nearest_word(y) {
                    MERGE_DISTANCE_SAME_WORD
                } else {
                    MERGE_DISTANCE
                };
                let relative = ciede2000(x, y) / limit;
                if relative < closest.map_or(1.0, |(_, _, d)| d) {
                    closest = Some((i, j, relative));
                }
            }
        }
        let Some((i, j, _)) = closest else { break };
        let (other, share) = colours.swap_remove(j);
        let (own, own_share) = colours[i];
        let total = (own_share + share).max(f32::EPSILON);
        let mix = |x: f32, y: f32| (x * own_share + y * share) / total;
        let joined = Lab { l: mix(own.l, other.l), a: mix(own.a, other.a), b: mix(own.b, other.b) };
        colours[i] = (joined, own_share + share);
    }
    colours.retain(|&(_, share)| share >= SHARE_MIN);
    colours.sort_by(|x, y| y.1.total_cmp(&x.1));
    colours
}

fn median(group: &mut [Lab]) -> Lab {
    let at = group.len() / 2;
    let l = group.select_nth_unstable_by(at, |x, y| x.l.total_cmp(&y.l)).1.l;
    let a = group.select_nth_unstable_by(at, |x, y| x.a.total_cmp(&y.a)).1.a;
    let b = group.select_nth_unstable_by(at, |x, y| x.b.total_cmp(&y.b)).1.b;
    Lab { l, a, b }
}
