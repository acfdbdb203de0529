//! A catalog's products as the rest of the system sees them, whatever vendor's file they
//! came from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::{Digest, Sku};

/// One sellable product of a catalog, before its references are fetched.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Product {
    /// The seller's identifier.
    pub sku: Sku,
    /// Name shown to buyers; may be empty.
    pub title: String,
    /// Plain text, markup removed; data, never instruction.
    pub description: String,
    /// Category path as the catalog has it, for example `Home > Kitchen > Mugs`.
    pub category: String,
    /// Brand or vendor.
    pub brand: String,
    /// Colour words of the catalog ("navy / white"), not split.
    pub colour: String,
    /// Material words of the catalog ("100 % cotton").
    pub material: String,
    /// Physical size, where the catalog states it.
    pub dimensions: Dimensions,
    /// What is included besides the product itself, one item each.
    pub accessories: Vec<String>,
    /// Identifies variants of one product, for example a Shopify handle.
    pub group: Option<String>,
    /// References in the catalog's order; the clearest is chosen later.
    pub references: Vec<ReferenceSource>,
    /// Global trade number and similar codes by which a channel names files.
    pub codes: BTreeMap<String, String>,
    /// First line of the product in the catalog file, counted from 1 (the header is 1).
    pub line: u64,
}

/// Physical size in millimetres and grams.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Dimensions {
    /// Width in mm, over 0.
    pub width_mm: Option<f64>,
    /// Height in mm, over 0.
    pub height_mm: Option<f64>,
    /// Depth or length in mm, over 0.
    pub depth_mm: Option<f64>,
    /// Weight in g, over 0.
    pub weight_g: Option<f64>,
}

/// Where a reference photo is to be had.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReferenceSource {
    /// A file below the images folder.
    File(std::path::PathBuf),
    /// An http or https address, fetched under limits.
    Url(String),
}

/// A reference photo whose bytes are in the object store.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Reference {
    /// Digest of the bytes as received.
    pub digest: Digest,
    /// File extension by content: `jpg`, `png`, `webp`, `gif`, `tiff`, `bmp`.
    pub extension: String,
    /// File name or URL as the catalog has it, for messages.
    pub name: String,
}

impl Reference {
    /// Object key under DESIGN's layout.
    pub fn object_key(&self) -> String {
        format!("references/{}.{}", self.digest, self.extension)
    }
}
