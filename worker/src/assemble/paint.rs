//! From a master and a framing to the pixels of one file: cut out or widen, take the
//! shadow away where the channel allows none, resize once, and make white exactly white.

use image::{GrayImage, Luma, Rgb, RgbImage};
use packshot_imaging::colour::{linear_to_srgb, srgb_to_linear};
use packshot_imaging::resize::{resize_gray, resize_rgb, upscale_rgb};
use rayon::prelude::*;

use super::channel::White;
use super::frame::{COVERED, Framing, Subject, Window};

/// Pixels whose darkest channel is at least this are made white where white is asked for
/// along the edges: the last steps of a shadow that fades out, and noise of a resize.
const NEARLY_WHITE: u8 = 252;
/// How far around the product resampled pixels keep their values.
const RIM_PX: u32 = 1;
/// How far the background is looked at, in master pixels, to tell what shines through the
/// product's soft rim.
const RIM_REACH: i64 = 5;

/// The pixels of one file.
#[derive(Clone, Debug)]
pub struct Painted {
    /// Colour, of the framing's size.
    pub image: RgbImage,
    /// Product coverage, of the same size.
    pub product: GrayImage,
    /// 255 where the decoded file must be exactly white; `None`: nowhere.
    pub white: Option<GrayImage>,
}

/// Makes the pixels of a file. `white` is the channel's demand, if any.
pub fn paint(
    image: &RgbImage,
    product_mask: &GrayImage,
    subject: &Subject,
    framing: &Framing,
    white: Option<White>,
) -> Painted {
    let ground = if white.is_some() { [255; 3] } else { subject.plain.unwrap_or([255; 3]) };
    let mut part = cut(image, framing.window, Rgb(ground));
    let mask = cut(product_mask, framing.window, Luma([0]));
    if white == Some(White::Everywhere) {
        lift_rim(&mut part, &mask);
    }
    let (w, h) = (framing.width, framing.height);
    let (mut image, product) = if part.dimensions() == (w, h) {
        (part, mask)
    } else if framing.enlarged > 1.0 {
        (upscale_rgb(&part, w, h), resize_gray(&mask, w, h))
    } else {
        (resize_rgb(&part, w, h), resize_gray(&mask, w, h))
    };
    let white = white.map(|white| clamp_white(&mut image, &product, white));
    Painted { image, product, white }
}

/// The window's pixels; beyond the master `ground`.
fn cut<P>(image: &image::ImageBuffer<P, Vec<u8>>, window: Window, ground: P) -> image::ImageBuffer<P, Vec<u8>>
where
    P: image::Pixel<Subpixel = u8>,
{
    let (w, h) = image.dimensions();
    let mut out = image::ImageBuffer::from_pixel(window.w, window.h, ground);
    let channels = usize::from(P::CHANNEL_COUNT);
    let (left, right) = (window.x.max(0), (window.x + i64::from(window.w)).min(i64::from(w)));
    if left >= right {
        return out;
    }
    let length = (right - left) as usize * channels;
    let source = image.as_raw();
    let target_width = window.w as usize;
    let raw: &mut [u8] = &mut out;
    for (row, line) in raw.chunks_exact_mut(target_width * channels).enumerate() {
        let y = window.y + row as i64;
        if !(0..i64::from(h)).contains(&y) {
            continue;
        }
        let from = (y as usize * w as usize + left as usize) * channels;
        let to = (left - window.x) as usize * channels;
        line[to..to + length].copy_from_slice(&source[from..from + length]);
    }
    out
}

/// Whitens everything outside the product and, in its soft rim, replaces the background
/// that shines through (a shadow) by white: `I + (1 - A)(1 - B)` in linear light, where B
/// is the mean of the uncovered pixels near by, the nearest weighing most.
fn lift_rim(image: &mut RgbImage, mask: &GrayImage) {
    let (w, h) = image.dimensions();
    let width = w as usize;
    let before = image.clone();
    image.par_chunks_exact_mut(width.max(1) * 3).enumerate().for_each(|(y, line)| {
        for x in 0..width {
            let coverage = mask.as_raw()[y * width + x];
            let pixel = &mut line[x * 3..x * 3 + 3];
            if coverage < COVERED {
                pixel.fill(255);
            } else if coverage < 255 {
                let Some(behind) =
                    background_near(&before, mask, x as i64, y as i64, i64::from(w), i64::from(h))
                else {
                    continue;
                };
                let through = 1.0 - f32::from(coverage) / 255.0;
                for (value, behind) in pixel.iter_mut().zip(behind) {
                    *value = linear_to_srgb((srgb_to_linear(*value) + through * (1.0 - behind)).min(1.0));
                }
            }
        }
    });
}

