//! Things of one scene that moved apart: two pictures of the same surroundings in which one
//! thing changed its size against all the others. No mask is needed: the placement that most
//! matches agree on is taken out, and what is left is asked for a placement of its own. That
//! nothing moved is said only where the two pictures, held upon each other, show the same all
//! over.

use image::{GrayImage, Luma, RgbImage};

use super::matching::Match;
use super::{INLIERS_MIN, KEYPOINTS_CANDIDATE, Working, fit, keypoints, matching};
use crate::photo::Rect;

/// Longest side of both working pictures, in pixels.
const SIDE: f32 = 720.0;
/// How near the matches of one thing lie to its placement, by the picture's longest side.
const REACH: f32 = 0.006;
/// Fewest matches of the whole scene by which anything can be said.
const SCENE_MIN: usize = 24;
/// Fewest matches of a thing that moved by itself, where they lie together and nothing of the scene
/// between them.
const TOGETHER_MIN: usize = 6;
/// Longest side on which two pictures of a scene are held upon each other, in pixels.
const COARSE: f32 = 200.0;
/// Difference in Lab, light aside, from which something else is there.
const OTHER: f32 = 14.0;
/// Share of the picture that may be something else.
const OTHER_MAX: f32 = 0.004;
/// Largest standard error of a size, as a logarithm, with which it is still measured.
const ERROR_MAX: f32 = 0.02;

