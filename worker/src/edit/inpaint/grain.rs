//! Grain: the finest texture of the pixels around a hole, laid over what fills it.
//!
//! Every method of filling predicts a mean and so loses the finest band; on a product that
//! looks like plastic. The missing energy is made up with real grain, cut in overlapping
//! tiles from near and similar places and never stronger than what surrounds the hole.

use super::surface::smoothed;
use super::window::Window;

/// Side of a tile in px; tiles overlap by half.
const TILE: usize = 12;
/// Places looked at for each tile.
const TRIES: usize = 48;
/// Share of the surrounding fine energy that a filled tile should have.
const SHARE: f32 = 0.8;
/// Smoothing in px below which texture counts as grain.
const SIGMA: f32 = 1.5;

/// Brings the fine energy inside the hole of the filled `window` up to that of its
/// surroundings, plane by plane.
pub(super) fn lay(window: &mut Window) {
    let mut filled = window.clone();
    filled.usable.iter_mut().zip(&window.hole).for_each(|(usable, hole)| *usable |= hole);
    let smooth = smoothed(&filled, SIGMA);
    // Next to unusable pixels and to the hole the band is not grain but an edge.
    let clean = away_from_unusable(window, 3);
    let band: [Vec<f32>; 3] =
        std::array::from_fn(|c| window.planes[c].iter().zip(&smooth[c]).map(|(v, s)| v - s).collect());
    let places = places(window, &clean);
    if places.is_empty() {
        return;
    }
    let usual: [f32; 3] = std::array::from_fn(|c| usual_energy(window, &band[c], &places));
    let mut laid: [Vec<f32>; 3] = std::array::from_fn(|_| vec![0.0; window.hole.len()]);
    let step = TILE / 2;
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    for ty in (0..window.h + step).step_by(step) {
        for tx in (0..window.w + step).step_by(step) {
            let tile = Tile { x: tx as isize - step as isize, y: ty as isize - step as isize };
            lay_tile(window, tile, &band, &smooth[0], &places, &usual, &mut laid, &mut seed);
        }
    }
    for (plane, laid) in window.planes.iter_mut().zip(laid) {
        for ((value, grain), hole) in plane.iter_mut().zip(laid).zip(&window.hole) {
            if *hole {
                *value += grain;
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Tile {
    x: isize,
    y: isize,
}

#[allow(clippy::too_many_arguments, reason = "one call site; the arguments are the tables of one hole")]
fn lay_tile(
    window: &Window,
    tile: Tile,
    band: &[Vec<f32>; 3],
    level: &[f32],
    places: &[(usize, usize)],
    usual: &[f32; 3],
    laid: &mut [Vec<f32>; 3],
    seed: &mut u64,
) {
    let inside: Vec<(usize, usize, usize)> = (0..TILE * TILE)
        .filter_map(|k| {
            let (x, y) = (tile.x + (k % TILE) as isize, tile.y + (k / TILE) as isize);
            let fits = x >= 0 && y >= 0 && (x as usize) < window.w && (y as usize) < window.h;
            let at = if fits { y as usize * window.w + x as usize } else { 0 };
            (fits && window.hole[at]).then_some((k % TILE, k / TILE, at))
        })
        .collect();
    if inside.is_empty() {
        return;
    }
    let count = inside.len() as f32;
    let mean = inside.iter().map(|(_, _, at)| level[*at]).sum::<f32>() / count;
    let Some((px, py)) = best_place(window, band, level, places, usual, mean, seed) else { return };
    for channel in 0..3 {
        let now = inside.iter().map(|(_, _, at)| band[channel][*at].powi(2)).sum::<f32>() / count;
        let there = energy(window, &band[channel], (px, py));
        let missing = (SHARE * usual[channel] - now).max(0.0);
        let gain = (missing / there.max(1e-6)).sqrt().min(1.5);
        let limit = 3.0 * usual[channel].sqrt();
        for (dx, dy, at) in &inside {
            let grain = band[channel][(py + dy) * window.w + px + dx].clamp(-limit, limit);
            laid[channel][*at] += grain * gain * hat(*dx) * hat(*dy);
        }
    }
}

/// Overlapping by half, the squares of this window add up to one: the energy is kept.
fn hat(k: usize) -> f32 {
    (std::f32::consts::PI * (k as f32 + 0.5) / TILE as f32).sin()
}

/// Top left corners of tiles that lie wholly in clean pixels.
fn places(window: &Window, clean: &[bool]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for y in (0..window.h.saturating_sub(TILE - 1)).step_by(2) {
        for x in (0..window.w.saturating_sub(TILE - 1)).step_by(2) {
            if (0..TILE).all(|dy| clean[(y + dy) * window.w + x..][..TILE].iter().all(|clean| *clean)) {
                found.push((x, y));
            }
        }
    }
    found
}

fn away_from_unusable(window: &Window, reach: usize) -> Vec<bool> {
    let (w, h) = (window.w, window.h);
    let mut across = window.usable.clone();
    for (at, usable) in window.usable.iter().enumerate() {
        if !usable {
            let (x, y) = (at % w, at / w);
            across[y * w + x.saturating_sub(reach)..=y * w + (x + reach).min(w - 1)].fill(false);
        }
    }
    let mut clean = across.clone();
    for (at, usable) in across.iter().enumerate() {
        if !usable {
            let (x, y) = (at % w, at / w);
            for y in y.saturating_sub(reach)..=(y + reach).min(h - 1) {
                clean[y * w + x] = false;
            }
        }
    }
    clean
}

fn energy(window: &Window, band: &[f32], (x, y): (usize, usize)) -> f32 {
    let row = |dy: usize| band[(y + dy) * window.w + x..][..TILE].iter().map(|v| v * v).sum::<f32>();
    (0..TILE).map(row).sum::<f32>() / (TILE * TILE) as f32
}

/// The median over the tiles: edges and letters nearby do not count as grain.
fn usual_energy(window: &Window, band: &[f32], places: &[(usize, usize)]) -> f32 {
    let stride = (places.len() / 400).max(1);
    let mut all: Vec<f32> = places.iter().step_by(stride).map(|place| energy(window, band, *place)).collect();
    all.sort_by(f32::total_cmp);
    all[all.len() / 2]
}

fn best_place(
    window: &Window,
    band: &[Vec<f32>; 3],
    level: &[f32],
    places: &[(usize, usize)],
    usual: &[f32; 3],
    mean: f32,
    seed: &mut u64,
) -> Option<(usize, usize)> {
    let mut best = None;
    let mut least = f32::MAX;
    for _ in 0..TRIES {
        let (x, y) = places[(random(seed) % places.len() as u64) as usize];
        let there = energy(window, &band[0], (x, y));
        let loud = ((there + 0.05) / (usual[0] + 0.05)).ln().abs();
        let off = (level[(y + TILE / 2) * window.w + x + TILE / 2] - mean).abs() / 24.0;
        if loud + off < least {
            least = loud + off;
            best = Some((x, y));
        }
    }
    best
}

/// A step of splitmix64 (Steele, Lea, Flood 2014).
pub(in crate::edit) fn random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