/// Mean linear colour of the uncovered pixels near `x`, `y`; `None` when there are none or
/// when all are white already.
fn background_near(image: &RgbImage, mask: &GrayImage, x: i64, y: i64, w: i64, h: i64) -> Option<[f32; 3]> {
    let mut sum = [0.0f32; 3];
    let (mut weights, mut shaded) = (0.0f32, false);
    for sy in (y - RIM_REACH).max(0)..=(y + RIM_REACH).min(h - 1) {
        for sx in (x - RIM_REACH).max(0)..=(x + RIM_REACH).min(w - 1) {
            let at = (sy * w + sx) as usize;
            if mask.as_raw()[at] < COVERED {
                let pixel = &image.as_raw()[at * 3..at * 3 + 3];
                shaded |= pixel.iter().any(|&v| v < 255);
                let weight = 1.0 / ((sx - x).pow(2) + (sy - y).pow(2)).max(1).pow(2) as f32;
                for (sum, &value) in sum.iter_mut().zip(pixel) {
                    *sum += weight * srgb_to_linear(value);
                }
                weights += weight;
            }
        }
    }
    (weights > 0.0 && shaded).then(|| sum.map(|v| v / weights))
}

/// Sets white where it is asked for and says where that is.
fn clamp_white(image: &mut RgbImage, product: &GrayImage, white: White) -> GrayImage {
    let rim = grown(product, COVERED, RIM_PX);
    let mut mask = GrayImage::new(image.width(), image.height());
    let pixels = image.chunks_exact_mut(3).zip(rim.iter()).zip(mask.iter_mut());
    for ((pixel, &covered), mark) in pixels {
        let clear = match white {
            White::Everywhere => true,
            White::Edges => pixel.iter().all(|&v| v >= NEARLY_WHITE),
        };
        if covered == 0 && clear {
            pixel.fill(255);
            *mark = 255;
        }
    }
    mask
}

