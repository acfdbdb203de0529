//! Rendered products of known quality: what must be refused, what must not, and the facts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;

use image::{GrayImage, Luma, Rgb, RgbImage};
use packshot_imaging::blur::{Plane, gaussian};
use packshot_imaging::cutout::{CutoutOptions, cut_out};
use packshot_pipeline::catalog::{Dimensions, Product};
use packshot_pipeline::facts::ProtectedKind;
use packshot_pipeline::ids::{Digest, Sku};

use super::*;

fn reference(name: &str) -> Reference {
    Reference { digest: Digest::of(name.as_bytes()), extension: "png".into(), name: name.into() }
}

fn product(colour: &str) -> Product {
    Product {
        sku: Sku::new("SKU-1").unwrap(),
        title: "Mug".into(),
        description: String::new(),
        category: "Kitchen".into(),
        brand: String::new(),
        colour: colour.into(),
        material: "ceramic".into(),
        dimensions: Dimensions::default(),
        accessories: vec!["spoon".into()],
        group: None,
        references: Vec::new(),
        codes: BTreeMap::new(),
        line: 2,
    }
}

/// A box with printed stripes in a frame of `side` pixels, moved right by `shift`.
fn box_photo(side: u32, colour: [u8; 3], shift: u32) -> Photo {
    let inside = |x: u32, y: u32| {
        let (x, y) = (x.saturating_sub(shift), y);
        (side / 4..side * 3 / 4).contains(&x) && (side / 5..side * 4 / 5).contains(&y)
    };
    let rgb = RgbImage::from_fn(side, side, |x, y| {
        let (u, v) = (x.saturating_sub(shift) * 100 / side, y * 100 / side);
        let print = (40..60).contains(&u) && (40..60).contains(&v) && (u / 2 + v / 2) % 2 == 0;
        Rgb(if print { [245, 240, 230] } else { colour })
    });
    let alpha = GrayImage::from_fn(side, side, |x, y| Luma([if inside(x, y) { 255 } else { 0 }]));
    Photo::of_pixels(rgb, Some(alpha))
}

fn report_of(photo: &Photo) -> ReferenceReport {
    let cutout = cut_out(photo, &CutoutOptions::DEFAULT).unwrap();
    inspect_reference(&reference("a.png"), photo, &cutout)
}

fn kinds(report: &ReferenceReport) -> Vec<&str> {
    report.weaknesses.iter().map(|w| w.kind.as_str()).collect()
}

#[test]
fn a_clear_photo_is_usable() {
    let report = report_of(&box_photo(900, [40, 90, 60], 0));
    assert!(report.weaknesses.is_empty(), "{:?}", report.weaknesses);
    assert!(report.edge_width_px < 2.5, "{}", report.edge_width_px);
    assert!(report.reasons.iter().any(|r| r.contains("sharp")));
}

#[test]
fn tiny_cut_off_and_blurred_are_refused() {
    assert_eq!(kinds(&report_of(&box_photo(198, [40, 90, 60], 0))), ["tiny"]);
    let off = report_of(&box_photo(900, [40, 90, 60], 300));
    assert_eq!(kinds(&off), ["cut-off"]);
    assert!(off.weaknesses[0].seen.contains("right"), "{}", off.weaknesses[0].seen);
    let sharp = box_photo(900, [40, 90, 60], 0);
    let channel = |i: usize| {
        let data = sharp.rgb.as_raw().chunks_exact(3).map(|p| f32::from(p[i])).collect();
        gaussian(&Plane { width: 900, height: 900, data }, 9.0).to_gray()
    };
    let [r, g, b] = [channel(0), channel(1), channel(2)];
    let soft = RgbImage::from_fn(900, 900, |x, y| {
        Rgb([r.get_pixel(x, y).0[0], g.get_pixel(x, y).0[0], b.get_pixel(x, y).0[0]])
    });
    let report = report_of(&Photo::of_pixels(soft, sharp.alpha));
    assert_eq!(kinds(&report), ["blurred"], "{}", report.edge_width_px);
}