/// Sizes in a scene.
#[derive(Clone, Copy, Debug)]
pub struct Motions {
    /// How much larger the thing that moved by itself became against the rest, as a logarithm;
    /// 0 when everything moved together, `None` when something else is there whose size cannot
    /// be told.
    pub ratio: Option<f32>,
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
    let map = fit::affine_of(&scene_matches, scene.to_affine(), reach).unwrap_or_else(|| scene.to_affine());
    let found =
        |ratio, error, own, region| Some(Motions { ratio, error, inliers: (members.len(), own), region });
    if explained(&from, &to, &map) {
        return found(Some(0.0), scene_error, 0, None);
    }
    let unclear = found(None, scene_error, 0, None);
    let left: Vec<Match> =
        tentative.iter().filter(|m| !fit::agrees(m, &scene, 1.5 * reach)).copied().collect();
    let Some((thing, chosen)) = fit::vote(&left, reach) else { return unclear };
    let thing_matches: Vec<Match> = chosen.iter().map(|&i| left[i]).collect();
    let error = size_error(&thing_matches, &thing).hypot(scene_error);
    let own = thing_matches.len();
    let enough = own >= INLIERS_MIN || (own >= TOGETHER_MIN && is_one_place(&thing_matches, &scene_matches));
    let Some(bounds) = bounds(&thing_matches).filter(|_| enough && error < ERROR_MAX) else {
        return unclear;
    };
    let (x0, y0) = to.full((bounds.0, bounds.1));
    let (x1, y1) = to.full((bounds.2, bounds.3));
    let region = Rect {
        x: x0.max(0.0) as u32,
        y: y0.max(0.0) as u32,
        w: ((x1 - x0) as u32).max(1),
        h: ((y1 - y0) as u32).max(1),
    };
    let ratio = (thing.scale / scene.scale.max(1e-6)).ln();
    found(Some(ratio), error, own, Some(region))
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

/// Whether the matches of a thing lie together: of the three matches next to one of them most are
/// the thing's.
fn is_one_place(thing: &[Match], scene: &[Match]) -> bool {
    let away = |a: &Match, b: &Match| (a.to.0 - b.to.0).hypot(a.to.1 - b.to.1);
    let together = thing.iter().filter(|m| {
        let mut near: Vec<(f32, bool)> = scene.iter().map(|s| (away(m, s), false)).collect();
        near.extend(thing.iter().filter(|t| t.from != m.from).map(|t| (away(m, t), true)));
        near.sort_by(|a, b| a.0.total_cmp(&b.0));
        near.iter().take(3).filter(|(_, own)| *own).count() >= 2
    });
    together.count() * 10 >= thing.len() * 7
}

/// Whether `map` brings the whole reference upon the candidate: a thing that moved by itself without
/// being matched leaves its place.
fn explained(from: &Working, to: &Working, map: &super::Affine) -> bool {
    let (w, h) = from.rgb.dimensions();
    let shrink = (COARSE / w.max(h) as f32).min(1.0);
    let small = |rgb: &RgbImage| {
        let (w, h) = rgb.dimensions();
        let side = |v: u32| ((v as f32 * shrink).round() as u32).max(1);
        crate::colour::lab_image(&crate::resize::resize_rgb(rgb, side(w), side(h)))
    };
    let (a, b) = (small(&from.rgb), small(&to.rgb));
    let mut off: Vec<Option<[f32; 3]>> = Vec::with_capacity(a.l.len());
    for at in 0..a.l.len() {
        let (x, y) = (at as u32 % a.width, at as u32 / a.width);
        let (u, v) = map.apply((x as f32 + 0.5) / shrink, (y as f32 + 0.5) / shrink);
        let (u, v) = (u * shrink, v * shrink);
        let seen = u >= 0.0 && v >= 0.0 && u < b.width as f32 && v < b.height as f32;
        off.push(seen.then(|| {
            let other = v as usize * b.width as usize + u as usize;
            [b.l[other] - a.l[at], b.a[other] - a.a[at], b.b[other] - a.b[at]]
        }));
    }
    let middle: [f32; 3] = std::array::from_fn(|c| {
        crate::segment::surface::median(off.iter().flatten().map(|o| o[c]).collect())
    });
    let other = GrayImage::from_fn(a.width, a.height, |x, y| {
        let apart = off[(y * a.width + x) as usize]
            .map_or(0.0, |o| o.iter().zip(middle).map(|(o, m)| (o - m).powi(2)).sum::<f32>().sqrt());
        Luma([if apart > OTHER { 255 } else { 0 }])
    });
    let other = crate::mask::area(&crate::mask::open(&other, 2));
    other as f32 <= OTHER_MAX * a.l.len() as f32
}

fn bounds(matches: &[Match]) -> Option<(f32, f32, f32, f32)> {
    let first = matches.first()?.to;
    Some(matches.iter().fold((first.0, first.1, first.0, first.1), |b, m| {
        (b.0.min(m.to.0), b.1.min(m.to.1), b.2.max(m.to.0), b.3.max(m.to.1))
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use image::Rgb;

    use super::super::tests::marks;
    use super::*;

    /// A board with marks, and beside it a square thing `size` times as large as usual, with marks or
    /// without.
    fn scene(size: f32, marked: bool) -> RgbImage {
        RgbImage::from_fn(640, 320, |x, y| {
            let (x, y) = (x as f32 + 0.5, y as f32 + 0.5);
            let (u, v) = ((x - 470.0) / size + 70.0, (y - 160.0) / size + 70.0);
            let level = if (30.0..270.0).contains(&x) && (40.0..280.0).contains(&y) {
                marks(x, y)
            } else if (0.0..140.0).contains(&u) && (0.0..140.0).contains(&v) {
                if marked { marks(u + 340.0, v + 260.0) } else { 60 }
            } else {
                236
            };
            Rgb([level; 3])
        })
    }

    #[test]
    fn a_thing_that_grew_is_measured_and_one_without_marks_is_unclear() {
        let ratio =
            |size, marked| motions(&scene(1.0, marked), &scene(size, marked)).expect("the same scene").ratio;
        assert_eq!(ratio(1.0, true), Some(0.0));
        assert_eq!(ratio(1.0, false), Some(0.0));
        let grown = ratio(1.2, true).expect("its marks are found again");
        assert!((grown - 1.2_f32.ln()).abs() < 0.01, "{grown}");
        assert_eq!(ratio(1.2, false), None);
    }

    #[test]
    fn another_scene_says_nothing() {
        let other = RgbImage::from_fn(640, 320, |x, y| Rgb([((x * 7) ^ (y * 13)) as u8; 3]));
        assert!(motions(&scene(1.0, true), &other).is_none());
        assert!(motions(&RgbImage::new(3, 3), &other).is_none());
    }
}
