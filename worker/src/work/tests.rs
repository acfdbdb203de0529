//! A model of the user's own through the workshop: what it changes of an inspection, and what
//! a batch that was submitted with another one gets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use image::{Rgb, RgbImage};
use packshot_imaging::decode::DecodeLimits;
use packshot_imaging::encode;
use packshot_pipeline::catalog::{Dimensions, Product, Reference};
use packshot_pipeline::ids::{Digest, Sku};
use packshot_pipeline::inspection::Inspection;
use packshot_pipeline::manifest::Settings;
use packshot_pipeline::policy::Policy;
use packshot_runtime::memory::MemoryObjects;
use packshot_runtime::port::Objects;
use packshot_runtime::work::Outcome;

use super::{Fault, OPTION_MATTING, Workshop, WorkshopLimits, inspection_key};
use crate::matting::tiny::Tiny;
use crate::matting::{MattingModel, MattingSettings};

/// A tiny model that sees product where `weights` point to, written to a file and read again.
fn model(weights: [f32; 3], bias: f32) -> Arc<MattingModel> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tiny.onnx");
    std::fs::write(&file, Tiny::coverage(weights, bias, 128, 128).bytes()).unwrap();
    let settings = MattingSettings {
        model: file.display().to_string(),
        mean: [0.0; 3],
        std: [1.0; 3],
        ..MattingSettings::standard()
    };
    MattingModel::ready(&settings).unwrap().unwrap()
}

/// Sees what is red, as is the product.
fn of_red() -> Arc<MattingModel> {
    model([16.0, -8.0, -8.0], -4.0)
}

/// Sees what is light.
fn of_light() -> Arc<MattingModel> {
    model([8.0, 8.0, 8.0], -18.0)
}

fn workshop(model: Option<Arc<MattingModel>>) -> Workshop {
    let limits = WorkshopLimits { jobs: 2, cache_bytes_max: 64 << 20, decode: DecodeLimits::DEFAULT };
    Workshop::new(limits, model)
}

/// Of the product, in pixels.
const RADIUS: u32 = 160;

/// A red disc on a table that ends before a dark wall: to one segmenter the wall is product.
fn photo() -> RgbImage {
    RgbImage::from_fn(720, 600, |x, y| {
        let grain = ((x * 7919 + y * 104_729) % 5) as u8;
        let inside = (x as f32 - 240.0).hypot(y as f32 - 300.0) < RADIUS as f32;
        if inside {
            return Rgb([198 + grain, 38 + grain, 38 + grain]);
        }
        if x > 580 { Rgb([70 + grain, 90 + grain, 60 + grain]) } else { Rgb([234 + grain; 3]) }
    })
}

fn product() -> Product {
    Product {
        sku: Sku::new("kettle").unwrap(),
        title: String::new(),
        description: String::new(),
        category: String::new(),
        brand: String::new(),
        colour: String::new(),
        material: String::new(),
        dimensions: Dimensions::default(),
        accessories: Vec::new(),
        group: None,
        references: Vec::new(),
        codes: BTreeMap::new(),
        line: 1,
    }
}

struct Shop {
    objects: MemoryObjects,
    references: Vec<Reference>,
}

impl Shop {
    async fn with(photo: &RgbImage) -> Shop {
        let bytes = encode::png_rgb(photo).unwrap();
        let digest = Digest::of(&bytes);
        let reference = Reference { digest, extension: "png".to_owned(), name: "kettle.png".to_owned() };
        let objects = MemoryObjects::new(64 << 20);
        objects.put(&reference.object_key(), Bytes::from(bytes)).await.unwrap();
        Shop { objects, references: vec![reference] }
    }

    async fn inspected(&self, model: Option<Arc<MattingModel>>) -> Inspection {
        let workshop = workshop(model);
        workshop.inspect(&self.objects, &product(), &self.references, workshop.model()).await.unwrap()
    }
}

fn wanted(model: Option<&MattingModel>) -> Settings {
    let options = model.map(|model| (OPTION_MATTING.to_owned(), model.fingerprint().to_hex()));
    Settings {
        roles: vec![],
        channels: vec![],
        policy: Policy::STANDARD,
        priority: 10,
        cost_max: None,
        prices: BTreeMap::new(),
        options: options.into_iter().collect(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_rescues_a_photo_where_somebody_shares_its_opinion() {
    let shop = Shop::with(&photo()).await;
    let alone = shop.inspected(None).await;
    assert_eq!(alone.chosen, None);
    let kinds: Vec<&str> = alone.reports[0].weaknesses.iter().map(|weak| weak.kind.as_str()).collect();
    assert!(!kinds.is_empty() && kinds.iter().all(|kind| *kind == "uncertain-outline"), "{kinds:?}");

    let rescued = shop.inspected(Some(of_red())).await;
    assert_eq!(rescued.chosen, Some(0), "{:?}", rescued.reports[0].weaknesses);
    let reasons = rescued.reports[0].reasons.join("; ");
    assert!(reasons.contains("outline by the matting model"), "{reasons}");
    let bounds = rescued.facts.unwrap().silhouette.bounds;
    assert!(bounds.w.abs_diff(2 * RADIUS) < 8 && bounds.h.abs_diff(2 * RADIUS) < 8, "{bounds:?}");

    let other = shop.inspected(Some(of_light())).await;
    assert_eq!(other.chosen, None);
    let seen = other.reports[0].weaknesses.iter().map(|weak| weak.seen.as_str()).collect::<String>();
    assert!(seen.contains("the matting model agrees with neither"), "{seen}");
    // Each was kept by itself.
    assert_eq!(shop.inspected(None).await, alone);
}

#[test]
fn the_model_is_part_of_what_is_kept() {
    let key = |matting: Option<&str>| inspection_key(&product(), &[], matting);
    let (red, light) = (of_red().fingerprint().to_hex(), of_light().fingerprint().to_hex());
    assert_ne!(red, light);
    let keys = [key(None), key(Some(&red)), key(Some(&light))];
    assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2]);
}

#[test]
fn a_batch_is_made_with_the_model_it_was_submitted_with() {
    let red = of_red();
    let shop = workshop(Some(Arc::clone(&red)));
    let same = shop.model_of(&wanted(Some(&red))).unwrap().unwrap();
    assert_eq!(same.fingerprint(), red.fingerprint());
    assert!(shop.model_of(&wanted(None)).unwrap().is_none());
    for other in [shop.model_of(&wanted(Some(&of_light()))), workshop(None).model_of(&wanted(Some(&red)))] {
        let Err(fault @ Fault::OtherModel) = other else { panic!("another model would be used") };
        // Another worker may have it.
        assert!(matches!(fault.into_outcome(), Outcome::Transient { retry_after_ms: Some(_), .. }));
    }
}
