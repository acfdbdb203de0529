//! Every rule with a file that keeps it and one that breaks it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;

use image::{GrayImage, Luma, Rgb, RgbImage};
use packshot_imaging::encode::{png_rgb, webp};
use packshot_imaging::metadata::{DigitalSourceType, embed_srgb, read_xmp, write_xmp};
use packshot_imaging::photo::Format;
use packshot_imaging::white_jpeg::jpeg_on_white;
use packshot_pipeline::role::Role;

use super::channel::{Channel, SlotRules};
use super::export::{Encoded, Export, ExportRequest, Member, export};
use super::frame::COVERED;
use super::names::NameClaims;
use super::paint::grown;
use super::provenance;
use super::testing::{Look, member, product};
use super::verify::{Check, Expected, verify};

const MADE: DigitalSourceType = DigitalSourceType::AlgorithmicallyEnhanced;

fn rules(channel: &str, slot: &str) -> SlotRules<'static> {
    let channel = Channel::by_name(channel).unwrap();
    channel.rules_of(channel.slots.iter().find(|s| s.name == slot).unwrap()).unwrap()
}

/// A packshot that fills 90 % of 1000 px.
fn packshot() -> (RgbImage, GrayImage) {
    let made = member(Role::Main, 1000, Look { zoom: 1.125, ..Look::default() });
    (made.image, made.product_mask)
}

fn labelled(plain: &[u8], format: Format, made: DigitalSourceType) -> Vec<u8> {
    write_xmp(&embed_srgb(plain, format).unwrap(), format, &provenance::xmp(made, Role::Main)).unwrap()
}

fn jpeg_file(image: &RgbImage, mask: &GrayImage) -> Vec<u8> {
    let mut white = grown(mask, COVERED, 1);
    for (white, pixel) in white.iter_mut().zip(image.pixels()) {
        *white = if *white == 0 && pixel.0 == [255; 3] { 255 } else { 0 };
    }
    labelled(&jpeg_on_white(image, &white, 95).unwrap(), Format::Jpeg, MADE)
}

fn broken(
    bytes: &[u8],
    rules: &SlotRules<'_>,
    name: &str,
    mask: &GrayImage,
    made: DigitalSourceType,
) -> Vec<String> {
    let expected = Expected { name, product: mask, made, declared: made };
    let checks = verify(bytes, rules, &expected);
    checks.into_iter().filter(|c| !c.pass).map(|c: Check| c.rule).collect()
}

/// Puts a segment right behind the start marker of a JPEG.
fn with_segment(jpeg: &[u8], marker: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u16 + 2).to_be_bytes();
    [&jpeg[..2], &[0xFF, marker], &length, body, &jpeg[2..]].concat()
}

#[test]
fn a_good_packshot_keeps_every_rule() {
    let (image, mask) = packshot();
    let file = jpeg_file(&image, &mask);
    for (channel, slot) in
        [("amazon", "MAIN"), ("walmart", "1"), ("shopify", "1-main"), ("etsy", "1"), ("ebay", "01")]
    {
        assert_eq!(
            broken(&file, &rules(channel, slot), "a.jpg", &mask, MADE),
            Vec::<String>::new(),
            "{channel}"
        );
    }
    let checks = verify(
        &file,
        &rules("amazon", "MAIN"),
        &Expected { name: "a.jpg", product: &mask, made: MADE, declared: MADE },
    );
    let words: Vec<&str> = checks.iter().map(|c| c.rule.as_str()).collect();
    assert_eq!(
        words,
        [
            "decode",
            "extension",
            "formats",
            "colour",
            "pixels",
            "bytes",
            "ratio",
            "white",
            "fill",
            "no-border",
            "real-photo",
            "provenance",
            "file-name"
        ]
    );
    assert_eq!(read_xmp(&file).unwrap().unwrap().source_type, Some(MADE));
}

#[test]
fn what_cannot_be_read_breaks_decode_and_nothing_else_is_claimed() {
    let (image, mask) = packshot();
    let file = jpeg_file(&image, &mask);
    let rules = rules("amazon", "MAIN");
    for bytes in [&b""[..], b"this is text", &file[..300], &[0xFF, 0xD8, 0xFF]] {
        assert_eq!(broken(bytes, &rules, "a.jpg", &mask, MADE), ["decode"]);
    }
}

