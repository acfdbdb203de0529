//! Filling a large hole from patches of its surroundings.
//!
//! Coarse to fine, patches that overlap the hole look for their nearest likeness among known
//! patches (patch match, Barnes et al. 2009) and vote for the pixels they cover (Wexler,
//! Shechtman, Irani 2007). A patch may be a little lighter or darker than its source, so that
//! gradients of light do not break (after Darabi et al. 2012, bias only).

use super::grain::random;
use super::surface;
use super::window::Window;

/// Patches reach this far around their centre.
const REACH: usize = 3;
/// How much lighter or darker a patch may be than its source, in levels per plane.
const BIAS_MAX: [f32; 3] = [14.0, 5.0, 5.0];
/// The coarsest level is the first where the hole is at most this deep, in px.
const DEPTH_COARSEST: usize = 6;
/// Hole pixels from which a level only refines what the level above found.
const SEARCHED_MAX: usize = 60_000;

/// Fills the hole of `window` in place; false when there is no whole patch to learn from.
pub(super) fn fill(window: &mut Window) -> bool {
    let mut levels = vec![Level::of(window)];
    while let Some(last) = levels.last()
        && last.depth() > DEPTH_COARSEST
        && last.w.min(last.h) >= 8 * REACH
    {
        let next = last.halved();
        if next.sources.is_empty() {
            break;
        }
        levels.push(next);
    }
    if levels[0].sources.is_empty() {
        return false;
    }
    let mut seed = 0x51ab_7c3e_90d4_12f7_u64;
    let mut found: Option<(Vec<u32>, usize, usize)> = None;
    let coarsest = levels.len() - 1;
    for (index, level) in levels.iter_mut().enumerate().rev() {
        let mut field = match found.take() {
            None => {
                level.stretch();
                level.scattered(&mut seed)
            }
            Some((coarse, cw, ch)) => level.doubled(&coarse, cw, ch, &mut seed),
        };
        let search = level.targets.len() <= SEARCHED_MAX;
        let rounds = if index == coarsest {
            10
        } else if search {
            4
        } else {
            1
        };
        if index != coarsest {
            level.vote(&field, Trust::All);
        }
        for _ in 0..rounds {
            level.improve(&mut field, search, &mut seed);
            level.vote(&field, Trust::Likeness);
        }
        found = Some((field, level.w, level.h));
    }
    for (at, pixel) in levels[0].pixels.iter().enumerate().filter(|(at, _)| window.hole[*at]) {
        for (plane, value) in window.planes.iter_mut().zip(pixel) {
            plane[at] = *value;
        }
    }
    true
}

/// How the patches over a pixel are weighed.
#[derive(Clone, Copy)]
enum Trust {
    /// All alike: what is in the hole now says nothing yet.
    All,
    /// The better they fit what is in the hole now, the more.
    Likeness,
}

struct Level {
    w: usize,
    h: usize,
    pixels: Vec<[f32; 3]>,
    usable: Vec<bool>,
    hole: Vec<bool>,
    /// How deep in the hole each pixel lies, in px; 0 outside.
    depths: Vec<u16>,
    /// Means of the patch around each centre.
    means: Vec<[f32; 3]>,
    /// Centres of patches that touch the hole, in scan order.
    targets: Vec<u32>,
    /// Centres of wholly known patches.
    sources: Vec<u32>,
    is_source: Vec<bool>,
}

impl Level {
    fn of(window: &Window) -> Level {
        let pixels =
            (0..window.w * window.h).map(|at| std::array::from_fn(|c| window.planes[c][at])).collect();
        Level::new(window.w, window.h, pixels, window.usable.clone(), window.hole.clone())
    }

