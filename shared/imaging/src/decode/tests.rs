//! Every kind of broken, hostile or unusual file, generated here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use image::codecs::gif::GifEncoder;
use image::codecs::png::PngEncoder;
use image::{
    ExtendedColorType, Frame, GrayImage, ImageEncoder, ImageFormat, Luma, Rgb, RgbImage, Rgba, RgbaImage,
};
use jpeg_encoder::{ColorType, Encoder};
use moxcms::ColorProfile;
use proptest::prelude::*;

use super::*;
use crate::encode::{self, Chroma};

const LIMITS: DecodeLimits = DecodeLimits::DEFAULT;

fn picture(w: u32, h: u32) -> RgbImage {
    RgbImage::from_fn(w, h, |x, y| Rgb([(x * 3) as u8, (y * 5) as u8, (x + y) as u8]))
}

fn saved(format: ImageFormat) -> Vec<u8> {
    let mut out = std::io::Cursor::new(Vec::new());
    picture(60, 40).write_to(&mut out, format).unwrap();
    out.into_inner()
}

fn all_formats() -> Vec<(Format, Vec<u8>)> {
    vec![
        (Format::Jpeg, encode::jpeg(&picture(60, 40), 90, Chroma::Full).unwrap()),
        (Format::Png, encode::png_rgb(&picture(60, 40)).unwrap()),
        (Format::Webp, encode::webp(&picture(60, 40), 90.0).unwrap()),
        (Format::Gif, saved(ImageFormat::Gif)),
        (Format::Tiff, saved(ImageFormat::Tiff)),
        (Format::Bmp, saved(ImageFormat::Bmp)),
    ]
}

#[test]
fn every_format_is_read_by_content() {
    for (format, bytes) in all_formats() {
        let probed = probe(&bytes).unwrap();
        assert_eq!((probed.format, probed.width, probed.height, probed.frames), (format, 60, 40, 1));
        let photo = decode(&bytes, &LIMITS).unwrap();
        assert_eq!((photo.rgb.dimensions(), photo.info.format), ((60, 40), format));
        assert!(photo.alpha.is_none(), "{format:?}");
        assert_eq!(photo.info.orientation, 1);
    }
}

#[test]
fn every_truncation_is_an_error() {
    for (format, bytes) in all_formats() {
        for keep in [12, 30, 60, bytes.len() / 2, bytes.len() - bytes.len() / 10] {
            let error = decode(&bytes[..keep.min(bytes.len() - 1)], &LIMITS).map(|_| ()).unwrap_err();
            assert!(!error.to_string().is_empty(), "{format:?} {keep}");
        }
    }
    for (format, bytes) in all_formats().into_iter().take(3) {
        let error = decode(&bytes[..bytes.len() / 2], &LIMITS).map(|_| ()).unwrap_err();
        assert_eq!(error.word(), "truncated", "{format:?}: {error}");
        let error = decode(&bytes[..bytes.len() - 2], &LIMITS).map(|_| ()).unwrap_err();
        assert_eq!(error.word(), "truncated", "{format:?}: {error}");
    }
}

#[test]
fn not_images() {
    let word = |bytes: &[u8]| {
        let error = decode(bytes, &LIMITS).map(|_| ()).unwrap_err();
        let DecodeError::NotAnImage { looks_like } = error else { panic!("{error}") };
        looks_like
    };
    assert_eq!(decode(b"", &LIMITS).map(|_| ()).unwrap_err(), DecodeError::Empty);
    assert_eq!(word(b"this is not a jpeg\n"), "text");
    assert_eq!(word(b"<!DOCTYPE html><html>404"), "a web page");
    assert_eq!(word(b"<?xml version='1.0'?><svg/>"), "an svg drawing");
    assert_eq!(word(b"%PDF-1.7"), "a pdf document");
    assert_eq!(word(b"\0\0\0\x18ftypheic\0\0"), "a heic photo");
    assert_eq!(word(b"\xff\xd8"), "a damaged jpeg");
    assert_eq!(word(b"\x00\x01\x02\x03\xff"), "unknown data");
}

/// A PNG header that declares any size, with valid checksum and an empty body.
fn declared_png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = encode::png_rgb(&picture(2, 2)).unwrap();
    bytes[16..20].copy_from_slice(&width.to_be_bytes());
    bytes[20..24].copy_from_slice(&height.to_be_bytes());
    bytes
}

#[test]
fn bombs_are_refused_from_their_headers() {
    let started = std::time::Instant::now();
    for (w, h) in [(60_000, 60_000), (30_001, 1), (20_000, 20_000), (u32::MAX, u32::MAX)] {
        assert_eq!(
            decode(&declared_png(w, h), &LIMITS).map(|_| ()).unwrap_err().word(),
            "too-large",
            "{w}x{h}"
        );
    }
    assert_eq!(decode(&declared_png(0, 7), &LIMITS).map(|_| ()).unwrap_err().word(), "corrupt");
    assert!(started.elapsed().as_secs() < 5, "refusing must not decode");
    let tight = DecodeLimits { bytes_max: 10, ..LIMITS };
    assert!(matches!(decode(&saved(ImageFormat::Bmp), &tight), Err(DecodeError::TooManyBytes { .. })));
}

