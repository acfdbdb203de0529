//! A turned product has no placement as a whole, but each of its parts has one: a label or a
//! print that is seen in both pictures is mapped affinely. Matches of simulated views
//! ([`super::views`]) propose the map of their surroundings; the one that most neighbours agree
//! on is settled on the pixels themselves and believed only where these correlate.

use std::collections::HashSet;

use image::{GrayImage, RgbImage};
use nalgebra::{Matrix6, Vector6};
use rayon::prelude::*;

use super::matching::{self, Match};
use super::transform::Affine;
use super::views::{self, View, sample};
use super::{KEYPOINTS_CANDIDATE, Working, affine_to_full, fit, keypoints};
use crate::blur::{self, Plane};
use crate::mask;
use crate::resize;

/// Longest sides worked on, in pixels: a part is small against its product.
const PRODUCT_SIDE: f32 = 640.0;
const CANDIDATE_SIDE: f32 = 960.0;
const KEYPOINTS_VIEW: usize = 700;
/// How far a part may reach from the match that proposes it, by the product's longest side.
const PART_REACH: f32 = 0.3;
/// How far neighbours may lie from a proposal, by their distance, and by the product's side.
const SLOPE: f32 = 0.16;
const SLACK: f32 = 0.012;
/// Largest difference of two local maps that mean the same, in the Frobenius norm of one
/// after the other's inverse without the identity.
const LINEAR_MAX: f32 = 0.6;
/// Fewest places that must agree, before and after the map is refined.
const PLACES_MIN: usize = 5;
const PLACES_SURE: usize = 8;
/// Least correlation of the part's lightness, and least contrast, in shares of full scale,
/// that a correlation says something about.
const CORRELATION_MIN: f32 = 0.8;
const CONTRAST_MIN: f32 = 0.03;
/// Tilts beyond this are not seen in both pictures, as a logarithm.
const TILT_MAX: f32 = 1.3;
/// Smallest part, as a share of the product.
const SHARE_MIN: f32 = 0.004;
/// How far around its matches a part reaches, by the product's longest side.
const AROUND: f32 = 0.045;

/// A part of the product that was found in a picture which shows it from elsewhere.
#[derive(Clone, Debug)]
pub struct Part {
    /// Reference pixels to candidate pixels, on this part only.
    pub affine: Affine,
    /// Where in the reference, 255 inside, of its size.
    pub mask: GrayImage,
    /// Share of the product, 0 to 1.
    pub share: f32,
    /// Number of places that agree.
    pub inliers: usize,
    /// Correlation of both pictures' lightness on the part, -1 to 1.
    pub correlation: f32,
}

/// A match with the affine map of its surroundings.
#[derive(Clone, Copy)]
struct Local {
    from: (f32, f32),
    to: (f32, f32),
    map: Affine,
}

/// Looks for the part of the product (255 in `ref_mask`, of the reference's size) that is found
/// again most surely in `candidate`, whatever way the product is turned; `None` when there is
/// none. One second of processor time for products with many marks.
pub fn part(reference: &RgbImage, ref_mask: &GrayImage, candidate: &RgbImage) -> Option<Part> {
    let bounds = mask::bounds(ref_mask, 128).filter(|_| reference.dimensions() == ref_mask.dimensions())?;
    if candidate.width().min(candidate.height()) < 48 || bounds.w.min(bounds.h) < 24 {
        return None;
    }
    let longest = bounds.w.max(bounds.h) as f32;
    let from = Working::new(reference, bounds, PRODUCT_SIDE, longest, 2.0);
    let to = Working::whole(candidate, CANDIDATE_SIDE, 2.0);
    let (light, candidate_light) = (from.lightness(), to.lightness());
    let (w, h) = from.rgb.dimensions();
    let product = resize::resize_gray(&resize::crop_gray(ref_mask, bounds), w, h);
    let on = |x: f32, y: f32| {
        let pixel = product.get_pixel_checked(x as u32, y as u32);
        x > -1.0 && y > -1.0 && pixel.is_some_and(|p| p.0[0] > 127)
    };
    let search = Search {
        side: w.max(h) as f32,
        views: views::views(&light, from.camera_blur(), KEYPOINTS_VIEW, on),
        candidate: keypoints::keypoints(&candidate_light, to.camera_blur(), KEYPOINTS_CANDIDATE, |_, _| true),
    };
    let (affine, places) = search.find()?;
    let around = around(&places, &product, search.side);
    let (affine, correlation) = settle(&light, &candidate_light, &around, affine)?;
    let area = mask::area(&mask::threshold(&product, 128)).max(1) as f32;
    let share = mask::area(&around) as f32 / area;
    if correlation < CORRELATION_MIN || share < SHARE_MIN || affine.anisotropy() > TILT_MAX {
        return None;
    }
    let mut full = GrayImage::new(reference.width(), reference.height());
    image::imageops::replace(
        &mut full,
        &resize::resize_gray(&around, bounds.w, bounds.h),
        i64::from(bounds.x),
        i64::from(bounds.y),
    );
    Some(Part {
        affine: affine_to_full(&affine, &from, &to),
        mask: mask::threshold(&full, 128),
        share,
        inliers: places.len(),
        correlation,
    })
}

