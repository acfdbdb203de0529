//! The images of a set compared with each other. Backgrounds may differ; the product's
//! colour, light, scale logic, sharpness and material must agree.
//!
//! Each property has a distance between two images. An image is an outlier when its
//! distance to the medoid of the *others* is over the property's floor and over 3.5
//! robust standard deviations (median absolute deviation) of theirs, so one bad image
//! neither hides itself nor accuses the good ones.

mod measure;

use packshot_imaging::colour::{Lab, ciede2000};
use packshot_pipeline::finding::{Axis, EditOp, Finding, Severity};
use packshot_pipeline::role::Role;
use serde::{Deserialize, Serialize};

use super::export::Member;
use measure::{Measured, Shade, measure};

/// Something in which one image of a set disagrees with the others.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SetFinding {
    /// The image that stands out.
    pub role: Role,
    /// Its frame; empty for the role's only one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub frame: String,
    /// The property in one word: `colour`, `light`, `white-balance`, `proportion`,
    /// `framing`, `sharpness`, `material`.
    pub property: String,
    /// What was found.
    pub finding: Finding,
    /// The image of the set that it was compared with, the middle one of the others: its role,
    /// and its frame in brackets where it has one.
    #[serde(default)]
    pub beside: String,
    /// An operation that can cure it without making the image anew, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edit: Option<EditOp>,
}

/// A property of the product and how two images differ in it.
struct Property {
    word: &'static str,
    axis: Axis,
    /// Distances up to this are never an outlier.
    floor: f64,
    /// Whether an image takes part at all.
    takes: fn(Role, &Measured) -> bool,
    distance: fn(&Seen<'_>, &Seen<'_>) -> f64,
    /// Says what is wrong with the first image against the second.
    says: fn(&Seen<'_>, &Seen<'_>) -> String,
    /// What can cure the first image without making it anew.
    edit: fn(&Seen<'_>, &Seen<'_>) -> Option<EditOp>,
}

/// A member with its measurements.
struct Seen<'a> {
    at: usize,
    member: &'a Member,
    measured: Measured,
}

const PROPERTIES: [Property; 7] = [
    Property {
        word: "colour",
        axis: Axis::Colour,
        floor: 6.0,
        takes: |_, _| true,
        distance: palette_distance,
        says: |a, b| {
            format!(
                "its colours are {:.1} CIEDE2000 away from the set's after white balance",
                palette_distance(a, b)
            )
        },
        edit: |_, _| Some(EditOp::Harmonise),
    },
    Property {
        word: "white-balance",
        axis: Axis::Colour,
        floor: 5.0,
        takes: |_, _| true,
        distance: cast,
        says: |a, b| format!("a colour cast of {:.1} Lab units against the set", cast(a, b)),
        edit: |_, _| Some(EditOp::Harmonise),
    },
    Property {
        word: "light",
        axis: Axis::Material,
        floor: 14.0,
        takes: |role, m| same_view(role) && !m.cut,
        distance: light_distance,
        says: |a, b| {
            format!("lit differently: lightness runs {} where the set's runs {}", direction(a), direction(b))
        },
        edit: |_, _| None,
    },
    Property {
        word: "proportion",
        axis: Axis::Shape,
        floor: 0.03,
        takes: |role, m| same_view(role) && !m.cut,
        distance: |a, b| (a.measured.aspect / b.measured.aspect).ln().abs(),
        says: |a, b| {
            let percent = (a.measured.aspect / b.measured.aspect - 1.0) * 100.0;
            format!(
                "{:.1} % {} in proportion than the set's product",
                percent.abs(),
                if percent > 0.0 { "wider" } else { "taller" }
            )
        },
        edit: |_, _| None,
    },
    Property {
        word: "framing",
        axis: Axis::Scale,
        floor: 0.25,
        takes: |role, m| packshot(role) && !m.cut,
        distance: |a, b| (a.measured.fill / b.measured.fill).ln().abs(),
        says: |a, b| {
            format!(
                "the product fills {:.0} % of the frame, in the set's other packshots {:.0} %",
                a.measured.fill * 100.0,
                b.measured.fill * 100.0
            )
        },
        // Where the product fills too much, there is nothing to cut away.
        edit: |a, b| (a.measured.fill < b.measured.fill).then_some(EditOp::Crop),
    },
    Property {
        word: "sharpness",
        axis: Axis::Quality,
        floor: 1.0,
        takes: |role, m| same_view(role) && !m.cut && m.product_px >= 320,
        distance: |a, b| octaves(a.measured.bands[0], b.measured.bands[0]),
        says: |a, b| {
            let softer = a.measured.bands[0] < b.measured.bands[0];
            let octaves = octaves(a.measured.bands[0], b.measured.bands[0]);
            format!(
                "its finest detail is {:.1} times {} than the set's",
                octaves.exp2(),
                if softer { "weaker" } else { "stronger" }
            )
        },
        // Only a softer image can be restored.
        edit: |a, b| (a.measured.bands[0] < b.measured.bands[0]).then_some(EditOp::Restore),
    },
    Property {
        word: "material",
        axis: Axis::Material,
        floor: 0.8,
        takes: |role, m| same_view(role) && !m.cut && m.product_px >= 160,
        distance: |a, b| {
            let coarse = octaves(a.measured.bands[1], b.measured.bands[1])
                .max(octaves(a.measured.bands[2], b.measured.bands[2]));
            // Small products are not enlarged to the common size, so their grain is another's.
            let small = a.measured.product_px.min(b.measured.product_px) < 320;
            if small { coarse } else { coarse.max(octaves(a.measured.grain, b.measured.grain)) }
        },
        says: |_, _| "its surface shows another amount of texture than the set's".to_owned(),
        edit: |_, _| None,
    },
];