#[test]
fn corrupt_pixels_are_errors() {
    let mut png = encode::png_rgb(&picture(60, 40)).unwrap();
    let middle = png.len() / 2;
    png[middle] ^= 0x55;
    assert_eq!(decode(&png, &LIMITS).map(|_| ()).unwrap_err().word(), "corrupt");
    let mut jpeg = encode::jpeg(&picture(200, 200), 90, Chroma::Full).unwrap();
    let middle = jpeg.len() / 2;
    // A marker that has no business inside a scan.
    jpeg[middle..middle + 4].copy_from_slice(&[0xff, 0xc4, 0x00, 0x03]);
    assert!(decode(&jpeg, &LIMITS).is_err());
}

fn png_of(samples: &[u8], color: ExtendedColorType, icc: Option<Vec<u8>>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = PngEncoder::new(&mut out);
    if let Some(icc) = icc {
        encoder.set_icc_profile(icc).unwrap();
    }
    encoder.write_image(samples, 4, 2, color).unwrap();
    out
}

#[test]
fn unusual_layouts() {
    let sixteen: Vec<u8> = (0..24u16).flat_map(|v| (v * 2730).to_ne_bytes()).collect();
    let photo = decode(&png_of(&sixteen, ExtendedColorType::Rgb16, None), &LIMITS).unwrap();
    assert_eq!(photo.info.layout, "rgb16");
    assert!(photo.info.notes.iter().any(|n| n.contains("16-bit")));
    assert_eq!(photo.rgb.as_raw()[23], 244);
    let gray =
        decode(&png_of(&[0, 40, 80, 120, 160, 200, 240, 255], ExtendedColorType::L8, None), &LIMITS).unwrap();
    assert_eq!(gray.rgb.get_pixel(1, 0).0, [40; 3]);
    let samples: Vec<u8> = (0..8).flat_map(|i| [9, 8, 7, i * 30]).collect();
    let rgba = decode(&png_of(&samples, ExtendedColorType::Rgba8, None), &LIMITS).unwrap();
    assert_eq!(rgba.rgb.get_pixel(3, 1).0, [9, 8, 7]);
    assert_eq!(rgba.alpha.unwrap().get_pixel(3, 1).0, [210]);
    let opaque: Vec<u8> = (0..8).flat_map(|_| [9, 8, 7, 255]).collect();
    assert!(decode(&png_of(&opaque, ExtendedColorType::Rgba8, None), &LIMITS).unwrap().alpha.is_none());
    let gray_alpha: Vec<u8> = (0..8).flat_map(|i| [i * 20, 128]).collect();
    let photo = decode(&png_of(&gray_alpha, ExtendedColorType::La8, None), &LIMITS).unwrap();
    assert_eq!((photo.rgb.get_pixel(2, 0).0, photo.alpha.unwrap().get_pixel(0, 0).0), ([40; 3], [128]));
}

#[test]
fn animations_give_their_first_frame_and_say_so() {
    let mut out = Vec::new();
    {
        let mut encoder = GifEncoder::new(&mut out);
        for level in [250u8, 10, 10] {
            let frame = RgbaImage::from_pixel(20, 20, Rgba([level, 0, 0, 255]));
            encoder.encode_frame(Frame::new(frame)).unwrap();
        }
    }
    let photo = decode(&out, &LIMITS).unwrap();
    assert_eq!(photo.info.frames, 3);
    assert!(photo.rgb.get_pixel(10, 10).0[0] > 200);
    assert!(photo.info.notes.iter().any(|n| n.contains("first frame used")), "{:?}", photo.info.notes);
}

#[test]
fn profiles_become_srgb() {
    let red: Vec<u8> = (0..8).flat_map(|_| [200u8, 60, 40]).collect();
    let p3 = ColorProfile::new_display_p3().encode().unwrap();
    let photo = decode(&png_of(&red, ExtendedColorType::Rgb8, Some(p3)), &LIMITS).unwrap();
    let got = photo.rgb.get_pixel(0, 0).0;
    assert!(got[0] > 208 && got[1] < 50, "display p3 red must get stronger: {got:?}");
    assert!(photo.info.profile.is_some());
    let adobe = ColorProfile::new_adobe_rgb().encode().unwrap();
    let photo = decode(&png_of(&red, ExtendedColorType::Rgb8, Some(adobe)), &LIMITS).unwrap();
    assert!(photo.rgb.get_pixel(0, 0).0[0] > 215, "{:?}", photo.rgb.get_pixel(0, 0));
    let srgb = ColorProfile::new_srgb().encode().unwrap();
    let photo = decode(&png_of(&red, ExtendedColorType::Rgb8, Some(srgb)), &LIMITS).unwrap();
    assert_eq!(photo.rgb.get_pixel(0, 0).0, [200, 60, 40], "sRGB must not move a level");
    let broken = decode(&png_of(&red, ExtendedColorType::Rgb8, Some(vec![7; 300])), &LIMITS).unwrap();
    assert_eq!(broken.rgb.get_pixel(0, 0).0, [200, 60, 40]);
    assert!(broken.info.notes.iter().any(|n| n.contains("unreadable")));
}