    fn new(w: usize, h: usize, pixels: Vec<[f32; 3]>, usable: Vec<bool>, hole: Vec<bool>) -> Level {
        let depths = depths(&hole, w, h);
        let touches = grown(&hole, w, h);
        let unusable: Vec<bool> = usable.iter().map(|usable| !usable).collect();
        let spoilt = grown(&unusable, w, h);
        let whole = |at: &usize| {
            let (x, y) = (at % w, at / w);
            x >= REACH && y >= REACH && x + REACH < w && y + REACH < h
        };
        let centres: Vec<usize> = (0..w * h).filter(whole).collect();
        let targets = centres.iter().filter(|at| touches[**at]).map(|at| *at as u32).collect();
        let sources: Vec<u32> = centres.iter().filter(|at| !spoilt[**at]).map(|at| *at as u32).collect();
        let mut is_source = vec![false; w * h];
        for at in &sources {
            is_source[*at as usize] = true;
        }
        let mut level = Level {
            w,
            h,
            pixels,
            usable,
            hole,
            depths,
            means: vec![[0.0; 3]; w * h],
            targets,
            sources,
            is_source,
        };
        level.average();
        level
    }

    fn depth(&self) -> usize {
        usize::from(self.depths.iter().copied().max().unwrap_or(0))
    }

    fn halved(&self) -> Level {
        let (w, h) = (self.w / 2, self.h / 2);
        let mut pixels = Vec::with_capacity(w * h);
        let (mut usable, mut hole) = (Vec::with_capacity(w * h), Vec::with_capacity(w * h));
        for y in 0..h {
            for x in 0..w {
                let four =
                    [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(dx, dy)| (2 * y + dy) * self.w + 2 * x + dx);
                let known: Vec<usize> = four.into_iter().filter(|at| self.usable[*at]).collect();
                let from: &[usize] = if known.is_empty() { &four } else { &known };
                let sum =
                    |c: usize| from.iter().map(|at| self.pixels[*at][c]).sum::<f32>() / from.len() as f32;
                pixels.push(std::array::from_fn(sum));
                usable.push(known.len() == 4);
                hole.push(four.iter().any(|at| self.hole[*at]));
            }
        }
        Level::new(w, h, pixels, usable, hole)
    }

    /// A first guess: the membrane.
    fn stretch(&mut self) {
        for channel in 0..3 {
            let plane: Vec<f32> = self.pixels.iter().map(|pixel| pixel[channel]).collect();
            let stretched = surface::membrane(&plane, &self.usable, self.w);
            for (at, pixel) in self.pixels.iter_mut().enumerate().filter(|(at, _)| self.hole[*at]) {
                pixel[channel] = stretched[at];
            }
        }
        self.average();
    }

    /// Random sources for every target; elsewhere unused.
    fn scattered(&self, seed: &mut u64) -> Vec<u32> {
        let mut field = vec![0; self.w * self.h];
        for at in &self.targets {
            field[*at as usize] = self.any_source(seed);
        }
        field
    }

    fn any_source(&self, seed: &mut u64) -> u32 {
        self.sources[(random(seed) % self.sources.len() as u64) as usize]
    }

    /// The field of the level above at twice the size; where it does not fit, at random.
    fn doubled(&self, coarse: &[u32], cw: usize, ch: usize, seed: &mut u64) -> Vec<u32> {
        let mut field = vec![0; self.w * self.h];
        for at in &self.targets {
            let (x, y) = (*at as usize % self.w, *at as usize / self.w);
            let cx = (x / 2).clamp(REACH, cw.saturating_sub(REACH + 1).max(REACH)).min(cw - 1);
            let cy = (y / 2).clamp(REACH, ch.saturating_sub(REACH + 1).max(REACH)).min(ch - 1);
            let from = coarse[cy * cw + cx] as usize;
            let sx = (from % cw) as isize * 2 + x as isize - cx as isize * 2;
            let sy = (from / cw) as isize * 2 + y as isize - cy as isize * 2;
            field[*at as usize] =
                if from > 0 { self.source_at(sx, sy) } else { None }.unwrap_or_else(|| self.any_source(seed));
        }
        field
    }

    fn source_at(&self, x: isize, y: isize) -> Option<u32> {
        let inside = x >= 0 && y >= 0 && (x as usize) < self.w && (y as usize) < self.h;
        let at = if inside { y as usize * self.w + x as usize } else { return None };
        self.is_source[at].then_some(at as u32)
    }

