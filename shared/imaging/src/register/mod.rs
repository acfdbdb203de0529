//! Registration: where the reference's product sits in a candidate picture.
//!
//! Scale-space keypoints vote for one similarity; all matches near it give the affine map
//! whose excess over the similarity is the measured stretch. Shape is judged under the
//! similarity only, because a freer transform would absorb the drift that is looked for.
//! Products without marks fall back to their outline. When neither holds, the answer is
//! [`NotComparable`], never a guess.

mod around;
mod dense;
mod fit;
mod keypoints;
mod matching;
mod motions;
mod parts;
mod reference;
mod silhouette;
mod transform;
mod views;
mod working;

#[cfg(test)]
mod tests;

use image::{GrayImage, RgbImage};

pub use matching::Match;
pub use motions::{Motions, motions};
pub use parts::{Part, part};
pub use reference::Reference;
pub use transform::{Affine, Similarity};

use keypoints::Keypoint;
use working::Working;

/// Longest side of the candidate's working size, in pixels.
const CANDIDATE_SIDE: f32 = 720.0;
/// Longest side of a candidate worked on in that case, in pixels.
const CANDIDATE_SIDE_FINE: f32 = 1100.0;
/// Keypoints kept of a candidate; a busy background must not crowd out a faint product.
const KEYPOINTS_CANDIDATE: usize = 2200;
/// Shortest side of a picture, and longest of a product, that can be compared, in pixels.
const SIDE_MIN: u32 = 24;
/// Fewest agreeing matches that make a placement.
const INLIERS_MIN: usize = 9;
/// Smallest share of the product that they must cover.
const SPREAD_MIN: f32 = 0.05;
/// How far from a placement its matches may lie, by the product's longest side: room for
/// the stretch and the moved parts that are to be measured.
const REACH: f32 = 0.07;
/// Smallest overlap of two outlines worth looking at.
const OVERLAP_MIN: f32 = 0.55;
/// Smallest correlation of edges that bears out a placement found by keypoints, and one
/// found without them.
const EDGES_MIN_KEYPOINTS: f32 = 0.35;
const EDGES_MIN_ALONE: f32 = 0.55;
/// Fewest matches whose agreement is worth a try by edges.
const VOTES_MIN: usize = 4;

/// How a placement was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// Keypoints on the product.
    Keypoints,
    /// All edges together, outline included: less exact, blind to rotation of round things.
    Edges,
}

/// Where the product sits in the candidate. All coordinates are continuous full-size pixels.
#[derive(Clone, Debug)]
pub struct Registration {
    /// Reference pixels to candidate pixels.
    pub similarity: Similarity,
    /// The affine map over all matches; equals the similarity in the outline fallback.
    pub affine: Affine,
    /// How it was found.
    pub method: Method,
    /// Matches on the product near the placement, those of moved parts included.
    pub matches: Vec<Match>,
    /// Number of matches that agree with the similarity.
    pub inliers: usize,
    /// How much of the product the agreeing matches cover, 0 to 1.
    pub spread: f32,
    /// Share of the product's points inside the candidate that were found again where the
    /// placement has them, 0 to 1: high for the same view whatever else changed, low for a
    /// turned product.
    pub recall: f32,
    /// Correlation of the edges of both pictures under the placement, -1 to 1.
    pub edges: f32,
    /// How far the placement can be believed, 0 to 1.
    pub confidence: f32,
    /// Placement of what surrounds the product, where the same surroundings are in both
    /// pictures: the cue by which scale can be judged.
    pub surroundings: Option<Surroundings>,
    /// Placements of the largest thing that was cut out, and of another one that was cut out
    /// together with it.
    pub companion: Option<[Surroundings; 2]>,
    /// Whether the reference shows anything else than one thing on a plain ground.
    pub scene: bool,
}

/// Placement of the unchanged surroundings.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings {
    /// Reference pixels to candidate pixels.
    pub similarity: Similarity,
    /// The affine map over the same matches: what was done to the whole picture.
    pub affine: Affine,
    /// Number of matches that agree.
    pub inliers: usize,
}

/// Why a candidate cannot be measured against its reference.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
#[error("{reason}")]
pub struct NotComparable {
    /// For people, lower case, no full stop.
    pub reason: String,
}

impl NotComparable {
    fn because(reason: &str) -> NotComparable {
        NotComparable { reason: reason.to_owned() }
    }
}

/// Finds the product of `reference` (255 in `ref_mask`, same size) in `candidate`. A `hint`
/// is a placement that somebody claims; it is tried first and kept only when the pictures
/// bear it out.
///
/// # Errors
/// [`NotComparable`] with the reason when the product cannot be found.
pub fn register(
    reference: &RgbImage,
    ref_mask: &GrayImage,
    candidate: &RgbImage,
    hint: Option<Similarity>,
) -> Result<Registration, NotComparable> {
    Reference::new(reference, ref_mask)?.find(candidate, hint)
}

