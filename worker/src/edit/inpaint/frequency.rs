//! Frequency-selective extrapolation: the known pixels around a small block are matched by a
//! few two-dimensional waves, and the waves go on inside the hole.
//!
//! Kaup, Meisinger, Aach (2005), "Frequency selective signal extrapolation with applications
//! to error concealment in image communication"; Seiler, Kaup (2010), "Complex-valued
//! frequency selective extrapolation for fast image and video signal extrapolation"; order of
//! blocks after Seiler, Kaup (2011). It continues edges, weaves and stripes where diffusion
//! leaves plastic.

use super::fourier::{Complex, Transform};
use super::window::Window;

/// How finely a hole is filled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fineness {
    /// Side of a block in px.
    pub(super) block: usize,
    /// Side of the transform in px, a power of two; the support around a block is what is left.
    pub(super) size: usize,
    /// Waves matched per block and plane.
    pub(super) waves: usize,
}

/// How fast the weight of a known pixel falls with its distance from the block, per px.
const DECAY: f32 = 0.82;
/// Weight of a pixel that was itself extrapolated.
const TRUST: f32 = 0.5;
/// Share of a wave taken per round, against mixing of waves that are not orthogonal here.
const DAMPING: f32 = 0.6;

/// Fills the hole of `window` in place.
pub(super) fn fill(window: &mut Window, fineness: Fineness) {
    let mut trust: Vec<f32> = window.usable.iter().map(|&usable| if usable { 1.0 } else { 0.0 }).collect();
    let mut blocks = blocks(window, fineness.block);
    let mut matcher = Matcher::new(fineness);
    while !blocks.is_empty() {
        let best = most_surrounded(&blocks, &trust, window, fineness);
        let block = blocks.swap_remove(best);
        matcher.fill_block(window, &trust, block);
        for at in block.pixels(window).filter(|&at| window.hole[at]) {
            trust[at] = TRUST;
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Block {
    x: usize,
    y: usize,
    side: usize,
}

impl Block {
    fn pixels(self, window: &Window) -> impl Iterator<Item = usize> + use<> {
        let (w, right, bottom) =
            (window.w, (self.x + self.side).min(window.w), (self.y + self.side).min(window.h));
        (self.y..bottom).flat_map(move |y| (self.x..right).map(move |x| y * w + x))
    }
}

fn blocks(window: &Window, side: usize) -> Vec<Block> {
    let mut found = Vec::new();
    for y in (0..window.h).step_by(side) {
        for x in (0..window.w).step_by(side) {
            let block = Block { x, y, side };
            if block.pixels(window).any(|at| window.hole[at]) {
                found.push(block);
            }
        }
    }
    found
}

/// The block with the most trusted pixels around it; the first of equals.
fn most_surrounded(blocks: &[Block], trust: &[f32], window: &Window, fineness: Fineness) -> usize {
    let reach = fineness.block;
    let mut best = (0, -1.0);
    for (index, block) in blocks.iter().enumerate() {
        let (left, top) = (block.x.saturating_sub(reach), block.y.saturating_sub(reach));
        let (right, bottom) = ((block.x + 2 * reach).min(window.w), (block.y + 2 * reach).min(window.h));
        let sum: f32 =
            (top..bottom).map(|y| trust[y * window.w + left..y * window.w + right].iter().sum::<f32>()).sum();
        if sum > best.1 {
            best = (index, sum);
        }
    }
    best.0
}

struct Matcher {
    fineness: Fineness,
    transform: Transform,
    /// Preference for low frequencies, per half-spectrum coefficient.
    prior: Vec<f32>,
    fall: Vec<f32>,
}

impl Matcher {
    fn new(fineness: Fineness) -> Matcher {
        let size = fineness.size;
        let half = size / 2 + 1;
        let middle = (size / 2) as f32;
        let prior = (0..size * half)
            .map(|k| {
                let (ky, kx) = ((k / half), (k % half));
                let ky = ky.min(size - ky) as f32 / middle;
                let kx = kx as f32 / middle;
                (1.0 - (0.5 * (ky * ky + kx * kx)).sqrt()).powi(2)
            })
            .collect();
        let centre = (size as f32 - 1.0) / 2.0;
        let fall = (0..size * size)
            .map(|at| DECAY.powf(((at % size) as f32 - centre).hypot((at / size) as f32 - centre)))
            .collect();
        Matcher { fineness, transform: Transform::new(size), prior, fall }
    }

    fn fill_block(&mut self, window: &mut Window, trust: &[f32], block: Block) {
        let size = self.fineness.size;
        let border = (size - block.side.min(size)) / 2;
        let place = |at: usize| {
            let x = (block.x + at % size).checked_sub(border)?;
            let y = (block.y + at / size).checked_sub(border)?;
            (x < window.w && y < window.h).then(|| y * window.w + x)
        };
        let places: Vec<Option<usize>> = (0..size * size).map(place).collect();
        let weights: Vec<f32> =
            places.iter().zip(&self.fall).map(|(at, fall)| at.map_or(0.0, |at| trust[at] * fall)).collect();
        let total: f32 = weights.iter().sum();
        if total <= 1e-12 {
            return;
        }
        let spectrum = Tiled::of(&self.transform, &weights);
        for plane in &mut window.planes {
            let value = |at: &Option<usize>| at.map_or(0.0, |at| plane[at]);
            let mean =
                places.iter().zip(&weights).map(|(at, weight)| value(at) * weight).sum::<f32>() / total;
            let residual: Vec<f32> =
                places.iter().zip(&weights).map(|(at, weight)| (value(at) - mean) * weight).collect();
            let (mut low, mut high) = (f32::MAX, f32::MIN);
            for (at, weight) in places.iter().zip(&weights) {
                if *weight > 0.0 {
                    low = low.min(value(at));
                    high = high.max(value(at));
                }
            }
            let model = self.matched(&residual, &spectrum, total);
            for (at, found) in places.iter().zip(model) {
                if let Some(at) = *at
                    && window.hole[at]
                    && trust[at] == 0.0
                    && inside(block, at, window.w)
                {
                    plane[at] = (mean + found).clamp(low, high);
                }
            }
        }
    }

    /// Matches waves to the weighted `residual` and returns their sum over the whole square.
    fn matched(&self, residual: &[f32], weights: &Tiled, total: f32) -> Vec<f32> {
        let size = self.fineness.size;
        let half = size / 2 + 1;
        let full = self.transform.forward(residual);
        let mut re: Vec<f32> = Vec::with_capacity(size * half);
        let mut im: Vec<f32> = Vec::with_capacity(size * half);
        for row in full.chunks_exact(size) {
            re.extend(row[..half].iter().map(|c| c.re));
            im.extend(row[..half].iter().map(|c| c.im));
        }
        let mut model = vec![Complex::default(); size * size];
        for _ in 0..self.fineness.waves {
            let best = self.strongest(&re, &im);
            let (uy, ux) = (best / half, best % half);
            let gain = DAMPING / total;
            let c = Complex { re: re[best] * gain, im: im[best] * gain };
            if c.re.hypot(c.im) < 0.01 {
                break;
            }
            let (ny, nx) = ((size - uy) % size, (size - ux) % size);
            model[uy * size + ux] = model[uy * size + ux].plus(c);
            weights.subtract(&mut re, &mut im, (uy, ux), c);
            if (ny, nx) != (uy, ux) {
                model[ny * size + nx] = model[ny * size + nx].plus(c.conjugate());
                weights.subtract(&mut re, &mut im, (ny, nx), c.conjugate());
            }
        }
        self.transform.inverse_real(model)
    }

    fn strongest(&self, re: &[f32], im: &[f32]) -> usize {
        let mut best = (0, -1.0_f32);
        for (row, ((re, im), prior)) in
            re.chunks(64).zip(im.chunks(64)).zip(self.prior.chunks(64)).enumerate()
        {
            let mut energy = [0.0_f32; 64];
            for (((energy, re), im), prior) in energy.iter_mut().zip(re).zip(im).zip(prior) {
                *energy = (re * re + im * im) * prior;
            }
            let top = energy.iter().fold(0.0_f32, |a, &b| if b > a { b } else { a });
            if top > best.1
                && let Some(at) = energy.iter().position(|&e| e == top)
            {
                best = (row * 64 + at, top);
            }
        }
        best.0
    }
}

fn inside(block: Block, at: usize, width: usize) -> bool {
    let (x, y) = (at % width, at / width);
    x >= block.x && x < block.x + block.side && y >= block.y && y < block.y + block.side
}

/// The spectrum of the weights, repeated sideways so that every shifted row is one slice.
struct Tiled {
    size: usize,
    re: Vec<f32>,
    im: Vec<f32>,
}

impl Tiled {
    fn of(transform: &Transform, weights: &[f32]) -> Tiled {
        let size = transform.size();
        let spectrum = transform.forward(weights);
        let mut tiled =
            Tiled { size, re: Vec::with_capacity(size * size * 2), im: Vec::with_capacity(size * size * 2) };
        for row in spectrum.chunks_exact(size) {
            for c in row.iter().chain(row) {
                tiled.re.push(c.re);
                tiled.im.push(c.im);
            }
        }
        tiled
    }

    /// Takes `c` times the spectrum shifted to (`uy`, `ux`) away from a half-spectrum.
    fn subtract(&self, re: &mut [f32], im: &mut [f32], (uy, ux): (usize, usize), c: Complex) {
        let size = self.size;
        let half = size / 2 + 1;
        for (ky, (re, im)) in re.chunks_exact_mut(half).zip(im.chunks_exact_mut(half)).enumerate() {
            let start = ((ky + size - uy) % size) * size * 2 + (size - ux) % size;
            let (wre, wim) = (&self.re[start..start + half], &self.im[start..start + half]);
            for (((re, im), wre), wim) in re.iter_mut().zip(im.iter_mut()).zip(wre).zip(wim) {
                *re -= c.re * wre - c.im * wim;
                *im -= c.re * wim + c.im * wre;
            }
        }
    }
}
