//! Making a SKU's document from what the object store holds: at submission, and again
//! after the coordinator lost its memory. The same rule serves both, so a second
//! submission resumes.

use futures::{StreamExt, TryStreamExt};
use packshot_pipeline::change::Change;
use packshot_pipeline::ids::{BatchId, Sku};
use packshot_pipeline::layout;
use packshot_pipeline::manifest::{Batch, MANIFEST_SCHEMA, ManifestSku};
use packshot_pipeline::result::Decision;
use packshot_pipeline::role::Role;
use packshot_pipeline::state::{Event, Incarnation, SkuState};

use crate::batches::first_control;
use crate::pay;
use crate::port::{CoordinatorError, Created, ObjectsError};
use crate::ports::Ports;
use crate::store::{Store, newer};

/// Documents that are made anew at the same time when a batch is rebuilt.
const TOGETHER: usize = 32;
/// Entries listed in one go.
const PAGE: usize = 500;

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

/// Makes the document of one SKU unless there is one. Results that are committed already
/// are born accepted (or as they ended), human decisions are heard again, and a set made
/// later replaces the one that stands.
pub async fn create_document(
    ports: &Ports,
    header: &Batch,
    entry: &ManifestSku,
) -> Result<Created, PortError> {
    let store = ports.store();
    if ports.coordinator.load(&header.batch, &entry.product.sku).await?.is_some() {
        return Ok(Created::Exists);
    }
    loop {
        let incarnation = ports.coordinator.incarnation().await?;
        let now_ms = ports.clock.now_ms();
        let mut state = committed_state(&store, header, entry, incarnation, now_ms).await?;
        state.set.generation = now_ms.max(next_generation(&store, header, entry).await?);
        let change = Change::creating(&state, now_ms);
        // What was paid is counted first: a document that is there can be worked at.
        pay::recount(ports, header, entry).await?;
        match ports.coordinator.create(&state, &change).await? {
            Created::Outlived => {}
            created @ (Created::Yes | Created::Exists) => return Ok(created),
        }
    }
}

/// The document as the object store alone tells it: what is committed has ended, everything
/// else has not begun. What an earlier batch made counts as cached; what this batch made
/// counts with what it paid, so that totals survive the coordinator.
pub async fn committed_state(
    store: &Store<'_>,
    header: &Batch,
    entry: &ManifestSku,
    incarnation: Incarnation,
    now_ms: u64,
) -> Result<SkuState, ObjectsError> {
    let policy = &header.settings.policy;
    let mut state = SkuState::new(&header.batch, entry, incarnation, policy);
    let mut decided: Vec<(Role, Decision)> = Vec::new();
    for (role, spec) in &entry.jobs {
        let Some(result) = store.result(&spec.key).await? else { continue };
        let ours = result.batch == header.batch;
        let event = Event::Cached { role: *role, status: result.status };
        if let Ok(transition) = state.apply(&event, policy, now_ms) {
            state = transition.state;
        }
        if let Some(job) = state.jobs.get_mut(role).filter(|_| ours) {
            job.cached = false;
            job.cost = result.cost;
        }
        decided.extend(store.decisions(&spec.key).await?.into_iter().map(|decision| (*role, decision)));
    }
    for (role, decision) in decided {
        let event = Event::Decided { role, accept: decision.accept };
        if let Ok(transition) = state.apply(&event, policy, now_ms) {
            state = transition.state;
        }
    }
    Ok(state)
}

/// The first generation of this batch that no pointer is named after.
async fn next_generation(
    store: &Store<'_>,
    header: &Batch,
    entry: &ManifestSku,
) -> Result<u64, ObjectsError> {
    let sku = &entry.product.sku;
    let ours = layout::set_pointers(sku, header.created_ms, &header.batch);
    // Not the SKU's current pointer: that may be a later batch's.
    let Some(name) = store.last_pointer(sku, &ours).await? else { return Ok(0) };
    let number = name.strip_prefix(&ours).and_then(|rest| rest.strip_suffix(".json"));
    Ok(number.and_then(|number| number.parse::<u64>().ok()).map_or(0, |last| last.saturating_add(1)))
}

/// Makes the document of one SKU from the object store alone; `None` when the batch has no
/// such SKU.
pub async fn rebuild_sku(ports: &Ports, header: &Batch, sku: &Sku) -> Result<Option<Created>, PortError> {
    let Some(entry) = ports.store().entry(&header.batch, sku).await? else { return Ok(None) };
    create_document(ports, header, &entry).await.map(Some)
}

/// Makes every document of a batch from the object store alone, in constant memory, and
/// opens the batch. Returns how many documents were new; `None` when there is no such
/// batch. Safe to repeat and to run twice at a time.
pub async fn rebuild_batch(ports: &Ports, batch: &BatchId) -> Result<Option<u64>, PortError> {
    let store = ports.store();
    let Some(header) = store.batch(batch).await? else { return Ok(None) };
    let header = &header;
    open_batch(ports, header).await?;
    let folder = layout::manifest_skus(batch);
    let (mut after, mut new) = (String::new(), 0);
    loop {
        let page = store.list_after(&folder, &after, PAGE).await?;
        let full = page.len() == PAGE;
        let Some(last) = page.last().cloned() else { return Ok(Some(new)) };
        after = last;
        // Each document takes several round trips, so many are on their way at once.
        new += futures::stream::iter(page)
            .map(|key| async move {
                let Some(entry) = store.read::<ManifestSku>(&key).await? else { return Ok(0) };
                newer(&key, entry.schema, MANIFEST_SCHEMA)?;
                let made = create_document(ports, header, &entry).await?;
                Ok::<u64, PortError>(u64::from(made == Created::Yes))
            })
            .buffer_unordered(TOGETHER)
            .try_fold(0, |sum, one| std::future::ready(Ok(sum + one)))
            .await?;
        if !full {
            return Ok(Some(new));
        }
    }
}

/// Puts a batch among the open ones unless it is, as its operators last wanted it.
pub async fn open_batch(ports: &Ports, header: &Batch) -> Result<(), PortError> {
    if ports.coordinator.batches().await?.iter().any(|control| control.batch == header.batch) {
        return Ok(());
    }
    let control = ports.store().control(&header.batch).await?.unwrap_or_else(|| first_control(header));
    Ok(ports.coordinator.control(&control).await?)
}
