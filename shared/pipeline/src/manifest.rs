//! What a batch is to make: one header per batch and one immutable entry per SKU, so that
//! a worker reads one SKU with one GET and 50,000 SKUs are written in constant memory.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::budget::MicroUsd;
use crate::catalog::{Product, Reference};
use crate::ids::{BatchId, Digest, Sku};
use crate::job_key::JobKey;
use crate::policy::Policy;
use crate::pool::Pool;
use crate::role::Role;
use crate::tally::Tally;

/// Version of the manifest's form; a reader refuses a newer one.
pub const MANIFEST_SCHEMA: u32 = 1;

/// One submission of a catalog: `batches/<batch>/manifest.json`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Batch {
    /// [`MANIFEST_SCHEMA`] of the writer.
    pub schema: u32,
    /// Name.
    pub batch: BatchId,
    /// When it was submitted, in milliseconds since 1970 (UTC); orders the sets of a SKU.
    pub created_ms: u64,
    /// Digest of the catalog's bytes.
    pub catalog: Digest,
    /// What is wanted.
    pub settings: Settings,
}

/// What is wanted of a batch.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Settings {
    /// Roles of every SKU, in the order of a set.
    pub roles: Vec<Role>,
    /// Channels exported to.
    pub channels: Vec<String>,
    /// Limits.
    pub policy: Policy,
    /// Weight among batches that run at the same time, 1 to 100; 10 is usual.
    pub priority: u32,
    /// The most that may be spent on the batch; `None`: no cap.
    pub cost_max: Option<MicroUsd>,
    /// Price of one candidate, by maker and model as `maker/model`.
    pub prices: BTreeMap<String, MicroUsd>,
    /// Everything else that a maker, a review or an export reads, by name.
    pub options: BTreeMap<String, String>,
}

/// One SKU of a batch: `batches/<batch>/skus/<slug>.json`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ManifestSku {
    /// [`MANIFEST_SCHEMA`] of the writer.
    pub schema: u32,
    /// The product as the catalog has it.
    pub product: Product,
    /// References whose bytes are in the object store, in the catalog's order.
    pub references: Vec<Reference>,
    /// The jobs of the SKU.
    pub jobs: BTreeMap<Role, JobSpec>,
    /// Fingerprint of the exported set.
    pub set_key: JobKey,
    /// What intake wants a reader of the report to know, one sentence each.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// One job as submitted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct JobSpec {
    /// Fingerprint; names the result.
    pub key: JobKey,
    /// Which workers can do it.
    pub pool: Pool,
    /// Who makes it.
    pub maker: String,
}

/// Written last, once every entry stands: `batches/<batch>/submitted.json`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Submitted {
    /// Entries.
    pub skus: u64,
    /// Jobs in them, sets not counted.
    pub jobs: u64,
}

/// What the catalog was: `batches/<batch>/catalog.json`. With its pages, a report can repeat
/// the rows without the file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CatalogHead {
    /// [`MANIFEST_SCHEMA`] of the writer.
    pub schema: u32,
    /// File name, without its folder.
    pub name: String,
    /// Column names as the file has them.
    pub columns: Vec<String>,
}

/// Some of the catalog's rows, in its order: `batches/<batch>/rows/<n>.json`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CatalogPage {
    /// [`MANIFEST_SCHEMA`] of the writer.
    pub schema: u32,
    /// Products and bad rows.
    pub entries: Vec<CatalogEntry>,
}

/// One product or bad row of the catalog.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CatalogEntry {
    /// Its rows, one cell per column.
    pub rows: Vec<Vec<String>>,
    /// The product's SKU; `None` for a row that is no product.
    pub sku: Option<Sku>,
    /// Why it is no product, and what to do about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub problem: String,
    /// What is odd about the rows, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Whether a batch has come to rest: `batches/<batch>/closed.json`. Not a commit marker: a
/// retry or a person's decision opens the batch again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Closed {
    /// [`MANIFEST_SCHEMA`] of the writer.
    pub schema: u32,
    /// Whether nothing more happens without a person.
    pub closed: bool,
    /// When that was seen, in milliseconds since 1970.
    pub at_ms: u64,
    /// The totals then.
    pub tally: Tally,
}
