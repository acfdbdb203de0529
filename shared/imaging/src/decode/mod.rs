//! Bytes to working pixels: format by content, limits before work, colour profile and
//! orientation applied. Everything read here is hostile until decoded: nothing broken is
//! tolerated silently, and every refusal says what to do.

mod convert;
mod jpeg;
mod other;
mod probe;

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::photo::{Format, Photo};

pub use probe::{Probe, probe};

/// Upper bounds checked before any pixel is decoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DecodeLimits {
    /// Largest file in bytes.
    pub bytes_max: u64,
    /// Largest number of pixels.
    pub pixels_max: u64,
    /// Longest width or height in pixels.
    pub side_max: u32,
}

impl DecodeLimits {
    /// 200 MB, 120 megapixels, 30,000 pixels a side: above any product camera, below
    /// what could exhaust a worker.
    pub const DEFAULT: DecodeLimits =
        DecodeLimits { bytes_max: 200_000_000, pixels_max: 120_000_000, side_max: 30_000 };
}

/// Why a file could not become a photo. Each message says what to do.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DecodeError {
    /// No bytes at all.
    #[error("the file is empty (0 bytes): upload or download it again")]
    Empty,
    /// More bytes than allowed.
    #[error("the file has {bytes} bytes, more than the limit of {max}: export it smaller")]
    TooManyBytes {
        /// Size of the file.
        bytes: u64,
        /// The limit.
        max: u64,
    },
    /// More pixels or a longer side than allowed; found in the header, nothing was decoded.
    #[error(
        "the {} image is {width}x{height} pixels, over the limit of {side_max} a side or {pixels_max} in all: \
         export it smaller",
        format.extension()
    )]
    TooLarge {
        /// Format by content.
        format: Format,
        /// Width that the header declares.
        width: u32,
        /// Height that the header declares.
        height: u32,
        /// Longest allowed side.
        side_max: u32,
        /// Most allowed pixels.
        pixels_max: u64,
    },
    /// Not one of the formats that are read.
    #[error(
        "the content is {looks_like}, not an image that can be read: use jpeg, png, webp, gif, tiff or bmp"
    )]
    NotAnImage {
        /// What the first bytes look like: "text", "a pdf document", "a heic photo".
        looks_like: &'static str,
    },
    /// The file ends too early.
    #[error("the {} file is truncated ({seen}): upload or download it again", format.extension())]
    Truncated {
        /// Format by content.
        format: Format,
        /// Where it ends.
        seen: String,
    },
    /// The file contradicts its format.
    #[error("the {} file is corrupt ({reason}): export it again from the original", format.extension())]
    Corrupt {
        /// Format by content.
        format: Format,
        /// What the decoder said.
        reason: String,
    },
    /// A valid file of a kind that is not read.
    #[error("the {} file uses {what}, which is not supported: export it as 8-bit rgb", format.extension())]
    Unsupported {
        /// Format by content.
        format: Format,
        /// The feature.
        what: String,
    },
}

impl DecodeError {
    /// A short stable word for reports: `empty`, `too-large`, `not-an-image`, `truncated`,
    /// `corrupt`, `unsupported`.
    pub fn word(&self) -> &'static str {
        match self {
            DecodeError::Empty => "empty",
            DecodeError::TooManyBytes { .. } | DecodeError::TooLarge { .. } => "too-large",
            DecodeError::NotAnImage { .. } => "not-an-image",
            DecodeError::Truncated { .. } => "truncated",
            DecodeError::Corrupt { .. } => "corrupt",
            DecodeError::Unsupported { .. } => "unsupported",
        }
    }
}

/// Decodes one still image to upright 8-bit sRGB. Animated files give their first frame and
/// a note; 16-bit samples are reduced to 8 with a note; CMYK goes through its embedded
/// profile, or a plain ink model with a note.
pub fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<Photo, DecodeError> {
    let probed = checked(bytes, limits)?;
    // The decoders below are other people's; a panic on a broken file is that file's error.
    let decoded = catch_unwind(AssertUnwindSafe(|| match probed.format {
        Format::Jpeg => jpeg::decode(bytes, &probed),
        Format::Png | Format::Webp | Format::Gif | Format::Tiff | Format::Bmp => {
            other::decode(bytes, &probed, limits)
        }
    }));
    let raw = decoded.unwrap_or_else(|_| {
        Err(DecodeError::Corrupt { format: probed.format, reason: "its decoder gave up".into() })
    })?;
    convert::to_photo(raw, &probed)
}

/// Probes and applies the limits.
fn checked(bytes: &[u8], limits: &DecodeLimits) -> Result<Probe, DecodeError> {
    if bytes.len() as u64 > limits.bytes_max {
        return Err(DecodeError::TooManyBytes { bytes: bytes.len() as u64, max: limits.bytes_max });
    }
    let probed = probe(bytes)?;
    let pixels = u64::from(probed.width) * u64::from(probed.height);
    if probed.width.max(probed.height) > limits.side_max || pixels > limits.pixels_max {
        return Err(DecodeError::TooLarge {
            format: probed.format,
            width: probed.width,
            height: probed.height,
            side_max: limits.side_max,
            pixels_max: limits.pixels_max,
        });
    }
    if pixels == 0 {
        return Err(DecodeError::Corrupt { format: probed.format, reason: "it declares no pixels".into() });
    }
    Ok(probed)
}

/// Samples as a decoder gave them, with what is needed to make a photo of them.
struct Raw {
    samples: Samples,
    width: u32,
    height: u32,
    icc: Option<Vec<u8>>,
    exif: Option<Vec<u8>>,
    notes: Vec<String>,
}

/// 8-bit samples, interleaved, row by row.
enum Samples {
    Gray(Vec<u8>),
    GrayAlpha(Vec<u8>),
    Rgb(Vec<u8>),
    Rgba(Vec<u8>),
    /// Ink coverage, 255 = full ink.
    Cmyk(Vec<u8>),
}

#[cfg(test)]
mod tests;
