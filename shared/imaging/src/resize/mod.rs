//! Other sizes of the same picture: resampling with Lanczos 3 (SIMD), honest upscaling, and
//! cropping.
//!
//! A size of 0 is read as 1, so that every function has a picture to return.

mod upscale;

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::{F32, U8, U8x3};
use fast_image_resize::{FilterType, PixelTrait, ResizeAlg, ResizeError, ResizeOptions, Resizer};
use image::{GrayImage, RgbImage};

use crate::blur::Plane;
use crate::colour::{linear_to_srgb, srgb_to_linear};
use crate::photo::Rect;

pub use upscale::upscale_rgb;

/// An RGB image at another size, Lanczos 3 on sRGB levels: the fast everyday path.
pub fn resize_rgb(image: &RgbImage, width: u32, height: u32) -> RgbImage {
    let (w, h) = (width.max(1), height.max(1));
    if image.dimensions() == (w, h) {
        return image.clone();
    }
    let mut out = RgbImage::new(w, h);
    resample::<U8x3>(image.as_raw(), image.dimensions(), &mut out, (w, h));
    out
}

/// An RGB image at another size, averaged in linear light: fine light-dark patterns keep
/// their brightness when made small. Several times the cost of [`resize_rgb`].
pub fn resize_rgb_linear(image: &RgbImage, width: u32, height: u32) -> RgbImage {
    let (w, h) = (width.max(1), height.max(1));
    if image.dimensions() == (w, h) {
        return image.clone();
    }
    let channels: [Plane; 3] = std::array::from_fn(|channel| {
        let data = image.as_raw().chunks_exact(3).map(|p| srgb_to_linear(p[channel])).collect();
        resize_plane(&Plane { width: image.width(), height: image.height(), data }, w, h)
    });
    let mut out = RgbImage::new(w, h);
    for (i, pixel) in out.chunks_exact_mut(3).enumerate() {
        for (value, channel) in pixel.iter_mut().zip(&channels) {
            *value = linear_to_srgb(channel.data[i]);
        }
    }
    out
}

/// A mask or grey image at another size, Lanczos 3.
pub fn resize_gray(image: &GrayImage, width: u32, height: u32) -> GrayImage {
    let (w, h) = (width.max(1), height.max(1));
    if image.dimensions() == (w, h) {
        return image.clone();
    }
    let mut out = GrayImage::new(w, h);
    resample::<U8>(image.as_raw(), image.dimensions(), &mut out, (w, h));
    out
}

/// A plane at another size, Lanczos 3; values may overshoot at sharp edges.
pub fn resize_plane(plane: &Plane, width: u32, height: u32) -> Plane {
    let (w, h) = (width.max(1), height.max(1));
    if (plane.width, plane.height) == (w, h) {
        return plane.clone();
    }
    let mut out = Plane::new(w, h, 0.0);
    let (source, target) = (bytemuck::cast_slice(&plane.data), bytemuck::cast_slice_mut(&mut out.data));
    resample::<F32>(source, (plane.width, plane.height), target, (w, h));
    out
}

/// The part of `image` inside `rect`, clipped to the image; at least 1x1.
pub fn crop_rgb(image: &RgbImage, rect: Rect) -> RgbImage {
    match clip(rect, image.dimensions()) {
        Some(r) => image::imageops::crop_imm(image, r.x, r.y, r.w, r.h).to_image(),
        None => RgbImage::new(1, 1),
    }
}

/// The part of `image` inside `rect`, clipped to the image; at least 1x1.
pub fn crop_gray(image: &GrayImage, rect: Rect) -> GrayImage {
    match clip(rect, image.dimensions()) {
        Some(r) => image::imageops::crop_imm(image, r.x, r.y, r.w, r.h).to_image(),
        None => GrayImage::new(1, 1),
    }
}

