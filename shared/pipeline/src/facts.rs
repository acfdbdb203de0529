//! The product-truth list: what must not change, each fact with its source.

use serde::{Deserialize, Serialize};

use crate::catalog::Dimensions;
use crate::finding::{Finding, Region};
use crate::ids::Digest;

/// Where a fact comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A catalog column.
    Catalog,
    /// Measured in the reference's pixels.
    Pixels,
}

/// A colour of the product as measured.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ColourFact {
    /// CIE Lab under D65, from sRGB: L 0 to 100, a and b about -128 to 127.
    pub lab: [f32; 3],
    /// sRGB as `#rrggbb`.
    pub hex: String,
    /// The nearest plain colour word ("navy", "off-white").
    pub word: String,
    /// Share of the product's area, 0 to 1.
    pub share: f32,
}

/// What kind of region is worth protecting.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProtectedKind {
    /// Text-like or logo-like: many high-contrast corners on a calmer surface.
    Label,
    /// Dense fine structure: dial, seam, port, closure, weave.
    HighDetail,
}

/// A region of the reference that a buyer reads and a review must compare closely.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ProtectedRegion {
    /// Kind.
    pub kind: ProtectedKind,
    /// Where, in pixels of the chosen reference.
    pub region: Region,
    /// How strongly it stands out, 0 to 1.
    pub strength: f32,
}

/// Silhouette measured on the chosen reference's matte.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Silhouette {
    /// Bounding box in pixels of the reference.
    pub bounds: Region,
    /// Width divided by height of the bounding box.
    pub aspect: f32,
    /// Product area divided by bounding-box area, 0 to 1.
    pub solidity: f32,
    /// Number of holes (a mug's handle has one).
    pub holes: u32,
    /// Number of separate parts (a pair of shoes has two).
    pub parts: u32,
}

/// A surface measurement.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Texture {
    /// Standard deviation of lightness per octave band, finest first, in Lab L units, at
    /// a product height of 1000 px.
    pub band_energy: Vec<f32>,
    /// 99th minus 50th percentile of lightness: high on gloss and metal.
    pub highlight: f32,
    /// A plain word: `matte`, `satin`, `glossy`, `textured`, `patterned`.
    pub word: String,
}

/// A statement of the catalog.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Stated {
    /// `colour`, `material`, `brand`, `category`, `accessory`, ...
    pub name: String,
    /// As the catalog has it.
    pub value: String,
    /// Always the catalog today; kept so that a reader needs no convention.
    pub source: Source,
}

/// Everything that must stay true of one SKU.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Facts {
    /// Digest of the chosen reference.
    pub reference: Digest,
    /// Colours by share, largest first; from pixels.
    pub colours: Vec<ColourFact>,
    /// Outline; from pixels.
    pub silhouette: Silhouette,
    /// Surface; from pixels.
    pub texture: Texture,
    /// Labels and fine details; from pixels.
    pub protected: Vec<ProtectedRegion>,
    /// From the catalog.
    pub dimensions: Dimensions,
    /// From the catalog: words that must not be contradicted.
    pub stated: Vec<Stated>,
    /// Where catalog and pixels disagree; shown before work starts.
    pub contradictions: Vec<Finding>,
}