#[test]
fn container_rules_are_checked_by_content() {
    let (image, mask) = packshot();
    let rules = rules("amazon", "MAIN");
    let file = jpeg_file(&image, &mask);
    assert_eq!(broken(&file, &rules, "a.png", &mask, MADE), ["extension"]);
    let as_webp = labelled(&webp(&image, 90.0).unwrap(), Format::Webp, MADE);
    let found = broken(&as_webp, &rules, "a.webp", &mask, MADE);
    assert!(found.contains(&"formats".to_owned()), "{found:?}");
    assert_eq!(broken(&file, &SlotRules { bytes_max: 1000, ..rules }, "a.jpg", &mask, MADE), ["bytes"]);
    assert_eq!(broken(&file, &rules, "con.jpg", &mask, MADE), ["file-name"]);
}

#[test]
fn colour_must_be_upright_eight_bit_srgb() {
    let (image, mask) = packshot();
    let rules = rules("amazon", "MAIN");
    let plain = jpeg_on_white(&image, &GrayImage::new(1000, 1000), 95).unwrap();
    let xmp = |bytes: &[u8]| write_xmp(bytes, Format::Jpeg, &provenance::xmp(MADE, Role::Main)).unwrap();
    let turned = with_segment(
        &xmp(&plain),
        0xE1,
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0",
    );
    let foreign = with_segment(&xmp(&plain), 0xE2, b"ICC_PROFILE\0\x01\x01a profile called Adobe RGB (1998)");
    let colour = "colour".to_owned();
    for file in [turned, foreign] {
        assert!(broken(&file, &rules, "a.jpg", &mask, MADE).contains(&colour));
    }
    let mut grey = Vec::new();
    let luma = image::DynamicImage::ImageRgb8(image.clone()).into_luma8();
    luma.write_with_encoder(image::codecs::jpeg::JpegEncoder::new_with_quality(&mut grey, 95)).unwrap();
    assert!(broken(&xmp(&grey), &rules, "a.jpg", &mask, MADE).contains(&colour));
    let mut deep = std::io::Cursor::new(Vec::new());
    image::DynamicImage::ImageRgb8(image).into_rgb16().write_to(&mut deep, image::ImageFormat::Png).unwrap();
    assert_eq!(broken(&labelled(deep.get_ref(), Format::Png, MADE), &rules, "a.png", &mask, MADE), [colour]);
}

#[test]
fn sizes_ratio_and_fill_are_measured() {
    let small = member(Role::Main, 400, Look { zoom: 1.125, ..Look::default() });
    let file = jpeg_file(&small.image, &small.product_mask);
    assert_eq!(broken(&file, &rules("amazon", "MAIN"), "a.jpg", &small.product_mask, MADE), ["pixels"]);
    let loose = member(Role::Main, 1000, Look { zoom: 0.9, ..Look::default() });
    let file = jpeg_file(&loose.image, &loose.product_mask);
    assert_eq!(broken(&file, &rules("amazon", "MAIN"), "a.jpg", &loose.product_mask, MADE), ["fill"]);
    let full = member(Role::Main, 1000, Look { zoom: 1.2, ..Look::default() });
    let file = jpeg_file(&full.image, &full.product_mask);
    assert_eq!(broken(&file, &rules("google", "image_link"), "a.jpg", &full.product_mask, MADE), ["fill"]);
    let (image, mask) = packshot();
    let wide = |w: u32| image::imageops::crop_imm(&image, 0, 0, w, 1000).to_image();
    let wide_mask = |w: u32| image::imageops::crop_imm(&mask, 0, 0, w, 1000).to_image();
    let file = jpeg_file(&wide(950), &wide_mask(950));
    assert_eq!(broken(&file, &rules("walmart", "1"), "a.jpg", &wide_mask(950), MADE), ["ratio"]);
    assert_eq!(broken(&file, &rules("amazon", "MAIN"), "a.jpg", &wide_mask(950), MADE), Vec::<String>::new());
    assert_eq!(
        broken(&file, &rules("amazon", "MAIN"), "a.jpg", &mask, MADE),
        ["pixels"],
        "another size than painted"
    );
}

#[test]
fn one_pixel_of_254_breaks_white() {
    let (image, mask) = packshot();
    let png = |image: &RgbImage| labelled(&png_rgb(image).unwrap(), Format::Png, MADE);
    let rules = rules("amazon", "MAIN");
    assert_eq!(broken(&png(&image), &rules, "a.png", &mask, MADE), Vec::<String>::new());
    for (x, y) in [(0, 0), (999, 999), (500, 20), (100, 100)] {
        let mut off = image.clone();
        off.put_pixel(x, y, Rgb([255, 255, 254]));
        assert_eq!(broken(&png(&off), &rules, "a.png", &mask, MADE), ["white"], "{x} {y}");
    }
}

