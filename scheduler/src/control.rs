//! How operators steer a batch: pause, resume, cancel, priority. Each is written down as an
//! object first, so that it survives the coordinator, and then told to the coordinator, so
//! that it acts at once.

use anyhow::anyhow;
use futures::StreamExt;
use packshot_pipeline::ids::{BatchId, Sku};
use packshot_pipeline::manifest::Batch;
use packshot_pipeline::state::Event;
use packshot_runtime::keep::reopen;
use packshot_runtime::port::{BatchControl, Running};
use packshot_runtime::ports::Ports;
use packshot_runtime::tell::{Told, tell};

use crate::exit::Failure;
use crate::status::{header, wanted};

/// Documents told at the same time.
const TOGETHER: usize = 32;
/// SKUs listed in one go.
const PAGE: usize = 500;
/// The largest priority; the smallest is 1.
pub const PRIORITY_MAX: u32 = 100;

/// Hands nothing more out; what has been claimed goes on.
pub async fn pause(ports: &Ports, batch: &BatchId) -> Result<(), Failure> {
    let header = header(ports, batch).await?;
    let control = wanted(ports, &header).await?;
    refuse_cancelled(&control, "paused")?;
    put(ports, &BatchControl { running: Running::Paused, ..control }).await
}

/// Goes on after a pause.
pub async fn resume(ports: &Ports, batch: &BatchId) -> Result<(), Failure> {
    let header = header(ports, batch).await?;
    let control = wanted(ports, &header).await?;
    refuse_cancelled(&control, "resumed")?;
    put(ports, &BatchControl { running: Running::Yes, ..control }).await
}

/// Changes the weight of a batch among the open ones.
pub async fn prioritise(ports: &Ports, batch: &BatchId, priority: u32) -> Result<(), Failure> {
    let header = header(ports, batch).await?;
    let control = wanted(ports, &header).await?;
    put(ports, &BatchControl { priority: checked_priority(priority)?, ..control }).await
}

/// A priority within its limits.
pub fn checked_priority(priority: u32) -> Result<u32, Failure> {
    if (1..=PRIORITY_MAX).contains(&priority) {
        return Ok(priority);
    }
    Err(Failure::usage(anyhow!("a priority goes from 1 to {PRIORITY_MAX}, not {priority}"))
        .hint("10 is usual; a batch of priority 20 gets twice the share of one of 10"))
}

/// Stops a batch for good; returns how many SKUs were cancelled. Work that is being done is
/// told to leave, and what it commits in between stays for other batches.
pub async fn cancel(ports: &Ports, batch: &BatchId) -> Result<u64, Failure> {
    let header = header(ports, batch).await?;
    let control = wanted(ports, &header).await?;
    put(ports, &BatchControl { running: Running::Cancelled, ..control }).await?;
    tell_all(ports, &header, &Event::Cancel).await
}

/// Has everything that failed, lacked money or was cancelled tried again; returns how many
/// SKUs that concerns. What a review or a person rejected is a committed result: the same
/// inputs would give the same image, so it is not among them.
pub async fn retry(ports: &Ports, batch: &BatchId) -> Result<u64, Failure> {
    let header = header(ports, batch).await?;
    let control = wanted(ports, &header).await?;
    if control.running == Running::Cancelled {
        put(ports, &BatchControl { running: Running::Yes, ..control }).await?;
    }
    let known = ports.coordinator.batches().await.map_err(Failure::environment)?;
    let closed = ports.store().closed(batch).await.map_err(Failure::environment)?;
    if closed.is_some_and(|closed| closed.closed) || !known.iter().any(|known| known.batch == *batch) {
        reopen(ports, batch).await.map_err(Failure::environment)?;
    }
    tell_all(ports, &header, &Event::Retry).await
}

fn refuse_cancelled(control: &BatchControl, what: &str) -> Result<(), Failure> {
    if control.running != Running::Cancelled {
        return Ok(());
    }
    let batch = &control.batch;
    Err(Failure::usage(anyhow!("batch {batch} is cancelled and cannot be {what}"))
        .hint(format!("`packshot retry --failed {batch}` starts what was cancelled again")))
}

async fn put(ports: &Ports, control: &BatchControl) -> Result<(), Failure> {
    ports.store().write_control(control).await.map_err(Failure::environment)?;
    let known = ports.coordinator.batches().await.map_err(Failure::environment)?;
    // A batch that the coordinator does not have is told when it is opened again.
    if known.iter().any(|known| known.batch == control.batch) {
        ports.coordinator.control(control).await.map_err(Failure::environment)?;
    }
    Ok(())
}

