//! Made-up products for the studio's tests.

use image::{GrayImage, Luma, Rgb, RgbImage};
use packshot_imaging::photo::{Cutout, CutoutQuality, CutoutSource, Photo};
use packshot_pipeline::catalog::{Dimensions, Product};
use packshot_pipeline::facts::{Facts, Silhouette, Texture};
use packshot_pipeline::finding::Region;
use packshot_pipeline::ids::{Digest, Sku};
use packshot_pipeline::role::Role;

use super::style;
use crate::generate::MakeRequest;

/// A product with nothing but words.
#[allow(clippy::unwrap_used, reason = "tests")]
pub(crate) fn product(title: &str, category: &str) -> Product {
    Product {
        sku: Sku::new("TEST-1").unwrap(),
        title: title.to_owned(),
        description: String::new(),
        category: category.to_owned(),
        brand: String::new(),
        colour: String::new(),
        material: String::new(),
        dimensions: Dimensions::default(),
        accessories: Vec::new(),
        group: None,
        references: Vec::new(),
        codes: std::collections::BTreeMap::default(),
        line: 2,
    }
}

/// A textured disc of radius `radius` (share of the shorter side) on nothing.
pub(crate) fn disc(w: u32, h: u32, radius: f32) -> Cutout {
    let r = radius * w.min(h) as f32;
    let alpha = GrayImage::from_fn(w, h, |x, y| {
        let (dx, dy) = (x as f32 + 0.5 - w as f32 / 2.0, y as f32 + 0.5 - h as f32 / 2.0);
        Luma([((r - (dx * dx + dy * dy).sqrt() + 0.5).clamp(0.0, 1.0) * 255.0) as u8])
    });
    let foreground = RgbImage::from_fn(w, h, |x, y| {
        Rgb([(x * 7 % 200) as u8, (y * 5 % 180) as u8, ((x + y) % 220) as u8])
    });
    let quality = CutoutQuality {
        source: CutoutSource::SuppliedAlpha,
        agreement: 1.0,
        opinion: None,
        edge_contrast: 40.0,
        border_contact: 0.0,
        clutter: 0.0,
        soft_share: 0.01,
        parts: 1,
    };
    Cutout { foreground, alpha, shadow: None, quality }
}

/// Everything a request borrows.
pub(crate) struct Case {
    pub product: Product,
    pub facts: Facts,
    pub photo: Photo,
    pub cutout: Cutout,
}

impl Case {
    pub(crate) fn new(title: &str, category: &str, cutout: Cutout) -> Self {
        let (w, h) = cutout.alpha.dimensions();
        let facts = Facts {
            reference: Digest::of(b"test"),
            colours: Vec::new(),
            silhouette: Silhouette {
                bounds: Region { x: 0, y: 0, w, h },
                aspect: 1.0,
                solidity: 0.8,
                holes: 0,
                parts: 1,
            },
            texture: Texture { band_energy: Vec::new(), highlight: 0.0, word: "matte".to_owned() },
            protected: Vec::new(),
            dimensions: Dimensions::default(),
            stated: Vec::new(),
            contradictions: Vec::new(),
        };
        let photo = Photo::of_pixels(cutout.foreground.clone(), Some(cutout.alpha.clone()));
        Self { product: product(title, category), facts, photo, cutout }
    }

    pub(crate) fn request(&self, role: Role) -> MakeRequest<'_> {
        MakeRequest {
            product: &self.product,
            facts: &self.facts,
            photo: &self.photo,
            cutout: &self.cutout,
            second_view: Some((&self.photo, &self.cutout)),
            role,
            style: style::style_for(&self.product),
            accepted_main: None,
            accepted_lifestyle: None,
            attempt: 1,
        }
    }
}
