//! Where each object lives. The object store is the truth, so this page is its schema.

use crate::ids::{BatchId, Digest, Sku};
use crate::job_key::JobKey;

/// The header of a batch.
pub fn manifest(batch: &BatchId) -> String {
    format!("batches/{batch}/manifest.json")
}

/// The folder of a batch's entries.
pub fn manifest_skus(batch: &BatchId) -> String {
    format!("batches/{batch}/skus/")
}

/// The entry of one SKU.
pub fn manifest_sku(batch: &BatchId, sku: &Sku) -> String {
    format!("batches/{batch}/skus/{}.json", sku.slug())
}

/// The marker that a batch is wholly submitted.
pub fn submitted(batch: &BatchId) -> String {
    format!("batches/{batch}/submitted.json")
}

/// How the operators want a batch to be handed out: priority, paused, cancelled.
pub fn control(batch: &BatchId) -> String {
    format!("batches/{batch}/control.json")
}

/// Whether nothing more happens in a batch without a person.
pub fn closed(batch: &BatchId) -> String {
    format!("batches/{batch}/closed.json")
}

/// What the catalog of a batch is called and which columns it has.
pub fn catalog(batch: &BatchId) -> String {
    format!("batches/{batch}/catalog.json")
}

/// The `n`th page of the catalog's rows, from 0.
pub fn catalog_page(batch: &BatchId, n: u64) -> String {
    format!("batches/{batch}/rows/{n:06}.json")
}

/// THE commit marker of a job.
pub fn result(key: &JobKey) -> String {
    format!("results/{key}.json")
}

/// The folder of a job's paid answers.
pub fn candidates(key: &JobKey) -> String {
    format!("candidates/{key}/")
}

/// One paid answer; `name` is [`crate::state::Attempt::file_name`] plus its ordinal.
pub fn candidate(key: &JobKey, name: &str) -> String {
    format!("candidates/{key}/{name}.json")
}

/// The folder of a job's human decisions.
pub fn decisions(key: &JobKey) -> String {
    format!("decisions/{key}/")
}

/// The `n`th human decision about a job, from 1; zero-padded so that a listing is in order.
pub fn decision(key: &JobKey, n: u32) -> String {
    format!("decisions/{key}/{n:06}.json")
}

/// An image by its content.
pub fn blob(digest: &Digest, extension: &str) -> String {
    format!("blobs/{digest}.{extension}")
}

/// One exported set; files stand below it, `set.json` is written last.
pub fn set_folder(sku: &Sku, revision: &Digest) -> String {
    format!("sets/{}/{revision}/", sku.slug())
}

/// The commit marker of an exported set.
pub fn set(sku: &Sku, revision: &Digest) -> String {
    format!("sets/{}/{revision}/set.json", sku.slug())
}

/// The folder whose last entry (in byte order) names the SKU's current set.
pub fn set_current(sku: &Sku) -> String {
    format!("sets/{}/current/", sku.slug())
}

/// What the names of all pointers of one batch to sets of `sku` begin with.
pub fn set_pointers(sku: &Sku, created_ms: u64, batch: &BatchId) -> String {
    format!("sets/{}/current/{created_ms:015}-{batch}-", sku.slug())
}

/// The pointer that a batch's set of some generation is finished. Pointers are only ever
/// added and their names are ordered, so "move current unless a newer one stands" needs
/// no compare-and-set: the largest name is current.
pub fn set_pointer(sku: &Sku, created_ms: u64, batch: &BatchId, generation: u64) -> String {
    format!("{}{generation:015}.json", set_pointers(sku, created_ms, batch))
}
