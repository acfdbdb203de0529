//! Detail: one close fact at the reference's own resolution. Nothing is enlarged, nothing
//! is invented; a reference too small for it is a reason to skip.

use image::GrayImage;
use packshot_imaging::composite::{Grain, render};
use packshot_imaging::metadata::DigitalSourceType;
use packshot_imaging::photo::Cutout;
use packshot_imaging::register::Similarity;
use packshot_pipeline::facts::{Facts, ProtectedKind};

use super::seed;
use super::subject::Subject;
use crate::generate::{Candidate, Frame, Made, MakeRequest};

/// Smallest side worth publishing, in pixels of the reference.
const SIDE_MIN: u32 = 800;
/// Largest side: more shows the whole product again instead of a detail.
const SIDE_MAX: u32 = 1600;
/// Share of a good crop that is product.
const COVERAGE_GOOD: f32 = 0.85;
/// Share under which a crop is mostly background.
const COVERAGE_MIN: f32 = 0.42;
/// A crop with more of the product than this is the main image again.
const SHARE_MAX: f64 = 0.9;
/// Step of the measuring grid, in pixels.
const CELL: u32 = 8;

pub(super) fn make(request: &MakeRequest<'_>) -> Made {
    let Some(subject) = Subject::new(request.cutout) else {
        return Made::skipped("the cut-out of the reference covers nothing");
    };
    let (w, h) = request.cutout.alpha.dimensions();
    if w.min(h) < SIDE_MIN || subject.longest() < SIDE_MIN as f32 * 0.9 {
        return Made::skipped(format!(
            "the product measures {:.0} px in the reference; a detail at its own resolution needs about {SIDE_MIN} px",
            subject.longest()
        ));
    }
    let map = DetailMap::of(request.cutout, request.facts);
    let side_max = SIDE_MAX.min(w).min(h).min((subject.longest() * 0.72) as u32).max(SIDE_MIN);
    let Some(crop) = map.best(side_max) else {
        return Made::skipped(format!(
            "no part of {SIDE_MIN} px is mostly product; a larger reference would allow a detail"
        ));
    };
    let shown = map.share(crop);
    if shown > SHARE_MAX {
        return Made::skipped(format!(
            "a crop of {} px shows {:.0} % of the product again; a larger reference would allow a detail",
            crop.side,
            shown * 100.0
        ));
    }
    let frame = cut(request, crop);
    Made::Candidate(Candidate {
        frames: vec![frame],
        source_type: DigitalSourceType::AlgorithmicallyEnhanced,
        notes: Vec::new(),
    })
}

/// A square of the reference.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Square {
    x: u32,
    y: u32,
    side: u32,
}

/// The square on a calm light backdrop.
fn cut(request: &MakeRequest<'_>, square: Square) -> Frame {
    let Square { x: x0, y: y0, side } = square;
    let (foreground, alpha) = (&request.cutout.foreground, &request.cutout.alpha);
    let backdrop = render(side, side, Grain { seed: seed(request), strength: 0.5 }, |y, row| {
        let down = y as f32 / side as f32;
        for (x, pixel) in row.iter_mut().enumerate() {
            let across = x as f32 / side as f32 - 0.4;
            let light = 0.86 - 0.10 * down * down - 0.06 * across * across;
            *pixel = [light, light * 0.993, light * 0.98];
        }
    });
    let mut image = backdrop;
    let mut product_mask = GrayImage::new(side, side);
    for y in 0..side {
        for x in 0..side {
            let coverage = alpha.get_pixel(x0 + x, y0 + y).0[0];
            let under = image.get_pixel(x, y).0;
            let over =
                packshot_imaging::composite::over(under, foreground.get_pixel(x0 + x, y0 + y).0, coverage);
            image.put_pixel(x, y, image::Rgb(over));
            product_mask.put_pixel(x, y, image::Luma([coverage]));
        }
    }
    Frame {
        name: String::new(),
        image,
        alpha: None,
        product_mask,
        placement: Similarity { scale: 1.0, angle: 0.0, tx: -(x0 as f32), ty: -(y0 as f32) },
        scale_factor: 1.0,
    }
}

/// Coverage and interest summed over a grid, for fast sums over squares.
struct DetailMap {
    w: usize,
    h: usize,
    coverage: Vec<f64>,
    interest: Vec<f64>,
}

impl DetailMap {
    fn of(cutout: &Cutout, facts: &Facts) -> Self {
        let (w, h) = ((cutout.alpha.width() / CELL) as usize, (cutout.alpha.height() / CELL) as usize);
        let mut coverage = vec![0.0; w * h];
        let mut interest = vec![0.0; w * h];
        for j in 0..h {
            for i in 0..w {
                let (x, y) = (i as u32 * CELL, j as u32 * CELL);
                let (covered, detail) = cell(cutout, x, y);
                let mut weight = 0.2;
                for region in &facts.protected {
                    let r = &region.region;
                    let inside = x + CELL > r.x
                        && x < r.x.saturating_add(r.w)
                        && y + CELL > r.y
                        && y < r.y.saturating_add(r.h);
                    if inside {
                        let kind = match region.kind {
                            ProtectedKind::Label => 1.6,
                            ProtectedKind::HighDetail => 1.0,
                        };
                        weight += kind * f64::from(region.strength.clamp(0.0, 1.0));
                    }
                }
                coverage[j * w + i] = covered;
                interest[j * w + i] = detail * weight;
            }
        }
        Self { w, h, coverage: integral(&coverage, w, h), interest: integral(&interest, w, h) }
    }

