//! Things of one scene that moved apart: two pictures of the same surroundings in which one
//! thing changed its size against all the others. No mask is needed: the placement that most
//! matches agree on is taken out, and what is left is asked for a placement of its own.

use image::RgbImage;

use super::matching::Match;
use super::{INLIERS_MIN, KEYPOINTS_CANDIDATE, Working, fit, keypoints, matching};
use crate::photo::Rect;

/// Longest side of both working pictures, in pixels.
const SIDE: f32 = 720.0;
/// How near the matches of one thing lie to its placement, by the picture's longest side.
const REACH: f32 = 0.006;
/// Fewest matches of the whole scene by which anything can be said.
const SCENE_MIN: usize = 24;
/// Largest standard error of a size, as a logarithm, with which it is still measured.
const ERROR_MAX: f32 = 0.02;

/// Sizes in a scene.
#[derive(Clone, Copy, Debug)]
pub struct Motions {
    /// How much larger the thing that moved by itself became against the rest, as a logarithm;
    /// 0 when everything moved together.
    pub ratio: f32,
    /// Standard error of it.
    pub error: f32,
    /// Matches of the scene and of the thing.
    pub inliers: (usize, usize),
    /// Bounds of the thing in candidate pixels.
    pub region: Option<Rect>,
}

/// Compares sizes within the scene of two pictures; `None` when they do not show the same one.
pub fn motions(reference: &RgbImage, candidate: &RgbImage) -> Option<Motions> {
    if reference.width().min(reference.height()) < 48 || candidate.width().min(candidate.height()) < 48 {
        return None;
    }
    let (from, to) = (Working::whole(reference, SIDE, 1.0), Working::whole(candidate, SIDE, 1.0));
    let points =
        |w: &Working| keypoints::keypoints(&w.lightness(), w.camera_blur(), KEYPOINTS_CANDIDATE, |_, _| true);
    let tentative = matching::mutual(&points(&from), &points(&to));
    let reach = REACH * SIDE;
    let (scene, members) = fit::vote(&tentative, reach)?;
    if members.len() < SCENE_MIN {
        return None;
    }
    let of = |indices: &[usize]| indices.iter().map(|&i| tentative[i]).collect::<Vec<Match>>();
    let scene_matches = of(&members);
    let scene_error = size_error(&scene_matches, &scene);
    let left: Vec<Match> =
        tentative.iter().filter(|m| !fit::agrees(m, &scene, 1.5 * reach)).copied().collect();
    let still = Motions { ratio: 0.0, error: scene_error, inliers: (members.len(), 0), region: None };
    let Some((thing, chosen)) = fit::vote(&left, reach) else { return Some(still) };
    let thing_matches: Vec<Match> = chosen.iter().map(|&i| left[i]).collect();
    let error = size_error(&thing_matches, &thing).hypot(scene_error);
    let bounds = bounds(&thing_matches)?;
    // a thing is one place: few matches of the scene lie within it
    let within = scene_matches.iter().filter(|m| inside(&bounds, m.to)).count();
    let own = thing_matches.len();
    if own < INLIERS_MIN || error > ERROR_MAX || within * 3 > own {
        return Some(still);
    }
    let (x0, y0) = to.full((bounds.0, bounds.1));
    let (x1, y1) = to.full((bounds.2, bounds.3));
    let region = Rect {
        x: x0.max(0.0) as u32,
        y: y0.max(0.0) as u32,
        w: ((x1 - x0) as u32).max(1),
        h: ((y1 - y0) as u32).max(1),
    };
    let ratio = (thing.scale / scene.scale.max(1e-6)).ln();
    Some(Motions { ratio, error, inliers: (members.len(), own), region: Some(region) })
}

/// The placement of a part of the product's own pixels that stands apart from the rest of it,
/// by the matches that start there.
pub(super) fn apart(matches: &[Match], reach: f32) -> Option<(super::Similarity, Vec<Match>)> {
    let (similarity, members) = fit::vote(matches, reach)?;
    let chosen: Vec<Match> = members.iter().map(|&i| matches[i]).collect();
    let sure = chosen.len() >= INLIERS_MIN && size_error(&chosen, &similarity) < ERROR_MAX;
    sure.then_some((similarity, chosen))
}

/// Standard error of a placement's size, as a logarithm.
fn size_error(matches: &[Match], similarity: &super::Similarity) -> f32 {
    let n = matches.len().max(1) as f32;
    let (sx, sy) = matches.iter().fold((0.0, 0.0), |s, m| (s.0 + m.from.0 / n, s.1 + m.from.1 / n));
    let (mut radius, mut rest) = (0.0, 0.0);
    for m in matches {
        let (x, y) = similarity.apply(m.from.0, m.from.1);
        radius += ((m.from.0 - sx).powi(2) + (m.from.1 - sy).powi(2)) / n;
        rest += ((x - m.to.0).powi(2) + (y - m.to.1).powi(2)) / n;
    }
    (rest.max(0.05) / (n * radius.max(1.0))).sqrt() / similarity.scale.max(1e-3)
}

fn bounds(matches: &[Match]) -> Option<(f32, f32, f32, f32)> {
    let first = matches.first()?.to;
    Some(matches.iter().fold((first.0, first.1, first.0, first.1), |b, m| {
        (b.0.min(m.to.0), b.1.min(m.to.1), b.2.max(m.to.0), b.3.max(m.to.1))
    }))
}

fn inside(b: &(f32, f32, f32, f32), p: (f32, f32)) -> bool {
    p.0 >= b.0 && p.0 <= b.2 && p.1 >= b.1 && p.1 <= b.3
}
