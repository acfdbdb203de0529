//! Working pixels to bytes. Files written here carry no metadata; see
//! [`crate::metadata`] for profile and provenance, which are added last.

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, GrayImage, ImageEncoder, RgbImage};
use jpeg_encoder::{ChromaSubsamplingMethod, ColorType, Encoder, SamplingFactor};

/// Resolution of a JPEG's colour against its lightness.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Chroma {
    /// 4:4:4: no colour bleeds over edges; needed where a product meets pure white.
    Full,
    /// 4:2:0: smaller files.
    Half,
}

/// Why an image could not be encoded.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EncodeError {
    /// The format cannot hold an image of this size.
    #[error(
        "{format} cannot hold {width}x{height} pixels (1 to {side_max} a side): export a smaller size or another format"
    )]
    Size {
        /// Format name.
        format: &'static str,
        /// Width asked for.
        width: u32,
        /// Height asked for.
        height: u32,
        /// The format's longest side.
        side_max: u32,
    },
    /// Colour and coverage have different sizes.
    #[error("colour is {colour:?} pixels but alpha is {alpha:?}: both need the same size")]
    AlphaSize {
        /// Size of the colour image.
        colour: (u32, u32),
        /// Size of the coverage.
        alpha: (u32, u32),
    },
    /// The encoder failed.
    #[error("the {format} encoder failed: {reason}")]
    Encoder {
        /// Format name.
        format: &'static str,
        /// What it said.
        reason: String,
    },
}

fn check_size(format: &'static str, (width, height): (u32, u32), side_max: u32) -> Result<(), EncodeError> {
    if (1..=side_max).contains(&width) && (1..=side_max).contains(&height) {
        Ok(())
    } else {
        Err(EncodeError::Size { format, width, height, side_max })
    }
}

/// Baseline JPEG; `quality` 1 to 100 (others are clamped).
pub fn jpeg(image: &RgbImage, quality: u8, chroma: Chroma) -> Result<Vec<u8>, EncodeError> {
    let (width, height) = image.dimensions();
    check_size("jpeg", (width, height), 65_535)?;
    let mut out = Vec::with_capacity(image.as_raw().len() / 8 + 1024);
    let mut encoder = Encoder::new(&mut out, quality.clamp(1, 100));
    encoder.set_sampling_factor(match chroma {
        Chroma::Full => SamplingFactor::R_4_4_4,
        Chroma::Half => SamplingFactor::R_4_2_0,
    });
    encoder.set_chroma_subsampling_method(ChromaSubsamplingMethod::Average);
    encoder
        .encode(image.as_raw(), width as u16, height as u16, ColorType::Rgb)
        .map_err(|e| EncodeError::Encoder { format: "jpeg", reason: e.to_string() })?;
    Ok(out)
}

/// PNG for export: small, lossless.
pub fn png_rgb(image: &RgbImage) -> Result<Vec<u8>, EncodeError> {
    png(image.as_raw(), image.dimensions(), ExtendedColorType::Rgb8, Effort::Export)
}

/// PNG with alpha for export. Colour under zero coverage is written as given.
pub fn png_rgba(image: &RgbImage, alpha: &GrayImage) -> Result<Vec<u8>, EncodeError> {
    png(&interleave(image, alpha)?, image.dimensions(), ExtendedColorType::Rgba8, Effort::Export)
}

/// Grey PNG for export.
pub fn png_gray(image: &GrayImage) -> Result<Vec<u8>, EncodeError> {
    png(image.as_raw(), image.dimensions(), ExtendedColorType::L8, Effort::Export)
}

/// PNG for internal blobs: several times faster, somewhat larger.
pub fn png_rgb_fast(image: &RgbImage) -> Result<Vec<u8>, EncodeError> {
    png(image.as_raw(), image.dimensions(), ExtendedColorType::Rgb8, Effort::Internal)
}

/// PNG with alpha for internal blobs.
pub fn png_rgba_fast(image: &RgbImage, alpha: &GrayImage) -> Result<Vec<u8>, EncodeError> {
    png(&interleave(image, alpha)?, image.dimensions(), ExtendedColorType::Rgba8, Effort::Internal)
}

/// Grey PNG for internal blobs.
pub fn png_gray_fast(image: &GrayImage) -> Result<Vec<u8>, EncodeError> {
    png(image.as_raw(), image.dimensions(), ExtendedColorType::L8, Effort::Internal)
}

/// Lossy WebP; `quality` 0 to 100.
pub fn webp(image: &RgbImage, quality: f32) -> Result<Vec<u8>, EncodeError> {
    let (width, height) = image.dimensions();
    check_size("webp", (width, height), 16_383)?;
    lossy_webp(&webp::Encoder::from_rgb(image.as_raw(), width, height), quality)
}

/// Lossy WebP with lossless alpha; `quality` 0 to 100.
pub fn webp_rgba(image: &RgbImage, alpha: &GrayImage, quality: f32) -> Result<Vec<u8>, EncodeError> {
    let (width, height) = image.dimensions();
    check_size("webp", (width, height), 16_383)?;
    let samples = interleave(image, alpha)?;
    lossy_webp(&webp::Encoder::from_rgba(&samples, width, height), quality)
}

