//! Pairs of keypoints that look alike: first over the whole picture with a ratio test both
//! ways, then, once the rough placement is known, near the place where each point must be.

use super::keypoints::Keypoint;
use super::transform::{Affine, Similarity};

/// One reference point found again in the candidate, in the pixels of the planes given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Match {
    /// Where in the reference.
    pub from: (f32, f32),
    /// Where in the candidate.
    pub to: (f32, f32),
    /// Candidate size per reference size of the two keypoints.
    pub scale: f32,
    /// Direction of the candidate's keypoint minus the reference's, in radians.
    pub turn: f32,
    /// Squared descriptor distance, 0 = the same, 2 = nothing in common.
    pub distance: f32,
}

/// Best against second best, squared distances.
const RATIO_SQUARED: f32 = 0.8 * 0.8;
/// The same near a predicted place, where fewer rivals are looked at.
const GUIDED_RATIO_SQUARED: f32 = 0.9 * 0.9;
/// Largest squared distance of a guided match.
const GUIDED_DISTANCE_MAX: f32 = 0.42;

fn distance(a: &Keypoint, b: &Keypoint) -> f32 {
    let dot: u32 = a.descriptor.iter().zip(&b.descriptor).map(|(&x, &y)| u32::from(x) * u32::from(y)).sum();
    (2.0 - 2.0 * dot as f32 / (510.0 * 510.0)).max(0.0)
}

fn pair(a: &Keypoint, b: &Keypoint, distance: f32) -> Match {
    let turn =
        (b.angle - a.angle + std::f32::consts::PI).rem_euclid(std::f32::consts::TAU) - std::f32::consts::PI;
    Match { from: (a.x, a.y), to: (b.x, b.y), scale: b.sigma / a.sigma.max(1e-6), turn, distance }
}

struct Nearest {
    index: usize,
    best: f32,
    second: f32,
}

/// Best and second-best partner of each point; partners within two pixels of each other (the
/// same corner with two directions) count as one.
fn nearest(points: &[Keypoint], others: &[Keypoint], table: &[f32], transposed: bool) -> Vec<Nearest> {
    let at = |i: usize, j: usize| {
        if transposed { table[j * points.len() + i] } else { table[i * others.len() + j] }
    };
    (0..points.len())
        .map(|i| {
            let mut found = Nearest { index: 0, best: f32::MAX, second: f32::MAX };
            for (j, other) in others.iter().enumerate() {
                let d = at(i, j);
                if d < found.best {
                    if found.best < f32::MAX && !close(other, &others[found.index]) {
                        found.second = found.best;
                    }
                    found.best = d;
                    found.index = j;
                } else if d < found.second && !close(other, &others[found.index]) {
                    found.second = d;
                }
            }
            found
        })
        .collect()
}

fn close(a: &Keypoint, b: &Keypoint) -> bool {
    (a.x - b.x).abs() + (a.y - b.y).abs() < 2.0
}

/// Matches that are each other's best and clearly better than the second best.
pub(super) fn mutual(reference: &[Keypoint], candidate: &[Keypoint]) -> Vec<Match> {
    if reference.is_empty() || candidate.is_empty() {
        return Vec::new();
    }
    let table: Vec<f32> =
        reference.iter().flat_map(|a| candidate.iter().map(move |b| distance(a, b))).collect();
    let forward = nearest(reference, candidate, &table, false);
    let backward = nearest(candidate, reference, &table, true);
    forward
        .iter()
        .enumerate()
        .filter(|(i, near)| {
            let back = &backward[near.index];
            near.best < RATIO_SQUARED * near.second && close(&reference[back.index], &reference[*i])
        })
        .map(|(i, near)| pair(&reference[i], &candidate[near.index], near.best))
        .collect()
}

/// For every reference point its best partner within `radius` candidate pixels of where
/// `map` puts it, of the size and direction that `rough` asks for.
pub(super) fn guided(
    reference: &[Keypoint],
    candidate: &[Keypoint],
    map: &Affine,
    rough: &Similarity,
    radius: f32,
) -> Vec<Match> {
    let mut order: Vec<usize> = (0..candidate.len()).collect();
    order.sort_by(|&a, &b| candidate[a].y.total_cmp(&candidate[b].y));
    let mut found = Vec::new();
    for point in reference {
        let (x, y) = map.apply(point.x, point.y);
        let first = order.partition_point(|&i| candidate[i].y < y - radius);
        let (mut best, mut second, mut partner) = (f32::MAX, f32::MAX, None::<usize>);
        for &i in order[first..].iter().take_while(|&&i| candidate[i].y <= y + radius) {
            let other = &candidate[i];
            let tentative = pair(point, other, 0.0);
            let turn = (tentative.turn - rough.angle + std::f32::consts::PI)
                .rem_euclid(std::f32::consts::TAU)
                - std::f32::consts::PI;
            if (other.x - x).hypot(other.y - y) > radius
                || (tentative.scale / rough.scale).ln().abs() > 0.4
                || turn.abs() > 0.4
            {
                continue;
            }
            let d = distance(point, other);
            if d < best {
                if partner.is_some_and(|p| !close(&candidate[p], other)) {
                    second = best;
                }
                best = d;
                partner = Some(i);
            } else if d < second && partner.is_some_and(|p| !close(&candidate[p], other)) {
                second = d;
            }
        }
        if let Some(i) = partner
            && best < GUIDED_DISTANCE_MAX
            && (second == f32::MAX || best < GUIDED_RATIO_SQUARED * second)
        {
            found.push(pair(point, &candidate[i], best));
        }
    }
    found
}
