//! Provenance and colour profile inside an encoded file: XMP with the IPTC digital source
//! type, and the sRGB profile. Written as the last step after encoding, because every
//! re-encoding drops it, and read back from the bytes to prove that it is there.

mod packet;

use std::sync::LazyLock;

use img_parts::jpeg::{Jpeg, JpegSegment};
use img_parts::png::{Png, PngChunk};
use img_parts::riff::{RiffChunk, RiffContent};
use img_parts::webp::WebP;
use img_parts::{Bytes, ImageEXIF, ImageICC};
use serde::{Deserialize, Serialize};

use crate::photo::Format;

/// How an image came to be, in the terms of the IPTC news codes "digital source type".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DigitalSourceType {
    /// Taken by a camera and untouched.
    DigitalCapture,
    /// Several frames joined in the camera, nothing generated.
    ComputationalCapture,
    /// Corrected by a person with tools that generate nothing.
    HumanEdits,
    /// Changed by an algorithm that leaves the main content alone: crop, resize, clean-up.
    AlgorithmicallyEnhanced,
    /// Composed of captures only.
    CompositeCapture,
    /// Captures and computer graphics: product pixels in a rendered scene.
    CompositeSynthetic,
    /// Captures with parts made or repaired by a generative model.
    CompositeWithTrainedAlgorithmicMedia,
    /// Made by a generative model.
    TrainedAlgorithmicMedia,
    /// Made by an algorithm without training data.
    AlgorithmicMedia,
}

/// Vocabulary that every term is appended to.
const URI_PREFIX: &str = "http://cv.iptc.org/newscodes/digitalsourcetype/";

impl DigitalSourceType {
    /// Every term that is written or understood.
    pub const ALL: [DigitalSourceType; 9] = [
        DigitalSourceType::DigitalCapture,
        DigitalSourceType::ComputationalCapture,
        DigitalSourceType::HumanEdits,
        DigitalSourceType::AlgorithmicallyEnhanced,
        DigitalSourceType::CompositeCapture,
        DigitalSourceType::CompositeSynthetic,
        DigitalSourceType::CompositeWithTrainedAlgorithmicMedia,
        DigitalSourceType::TrainedAlgorithmicMedia,
        DigitalSourceType::AlgorithmicMedia,
    ];

    /// The term, for example `algorithmicallyEnhanced`.
    pub fn term(self) -> &'static str {
        match self {
            DigitalSourceType::DigitalCapture => "digitalCapture",
            DigitalSourceType::ComputationalCapture => "computationalCapture",
            DigitalSourceType::HumanEdits => "humanEdits",
            DigitalSourceType::AlgorithmicallyEnhanced => "algorithmicallyEnhanced",
            DigitalSourceType::CompositeCapture => "compositeCapture",
            DigitalSourceType::CompositeSynthetic => "compositeSynthetic",
            DigitalSourceType::CompositeWithTrainedAlgorithmicMedia => "compositeWithTrainedAlgorithmicMedia",
            DigitalSourceType::TrainedAlgorithmicMedia => "trainedAlgorithmicMedia",
            DigitalSourceType::AlgorithmicMedia => "algorithmicMedia",
        }
    }

    /// The full URI, as it stands in the file.
    pub fn uri(self) -> String {
        format!("{URI_PREFIX}{}", self.term())
    }

    /// The type with this URI or bare term, if it is one of [`DigitalSourceType::ALL`].
    pub fn parse(text: &str) -> Option<DigitalSourceType> {
        let text = text.trim().trim_start_matches("https:").trim_start_matches("http:");
        let term = text.strip_prefix("//cv.iptc.org/newscodes/digitalsourcetype/").unwrap_or(text);
        DigitalSourceType::ALL.into_iter().find(|kind| kind.term() == term)
    }

    /// Whether any pixel came out of a generative model.
    pub fn is_generated(self) -> bool {
        matches!(
            self,
            DigitalSourceType::CompositeWithTrainedAlgorithmicMedia
                | DigitalSourceType::TrainedAlgorithmicMedia
        )
    }
}