    /// The most telling square: much detail, much product, and its interest in the
    /// middle rather than at the rim.
    fn best(&self, side_max: u32) -> Option<Square> {
        let mut found: Option<(f64, Square)> = None;
        let sizes = [1.0, 0.8, 0.64].map(|share| ((side_max as f32 * share) as u32).max(SIDE_MIN));
        for side in sizes {
            let n = (side / CELL) as usize;
            if n == 0 || n > self.w || n > self.h {
                continue;
            }
            for j in (0..=self.h - n).step_by(2) {
                for i in (0..=self.w - n).step_by(2) {
                    let area = (n * n) as f64;
                    let covered = self.sum(&self.coverage, i, j, n) / area;
                    if covered < f64::from(COVERAGE_MIN) {
                        continue;
                    }
                    let core = n / 4;
                    let middle = self.sum(&self.interest, i + core, j + core, n - 2 * core);
                    let whole = self.sum(&self.interest, i, j, n);
                    let fullness = (covered / f64::from(COVERAGE_GOOD)).min(1.0);
                    let centred = self.sum(&self.coverage, i + core, j + core, n - 2 * core)
                        / ((n - 2 * core).pow(2)) as f64;
                    let score =
                        (middle * 0.7 + whole * 0.3) / (n as f64).powf(1.1) * (fullness * centred).powi(2);
                    if found.is_none_or(|(best, _)| score > best) {
                        found = Some((score, Square { x: i as u32 * CELL, y: j as u32 * CELL, side }));
                    }
                }
            }
        }
        found.map(|(_, square)| square)
    }

    /// Share of the whole product inside a square.
    fn share(&self, square: Square) -> f64 {
        let n = (square.side / CELL) as usize;
        let (i, j) = ((square.x / CELL) as usize, (square.y / CELL) as usize);
        let total = self.coverage.last().copied().unwrap_or(0.0).max(1.0);
        self.sum(&self.coverage, i, j, n) / total
    }

    fn sum(&self, table: &[f64], i: usize, j: usize, n: usize) -> f64 {
        let at = |i: usize, j: usize| table[j * (self.w + 1) + i];
        at(i + n, j + n) - at(i, j + n) - at(i + n, j) + at(i, j)
    }
}

/// Mean coverage (0 to 1) and mean detail of the cell at (x, y).
fn cell(cutout: &Cutout, x: u32, y: u32) -> (f64, f64) {
    let (w, h) = cutout.alpha.dimensions();
    let level = |x: u32, y: u32| {
        let p = cutout.foreground.get_pixel(x.min(w - 1), y.min(h - 1)).0;
        i32::from(p[0]) + 2 * i32::from(p[1]) + i32::from(p[2])
    };
    let (mut covered, mut detail) = (0_u32, 0_i32);
    for v in (y..(y + CELL).min(h)).step_by(2) {
        for u in (x..(x + CELL).min(w)).step_by(2) {
            let coverage = cutout.alpha.get_pixel(u, v).0[0];
            covered += u32::from(coverage);
            if coverage == 255 {
                let here = level(u, v);
                detail += ((level(u + 2, v) - here).abs() + (level(u, v + 2) - here).abs()).min(240);
            }
        }
    }
    let samples = f64::from((CELL / 2) * (CELL / 2));
    (f64::from(covered) / samples / 255.0, f64::from(detail) / samples)
}

/// Summed-area table with a row and a column of zeros in front.
fn integral(values: &[f64], w: usize, h: usize) -> Vec<f64> {
    let mut table = vec![0.0; (w + 1) * (h + 1)];
    for j in 0..h {
        let mut row = 0.0;
        for i in 0..w {
            row += values[j * w + i];
            table[(j + 1) * (w + 1) + i + 1] = table[j * (w + 1) + i + 1] + row;
        }
    }
    table
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use packshot_pipeline::role::Role;

    use crate::generate::Made;
    use crate::generate::studio::make;
    use crate::generate::studio::testing::{Case, disc};

    #[test]
    fn a_detail_is_the_reference_itself() {
        let case = Case::new("Mug", "kitchen", disc(2400, 2400, 0.47));
        let Made::Candidate(made) = make(&case.request(Role::Detail)) else { panic!("skipped") };
        let frame = &made.frames[0];
        assert!(frame.image.width() >= 800 && frame.image.width() == frame.image.height());
        let (dx, dy) = (-frame.placement.tx as u32, -frame.placement.ty as u32);
        for (x, y, pixel) in frame.image.enumerate_pixels() {
            if frame.product_mask.get_pixel(x, y).0[0] == 255 {
                assert_eq!(pixel, case.cutout.foreground.get_pixel(x + dx, y + dy));
            }
        }
    }

    #[test]
    fn a_small_reference_is_skipped_with_its_reason() {
        let case = Case::new("Mug", "kitchen", disc(700, 700, 0.4));
        let Made::Skipped { reason } = make(&case.request(Role::Detail)) else { panic!("made") };
        assert!(reason.contains("800 px"), "{reason}");
    }
}
