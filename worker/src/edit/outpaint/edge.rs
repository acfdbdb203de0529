//! Continuing one edge of an image.

use image::{GrayImage, Luma, Rgb, RgbImage};
use packshot_imaging::blur::{Plane, gaussian};

use super::super::inpaint::random;

/// Which edge.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    Left,
    Right,
    Top,
    Bottom,
}

impl Side {
    fn word(self) -> &'static str {
        match self {
            Side::Left => "left",
            Side::Right => "right",
            Side::Top => "top",
            Side::Bottom => "bottom",
        }
    }

    /// Pixel of an image of this size at `along` the edge and `deep` px inside it.
    fn pixel(self, along: u32, deep: u32, (w, h): (u32, u32)) -> (u32, u32) {
        match self {
            Side::Left => (deep, along),
            Side::Right => (w - 1 - deep, along),
            Side::Top => (along, deep),
            Side::Bottom => (along, h - 1 - deep),
        }
    }

    /// Length of this edge and how far it reaches in, for an image of this size.
    fn extent(self, (w, h): (u32, u32)) -> (u32, u32) {
        match self {
            Side::Left | Side::Right => (h, w),
            Side::Top | Side::Bottom => (w, h),
        }
    }
}

/// A wider image.
pub(super) struct Continued {
    pub(super) image: RgbImage,
    /// The wider mask of pixels that may be continued.
    pub(super) free: GrayImage,
}

/// Deviation from smooth, in levels, that 99 % of the edge must stay under.
const STRAY_MAX: f32 = 7.0;
/// Deviation from smooth, in levels, as a root mean square.
const PATTERN_MAX: f32 = 2.6;
/// Largest distance, in levels, of the smoothed edge from a parabola, which is what a backdrop's
/// light draws.
const UNEVEN_MAX: f32 = 7.0;
/// Side of a grain tile in px; tiles overlap by half.
const TILE: usize = 16;

/// The strip of pixels along an edge, as planes with `along` across and `deep` down.
struct Strip {
    length: usize,
    depth: usize,
    planes: [Vec<f32>; 3],
}

/// Widens `image` by `by` px at `side`. The reason in words where that cannot be honest.
pub(super) fn continued(
    image: &RgbImage,
    free: &GrayImage,
    side: Side,
    by: u32,
) -> Result<Continued, String> {
    let size = image.dimensions();
    let (length, reach) = side.extent(size);
    let depth = (reach / 12).clamp(6, 48).min(reach);
    let word = side.word();
    for along in 0..length {
        for deep in 0..depth {
            let (x, y) = side.pixel(along, deep, size);
            if free.get_pixel(x, y).0[0] < 128 {
                return Err(format!(
                    "the product or a transparent area reaches the {word} edge; its continuation would be invented"
                ));
            }
        }
    }
    let strip = Strip::of(image, side, length, depth);
    strip.check(word)?;
    let grown = strip.extended(by as usize);
    let (w, h) = match side {
        Side::Left | Side::Right => (size.0 + by, size.1),
        Side::Top | Side::Bottom => (size.0, size.1 + by),
    };
    let (x0, y0) = match side {
        Side::Left => (by, 0),
        Side::Top => (0, by),
        Side::Right | Side::Bottom => (0, 0),
    };
    let mut wide = RgbImage::new(w, h);
    for (k, rgb) in grown.into_iter().enumerate() {
        let (along, out) = ((k % length as usize) as u32, (k / length as usize) as u32);
        let (x, y) = match side {
            Side::Left => (by - 1 - out, along),
            Side::Right => (size.0 + out, along),
            Side::Top => (along, by - 1 - out),
            Side::Bottom => (along, size.1 + out),
        };
        wide.put_pixel(x, y, Rgb(rgb));
    }
    image::imageops::replace(&mut wide, image, i64::from(x0), i64::from(y0));
    let mut wide_free = GrayImage::from_pixel(w, h, Luma([255]));
    image::imageops::replace(&mut wide_free, free, i64::from(x0), i64::from(y0));
    Ok(Continued { image: wide, free: wide_free })
}

