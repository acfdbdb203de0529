//! Transforms from matches: every match proposes a placement by itself (position, size and
//! direction of its two keypoints), the proposal with most agreement is refined by
//! iteratively re-weighted least squares. No randomness.

use super::matching::Match;
use super::transform::{Affine, Similarity};

/// How far two keypoint sizes or directions may disagree with a placement.
const SIZE_TOLERANCE: f32 = 0.45;
const TURN_TOLERANCE: f32 = 0.45;

/// The placement that most matches agree on within `tolerance` candidate pixels, and the
/// indices of the matches that agree after refinement.
pub(super) fn vote(matches: &[Match], tolerance: f32) -> Option<(Similarity, Vec<usize>)> {
    let mut best: Option<(f32, Similarity)> = None;
    for proposer in matches {
        let proposal = from_one(proposer);
        if !proposal.is_sane() || !(0.05..20.0).contains(&proposal.scale) {
            continue;
        }
        // a lone proposal is only as exact as one keypoint's size and direction
        let count = matches.iter().filter(|m| agrees(m, &proposal, 2.5 * tolerance)).count() as f32;
        if best.is_none_or(|(most, _)| count > most) {
            best = Some((count, proposal));
        }
    }
    let (_, mut similarity) = best?;
    let mut members = Vec::new();
    for round in 0..8 {
        let reach = tolerance * (2.5 - 0.3 * round as f32).max(1.0);
        members = (0..matches.len()).filter(|&i| agrees(&matches[i], &similarity, reach)).collect();
        let chosen: Vec<Match> = members.iter().map(|&i| matches[i]).collect();
        similarity = similarity_of(&chosen, reach)?;
    }
    Some((similarity, members))
}

/// The placement that one match proposes by the sizes and directions of its two points.
pub(super) fn from_one(m: &Match) -> Similarity {
    let turned = Similarity { scale: m.scale, angle: m.turn, tx: 0.0, ty: 0.0 };
    let (x, y) = turned.apply(m.from.0, m.from.1);
    Similarity { tx: m.to.0 - x, ty: m.to.1 - y, ..turned }
}

/// Whether a match lies within `reach` pixels of the placement and has its size and turn.
pub(super) fn agrees(m: &Match, similarity: &Similarity, reach: f32) -> bool {
    let (x, y) = similarity.apply(m.from.0, m.from.1);
    let turn = (m.turn - similarity.angle + std::f32::consts::PI).rem_euclid(std::f32::consts::TAU)
        - std::f32::consts::PI;
    (x - m.to.0).hypot(y - m.to.1) <= reach
        && (m.scale / similarity.scale).ln().abs() < SIZE_TOLERANCE
        && turn.abs() < TURN_TOLERANCE
}

/// Robust least-squares similarity over all matches; `None` with fewer than two distinct
/// points. `reach` is the residual, in pixels, beyond which a match hardly counts.
pub(super) fn similarity_of(matches: &[Match], reach: f32) -> Option<Similarity> {
    let mut fitted: Option<Similarity> = None;
    for _ in 0..6 {
        let weight = |m: &Match| fitted.map_or(1.0, |s| cauchy(&s.to_affine(), m, reach));
        fitted = Some(weighted_similarity(matches, weight)?);
    }
    fitted.filter(Similarity::is_sane)
}

fn cauchy(map: &Affine, m: &Match, reach: f32) -> f64 {
    let r = f64::from(map.miss(m.from, m.to) / (0.3 * reach).max(0.25));
    1.0 / (1.0 + r * r)
}

/// Closed form of Umeyama (1991) in the plane.
fn weighted_similarity(matches: &[Match], weight: impl Fn(&Match) -> f64) -> Option<Similarity> {
    let (mut n, mut mean) = (0.0f64, [0.0f64; 4]);
    let weights: Vec<f64> = matches.iter().map(weight).collect();
    for (m, w) in matches.iter().zip(&weights) {
        n += w;
        for (sum, v) in mean.iter_mut().zip([m.from.0, m.from.1, m.to.0, m.to.1]) {
            *sum += w * f64::from(v);
        }
    }
    if matches.len() < 2 || n <= 1e-9 {
        return None;
    }
    let [px, py, qx, qy] = mean.map(|v| v / n);
    let (mut dot, mut cross, mut power) = (0.0, 0.0, 0.0);
    for (m, w) in matches.iter().zip(&weights) {
        let (a, b) = (f64::from(m.from.0) - px, f64::from(m.from.1) - py);
        let (c, d) = (f64::from(m.to.0) - qx, f64::from(m.to.1) - qy);
        dot += w * (a * c + b * d);
        cross += w * (a * d - b * c);
        power += w * (a * a + b * b);
    }
    if power / n < 1.0 {
        return None;
    }
    let (scale, angle) = (dot.hypot(cross) / power, cross.atan2(dot));
    let (sin, cos) = angle.sin_cos();
    Some(Similarity {
        scale: scale as f32,
        angle: angle as f32,
        tx: (qx - scale * (cos * px - sin * py)) as f32,
        ty: (qy - scale * (sin * px + cos * py)) as f32,
    })
}

