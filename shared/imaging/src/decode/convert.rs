//! Decoded samples to a photo: embedded profile to sRGB, alpha split off, orientation
//! applied.

use image::{GrayImage, RgbImage, imageops};
use moxcms::{ColorProfile, DataColorSpace, Layout, ProfileText, Transform8BitExecutor, TransformOptions};
use rayon::prelude::*;

use super::{DecodeError, Probe, Raw, Samples};
use crate::photo::{Photo, PhotoInfo};

/// Makes the photo. Fails only when a decoder gave fewer samples than it promised.
pub(super) fn to_photo(raw: Raw, probed: &Probe) -> Result<Photo, DecodeError> {
    let Raw { samples, width, height, icc, exif, mut notes } = raw;
    if probed.frames > 1 {
        notes.push(format!("animated image with {} frames, first frame used", probed.frames));
    }
    let short =
        || DecodeError::Corrupt { format: probed.format, reason: "it has fewer pixels than it says".into() };
    let (colour, alpha) = split_alpha(samples);
    let profile = icc.as_deref().and_then(|data| {
        let read = ColorProfile::new_from_slice(data).ok();
        if read.is_none() {
            notes.push("the embedded colour profile is unreadable and was ignored".into());
        }
        read
    });
    let description = profile.as_ref().map(describe);
    let pixels = to_srgb(colour, width as usize, profile.as_ref(), &mut notes);
    let mut rgb = RgbImage::from_raw(width, height, pixels).ok_or_else(short)?;
    let mut alpha = match alpha {
        Some(levels) if levels.iter().any(|&v| v != 255) => {
            Some(GrayImage::from_raw(width, height, levels).ok_or_else(short)?)
        }
        _ => None,
    };
    let orientation = exif.map_or(1, orientation_of);
    if orientation > 1 {
        rgb = upright_rgb(rgb, orientation);
        alpha = alpha.map(|a| upright_gray(a, orientation));
    }
    Ok(Photo {
        rgb,
        alpha,
        info: PhotoInfo {
            format: probed.format,
            layout: probed.layout.clone(),
            profile: description,
            orientation,
            frames: probed.frames,
            notes,
        },
    })
}

/// Samples without alpha.
enum Colour {
    Gray(Vec<u8>),
    Rgb(Vec<u8>),
    Cmyk(Vec<u8>),
}

fn split_alpha(samples: Samples) -> (Colour, Option<Vec<u8>>) {
    match samples {
        Samples::Gray(v) => (Colour::Gray(v), None),
        Samples::Rgb(v) => (Colour::Rgb(v), None),
        Samples::Cmyk(v) => (Colour::Cmyk(v), None),
        Samples::GrayAlpha(v) => {
            let alpha = v.chunks_exact(2).map(|p| p[1]).collect();
            (Colour::Gray(v.chunks_exact(2).map(|p| p[0]).collect()), Some(alpha))
        }
        Samples::Rgba(mut v) => {
            let alpha = v.chunks_exact(4).map(|p| p[3]).collect();
            let count = v.len() / 4;
            for i in 1..count {
                v.copy_within(4 * i..4 * i + 3, 3 * i);
            }
            v.truncate(count * 3);
            (Colour::Rgb(v), Some(alpha))
        }
    }
}

/// Applies the profile; without one, or with one of another kind of colour, samples are
/// taken as sRGB, and CMYK goes through a plain ink model.
fn to_srgb(colour: Colour, width: usize, profile: Option<&ColorProfile>, notes: &mut Vec<String>) -> Vec<u8> {
    let (layout, space, channels, samples) = match &colour {
        Colour::Gray(v) => (Layout::Gray, DataColorSpace::Gray, 1, v),
        Colour::Rgb(v) => (Layout::Rgb, DataColorSpace::Rgb, 3, v),
        Colour::Cmyk(v) => (Layout::Rgba, DataColorSpace::Cmyk, 4, v),
    };
    if let Some(profile) = profile {
        if profile.color_space != space {
            notes.push("the embedded colour profile is for another kind of image and was ignored".into());
        } else if let Some(transform) = transform(profile, layout) {
            if !changes_nothing(&*transform, &colour) {
                if let Some(pixels) = apply(&*transform, samples, channels, width) {
                    return pixels;
                }
                notes.push("the embedded colour profile could not be applied".into());
            }
        } else {
            notes.push("the embedded colour profile could not be applied".into());
        }
    }
    match colour {
        Colour::Rgb(v) => v,
        Colour::Gray(v) => v.iter().flat_map(|&g| [g; 3]).collect(),
        Colour::Cmyk(v) => {
            notes.push("cmyk without a usable profile: colours are approximate".into());
            let light =
                |ink: u8, black: u8| ((u32::from(255 - ink) * u32::from(255 - black) + 127) / 255) as u8;
            v.chunks_exact(4)
                .flat_map(|p| [light(p[0], p[3]), light(p[1], p[3]), light(p[2], p[3])])
                .collect()
        }
    }
}