    /// Two sweeps of propagation and, with `search`, of random search.
    fn improve(&self, field: &mut [u32], search: bool, seed: &mut u64) {
        let mut costs: Vec<f32> = vec![0.0; self.w * self.h];
        for at in &self.targets {
            costs[*at as usize] = self.cost(*at, field[*at as usize], f32::MAX);
        }
        let w = self.w as isize;
        for (reverse, steps) in [(false, [-1, -w]), (true, [1, w])] {
            let mut visit = |at: u32| {
                let to = at as usize;
                for step in steps {
                    let Some(near) = to.checked_add_signed(step).filter(|near| *near < field.len()) else {
                        continue;
                    };
                    if field[near] == 0 {
                        continue;
                    }
                    let Some(moved) = (field[near] as usize).checked_add_signed(-step) else { continue };
                    if moved < self.is_source.len() && self.is_source[moved] {
                        self.take_better(at, moved as u32, field, &mut costs);
                    }
                }
                if search {
                    self.search_around(at, field, &mut costs, seed);
                }
            };
            if reverse {
                self.targets.iter().rev().for_each(|at| visit(*at));
            } else {
                self.targets.iter().for_each(|at| visit(*at));
            }
        }
    }

    fn search_around(&self, at: u32, field: &mut [u32], costs: &mut [f32], seed: &mut u64) {
        let mut radius = self.w.max(self.h) as isize;
        while radius >= 1 {
            let from = field[at as usize] as usize;
            let dice = random(seed);
            let span = 2 * radius + 1;
            let x = (from % self.w) as isize + (dice & 0xffff_ffff) as isize % span - radius;
            let y = (from / self.w) as isize + (dice >> 32) as isize % span - radius;
            if let Some(source) = self.source_at(x, y) {
                self.take_better(at, source, field, costs);
            }
            radius /= 2;
        }
    }

    fn take_better(&self, at: u32, source: u32, field: &mut [u32], costs: &mut [f32]) {
        let cost = self.cost(at, source, costs[at as usize]);
        if cost < costs[at as usize] {
            costs[at as usize] = cost;
            field[at as usize] = source;
        }
    }

    fn bias(&self, at: u32, source: u32) -> [f32; 3] {
        let (to, from) = (self.means[at as usize], self.means[source as usize]);
        std::array::from_fn(|c| (to[c] - from[c]).clamp(-BIAS_MAX[c], BIAS_MAX[c]))
    }

    /// Squared distance of two patches after the bias, given up above `limit`.
    fn cost(&self, at: u32, source: u32, limit: f32) -> f32 {
        let bias = self.bias(at, source);
        // A likeness without a bias is better than one with.
        let mut sum = 2.0 * bias.iter().map(|b| b * b).sum::<f32>();
        let side = 2 * REACH + 1;
        for dy in 0..side {
            let offset = |centre: u32| (centre as usize + dy * self.w) - REACH * self.w - REACH;
            let (a, b) = (&self.pixels[offset(at)..][..side], &self.pixels[offset(source)..][..side]);
            for (a, b) in a.iter().zip(b) {
                for c in 0..3 {
                    sum += (a[c] - b[c] - bias[c]).powi(2);
                }
            }
            if sum >= limit {
                return f32::MAX;
            }
        }
        sum
    }