#[test]
fn cmyk_jpegs() {
    // Ink 10 % cyan, full magenta and yellow: a strong red.
    let ink: Vec<u8> = (0..64 * 64).flat_map(|_| [25u8, 250, 245, 5]).collect();
    for color in [ColorType::Cmyk, ColorType::CmykAsYcck] {
        let mut out = Vec::new();
        Encoder::new(&mut out, 95).encode(&ink, 64, 64, color).unwrap();
        let photo = decode(&out, &LIMITS).unwrap();
        assert_eq!(photo.info.layout, "cmyk8");
        let got = photo.rgb.get_pixel(30, 30).0;
        assert!(got[0] > 200 && got[1] < 30 && got[2] < 30, "{color:?}: {got:?}");
        assert!(photo.info.notes.iter().any(|n| n.contains("cmyk")));
    }
}

/// A minimal EXIF block that holds only an orientation.
fn exif(orientation: u16) -> Vec<u8> {
    let mut out = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01".to_vec();
    out.extend(orientation.to_be_bytes());
    out.extend([0, 0, 0, 0, 0, 0]);
    out
}

#[test]
fn orientation_makes_photos_upright() {
    let image = RgbImage::from_fn(64, 32, |x, y| Rgb(if x < 16 && y < 16 { [250, 0, 0] } else { [0, 0, 0] }));
    // Where the red corner must be after orientation 1 to 8.
    let right = [false, true, true, false, false, true, true, false];
    let low = [false, false, true, true, false, false, true, true];
    for orientation in 1..=8u16 {
        let mut out = Vec::new();
        let mut encoder = Encoder::new(&mut out, 95);
        encoder.add_exif_metadata(&exif(orientation)).unwrap();
        encoder.encode(image.as_raw(), 64, 32, ColorType::Rgb).unwrap();
        let photo = decode(&out, &LIMITS).unwrap();
        assert_eq!(u16::from(photo.info.orientation), orientation);
        let (w, h) = photo.rgb.dimensions();
        assert_eq!((w, h), if orientation > 4 { (32, 64) } else { (64, 32) });
        let i = usize::from(orientation) - 1;
        let (x, y) = (if right[i] { w - 5 } else { 4 }, if low[i] { h - 5 } else { 4 });
        assert!(photo.rgb.get_pixel(x, y).0[0] > 200, "orientation {orientation}");
    }
}

#[test]
fn one_pixel_and_one_bit() {
    for (_, bytes) in [
        (0, encode::jpeg(&picture(1, 1), 90, Chroma::Half).unwrap()),
        (0, encode::png_gray(&GrayImage::from_pixel(1, 1, Luma([255]))).unwrap()),
        (0, encode::webp(&picture(1, 1), 50.0).unwrap()),
    ] {
        assert_eq!(decode(&bytes, &LIMITS).unwrap().rgb.dimensions(), (1, 1));
    }
    // 1-bit greyscale PNG, 8x1: black and white alternate.
    let one_bit = one_bit_png();
    let photo = decode(&one_bit, &LIMITS).unwrap();
    assert_eq!(photo.info.layout, "gray1");
    assert_eq!((photo.rgb.get_pixel(0, 0).0, photo.rgb.get_pixel(1, 0).0), ([255; 3], [0; 3]));
}

fn one_bit_png() -> Vec<u8> {
    let chunk = |kind: &[u8; 4], data: &[u8]| {
        let body = [&kind[..], data].concat();
        [&(data.len() as u32).to_be_bytes()[..], &body, &crc(&body).to_be_bytes()].concat()
    };
    let header = [0, 0, 0, 8, 0, 0, 0, 1, 1, 0, 0, 0, 0];
    // A stored deflate block: filter byte 0, then the row.
    let data = [0x78, 0x01, 0x01, 0x02, 0x00, 0xfd, 0xff, 0x00, 0b1010_1010, 0x01, 0xac, 0x00, 0xab];
    [b"\x89PNG\r\n\x1a\n".to_vec(), chunk(b"IHDR", &header), chunk(b"IDAT", &data), chunk(b"IEND", &[])]
        .concat()
}

fn crc(data: &[u8]) -> u32 {
    !data.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |c, _| if c & 1 == 1 { 0xedb8_8320 ^ (c >> 1) } else { c >> 1 })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn mutated_files_never_panic(which in 0usize..6, edits in prop::collection::vec((0.0f64..1.0, any::<u8>()), 1..12), cut in 0.2f64..1.3) {
        let (_, mut bytes) = all_formats().swap_remove(which);
        for (place, value) in edits {
            let at = (place * bytes.len() as f64) as usize;
            bytes[at] = value;
        }
        bytes.truncate((bytes.len() as f64 * cut) as usize);
        let limits = DecodeLimits { pixels_max: 1_000_000, ..LIMITS };
        if let Err(error) = decode(&bytes, &limits) {
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = probe(&bytes);
        let _ = decode(&bytes, &LIMITS);
    }
}
