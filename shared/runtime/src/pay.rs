//! Money around a job: put aside before the work starts, counted after it is committed, so
//! that a batch stays within its cap whoever works at it. Work that has no price passes by.
//!
//! A reservation carries the attempt's name, and so does every paid answer (a saved
//! candidate). Whoever comes later can therefore tell from the objects alone what became of
//! a reservation: the worker itself, the sweeper after a crash, and whoever rebuilds a
//! coordinator that has lost its memory.

use std::collections::BTreeMap;

use packshot_pipeline::budget::MicroUsd;
use packshot_pipeline::ids::BatchId;
use packshot_pipeline::job_key::JobKey;
use packshot_pipeline::layout;
use packshot_pipeline::manifest::{Batch, ManifestSku};
use packshot_pipeline::role::Role;
use packshot_pipeline::state::{SkuState, Target};

use crate::port::{CoordinatorError, ObjectsError, Reserved};
use crate::ports::Ports;
use crate::store::Store;
use crate::submit::PortError;
use crate::work::ClaimedJob;

/// Reservations that a sweep looks at; many more than one batch has claims at a time.
const RESERVATIONS_MAX: usize = 10_000;

/// Money put aside for one attempt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Purse {
    /// The attempt's name.
    name: String,
    /// The job it is for.
    pub(crate) key: JobKey,
}

/// What the ledger says to a claimed job.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Pay {
    /// It costs nothing.
    Free,
    /// The money is there.
    Granted(Purse),
    /// All that is left of it is put aside by others, who may need less: ask again later.
    Later,
    /// It is spent, and why that is too much.
    Refused(String),
}

/// What one more candidate of this role costs; `None`: nothing.
fn price(header: &Batch, entry: &ManifestSku, role: Role) -> Option<MicroUsd> {
    let spec = entry.jobs.get(&role)?;
    header.settings.prices.get(&spec.maker).copied().filter(|price| *price > MicroUsd::ZERO)
}

/// Puts aside the most that the attempt may cost: every candidate that the policy still
/// allows.
pub(crate) async fn reserve(ports: &Ports, header: &Batch, job: &ClaimedJob) -> Result<Pay, PortError> {
    let Target::Role(role) = job.target() else { return Ok(Pay::Free) };
    let Some(price) = price(header, &job.entry, role) else { return Ok(Pay::Free) };
    let Some(own) = job.state.jobs.get(&role) else { return Ok(Pay::Free) };
    if !job.candidates.is_empty() {
        count_found(ports, header, &own.key).await?;
    }
    let bought = u32::try_from(job.candidates.len()).unwrap_or(u32::MAX);
    let left = header.settings.policy.candidates_max.saturating_sub(bought);
    let amount = MicroUsd(price.0.saturating_mul(u64::from(left)));
    let purse = Purse { name: job.name(), key: own.key };
    if amount == MicroUsd::ZERO {
        return Ok(Pay::Free);
    }
    let (cap, now_ms) = (header.settings.cost_max, ports.clock.now_ms());
    match ports.ledger.reserve(&header.batch, cap, &purse.name, amount, now_ms).await? {
        // Settled: a sweeper took this attempt for dead, which it will learn when it ends.
        Reserved::Yes | Reserved::Settled { .. } => Ok(Pay::Granted(purse)),
        Reserved::OverCap { .. } => {
            let cap = cap.unwrap_or_default();
            // What others have put aside they may give back; what is spent is gone.
            let left = MicroUsd(cap.0.saturating_sub(ports.ledger.books(&header.batch).await?.spent.0));
            Ok(if left >= amount {
                Pay::Later
            } else {
                Pay::Refused(format!(
                    "the batch may cost {cap} USD, {left} USD of it are left and this image may cost {amount} USD"
                ))
            })
        }
    }
}

/// Turns a reservation into what the attempt really paid, by the answers it saved.
pub(crate) async fn settle(
    ports: &Ports,
    batch: &BatchId,
    purse: &Purse,
    certainly_first: bool,
) -> Result<(), PortError> {
    let paid = paid(&ports.store(), &purse.key, batch).await?;
    let actual = paid.get(&purse.name).copied().unwrap_or_default();
    if certainly_first {
        Ok(settle_as(ports, batch, &purse.name, actual).await?)
    } else {
        Ok(settle_late(ports, batch, &purse.name, actual).await?)
    }
}