/// Tells every document of a batch; returns to how many it mattered.
async fn tell_all(ports: &Ports, header: &Batch, event: &Event) -> Result<u64, Failure> {
    let (batch, policy) = (&header.batch, &header.settings.policy);
    let (mut after, mut told): (Option<Sku>, u64) = (None, 0);
    loop {
        let page = ports.coordinator.skus(batch, after.as_ref(), PAGE).await.map_err(Failure::environment)?;
        let full = page.len() == PAGE;
        after = page.last().cloned();
        let mut telling =
            futures::stream::iter(page)
                .map(|sku| async move {
                    tell(&*ports.coordinator, &*ports.clock, policy, batch, &sku, event).await
                })
                .buffer_unordered(TOGETHER);
        while let Some(one) = telling.next().await {
            told += u64::from(matches!(one.map_err(Failure::environment)?, Told::Applied(_)));
        }
        if !full {
            return Ok(told);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use std::sync::Arc;

    use packshot_pipeline::manifest::Submitted;
    use packshot_pipeline::policy::Policy;
    use packshot_pipeline::role::Role;
    use packshot_pipeline::state::Incarnation;
    use packshot_runtime::clock::MonotonicClock;
    use packshot_runtime::conformance::sample;
    use packshot_runtime::memory::{
        BrokerLimits, MemoryBroker, MemoryCoordinator, MemoryLedger, MemoryObjects,
    };
    use packshot_runtime::port::Coordinator;
    use packshot_runtime::submit::{create_document, open_batch};

    use super::*;
    use crate::exit::Exit;
    use crate::status::{BatchView, Phase};

    async fn shop() -> (Ports, Arc<MemoryCoordinator>, BatchId) {
        let coordinator = Arc::new(MemoryCoordinator::new(Incarnation(1)));
        let ports = Ports {
            coordinator: coordinator.clone(),
            ledger: Arc::new(MemoryLedger::new()),
            objects: Arc::new(MemoryObjects::new(4 << 20)),
            broker: Arc::new(MemoryBroker::new(BrokerLimits::STANDARD)),
            clock: Arc::new(MonotonicClock::starting_at(5_000)),
        };
        let header = sample::batch("b", Policy::STANDARD);
        ports.store().write_batch(&header).await.unwrap();
        open_batch(&ports, &header).await.unwrap();
        for n in 0..3 {
            let entry = sample::entry(&format!("s{n}"), &[Role::Main, Role::Detail]);
            ports.store().write_entry(&header.batch, &entry).await.unwrap();
            create_document(&ports, &header, &entry).await.unwrap();
        }
        ports.store().write_submitted(&header.batch, &Submitted { skus: 3, jobs: 6 }).await.unwrap();
        (ports, coordinator, header.batch)
    }

    async fn phase(ports: &Ports, batch: &BatchId) -> Phase {
        BatchView::load(ports, batch).await.unwrap().phase
    }

    #[tokio::test]
    async fn what_operators_want_survives_the_coordinator() {
        let (ports, coordinator, batch) = shop().await;
        pause(&ports, &batch).await.unwrap();
        prioritise(&ports, &batch, 77).await.unwrap();
        assert_eq!(phase(&ports, &batch).await, Phase::Paused);
        coordinator.reset(Incarnation(2));
        assert!(reopen(&ports, &batch).await.unwrap());
        let view = BatchView::load(&ports, &batch).await.unwrap();
        assert_eq!((view.phase, view.priority, view.skus), (Phase::Paused, 77, 3));
        resume(&ports, &batch).await.unwrap();
        assert_eq!(phase(&ports, &batch).await, Phase::Running);
        assert_eq!(prioritise(&ports, &batch, 0).await.unwrap_err().exit, Exit::Usage);
    }

    #[tokio::test]
    async fn a_cancelled_batch_can_only_be_retried() {
        let (ports, _, batch) = shop().await;
        assert_eq!(cancel(&ports, &batch).await.unwrap(), 3);
        assert_eq!(cancel(&ports, &batch).await.unwrap(), 0, "twice is once");
        let view = BatchView::load(&ports, &batch).await.unwrap();
        assert!(view.phase == Phase::Cancelled && view.is_at_rest() && view.images("cancelled") == 6);
        for refused in [pause(&ports, &batch).await, resume(&ports, &batch).await] {
            let failure = refused.unwrap_err();
            assert!(failure.exit == Exit::Usage && failure.hint.unwrap().contains("retry --failed b"));
        }
        assert_eq!(retry(&ports, &batch).await.unwrap(), 3);
        let view = BatchView::load(&ports, &batch).await.unwrap();
        assert_eq!((view.phase, view.images("ready"), view.images("waiting")), (Phase::Running, 3, 3));
        assert_eq!(retry(&ports, &batch).await.unwrap(), 0, "nothing is left to be tried again");
    }

    #[tokio::test]
    async fn a_batch_that_was_forgotten_is_retried_from_its_objects() {
        let (ports, coordinator, batch) = shop().await;
        cancel(&ports, &batch).await.unwrap();
        let tally = coordinator.tally(&batch).await.unwrap();
        let closed = packshot_pipeline::manifest::Closed { schema: 1, closed: true, at_ms: 1, tally };
        ports.store().write_closed(&batch, &closed).await.unwrap();
        coordinator.forget(&batch).await.unwrap();
        assert_eq!(BatchView::load(&ports, &batch).await.unwrap().images("cancelled"), 6);
        retry(&ports, &batch).await.unwrap();
        let view = BatchView::load(&ports, &batch).await.unwrap();
        assert_eq!((view.phase, view.images("ready")), (Phase::Running, 3));
    }

    #[tokio::test]
    async fn a_batch_that_is_not_there_is_named() {
        let (ports, ..) = shop().await;
        let failure = pause(&ports, &BatchId::new("nope").unwrap()).await.unwrap_err();
        assert!(failure.exit == Exit::Usage && failure.error.to_string().contains("nope"));
    }
}