/// `rect` moved and cut until it lies inside an image of this size; `None` only for an
/// image without pixels.
fn clip(rect: Rect, (width, height): (u32, u32)) -> Option<Rect> {
    if width == 0 || height == 0 {
        return None;
    }
    let x = rect.x.min(width - 1);
    let y = rect.y.min(height - 1);
    Some(Rect { x, y, w: rect.w.clamp(1, width - x), h: rect.h.clamp(1, height - y) })
}

/// Resamples between raw buffers; the target stays as it is when a buffer does not fit its
/// size or there are no pixels. Only the pixel types named in this file are compiled, as
/// each one costs minutes of build time over all of the library's instruction sets.
fn resample<P: PixelTrait>(data: &[u8], from: (u32, u32), out: &mut [u8], to: (u32, u32)) {
    if from.0 == 0 || from.1 == 0 {
        return;
    }
    let source = TypedImageRef::<P>::from_buffer(from.0, from.1, data);
    let target = TypedImage::<P>::from_buffer(to.0, to.1, out);
    let (Ok(source), Ok(mut target)) = (source, target) else { return };
    let options =
        ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3)).use_alpha(false);
    // Fails only for a crop outside the source, and no crop is asked for.
    let _: Result<(), ResizeError> = Resizer::new().resize_typed(&source, &mut target, &options);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use image::{Luma, Rgb};

    use super::*;

    #[test]
    fn any_size_to_any_size() {
        for (w, h) in [(1, 1), (1, 90), (90, 1), (33, 47)] {
            let rgb = RgbImage::from_pixel(w, h, Rgb([200, 90, 10]));
            let gray = GrayImage::from_pixel(w, h, Luma([77]));
            for (tw, th) in [(0, 0), (1, 1), (5, 200), (33, 47), (64, 64)] {
                let expected = (tw.max(1), th.max(1));
                for out in [resize_rgb(&rgb, tw, th), resize_rgb_linear(&rgb, tw, th)] {
                    assert_eq!(out.dimensions(), expected);
                    assert!(
                        out.pixels().all(|p| p
                            .0
                            .iter()
                            .zip([200u8, 90, 10])
                            .all(|(x, y)| x.abs_diff(y) <= 1))
                    );
                }
                assert!(resize_gray(&gray, tw, th).pixels().all(|p| p.0[0].abs_diff(77) <= 1));
                let plane = resize_plane(&Plane::new(w, h, 0.5), tw, th);
                assert!(plane.data.iter().all(|v| (v - 0.5).abs() < 0.01));
                assert_eq!((plane.width, plane.height), expected);
            }
        }
        assert_eq!(resize_rgb(&RgbImage::new(0, 0), 4, 4).dimensions(), (4, 4));
        assert_eq!(resize_plane(&Plane::new(0, 7, 1.0), 4, 4).data.len(), 16);
    }

    #[test]
    fn linear_light_keeps_the_brightness_of_fine_patterns() {
        let stripes = RgbImage::from_fn(200, 200, |x, _| Rgb([if x % 2 == 0 { 0 } else { 255 }; 3]));
        let small = resize_rgb_linear(&stripes, 50, 50);
        assert!(small.get_pixel(25, 25).0[0].abs_diff(188) <= 2, "{:?}", small.get_pixel(25, 25));
    }

    #[test]
    fn crops_are_clipped() {
        let image = RgbImage::from_fn(10, 8, |x, y| Rgb([x as u8, y as u8, 0]));
        let out = crop_rgb(&image, Rect { x: 2, y: 3, w: 4, h: 2 });
        assert_eq!((out.dimensions(), out.get_pixel(0, 0).0), ((4, 2), [2, 3, 0]));
        assert_eq!(crop_rgb(&image, Rect { x: 9, y: 7, w: u32::MAX, h: u32::MAX }).dimensions(), (1, 1));
        assert_eq!(crop_rgb(&image, Rect { x: u32::MAX, y: 0, w: 0, h: 0 }).dimensions(), (1, 1));
        assert_eq!(crop_gray(&GrayImage::new(0, 0), Rect { x: 0, y: 0, w: 1, h: 1 }).dimensions(), (1, 1));
    }
}