#[test]
fn a_shadow_is_a_matter_of_the_channel() {
    let (mut image, mask) = packshot();
    for y in 955..975 {
        for x in 300..700 {
            image.put_pixel(x, y, Rgb([225; 3]));
        }
    }
    let png = |image: &RgbImage| labelled(&png_rgb(image).unwrap(), Format::Png, MADE);
    assert_eq!(broken(&png(&image), &rules("amazon", "MAIN"), "a.png", &mask, MADE), ["white"]);
    let google = rules("google", "image_link");
    let google = SlotRules { fill: None, ..google };
    assert_eq!(broken(&png(&image), &google, "a.png", &mask, MADE), Vec::<String>::new());
    image.put_pixel(3, 500, Rgb([250; 3]));
    assert_eq!(broken(&png(&image), &google, "a.png", &mask, MADE), ["white"]);
}

#[test]
fn borders_are_seen_and_plain_scenes_are_not_borders() {
    let scene = |border: u32, colour: [u8; 3]| {
        RgbImage::from_fn(600, 500, |x, y| {
            let edge = x.min(y).min(599 - x).min(499 - y);
            if edge < border { Rgb(colour) } else { Rgb([(x / 4) as u8, 120, (y / 3) as u8]) }
        })
    };
    let mask = GrayImage::from_fn(600, 500, |x, y| {
        Luma([if (200..400).contains(&x) && (150..350).contains(&y) { 255 } else { 0 }])
    });
    let rules = rules("ebay", "05");
    let check = |image: &RgbImage| {
        let file = labelled(&png_rgb(image).unwrap(), Format::Png, MADE);
        broken(&file, &rules, "a.png", &mask, MADE)
    };
    for (border, colour) in [(1, [0, 0, 0]), (8, [200, 30, 30]), (30, [30, 60, 200])] {
        assert_eq!(check(&scene(border, colour)), ["no-border"], "{border}");
    }
    assert_eq!(check(&scene(0, [0; 3])), Vec::<String>::new());
    let plain = RgbImage::from_pixel(600, 500, Rgb([180, 170, 160]));
    assert_eq!(check(&plain), Vec::<String>::new());
    let mut product_on_plain = plain;
    for (x, y, pixel) in product_on_plain.enumerate_pixels_mut() {
        if mask.get_pixel(x, y)[0] > 0 {
            pixel.0 = [20, 20, 20];
        }
    }
    assert_eq!(check(&product_on_plain), Vec::<String>::new());
}

#[test]
fn how_it_was_made_is_read_from_the_file() {
    let (image, mask) = packshot();
    let amazon = rules("amazon", "MAIN");
    let plain = png_rgb(&image).unwrap();
    assert_eq!(broken(&plain, &amazon, "a.png", &mask, MADE), ["provenance"]);
    let other = labelled(&plain, Format::Png, DigitalSourceType::DigitalCapture);
    assert_eq!(broken(&other, &amazon, "a.png", &mask, MADE), ["provenance"]);
    let made = DigitalSourceType::TrainedAlgorithmicMedia;
    let generated = labelled(&plain, Format::Png, made);
    assert_eq!(broken(&generated, &rules("etsy", "1"), "a.png", &mask, made), ["real-photo"]);
}

fn exported(channel: &Channel, members: &[Member]) -> Export {
    let (product, absent, claims) = (product("SKU-1"), BTreeMap::new(), NameClaims::default());
    let members: Vec<&Member> = members.iter().collect();
    let request = ExportRequest { product: &product, members: &members, absent: &absent, claims: &claims };
    export(channel, &request, &mut Encoded::default())
}

#[test]
fn a_made_main_is_refused_by_etsy_and_labelled_for_google() {
    let mut main = member(Role::Main, 900, Look::default());
    main.source_type = DigitalSourceType::CompositeWithTrainedAlgorithmicMedia;
    let etsy = exported(Channel::by_name("etsy").unwrap(), std::slice::from_ref(&main));
    assert!(etsy.files.is_empty());
    assert_eq!(etsy.refused[0].broken[0].rule, "real-photo");
    assert!(etsy.missing[0].required);
    let google = exported(Channel::by_name("google").unwrap(), &[main]);
    assert_eq!(google.files[0].declared, DigitalSourceType::TrainedAlgorithmicMedia);
    let xmp = read_xmp(&google.files[0].bytes).unwrap().unwrap();
    assert_eq!(xmp.source_type, Some(DigitalSourceType::TrainedAlgorithmicMedia));
}

