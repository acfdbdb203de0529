//! Style: other surroundings, in a category's look or in that of a reference picture.
//!
//! From a picture only palette and light are taken: the colours of what is behind and under
//! its subject, where the two meet, and from which side they are lit. Its subject, its
//! objects and its marks are not. The product stays byte for byte.

use image::{Rgb, RgbImage};
use packshot_imaging::mask;
use packshot_imaging::resize::resize_rgb;

use super::behind::{Shade, dither, put};
use super::cutout::product_of;
use super::settings::Settings;
use super::{EditError, EditRequest, Outcome};

/// Side of the small picture from which the look is read, in px.
const LOOK_SIDE: u32 = 96;
/// Difference of wall and floor, in levels, from which there is a horizon.
const HORIZON_MIN: f32 = 9.0;
/// Space between the product's foot and the horizon, as a share of the frame's height.
const FOOTING: f32 = 0.10;
/// Coverage from which a pixel counts for the product's bounds.
const PRODUCT: u8 = 16;

/// Runs the operation. A picture is taken before a category.
pub(super) fn run(request: &EditRequest, settings: &Settings) -> Result<Outcome, EditError> {
    let op = request.op.word();
    let look = match (request.picture, settings.word("category")) {
        (Some(picture), _) => Look::of_picture(picture),
        (None, "none") => {
            let why = "say which style: category=beauty|jewellery|fashion|furniture|tech|food, or a picture";
            return Err(EditError::Refused { op, why: why.into() });
        }
        (None, category) => Look::of_category(category),
    };
    let cutout = product_of(request)?;
    let bounds = mask::bounds(&cutout.alpha, PRODUCT)
        .ok_or_else(|| EditError::Product { op, why: "the cut-out is empty".into() })?;
    let (w, h) = request.image.dimensions();
    let foot = (bounds.y + bounds.h) as f32 / h as f32;
    let background = look.rendered(w, h, foot);
    let from = if request.picture.is_some() { "the picture" } else { settings.word("category") };
    let mut notes = vec![format!("surroundings in the style of {from}: {}", look.words())];
    if look.horizon.is_some() && foot - FOOTING < 0.15 {
        notes.push("the product is too high in the frame for a horizon behind it".into());
    }
    put(request, &cutout, &background, &Shade::contact(&cutout.alpha), notes)
}

/// Palette and light of surroundings, in linear-free sRGB levels over a unit frame.
#[derive(Clone, PartialEq, Debug)]
struct Look {
    wall: Patch,
    floor: Patch,
    /// Where the floor meets the wall, as a share of the height; `None` = a sweep.
    horizon: Option<f32>,
}

/// A colour with the slope of its light, in levels from the middle to the edge of the frame.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Patch {
    middle: [f32; 3],
    across: [f32; 3],
    down: [f32; 3],
}

/// A place in -1..1 across and down, and its colour.
type Sample = (f32, f32, [f32; 3]);

impl Patch {
    fn at(&self, x: f32, y: f32) -> [f32; 3] {
        std::array::from_fn(|c| self.middle[c] + self.across[c] * x + self.down[c] * y)
    }

    /// The plane through samples at (x, y) in -1..1, robust by two rounds of trimming.
    fn through(samples: &[Sample]) -> Patch {
        let mut patch = Patch { middle: [245.0; 3], across: [0.0; 3], down: [0.0; 3] };
        for c in 0..3 {
            let mut values: Vec<f32> = samples.iter().map(|sample| sample.2[c]).collect();
            if values.is_empty() {
                continue;
            }
            values.sort_by(f32::total_cmp);
            let median = values[values.len() / 2];
            let kept: Vec<&Sample> = samples.iter().filter(|s| (s.2[c] - median).abs() < 30.0).collect();
            let count = kept.len().max(1) as f32;
            let mean = |f: &dyn Fn(&Sample) -> f32| kept.iter().map(|s| f(s)).sum::<f32>() / count;
            let (mx, my, mv) = (mean(&|s| s.0), mean(&|s| s.1), mean(&|s| s.2[c]));
            let slope = |of: &dyn Fn(&Sample) -> f32, middle: f32| {
                let top = mean(&|s| (of(s) - middle) * (s.2[c] - mv));
                let bottom = mean(&|s| (of(s) - middle).powi(2));
                if bottom > 1e-3 { (top / bottom).clamp(-40.0, 40.0) } else { 0.0 }
            };
            patch.across[c] = slope(&|s| s.0, mx);
            patch.down[c] = slope(&|s| s.1, my);
            patch.middle[c] = mv - patch.across[c] * mx - patch.down[c] * my;
        }
        patch
    }
}

