//! Entries of the manifest that were read lately. They never change once they are written, and
//! the jobs of one SKU come soon after each other, so most of them save a request.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use packshot_pipeline::ids::{BatchId, Sku};
use packshot_pipeline::manifest::ManifestSku;

use super::Driver;
use crate::port::ObjectsError;

/// Entries that are kept: some kilobytes each.
const ENTRIES_MAX: usize = 256;

/// The entries, those that were used last at the end.
#[derive(Debug, Default)]
pub(super) struct Entries(Mutex<VecDeque<Kept>>);

#[derive(Debug)]
struct Kept {
    batch: BatchId,
    entry: Arc<ManifestSku>,
}

impl Entries {
    fn find(&self, batch: &BatchId, sku: &Sku) -> Option<Arc<ManifestSku>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().rposition(|kept| kept.entry.product.sku == *sku && kept.batch == *batch)?;
        let found = kept.remove(at)?;
        let entry = Arc::clone(&found.entry);
        kept.push_back(found);
        Some(entry)
    }

    fn keep(&self, batch: &BatchId, entry: &Arc<ManifestSku>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= ENTRIES_MAX {
            kept.pop_front();
        }
        kept.push_back(Kept { batch: batch.clone(), entry: Arc::clone(entry) });
    }
}

impl Driver {
    /// A SKU's entry of the manifest; `None` when there is none.
    pub(super) async fn entry(
        &self,
        batch: &BatchId,
        sku: &Sku,
    ) -> Result<Option<Arc<ManifestSku>>, ObjectsError> {
        if let Some(entry) = self.entries.find(batch, sku) {
            return Ok(Some(entry));
        }
        let Some(entry) = self.store().entry(batch, sku).await? else { return Ok(None) };
        let entry = Arc::new(entry);
        self.entries.keep(batch, &entry);
        Ok(Some(entry))
    }
}
