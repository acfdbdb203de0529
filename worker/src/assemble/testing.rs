//! What the tests of this part share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;

use packshot_pipeline::catalog::{Dimensions, Product};
use packshot_pipeline::ids::Sku;

/// A product with nothing but a SKU.
pub(crate) fn product(sku: &str) -> Product {
    Product {
        sku: Sku::new(sku).unwrap(),
        title: "A mug".to_owned(),
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
        line: 2,
    }
}
