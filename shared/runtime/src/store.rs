//! Reading and writing the pipeline's documents as objects: JSON with bounds, and retries
//! of what is safe to repeat.

use bytes::Bytes;
use packshot_pipeline::ids::{BatchId, Sku};
use packshot_pipeline::job_key::JobKey;
use packshot_pipeline::layout;
use packshot_pipeline::manifest::{Batch, MANIFEST_SCHEMA, ManifestSku, Submitted};
use packshot_pipeline::result::{Decision, JobResult, RESULT_SCHEMA, SavedCandidate, SetPointer, SetResult};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::clock::Clock;
use crate::port::{Objects, ObjectsError, ObjectsFault, Put};

/// The largest JSON object that is read.
pub const JSON_BYTES_MAX: u64 = 16 << 20;
/// Paid answers of one job that are read; the oldest come first.
const CANDIDATES_MAX: usize = 64;
/// Decisions of one job that are read.
const DECISIONS_MAX: usize = 1_000;
/// Set pointers listed in one go.
const POINTERS_PAGE: usize = 1_000;
/// How often an object store that is not reachable is asked again.
const TRIES: u32 = 4;
/// The wait before the second try, in milliseconds; doubles.
const TRY_MS: u64 = 200;

/// What a conditional write of a document found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Written {
    /// It was not there.
    New,
    /// The same was there.
    Same,
    /// Another one was there and is untouched.
    Differs,
}

/// The object store as the runtime uses it.
#[derive(Clone, Copy)]
pub struct Store<'a> {
    objects: &'a dyn Objects,
    clock: &'a dyn Clock,
}

pub(crate) fn broken(what: String, source: serde_json::Error) -> ObjectsError {
    ObjectsError { kind: ObjectsFault::Broken, what, source: Some(Box::new(source)), retry_after_ms: None }
}

impl<'a> Store<'a> {
    /// `objects`, waiting by `clock`.
    pub fn new(objects: &'a dyn Objects, clock: &'a dyn Clock) -> Self {
        Self { objects, clock }
    }

    async fn patiently<T, F>(&self, mut ask: impl FnMut() -> F) -> Result<T, ObjectsError>
    where
        F: Future<Output = Result<T, ObjectsError>>,
    {
        let mut tries = 1;
        loop {
            match ask().await {
                Err(error) if error.kind == ObjectsFault::Unavailable && tries < TRIES => {
                    let wait_ms = TRY_MS << (tries - 1);
                    self.clock.sleep(wait_ms.max(error.retry_after_ms.unwrap_or(0)).min(10_000)).await;
                    tries += 1;
                }
                ended => return ended,
            }
        }
    }

    /// Reads a document; `None` when there is none.
    pub async fn read<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, ObjectsError> {
        self.read_up_to(key, JSON_BYTES_MAX).await
    }