    /// Every hole pixel becomes the weighted mean of what the patches over it propose.
    fn vote(&mut self, field: &[u32], trust_in: Trust) {
        let cost = |at: &u32| match trust_in {
            Trust::All => 0.0,
            Trust::Likeness => self.cost(*at, field[*at as usize], f32::MAX),
        };
        let bias = |at: u32, source: u32| match trust_in {
            Trust::All => [0.0; 3],
            Trust::Likeness => self.bias(at, source),
        };
        let costs: Vec<f32> = self.targets.iter().map(cost).collect();
        let mut sorted = costs.clone();
        sorted.sort_by(f32::total_cmp);
        let usual = sorted.get(sorted.len() * 3 / 4).copied().unwrap_or(0.0).max(1.0);
        let mut sums = vec![[0.0_f32; 4]; self.w * self.h];
        let side = 2 * REACH + 1;
        for (at, cost) in self.targets.iter().zip(costs) {
            let source = field[*at as usize];
            let bias = bias(*at, source);
            let trust = 0.75_f32.powi(i32::from(self.depths[*at as usize].min(60)));
            let weight = (-cost / (2.0 * 0.5 * usual)).exp().max(1e-6) * trust.max(1e-6);
            for dy in 0..side {
                let offset = |centre: u32| (centre as usize + dy * self.w) - REACH * self.w - REACH;
                let (to, from) = (offset(*at), offset(source));
                for dx in 0..side {
                    if !self.hole[to + dx] {
                        continue;
                    }
                    let middle = (dx.abs_diff(REACH) + dy.abs_diff(REACH)) as f32;
                    let weight = weight * (-0.35 * middle).exp();
                    let (sum, pixel) = (&mut sums[to + dx], self.pixels[from + dx]);
                    for c in 0..3 {
                        sum[c] += (pixel[c] + bias[c]) * weight;
                    }
                    sum[3] += weight;
                }
            }
        }
        for (pixel, sum) in self.pixels.iter_mut().zip(sums).filter(|(_, sum)| sum[3] > 0.0) {
            *pixel = std::array::from_fn(|c| sum[c] / sum[3]);
        }
        self.average();
    }

    /// Brings `means` up to date.
    fn average(&mut self) {
        let (w, h) = (self.w, self.h);
        let side = 2 * REACH + 1;
        if w < side || h < side {
            return;
        }
        let mut across = vec![[0.0_f32; 3]; w * h];
        for y in 0..h {
            for x in REACH..w - REACH {
                let row = &self.pixels[y * w + x - REACH..][..side];
                across[y * w + x] = std::array::from_fn(|c| row.iter().map(|p| p[c]).sum());
            }
        }
        for y in REACH..h - REACH {
            for x in REACH..w - REACH {
                let sum = |c: usize| (0..side).map(|dy| across[(y + dy - REACH) * w + x][c]).sum::<f32>();
                self.means[y * w + x] = std::array::from_fn(|c| sum(c) / (side * side) as f32);
            }
        }
    }
}

/// Pixels within a patch's reach of a set one.
fn grown(set: &[bool], w: usize, h: usize) -> Vec<bool> {
    let mut across = vec![false; w * h];
    let mut both = vec![false; w * h];
    for at in (0..w * h).filter(|at| set[*at]) {
        let (x, y) = (at % w, at / w);
        across[y * w + x.saturating_sub(REACH)..=y * w + (x + REACH).min(w - 1)].fill(true);
    }
    for at in (0..w * h).filter(|at| across[*at]) {
        let (x, y) = (at % w, at / w);
        for y in y.saturating_sub(REACH)..=(y + REACH).min(h - 1) {
            both[y * w + x] = true;
        }
    }
    both
}

/// City-block distance to the nearest pixel outside the hole, two passes.
fn depths(hole: &[bool], w: usize, h: usize) -> Vec<u16> {
    let mut depths: Vec<u16> = hole.iter().map(|hole| if *hole { u16::MAX } else { 0 }).collect();
    for at in 0..w * h {
        let left = if at % w > 0 { depths[at - 1] } else { u16::MAX };
        let up = if at >= w { depths[at - w] } else { u16::MAX };
        depths[at] = depths[at].min(left.min(up).saturating_add(1));
    }
    for at in (0..w * h).rev() {
        let right = if at % w + 1 < w { depths[at + 1] } else { u16::MAX };
        let down = if at / w + 1 < h { depths[at + w] } else { u16::MAX };
        depths[at] = depths[at].min(right.min(down).saturating_add(1));
    }
    depths
}
