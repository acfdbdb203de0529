//! A small square Fourier transform, radix 2, for the sizes that inpainting needs.

/// A complex number.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub(super) struct Complex {
    pub(super) re: f32,
    pub(super) im: f32,
}

impl Complex {
    pub(super) fn plus(self, other: Complex) -> Complex {
        Complex { re: self.re + other.re, im: self.im + other.im }
    }

    pub(super) fn conjugate(self) -> Complex {
        Complex { re: self.re, im: -self.im }
    }

    fn minus(self, other: Complex) -> Complex {
        Complex { re: self.re - other.re, im: self.im - other.im }
    }

    fn times(self, other: Complex) -> Complex {
        Complex { re: self.re * other.re - self.im * other.im, im: self.re * other.im + self.im * other.re }
    }
}

/// The transform of `size` × `size` values; `size` is a power of two.
pub(super) struct Transform {
    size: usize,
    twiddles: Vec<Complex>,
    order: Vec<usize>,
}

impl Transform {
    /// A transform of the power of two at or above `size`.
    pub(super) fn new(size: usize) -> Transform {
        let size = size.next_power_of_two().max(2);
        let bits = size.trailing_zeros();
        let twiddles = (0..size / 2)
            .map(|k| {
                let angle = -2.0 * std::f64::consts::PI * k as f64 / size as f64;
                Complex { re: angle.cos() as f32, im: angle.sin() as f32 }
            })
            .collect();
        let order = (0..size).map(|k| k.reverse_bits() >> (usize::BITS - bits)).collect();
        Transform { size, twiddles, order }
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Forward, not normalised; `values` is row-major, `size * size` long.
    pub(super) fn forward(&self, values: &[f32]) -> Vec<Complex> {
        self.both_ways(values.iter().map(|&re| Complex { re, im: 0.0 }).collect())
    }

    /// The real part of the inverse, not normalised.
    pub(super) fn inverse_real(&self, mut values: Vec<Complex>) -> Vec<f32> {
        for value in &mut values {
            *value = value.conjugate();
        }
        self.both_ways(values).into_iter().map(|c| c.re).collect()
    }

    fn both_ways(&self, mut values: Vec<Complex>) -> Vec<Complex> {
        let size = self.size;
        let mut line = vec![Complex::default(); size];
        for row in values.chunks_exact_mut(size) {
            self.line(row, &mut line);
        }
        let mut column = vec![Complex::default(); size];
        for x in 0..size {
            for (y, to) in column.iter_mut().enumerate() {
                *to = values[y * size + x];
            }
            self.line(&mut column, &mut line);
            for (y, from) in column.iter().enumerate() {
                values[y * size + x] = *from;
            }
        }
        values
    }

    fn line(&self, values: &mut [Complex], scratch: &mut [Complex]) {
        for (to, &from) in scratch.iter_mut().zip(&self.order) {
            *to = values[from];
        }
        let mut span = 1;
        while span < self.size {
            let step = self.size / (2 * span);
            for pair in scratch.chunks_exact_mut(2 * span) {
                let (low, high) = pair.split_at_mut(span);
                for (k, (a, b)) in low.iter_mut().zip(high).enumerate() {
                    let turned = b.times(self.twiddles[k * step]);
                    (*a, *b) = (a.plus(turned), a.minus(turned));
                }
            }
            span *= 2;
        }
        values.copy_from_slice(scratch);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use super::*;

    #[test]
    fn forward_and_back_is_the_same() {
        for size in [2, 8, 32] {
            let transform = Transform::new(size);
            let values: Vec<f32> = (0..size * size).map(|k| ((k * 37) % 11) as f32 - 5.0).collect();
            let back = transform.inverse_real(transform.forward(&values));
            for (a, b) in values.iter().zip(back) {
                assert!((a - b / (size * size) as f32).abs() < 1e-3);
            }
        }
    }

    #[test]
    fn one_wave_is_one_coefficient() {
        let transform = Transform::new(16);
        let values: Vec<f32> =
            (0..256).map(|k| (std::f32::consts::TAU * 3.0 * (k % 16) as f32 / 16.0).cos()).collect();
        let spectrum = transform.forward(&values);
        assert!((spectrum[3].re - 128.0).abs() < 1e-2);
        assert!((spectrum[13].re - 128.0).abs() < 1e-2);
        assert!(spectrum.iter().enumerate().all(|(k, c)| k == 3 || k == 13 || c.re.hypot(c.im) < 1e-2));
    }
}
