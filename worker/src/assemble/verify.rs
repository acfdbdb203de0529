//! Reads an encoded file again, as a marketplace would, and checks every rule of its slot
//! on what is really in it.

use std::io::Cursor;

use image::{DynamicImage, ExtendedColorType, GrayImage, ImageDecoder, ImageReader, RgbImage};
use packshot_imaging::mask;
use packshot_imaging::metadata::{DigitalSourceType, read_xmp};
use packshot_imaging::photo::Format;
use serde::{Deserialize, Serialize};

use super::channel::{Pixels, Ratio, SlotRules, White};
use super::frame::{COVERED, fill, is_ratio};
use super::names;
use super::paint::grown;
use super::provenance;

/// One rule looked at on one file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Check {
    /// The rule's word as in the channel files, or `decode`, `colour`, `extension`.
    pub rule: String,
    /// Whether it is kept.
    pub pass: bool,
    /// What was found, against what is asked.
    pub seen: String,
}

/// What a file is meant to be.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Its name, without folders.
    pub name: &'a str,
    /// Product coverage at the file's size, as it was painted.
    pub product: &'a GrayImage,
    /// How its pixels came to be.
    pub made: DigitalSourceType,
    /// What it should say of that.
    pub declared: DigitalSourceType,
}

/// Share of the longer side by which the product is grown before everything outside must
/// be white; at least 2 px. Resampled edges end within it.
const RIM_SHARE: f64 = 1.0 / 1000.0;
/// Share of each side that counts as edge for [`White::Edges`] and for borders.
const EDGE_SHARE: f64 = 1.0 / 100.0;

/// Checks `bytes` against every rule of a slot; the result has one entry per rule, in a
/// fixed order, and nothing after `decode` when the file cannot be read.
pub fn verify(bytes: &[u8], rules: &SlotRules<'_>, expected: &Expected<'_>) -> Vec<Check> {
    let mut checks = Vec::new();
    let file = match read(bytes) {
        Ok(file) => file,
        Err(why) => return vec![check("decode", false, why)],
    };
    checks.push(check("decode", true, format!("{} of {} bytes", file.format.extension(), bytes.len())));
    checks.push(extension(expected.name, file.format));
    checks.push(check(
        "formats",
        rules.formats.contains(&file.format),
        format!("{}, taken are {}", word(file.format), list(rules.formats)),
    ));
    checks.push(colour(&file));
    checks.push(pixels(file.image.dimensions(), rules.pixels));
    checks.push(check(
        "bytes",
        bytes.len() as u64 <= rules.bytes_max,
        format!("{} bytes, at most {}", bytes.len(), rules.bytes_max),
    ));
    checks.extend(rules.ratio.map(|ratio| ratio_check(file.image.dimensions(), ratio)));
    if file.image.dimensions() == expected.product.dimensions() {
        checks.extend(rules.white.map(|white| white_check(&file.image, expected.product, white)));
        checks.extend(rules.fill.map(|fill| fill_check(expected.product, fill.min, fill.max)));
    } else {
        let seen =
            format!("{:?} px, painted were {:?}", file.image.dimensions(), expected.product.dimensions());
        checks.push(check("pixels", false, seen));
    }
    if rules.no_border {
        checks.push(border(&file.image));
    }
    if rules.real_photo {
        let real = provenance::is_photograph(expected.made);
        checks.push(check("real-photo", real, format!("made as {}", expected.made.term())));
    }
    if rules.provenance.is_some() {
        checks.push(provenance_check(bytes, expected.declared));
    }
    let legal = names::legal(expected.name, rules.name.chars_max);
    checks.push(check("file-name", legal.is_ok(), legal.err().unwrap_or_else(|| expected.name.to_owned())));
    checks
}

fn check(rule: &str, pass: bool, seen: String) -> Check {
    Check { rule: rule.to_owned(), pass, seen }
}

/// What a reader finds in a file.
struct File {
    format: Format,
    layout: ExtendedColorType,
    /// Components of a JPEG frame, 3 for every other format.
    components: u8,
    profile: Option<Vec<u8>>,
    upright: bool,
    image: RgbImage,
}

fn read(bytes: &[u8]) -> Result<File, String> {
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|e| e.to_string())?;
    let format = match reader.format() {
        Some(image::ImageFormat::Jpeg) => Format::Jpeg,
        Some(image::ImageFormat::Png) => Format::Png,
        Some(image::ImageFormat::WebP) => Format::Webp,
        Some(image::ImageFormat::Gif) => Format::Gif,
        Some(image::ImageFormat::Tiff) => Format::Tiff,
        Some(image::ImageFormat::Bmp) => Format::Bmp,
        Some(_) | None => return Err("the content is none of the known image formats".to_owned()),
    };
    let mut decoder = reader.into_decoder().map_err(|e| e.to_string())?;
    let layout = decoder.original_color_type();
    let profile = decoder.icc_profile().map_err(|e| e.to_string())?;
    let upright = decoder.orientation().is_ok_and(|o| o == image::metadata::Orientation::NoTransforms);
    let image = DynamicImage::from_decoder(decoder).map_err(|e| e.to_string())?;
    let components = if format == Format::Jpeg { jpeg_components(bytes).unwrap_or(0) } else { 3 };
    let image = flatten(image);
    Ok(File { format, layout, components, profile, upright, image })
}

