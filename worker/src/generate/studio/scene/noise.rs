//! Periodic gradient noise: the raw material of every rendered surface.
//!
//! Perlin's improved noise (K. Perlin, "Improving Noise", SIGGRAPH 2002) on an integer
//! lattice that repeats, so that a tile joins itself without a seam.

/// A noise field of one seed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Noise(pub u32);

impl Noise {
    /// Noise at (`u`, `v`), both in tiles (0 to 1 is one tile), with `across` by `down`
    /// cells in a tile; about -1 to 1, mean 0. Repeats every tile.
    pub(super) fn at(self, u: f32, v: f32, across: u32, down: u32) -> f32 {
        let (across, down) = (across.max(1) as i32, down.max(1) as i32);
        let (x, y) = (u * across as f32, v * down as f32);
        let (x0, y0) = (x.floor(), y.floor());
        let (fx, fy) = (x - x0, y - y0);
        let (i0, j0) = ((x0 as i32).rem_euclid(across), (y0 as i32).rem_euclid(down));
        let i1 = if i0 + 1 == across { 0 } else { i0 + 1 };
        let j1 = if j0 + 1 == down { 0 } else { j0 + 1 };
        let fade = |t: f32| t * t * t * (t * (t * 6.0 - 15.0) + 10.0);
        let (sx, sy) = (fade(fx), fade(fy));
        let top = lerp(self.slope(i0, j0, fx, fy), self.slope(i1, j0, fx - 1.0, fy), sx);
        let bottom = lerp(self.slope(i0, j1, fx, fy - 1.0), self.slope(i1, j1, fx - 1.0, fy - 1.0), sx);
        lerp(top, bottom, sy) * 1.5
    }

    /// `octaves` layers of noise, each twice as fine and `gain` as strong as the one
    /// before, starting at `across` by `down` cells; about -1 to 1.
    pub(super) fn fractal(self, u: f32, v: f32, (across, down): (u32, u32), octaves: u32, gain: f32) -> f32 {
        let (mut sum, mut weight, mut total) = (0.0, 1.0, 0.0);
        for octave in 0..octaves {
            let layer = Noise(self.0.wrapping_add(octave.wrapping_mul(0x9E37)));
            sum += weight * layer.at(u, v, across << octave, down << octave);
            total += weight * weight;
            weight *= gain;
        }
        sum / f32::sqrt(total.max(1e-6))
    }

    /// A number from 0 to 1 for a lattice point.
    pub(super) fn cell(self, i: i32, j: i32) -> f32 {
        (hash(self.0, i, j) >> 8) as f32 / 16_777_216.0
    }

    fn slope(self, i: i32, j: i32, x: f32, y: f32) -> f32 {
        // Eight directions, as in the reference implementation.
        match hash(self.0, i, j) >> 29 {
            0 => x + y,
            1 => x - y,
            2 => y - x,
            3 => -x - y,
            4 => 1.41 * x,
            5 => -1.41 * x,
            6 => 1.41 * y,
            _ => -1.41 * y,
        }
    }
}

fn lerp(a: f32, b: f32, t: f32) -> f32 {
    a + (b - a) * t
}

fn hash(seed: u32, i: i32, j: i32) -> u32 {
    let mut h = seed ^ (i as u32).wrapping_mul(0x85EB_CA6B) ^ (j as u32).wrapping_mul(0xC2B2_AE35);
    h ^= h >> 15;
    h = h.wrapping_mul(0x2C1B_3C6D);
    h ^= h >> 12;
    h = h.wrapping_mul(0x297A_2D39);
    h ^ (h >> 15)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use super::*;

    #[test]
    fn noise_repeats_stays_in_range_and_is_centred() {
        let noise = Noise(5);
        let mut sum = 0.0;
        for k in 0..4000 {
            let (u, v) = (k as f32 * 0.017, k as f32 * 0.0091);
            let value = noise.fractal(u, v, (4, 6), 5, 0.5);
            assert!(value.abs() < 3.0);
            assert!((noise.at(u, v, 8, 8) - noise.at(u + 1.0, v - 2.0, 8, 8)).abs() < 0.02);
            sum += value;
        }
        assert!((sum / 4000.0).abs() < 0.15);
    }
}
