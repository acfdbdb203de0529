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
mod silhouette;
mod transform;
mod views;

#[cfg(test)]
mod tests;

use image::{GrayImage, RgbImage};

use crate::blur::Plane;
use crate::photo::Rect;
use crate::resize;
pub use matching::Match;
pub use motions::{Motions, motions};
pub use parts::{Part, part};
pub use transform::{Affine, Similarity};

use keypoints::Keypoint;

/// Longest side of the product in the reference's working size, in pixels.
const PRODUCT_SIDE: f32 = 480.0;
/// Longest side of the candidate's working size, in pixels.
const CANDIDATE_SIDE: f32 = 720.0;
/// How much larger both are worked on when the product shows few points.
const FINE: f32 = 2.0;
/// Longest side of a candidate worked on in that case, in pixels.
const CANDIDATE_SIDE_FINE: f32 = 1100.0;
/// A product with fewer points than this is worked on larger.
const POINTS_FEW: usize = 250;
/// Keypoints kept per picture; a busy background must not crowd out a faint product.
const KEYPOINTS_REFERENCE: usize = 900;
const KEYPOINTS_CANDIDATE: usize = 2200;
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
    /// Placement of another thing that was cut out together with the product.
    pub companion: Option<Surroundings>,
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

/// A picture at working size with its keypoints.
struct Working {
    rgb: RgbImage,
    /// Working pixels per full pixel.
    factor: f32,
    /// Full-size offset of the working picture's corner.
    offset: (f32, f32),
}

impl Working {
    /// `crop` of a picture with `longest` reduced to `side_max`, enlarged at most `enlarge` times.
    fn new(rgb: &RgbImage, crop: Rect, side_max: f32, longest: f32, enlarge: f32) -> Working {
        let factor = (side_max / longest.max(1.0)).min(enlarge);
        let (w, h) = ((crop.w as f32 * factor).round().max(1.0), (crop.h as f32 * factor).round().max(1.0));
        let cut;
        let source = if (crop.w, crop.h) == rgb.dimensions() {
            rgb
        } else {
            cut = resize::crop_rgb(rgb, crop);
            &cut
        };
        Working {
            rgb: resize::resize_rgb(source, w as u32, h as u32),
            factor: w / crop.w.max(1) as f32,
            offset: (crop.x as f32, crop.y as f32),
        }
    }

    /// All of a picture with its longest side reduced to `side_max`, enlarged at most `enlarge`
    /// times.
    fn whole(rgb: &RgbImage, side_max: f32, enlarge: f32) -> Working {
        let (w, h) = rgb.dimensions();
        Working::new(rgb, Rect { x: 0, y: 0, w, h }, side_max, w.max(h) as f32, enlarge)
    }

    fn lightness(&self) -> Plane {
        let data = self
            .rgb
            .pixels()
            .map(|p| {
                (0.299 * f32::from(p.0[0]) + 0.587 * f32::from(p.0[1]) + 0.114 * f32::from(p.0[2])) / 255.0
            })
            .collect();
        Plane { width: self.rgb.width(), height: self.rgb.height(), data }
    }

    /// Blur that the picture has by itself, in working pixels.
    fn camera_blur(&self) -> f32 {
        0.5 * self.factor.max(1.0)
    }

    fn full(&self, p: (f32, f32)) -> (f32, f32) {
        (p.0 / self.factor + self.offset.0, p.1 / self.factor + self.offset.1)
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
    let not = |reason: &str| NotComparable { reason: reason.to_owned() };
    if reference.dimensions() != ref_mask.dimensions() {
        return Err(not("the reference and its mask differ in size"));
    }
    let bounds = crate::mask::bounds(ref_mask, 128).ok_or_else(|| not("the reference has no product"))?;
    if candidate.width().min(candidate.height()) < 24 || bounds.w.max(bounds.h) < 24 {
        return Err(not("the picture is too small to compare"));
    }
    let mut scene = Scene::new(reference, ref_mask, bounds, candidate, 1.0);
    if scene.product_points.len() < POINTS_FEW {
        scene = Scene::new(reference, ref_mask, bounds, candidate, FINE);
    }
    let tentative = matching::mutual(&scene.product_points, &scene.candidate_points);
    scene.tentative.clone_from(&tentative);
    let hinted = hint.filter(Similarity::is_sane).map(|s| scene.to_working(&s));
    let voted = fit::vote(&tentative, REACH * scene.size());
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
        not("the product was not found again: too few of its marks match and its edges do not fit")
    })
}

struct Scene {
    reference: Working,
    candidate: Working,
    mask: GrayImage,
    product_points: Vec<Keypoint>,
    other_points: Vec<Keypoint>,
    candidate_points: Vec<Keypoint>,
    /// Longest side of the product in working pixels of the reference.
    product_side: f32,
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

impl Scene {
    fn new(
        reference: &RgbImage,
        ref_mask: &GrayImage,
        bounds: Rect,
        candidate: &RgbImage,
        enlarge: f32,
    ) -> Scene {
        let longest = bounds.w.max(bounds.h);
        let around = around(bounds, longest, reference.dimensions());
        let reference = Working::new(reference, around, enlarge * PRODUCT_SIDE, longest as f32, enlarge);
        let (w, h) = reference.rgb.dimensions();
        let mask = resize::resize_gray(&resize::crop_gray(ref_mask, around), w, h);
        let side = if enlarge > 1.0 { CANDIDATE_SIDE_FINE } else { CANDIDATE_SIDE };
        let candidate = Working::whole(candidate, side, enlarge);
        let grown = crate::mask::dilate(&mask, 3);
        let on = |x: f32, y: f32| grown.get_pixel((x as u32).min(w - 1), (y as u32).min(h - 1)).0[0] > 127;
        let light = reference.lightness();
        let product_points = keypoints::keypoints(&light, reference.camera_blur(), KEYPOINTS_REFERENCE, on);
        let far = crate::mask::dilate(&mask, 8);
        let off = |x: f32, y: f32| far.get_pixel((x as u32).min(w - 1), (y as u32).min(h - 1)).0[0] <= 127;
        let other_points =
            keypoints::keypoints(&light, reference.camera_blur(), KEYPOINTS_REFERENCE / 2, off);
        let light = candidate.lightness();
        let candidate_points =
            keypoints::keypoints(&light, candidate.camera_blur(), KEYPOINTS_CANDIDATE, |_, _| true);
        let product_side = longest as f32 * reference.factor;
        Scene {
            reference,
            candidate,
            mask,
            product_points,
            other_points,
            candidate_points,
            product_side,
            tentative: Vec::new(),
        }
    }

