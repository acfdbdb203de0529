//! Rendered materials as repeating tiles: how light or dark, how warm, and how the
//! surface slopes, at several resolutions. A tile is computed once per process.

use std::sync::OnceLock;

use rayon::prelude::*;

use super::noise::Noise;
use crate::generate::studio::style::Material;

/// Texels along a tile's side.
const SIDE: usize = 1024;
/// Resolutions kept of each tile, each half the one before.
const LEVELS: usize = 8;

/// One texel or the mean of some: all four from -1 to 1.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Texel {
    /// Lighter or darker.
    pub tone: f32,
    /// Warmer or cooler.
    pub warmth: f32,
    /// Slope to the right.
    pub slope_x: f32,
    /// Slope downwards.
    pub slope_y: f32,
}

/// A tile with its coarser copies.
pub(super) struct Tile {
    levels: Vec<Vec<[i8; 4]>>,
}

/// How strongly a material shows its tile.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Finish {
    /// Side of the tile in millimetres.
    pub tile_mm: f32,
    /// Ratio of tone at texel value 1.
    pub tone: f32,
    /// Ratio of warmth at texel value 1.
    pub warmth: f32,
    /// Shading by slope.
    pub relief: f32,
    /// Strength of the same tile laid a second time at seven times the size, which breaks
    /// repetition and gives slow unevenness.
    pub slow: f32,
}

/// How `material` shows.
pub(super) fn finish(material: Material) -> Finish {
    let finish = |tile_mm, tone, warmth, relief, slow| Finish { tile_mm, tone, warmth, relief, slow };
    match material {
        Material::Paper => finish(160.0, 0.010, 0.004, 0.006, 0.5),
        Material::Plaster => finish(520.0, 0.075, 0.018, 0.05, 0.8),
        Material::Limestone => finish(380.0, 0.085, 0.02, 0.022, 0.6),
        Material::Travertine => finish(560.0, 0.11, 0.03, 0.02, 0.35),
        Material::Oak => finish(640.0, 0.20, 0.04, 0.02, 0.0),
        Material::Linen => finish(150.0, 0.12, 0.01, 0.05, 0.0),
        Material::Tiles => finish(600.0, 0.10, 0.02, 0.10, 0.0),
    }
}

/// The tile of `material`.
pub(super) fn tile(material: Material) -> &'static Tile {
    static TILES: [OnceLock<Tile>; 7] = [const { OnceLock::new() }; 7];
    let index = Material::ALL.iter().position(|m| *m == material).unwrap_or_default();
    TILES[index].get_or_init(|| Tile::new(material))
}

impl Tile {
    fn new(material: Material) -> Self {
        // Tone and warmth first, then slopes from the height, which the tone follows.
        let points: Vec<(f32, f32, f32)> = (0..SIDE * SIDE)
            .into_par_iter()
            .map(|index| {
                let (u, v) = ((index % SIDE) as f32 / SIDE as f32, (index / SIDE) as f32 / SIDE as f32);
                point(material, u, v)
            })
            .collect();
        let byte = |value: f32| (value.clamp(-1.0, 1.0) * 127.0).round() as i8;
        let finest: Vec<[i8; 4]> = (0..SIDE * SIDE)
            .into_par_iter()
            .map(|index| {
                let (i, j) = (index % SIDE, index / SIDE);
                let height = |i: usize, j: usize| points[(j % SIDE) * SIDE + i % SIDE].2;
                let dx = height(i + 1, j) - height(i + SIDE - 1, j);
                let dy = height(i, j + 1) - height(i, j + SIDE - 1);
                let (tone, warmth, _) = points[index];
                [byte(tone), byte(warmth), byte(dx * 2.0), byte(dy * 2.0)]
            })
            .collect();
        let mut levels = vec![finest];
        for level in 1..LEVELS {
            let side = SIDE >> level;
            let finer = &levels[level - 1];
            let coarser = (0..side * side)
                .map(|index| {
                    let (i, j) = (index % side * 2, index / side * 2);
                    let row = side * 2;
                    std::array::from_fn(|c| {
                        let sum = i32::from(finer[j * row + i][c])
                            + i32::from(finer[j * row + i + 1][c])
                            + i32::from(finer[(j + 1) * row + i][c])
                            + i32::from(finer[(j + 1) * row + i + 1][c]);
                        ((sum + 2) >> 2) as i8
                    })
                })
                .collect();
            levels.push(coarser);
        }
        Self { levels }
    }