struct Search {
    /// Longest side of the product in working pixels.
    side: f32,
    views: Vec<View>,
    candidate: Vec<keypoints::Keypoint>,
}

impl Search {
    /// The map that most places agree on, with their places in the reference.
    fn find(&self) -> Option<(Affine, Vec<(f32, f32)>)> {
        let locals: Vec<Local> = self.views.par_iter().flat_map_iter(|view| self.locals(view)).collect();
        let votes: Vec<usize> =
            locals.par_iter().map(|proposer| distinct(self.neighbours(&locals, proposer))).collect();
        let best = (0..locals.len()).max_by_key(|&i| (votes[i], std::cmp::Reverse(i)))?;
        if votes[best] < PLACES_MIN {
            return None;
        }
        let mut map = locals[best].map;
        let mut members: Vec<Local> = self.neighbours(&locals, &locals[best]).copied().collect();
        for round in 0..4 {
            map = refined(&members, map, self.side * (0.03 - 0.005 * round as f32))?;
            members = locals.iter().filter(|l| self.agrees(l, &map)).copied().collect();
        }
        self.guided(map)
    }

    fn locals(&self, view: &View) -> Vec<Local> {
        let Some(forth) = view.back.inverse() else { return Vec::new() };
        let matches = matching::mutual(&view.points, &self.candidate);
        matches
            .iter()
            .map(|m| Local {
                from: view.back.apply(m.from.0, m.from.1),
                to: m.to,
                map: fit::from_one(m).to_affine().after(&forth),
            })
            .collect()
    }

    fn neighbours<'a>(&self, locals: &'a [Local], of: &Local) -> impl Iterator<Item = &'a Local> {
        let (of, side) = (*of, self.side);
        let size = size(&of.map);
        locals.iter().filter(move |l| {
            let away = (l.from.0 - of.from.0).hypot(l.from.1 - of.from.1);
            away < PART_REACH * side
                && of.map.miss(l.from, l.to) < size * (SLACK * side + SLOPE * away)
                && alike(&of.map, &l.map)
        })
    }

    fn agrees(&self, local: &Local, map: &Affine) -> bool {
        map.miss(local.from, local.to) < size(map) * 1.5 * SLACK * self.side && alike(map, &local.map)
    }

    /// More places by looking where the map says, in the view that looks most like the candidate.
    fn guided(&self, mut map: Affine) -> Option<(Affine, Vec<(f32, f32)>)> {
        let view = self
            .views
            .iter()
            .min_by(|a, b| map.after(&a.back).anisotropy().total_cmp(&map.after(&b.back).anisotropy()))?;
        let mut places = Vec::new();
        for _ in 0..3 {
            let seen = map.after(&view.back);
            let rough = seen.nearest_similarity((0.0, 0.0));
            let reach = size(&map) * 1.5 * SLACK * self.side;
            let matches = matching::guided(&view.points, &self.candidate, &seen, &rough, reach);
            let members: Vec<Local> = matches
                .iter()
                .map(|m| Local { from: view.back.apply(m.from.0, m.from.1), to: m.to, map })
                .collect();
            map = refined(&members, map, 0.015 * self.side)?;
            let near: Vec<&Local> = members.iter().filter(|l| map.miss(l.from, l.to) < 0.7 * reach).collect();
            if distinct(near.iter().copied()) < PLACES_SURE {
                return None;
            }
            places = near.iter().map(|l| l.from).collect();
        }
        Some((map, places))
    }
}

/// How many times longer lengths become, on the mean of all directions.
fn size(map: &Affine) -> f32 {
    map.determinant().abs().sqrt().clamp(0.05, 20.0)
}