/// 255 at every pixel within `radius` px (in a square) of one of at least `level`.
pub fn grown(mask: &GrayImage, level: u8, radius: u32) -> GrayImage {
    let (w, h) = mask.dimensions();
    let (width, height, radius) = (w as usize, h as usize, radius as usize);
    if width == 0 || height == 0 {
        return mask.clone();
    }
    let mut across = GrayImage::new(w, h);
    across.par_chunks_exact_mut(width).zip(mask.as_raw().par_chunks_exact(width)).for_each(|(out, line)| {
        for (x, &value) in line.iter().enumerate() {
            if value >= level {
                // A run of set pixels writes its two ends only.
                let inner = x > 0 && line[x - 1] >= level;
                let from = if inner { x } else { x.saturating_sub(radius) };
                let to = (x + radius).min(width - 1);
                out[from..=to].fill(255);
            }
        }
    });
    let source = across.as_raw();
    let mut out = GrayImage::new(w, h);
    out.par_chunks_exact_mut(width).enumerate().for_each(|(y, line)| {
        for sy in y.saturating_sub(radius)..=(y + radius).min(height - 1) {
            for (out, &value) in line.iter_mut().zip(&source[sy * width..(sy + 1) * width]) {
                *out |= value;
            }
        }
    });
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use super::*;

    fn framing(window: Window, width: u32, height: u32) -> Framing {
        let enlarged = f64::from(width) / f64::from(window.w);
        Framing { window, width, height, enlarged, notes: vec![] }
    }

    #[test]
    fn growing_is_a_square_of_the_radius() {
        let mut mask = GrayImage::new(9, 7);
        mask.put_pixel(0, 0, Luma([8]));
        mask.put_pixel(5, 4, Luma([200]));
        mask.put_pixel(8, 6, Luma([7]));
        for radius in [0, 1, 2, 20] {
            let grown = grown(&mask, 8, radius);
            for (x, y, pixel) in grown.enumerate_pixels() {
                let near = |cx: u32, cy: u32| x.abs_diff(cx) <= radius && y.abs_diff(cy) <= radius;
                assert_eq!(pixel[0] == 255, near(0, 0) || near(5, 4), "{x} {y} {radius}");
            }
        }
    }

    #[test]
    fn a_window_beyond_the_master_is_filled_with_ground() {
        let image = RgbImage::from_fn(4, 3, |x, y| Rgb([x as u8, y as u8, 9]));
        let out = cut(&image, Window { x: -2, y: -1, w: 7, h: 6 }, Rgb([255; 3]));
        for (x, y, pixel) in out.enumerate_pixels() {
            let expected = match (x.checked_sub(2), y.checked_sub(1)) {
                (Some(x), Some(y)) if x < 4 && y < 3 => [x as u8, y as u8, 9],
                _ => [255; 3],
            };
            assert_eq!(pixel.0, expected, "{x} {y}");
        }
        let away = cut(&image, Window { x: 10, y: 10, w: 2, h: 2 }, Rgb([1; 3]));
        assert!(away.pixels().all(|p| p.0 == [1; 3]));
    }

    /// A grey disc with a soft rim on white, a dark shadow below it.
    fn shadowed() -> (RgbImage, GrayImage) {
        let mut image = RgbImage::new(200, 200);
        let mut mask = GrayImage::new(200, 200);
        for (x, y, pixel) in image.enumerate_pixels_mut() {
            let d = (x as f32 - 100.0).hypot(y as f32 - 90.0);
            let coverage = (61.0 - d).clamp(0.0, 2.0) / 2.0;
            let shade = if y > 140 { 1.0 - 0.6 * (-(y as f32 - 145.0).abs() / 8.0).exp() } else { 1.0 };
            let behind = srgb_to_linear(255) * shade;
            let value = linear_to_srgb(coverage * srgb_to_linear(90) + (1.0 - coverage) * behind);
            pixel.0 = [value; 3];
            mask.put_pixel(x, y, Luma([(coverage * 255.0).round() as u8]));
        }
        (image, mask)
    }

    #[test]
    fn a_shadow_is_taken_away_up_to_the_soft_rim() {
        let (image, mask) = shadowed();
        let subject = Subject::of(&image, &mask).unwrap();
        let whole = framing(Window { x: 0, y: 0, w: 200, h: 200 }, 200, 200);
        let out = paint(&image, &mask, &subject, &whole, Some(White::Everywhere));
        for (x, y, pixel) in out.image.enumerate_pixels() {
            let coverage = f32::from(mask.get_pixel(x, y)[0]) / 255.0;
            let clean = linear_to_srgb(coverage * srgb_to_linear(90) + (1.0 - coverage));
            let slack = if coverage > 0.0 && coverage < 1.0 { 24 } else { 0 };
            assert!(pixel[0].abs_diff(clean) <= slack, "{x} {y}: {} for {clean}", pixel[0]);
        }
        let kept = paint(&image, &mask, &subject, &whole, Some(White::Edges));
        assert_eq!(kept.image.get_pixel(100, 160), image.get_pixel(100, 160), "the shadow stays");
    }

    #[test]
    fn white_is_white_after_resizing() {
        let (image, mask) = shadowed();
        let subject = Subject::of(&image, &mask).unwrap();
        for size in [33, 150, 320] {
            let whole = framing(Window { x: -20, y: -20, w: 240, h: 240 }, size, size);
            let out = paint(&image, &mask, &subject, &whole, Some(White::Everywhere));
            let white = out.white.unwrap();
            let rim = grown(&out.product, COVERED, RIM_PX);
            for ((pixel, w), covered) in out.image.pixels().zip(white.iter()).zip(rim.iter()) {
                assert_eq!(*w == 255, *covered == 0);
                assert!(*w == 0 || pixel.0 == [255; 3]);
            }
        }
    }
}