    /// The tile at (`u`, `v`) in tiles, averaged over about `footprint` tiles.
    pub(super) fn at(&self, u: f32, v: f32, footprint: f32) -> Texel {
        let level = Self::level(footprint);
        let side = SIDE >> level;
        let texels = &self.levels[level];
        let (x, y) = (u * side as f32 - 0.5, v * side as f32 - 0.5);
        let (x0, y0) = (x.floor(), y.floor());
        let (fx, fy) = (x - x0, y - y0);
        let mask = side - 1;
        let (i0, j0) = (x0 as i64 as usize & mask, y0 as i64 as usize & mask);
        let (i1, j1) = ((i0 + 1) & mask, (j0 + 1) & mask);
        let (a, b) = (texels[j0 * side + i0], texels[j0 * side + i1]);
        let (c, d) = (texels[j1 * side + i0], texels[j1 * side + i1]);
        let (wa, wb) = ((1.0 - fx) * (1.0 - fy), fx * (1.0 - fy));
        let (wc, wd) = ((1.0 - fx) * fy, fx * fy);
        let blend = |n: usize| {
            (f32::from(a[n]) * wa + f32::from(b[n]) * wb + f32::from(c[n]) * wc + f32::from(d[n]) * wd)
                / 127.0
        };
        Texel { tone: blend(0), warmth: blend(1), slope_x: blend(2), slope_y: blend(3) }
    }

    fn level(footprint: f32) -> usize {
        let texels = (footprint * SIDE as f32).max(1.0);
        // NaN and infinities end at one of the two bounds.
        ((texels.log2() + 0.3) as usize).min(LEVELS - 1)
    }
}

/// Tone, warmth and height of a material at a point of its tile.
fn point(material: Material, u: f32, v: f32) -> (f32, f32, f32) {
    match material {
        Material::Paper => paper(u, v),
        Material::Plaster => plaster(u, v),
        Material::Limestone => limestone(u, v),
        Material::Travertine => travertine(u, v),
        Material::Oak => oak(u, v),
        Material::Linen => linen(u, v),
        Material::Tiles => tiles(u, v),
    }
}

fn paper(u: f32, v: f32) -> (f32, f32, f32) {
    let fibre = Noise(11).fractal(u, v, (96, 160), 3, 0.7);
    let cloud = Noise(12).fractal(u, v, (3, 3), 4, 0.5);
    (0.5 * fibre + 0.4 * cloud, cloud * 0.4, fibre * 0.4)
}

/// Clouds of pigment, long flat strokes of the trowel, fine grit.
fn plaster(u: f32, v: f32) -> (f32, f32, f32) {
    let warp = 0.05 * Noise(21).fractal(u, v, (3, 3), 3, 0.5);
    let cloud = Noise(22).fractal(u + warp, v - warp, (3, 3), 6, 0.52);
    let one = Noise(23).fractal(u + warp * 2.0, v + warp, (5, 22), 3, 0.5);
    let other = Noise(24).fractal(u - warp, v + warp * 2.0, (20, 6), 3, 0.5);
    let choice = smooth(-0.3, 0.3, Noise(25).at(u, v, 4, 4));
    let stroke = one + (other - one) * choice;
    let edge = (1.0 - stroke.abs() * 3.0).max(0.0);
    let grit = Noise(26).fractal(u, v, (170, 170), 2, 0.8);
    let tone = 0.42 * cloud + 0.16 * stroke - 0.10 * edge + 0.10 * grit;
    (tone, 0.5 * Noise(27).fractal(u, v, (2, 2), 3, 0.5), 0.30 * stroke + 0.5 * cloud + 0.22 * grit)
}

/// Fine grain, pale clouds, small darker and lighter flecks of shell.
fn limestone(u: f32, v: f32) -> (f32, f32, f32) {
    let cloud = Noise(31).fractal(u, v, (4, 4), 5, 0.55);
    let grain = Noise(32).fractal(u, v, (120, 120), 3, 0.75);
    let speck = Noise(33).at(u + 0.004 * grain, v, 210, 210);
    let shell = Noise(34).fractal(u, v, (60, 90), 2, 0.6);
    let dark = smooth(0.55, 0.85, speck);
    let light = smooth(0.75, 1.15, shell);
    let tone = 0.30 * cloud + 0.26 * grain - 0.42 * dark + 0.30 * light;
    (tone, 0.35 * cloud - 0.3 * dark, 0.35 * grain - 0.5 * dark)
}

/// Sediment: soft bands along the tile with rows of small pits.
fn travertine(u: f32, v: f32) -> (f32, f32, f32) {
    let bend =
        0.035 * Noise(41).fractal(u, v, (2, 3), 4, 0.5) + 0.004 * Noise(42).fractal(u, v, (12, 16), 3, 0.5);
    let w = v + bend;
    let band = Noise(43).fractal(u * 0.25, w, (4, 9), 5, 0.62);
    let fine = Noise(44).fractal(u, w, (6, 90), 3, 0.6);
    let grain = Noise(45).fractal(u, v, (150, 150), 2, 0.8);
    let rows = smooth(0.1, 0.7, Noise(46).fractal(u, w, (3, 16), 3, 0.5));
    let pit = smooth(0.42, 0.72, Noise(47).at(u, w, 46, 120)) * rows;
    let tone = 0.42 * band + 0.16 * fine + 0.10 * grain - 0.62 * pit;
    (tone, 0.6 * band - 0.2 * pit, 0.2 * grain - 0.9 * pit)
}