impl Strip {
    fn of(image: &RgbImage, side: Side, length: u32, depth: u32) -> Strip {
        let planes = std::array::from_fn(|c| {
            (0..depth)
                .flat_map(|deep| (0..length).map(move |along| (along, deep)))
                .map(|(along, deep)| {
                    let (x, y) = side.pixel(along, deep, image.dimensions());
                    f32::from(image.get_pixel(x, y).0[c])
                })
                .collect()
        });
        Strip { length: length as usize, depth: depth as usize, planes }
    }

    fn blurred(&self, plane: &[f32], sigma: f32) -> Vec<f32> {
        gaussian(&Plane { width: self.length as u32, height: self.depth as u32, data: plane.to_vec() }, sigma)
            .data
    }

    /// Whether the edge is plain enough to go on by itself.
    fn check(&self, word: &str) -> Result<(), String> {
        let wide = (self.length as f32 / 24.0).max(8.0);
        let mut strays = Vec::new();
        let mut squares = 0.0;
        for plane in &self.planes {
            let (fine, coarse) = (self.blurred(plane, 2.0), self.blurred(plane, wide));
            for (a, b) in fine.iter().zip(&coarse) {
                strays.push((a - b).abs());
                squares += (a - b).powi(2);
            }
            let uneven = unevenness(&coarse[..self.length]);
            if uneven > UNEVEN_MAX {
                return Err(format!(
                    "along the {word} edge the light changes by {uneven:.0} levels as no plain background does: a shadow or an object reaches it; clean the background first"
                ));
            }
        }
        let pattern = (squares / strays.len().max(1) as f32).sqrt();
        strays.sort_by(f32::total_cmp);
        let stray = strays[(strays.len() - 1) * 99 / 100];
        if stray > STRAY_MAX || pattern > PATTERN_MAX {
            return Err(format!(
                "the {word} edge is not plain: it strays {stray:.0} levels from smooth ({STRAY_MAX:.0} are allowed), so its continuation would be invented"
            ));
        }
        Ok(())
    }

    /// `by` new rows beyond the edge, nearest first, as pixels.
    fn extended(&self, by: usize) -> Vec<[u8; 3]> {
        let mut out = vec![[0_u8; 3]; self.length * by];
        let places = self.tiles(by);
        for (channel, plane) in self.planes.iter().enumerate() {
            let smooth = self.blurred(plane, 2.5);
            let grain: Vec<f32> = plane.iter().zip(&smooth).map(|(a, b)| a - b).collect();
            let laid = self.grain(&grain, by, &places);
            let (near, far, slope) = self.ends(&smooth);
            let fade = self.depth as f32 * 2.0;
            for row in 0..by {
                let distance = row as f32 + 1.0;
                // Small unevenness of the edge fades out, the slope of the light levels off.
                let blend = 1.0 - (-distance / fade).exp();
                let rise = blend * fade;
                for along in 0..self.length {
                    let base = near[along] + (far[along] - near[along]) * blend + slope[along] * rise;
                    let at = row * self.length + along;
                    out[at][channel] = (base + laid[at]).round().clamp(0.0, 255.0) as u8;
                }
            }
        }
        out
    }