async fn settle_as(
    ports: &Ports,
    batch: &BatchId,
    name: &str,
    actual: MicroUsd,
) -> Result<(), CoordinatorError> {
    if actual == MicroUsd::ZERO {
        ports.ledger.release(batch, name).await
    } else {
        ports.ledger.settle(batch, name, actual).await
    }
}

/// Settles an attempt that a sweeper may have settled before with less.
async fn settle_late(
    ports: &Ports,
    batch: &BatchId,
    name: &str,
    actual: MicroUsd,
) -> Result<(), CoordinatorError> {
    let now_ms = ports.clock.now_ms();
    match ports.ledger.reserve(batch, None, name, MicroUsd::ZERO, now_ms).await? {
        Reserved::Settled { actual: before } if before < actual => {
            ports.ledger.settle(batch, &format!("{name}/late"), MicroUsd(actual.0 - before.0)).await
        }
        Reserved::Settled { .. } => Ok(()),
        Reserved::Yes | Reserved::OverCap { .. } => settle_as(ports, batch, name, actual).await,
    }
}

/// What attempts of `batch` paid for a job, by their names.
async fn paid(
    store: &Store<'_>,
    key: &JobKey,
    batch: &BatchId,
) -> Result<BTreeMap<String, MicroUsd>, ObjectsError> {
    let mut paid: BTreeMap<String, MicroUsd> = BTreeMap::new();
    for candidate in store.candidates(key).await? {
        if candidate.attempt.split('/').nth(1) == Some(batch.as_str()) {
            let sum = paid.entry(candidate.attempt).or_default();
            *sum = *sum + candidate.cost;
        }
    }
    Ok(paid)
}

/// Counts everything that was paid for a SKU, after the ledger was lost. Safe to repeat.
pub(crate) async fn recount(ports: &Ports, header: &Batch, entry: &ManifestSku) -> Result<(), PortError> {
    for (role, spec) in &entry.jobs {
        if price(header, entry, *role).is_none() {
            continue;
        }
        count_found(ports, header, &spec.key).await?;
    }
    Ok(())
}

/// Counts what attempts of this batch paid for a job whose answers were found. Who paid has
/// counted it, unless the ledger has lost its last moments. Safe to repeat.
async fn count_found(ports: &Ports, header: &Batch, key: &JobKey) -> Result<(), PortError> {
    if header.settings.prices.is_empty() {
        return Ok(());
    }
    for (name, actual) in paid(&ports.store(), key, &header.batch).await? {
        ports.ledger.settle(&header.batch, &name, actual).await?;
    }
    Ok(())
}

/// The same for the job that `target` names; a set costs nothing.
pub(crate) async fn count_found_of(
    ports: &Ports,
    header: &Batch,
    state: &SkuState,
    target: Target,
) -> Result<(), PortError> {
    let Target::Role(role) = target else { return Ok(()) };
    let Some(own) = state.jobs.get(&role) else { return Ok(()) };
    count_found(ports, header, &own.key).await
}

/// Settles the reservations of attempts that are over, made before `before_ms`; returns how
/// many.
pub(crate) async fn sweep(ports: &Ports, header: &Batch, before_ms: u64) -> Result<u64, PortError> {
    let mut settled = 0;
    if header.settings.prices.is_empty() {
        return Ok(settled);
    }
    let batch = &header.batch;
    for reservation in ports.ledger.reservations(batch, before_ms, RESERVATIONS_MAX).await? {
        let name = &reservation.name;
        let mut parts = name.split('/').skip(2);
        let (Some(slug), Some(Target::Role(role))) = (parts.next(), parts.next().and_then(Target::parse))
        else {
            continue;
        };
        let key = format!("{}{slug}.json", layout::manifest_skus(batch));
        let Some(entry) = ports.store().read::<ManifestSku>(&key).await? else { continue };
        let Some(spec) = entry.jobs.get(&role) else { continue };
        let sku = &entry.product.sku;
        let loaded = ports.coordinator.load(batch, sku).await?;
        let leases = loaded.map(|loaded| loaded.state.leases()).unwrap_or_default();
        if leases.iter().any(|lease| lease.attempt.name(batch, sku) == *name) {
            continue;
        }
        let purse = Purse { name: name.clone(), key: spec.key };
        settle(ports, batch, &purse, true).await?;
        settled += 1;
    }
    Ok(settled)
}