/// The provenance written into a file. Empty texts are left out.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Xmp {
    /// How the image came to be.
    pub source_type: Option<DigitalSourceType>,
    /// The program, for example `Packshot 0.1.0`.
    pub creator_tool: String,
    /// What the image shows.
    pub description: String,
    /// Who is to be credited, `photoshop:Credit`.
    pub credit: String,
    /// Rights statement.
    pub rights: String,
}

/// Why metadata could not be written or read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MetadataError {
    /// The container could not be read.
    #[error("the {} container could not be read ({reason}): encode the image again", format.extension())]
    Container {
        /// Format asked for.
        format: Format,
        /// What its parser said.
        reason: String,
    },
    /// Metadata is not written into this format.
    #[error("{} files cannot carry provenance here: use jpeg, png or webp", format.extension())]
    Format {
        /// Format asked for.
        format: Format,
    },
    /// The packet is larger than its container allows.
    #[error("the provenance has {bytes} bytes, more than {max}: shorten its description")]
    TooLarge {
        /// Size of the packet.
        bytes: usize,
        /// The container's limit.
        max: usize,
    },
}

/// Header of the XMP segment in a JPEG.
const JPEG_HEADER: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";
/// Most bytes of XMP in one JPEG segment.
const JPEG_XMP_MAX: usize = 65_533 - JPEG_HEADER.len();
/// Keyword, no compression, no language, no translated keyword.
const PNG_HEADER: &[u8] = b"XML:com.adobe.xmp\0\0\0\0\0";
const WEBP_CHUNK: [u8; 4] = *b"XMP ";

/// The sRGB profile that files carry: about half a kilobyte, generated, without copyright.
static SRGB: LazyLock<Vec<u8>> =
    LazyLock::new(|| dated(moxcms::ColorProfile::new_srgb().encode().unwrap_or_default()));

/// Where a profile's header says when it was made: ICC.1:2022, section 7.2.10, six numbers of
/// 16 bits.
const ICC_DATE: std::ops::Range<usize> = 24..36;

/// The profile with a fixed date: the same picture must give the same file, whenever and
/// wherever it is exported.
fn dated(mut profile: Vec<u8>) -> Vec<u8> {
    if let Some(date) = profile.get_mut(ICC_DATE) {
        date.copy_from_slice(&[0x07, 0xEA, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0]);
    }
    profile
}

fn container(format: Format, error: &img_parts::Error) -> MetadataError {
    MetadataError::Container { format, reason: error.to_string() }
}

/// Returns `bytes` with the XMP packet in place of any that was there.
pub fn write_xmp(bytes: &[u8], format: Format, xmp: &Xmp) -> Result<Vec<u8>, MetadataError> {
    let packet = packet::write(xmp);
    let data = Bytes::copy_from_slice(bytes);
    match format {
        Format::Jpeg => {
            if packet.len() > JPEG_XMP_MAX {
                return Err(MetadataError::TooLarge { bytes: packet.len(), max: JPEG_XMP_MAX });
            }
            let mut file = Jpeg::from_bytes(data).map_err(|e| container(format, &e))?;
            let segments = file.segments_mut();
            segments.retain(|s| !(s.marker() == 0xe1 && s.contents().starts_with(JPEG_HEADER)));
            // After JFIF and EXIF, which readers expect first.
            let first = |s: &JpegSegment| s.marker() == 0xe0 || s.contents().starts_with(b"Exif\0");
            let at = segments.iter().take_while(|s| first(s)).count();
            let contents = [JPEG_HEADER, packet.as_bytes()].concat();
            segments.insert(at, JpegSegment::new_with_contents(0xe1, contents.into()));
            Ok(file.encoder().bytes().to_vec())
        }
        Format::Png => {
            let mut file = Png::from_bytes(data).map_err(|e| container(format, &e))?;
            let chunks = file.chunks_mut();
            chunks.retain(|c| !(c.kind() == *b"iTXt" && c.contents().starts_with(b"XML:com.adobe.xmp\0")));
            let at = chunks.len().min(1);
            let contents = [PNG_HEADER, packet.as_bytes()].concat();
            chunks.insert(at, PngChunk::new(*b"iTXt", contents.into()));
            Ok(file.encoder().bytes().to_vec())
        }
        Format::Webp => {
            let mut file = WebP::from_bytes(data).map_err(|e| container(format, &e))?;
            file.remove_chunks_by_id(WEBP_CHUNK);
            file.chunks_mut().push(RiffChunk::new(WEBP_CHUNK, RiffContent::Data(packet.into_bytes().into())));
            // Setting what is there anyway makes the library add the extended header.
            let exif = file.exif();
            file.set_exif(exif);
            mark_webp_xmp(&mut file);
            Ok(file.encoder().bytes().to_vec())
        }
        Format::Gif | Format::Tiff | Format::Bmp => Err(MetadataError::Format { format }),
    }
}

