//! What a file is, by its first bytes and its headers, without decoding pixels.

use serde::Serialize;

use super::DecodeError;
use crate::photo::Format;

/// What the headers of a file say.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Probe {
    /// Format by content.
    pub format: Format,
    /// Width in the file, before any orientation is applied.
    pub width: u32,
    /// Height in the file, before any orientation is applied.
    pub height: u32,
    /// Pixel layout: `rgb8`, `gray16`, `palette8`, `cmyk8`, ...
    pub layout: String,
    /// Frames as far as the headers tell; 1 for a still image.
    pub frames: u32,
}

/// Reads format, size and layout from the headers; walks over compressed data where that is
/// needed to see whether the file is complete.
pub fn probe(bytes: &[u8]) -> Result<Probe, DecodeError> {
    match bytes {
        [] => Err(DecodeError::Empty),
        [0xff, 0xd8, 0xff, ..] => super::jpeg::probe(bytes),
        [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, ..] => png(bytes),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => webp(bytes),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => gif(bytes),
        [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => super::other::probe_tiff(bytes),
        [b'B', b'M', ..] if bytes.len() >= 26 => bmp(bytes),
        _ => Err(DecodeError::NotAnImage { looks_like: looks_like(bytes) }),
    }
}

/// A plain name for content that is not read.
fn looks_like(bytes: &[u8]) -> &'static str {
    let head = &bytes[..bytes.len().min(512)];
    let box_type = bytes.get(4..12).unwrap_or_default();
    if box_type.starts_with(b"ftyp") {
        return match &box_type[4..] {
            b"avif" | b"avis" => "an avif image",
            b"heic" | b"heix" | b"mif1" | b"msf1" | b"hevc" => "a heic photo",
            _ => "a video",
        };
    }
    for (start, name) in [
        (&b"%PDF"[..], "a pdf document"),
        (b"8BPS", "a photoshop document"),
        (b"PK\x03\x04", "a zip archive"),
        (b"\x1f\x8b", "a gzip archive"),
        (b"\x89PNG", "a damaged png"),
        (b"\xff\xd8", "a damaged jpeg"),
        (b"\xff\x0a", "a jpeg xl image"),
        (b"\x00\x00\x00\x0cJXL ", "a jpeg xl image"),
        (b"\x00\x00\x00\x0cjP  ", "a jpeg 2000 image"),
        (b"RIFF", "a riff container"),
    ] {
        if head.starts_with(start) {
            return name;
        }
    }
    let text = String::from_utf8_lossy(head).to_lowercase();
    let start = text.trim_start_matches(['\u{feff}', ' ', '\n', '\r', '\t']);
    if start.starts_with("<!doctype html") || start.starts_with("<html") {
        "a web page"
    } else if start.contains("<svg") {
        "an svg drawing"
    } else if head.iter().all(|&b| b >= 0x20 || matches!(b, b'\n' | b'\r' | b'\t')) {
        "text"
    } else {
        "unknown data"
    }
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
}

fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

fn le16(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 2).map(|b| u32::from(u16::from_le_bytes([b[0], b[1]])))
}

fn le24(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 3).map(|b| u32::from_le_bytes([b[0], b[1], b[2], 0]))
}

fn truncated(format: Format, seen: &str) -> DecodeError {
    DecodeError::Truncated { format, seen: seen.to_owned() }
}

fn png(bytes: &[u8]) -> Result<Probe, DecodeError> {
    let header = bytes.get(8..33).ok_or_else(|| truncated(Format::Png, "it ends inside its header"))?;
    if &header[4..8] != b"IHDR" {
        let reason = "its first chunk is not IHDR".to_owned();
        return Err(DecodeError::Corrupt { format: Format::Png, reason });
    }
    let (width, height) = (be32(header, 8).unwrap_or(0), be32(header, 12).unwrap_or(0));
    let depth = header[16];
    let kind = match header[17] {
        0 => "gray",
        2 => "rgb",
        3 => "palette",
        4 => "graya",
        6 => "rgba",
        other => {
            let reason = format!("colour type {other} does not exist");
            return Err(DecodeError::Corrupt { format: Format::Png, reason });
        }
    };
    let mut frames = 1;
    let mut at = 33;
    loop {
        let (Some(length), Some(name)) = (be32(bytes, at), bytes.get(at + 4..at + 8)) else {
            return Err(truncated(Format::Png, "it ends before its IEND chunk"));
        };
        if name == b"IEND" && bytes.len() >= at + 12 {
            break;
        }
        if name == b"acTL" {
            frames = be32(bytes, at + 8).unwrap_or(1).max(1);
        }
        at = at.saturating_add(12).saturating_add(length as usize);
    }
    Ok(Probe { format: Format::Png, width, height, layout: format!("{kind}{depth}"), frames })
}