/// Transparent pixels lie on white in every channel's viewer.
fn flatten(image: DynamicImage) -> RgbImage {
    if !image.color().has_alpha() {
        return image.into_rgb8();
    }
    let rgba = image.into_rgba8();
    RgbImage::from_fn(rgba.width(), rgba.height(), |x, y| {
        let [r, g, b, a] = rgba.get_pixel(x, y).0;
        let over = |v: u8| ((u32::from(v) * u32::from(a) + 255 * (255 - u32::from(a)) + 127) / 255) as u8;
        image::Rgb([over(r), over(g), over(b)])
    })
}

/// Number of components of the first frame header of a JPEG (ITU-T T.81 B.2.2).
fn jpeg_components(bytes: &[u8]) -> Option<u8> {
    let mut at = 2;
    loop {
        let marker = *bytes.get(at + 1)?;
        if *bytes.get(at)? != 0xFF {
            return None;
        }
        let length = usize::from(u16::from_be_bytes([*bytes.get(at + 2)?, *bytes.get(at + 3)?]));
        if matches!(marker, 0xC0..=0xCF) && !matches!(marker, 0xC4 | 0xC8 | 0xCC) {
            return bytes.get(at + 9).copied();
        }
        at += 2 + length.max(2);
    }
}

fn word(format: Format) -> &'static str {
    match format {
        Format::Jpeg => "jpeg",
        Format::Png => "png",
        Format::Webp => "webp",
        Format::Gif => "gif",
        Format::Tiff => "tiff",
        Format::Bmp => "bmp",
    }
}

fn list(formats: &[Format]) -> String {
    formats.iter().map(|f| word(*f)).collect::<Vec<_>>().join(", ")
}

fn extension(name: &str, format: Format) -> Check {
    let given = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    let fine = given == format.extension();
    check("extension", fine, format!(".{given} holds {}", word(format)))
}

fn colour(file: &File) -> Check {
    let eight_bit_rgb = matches!(file.layout, ExtendedColorType::Rgb8 | ExtendedColorType::Rgba8);
    let profile = match &file.profile {
        None => "no profile",
        Some(profile) if is_srgb(profile) => "sRGB profile",
        Some(_) => "a profile other than sRGB",
    };
    let pass = eight_bit_rgb
        && file.components == 3
        && file.upright
        && file.profile.as_ref().is_none_or(|profile| is_srgb(profile));
    let turned = if file.upright { "" } else { ", turned by EXIF" };
    let seen = format!("{:?} with {} components, {profile}{turned}", file.layout, file.components);
    check("colour", pass, seen)
}

/// Whether an ICC profile calls itself sRGB, in ASCII or UTF-16.
fn is_srgb(profile: &[u8]) -> bool {
    let holds = |needle: &[u8]| profile.windows(needle.len()).any(|window| window == needle);
    holds(b"sRGB") || holds(b"s\0R\0G\0B")
}

fn pixels((w, h): (u32, u32), rule: Pixels) -> Check {
    let longest = w.max(h);
    let shortest = w.min(h);
    let mut broken = Vec::new();
    let mut least = |name: &str, value: u32, limit: Option<u32>| {
        if let Some(limit) = limit.filter(|limit| value < *limit) {
            broken.push(format!("{name} {value} px, at least {limit}"));
        }
    };
    least("longer side", longest, rule.longest_min);
    least("shorter side", shortest, rule.shortest_min);
    least("width", w, rule.width_min);
    least("height", h, rule.height_min);
    if let Some(limit) = rule.longest_max.filter(|limit| longest > *limit) {
        broken.push(format!("longer side {longest} px, at most {limit}"));
    }
    let area = u64::from(w) * u64::from(h);
    if let Some(limit) = rule.area_max.filter(|limit| area > *limit) {
        broken.push(format!("{area} px in all, at most {limit}"));
    }
    let pass = broken.is_empty();
    check("pixels", pass, if pass { format!("{w}x{h}") } else { broken.join("; ") })
}

fn ratio_check((w, h): (u32, u32), ratio: Ratio) -> Check {
    let exact = is_ratio(w, h, ratio);
    let wish = if ratio.firm { "asked" } else { "preferred" };
    check("ratio", exact || !ratio.firm, format!("{w}:{h}, {wish} is {}:{}", ratio.width, ratio.height))
}

