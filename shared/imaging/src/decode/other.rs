//! PNG, WebP, GIF, TIFF and BMP through the `image` crate.

use std::io::Cursor;

use image::codecs::bmp::BmpDecoder;
use image::codecs::gif::GifDecoder;
use image::codecs::png::PngDecoder;
use image::codecs::tiff::TiffDecoder;
use image::codecs::webp::WebPDecoder;
use image::error::LimitErrorKind;
use image::{ImageDecoder, ImageError, ImageResult, Limits};

use super::{DecodeError, DecodeLimits, Probe, Raw, Samples};
use crate::photo::Format;

/// Most bytes per pixel that a decoder may need while it works.
const BYTES_PER_PIXEL_MAX: u64 = 16;
/// What a decoder may need besides pixels: metadata, tables.
const OVERHEAD_BYTES_MAX: u64 = 64 << 20;

/// Size and layout of a TIFF from its first directory.
pub(super) fn probe_tiff(bytes: &[u8]) -> Result<Probe, DecodeError> {
    let decoder = TiffDecoder::new(Cursor::new(bytes)).map_err(|e| explain(Format::Tiff, &e))?;
    let (width, height) = decoder.dimensions();
    let layout = format!("{:?}", decoder.original_color_type()).to_lowercase();
    Ok(Probe { format: Format::Tiff, width, height, layout, frames: 1 })
}

/// Decodes the samples, reduced to 8 bits.
pub(super) fn decode(bytes: &[u8], probed: &Probe, limits: &DecodeLimits) -> Result<Raw, DecodeError> {
    let pixels = u64::from(probed.width) * u64::from(probed.height);
    let mut allowed = Limits::default();
    allowed.max_alloc = Some(pixels.saturating_mul(BYTES_PER_PIXEL_MAX).saturating_add(OVERHEAD_BYTES_MAX));
    allowed.max_image_width = Some(limits.side_max);
    allowed.max_image_height = Some(limits.side_max);
    let cursor = Cursor::new(bytes);
    let result = match probed.format {
        Format::Png => PngDecoder::with_limits(cursor, allowed.clone()).and_then(|d| read(d, allowed)),
        Format::Webp => WebPDecoder::new(cursor).and_then(|d| read(d, allowed)),
        Format::Gif => GifDecoder::new(cursor).and_then(|d| read(d, allowed)),
        Format::Tiff => TiffDecoder::new(cursor).and_then(|d| read(d, allowed)),
        Format::Bmp | Format::Jpeg => BmpDecoder::new(cursor).and_then(|d| read(d, allowed)),
    };
    let mut raw = result.map_err(|e| explain(probed.format, &e))?;
    if probed.format == Format::Tiff {
        // A TIFF file is its own EXIF block.
        raw.exif = Some(bytes.to_vec());
    }
    Ok(raw)
}

fn read(mut decoder: impl ImageDecoder, limits: Limits) -> ImageResult<Raw> {
    decoder.set_limits(limits)?;
    let (width, height) = decoder.dimensions();
    let icc = decoder.icc_profile().ok().flatten();
    let exif = decoder.exif_metadata().ok().flatten();
    let color = decoder.color_type();
    let mut buffer = vec![0u8; usize::try_from(decoder.total_bytes()).unwrap_or(0)];
    decoder.read_image(&mut buffer)?;
    let mut notes = Vec::new();
    let buffer = match color.bytes_per_pixel() / color.channel_count().max(1) {
        2 => {
            notes.push("16-bit samples reduced to 8".to_owned());
            buffer.chunks_exact(2).map(|v| to_8_bits(u16::from_ne_bytes([v[0], v[1]]))).collect()
        }
        4 => {
            notes.push("floating point samples reduced to 8 bits".to_owned());
            let value = |v: &[u8]| (f32::from_ne_bytes([v[0], v[1], v[2], v[3]]) * 255.0 + 0.5) as u8;
            buffer.chunks_exact(4).map(value).collect()
        }
        _ => buffer,
    };
    let samples = match color.channel_count() {
        1 => Samples::Gray(buffer),
        2 => Samples::GrayAlpha(buffer),
        4 => Samples::Rgba(buffer),
        _ => Samples::Rgb(buffer),
    };
    Ok(Raw { samples, width, height, icc, exif, notes })
}

/// Rounds 0..=65535 to 0..=255.
fn to_8_bits(value: u16) -> u8 {
    ((u32::from(value) * 255 + 32_767) / 65_535) as u8
}

fn explain(format: Format, error: &ImageError) -> DecodeError {
    let text = |e: &dyn std::fmt::Display| -> String {
        e.to_string().to_lowercase().chars().filter(|c| !c.is_control()).take(160).collect()
    };
    match error {
        ImageError::IoError(e) => {
            let seen = if e.kind() == std::io::ErrorKind::UnexpectedEof {
                "its compressed data ends too early".to_owned()
            } else {
                text(e)
            };
            DecodeError::Truncated { format, seen }
        }
        ImageError::Unsupported(e) => DecodeError::Unsupported { format, what: text(e) },
        ImageError::Limits(e) if matches!(e.kind(), LimitErrorKind::DimensionError) => {
            DecodeError::Corrupt { format, reason: "its headers contradict each other".to_owned() }
        }
        ImageError::Decoding(_)
        | ImageError::Encoding(_)
        | ImageError::Parameter(_)
        | ImageError::Limits(_) => {
            let reason = text(error);
            if reason.contains("unexpected end") || reason.contains("eof") {
                return DecodeError::Truncated {
                    format,
                    seen: "its compressed data ends too early".to_owned(),
                };
            }
            DecodeError::Corrupt { format, reason }
        }
    }
}