    /// Colour at the edge, the same without its small unevenness, and its slope outwards per
    /// px, for every place along the edge.
    fn ends(&self, smooth: &[f32]) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
        let along = |values: Vec<f32>, sigma: f32| {
            gaussian(&Plane { width: self.length as u32, height: 1, data: values }, sigma).data
        };
        let half = (self.depth / 2).max(1);
        let mean = |rows: std::ops::Range<usize>| {
            let count = rows.len().max(1) as f32;
            (0..self.length)
                .map(|x| rows.clone().map(|y| smooth[y * self.length + x]).sum::<f32>() / count)
                .collect::<Vec<f32>>()
        };
        let near = along(smooth[..self.length].to_vec(), 1.5);
        let wide = (self.length as f32 / 16.0).max(4.0);
        let far = along(mean(0..half), wide);
        let slope = if self.depth >= 4 {
            let (outer, inner) = (mean(0..half), mean(half..self.depth));
            let step = (self.depth - half) as f32 / 2.0 + half as f32 / 2.0;
            outer.iter().zip(&inner).map(|(a, b)| (a - b) / step).collect()
        } else {
            vec![0.0; self.length]
        };
        // Steeper than this is a fold or an object's shadow and would run away.
        let slope = along(slope, wide * 2.0).into_iter().map(|v| v.clamp(-0.12, 0.12)).collect();
        (near, far, slope)
    }

    /// For every tile of the new rows, where in the strip its grain comes from.
    fn tiles(&self, by: usize) -> Vec<(usize, usize)> {
        let step = TILE / 2;
        let (across, down) = (self.length.div_ceil(step) + 1, by.div_ceil(step) + 1);
        let mut seed = 0x0dd_ba11_u64 ^ self.length as u64;
        let span = |room: usize| room.saturating_sub(TILE) as u64 + 1;
        (0..across * down)
            .map(|_| {
                (
                    (random(&mut seed) % span(self.length)) as usize,
                    (random(&mut seed) % span(self.depth)) as usize,
                )
            })
            .collect()
    }

    /// Grain of the strip laid over the new rows in overlapping tiles; the squares of the
    /// weights add up to one, so it is as strong as in the strip.
    fn grain(&self, grain: &[f32], by: usize, places: &[(usize, usize)]) -> Vec<f32> {
        let mut laid = vec![0.0; self.length * by];
        let step = TILE / 2;
        let across = self.length.div_ceil(step) + 1;
        let hat = |k: usize| (std::f32::consts::PI * (k as f32 + 0.5) / TILE as f32).sin();
        for (tile, (px, py)) in places.iter().enumerate() {
            let (x0, y0) = (
                (tile % across * step) as isize - step as isize,
                (tile / across * step) as isize - step as isize,
            );
            for k in 0..TILE * TILE {
                let (dx, dy) = (k % TILE, k / TILE);
                let (x, y) = (x0 + dx as isize, y0 + dy as isize);
                if x < 0 || y < 0 || x as usize >= self.length || y as usize >= by {
                    continue;
                }
                let from = (py + dy).min(self.depth - 1) * self.length + (px + dx).min(self.length - 1);
                laid[y as usize * self.length + x as usize] += grain[from] * hat(dx) * hat(dy);
            }
        }
        laid
    }
}

/// Largest distance of `profile` from the parabola through it.
fn unevenness(profile: &[f32]) -> f32 {
    let count = profile.len().max(1) as f32;
    let x = |at: usize| 2.0 * (at as f32 + 0.5) / count - 1.0;
    let bend = (0..profile.len()).map(|at| x(at).powi(2)).sum::<f32>() / count;
    // Constant, slope and bend are orthogonal on an even grid.
    let share = |f: &dyn Fn(f32) -> f32| {
        let (mut top, mut bottom) = (0.0, 1e-6);
        for (at, value) in profile.iter().enumerate() {
            top += value * f(x(at));
            bottom += f(x(at)).powi(2);
        }
        top / bottom
    };
    let (mean, slope, curve) = (share(&|_| 1.0), share(&|x| x), share(&|x| x * x - bend));
    let model = |at: usize| mean + slope * x(at) + curve * (x(at).powi(2) - bend);
    profile.iter().enumerate().map(|(at, value)| (value - model(at)).abs()).fold(0.0, f32::max)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use super::*;

    #[test]
    fn light_is_a_parabola_and_a_shadow_is_not() {
        let light: Vec<f32> =
            (0..200).map(|at| 200.0 + at as f32 * 0.2 - (at as f32 * 0.05).powi(2)).collect();
        assert!(unevenness(&light) < 0.5, "{}", unevenness(&light));
        let shadow: Vec<f32> = light
            .iter()
            .enumerate()
            .map(|(at, v)| v - if (80..120).contains(&at) { 30.0 } else { 0.0 })
            .collect();
        assert!(unevenness(&shadow) > UNEVEN_MAX);
        assert_eq!(unevenness(&[]), 0.0);
    }
}
