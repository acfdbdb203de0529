//! From a photo to the numbers that a model takes, and from its answer to coverage.

use image::{GrayImage, RgbImage};
use packshot_imaging::resize::resize_rgb;

use super::settings::{Channels, Output};

/// Where the colours stand in a model's input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Layout {
    /// 1 x 3 x height x width: one plane after the other.
    Planes,
    /// 1 x height x width x 3: one pixel after the other.
    Pixels,
}

/// What a model is fed.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Feed {
    pub(super) layout: Layout,
    /// In pixels.
    pub(super) width: u32,
    pub(super) height: u32,
    /// Red, green, blue, on a scale of 0 to 1.
    pub(super) mean: [f64; 3],
    pub(super) std: [f64; 3],
    pub(super) channels: Channels,
}

impl Feed {
    /// The input's four dimensions.
    pub(super) fn shape(&self) -> [usize; 4] {
        let (w, h) = (self.width as usize, self.height as usize);
        match self.layout {
            Layout::Planes => [1, 3, h, w],
            Layout::Pixels => [1, h, w, 3],
        }
    }

    /// The whole of `rgb`, squeezed into the input, as numbers in the order of [`Self::shape`].
    pub(super) fn numbers(&self, rgb: &RgbImage) -> Vec<f32> {
        let small = resize_rgb(rgb, self.width, self.height);
        let order = match self.channels {
            Channels::Rgb => [0, 1, 2],
            Channels::Bgr => [2, 1, 0],
        };
        let number = |pixel: &[u8; 3], channel: usize| {
            ((f64::from(pixel[channel]) / 255.0 - self.mean[channel]) / self.std[channel]) as f32
        };
        let pixels = small.as_raw().as_chunks::<3>().0;
        match self.layout {
            Layout::Planes => order
                .iter()
                .flat_map(|&channel| pixels.iter().map(move |pixel| number(pixel, channel)))
                .collect(),
            Layout::Pixels => {
                pixels.iter().flat_map(|pixel| order.map(|channel| number(pixel, channel))).collect()
            }
        }
    }
}

/// Numbers this far beyond 0 and 1 are rounding, not logits.
const ROUNDING: f32 = 0.01;

/// Coverage of `width` x `height` from a model's numbers, one a pixel.
///
/// # Errors
/// When there are numbers that are none.
pub(super) fn coverage(
    numbers: &[f32],
    (width, height): (u32, u32),
    output: Output,
) -> Result<GrayImage, String> {
    if numbers.len() as u64 != u64::from(width) * u64::from(height) {
        return Err(format!("its answer has {} numbers for {width} x {height} pixels", numbers.len()));
    }
    if !numbers.iter().all(|number| number.is_finite()) {
        return Err("there are infinities or no numbers in its answer".to_owned());
    }
    let is_logits = match output {
        Output::Logits => true,
        Output::Coverage => false,
        Output::Auto => !numbers.iter().all(|number| (-ROUNDING..=1.0 + ROUNDING).contains(number)),
    };
    let byte = |&number: &f32| {
        let share = if is_logits { 1.0 / (1.0 + (-number).exp()) } else { number };
        (share.clamp(0.0, 1.0) * 255.0 + 0.5) as u8
    };
    Ok(GrayImage::from_raw(width, height, numbers.iter().map(byte).collect()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use image::Rgb;

    use super::*;

    fn feed(layout: Layout, channels: Channels) -> Feed {
        Feed { layout, width: 2, height: 1, mean: [0.0, 0.2, 0.0], std: [1.0, 2.0, 0.5], channels }
    }

    #[test]
    fn numbers_stand_where_the_layout_says() {
        let mut rgb = RgbImage::from_pixel(2, 1, Rgb([255, 51, 0]));
        rgb.put_pixel(1, 0, Rgb([0, 255, 51]));
        let (first, second) = ([1.0, 0.0, 0.0], [0.0, 0.4, 0.4]);
        let near = |numbers: Vec<f32>, expected: [f32; 6]| {
            assert!(numbers.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{numbers:?}");
        };
        let ([r, g, b], [s, t, u]) = (first, second);
        near(feed(Layout::Planes, Channels::Rgb).numbers(&rgb), [r, s, g, t, b, u]);
        near(feed(Layout::Planes, Channels::Bgr).numbers(&rgb), [b, u, g, t, r, s]);
        near(feed(Layout::Pixels, Channels::Rgb).numbers(&rgb), [r, g, b, s, t, u]);
        near(feed(Layout::Pixels, Channels::Bgr).numbers(&rgb), [b, g, r, u, t, s]);
    }

    #[test]
    fn logits_are_told_from_coverage() {
        let bytes = |numbers: &[f32], output| coverage(numbers, (3, 1), output).map(GrayImage::into_raw);
        assert_eq!(bytes(&[0.0, 0.5, 1.005], Output::Auto).unwrap(), [0, 128, 255]);
        assert_eq!(bytes(&[-9.0, 0.0, 0.5], Output::Auto).unwrap(), [0, 128, 159]);
        assert_eq!(bytes(&[0.0, 0.5, 1.0], Output::Logits).unwrap(), [128, 159, 186]);
        assert_eq!(bytes(&[-9.0, 0.0, 0.5], Output::Coverage).unwrap(), [0, 0, 128]);
        assert!(bytes(&[0.0, f32::NAN, 1.0], Output::Auto).is_err());
        assert!(bytes(&[0.0; 4], Output::Auto).is_err());
    }
}