/// The axis of the property with this word; quality for words that name none.
pub(super) fn axis_of(word: &str) -> Axis {
    PROPERTIES.iter().find(|property| property.word == word).map_or(Axis::Quality, |property| property.axis)
}

/// Roles that show the whole product from the main reference.
fn same_view(role: Role) -> bool {
    match role {
        Role::Main | Role::Cleanup | Role::Lifestyle | Role::Feature | Role::Ad => true,
        Role::Detail | Role::Angle | Role::Comparison | Role::OnModel => false,
    }
}

/// Roles that show the product alone on white.
fn packshot(role: Role) -> bool {
    matches!(role, Role::Main | Role::Angle)
}

/// How one image stands to the others in one property.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Standing {
    /// Which member, as an index into what was given.
    pub(super) member: usize,
    /// The middle one of the others, likewise.
    pub(super) medoid: usize,
    /// The property's word.
    pub(super) property: &'static str,
    /// How far it is from the medoid, in the property's own unit.
    pub(super) distance: f64,
    /// How far it may be.
    pub(super) limit: f64,
}

impl Standing {
    /// Whether the image stands out.
    pub(super) fn is_out(&self) -> bool {
        self.distance > self.limit
    }
}

/// Compares the accepted members with each other; findings in role order, each naming
/// the outlier and the property. Fewer than two comparable members give none.
pub fn consistency(members: &[&Member]) -> Vec<SetFinding> {
    compare(members).into_iter().filter_map(|(_, finding)| finding).collect()
}

/// How every accepted member stands in every property in which it can be compared, in role
/// order, with the finding of those that stand out.
pub(super) fn compare(members: &[&Member]) -> Vec<(Standing, Option<SetFinding>)> {
    let mut order: Vec<usize> = (0..members.len()).filter(|&i| members[i].accepted).collect();
    order.sort_by(|&a, &b| name(members[a]).cmp(&name(members[b])));
    let seen: Vec<Seen<'_>> = order
        .into_iter()
        .filter_map(|at| {
            let member = members[at];
            measure(&member.image, &member.product_mask).map(|measured| Seen { at, member, measured })
        })
        .collect();
    let mut found: Vec<(usize, (Standing, Option<SetFinding>))> = Vec::new();
    for property in &PROPERTIES {
        let group: Vec<usize> =
            (0..seen.len()).filter(|&i| (property.takes)(seen[i].member.role, &seen[i].measured)).collect();
        for place in places(&group, property.floor, |a, b| (property.distance)(&seen[a], &seen[b])) {
            let (this, medoid) = (&seen[place.at], &seen[place.medoid]);
            let standing = Standing {
                member: this.at,
                medoid: medoid.at,
                property: property.word,
                distance: place.distance,
                limit: place.limit,
            };
            let finding = standing.is_out().then(|| said(property, &standing, this, medoid));
            found.push((place.at, (standing, finding)));
        }
    }
    found.sort_by_key(|(at, _)| *at);
    found.into_iter().map(|(_, standing)| standing).collect()
}

fn name(member: &Member) -> (Role, &str) {
    (member.role, &member.frame)
}

fn said(property: &Property, standing: &Standing, bad: &Seen<'_>, good: &Seen<'_>) -> SetFinding {
    SetFinding {
        role: bad.member.role,
        frame: bad.member.frame.clone(),
        property: property.word.to_owned(),
        finding: Finding {
            axis: property.axis,
            severity: Severity::Warning,
            region: None,
            evidence: format!("{}: {}", property.word, (property.says)(bad, good)),
            value: rounded(standing.distance),
            threshold: rounded(standing.limit),
        },
        beside: good.member.words(),
        edit: (property.edit)(bad, good),
    }
}

fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

struct Place {
    at: usize,
    medoid: usize,
    distance: f64,
    limit: f64,
}

