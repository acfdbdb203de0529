//! Planes of floating point values, and the smoothing filters that work on them: Gaussian,
//! box and guided filter.
//!
//! All filters walk down strips of 16 columns that fit the cache and write their result
//! transposed, so that one vectorised column pass, run twice, filters both directions.

use image::GrayImage;
use rayon::prelude::*;

/// One channel of an image as floating point values, row by row.
#[derive(Clone, PartialEq, Debug)]
pub struct Plane {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// `width * height` values.
    pub data: Vec<f32>,
}

impl Plane {
    /// A plane filled with `value`.
    pub fn new(width: u32, height: u32, value: f32) -> Plane {
        Plane { width, height, data: vec![value; width as usize * height as usize] }
    }

    /// The levels of an 8-bit image as they are, 0 to 255.
    pub fn from_gray(image: &GrayImage) -> Plane {
        Plane {
            width: image.width(),
            height: image.height(),
            data: image.as_raw().iter().map(|&v| f32::from(v)).collect(),
        }
    }

    /// Rounded to 8-bit levels; values outside 0 to 255 are clamped, NaN becomes 0.
    pub fn to_gray(&self) -> GrayImage {
        let levels = self.data.iter().map(|&v| (v + 0.5).clamp(0.0, 255.0) as u8).collect();
        GrayImage::from_raw(self.width, self.height, levels).unwrap_or_default()
    }

    /// The value at a pixel, the nearest pixel's value when outside; 0 for an empty plane.
    pub fn at(&self, x: i64, y: i64) -> f32 {
        let x = x.clamp(0, i64::from(self.width) - 1);
        let y = y.clamp(0, i64::from(self.height) - 1);
        self.data.get((y * i64::from(self.width) + x) as usize).copied().unwrap_or(0.0)
    }

    /// The value between pixels, bilinear; whole numbers are the middles of pixels, and beyond the
    /// edge the nearest value counts. The plane must not be empty.
    pub fn between(&self, x: f32, y: f32) -> f32 {
        let (w, h) = (self.width as usize, self.height as usize);
        let (x, y) = (x.clamp(0.0, (w - 1) as f32), y.clamp(0.0, (h - 1) as f32));
        let (x0, y0) = (x as usize, y as usize);
        let (x1, y1) = ((x0 + 1).min(w - 1), (y0 + 1).min(h - 1));
        let (u, v) = (x.fract(), y.fract());
        let d = &self.data;
        (d[y0 * w + x0] * (1.0 - u) + d[y0 * w + x1] * u) * (1.0 - v)
            + (d[y1 * w + x0] * (1.0 - u) + d[y1 * w + x1] * u) * v
    }

    /// Combines two planes of equal size value by value; extra values of the longer one
    /// are dropped.
    #[must_use]
    pub fn zip(&self, other: &Plane, f: impl Fn(f32, f32) -> f32 + Sync) -> Plane {
        let data = self
            .data
            .par_iter()
            .zip(other.data.par_iter())
            .with_min_len(1 << 14)
            .map(|(&x, &y)| f(x, y))
            .collect();
        Plane { width: self.width, height: self.height, data }
    }
}

/// Columns filtered together: 16 values are one cache line.
const LANES: usize = 16;
/// From this sigma on, a cascade of boxes replaces the direct kernel.
const DIRECT_SIGMA_MAX: f32 = 3.0;
/// No image is smoothed wider than this; larger sigmas are clamped.
const SIGMA_MAX: f32 = 10_000.0;

type Lane = [f32; LANES];