impl Look {
    /// Reads the surroundings of a picture from its left, right and top margin and its foot,
    /// where its subject is not.
    fn of_picture(picture: &RgbImage) -> Look {
        let small = resize_rgb(picture, LOOK_SIDE, LOOK_SIDE);
        let unit = |v: u32| (v as f32 + 0.5) / LOOK_SIDE as f32 * 2.0 - 1.0;
        let margin = LOOK_SIDE / 5;
        let rows: Vec<[f32; 3]> = (0..LOOK_SIDE)
            .map(|y| {
                let beside: Vec<[u8; 3]> = (0..margin)
                    .chain(LOOK_SIDE - margin..LOOK_SIDE)
                    .map(|x| small.get_pixel(x, y).0)
                    .collect();
                std::array::from_fn(|c| {
                    let mut values: Vec<u8> = beside.iter().map(|p| p[c]).collect();
                    values.sort_unstable();
                    f32::from(values[values.len() / 2])
                })
            })
            .collect();
        let horizon = horizon(&rows);
        let split = horizon.map_or(LOOK_SIDE, |share| (share * LOOK_SIDE as f32) as u32);
        let mut walls = Vec::new();
        let mut floors = Vec::new();
        for (x, y, pixel) in small.enumerate_pixels() {
            let beside = x < margin || x >= LOOK_SIDE - margin;
            let sample = (unit(x), unit(y), pixel.0.map(f32::from));
            if y < split && (beside || y < margin) {
                walls.push(sample);
            } else if y >= split && (beside || y >= LOOK_SIDE - margin) {
                floors.push(sample);
            }
        }
        let wall = Patch::through(&walls);
        let floor = if floors.is_empty() { wall } else { Patch::through(&floors) };
        Look { wall, floor, horizon }
    }

    /// The look of a category: calm surroundings that suit its goods.
    fn of_category(category: &str) -> Look {
        let (wall, floor, horizon): ([u8; 3], [u8; 3], Option<f32>) = match category {
            "beauty" => ([243, 224, 217], [236, 212, 203], Some(0.66)),
            "jewellery" => ([58, 60, 68], [44, 45, 52], Some(0.64)),
            "fashion" => ([226, 222, 214], [214, 208, 198], None),
            "furniture" => ([222, 216, 205], [178, 148, 116], Some(0.68)),
            "tech" => ([206, 212, 220], [184, 191, 201], Some(0.66)),
            _ => ([240, 232, 216], [205, 173, 134], Some(0.62)),
        };
        let lit = |colour: [u8; 3], across: f32, down: f32| Patch {
            middle: colour.map(f32::from),
            across: [across; 3],
            down: [down; 3],
        };
        // A soft key light from the upper left, as in the drawn contact shadow.
        Look { wall: lit(wall, -9.0, -5.0), floor: lit(floor, -6.0, 5.0), horizon }
    }

    fn words(&self) -> String {
        let hex = |patch: &Patch| {
            let [r, g, b] = patch.middle.map(|v| v.round().clamp(0.0, 255.0) as u8);
            format!("#{r:02x}{g:02x}{b:02x}")
        };
        match self.horizon {
            Some(_) => format!("wall {}, floor {}", hex(&self.wall), hex(&self.floor)),
            None => format!("a sweep of {}", hex(&self.wall)),
        }
    }

    /// The surroundings for a product that stands with its foot at the share `foot` of the
    /// height: the horizon lies behind it, out of focus.
    fn rendered(&self, w: u32, h: u32, foot: f32) -> RgbImage {
        let horizon = self.horizon.map(|own| own.min(foot - FOOTING)).filter(|share| *share >= 0.15);
        RgbImage::from_fn(w, h, |x, y| {
            let (u, v) = ((x as f32 + 0.5) / w as f32, (y as f32 + 0.5) / h as f32);
            let (cx, cy) = (u * 2.0 - 1.0, v * 2.0 - 1.0);
            let share = horizon.map_or(0.0, |line| {
                let t = ((v - line) / 0.012 + 0.5).clamp(0.0, 1.0);
                t * t * (3.0 - 2.0 * t)
            });
            let (wall, floor) = (self.wall.at(cx, cy), self.floor.at(cx, cy));
            // The wall darkens a little towards the floor, as walls do.
            let crease = horizon.map_or(1.0, |line| 1.0 - 0.05 * (-((v - line) / 0.05).powi(2)).exp());
            let noise = dither(x, y) * 1.6;
            Rgb(std::array::from_fn(|c| {
                let value = (wall[c] * (1.0 - share) + floor[c] * share) * crease;
                (value + noise).round().clamp(0.0, 255.0) as u8
            }))
        })
    }
}

/// The row, as a share of the height, at which the margin changes most from above to below;
/// `None` when it changes little or gradually.
fn horizon(rows: &[[f32; 3]]) -> Option<f32> {
    let band = 8;
    let mean = |range: std::ops::Range<usize>, c: usize| {
        let count = range.len() as f32;
        rows[range].iter().map(|row| row[c]).sum::<f32>() / count
    };
    let mut best = (0.0, 0);
    for at in rows.len() / 5..rows.len() * 9 / 10 {
        let step = (0..3)
            .map(|c| (mean(at.saturating_sub(band)..at, c) - mean(at..(at + band).min(rows.len()), c)).abs())
            .sum::<f32>()
            / 3.0;
        // A change that is sharp, not the slope of a sweep.
        let sharp = (0..3).map(|c| (rows[at][c] - rows[at.saturating_sub(3)][c]).abs()).sum::<f32>() / 3.0;
        let score = step.min(sharp * 1.6);
        if score > best.0 {
            best = (score, at);
        }
    }
    (best.0 > HORIZON_MIN).then(|| best.1 as f32 / rows.len() as f32)
}
