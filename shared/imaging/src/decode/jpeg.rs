//! JPEG: markers, completeness, CMYK and YCCK. Pixels come from `zune-jpeg` in its strict
//! mode, because its tolerant mode fills what is missing with grey and says nothing.

use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::{DecodeError, Probe, Raw, Samples};
use crate::photo::Format;

/// What the markers of a JPEG say.
struct Markers {
    width: u32,
    height: u32,
    components: u8,
    precision: u8,
    /// Adobe APP14 is present: four-component samples are stored inverted.
    adobe: bool,
    complete: bool,
}

/// Size and layout from the markers; also walks the entropy-coded data to see that the
/// end-of-image marker is there.
pub(super) fn probe(bytes: &[u8]) -> Result<Probe, DecodeError> {
    let markers = read_markers(bytes)?;
    if !markers.complete {
        let seen = "it ends before its end-of-image marker".to_owned();
        return Err(DecodeError::Truncated { format: Format::Jpeg, seen });
    }
    let kind = match markers.components {
        1 => "gray",
        3 => "rgb",
        4 => "cmyk",
        n => {
            let what = format!("{n} colour components");
            return Err(DecodeError::Unsupported { format: Format::Jpeg, what });
        }
    };
    if markers.precision != 8 {
        let what = format!("{} bits per sample", markers.precision);
        return Err(DecodeError::Unsupported { format: Format::Jpeg, what });
    }
    Ok(Probe {
        format: Format::Jpeg,
        width: markers.width,
        height: markers.height,
        layout: format!("{kind}8"),
        frames: 1,
    })
}

fn read_markers(bytes: &[u8]) -> Result<Markers, DecodeError> {
    let mut markers =
        Markers { width: 0, height: 0, components: 0, precision: 8, adobe: false, complete: false };
    let mut at = 2;
    let mut in_scan = false;
    while at + 1 < bytes.len() {
        if bytes[at] != 0xff {
            let Some(skip) = bytes[at..].iter().position(|&b| b == 0xff) else { break };
            at += skip;
            continue;
        }
        let code = bytes[at + 1];
        match code {
            0xff => {
                at += 1;
                continue;
            }
            // Stuffed bytes and restart markers inside a scan, and markers without a body.
            0x00 | 0x01 | 0xd0..=0xd8 => {
                at += 2;
                continue;
            }
            0xd9 => {
                markers.complete = true;
                break;
            }
            _ => {}
        }
        let Some(length) = bytes.get(at + 2..at + 4).map(|b| usize::from(u16::from_be_bytes([b[0], b[1]])))
        else {
            break;
        };
        let body = bytes.get(at + 4..at + 2 + length.max(2)).unwrap_or_default();
        match code {
            0xc0..=0xcf if !matches!(code, 0xc4 | 0xc8 | 0xcc) => {
                if let [precision, h1, h0, w1, w0, components, ..] = *body {
                    markers.precision = precision;
                    markers.height = u32::from(u16::from_be_bytes([h1, h0]));
                    markers.width = u32::from(u16::from_be_bytes([w1, w0]));
                    markers.components = components;
                }
            }
            0xee => markers.adobe |= body.starts_with(b"Adobe"),
            0xda => in_scan = true,
            _ => {}
        }
        at = at.saturating_add(2 + length.max(2));
    }
    if markers.components == 0 {
        return Err(if in_scan || markers.complete {
            DecodeError::Corrupt { format: Format::Jpeg, reason: "it has no frame header".into() }
        } else {
            DecodeError::Truncated { format: Format::Jpeg, seen: "it ends inside its headers".into() }
        });
    }
    Ok(markers)
}

/// Decodes the samples.
pub(super) fn decode(bytes: &[u8], probed: &Probe) -> Result<Raw, DecodeError> {
    let markers = read_markers(bytes)?;
    match decode_with(bytes, probed, &markers, true) {
        // Bytes between headers are harmless and common after careless editors.
        Err(DecodeErrors::FormatStatic(text)) if text.contains("Extra bytes") => {
            let mut raw = decode_with(bytes, probed, &markers, false).map_err(|e| explain(&e))?;
            raw.notes.push("stray bytes between the headers were skipped".into());
            Ok(raw)
        }
        Err(error) => Err(explain(&error)),
        Ok(raw) => Ok(raw),
    }
}

fn decode_with(bytes: &[u8], probed: &Probe, markers: &Markers, strict: bool) -> Result<Raw, DecodeErrors> {
    let options = DecoderOptions::default()
        .set_strict_mode(strict)
        .set_max_width(usize::MAX)
        .set_max_height(usize::MAX);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers()?;
    let stored = decoder.input_colorspace().unwrap_or(ColorSpace::YCbCr);
    let as_stored = [ColorSpace::Luma, ColorSpace::CMYK, ColorSpace::YCCK].contains(&stored);
    let wanted = if as_stored { stored } else { ColorSpace::RGB };
    decoder.set_options(options.jpeg_set_out_colorspace(wanted));
    let pixels = decoder.decode()?;
    let samples = if wanted == ColorSpace::Luma {
        Samples::Gray(pixels)
    } else if as_stored {
        Samples::Cmyk(ink(pixels, wanted == ColorSpace::YCCK, markers.adobe))
    } else {
        Samples::Rgb(pixels)
    };
    Ok(Raw {
        samples,
        width: probed.width,
        height: probed.height,
        icc: decoder.icc_profile(),
        exif: decoder.exif().cloned(),
        notes: Vec::new(),
    })
}

/// Stored four-component samples as ink coverage. Adobe stores them inverted; YCCK stores
/// the first three as YCC of the complement (Adobe technical note 5116).
fn ink(mut pixels: Vec<u8>, ycck: bool, adobe: bool) -> Vec<u8> {
    for p in pixels.chunks_exact_mut(4) {
        if ycck {
            let (y, cb, cr) = (f32::from(p[0]), f32::from(p[1]) - 128.0, f32::from(p[2]) - 128.0);
            p[0] = 255 - (y + 1.402 * cr + 0.5) as u8;
            p[1] = 255 - (y - 0.344_136 * cb - 0.714_136 * cr + 0.5) as u8;
            p[2] = 255 - (y + 1.772 * cb + 0.5) as u8;
        }
        if adobe || ycck {
            for v in p {
                *v = 255 - *v;
            }
        }
    }
    pixels
}

fn explain(error: &DecodeErrors) -> DecodeError {
    let reason = match error {
        DecodeErrors::Format(text)
        | DecodeErrors::HuffmanDecode(text)
        | DecodeErrors::DqtError(text)
        | DecodeErrors::SosError(text)
        | DecodeErrors::SofError(text)
        | DecodeErrors::MCUError(text) => text.clone(),
        DecodeErrors::FormatStatic(text) => (*text).to_owned(),
        DecodeErrors::ExhaustedData | DecodeErrors::IoErrors(_) => {
            let seen = "its compressed data ends too early".to_owned();
            return DecodeError::Truncated { format: Format::Jpeg, seen };
        }
        DecodeErrors::Unsupported(what) => {
            return DecodeError::Unsupported { format: Format::Jpeg, what: format!("{what:?}") };
        }
        DecodeErrors::IllegalMagicBytes(_)
        | DecodeErrors::ZeroError
        | DecodeErrors::LargeDimensions(_)
        | DecodeErrors::TooSmallOutput(..) => "its headers contradict each other".to_owned(),
    };
    let short: String = reason.to_lowercase().chars().filter(|c| !c.is_control()).take(120).collect();
    DecodeError::Corrupt { format: Format::Jpeg, reason: short }
}
