//! What is kept of a batch as a whole: its header, how it is handed out, whether it has come
//! to rest, and the rows of its catalog.

use bytes::Bytes;
use packshot_pipeline::ids::BatchId;
use packshot_pipeline::layout;
use packshot_pipeline::manifest::{Batch, CatalogHead, CatalogPage, Closed, MANIFEST_SCHEMA, Submitted};
use serde::Serialize;

use crate::port::{BatchControl, ObjectsError, Running};
use crate::store::{Store, Written, broken, newer};

/// The largest page of catalog rows that is read: one row of the catalog may have 32 MiB.
const PAGE_BYTES_MAX: u64 = 256 << 20;

/// How a batch is handed out when nobody has said otherwise.
pub fn first_control(header: &Batch) -> BatchControl {
    BatchControl {
        batch: header.batch.clone(),
        priority: header.settings.priority.max(1),
        running: Running::Yes,
    }
}

impl Store<'_> {
    /// Names of every batch that was ever submitted, in byte order.
    pub async fn batches(&self) -> Result<Vec<BatchId>, ObjectsError> {
        let mut names = Vec::new();
        let mut after = String::new();
        loop {
            // One key of each batch is enough, so the rest of its folder is jumped over.
            let page = self.list_after("batches/", &after, 1).await?;
            let Some(name) = page.first().and_then(|key| key.split('/').nth(1)) else {
                names.sort();
                return Ok(names);
            };
            after = format!("batches/{name}/~");
            // A folder that is no batch name was not put there by this system.
            names.extend(BatchId::new(name).ok());
        }
    }

    /// How many SKUs and jobs were submitted; `None` while the submission is not complete.
    pub async fn submitted(&self, batch: &BatchId) -> Result<Option<Submitted>, ObjectsError> {
        self.read(&layout::submitted(batch)).await
    }

    /// How the operators want a batch to be handed out; `None` when nobody has said anything.
    pub async fn control(&self, batch: &BatchId) -> Result<Option<BatchControl>, ObjectsError> {
        self.read(&layout::control(batch)).await
    }

    /// Writes down how a batch is to be handed out, so that it survives the coordinator.
    pub async fn write_control(&self, control: &BatchControl) -> Result<(), ObjectsError> {
        self.replace(&layout::control(&control.batch), control).await
    }

    /// Whether a batch has come to rest, as last written down.
    pub async fn closed(&self, batch: &BatchId) -> Result<Option<Closed>, ObjectsError> {
        let key = layout::closed(batch);
        let closed: Option<Closed> = self.read(&key).await?;
        closed.map(|closed| newer(&key, closed.schema, MANIFEST_SCHEMA).map(|()| closed)).transpose()
    }

    /// Writes down whether a batch has come to rest.
    pub async fn write_closed(&self, batch: &BatchId, closed: &Closed) -> Result<(), ObjectsError> {
        self.replace(&layout::closed(batch), closed).await
    }

    /// Name and columns of a batch's catalog.
    pub async fn catalog(&self, batch: &BatchId) -> Result<Option<CatalogHead>, ObjectsError> {
        let key = layout::catalog(batch);
        let head: Option<CatalogHead> = self.read(&key).await?;
        head.map(|head| newer(&key, head.schema, MANIFEST_SCHEMA).map(|()| head)).transpose()
    }

    /// Writes name and columns of a batch's catalog.
    pub async fn write_catalog(&self, batch: &BatchId, head: &CatalogHead) -> Result<Written, ObjectsError> {
        self.write_once(&layout::catalog(batch), head).await
    }

    /// The `n`th page of the catalog's rows; `None` behind the last one.
    pub async fn catalog_page(&self, batch: &BatchId, n: u64) -> Result<Option<CatalogPage>, ObjectsError> {
        let key = layout::catalog_page(batch, n);
        let page: Option<CatalogPage> = self.read_up_to(&key, PAGE_BYTES_MAX).await?;
        page.map(|page| newer(&key, page.schema, MANIFEST_SCHEMA).map(|()| page)).transpose()
    }

    /// Writes the `n`th page of the catalog's rows.
    pub async fn write_catalog_page(
        &self,
        batch: &BatchId,
        n: u64,
        page: &CatalogPage,
    ) -> Result<Written, ObjectsError> {
        self.write_once_up_to(&layout::catalog_page(batch, n), page, PAGE_BYTES_MAX).await
    }

    async fn replace<T: Serialize>(&self, key: &str, document: &T) -> Result<(), ObjectsError> {
        let bytes =
            serde_json::to_vec(document).map_err(|error| broken(format!("{key} has no JSON form"), error))?;
        self.put(key, Bytes::from(bytes)).await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use packshot_pipeline::policy::Policy;

    use super::*;
    use crate::clock::MonotonicClock;
    use crate::conformance::sample;
    use crate::memory::MemoryObjects;
    use crate::port::Objects;

    #[tokio::test]
    async fn batches_are_named_without_reading_their_entries() {
        let (objects, clock) = (MemoryObjects::new(1 << 20), MonotonicClock::new());
        let store = Store::new(&objects, &clock);
        assert!(store.batches().await.unwrap().is_empty());
        // Names whose folders sort differently with and without the slash.
        for name in ["b", "b-2", "b0", "a_1"] {
            store.write_batch(&sample::batch(name, Policy::STANDARD)).await.unwrap();
            for n in 0..5 {
                let page = CatalogPage { schema: MANIFEST_SCHEMA, entries: Vec::new() };
                store.write_catalog_page(&BatchId::new(name).unwrap(), n, &page).await.unwrap();
            }
        }
        objects.put("batches/Not-One/x", Bytes::new()).await.unwrap();
        let names: Vec<String> = store.batches().await.unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(names, ["a_1", "b", "b-2", "b0"]);
    }

    #[tokio::test]
    async fn what_operators_want_is_replaced_and_pages_are_not() {
        let (objects, clock) = (MemoryObjects::new(1 << 20), MonotonicClock::new());
        let store = Store::new(&objects, &clock);
        let header = sample::batch("b", Policy::STANDARD);
        assert_eq!(store.control(&header.batch).await.unwrap(), None);
        let mut control = first_control(&header);
        for running in [Running::Paused, Running::Cancelled, Running::Yes] {
            control.running = running;
            store.write_control(&control).await.unwrap();
            assert_eq!(store.control(&header.batch).await.unwrap(), Some(control.clone()));
        }
        let page = |text: &str| CatalogPage {
            schema: MANIFEST_SCHEMA,
            entries: vec![packshot_pipeline::manifest::CatalogEntry {
                rows: vec![vec![text.to_owned()]],
                sku: None,
                problem: "p".into(),
                warnings: Vec::new(),
            }],
        };
        let write = async |text: &str| store.write_catalog_page(&header.batch, 0, &page(text)).await.unwrap();
        assert_eq!(write("a").await, Written::New);
        assert_eq!(write("a").await, Written::Same);
        assert_eq!(write("b").await, Written::Differs);
        assert_eq!(store.catalog_page(&header.batch, 0).await.unwrap(), Some(page("a")));
        assert_eq!(store.catalog_page(&header.batch, 1).await.unwrap(), None);
    }
}