impl Reference {
    /// Finds this product in `candidate`; see [`register`].
    ///
    /// # Errors
    /// [`NotComparable`] with the reason when the product cannot be found.
    pub fn find(
        &self,
        candidate: &RgbImage,
        hint: Option<Similarity>,
    ) -> Result<Registration, NotComparable> {
        if candidate.width().min(candidate.height()) < SIDE_MIN {
            return Err(NotComparable::because("the picture is too small to compare"));
        }
        let scene = Scene::new(self, candidate);
        let hinted = hint.filter(Similarity::is_sane).map(|s| scene.to_working(&s));
        let voted = fit::vote(&scene.tentative, REACH * scene.size());
        let by_marks = hinted
            .and_then(|s| scene.by_keypoints(&s))
            .or_else(|| voted.as_ref().and_then(|(s, _)| scene.by_keypoints(s)));
        if let Some(placed) = by_marks {
            let edges = scene.edge_score(&placed.similarity);
            if edges >= EDGES_MIN_KEYPOINTS {
                return Ok(scene.finish(placed, edges));
            }
        }
        let voted = voted.filter(|(_, members)| members.len() >= VOTES_MIN).map(|(s, _)| s);
        scene.by_edges(hinted.into_iter().chain(voted).chain(scene.by_outline())).ok_or_else(|| {
            NotComparable::because(
                "the product was not found again: too few of its marks match and its edges do not fit",
            )
        })
    }
}

/// A reference and a candidate that is looked through for it.
struct Scene<'a> {
    of: &'a Reference,
    candidate: Working,
    candidate_points: Vec<Keypoint>,
    /// Matches of the product's points over the whole candidate.
    tentative: Vec<Match>,
}

struct Placed {
    similarity: Similarity,
    affine: Affine,
    matches: Vec<Match>,
    inliers: usize,
    spread: f32,
    recall: f32,
}