#[test]
fn clipped_products_are_refused() {
    let mut burnt = box_photo(900, [255, 255, 255], 0);
    for p in burnt.rgb.pixels_mut() {
        *p = Rgb([255; 3]);
    }
    assert!(kinds(&report_of(&burnt)).contains(&"clipped"));
    let mut dark = box_photo(900, [0, 0, 0], 0);
    for p in dark.rgb.pixels_mut() {
        *p = Rgb([0; 3]);
    }
    assert!(kinds(&report_of(&dark)).contains(&"clipped"));
}

#[test]
fn facts_of_a_printed_box() {
    let photo = box_photo(900, [14, 14, 15], 0);
    let cutout = cut_out(&photo, &CutoutOptions::DEFAULT).unwrap();
    let facts = facts(&product("Navy"), &reference("a.png"), &photo, &cutout);
    assert_eq!(facts.colours[0].word, "black");
    assert!(facts.colours[0].share > 0.7);
    assert!((facts.silhouette.aspect - 450.0 / 540.0).abs() < 0.02);
    assert_eq!((facts.silhouette.holes, facts.silhouette.parts), (0, 1));
    let label = facts.protected.first().expect("the print is a region");
    assert_eq!(label.kind, ProtectedKind::Label);
    let (x, y) = (label.region.x + label.region.w / 2, label.region.y + label.region.h / 2);
    assert!((380..520).contains(&x) && (380..520).contains(&y), "{:?}", label.region);
    assert_eq!(facts.contradictions.len(), 1);
    assert!(facts.contradictions[0].evidence.contains("navy"), "{}", facts.contradictions[0].evidence);
    assert!(facts.stated.iter().any(|s| s.name == "accessory" && s.value == "spoon"));
    assert!(facts.stated.iter().all(|s| !s.value.is_empty()));
}

#[test]
fn facts_agree_with_a_true_catalog() {
    let photo = box_photo(600, [150, 20, 30], 0);
    let cutout = cut_out(&photo, &CutoutOptions::DEFAULT).unwrap();
    let facts = facts(&product("red"), &reference("a.png"), &photo, &cutout);
    assert!(facts.contradictions.is_empty(), "{:?}", facts.contradictions);
}

#[test]
fn the_clearest_is_chosen_and_the_second_is_another_photo() {
    let mut reports: Vec<ReferenceReport> = [(0.5, "a"), (0.9, "b"), (0.9, "b"), (0.7, "c")]
        .into_iter()
        .map(|(score, name)| ReferenceReport { score, ..empty_report(&reference(name)) })
        .collect();
    assert_eq!(choose(&reports), (Some(1), Some(3)));
    reports[1].weaknesses.push(Weakness { kind: "tiny".into(), seen: String::new(), reshoot: String::new() });
    assert_eq!(choose(&reports), (Some(2), Some(3)));
    assert_eq!(choose(&[]), (None, None));
    assert_eq!(choose(&reports[..1]), (Some(0), None));
}

#[test]
fn failures_before_inspection_say_what_to_do() {
    let report = unreadable(&reference("a.png"), &DecodeError::Empty);
    assert_eq!(kinds(&report), ["unreadable"]);
    let report = without_cutout(&reference("a.png"), &box_photo(60, [9, 9, 9], 0), &CutoutError::NoProduct);
    assert_eq!((kinds(&report), report.width), (vec!["no-product"], 60));
}

#[test]
fn any_size_is_inspected_without_panic() {
    for (w, h) in [(1, 1), (1, 40), (40, 1), (3, 3), (17, 300)] {
        let rgb = RgbImage::from_fn(w, h, |x, y| Rgb([(x * 40) as u8, (y * 9) as u8, 7]));
        let alpha = GrayImage::from_pixel(w, h, Luma([255]));
        let photo = Photo::of_pixels(rgb.clone(), Some(alpha.clone()));
        let quality = packshot_imaging::photo::CutoutQuality {
            source: packshot_imaging::photo::CutoutSource::Segmented,
            agreement: 1.0,
            opinion: None,
            edge_contrast: 10.0,
            border_contact: 1.0,
            clutter: 0.0,
            soft_share: 0.0,
            parts: 1,
        };
        for alpha in [alpha, GrayImage::new(w, h)] {
            let cutout = Cutout { foreground: rgb.clone(), alpha, shadow: None, quality: quality.clone() };
            let _ = inspect_reference(&reference("a"), &photo, &cutout);
            let _ = facts(&product("red"), &reference("a"), &photo, &cutout);
        }
    }
}