    /// Longest side of the product as it would be in a candidate that it fills.
    fn size(&self) -> f32 {
        let (w, h) = self.candidate.rgb.dimensions();
        self.product_side.min(w.max(h) as f32)
    }

    fn to_working(&self, full: &Similarity) -> Similarity {
        let (x, y) = full.apply(self.reference.offset.0, self.reference.offset.1);
        Similarity { tx: x, ty: y, ..*full }.resized(self.reference.factor, self.candidate.factor)
    }

    /// Refines a rough placement with every match near it; `None` when it does not hold.
    fn by_keypoints(&self, rough: &Similarity) -> Option<Placed> {
        let mut similarity = *rough;
        let mut map = rough.to_affine();
        let mut matches = Vec::new();
        for round in 0..3 {
            let side = self.product_side * similarity.scale;
            let radius = side * if round == 0 { REACH } else { 0.6 * REACH };
            matches =
                matching::guided(&self.product_points, &self.candidate_points, &map, &similarity, radius);
            similarity = fit::similarity_of(&matches, side * REACH)?;
            map = fit::affine_of(&matches, similarity.to_affine(), side * 0.02)
                .filter(|a| a.anisotropy() < 0.5)
                .unwrap_or_else(|| similarity.to_affine());
        }
        let reach = (self.product_side * similarity.scale * 0.03).max(2.5);
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
        self.mask
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
        self.product_points.iter().filter(inside).count()
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
        let scaled = working.resized(1.0 / self.reference.factor, 1.0 / self.candidate.factor);
        let (dx, dy) = scaled.apply(self.reference.offset.0, self.reference.offset.1);
        Similarity { tx: 2.0 * scaled.tx - dx, ty: 2.0 * scaled.ty - dy, ..scaled }
    }

    fn affine_to_full(&self, working: &Affine) -> Affine {
        affine_to_full(working, &self.reference, &self.candidate)
    }

    fn finish(&self, placed: Placed, edges: f32) -> Registration {
        let affine = self.affine_to_full(&placed.affine);
        let ratio = self.reference.factor / self.candidate.factor;
        let matches = placed
            .matches
            .iter()
            .map(|m| Match {
                from: self.reference.full(m.from),
                to: self.candidate.full(m.to),
                scale: m.scale * ratio,
                ..*m
            })
            .collect();
        let labels = self.labels();
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
            companion: self.companion(&labels),
            scene: self.is_scene(&labels),
        }
    }

    /// Middle of the product in working pixels of the reference.
    fn centre(&self) -> (f32, f32) {
        crate::mask::bounds(&self.mask, 128)
            .map_or((0.0, 0.0), |b| (b.x as f32 + b.w as f32 / 2.0, b.y as f32 + b.h as f32 / 2.0))
    }

    fn edges(&self, scale: f32) -> dense::Edges {
        dense::Edges::new(&self.reference.rgb, &self.mask, self.product_side, &self.candidate.rgb, scale)
    }

    fn edge_score(&self, similarity: &Similarity) -> f32 {
        self.edges(similarity.scale).score(similarity, 0)
    }

    /// Tries to settle rough placements by their edges and takes the best that fits.
    fn by_edges(&self, starts: impl Iterator<Item = Similarity>) -> Option<Registration> {
        let (similarity, score) = starts
            .filter(|s| s.is_sane() && (0.05..20.0).contains(&s.scale))
            .map(|start| self.edges(start.scale).climb(&start, self.centre(), self.product_side))
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
        let labels = self.labels();
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
            companion: self.companion(&labels),
            scene: self.is_scene(&labels),
        })
    }

    /// A rough placement from the outline, for products on a smooth background.
    fn by_outline(&self) -> Option<Similarity> {
        let rough = silhouette::rough_mask(&self.candidate.rgb);
        let opened = crate::mask::close(&crate::mask::open(&rough, 1), 2);
        let filled = crate::mask::fill_holes(&opened);
        let area = crate::mask::area(&filled);
        let kept = crate::mask::label(&filled).select(|c| c.area * 12 >= area);
        let reference = crate::mask::threshold(&self.mask, 128);
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

/// The product's bounds with as much surrounding as is useful, clipped to the picture.
fn around(bounds: Rect, longest: u32, (w, h): (u32, u32)) -> Rect {
    let room = longest / 2;
    let x = bounds.x.saturating_sub(room);
    let y = bounds.y.saturating_sub(room);
    Rect { x, y, w: (bounds.x + bounds.w + room).min(w) - x, h: (bounds.y + bounds.h + room).min(h) - y }
}