/// Sets the XMP flag of the extended header.
fn mark_webp_xmp(file: &mut WebP) {
    let header = file.chunks_mut().iter_mut().find(|chunk| chunk.id() == *b"VP8X");
    if let Some(RiffContent::Data(data)) = header.map(RiffChunk::content_mut) {
        let mut flags = data.to_vec();
        if let Some(first) = flags.first_mut() {
            *first |= 0b100;
        }
        *data = flags.into();
    }
}

/// The XMP of an encoded JPEG, PNG or WebP; `None` when the file has none. Packets written
/// by other programs are understood as far as the fields of [`Xmp`] go.
pub fn read_xmp(bytes: &[u8]) -> Result<Option<Xmp>, MetadataError> {
    let data = Bytes::copy_from_slice(bytes);
    let packet: Option<Bytes> = match bytes {
        [0xff, 0xd8, ..] => {
            let file = Jpeg::from_bytes(data).map_err(|e| container(Format::Jpeg, &e))?;
            file.segments_by_marker(0xe1).find_map(|s| {
                s.contents().starts_with(JPEG_HEADER).then(|| s.contents().slice(JPEG_HEADER.len()..))
            })
        }
        [0x89, b'P', ..] => {
            let file = Png::from_bytes(data).map_err(|e| container(Format::Png, &e))?;
            file.chunks_by_type(*b"iTXt").find_map(|c| {
                c.contents().starts_with(PNG_HEADER).then(|| c.contents().slice(PNG_HEADER.len()..))
            })
        }
        [b'R', b'I', b'F', b'F', ..] => {
            let file = WebP::from_bytes(data).map_err(|e| container(Format::Webp, &e))?;
            file.chunk_by_id(WEBP_CHUNK).and_then(|c| c.content().data().cloned())
        }
        _ => None,
    };
    Ok(packet.map(|p| packet::read(&String::from_utf8_lossy(&p))))
}