/// Gaussian blur with standard deviation `sigma` in pixels; outside the image the nearest
/// edge value is assumed. Zero, negative or NaN sigma returns a copy. Small sigmas use the
/// sampled kernel, large ones a cascade of three boxes with fractional width (Gwosdek,
/// Grewenig, Bruhn, Weickert 2011), whose cost does not depend on sigma and whose error stays below 1.5 % of the range.
pub fn gaussian(plane: &Plane, sigma: f32) -> Plane {
    if sigma.is_nan() || sigma < 0.05 || plane.data.is_empty() {
        return plane.clone();
    }
    let sigma = sigma.min(SIGMA_MAX);
    if sigma < DIRECT_SIGMA_MAX {
        let half = kernel(sigma);
        let pass = |column: &mut Vec<Lane>, spare: &mut Vec<Lane>| convolve(column, spare, &half);
        let margin = half.len() - 1;
        return both_directions(plane, margin, &pass);
    }
    let shape = BoxShape::for_sigma(sigma, 3);
    let pass = |column: &mut Vec<Lane>, spare: &mut Vec<Lane>| {
        for _ in 0..3 {
            shape.average(column, spare);
        }
    };
    both_directions(plane, 3 * (shape.radius + 1), &pass)
}

/// Mean over the square of `2 * radius + 1` pixels; outside the image the nearest edge
/// value is assumed.
pub fn box_blur(plane: &Plane, radius: u32) -> Plane {
    if radius == 0 || plane.data.is_empty() {
        return plane.clone();
    }
    let radius = radius.min(SIGMA_MAX as u32) as usize;
    let shape = BoxShape { radius, inner: 1.0 / (2 * radius + 1) as f32, rim: 0.0 };
    let pass = |column: &mut Vec<Lane>, spare: &mut Vec<Lane>| shape.average(column, spare);
    both_directions(plane, radius + 1, &pass)
}

/// Guided filter (He, Sun, Tang 2010, section 3): smooths `input` but keeps the edges of
/// `guide`. `eps` is the variance below which the guide counts as flat, in squared units of
/// the guide. Planes must have equal sizes; otherwise the input is returned as it is.
pub fn guided_filter(guide: &Plane, input: &Plane, radius: u32, eps: f32) -> Plane {
    if (guide.width, guide.height) != (input.width, input.height) || guide.data.len() != input.data.len() {
        return input.clone();
    }
    let mean_guide = box_blur(guide, radius);
    let mean_input = box_blur(input, radius);
    let variance = box_blur(&guide.zip(guide, |g, h| g * h), radius).zip(&mean_guide, |gg, m| gg - m * m);
    let product = box_blur(&guide.zip(input, |g, i| g * i), radius);
    let covariance = product.zip(&mean_guide.zip(&mean_input, |g, i| g * i), |p, m| p - m);
    let slope = covariance.zip(&variance, |c, v| c / (v.max(0.0) + eps.max(1e-9)));
    let offset = mean_input.zip(&slope.zip(&mean_guide, |s, g| s * g), |i, sg| i - sg);
    let slope = box_blur(&slope, radius);
    let offset = box_blur(&offset, radius);
    slope.zip(guide, |s, g| s * g).zip(&offset, |sg, o| sg + o)
}

/// The right half of a sampled Gaussian, centre first, normalised so that the whole kernel
/// sums to 1.
fn kernel(sigma: f32) -> Vec<f32> {
    let radius = (sigma * 3.5).ceil().max(1.0) as usize;
    let mut half: Vec<f32> = (0..=radius).map(|i| (-0.5 * (i as f32 / sigma).powi(2)).exp()).collect();
    let sum = half[0] + 2.0 * half[1..].iter().sum::<f32>();
    for v in &mut half {
        *v /= sum;
    }
    half
}

fn convolve(column: &mut Vec<Lane>, spare: &mut Vec<Lane>, half: &[f32]) {
    let radius = half.len() - 1;
    spare.clone_from(column);
    for y in radius..column.len().saturating_sub(radius) {
        let mut sum: Lane = spare[y].map(|v| v * half[0]);
        for (i, &weight) in half.iter().enumerate().skip(1) {
            let (above, below) = (&spare[y - i], &spare[y + i]);
            for lane in 0..LANES {
                sum[lane] += weight * (above[lane] + below[lane]);
            }
        }
        column[y] = sum;
    }
}

/// A box of `2 * radius + 1` equal weights and one smaller weight at either end.
#[derive(Clone, Copy)]
struct BoxShape {
    radius: usize,
    inner: f32,
    rim: f32,
}

