//! Making a SKU's document from what the object store holds: at submission, and again
//! after the coordinator lost its memory. The same rule serves both, so a second
//! submission resumes.

use packshot_pipeline::change::Change;
use packshot_pipeline::ids::{BatchId, Sku};
use packshot_pipeline::layout;
use packshot_pipeline::manifest::{Batch, ManifestSku};
use packshot_pipeline::result::{Decision, JobResult};
use packshot_pipeline::role::Role;
use packshot_pipeline::state::{Event, SkuState};

use crate::clock::Clock;
use crate::port::{BatchControl, Coordinator, CoordinatorError, Created, Objects, ObjectsError, Running};
use crate::store::Store;

/// A step that needs coordinator and objects failed in one of them.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// The coordinator.
    #[error(transparent)]
    Coordinator(#[from] CoordinatorError),
    /// The object store.
    #[error(transparent)]
    Objects(#[from] ObjectsError),
}

/// Why a document is made; decides what counts as cached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Occasion {
    /// A submission: every result that stands already is a cache hit.
    Submit,
    /// The coordinator lost its memory: only results of other batches are.
    Rebuild,
}

/// Makes the document of one SKU unless there is one. Results that are committed already
/// are born accepted (or as they ended), human decisions are heard again, and a set made
/// later replaces the one that stands.
pub async fn create_document(
    coordinator: &dyn Coordinator,
    objects: &dyn Objects,
    clock: &dyn Clock,
    header: &Batch,
    entry: &ManifestSku,
    occasion: Occasion,
) -> Result<Created, PortError> {
    loop {
        let state = from_objects(coordinator, objects, clock, header, entry, occasion).await?;
        let change = Change::creating(&state, clock.now_ms());
        match coordinator.create(&state, &change).await? {
            Created::Outlived => {}
            created @ (Created::Yes | Created::Exists) => return Ok(created),
        }
    }
}

/// The document as the object store has it.
async fn from_objects(
    coordinator: &dyn Coordinator,
    objects: &dyn Objects,
    clock: &dyn Clock,
    header: &Batch,
    entry: &ManifestSku,
    occasion: Occasion,
) -> Result<SkuState, PortError> {
    let incarnation = coordinator.incarnation().await?;
    let store = Store::new(objects, clock);
    let now_ms = clock.now_ms();
    let policy = &header.settings.policy;
    let mut state = SkuState::new(&header.batch, entry, incarnation, policy);
    let mut decided: Vec<(Role, Decision)> = Vec::new();
    for (role, spec) in &entry.jobs {
        let Some(result) = store.result(&spec.key).await? else { continue };
        let (event, cached) = found(*role, result, header, occasion);
        if let Ok(transition) = state.apply(&event, policy, now_ms) {
            state = transition.state;
        }
        if let Some(job) = state.jobs.get_mut(role) {
            job.cached &= cached;
        }
        decided.extend(store.decisions(&spec.key).await?.into_iter().map(|decision| (*role, decision)));
    }
    for (role, decision) in decided {
        let event = Event::Decided { role, accept: decision.accept };
        if let Ok(transition) = state.apply(&event, policy, now_ms) {
            state = transition.state;
        }
    }
    state.set.generation = now_ms.max(next_generation(&store, header, entry).await?);
    Ok(state)
}

fn found(role: Role, result: JobResult, header: &Batch, occasion: Occasion) -> (Event, bool) {
    let cached = match occasion {
        Occasion::Submit => true,
        Occasion::Rebuild => result.batch != header.batch,
    };
    (Event::Cached { role, status: result.status }, cached)
}

/// The first generation of this batch that no pointer is named after.
async fn next_generation(
    store: &Store<'_>,
    header: &Batch,
    entry: &ManifestSku,
) -> Result<u64, ObjectsError> {
    let sku = &entry.product.sku;
    let first = layout::set_pointer(sku, header.created_ms, &header.batch, 0);
    let ours = first.trim_end_matches("000000000000000.json");
    // Not the SKU's current pointer: that may be a later batch's.
    let Some(name) = store.last_pointer(sku, ours).await? else { return Ok(0) };
    let number = name.strip_prefix(ours).and_then(|rest| rest.strip_suffix(".json"));
    Ok(number.and_then(|number| number.parse::<u64>().ok()).map_or(0, |last| last.saturating_add(1)))
}

/// Makes the document of one SKU from the object store alone; `None` when the batch has no
/// such SKU.
pub async fn rebuild_sku(
    coordinator: &dyn Coordinator,
    objects: &dyn Objects,
    clock: &dyn Clock,
    header: &Batch,
    sku: &Sku,
) -> Result<Option<Created>, PortError> {
    let store = Store::new(objects, clock);
    let Some(entry) = store.entry(&header.batch, sku).await? else { return Ok(None) };
    create_document(coordinator, objects, clock, header, &entry, Occasion::Rebuild).await.map(Some)
}

/// Makes every document of a batch from the object store alone, in constant memory, and
/// opens the batch. Returns how many documents were new; `None` when there is no such
/// batch. Safe to repeat and to run twice at a time.
pub async fn rebuild_batch(
    coordinator: &dyn Coordinator,
    objects: &dyn Objects,
    clock: &dyn Clock,
    batch: &BatchId,
) -> Result<Option<u64>, PortError> {
    let store = Store::new(objects, clock);
    let Some(header) = store.batch(batch).await? else { return Ok(None) };
    open_batch(coordinator, &header).await?;
    let folder = layout::manifest_skus(batch);
    let (mut after, mut new): (Option<String>, u64) = (None, 0);
    loop {
        let page = objects.list(&folder, after.as_deref(), 500).await?;
        for key in &page {
            let Some(entry) = store.read::<ManifestSku>(key).await? else { continue };
            let made =
                create_document(coordinator, objects, clock, &header, &entry, Occasion::Rebuild).await?;
            new += u64::from(made == Created::Yes);
        }
        if page.len() < 500 {
            return Ok(Some(new));
        }
        after = page.into_iter().next_back();
    }
}

/// Puts a batch among the open ones unless it is.
pub async fn open_batch(coordinator: &dyn Coordinator, header: &Batch) -> Result<(), CoordinatorError> {
    if coordinator.batches().await?.iter().any(|control| control.batch == header.batch) {
        return Ok(());
    }
    let control = BatchControl {
        batch: header.batch.clone(),
        priority: header.settings.priority.max(1),
        running: Running::Yes,
    };
    coordinator.control(&control).await
}