/// How far each member of `group` is from the medoid of the others, and how far it may be. Of
/// two, only the one that comes later is looked at: roles begin with the main image.
fn places(group: &[usize], floor: f64, distance: impl Fn(usize, usize) -> f64) -> Vec<Place> {
    let mut found = Vec::new();
    for &at in group {
        let others: Vec<usize> = group.iter().copied().filter(|&i| i != at).collect();
        let sum = |from: usize| others.iter().map(|&to| distance(from, to)).sum::<f64>();
        let medoid = others.iter().copied().min_by(|&a, &b| sum(a).total_cmp(&sum(b)));
        let Some(medoid) = medoid else { continue };
        if others.len() == 1 && at < medoid {
            continue;
        }
        let spread: Vec<f64> = others.iter().map(|&i| distance(i, medoid)).collect();
        let middle = median(&spread);
        let mad = median(&spread.iter().map(|d| (d - middle).abs()).collect::<Vec<_>>());
        let limit = floor.max(middle + 3.5 * 1.4826 * mad);
        found.push(Place { at, medoid, distance: distance(at, medoid), limit });
    }
    found
}

/// Median, the lower one of two; 0 of nothing.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or(0.0)
}

/// How many doublings lie between two band energies; below 0.15 L nothing can be told.
fn octaves(a: f64, b: f64) -> f64 {
    (a.max(0.15) / b.max(0.15)).log2().abs()
}

/// Mean difference of the colours of `a` from their nearest ones in `b`, weighted by
/// area: lightness, green-red, blue-yellow.
fn offset(a: &[Shade], b: &[Shade]) -> [f32; 3] {
    let mut sum = [0.0; 3];
    for shade in a {
        let Some(near) = nearest(*shade, b) else { continue };
        sum[0] += shade.share * (shade.colour.l - near.l);
        sum[1] += shade.share * (shade.colour.a - near.a);
        sum[2] += shade.share * (shade.colour.b - near.b);
    }
    sum
}

fn nearest(shade: Shade, palette: &[Shade]) -> Option<Lab> {
    palette
        .iter()
        .map(|other| other.colour)
        .min_by(|a, b| ciede2000(shade.colour, *a).total_cmp(&ciede2000(shade.colour, *b)))
}

/// Area-weighted distance of the colours of `a` to their nearest ones in `b`, after
/// `offset` is taken out of `a` as far as light plausibly explains it.
fn one_way(a: &[Shade], b: &[Shade]) -> f64 {
    let [l, ca, cb] = offset(a, b);
    let (l, ca, cb) = (l.clamp(-10.0, 10.0), ca.clamp(-4.0, 4.0), cb.clamp(-4.0, 4.0));
    a.iter()
        .filter_map(|shade| {
            let colour = Lab { l: shade.colour.l - l, a: shade.colour.a - ca, b: shade.colour.b - cb };
            let moved = Shade { colour, ..*shade };
            nearest(moved, b).map(|near| f64::from(shade.share * ciede2000(colour, near)))
        })
        .sum()
}

/// A close view shows some of the product's colours; two whole views show all of them.
fn palette_distance(a: &Seen<'_>, b: &Seen<'_>) -> f64 {
    let (pa, pb) = (&a.measured.palette, &b.measured.palette);
    match (is_close(a), is_close(b)) {
        (true, false) => one_way(pa, pb),
        (false, true) => one_way(pb, pa),
        (true, true) => one_way(pa, pb).min(one_way(pb, pa)),
        (false, false) => one_way(pa, pb).max(one_way(pb, pa)),
    }
}

/// Close views, and other views, whose visible colours may be fewer or differently shared.
fn is_close(seen: &Seen<'_>) -> bool {
    seen.measured.cut || !same_view(seen.member.role)
}

/// Shift of chroma that all colours share, as it would be on a middle grey.
fn cast(a: &Seen<'_>, b: &Seen<'_>) -> f64 {
    let (pa, pb) = (&a.measured.palette, &b.measured.palette);
    let [_, ca, cb] = if is_close(b) && !is_close(a) { offset(pb, pa) } else { offset(pa, pb) };
    f64::from(ca.hypot(cb)) * as_on_grey(a, b)
}

fn light_distance(a: &Seen<'_>, b: &Seen<'_>) -> f64 {
    let [ax, ay] = a.measured.light;
    let [bx, by] = b.measured.light;
    (ax - bx).hypot(ay - by) * as_on_grey(a, b)
}

/// How much larger a difference of two lights would be in Lab on a middle grey than it is on
/// this product: the same light moves dark colours by less, in proportion to L + 16. Light
/// products count as they are, and the darkest by no more than 2.2 times, where noise begins.
fn as_on_grey(a: &Seen<'_>, b: &Seen<'_>) -> f64 {
    let lightness = f64::midpoint(a.measured.lightness, b.measured.lightness);
    (76.0 / (lightness + 16.0)).clamp(1.0, 2.2)
}

fn direction(seen: &Seen<'_>) -> String {
    let [x, y] = seen.measured.light;
    if x.hypot(y) < 3.0 {
        return "even".to_owned();
    }
    let side = if x.abs() >= y.abs() {
        if x > 0.0 { "to the right" } else { "to the left" }
    } else if y > 0.0 {
        "downwards"
    } else {
        "upwards"
    };
    format!("{side} by {:.0} L", x.hypot(y))
}

#[cfg(test)]
mod tests;