fn white_check(image: &RgbImage, product: &GrayImage, white: White) -> Check {
    let (w, h) = image.dimensions();
    let (margin, covered) = match white {
        White::Everywhere => {
            let radius = (f64::from(w.max(h)) * RIM_SHARE).ceil().max(2.0) as u32;
            (None, grown(product, COVERED, radius))
        }
        White::Edges => {
            let edge = |side: u32| (f64::from(side) * EDGE_SHARE).ceil().max(1.0) as u32;
            (Some((edge(w), edge(h))), grown(product, COVERED, 2))
        }
    };
    let (mut off, mut darkest, mut first) = (0u64, 255u8, None);
    for ((x, y, pixel), covered) in image.enumerate_pixels().zip(covered.iter()) {
        let at_edge = margin.is_none_or(|(mx, my)| {
            x < mx || y < my || x >= w.saturating_sub(mx) || y >= h.saturating_sub(my)
        });
        if *covered == 0 && at_edge && pixel.0 != [255; 3] {
            off += 1;
            darkest = darkest.min(pixel.0.into_iter().min().unwrap_or(255));
            first = first.or(Some((x, y)));
        }
    }
    let place = match white {
        White::Everywhere => "outside the product",
        White::Edges => "along the edges",
    };
    match first {
        None => check("white", true, format!("every pixel {place} is 255,255,255")),
        Some((x, y)) => check(
            "white",
            false,
            format!("{off} pixels {place} are not 255,255,255, the darkest {darkest}, the first at {x},{y}"),
        ),
    }
}

fn fill_check(product: &GrayImage, min: f32, max: f32) -> Check {
    let share =
        mask::bounds(product, 128).map_or(0.0, |bounds| fill(bounds, product.width(), product.height()));
    // Half a pixel of the resize at each side is no reason to refuse.
    let slack = 1.5 / f64::from(product.width().max(product.height()).max(1));
    let pass = share >= f64::from(min) - slack && share <= f64::from(max) + slack;
    let seen =
        format!("{:.1} % of the frame, asked {:.0} to {:.0} %", share * 100.0, min * 100.0, max * 100.0);
    check("fill", pass, seen)
}

/// A border is a band of one colour along all four edges, at most a tenth of the side
/// wide, that is not white and ends in a step at the same depth on every side.
fn border(image: &RgbImage) -> Check {
    match border_width(image) {
        None => check("no-border", true, "no uniform band around the picture".to_owned()),
        Some(width) => check("no-border", false, format!("a uniform band of {width} px around the picture")),
    }
}

fn border_width(image: &RgbImage) -> Option<u32> {
    let (w, h) = image.dimensions();
    let ground = image.get_pixel_checked(0, 0)?.0;
    if w < 20 || h < 20 || ground.iter().all(|&v| v >= 250) {
        return None;
    }
    let same = |x: u32, y: u32| image.get_pixel(x, y).0.iter().zip(ground).all(|(a, b)| a.abs_diff(b) <= 6);
    let ring = |d: u32| {
        (d..w - d).all(|x| same(x, d) && same(x, h - 1 - d))
            && (d..h - d).all(|y| same(d, y) && same(w - 1 - d, y))
    };
    let depth = (0..w.min(h) / 10).take_while(|&d| ring(d)).count() as u32;
    if depth == 0 || depth >= w.min(h) / 10 {
        return None;
    }
    // The step: most of the next ring differs clearly on each of the four sides.
    let differs =
        |x: u32, y: u32| image.get_pixel(x, y).0.iter().zip(ground).any(|(a, b)| a.abs_diff(b) > 20);
    let inner = (depth + 2).min(w.min(h) / 2);
    let across =
        |y: u32| (inner..w - inner).filter(|&x| differs(x, y)).count() * 2 > (w - 2 * inner) as usize;
    let down = |x: u32| (inner..h - inner).filter(|&y| differs(x, y)).count() * 2 > (h - 2 * inner) as usize;
    (across(inner) && across(h - 1 - inner) && down(inner) && down(w - 1 - inner)).then_some(depth)
}

fn provenance_check(bytes: &[u8], declared: DigitalSourceType) -> Check {
    let asked = declared.term();
    match read_xmp(bytes) {
        Ok(Some(xmp)) if xmp.source_type == Some(declared) => check("provenance", true, asked.to_owned()),
        Ok(Some(xmp)) => {
            let found = xmp.source_type.map_or("no source type", DigitalSourceType::term);
            check("provenance", false, format!("the file says {found}, asked is {asked}"))
        }
        Ok(None) => check("provenance", false, format!("the file holds no XMP, asked is {asked}")),
        Err(error) => check("provenance", false, format!("XMP cannot be read: {error}")),
    }
}