impl BoxShape {
    /// The box whose `passes`-fold repetition has the variance of a Gaussian.
    fn for_sigma(sigma: f32, passes: u32) -> BoxShape {
        let variance = f64::from(sigma * sigma) / f64::from(passes);
        let radius = (0.5 * (12.0 * variance + 1.0).sqrt() - 0.5).floor().max(0.0);
        let width = 2.0 * radius + 1.0;
        let fraction = width * (radius * (radius + 1.0) - 3.0 * variance)
            / (6.0 * (variance - (radius + 1.0) * (radius + 1.0)));
        let total = width + 2.0 * fraction;
        BoxShape { radius: radius as usize, inner: (1.0 / total) as f32, rim: (fraction / total) as f32 }
    }

    /// Averages down the column; the outermost `radius + 1` values keep what they were and
    /// are never read by a caller that left enough margin.
    fn average(self, column: &mut Vec<Lane>, spare: &mut Vec<Lane>) {
        let reach = self.radius + 1;
        if column.len() <= 2 * reach {
            return;
        }
        spare.clone_from(column);
        let mut sum = [0.0f64; LANES];
        for row in &spare[1..2 * reach] {
            for lane in 0..LANES {
                sum[lane] += f64::from(row[lane]);
            }
        }
        let mut sum = sum.map(|v| v as f32);
        for y in reach..spare.len() - reach {
            let (first, last) = (&spare[y - reach], &spare[y + reach]);
            let leaves = &spare[y - self.radius];
            for lane in 0..LANES {
                column[y][lane] = sum[lane] * self.inner + (first[lane] + last[lane]) * self.rim;
                sum[lane] += last[lane] - leaves[lane];
            }
        }
    }
}

/// Runs a column pass down and, on the transposed result, across.
fn both_directions(
    plane: &Plane,
    margin: usize,
    pass: &(impl Fn(&mut Vec<Lane>, &mut Vec<Lane>) + Sync),
) -> Plane {
    let down = columns_transposed(plane, margin, pass);
    columns_transposed(&down, margin, pass)
}