#[test]
fn a_shadow_is_shown_where_the_channel_allows_it() {
    let plain = member(Role::Main, 1000, Look { zoom: 1.06, ..Look::default() });
    let mut shadowed = plain.clone();
    shadowed.frame = "shadow".to_owned();
    shadowed.image.put_pixel(500, 930, Rgb([200; 3]));
    let members = [plain, shadowed];
    let frame = |channel: &str| {
        let export = exported(Channel::by_name(channel).unwrap(), &members);
        assert!(export.refused.is_empty(), "{:?}", export.refused);
        export.files[0].frame.clone()
    };
    assert_eq!(["amazon", "walmart", "google", "shopify"].map(frame), ["", "", "shadow", "shadow"]);
    let mut spilt = members;
    spilt[1].image.put_pixel(2, 500, Rgb([240; 3]));
    let google = exported(Channel::by_name("google").unwrap(), &spilt);
    assert_eq!((google.files[0].frame.as_str(), google.refused.len()), ("", 0));
    assert!(google.files[0].notes[0].contains("(shadow), which breaks white"), "{:?}", google.files[0].notes);
}

#[test]
fn forbidden_roles_are_not_exported_and_the_reason_is_given() {
    let mut ad = member(Role::Ad, 900, Look::default());
    ad.frame = "1x1".to_owned();
    let members = [member(Role::Main, 900, Look::default()), ad];
    let etsy = exported(Channel::by_name("etsy").unwrap(), &members);
    assert_eq!(etsy.files.len(), 1);
    assert_eq!(etsy.unused[0].role, Role::Ad);
    let shopify = exported(Channel::by_name("shopify").unwrap(), &members);
    assert_eq!(shopify.files.len(), 2);
}

#[test]
fn a_full_channel_takes_no_more_files() {
    let text = include_str!("channels/ebay.toml")
        .replace("require.count = { max = 24 }", "require.count = { max = 1 }");
    let channel = Channel::parse(&text).unwrap();
    let members = [Role::Main, Role::Detail].map(|role| member(role, 900, Look::default()));
    let export = exported(&channel, &members);
    assert_eq!(export.files.len(), 1);
    assert!(export.missing.iter().any(|m| m.slot == "03" && m.reason == "the channel takes 1 images"));
}

#[test]
fn a_background_that_is_not_white_is_refused_not_painted_over() {
    let grey = member(Role::Main, 1000, Look { ground: [236, 238, 240], ..Look::default() });
    let google = exported(Channel::by_name("google").unwrap(), &[grey]);
    assert_eq!(google.refused[0].broken[0].rule, "white");
}

#[test]
fn enlarging_is_recorded_and_warned_of() {
    let mut tiny = member(Role::Main, 300, Look::default());
    tiny.scale_factor = 1.5;
    let export = exported(Channel::by_name("amazon").unwrap(), &[tiny]);
    let file = &export.files[0];
    assert!(file.width >= 500 && file.scale_factor > 2.0, "{} {}", file.width, file.scale_factor);
    assert!(file.notes.iter().any(|note| note.contains("more than twice")), "{:?}", file.notes);
}

#[test]
fn hostile_members_are_refused_without_a_panic() {
    let odd = |w: u32, h: u32, set: u8, scale: f32| Member {
        role: Role::Main,
        frame: String::new(),
        image: RgbImage::new(w, h),
        product_mask: GrayImage::from_pixel(w, h, Luma([set])),
        scale_factor: scale,
        source_type: MADE,
        accepted: true,
    };
    let mut members =
        vec![odd(0, 0, 0, 1.0), odd(1, 1, 255, 1.0), odd(3, 900, 255, f32::NAN), odd(40, 40, 0, 1.0)];
    let mut mismatched = odd(40, 40, 255, 1.0);
    mismatched.product_mask = GrayImage::new(7, 7);
    members.push(mismatched);
    for member in members {
        for channel in super::channel::all() {
            let export = exported(channel, std::slice::from_ref(&member));
            assert!(export.files.len() + export.missing.len() >= channel.slots.len());
        }
    }
}

#[test]
fn bytes_are_brought_under_the_limit_by_quality() {
    let text = include_str!("channels/ebay.toml");
    let main = member(Role::Main, 900, Look::default());
    let full = exported(&Channel::parse(text).unwrap(), std::slice::from_ref(&main));
    let size = full.files[0].bytes.len();
    assert_eq!(full.files[0].quality, 95);
    let limited = |max: usize| text.replace("max = 12000000", &format!("max = {max}"));
    let smaller = exported(&Channel::parse(&limited(size * 8 / 10)).unwrap(), std::slice::from_ref(&main));
    let file = &smaller.files[0];
    assert!(file.quality < 95 && file.bytes.len() <= size * 8 / 10);
    let none = exported(&Channel::parse(&limited(500)).unwrap(), std::slice::from_ref(&main));
    assert_eq!(none.refused[0].broken[0].rule, "bytes");
}
