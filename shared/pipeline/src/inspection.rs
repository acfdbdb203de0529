//! What is known of a SKU's references before anything is made.

use serde::{Deserialize, Serialize};

use crate::catalog::Reference;
use crate::facts::Facts;

/// Measurements of one reference; each share and score is 0 to 1 unless said otherwise.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ReferenceReport {
    /// Which reference.
    pub reference: Reference,
    /// Upright size in pixels.
    pub width: u32,
    /// Upright size in pixels.
    pub height: u32,
    /// Longest side of the product's bounding box in pixels.
    pub product_px: u32,
    /// Sharpness of the product: edge width at the strongest edges, in pixels, 10 to 90 %.
    pub edge_width_px: f32,
    /// Share of product pixels clipped to black or white.
    pub clipped: f32,
    /// Irregularity of the background in Lab L units, 0 = smooth.
    pub clutter: f32,
    /// Colour cast of the background, CIELAB chroma, 0 = neutral; 0 when unknown.
    pub cast: f32,
    /// Share of the frame's border that is product; over 0 = cut off.
    pub border_contact: f32,
    /// Separate products seen.
    pub parts: u32,
    /// Agreement of two independent segmentations.
    pub agreement: f32,
    /// One number by which references are ranked, larger is better.
    pub score: f32,
    /// Why it ranks where it does, for people: "sharp (1.6 px edges)", "cut off at the left".
    pub reasons: Vec<String>,
    /// Why it cannot be trusted, each with what to reshoot; empty = usable.
    pub weaknesses: Vec<Weakness>,
}

/// A reason not to trust a reference.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Weakness {
    /// `cut-off`, `blurred`, `clipped`, `tiny`, `several-products`, `no-product`,
    /// `uncertain-outline`, `unreadable`.
    pub kind: String,
    /// What was seen, with its number.
    pub seen: String,
    /// What to do about it: "reshoot with the whole product inside the frame".
    pub reshoot: String,
}

/// Everything known of one SKU before work starts.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Inspection {
    /// One per readable reference, in the catalog's order.
    pub reports: Vec<ReferenceReport>,
    /// Index into `reports` of the clearest; `None`: every one is too weak.
    pub chosen: Option<usize>,
    /// Index of a second usable view for the angle role, if any.
    pub second_view: Option<usize>,
    /// The product-truth list; `None` when nothing was chosen.
    pub facts: Option<Facts>,
}