/// Filters every column and returns the transposed plane. `pass` sees a strip of columns
/// with `margin` repeated edge rows above and below.
fn columns_transposed(
    plane: &Plane,
    margin: usize,
    pass: &(impl Fn(&mut Vec<Lane>, &mut Vec<Lane>) + Sync),
) -> Plane {
    let (w, h) = (plane.width as usize, plane.height as usize);
    let mut out = vec![0.0f32; w * h];
    out.par_chunks_mut(LANES * h).enumerate().for_each_init(
        || (Vec::new(), Vec::new()),
        |(column, spare), (strip, target)| {
            let x0 = strip * LANES;
            let count = LANES.min(w - x0);
            column.clear();
            column.resize(h + 2 * margin, [0.0; LANES]);
            for (row, source) in column[margin..margin + h].iter_mut().zip(plane.data.chunks_exact(w)) {
                row[..count].copy_from_slice(&source[x0..x0 + count]);
            }
            let (top, bottom) = (column[margin], column[margin + h - 1]);
            column[..margin].fill(top);
            column[margin + h..].fill(bottom);
            pass(column, spare);
            for (y, row) in column[margin..margin + h].iter().enumerate() {
                for (lane, &value) in row[..count].iter().enumerate() {
                    target[lane * h + y] = value;
                }
            }
        },
    );
    Plane { width: plane.height, height: plane.width, data: out }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use super::*;

    /// A definition of the Gaussian without any cleverness, to compare with.
    fn slow(plane: &Plane, sigma: f32) -> Plane {
        let radius = (sigma * 5.0).ceil() as i64;
        let weights: Vec<f64> =
            (-radius..=radius).map(|i| (-0.5 * (i as f64 / f64::from(sigma)).powi(2)).exp()).collect();
        let sum: f64 = weights.iter().sum();
        let run = |source: &Plane, dx: i64, dy: i64| {
            let mut out = source.clone();
            for y in 0..i64::from(source.height) {
                for x in 0..i64::from(source.width) {
                    let v: f64 = weights
                        .iter()
                        .zip(-radius..=radius)
                        .map(|(k, i)| k * f64::from(source.at(x + i * dx, y + i * dy)))
                        .sum();
                    out.data[(y * i64::from(source.width) + x) as usize] = (v / sum) as f32;
                }
            }
            out
        };
        run(&run(plane, 1, 0), 0, 1)
    }

    fn sample(w: u32, h: u32) -> Plane {
        let mut plane = Plane::new(w, h, 0.0);
        for (i, v) in plane.data.iter_mut().enumerate() {
            *v = if (i / 7 + i / w as usize / 5).is_multiple_of(3) { 230.0 } else { (i % 90) as f32 };
        }
        plane
    }

    #[test]
    fn gaussian_is_a_gaussian() {
        for (sigma, tolerance) in [(0.7, 0.2), (2.0, 0.2), (4.0, 3.5), (9.0, 3.5)] {
            let plane = sample(61, 47);
            let (fast, slow) = (gaussian(&plane, sigma), slow(&plane, sigma));
            assert_eq!((fast.width, fast.height), (61, 47));
            let worst = fast.zip(&slow, |x, y| (x - y).abs()).data.into_iter().fold(0.0, f32::max);
            assert!(worst < tolerance, "sigma {sigma}: off by {worst}");
        }
    }

    #[test]
    fn flat_stays_flat_at_any_size() {
        for (w, h) in [(1, 1), (1, 300), (300, 1), (17, 33), (2, 2)] {
            for sigma in [0.0, 0.5, 3.0, 40.0, 1e9, f32::NAN, -1.0] {
                let out = gaussian(&Plane::new(w, h, 80.0), sigma);
                assert_eq!((out.width, out.height), (w, h));
                assert!(out.data.iter().all(|v| (v - 80.0).abs() < 0.05), "{w}x{h} sigma {sigma}");
            }
            assert!(box_blur(&Plane::new(w, h, 7.0), u32::MAX).data.iter().all(|v| (v - 7.0).abs() < 0.05));
        }
        assert!(gaussian(&Plane::new(0, 0, 1.0), 5.0).data.is_empty());
    }

    #[test]
    fn box_is_the_mean() {
        let plane = sample(40, 30);
        let out = box_blur(&plane, 3);
        for (x, y) in [(0i64, 0i64), (20, 15), (39, 29)] {
            let mut sum = 0.0;
            for dy in -3..=3 {
                for dx in -3..=3 {
                    sum += plane.at(x + dx, y + dy);
                }
            }
            assert!((out.at(x, y) - sum / 49.0).abs() < 0.01);
        }
    }

    #[test]
    fn guided_filter_keeps_the_edge_and_removes_noise() {
        let mut guide = Plane::new(64, 64, 0.0);
        let mut noisy = Plane::new(64, 64, 0.0);
        for i in 0..64 * 64 {
            let edge = if i % 64 < 32 { 40.0 } else { 200.0 };
            guide.data[i] = edge;
            noisy.data[i] = edge + if (i * 7919) % 13 < 6 { 12.0 } else { -12.0 };
        }
        let out = guided_filter(&guide, &noisy, 5, 4.0);
        assert!((out.at(31, 32) - 40.0).abs() < 8.0, "{}", out.at(31, 32));
        assert!((out.at(32, 32) - 200.0).abs() < 8.0, "{}", out.at(32, 32));
        assert_eq!(guided_filter(&Plane::new(3, 3, 0.0), &noisy, 5, 4.0), noisy);
    }

    #[test]
    fn planes_and_levels() {
        let image = GrayImage::from_fn(5, 3, |x, y| image::Luma([(x * 50 + y) as u8]));
        assert_eq!(Plane::from_gray(&image).to_gray(), image);
        let odd = Plane { width: 3, height: 1, data: vec![-4.0, 300.0, f32::NAN] };
        assert_eq!(odd.to_gray().into_raw(), vec![0, 255, 0]);
    }
}