fn alike(a: &Affine, b: &Affine) -> bool {
    let Some(back) = a.inverse() else { return false };
    let d = back.after(b);
    (d.a - 1.0).hypot(d.d - 1.0).hypot(d.b.hypot(d.c)) < LINEAR_MAX
}

/// Number of different places, in the reference and in the candidate: one corner found in many
/// views is one.
fn distinct<'a>(locals: impl Iterator<Item = &'a Local>) -> usize {
    let cell = |(x, y): (f32, f32)| ((x / 5.0) as i32, (y / 5.0) as i32);
    let (mut from, mut to) = (HashSet::new(), HashSet::new());
    for local in locals {
        from.insert(cell(local.from));
        to.insert(cell(local.to));
    }
    from.len().min(to.len())
}

fn refined(members: &[Local], start: Affine, reach: f32) -> Option<Affine> {
    let matches: Vec<Match> = members
        .iter()
        .map(|l| Match { from: l.from, to: l.to, scale: size(&l.map), turn: 0.0, distance: 0.0 })
        .collect();
    fit::affine_of(&matches, start, reach * size(&start)).filter(|map| map.inverse().is_some())
}

/// The product around the places that agree.
fn around(places: &[(f32, f32)], product: &GrayImage, side: f32) -> GrayImage {
    let (w, h) = product.dimensions();
    let mut points = GrayImage::new(w, h);
    for (x, y) in places {
        points.put_pixel((*x as u32).min(w - 1), (*y as u32).min(h - 1), image::Luma([255]));
    }
    let reach = (AROUND * side) as u32;
    let near = mask::close(&mask::dilate(&points, reach), 2 * reach);
    mask::intersection(&near, &mask::erode(&mask::threshold(product, 128), 3))
}

/// Settles a map on the lightness of the part by Gauss-Newton steps on the normalised
/// correlation (Evangelidis and Psarakis, PAMI 2008), coarse then fine, and returns it with
/// the correlation; `None` when the part leaves the candidate or shows no contrast.
fn settle(reference: &Plane, candidate: &Plane, part: &GrayImage, start: Affine) -> Option<(Affine, f32)> {
    let all: Vec<(f32, f32)> = part
        .enumerate_pixels()
        .filter(|(_, _, p)| p.0[0] > 127)
        .map(|(x, y, _)| (x as f32 + 0.5, y as f32 + 0.5))
        .collect();
    let step = all.len().div_ceil(6000).max(1);
    let pixels: Vec<(f32, f32)> = all.into_iter().step_by(step).collect();
    let mut map = start;
    let mut correlation = -1.0;
    for sigma in [4.0, 2.0] {
        let (r, c) =
            (blur::gaussian(reference, sigma), blur::gaussian(candidate, sigma * size(&start).min(1.5)));
        let mut next;
        (next, correlation) = newton(&r, &c, &pixels, &map)?;
        for _ in 0..12 {
            let (after, later) = newton(&r, &c, &pixels, &next)?;
            if later <= correlation + 1e-4 {
                break;
            }
            (map, next, correlation) = (next, after, later);
        }
    }
    Some((map, correlation))
}