impl<'a> Scene<'a> {
    fn new(of: &'a Reference, candidate: &RgbImage) -> Scene<'a> {
        let side = if of.enlarge > 1.0 { CANDIDATE_SIDE_FINE } else { CANDIDATE_SIDE };
        let candidate = Working::whole(candidate, side, of.enlarge);
        let light = candidate.lightness();
        let candidate_points =
            keypoints::keypoints(&light, candidate.camera_blur(), KEYPOINTS_CANDIDATE, |_, _| true);
        let tentative = matching::mutual(&of.product_points, &candidate_points);
        Scene { of, candidate, candidate_points, tentative }
    }

    /// Longest side of the product as it would be in a candidate that it fills.
    fn size(&self) -> f32 {
        let (w, h) = self.candidate.rgb.dimensions();
        self.of.product_side.min(w.max(h) as f32)
    }

    fn to_working(&self, full: &Similarity) -> Similarity {
        let (x, y) = full.apply(self.of.working.offset.0, self.of.working.offset.1);
        Similarity { tx: x, ty: y, ..*full }.resized(self.of.working.factor, self.candidate.factor)
    }

    /// Refines a rough placement with every match near it; `None` when it does not hold.
    fn by_keypoints(&self, rough: &Similarity) -> Option<Placed> {
        let mut similarity = *rough;
        let mut map = rough.to_affine();
        let mut matches = Vec::new();
        for round in 0..3 {
            let side = self.of.product_side * similarity.scale;
            let radius = side * if round == 0 { REACH } else { 0.6 * REACH };
            matches =
                matching::guided(&self.of.product_points, &self.candidate_points, &map, &similarity, radius);
            similarity = fit::similarity_of(&matches, side * REACH)?;
            map = fit::affine_of(&matches, similarity.to_affine(), side * 0.02)
                .filter(|a| a.anisotropy() < 0.5)
                .unwrap_or_else(|| similarity.to_affine());
        }
        let reach = (self.of.product_side * similarity.scale * 0.03).max(2.5);
        let agreeing: Vec<(f32, f32)> =
            matches.iter().filter(|m| map.miss(m.from, m.to) <= reach).map(|m| m.from).collect();
        let spread = fit::spread(&agreeing, &self.shown_pixels(&similarity));
        (agreeing.len() >= INLIERS_MIN && spread >= SPREAD_MIN).then_some(Placed {
            similarity,
            affine: map,
            matches,
            inliers: agreeing.len(),
            spread,
            recall: agreeing.len() as f32 / self.points_shown(&similarity).max(1) as f32,
        })
    }

    fn product_pixels(&self) -> Vec<(f32, f32)> {
        self.of
            .mask
            .enumerate_pixels()
            .filter(|(x, y, p)| p.0[0] > 127 && (x + y) % 7 == 0)
            .map(|(x, y, _)| (x as f32, y as f32))
            .collect()
    }

    /// Number of the product's points that a placement puts inside the candidate.
    fn points_shown(&self, similarity: &Similarity) -> usize {
        let (w, h) = self.candidate.rgb.dimensions();
        let inside = |p: &&Keypoint| {
            let (x, y) = similarity.apply(p.x, p.y);
            x >= 0.0 && y >= 0.0 && x < w as f32 && y < h as f32
        };
        self.of.product_points.iter().filter(inside).count()
    }

    /// Product pixels that a placement puts inside the candidate.
    fn shown_pixels(&self, similarity: &Similarity) -> Vec<(f32, f32)> {
        let (w, h) = self.candidate.rgb.dimensions();
        let mut pixels = self.product_pixels();
        pixels.retain(|(x, y)| {
            let (u, v) = similarity.apply(*x, *y);
            u >= 0.0 && v >= 0.0 && u < w as f32 && v < h as f32
        });
        pixels
    }

    fn to_full(&self, working: &Similarity) -> Similarity {
        let scaled = working.resized(1.0 / self.of.working.factor, 1.0 / self.candidate.factor);
        let (dx, dy) = scaled.apply(self.of.working.offset.0, self.of.working.offset.1);
        Similarity { tx: 2.0 * scaled.tx - dx, ty: 2.0 * scaled.ty - dy, ..scaled }
    }

    fn affine_to_full(&self, working: &Affine) -> Affine {
        affine_to_full(working, &self.of.working, &self.candidate)
    }

    fn finish(&self, placed: Placed, edges: f32) -> Registration {
        let affine = self.affine_to_full(&placed.affine);
        let ratio = self.of.working.factor / self.candidate.factor;
        let matches = placed
            .matches
            .iter()
            .map(|m| Match {
                from: self.of.working.full(m.from),
                to: self.candidate.full(m.to),
                scale: m.scale * ratio,
                ..*m
            })
            .collect();
        let count = 1.0 - (-(placed.inliers as f32) / 20.0).exp();
        Registration {
            similarity: self.to_full(&placed.similarity),
            affine,
            method: Method::Keypoints,
            matches,
            inliers: placed.inliers,
            spread: placed.spread,
            recall: placed.recall,
            edges,
            confidence: count * (placed.spread / 0.4).min(1.0),
            surroundings: self.surroundings(),
            companion: self.companion(),
            scene: self.is_scene(),
        }
    }

    /// Middle of the product in working pixels of the reference.
    fn centre(&self) -> (f32, f32) {
        crate::mask::bounds(&self.of.mask, 128)
            .map_or((0.0, 0.0), |b| (b.x as f32 + b.w as f32 / 2.0, b.y as f32 + b.h as f32 / 2.0))
    }

    fn edges(&self, scale: f32) -> dense::Edges {
        dense::Edges::new(
            &self.of.working.rgb,
            &self.of.mask,
            self.of.product_side,
            &self.candidate.rgb,
            scale,
        )
    }

    fn edge_score(&self, similarity: &Similarity) -> f32 {
        self.edges(similarity.scale).score(similarity, 0)
    }

    /// Tries to settle rough placements by their edges and takes the best that fits.
    fn by_edges(&self, starts: impl Iterator<Item = Similarity>) -> Option<Registration> {
        let (similarity, score) = starts
            .filter(|s| s.is_sane() && (0.05..20.0).contains(&s.scale))
            .map(|start| self.edges(start.scale).climb(&start, self.centre(), self.of.product_side))
            .max_by(|a, b| a.1.total_cmp(&b.1))?;
        if score < EDGES_MIN_ALONE {
            return None;
        }
        // settled, it may well be near enough for the marks to be matched after all
        if let Some(placed) = self.by_keypoints(&similarity) {
            let edges = self.edge_score(&placed.similarity);
            return Some(self.finish(placed, edges));
        }
        let full = self.to_full(&similarity);
        Some(Registration {
            similarity: full,
            affine: full.to_affine(),
            method: Method::Edges,
            matches: Vec::new(),
            inliers: 0,
            spread: 0.0,
            recall: 0.0,
            edges: score,
            confidence: (score - 0.4).clamp(0.0, 0.5),
            surroundings: self.surroundings(),
            companion: self.companion(),
            scene: self.is_scene(),
        })
    }

    /// A rough placement from the outline, for products on a smooth background.
    fn by_outline(&self) -> Option<Similarity> {
        let rough = silhouette::rough_mask(&self.candidate.rgb);
        let opened = crate::mask::close(&crate::mask::open(&rough, 1), 2);
        let filled = crate::mask::fill_holes(&opened);
        let area = crate::mask::area(&filled);
        let kept = crate::mask::label(&filled).select(|c| c.area * 12 >= area);
        let reference = crate::mask::threshold(&self.of.mask, 128);
        let fitted = silhouette::fit_outline(&crate::mask::fill_holes(&reference), &kept)?;
        (fitted.overlap >= OVERLAP_MIN).then_some(fitted.similarity)
    }
}

/// A map between two working pictures as one between the full ones.
fn affine_to_full(working: &Affine, reference: &Working, candidate: &Working) -> Affine {
    let scaled = working.resized(1.0 / reference.factor, 1.0 / candidate.factor);
    let (dx, dy) = scaled.apply(reference.offset.0, reference.offset.1);
    Affine { tx: 2.0 * scaled.tx - dx, ty: 2.0 * scaled.ty - dy, ..scaled }
}
