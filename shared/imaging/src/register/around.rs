//! What else a reference shows beside its product: the cues by which a size can be judged.

use super::matching::{self, Match};
use super::{INLIERS_MIN, Scene, Surroundings, fit, motions};
use crate::mask::{Component, Labels};

impl Scene<'_> {
    pub(super) fn surroundings(&self) -> Option<Surroundings> {
        let tentative = matching::mutual(&self.of.other_points, &self.candidate_points);
        let reach = (0.02 * self.size()).max(2.0);
        let (similarity, members) = fit::vote(&tentative, reach)?;
        let points: Vec<(f32, f32)> = members.iter().map(|&i| tentative[i].from).collect();
        let spread = fit::spread(&points, &self.product_pixels());
        let chosen: Vec<Match> = members.iter().map(|&i| tentative[i]).collect();
        let affine =
            fit::affine_of(&chosen, similarity.to_affine(), reach).unwrap_or_else(|| similarity.to_affine());
        (members.len() >= INLIERS_MIN && spread > 0.02).then(|| Surroundings {
            similarity: self.to_full(&similarity),
            affine: self.affine_to_full(&affine),
            inliers: members.len(),
        })
    }

    /// Placements of the largest thing that was cut out and of another one beside it, of several the
    /// one whose size differs most: whichever of the two is the product, their sizes belong
    /// together. `None` unless both are found again, each by itself.
    pub(super) fn companion(&self) -> Option<[Surroundings; 2]> {
        let things = things(&self.of.pieces);
        let (largest, others) = things.split_first()?;
        if others.is_empty() {
            return None;
        }
        let largest = self.placed(largest)?;
        let differs = |s: &Surroundings| (s.similarity.scale / largest.similarity.scale).ln().abs();
        let other = others.iter().filter_map(|thing| self.placed(thing));
        let other = other.max_by(|a, b| differs(a).total_cmp(&differs(b)))?;
        Some([largest, other])
    }

    /// Where one piece of the cut-out is, by the matches that start on it.
    fn placed(&self, thing: &Component) -> Option<Surroundings> {
        let labels = &self.of.pieces;
        let (w, h) = self.of.mask.dimensions();
        let on = |(x, y): (f32, f32)| {
            let (x, y) = ((x as u32).min(w - 1), (y as u32).min(h - 1));
            labels.map[(y * w + x) as usize] == thing.label
        };
        let own: Vec<Match> = self.tentative.iter().filter(|m| on(m.from)).copied().collect();
        let (similarity, matches) = motions::apart(&own, (0.008 * self.size()).max(1.5))?;
        let affine =
            fit::affine_of(&matches, similarity.to_affine(), 3.0).unwrap_or_else(|| similarity.to_affine());
        Some(Surroundings {
            similarity: self.to_full(&similarity),
            affine: self.affine_to_full(&affine),
            inliers: matches.len(),
        })
    }

    /// Whether the reference shows anything else than one thing on a plain ground.
    pub(super) fn is_scene(&self) -> bool {
        self.of.other_points.len() >= INLIERS_MIN || things(&self.of.pieces).len() > 1
    }
}

/// What was cut out, in pieces that count, the largest first.
fn things(labels: &Labels) -> Vec<&Component> {
    let total: u64 = labels.components.iter().map(|c| c.area).sum();
    let mut things: Vec<_> = labels.components.iter().filter(|c| c.area * 40 >= total).collect();
    things.sort_by_key(|c| std::cmp::Reverse(c.area));
    things
}