fn webp(bytes: &[u8]) -> Result<Probe, DecodeError> {
    let declared = le32(bytes, 4).map_or(0, |n| u64::from(n) + 8);
    if declared > bytes.len() as u64 {
        let seen = format!("{} of {declared} bytes are there", bytes.len());
        return Err(DecodeError::Truncated { format: Format::Webp, seen });
    }
    let corrupt = |reason: &str| DecodeError::Corrupt { format: Format::Webp, reason: reason.to_owned() };
    let (width, height, layout) = match bytes.get(12..16) {
        Some(b"VP8X") => {
            let flags = bytes.get(20).copied().unwrap_or(0);
            let size = (le24(bytes, 24).map(|v| v + 1), le24(bytes, 27).map(|v| v + 1));
            (size.0, size.1, if flags & 0x10 == 0 { "rgb8" } else { "rgba8" })
        }
        Some(b"VP8 ") => (le16(bytes, 26).map(|v| v & 0x3fff), le16(bytes, 28).map(|v| v & 0x3fff), "rgb8"),
        Some(b"VP8L") => {
            let bits = le32(bytes, 21);
            let layout = if bits.is_some_and(|b| b & 0x1000_0000 != 0) { "rgba8" } else { "rgb8" };
            (bits.map(|b| (b & 0x3fff) + 1), bits.map(|b| ((b >> 14) & 0x3fff) + 1), layout)
        }
        _ => return Err(corrupt("it has no image chunk")),
    };
    let (Some(width), Some(height)) = (width, height) else {
        return Err(truncated(Format::Webp, "it ends inside its header"));
    };
    let (mut frames, mut at) = (0, 12usize);
    while let (Some(name), Some(length)) = (bytes.get(at..at + 4), le32(bytes, at + 4)) {
        frames += u32::from(name == b"ANMF");
        at = at.saturating_add(8).saturating_add(length as usize + (length as usize & 1));
    }
    Ok(Probe { format: Format::Webp, width, height, layout: layout.to_owned(), frames: frames.max(1) })
}

fn gif(bytes: &[u8]) -> Result<Probe, DecodeError> {
    let (Some(width), Some(height), Some(&flags)) = (le16(bytes, 6), le16(bytes, 8), bytes.get(10)) else {
        return Err(truncated(Format::Gif, "it ends inside its header"));
    };
    let table = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3usize << ((flags & 7) + 1) };
    let mut at = 13 + table(flags);
    let mut frames = 0;
    loop {
        match bytes.get(at) {
            Some(0x3b) => break,
            Some(0x21) => at += 2,
            Some(0x2c) => {
                frames += 1;
                at += 11 + bytes.get(at + 9).map_or(0, |&f| table(f));
            }
            _ if frames > 0 => return Err(truncated(Format::Gif, "it ends before its trailer")),
            _ => return Err(truncated(Format::Gif, "it ends before its first frame")),
        }
        // Both kinds of block end in a chain of sub-blocks.
        while let Some(&length) = bytes.get(at) {
            at += 1 + usize::from(length);
            if length == 0 {
                break;
            }
        }
    }
    Ok(Probe { format: Format::Gif, width, height, layout: "palette8".into(), frames: frames.max(1) })
}

fn bmp(bytes: &[u8]) -> Result<Probe, DecodeError> {
    let header = le32(bytes, 14).unwrap_or(0);
    let (width, height, depth) = if header == 12 {
        (le16(bytes, 18), le16(bytes, 20), le16(bytes, 24))
    } else {
        let size = |at| le32(bytes, at).map(|v| (v as i32).unsigned_abs());
        (size(18), size(22), le16(bytes, 28))
    };
    let (Some(width), Some(height), Some(depth)) = (width, height, depth) else {
        return Err(truncated(Format::Bmp, "it ends inside its header"));
    };
    let layout = match depth {
        1 | 2 | 4 | 8 => format!("palette{depth}"),
        32 => "rgba8".to_owned(),
        _ => "rgb8".to_owned(),
    };
    Ok(Probe { format: Format::Bmp, width, height, layout, frames: 1 })
}