/// One step and the correlation before it.
fn newton(
    reference: &Plane,
    candidate: &Plane,
    pixels: &[(f32, f32)],
    map: &Affine,
) -> Option<(Affine, f32)> {
    let n = pixels.len() as f64;
    if pixels.len() < 100 {
        return None;
    }
    let (w, h) = (candidate.width as f32, candidate.height as f32);
    let places: Vec<(f32, f32)> = pixels.iter().map(|p| map.apply(p.0, p.1)).collect();
    let outside = places.iter().filter(|(x, y)| *x < 0.0 || *y < 0.0 || *x >= w || *y >= h).count();
    if outside * 5 > places.len() {
        return None;
    }
    let a: Vec<f64> = pixels.iter().map(|p| f64::from(sample(reference, p.0, p.1))).collect();
    let b: Vec<f64> = places.iter().map(|p| f64::from(sample(candidate, p.0, p.1))).collect();
    let moments = |v: &[f64]| {
        let mean = v.iter().sum::<f64>() / n;
        (mean, (v.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt())
    };
    let ((ma, sa), (mb, sb)) = (moments(&a), moments(&b));
    if sa.min(sb) < f64::from(CONTRAST_MIN) {
        return None;
    }
    let correlation = a.iter().zip(&b).map(|(x, y)| (x - ma) * (y - mb)).sum::<f64>() / (n * sa * sb);
    let (mut matrix, mut right) = (Matrix6::<f64>::zeros(), Vector6::<f64>::zeros());
    for (((p, q), x), y) in pixels.iter().zip(&places).zip(&a).zip(&b) {
        let gx = f64::from(sample(candidate, q.0 + 1.0, q.1) - sample(candidate, q.0 - 1.0, q.1)) / 2.0;
        let gy = f64::from(sample(candidate, q.0, q.1 + 1.0) - sample(candidate, q.0, q.1 - 1.0)) / 2.0;
        let (u, v) = (f64::from(p.0), f64::from(p.1));
        let row = Vector6::new(gx * u, gx * v, gx, gy * u, gy * v, gy) / sb;
        let rest = (x - ma) / sa - (y - mb) / sb;
        matrix += row * row.transpose();
        right += row * rest;
    }
    let ridge = 1e-9 * matrix.trace() + 1e-12;
    let step = (matrix + Matrix6::identity() * ridge).cholesky()?.solve(&right);
    let [a1, b1, t1, c1, d1, t2] = [0, 1, 2, 3, 4, 5].map(|i| step[i] as f32);
    let next = Affine {
        a: map.a + a1,
        b: map.b + b1,
        c: map.c + c1,
        d: map.d + d1,
        tx: map.tx + t1,
        ty: map.ty + t2,
    };
    Some((next, correlation as f32))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use super::super::Similarity;
    use super::*;
    use image::Rgb;

    /// A plain product with one print on it, drawn through the inverse of a map; what lies beyond
    /// `edge` of the product is turned away.
    fn draw(w: u32, h: u32, back: &Affine, edge: f32) -> (RgbImage, GrayImage) {
        let mut mask = GrayImage::new(w, h);
        let rgb = RgbImage::from_fn(w, h, |x, y| {
            let (u, v) = back.apply(x as f32 + 0.5, y as f32 + 0.5);
            if !(40.0..edge).contains(&u) || !(30.0..330.0).contains(&v) {
                return Rgb([236, 238, 240]);
            }
            mask.put_pixel(x, y, image::Luma([255]));
            let print = (100.0..190.0).contains(&u) && (120.0..240.0).contains(&v);
            let (i, j) = ((u / 11.0) as u32, (v / 14.0) as u32);
            let hash = (i.wrapping_mul(2_654_435_761) ^ j.wrapping_mul(40_503)).wrapping_mul(97) >> 9;
            let inked = print && hash % 3 > 0 && ((u % 11.0) - 5.0).hypot((v % 14.0) - 7.0) < 5.0;
            if inked { Rgb([240, 236, 220]) } else { Rgb([150, 40, 50]) }
        });
        (rgb, mask)
    }

    #[test]
    fn a_print_is_found_on_a_product_that_was_turned_away() {
        let (reference, mask) = draw(380, 360, &Similarity::IDENTITY.to_affine(), 340.0);
        let truth = Affine { a: 0.6, b: 0.1, c: -0.08, d: 1.05, tx: 90.0, ty: 40.0 };
        let (candidate, _) = draw(420, 430, &truth.inverse().expect("back"), 220.0);
        let found = part(&reference, &mask, &candidate).expect("the print");
        assert!(found.correlation > 0.85 && found.share < 0.6, "{found:?}");
        for (x, y) in [(110.0, 130.0), (180.0, 230.0)] {
            let (a, b) = (truth.apply(x, y), found.affine.apply(x, y));
            assert!((a.0 - b.0).hypot(a.1 - b.1) < 2.0, "{a:?} {b:?}");
        }
    }

    #[test]
    fn a_product_without_the_print_has_no_part_in_common() {
        let still = Similarity::IDENTITY.to_affine();
        let (reference, mask) = draw(380, 360, &still, 340.0);
        let (mut other, _) = draw(380, 360, &still, 340.0);
        for pixel in other.pixels_mut().filter(|p| p.0[0] == 240) {
            *pixel = Rgb([150, 40, 50]);
        }
        assert!(part(&reference, &mask, &other).is_none());
        for (w, h) in [(1, 1), (50, 3), (60, 60)] {
            assert!(part(&reference, &mask, &RgbImage::new(w, h)).is_none());
        }
    }
}