fn lossy_webp(encoder: &webp::Encoder<'_>, quality: f32) -> Result<Vec<u8>, EncodeError> {
    let quality = if quality.is_finite() { quality.clamp(0.0, 100.0) } else { 90.0 };
    encoder
        .encode_simple(false, quality)
        .map(|memory| memory.to_vec())
        .map_err(|e| EncodeError::Encoder { format: "webp", reason: format!("{e:?}") })
}

#[derive(Clone, Copy)]
enum Effort {
    Internal,
    Export,
}

fn png(
    samples: &[u8],
    (width, height): (u32, u32),
    color: ExtendedColorType,
    effort: Effort,
) -> Result<Vec<u8>, EncodeError> {
    check_size("png", (width, height), i32::MAX as u32)?;
    let mut out = Vec::with_capacity(samples.len() / 2 + 1024);
    let (compression, filter) = match effort {
        Effort::Internal => (CompressionType::Fast, FilterType::Up),
        Effort::Export => (CompressionType::Default, FilterType::Adaptive),
    };
    PngEncoder::new_with_quality(&mut out, compression, filter)
        .write_image(samples, width, height, color)
        .map_err(|e| EncodeError::Encoder { format: "png", reason: e.to_string() })?;
    Ok(out)
}

fn interleave(image: &RgbImage, alpha: &GrayImage) -> Result<Vec<u8>, EncodeError> {
    if image.dimensions() != alpha.dimensions() {
        return Err(EncodeError::AlphaSize { colour: image.dimensions(), alpha: alpha.dimensions() });
    }
    let pixels = image.as_raw().chunks_exact(3).zip(alpha.as_raw());
    Ok(pixels.flat_map(|(p, &a)| [p[0], p[1], p[2], a]).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use image::{Luma, Rgb};

    use super::*;
    use crate::decode::{DecodeLimits, decode};

    fn picture() -> RgbImage {
        RgbImage::from_fn(70, 50, |x, y| if x < 35 { Rgb([255; 3]) } else { Rgb([180, 20, (y * 4) as u8]) })
    }

    #[test]
    fn lossless_formats_come_back_equal() {
        let image = picture();
        let alpha = GrayImage::from_fn(70, 50, |x, _| Luma([(x * 3) as u8]));
        for bytes in [png_rgb(&image).unwrap(), png_rgb_fast(&image).unwrap()] {
            assert_eq!(decode(&bytes, &DecodeLimits::DEFAULT).unwrap().rgb, image);
        }
        for bytes in [png_rgba(&image, &alpha).unwrap(), png_rgba_fast(&image, &alpha).unwrap()] {
            let photo = decode(&bytes, &DecodeLimits::DEFAULT).unwrap();
            assert_eq!((photo.rgb, photo.alpha), (image.clone(), Some(alpha.clone())));
        }
        for bytes in [png_gray(&alpha).unwrap(), png_gray_fast(&alpha).unwrap()] {
            let photo = decode(&bytes, &DecodeLimits::DEFAULT).unwrap();
            assert!(photo.rgb.pixels().zip(alpha.pixels()).all(|(c, a)| c.0 == [a.0[0]; 3]));
        }
    }

    #[test]
    fn lossy_formats_come_back_close() {
        let image = picture();
        let alpha = GrayImage::from_pixel(70, 50, Luma([128]));
        let mean = |other: &RgbImage| {
            let sum: u64 =
                other.as_raw().iter().zip(image.as_raw()).map(|(x, y)| u64::from(x.abs_diff(*y))).sum();
            sum as f64 / image.as_raw().len() as f64
        };
        for bytes in [jpeg(&image, 95, Chroma::Full).unwrap(), webp(&image, 95.0).unwrap()] {
            assert!(mean(&decode(&bytes, &DecodeLimits::DEFAULT).unwrap().rgb) < 3.0);
        }
        let half = jpeg(&image, 95, Chroma::Half).unwrap();
        assert!(mean(&decode(&half, &DecodeLimits::DEFAULT).unwrap().rgb) < 4.0);
        let photo = decode(&webp_rgba(&image, &alpha, f32::NAN).unwrap(), &DecodeLimits::DEFAULT).unwrap();
        assert_eq!(photo.alpha, Some(alpha));
    }

    #[test]
    fn sizes_that_cannot_be() {
        let empty = RgbImage::new(0, 5);
        for result in [jpeg(&empty, 90, Chroma::Full), png_rgb(&empty), webp(&empty, 90.0)] {
            assert!(matches!(result, Err(EncodeError::Size { .. })));
        }
        assert!(matches!(webp(&RgbImage::new(16_384, 1), 90.0), Err(EncodeError::Size { .. })));
        let alpha = GrayImage::new(3, 3);
        assert!(matches!(png_rgba(&picture(), &alpha), Err(EncodeError::AlphaSize { .. })));
        assert!(jpeg(&RgbImage::new(1, 1), 0, Chroma::Half).is_ok());
    }
}
