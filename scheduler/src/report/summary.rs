//! `summary.json`: the run in a dozen numbers, for scripts.

use std::io::Write;
use std::path::Path;

use packshot_pipeline::budget::MicroUsd;
use serde::{Serialize, Serializer};

use super::{ReportError, WholeFile};

/// The run in numbers. Field names are a contract.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Summary {
    /// Batch name.
    pub batch: String,
    /// Products that were read.
    pub skus: u64,
    /// Images asked for: one per SKU and role.
    pub jobs: u64,
    /// Jobs that are accepted, cached ones included.
    pub accepted: u64,
    /// Accepted jobs that an earlier run had made.
    pub cached: u64,
    /// Jobs whose best candidate waits for a person, or of which nothing was good enough.
    pub needs_human: u64,
    /// Jobs that failed.
    pub failed: u64,
    /// Jobs that cannot be made from what there is.
    pub skipped: u64,
    /// SKUs without a reference that can be trusted.
    pub weak_references: u64,
    /// Catalog rows that did not become a product.
    pub bad_rows: u64,
    /// Wall time.
    pub seconds: f64,
    /// Images made in this run, per minute of wall time; cached ones do not count.
    pub images_per_minute: f64,
    /// What was paid, in US dollars.
    #[serde(serialize_with = "dollars", rename = "cost_usd")]
    pub cost: MicroUsd,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn dollars<S: Serializer>(amount: &MicroUsd, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(amount)
}

impl Summary {
    /// Writes `summary.json` into `dir`.
    pub fn write(&self, dir: &Path) -> Result<(), ReportError> {
        let mut file = WholeFile::create(&dir.join("summary.json"))?;
        let written = serde_json::to_writer_pretty(&mut file.writer, self)
            .map_err(std::io::Error::from)
            .and_then(|()| file.writer.write_all(b"\n"));
        written.map_err(|source| file.failed(source))?;
        file.finish()
    }
}