    pub(crate) async fn read_up_to<T: DeserializeOwned>(
        &self,
        key: &str,
        bytes_max: u64,
    ) -> Result<Option<T>, ObjectsError> {
        let bytes = self.patiently(|| self.objects.get(key, bytes_max)).await?;
        let Some(bytes) = bytes else { return Ok(None) };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| broken(format!("{key} is not readable"), error))
    }

    /// Writes a document unless there is one.
    pub async fn write_once<T: Serialize>(&self, key: &str, document: &T) -> Result<Written, ObjectsError> {
        self.write_once_up_to(key, document, JSON_BYTES_MAX).await
    }

    pub(crate) async fn put(&self, key: &str, bytes: Bytes) -> Result<(), ObjectsError> {
        self.patiently(|| self.objects.put(key, bytes.clone())).await
    }

    pub(crate) async fn write_once_up_to<T: Serialize>(
        &self,
        key: &str,
        document: &T,
        bytes_max: u64,
    ) -> Result<Written, ObjectsError> {
        let bytes =
            serde_json::to_vec(document).map_err(|error| broken(format!("{key} has no JSON form"), error))?;
        let bytes = Bytes::from(bytes);
        match self.patiently(|| self.objects.put_if_absent(key, bytes.clone())).await? {
            Put::Stored => Ok(Written::New),
            Put::Exists => {
                let there = self.patiently(|| self.objects.get(key, bytes_max)).await?;
                // Nothing is ever removed, so whoever said that it is there was wrong, and
                // nothing may be built on an object that is not.
                let there = there.ok_or_else(|| ObjectsError {
                    kind: ObjectsFault::Unavailable,
                    what: format!("{key} is said to be there and cannot be read"),
                    source: None,
                    retry_after_ms: None,
                })?;
                Ok(if there == bytes { Written::Same } else { Written::Differs })
            }
        }
    }

    pub(crate) async fn list_after(
        &self,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<String>, ObjectsError> {
        let after = Some(after).filter(|after| !after.is_empty());
        self.patiently(|| self.objects.list(prefix, after, limit)).await
    }

    async fn list(&self, prefix: &str, limit: usize) -> Result<Vec<String>, ObjectsError> {
        self.patiently(|| self.objects.list(prefix, None, limit)).await
    }

    /// The header of a batch.
    pub async fn batch(&self, batch: &BatchId) -> Result<Option<Batch>, ObjectsError> {
        let key = layout::manifest(batch);
        let header: Option<Batch> = self.read(&key).await?;
        header.map(|header| newer(&key, header.schema, MANIFEST_SCHEMA).map(|()| header)).transpose()
    }

    /// The entry of a SKU.
    pub async fn entry(&self, batch: &BatchId, sku: &Sku) -> Result<Option<ManifestSku>, ObjectsError> {
        let key = layout::manifest_sku(batch, sku);
        let entry: Option<ManifestSku> = self.read(&key).await?;
        entry.map(|entry| newer(&key, entry.schema, MANIFEST_SCHEMA).map(|()| entry)).transpose()
    }

    /// Writes the header of a batch.
    pub async fn write_batch(&self, header: &Batch) -> Result<Written, ObjectsError> {
        self.write_once(&layout::manifest(&header.batch), header).await
    }

    /// Writes the entry of a SKU.
    pub async fn write_entry(&self, batch: &BatchId, entry: &ManifestSku) -> Result<Written, ObjectsError> {
        self.write_once(&layout::manifest_sku(batch, &entry.product.sku), entry).await
    }

    /// Writes that a batch is wholly submitted.
    pub async fn write_submitted(
        &self,
        batch: &BatchId,
        counts: &Submitted,
    ) -> Result<Written, ObjectsError> {
        self.write_once(&layout::submitted(batch), counts).await
    }

    /// The committed result of a job.
    pub async fn result(&self, key: &JobKey) -> Result<Option<JobResult>, ObjectsError> {
        let name = layout::result(key);
        let result: Option<JobResult> = self.read(&name).await?;
        result.map(|result| newer(&name, result.schema, RESULT_SCHEMA).map(|()| result)).transpose()
    }

    /// Commits a result, or returns the one that was committed before. A result that could
    /// not be read back is refused before it is written.
    pub async fn commit_result(&self, result: &JobResult) -> Result<JobResult, ObjectsError> {
        let name = layout::result(&result.key);
        let text =
            serde_json::to_vec(result).map_err(|error| broken(format!("{name} has no JSON form"), error))?;
        serde_json::from_slice::<JobResult>(&text)
            .map_err(|error| broken(format!("{name} could not be read back"), error))?;
        match self.write_once(&name, result).await? {
            Written::New | Written::Same => Ok(result.clone()),
            Written::Differs => Ok(self.result(&result.key).await?.unwrap_or_else(|| result.clone())),
        }
    }

    /// Paid answers of a job, oldest name first.
    pub async fn candidates(&self, key: &JobKey) -> Result<Vec<SavedCandidate>, ObjectsError> {
        let mut candidates = Vec::new();
        for name in self.list(&layout::candidates(key), CANDIDATES_MAX).await? {
            candidates.extend(self.read(&name).await?);
        }
        Ok(candidates)
    }

    /// Decisions about a job, oldest first.
    pub async fn decisions(&self, key: &JobKey) -> Result<Vec<Decision>, ObjectsError> {
        let mut decisions = Vec::new();
        for name in self.list(&layout::decisions(key), DECISIONS_MAX).await? {
            decisions.extend(self.read(&name).await?);
        }
        Ok(decisions)
    }

    /// What the SKU's current pointer points at.
    pub async fn current_set(&self, sku: &Sku) -> Result<Option<SetPointer>, ObjectsError> {
        match self.last_pointer(sku, "").await? {
            Some(name) => self.read(&name).await,
            None => Ok(None),
        }
    }

    /// The last of the SKU's pointers whose name begins with `beginning`.
    pub async fn last_pointer(&self, sku: &Sku, beginning: &str) -> Result<Option<String>, ObjectsError> {
        let folder = layout::set_current(sku);
        let (mut after, mut last): (Option<String>, Option<String>) = (None, None);
        loop {
            let page = self.patiently(|| self.objects.list(&folder, after.as_deref(), POINTERS_PAGE)).await?;
            let full = page.len() == POINTERS_PAGE;
            after = page.last().cloned();
            last = page.into_iter().rfind(|name| name.starts_with(beginning)).or(last);
            if !full {
                return Ok(last);
            }
        }
    }

    /// A committed set.
    pub async fn set(&self, sku: &Sku, pointer: &SetPointer) -> Result<Option<SetResult>, ObjectsError> {
        self.read(&layout::set(sku, &pointer.revision)).await
    }
}

pub(crate) fn newer(key: &str, schema: u32, known: u32) -> Result<(), ObjectsError> {
    if schema <= known {
        return Ok(());
    }
    let what = format!("{key} is of form {schema}, this program reads up to {known}: update it");
    Err(ObjectsError { kind: ObjectsFault::Broken, what, source: None, retry_after_ms: None })
}