fn transform(profile: &ColorProfile, layout: Layout) -> Option<std::sync::Arc<Transform8BitExecutor>> {
    let srgb = ColorProfile::new_srgb();
    profile.create_transform_8bit(layout, &srgb, Layout::Rgb, TransformOptions::default()).ok()
}

/// Whether the transform is the identity on sample colours to within one level: true for
/// the many variants of the sRGB profile, which then cost nothing.
fn changes_nothing(transform: &Transform8BitExecutor, colour: &Colour) -> bool {
    let levels = [0u8, 20, 64, 110, 160, 215, 255];
    let (source, expected): (Vec<u8>, Vec<u8>) = match colour {
        Colour::Cmyk(_) => return false,
        Colour::Gray(_) => (levels.to_vec(), levels.iter().flat_map(|&g| [g; 3]).collect()),
        Colour::Rgb(_) => {
            let cube =
                |r| levels.into_iter().flat_map(move |g| levels.into_iter().flat_map(move |b| [r, g, b]));
            let all: Vec<u8> = levels.into_iter().flat_map(cube).collect();
            (all.clone(), all)
        }
    };
    let mut result = vec![0; expected.len()];
    transform.transform(&source, &mut result).is_ok()
        && result.iter().zip(&expected).all(|(x, y)| x.abs_diff(*y) <= 1)
}

/// Runs the transform row by row on all cores.
fn apply(
    transform: &Transform8BitExecutor,
    samples: &[u8],
    channels: usize,
    width: usize,
) -> Option<Vec<u8>> {
    let width = width.max(1);
    let mut pixels = vec![0; samples.len() / channels * 3];
    pixels
        .par_chunks_mut(width * 3)
        .zip(samples.par_chunks(width * channels))
        .with_min_len(16)
        .try_for_each(|(target, source)| transform.transform(source, target).map_err(|_| ()))
        .ok()?;
    Some(pixels)
}

fn describe(profile: &ColorProfile) -> String {
    let text = match &profile.description {
        Some(ProfileText::PlainString(text)) => text.clone(),
        Some(ProfileText::Localizable(all)) => all.first().map(|s| s.value.clone()).unwrap_or_default(),
        Some(ProfileText::Description(text)) if text.ascii_string.is_empty() => text.unicode_string.clone(),
        Some(ProfileText::Description(text)) => text.ascii_string.clone(),
        None => String::new(),
    };
    let clean: String = text.chars().filter(|c| !c.is_control()).take(80).collect();
    if clean.trim().is_empty() { "unnamed profile".to_owned() } else { clean.trim().to_owned() }
}

/// EXIF orientation 1 to 8; 1 when absent, unreadable or out of range.
fn orientation_of(exif: Vec<u8>) -> u8 {
    exif::Reader::new()
        .continue_on_error(true)
        .read_raw(exif)
        .or_else(|e| e.distill_partial_result(|_| ()))
        .ok()
        .and_then(|read| read.get_field(exif::Tag::Orientation, exif::In::PRIMARY)?.value.get_uint(0))
        .filter(|v| (1..=8).contains(v))
        .map_or(1, |v| v as u8)
}

fn upright_rgb(image: RgbImage, orientation: u8) -> RgbImage {
    match orientation {
        2 => imageops::flip_horizontal(&image),
        3 => imageops::rotate180(&image),
        4 => imageops::flip_vertical(&image),
        5 => imageops::flip_horizontal(&imageops::rotate90(&image)),
        6 => imageops::rotate90(&image),
        7 => imageops::flip_horizontal(&imageops::rotate270(&image)),
        8 => imageops::rotate270(&image),
        _ => image,
    }
}

fn upright_gray(image: GrayImage, orientation: u8) -> GrayImage {
    match orientation {
        2 => imageops::flip_horizontal(&image),
        3 => imageops::rotate180(&image),
        4 => imageops::flip_vertical(&image),
        5 => imageops::flip_horizontal(&imageops::rotate90(&image)),
        6 => imageops::rotate90(&image),
        7 => imageops::flip_horizontal(&imageops::rotate270(&image)),
        8 => imageops::rotate270(&image),
        _ => image,
    }
}
