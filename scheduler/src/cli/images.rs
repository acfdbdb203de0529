//! Image files of the single tools: read under limits, written in the format that the
//! file's extension asks for.

use std::path::Path;

use anyhow::{Context, anyhow};
use image::{GrayImage, RgbImage};
use packshot_imaging::decode::{DecodeLimits, decode};
use packshot_imaging::encode::{self, Chroma};
use packshot_imaging::photo::Photo;

use crate::exit::Failure;

/// Quality of lossy files that a user asks for by extension.
const QUALITY: u8 = 92;

/// Reads and decodes an image file.
pub(super) fn read(path: &Path) -> Result<Photo, Failure> {
    let bytes = read_bytes(path)?;
    decode(&bytes, &DecodeLimits::DEFAULT).with_context(|| path.display().to_string()).map_err(Failure::usage)
}

/// Reads a file of at most the decoder's limit.
pub(super) fn read_bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    let limit = DecodeLimits::DEFAULT.bytes_max;
    let read = || -> anyhow::Result<Vec<u8>> {
        let size = std::fs::metadata(path)?.len();
        if size > limit {
            return Err(anyhow!("the file has {size} bytes, at most {limit} are read"));
        }
        Ok(std::fs::read(path)?)
    };
    read().with_context(|| format!("cannot read {}", path.display())).map_err(Failure::usage)
}

/// Reads a mask: its lightness, or its coverage where the file has one.
pub(super) fn read_mask(path: &Path) -> Result<GrayImage, Failure> {
    let photo = read(path)?;
    let lightness = image::imageops::grayscale(&photo.rgb);
    Ok(match photo.alpha {
        None => lightness,
        // A painted layer: what is transparent was not painted.
        Some(alpha) => GrayImage::from_fn(alpha.width(), alpha.height(), |x, y| {
            image::Luma([lightness.get_pixel(x, y).0[0].min(alpha.get_pixel(x, y).0[0])])
        }),
    })
}

/// Writes an image as PNG, JPEG or WebP, by the extension of `path`.
pub(super) fn write(path: &Path, rgb: &RgbImage, alpha: Option<&GrayImage>) -> Result<(), Failure> {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    let encoded = match (extension.as_str(), alpha) {
        ("png", None) => encode::png_rgb(rgb),
        ("png", Some(alpha)) => encode::png_rgba(rgb, alpha),
        ("webp", None) => encode::webp(rgb, f32::from(QUALITY)),
        ("webp", Some(alpha)) => encode::webp_rgba(rgb, alpha, f32::from(QUALITY)),
        ("jpg" | "jpeg", None) => encode::jpeg(rgb, QUALITY, Chroma::Full),
        ("jpg" | "jpeg", Some(_)) => {
            return Err(Failure::usage(anyhow!(
                "the result is transparent and {} cannot hold that",
                path.display()
            ))
            .hint("write to a .png or .webp file"));
        }
        _ => {
            return Err(Failure::usage(anyhow!("cannot tell a format from the name {}", path.display()))
                .hint("end it in .png, .jpg or .webp"));
        }
    };
    let bytes =
        encoded.map_err(|error| Failure::usage(anyhow!("cannot encode {}: {error}", path.display())))?;
    std::fs::write(path, bytes)
        .with_context(|| format!("cannot write {}", path.display()))
        .map_err(Failure::environment)
}