/// Boards along the tile, each with its own tone, run of the grain and pores.
fn oak(u: f32, v: f32) -> (f32, f32, f32) {
    const BOARDS: f32 = 4.0;
    let board = (v * BOARDS).floor();
    let across = v * BOARDS - board;
    let index = board as i32;
    let random = |n: u32| Noise(51 + n).cell(index, 7);
    // Each board is cut from another place of the tree.
    let (du, dv) = (random(0), random(1));
    let (s, t) = (u + du, across / BOARDS + dv);
    let wander = 0.012 * Noise(52).fractal(s, t, (2, 5), 3, 0.5);
    let figure = Noise(53).fractal(s, t + wander, (1, 26), 3, 0.6);
    let rings = Noise(54).fractal(s, t + wander * 1.4, (2, 96), 3, 0.65);
    let fibre = Noise(55).fractal(s, t + wander * 0.5, (14, 300), 2, 0.7);
    let pore = smooth(0.35, 0.75, Noise(56).at(s, t + wander * 0.5, 44, 420)) * smooth(-0.4, 0.5, rings);
    let seam = smooth(0.985, 0.997, (across - 0.5).abs() * 2.0);
    let tone =
        0.20 * figure + 0.26 * rings + 0.13 * fibre - 0.34 * pore + 0.35 * (random(2) - 0.5) - 0.95 * seam;
    (tone, 0.35 * figure + 0.5 * (random(3) - 0.5) - 0.2 * rings, 0.2 * fibre - 0.5 * pore - 1.2 * seam)
}

/// Plain weave with threads of uneven thickness.
fn linen(u: f32, v: f32) -> (f32, f32, f32) {
    const THREADS: f32 = 200.0;
    let wobble = |n: u32, along: f32, across: f32| 0.16 * Noise(60 + n).at(along, across, 40, 24);
    let x = u * THREADS + wobble(0, v, u);
    let y = v * THREADS + wobble(1, u, v);
    let (i, j) = (x.floor(), y.floor());
    let (fx, fy) = (x - i - 0.5, y - j - 0.5);
    let wrap = |n: f32| (n as i32).rem_euclid(THREADS as i32);
    let over = (wrap(i) + wrap(j)) % 2 == 0;
    let slub = |n: u32, line: f32, along: f32| {
        let own = Noise(63 + n).cell(wrap(line), 3) - 0.5;
        0.8 * own + 0.55 * Noise(65 + n).at(along, line / THREADS, 18, THREADS as u32)
    };
    // The thread on top shows its round back, the other one dips below it.
    let (round, dip, thread) = if over { (fx, fy, slub(0, i, v)) } else { (fy, fx, slub(1, j, u)) };
    let height = (1.0 - (2.0 * round).powi(2)).max(0.0) * (1.0 - 1.4 * dip * dip);
    let tone = 0.55 * (height - 0.55) + 0.40 * thread;
    (tone, 0.3 * thread, 0.6 * height + 0.2 * thread)
}

/// Square matte tiles, each a little different, with pale grout.
fn tiles(u: f32, v: f32) -> (f32, f32, f32) {
    const ACROSS: f32 = 6.0;
    let (x, y) = (u * ACROSS, v * ACROSS);
    let (i, j) = (x.floor(), y.floor());
    let own = Noise(71).cell(i as i32, j as i32) - 0.5;
    let warm = Noise(72).cell(i as i32, j as i32) - 0.5;
    let rim = ((x - i - 0.5).abs()).max((y - j - 0.5).abs()) * 2.0;
    let grout = smooth(0.95, 0.975, rim);
    let pillow = smooth(0.80, 0.96, rim);
    let glaze = Noise(73).fractal(u, v, (14, 14), 4, 0.55);
    let tone = (0.5 * own + 0.14 * glaze) * (1.0 - grout) - 0.42 * grout;
    (tone, warm * (1.0 - grout), -0.6 * pillow - 0.3 * grout + 0.05 * glaze)
}

/// 0 below `from`, 1 above `to`, smooth between.
pub(super) fn smooth(from: f32, to: f32, value: f32) -> f32 {
    let t = ((value - from) / (to - from)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use super::*;

    #[test]
    fn every_tile_is_balanced_and_shows_something() {
        for material in Material::ALL {
            let tile = tile(material);
            let tones: Vec<f32> = (0..4096)
                .map(|k| tile.at((k % 64) as f32 / 64.0, (k / 64) as f32 / 64.0, 0.0).tone)
                .collect();
            let mean = tones.iter().sum::<f32>() / 4096.0;
            assert!(mean.abs() < 0.35, "{material:?} {mean}");
            assert!(tones.iter().any(|t| (t - mean).abs() > 0.1), "{material:?}");
        }
    }

    #[test]
    fn any_place_can_be_asked_for() {
        let tile = tile(Material::Paper);
        for value in [0.0, -3.7, 1e9, f32::NAN, f32::INFINITY] {
            let _ = tile.at(value, value, value);
        }
    }
}
