//! Whether two pictures show the same colours once a change of light is allowed for. Parts of
//! the product that keep their distance have another colour.

use packshot_imaging::colour::{Lab, ciede2000, lab_of_linear, lab_to_srgb, nearest_word};

use super::light::Light;
use super::pairs::Pairs;

/// Parts that the product's colours are divided into, and how far apart they are at least, in
/// Lab units.
const PARTS: usize = 8;
const APART: f32 = 9.0;
/// Smallest share of the product that counts as a part.
const PART_MIN: f32 = 0.015;
/// CIEDE2000 up to which the whole product and one part of it agree.
const WHOLE_MAX: f32 = 3.0;
const PART_MAX: f32 = 5.0;
/// How much less sure it is what belongs together when the views differ.
const UNMATCHED: f32 = 1.4;
/// Lightness weighs less than hue and chroma: shading moves with the light's direction.
const LIGHTNESS: f32 = 0.5;

/// How far the colours of two pictures lie apart.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Agreement {
    /// Mean over the product's parts by area, in CIEDE2000.
    pub(super) whole: f32,
    /// The worst part: its difference, its share, the colour it has and the one it should have.
    worst: Option<(f32, f32, Lab, Lab)>,
    matched: bool,
}

impl Agreement {
    /// In which way the colours are not the same, if so.
    pub(super) fn disagrees(&self) -> Option<String> {
        let room = if self.matched { 1.0 } else { UNMATCHED };
        if let Some((difference, share, is, should)) = self.worst
            && difference > PART_MAX * room
        {
            return Some(format!(
                "{:.0} % of the product is {} where the other picture has {}, {difference:.1} CIEDE2000 apart under the same light",
                share * 100.0,
                word(is),
                word(should)
            ));
        }
        (self.whole > WHOLE_MAX * room)
            .then(|| format!("its colours stay {:.1} CIEDE2000 apart under the same light", self.whole))
    }
}

fn word(colour: Lab) -> String {
    let [r, g, b] = lab_to_srgb(colour);
    format!("{} (#{r:02x}{g:02x}{b:02x})", nearest_word(colour))
}

/// Compares the colours of `pairs` after `light` has been laid on the picture.
pub(super) fn agreement(pairs: &Pairs, light: &Light) -> Agreement {
    let parts = if pairs.matched { by_place(pairs, light) } else { by_colour(pairs, light) };
    let total: f32 = parts.iter().map(|part| part.share).sum();
    let whole = parts.iter().map(|part| part.share * part.difference()).sum::<f32>() / total.max(1e-6);
    let worst = parts
        .iter()
        .filter(|part| part.share >= PART_MIN)
        .max_by(|a, b| a.difference().total_cmp(&b.difference()))
        .map(|part| (part.difference(), part.share, part.is, part.should));
    Agreement { whole, worst, matched: pairs.matched }
}

/// One part of the product in both pictures.
struct Part {
    share: f32,
    is: Lab,
    should: Lab,
}

impl Part {
    fn difference(&self) -> f32 {
        apart(self.is, self.should)
    }
}

fn apart(a: Lab, b: Lab) -> f32 {
    let middle = (a.l + b.l) / 2.0;
    let eased = |l: f32| middle + (l - middle) * LIGHTNESS;
    ciede2000(Lab { l: eased(a.l), ..a }, Lab { l: eased(b.l), ..b })
}

/// Parts by the target's colours, each with its mean in both pictures.
fn by_place(pairs: &Pairs, light: &Light) -> Vec<Part> {
    let targets: Vec<Lab> = pairs.list.iter().map(|pair| pair.to).collect();
    let centres = centres(&targets);
    let mut sums = vec![(0usize, [0.0f64; 3], [0.0f64; 3]); centres.len()];
    for pair in &pairs.list {
        let (count, is, should) = &mut sums[nearest(&centres, pair.to)];
        *count += 1;
        add(is, lab_of_linear(light.of(pair.from)));
        add(should, pair.to);
    }
    let total = pairs.list.len().max(1) as f32;
    sums.into_iter()
        .filter(|(count, ..)| *count > 0)
        .map(|(count, is, should)| Part {
            share: count as f32 / total,
            is: mean(is, count),
            should: mean(should, count),
        })
        .collect()
}

/// Parts of both pictures, each beside the nearest of the other: neither may have a colour
/// that the other does not have.
fn by_colour(pairs: &Pairs, light: &Light) -> Vec<Part> {
    let own: Vec<Lab> = pairs.own.iter().map(|colour| lab_of_linear(light.of(*colour))).collect();
    let (ours, theirs) = (palette(&own), palette(&pairs.target));
    let beside = |from: &[(Lab, f32)], to: &[(Lab, f32)], turned: bool| -> Vec<Part> {
        from.iter()
            .filter_map(|&(colour, share)| {
                let near = to.iter().map(|(other, _)| *other);
                let near = near.min_by(|a, b| apart(colour, *a).total_cmp(&apart(colour, *b)))?;
                let (is, should) = if turned { (near, colour) } else { (colour, near) };
                Some(Part { share: share / 2.0, is, should })
            })
            .collect()
    };
    let mut parts = beside(&ours, &theirs, false);
    parts.extend(beside(&theirs, &ours, true));
    parts
}

fn palette(colours: &[Lab]) -> Vec<(Lab, f32)> {
    let centres = centres(colours);
    let mut sums = vec![(0usize, [0.0f64; 3]); centres.len()];
    for colour in colours {
        let (count, sum) = &mut sums[nearest(&centres, *colour)];
        *count += 1;
        add(sum, *colour);
    }
    let total = colours.len().max(1) as f32;
    let found = sums.into_iter().filter(|(count, _)| *count > 0);
    found.map(|(count, sum)| (mean(sum, count), count as f32 / total)).collect()
}

fn add(sum: &mut [f64; 3], colour: Lab) {
    sum[0] += f64::from(colour.l);
    sum[1] += f64::from(colour.a);
    sum[2] += f64::from(colour.b);
}

fn mean(sum: [f64; 3], count: usize) -> Lab {
    let [l, a, b] = sum.map(|v| (v / count.max(1) as f64) as f32);
    Lab { l, a, b }
}

/// Colours far from each other, the first nearest to the mean; few enough to be parts.
fn centres(colours: &[Lab]) -> Vec<Lab> {
    let mut sum = [0.0; 3];
    for colour in colours {
        add(&mut sum, *colour);
    }
    let mut centres = vec![mean(sum, colours.len())];
    let mut reach: Vec<f32> = colours.iter().map(|c| distance(*c, centres[0])).collect();
    while centres.len() < PARTS {
        let mut sorted = reach.clone();
        sorted.sort_by(f32::total_cmp);
        // One odd pixel is no part: the farthest of 99 in 100.
        let Some(&limit) = sorted.get(sorted.len() * 99 / 100) else { break };
        if limit < APART {
            break;
        }
        let Some(at) = reach.iter().position(|far| *far >= limit) else { break };
        let centre = colours[at];
        centres.push(centre);
        for (reach, colour) in reach.iter_mut().zip(colours) {
            *reach = reach.min(distance(*colour, centre));
        }
    }
    centres
}

/// Lightness counts half, as above.
fn distance(a: Lab, b: Lab) -> f32 {
    (LIGHTNESS * (a.l - b.l)).hypot((a.a - b.a).hypot(a.b - b.b))
}

fn nearest(centres: &[Lab], colour: Lab) -> usize {
    let all = centres.iter().enumerate();
    all.min_by(|a, b| distance(*a.1, colour).total_cmp(&distance(*b.1, colour))).map_or(0, |(at, _)| at)
}