/// Robust least-squares affine map over all matches; `None` when they do not span a plane.
pub(super) fn affine_of(matches: &[Match], start: Affine, reach: f32) -> Option<Affine> {
    let mut map = start;
    if matches.len() < 6 {
        return None;
    }
    for _ in 0..8 {
        let (mut n, mut mean) = (0.0f64, [0.0f64; 4]);
        let weights: Vec<f64> = matches.iter().map(|m| cauchy(&map, m, reach)).collect();
        for (m, w) in matches.iter().zip(&weights) {
            n += w;
            for (sum, v) in mean.iter_mut().zip([m.from.0, m.from.1, m.to.0, m.to.1]) {
                *sum += w * f64::from(v);
            }
        }
        let [px, py, qx, qy] = mean.map(|v| v / n.max(1e-9));
        let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
        let mut right = [0.0f64; 4];
        for (m, w) in matches.iter().zip(&weights) {
            let (a, b) = (f64::from(m.from.0) - px, f64::from(m.from.1) - py);
            let (c, d) = (f64::from(m.to.0) - qx, f64::from(m.to.1) - qy);
            xx += w * a * a;
            xy += w * a * b;
            yy += w * b * b;
            for (sum, v) in right.iter_mut().zip([a * c, b * c, a * d, b * d]) {
                *sum += w * v;
            }
        }
        let det = xx * yy - xy * xy;
        if det < 1e-4 * (xx + yy).powi(2) || n < 3.0 {
            return None;
        }
        let a = (right[0] * yy - right[1] * xy) / det;
        let b = (right[1] * xx - right[0] * xy) / det;
        let c = (right[2] * yy - right[3] * xy) / det;
        let d = (right[3] * xx - right[2] * xy) / det;
        map = Affine {
            a: a as f32,
            b: b as f32,
            c: c as f32,
            d: d as f32,
            tx: (qx - a * px - b * py) as f32,
            ty: (qy - c * px - d * py) as f32,
        };
    }
    Some(map)
}

/// How much of the product the matches cover: square root of the ratio of the determinants
/// of the two scatter matrices, about 1 when they lie all over it, 0 on a line.
pub(super) fn spread(points: &[(f32, f32)], product: &[(f32, f32)]) -> f32 {
    let scatter = |points: &[(f32, f32)]| {
        let n = points.len().max(1) as f32;
        let (sx, sy) = points.iter().fold((0.0, 0.0), |s, p| (s.0 + p.0, s.1 + p.1));
        let (mx, my) = (sx / n, sy / n);
        let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
        for (x, y) in points {
            xx += (x - mx) * (x - mx) / n;
            xy += (x - mx) * (y - my) / n;
            yy += (y - my) * (y - my) / n;
        }
        (xx * yy - xy * xy).max(0.0).sqrt()
    };
    (scatter(points) / scatter(product).max(1e-6)).min(1.0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use super::*;

    fn moved(truth: impl Fn(f32, f32) -> (f32, f32), scale: f32, turn: f32) -> Vec<Match> {
        (0..40)
            .map(|i| {
                let (x, y) = ((i % 8) as f32 * 20.0, (i / 8) as f32 * 30.0);
                Match { from: (x, y), to: truth(x, y), scale, turn, distance: 0.1 }
            })
            .collect()
    }

    #[test]
    fn the_placement_is_found_among_wrong_matches() {
        let truth = Similarity { scale: 0.7, angle: 0.1, tx: 40.0, ty: 10.0 };
        let mut matches = moved(|x, y| truth.apply(x, y), 0.7, 0.1);
        for i in 0..60 {
            let to = ((i * 37 % 211) as f32, (i * 91 % 173) as f32);
            matches.push(Match {
                from: ((i * 53 % 160) as f32, (i * 29 % 140) as f32),
                to,
                scale: 1.0,
                turn: 0.0,
                distance: 0.2,
            });
        }
        let (found, members) = vote(&matches, 3.0).expect("placement");
        assert!((found.scale - 0.7).abs() < 0.01 && (found.angle - 0.1).abs() < 0.01, "{found:?}");
        assert!(members.len() >= 40);
    }

    #[test]
    fn a_stretch_shows_as_anisotropy() {
        let matches = moved(|x, y| (1.06 * x + 3.0, y), 1.03, 0.0);
        let map = affine_of(&matches, Similarity::IDENTITY.to_affine(), 20.0).expect("affine");
        assert!((map.anisotropy() - 1.06_f32.ln()).abs() < 2e-3, "{}", map.anisotropy());
    }

    #[test]
    fn nothing_comes_of_nothing() {
        assert!(vote(&[], 3.0).is_none());
        assert!(affine_of(&[], Similarity::IDENTITY.to_affine(), 3.0).is_none());
        assert!(similarity_of(&moved(|_, _| (5.0, 5.0), 1.0, 0.0)[..1], 3.0).is_none());
    }
}
