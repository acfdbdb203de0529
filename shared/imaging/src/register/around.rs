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

    /// Placement of the largest thing that was cut out together with the product but stands
    /// apart from it: whichever of the two is the product, their sizes belong together.
    pub(super) fn companion(&self) -> Option<Surroundings> {
        let labels = &self.of.pieces;
        let things = things(labels);
        let width = self.of.mask.width() as usize;
        let (w, h) = self.of.mask.dimensions();
        things.into_iter().skip(1).find_map(|thing| {
            let on = |(x, y): (f32, f32)| {
                let (x, y) = ((x as u32).min(w - 1), (y as u32).min(h - 1));
                labels.map[y as usize * width + x as usize] == thing.label
            };
            let own: Vec<Match> = self.tentative.iter().filter(|m| on(m.from)).copied().collect();
            let (similarity, matches) = motions::apart(&own, (0.008 * self.size()).max(1.5))?;
            let affine = fit::affine_of(&matches, similarity.to_affine(), 3.0)
                .unwrap_or_else(|| similarity.to_affine());
            Some(Surroundings {
                similarity: self.to_full(&similarity),
                affine: self.affine_to_full(&affine),
                inliers: matches.len(),
            })
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