/// Returns `bytes` with the sRGB profile in place of any that was there.
pub fn embed_srgb(bytes: &[u8], format: Format) -> Result<Vec<u8>, MetadataError> {
    let data = Bytes::copy_from_slice(bytes);
    let profile = Some(Bytes::from_static(&SRGB));
    match format {
        Format::Jpeg => {
            let mut file = Jpeg::from_bytes(data).map_err(|e| container(format, &e))?;
            file.set_icc_profile(profile);
            Ok(file.encoder().bytes().to_vec())
        }
        Format::Png => {
            let mut file = Png::from_bytes(data).map_err(|e| container(format, &e))?;
            file.set_icc_profile(profile);
            Ok(file.encoder().bytes().to_vec())
        }
        Format::Webp => {
            let mut file = WebP::from_bytes(data).map_err(|e| container(format, &e))?;
            file.set_icc_profile(profile);
            Ok(file.encoder().bytes().to_vec())
        }
        Format::Gif | Format::Tiff | Format::Bmp => Err(MetadataError::Format { format }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    #[test]
    fn the_profile_does_not_say_when_it_was_embedded() {
        assert_eq!(super::SRGB[super::ICC_DATE], [0x07, 0xEA, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0]);
    }
    use image::{GrayImage, Luma, Rgb, RgbImage};

    use super::*;
    use crate::decode::{DecodeLimits, decode};
    use crate::encode::{Chroma, jpeg, png_rgb, webp, webp_rgba};

    fn files() -> Vec<(Format, Vec<u8>)> {
        let image = RgbImage::from_fn(40, 30, |x, y| Rgb([x as u8 * 6, y as u8 * 8, 90]));
        let alpha = GrayImage::from_fn(40, 30, |x, _| Luma([x as u8 * 6]));
        vec![
            (Format::Jpeg, jpeg(&image, 90, Chroma::Full).unwrap()),
            (Format::Png, png_rgb(&image).unwrap()),
            (Format::Webp, webp(&image, 90.0).unwrap()),
            (Format::Webp, webp_rgba(&image, &alpha, 90.0).unwrap()),
        ]
    }

    #[test]
    fn provenance_and_profile_come_back_and_pixels_stay() {
        let xmp = Xmp {
            source_type: Some(DigitalSourceType::CompositeSynthetic),
            creator_tool: "Packshot 0.1.0".into(),
            description: "a <b>\"mug\"</b> & ]]> 'tea' \u{0}\u{7}\u{1f600} \u{202e}".into(),
            credit: "shop".into(),
            rights: String::new(),
        };
        for (format, bytes) in files() {
            let before = decode(&bytes, &DecodeLimits::DEFAULT).unwrap();
            let with = write_xmp(&embed_srgb(&bytes, format).unwrap(), format, &xmp).unwrap();
            let again = write_xmp(&with, format, &xmp).unwrap();
            assert_eq!(with.len(), again.len(), "{format:?}: a second write replaces the first");
            let after = decode(&again, &DecodeLimits::DEFAULT).unwrap();
            assert_eq!((&after.rgb, &after.alpha), (&before.rgb, &before.alpha), "{format:?}");
            assert!(after.info.profile.is_some(), "{format:?}");
            let read = read_xmp(&again).unwrap().unwrap();
            assert_eq!(read.source_type, xmp.source_type);
            assert_eq!(read.creator_tool, xmp.creator_tool);
            assert_eq!(read.description, "a <b>\"mug\"</b> & ]]> 'tea' \u{1f600} \u{202e}");
            assert_eq!(read_xmp(&bytes).unwrap(), None);
        }
    }

    #[test]
    fn every_term_round_trips() {
        for kind in DigitalSourceType::ALL {
            assert_eq!(DigitalSourceType::parse(&kind.uri()), Some(kind));
            assert_eq!(DigitalSourceType::parse(kind.term()), Some(kind));
        }
        assert_eq!(
            DigitalSourceType::parse("http://cv.iptc.org/newscodes/digitalsourcetype/digitalArt"),
            None
        );
    }

    #[test]
    fn refusals() {
        let xmp = Xmp { description: "x".repeat(70_000), ..Xmp::default() };
        let (format, bytes) = files().swap_remove(0);
        assert!(matches!(write_xmp(&bytes, format, &xmp), Err(MetadataError::TooLarge { .. })));
        assert!(matches!(write_xmp(b"GIF89a", Format::Gif, &xmp), Err(MetadataError::Format { .. })));
        for format in [Format::Jpeg, Format::Png, Format::Webp] {
            assert!(matches!(
                write_xmp(b"nonsense", format, &Xmp::default()),
                Err(MetadataError::Container { .. })
            ));
            assert!(embed_srgb(b"", format).is_err());
        }
        assert_eq!(read_xmp(b"text").unwrap(), None);
        assert!((300..3000).contains(&SRGB.len()));
    }
}
