//! Keeping the coordinator in step with the object store: what it has lost is rebuilt, what
//! the operators want is told to it, and what has come to rest is closed and in the end
//! forgotten. Asks the objects each time, so any number of keepers may run.

use std::collections::{BTreeMap, BTreeSet};

use packshot_pipeline::ids::BatchId;
use packshot_pipeline::manifest::{Closed, MANIFEST_SCHEMA};
use packshot_pipeline::state::Incarnation;
use packshot_pipeline::tally::Tally;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::port::BatchControl;
use crate::ports::Ports;
use crate::submit::{PortError, rebuild_batch};

/// How a keeper behaves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeepSettings {
    /// The wait between two looks at the batches that the coordinator has, in milliseconds.
    pub every_ms: u64,
    /// The wait between two looks at every batch of the object store, in milliseconds. One
    /// is made at once when the coordinator has lost its memory.
    pub whole_every_ms: u64,
    /// How long the coordinator keeps a batch that has come to rest, in milliseconds.
    pub rested_ms: u64,
}

/// What one look did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Kept {
    /// Batches of which documents were missing.
    pub rebuilt: u64,
    /// Documents made anew.
    pub documents: u64,
    /// Batches of which the coordinator was told again how they are handed out.
    pub told: u64,
    /// Batches that had come to rest.
    pub closed: u64,
    /// Batches that were at rest and are not any more.
    pub opened: u64,
    /// Batches forgotten after their rest.
    pub forgotten: u64,
    /// Batches that could not be looked at; the next look tries again.
    pub failed: u64,
}

/// Keeps.
pub struct Keeper {
    ports: Ports,
    settings: KeepSettings,
    /// The coordinator's life at the last whole look, and when that was.
    whole: Option<(Incarnation, u64)>,
}

/// Whether nothing more happens in a batch of these totals without a person.
fn is_at_rest(tally: &Tally) -> bool {
    tally.settled() >= tally.skus()
}

impl Keeper {
    /// A keeper that has not looked yet.
    pub fn new(ports: Ports, settings: KeepSettings) -> Self {
        Self { ports, settings, whole: None }
    }

    /// Keeps until `stop` is cancelled.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            // Cutting a rebuild short is harmless: the next look goes on with it.
            let looked = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                looked = self.look() => looked,
            };
            match looked {
                Ok(kept) if kept == Kept::default() => {}
                Ok(kept) => info!(?kept, "kept the coordinator in step"),
                Err(error) => warn!(%error, "could not look after the batches; trying again"),
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.ports.clock.sleep(self.settings.every_ms.max(1)) => {}
            }
        }
    }

    /// Looks once.
    pub async fn look(&mut self) -> Result<Kept, PortError> {
        let incarnation = self.ports.coordinator.incarnation().await?;
        let now_ms = self.ports.clock.now_ms();
        let controls: BTreeMap<BatchId, BatchControl> = self
            .ports
            .coordinator
            .batches()
            .await?
            .into_iter()
            .map(|control| (control.batch.clone(), control))
            .collect();
        let whole = self.whole.is_none_or(|(life, at_ms)| {
            life != incarnation || now_ms.saturating_sub(at_ms) >= self.settings.whole_every_ms
        });
        let mut names: BTreeSet<BatchId> = controls.keys().cloned().collect();
        if whole {
            names.extend(self.ports.store().batches().await?);
        }
        let mut kept = Kept::default();
        for batch in &names {
            if let Err(error) = self.look_at(batch, controls.get(batch), &mut kept).await {
                warn!(%error, batch.id = %batch, "could not look after a batch; trying again");
                kept.failed += 1;
            }
        }
        if whole && kept.failed == 0 {
            self.whole = Some((incarnation, now_ms));
        }
        Ok(kept)
    }

    async fn look_at(
        &self,
        batch: &BatchId,
        control: Option<&BatchControl>,
        kept: &mut Kept,
    ) -> Result<(), PortError> {
        let store = self.ports.store();
        let closed = store.closed(batch).await?.filter(|closed| closed.closed);
        let Some(control) = control else {
            return if closed.is_none() { self.rebuild(batch, kept).await } else { Ok(()) };
        };
        // Operators write the object first, so where the two differ the object is newer.
        if let Some(wanted) = store.control(batch).await?.filter(|wanted| wanted != control) {
            self.ports.coordinator.control(&wanted).await?;
            kept.told += 1;
        }
        let tally = self.ports.coordinator.tally(batch).await?;
        if let Some(closed) = closed {
            if !is_at_rest(&tally) {
                self.write_closed(batch, false, tally).await?;
                kept.opened += 1;
            } else if self.ports.clock.now_ms().saturating_sub(closed.at_ms) >= self.settings.rested_ms {
                self.ports.coordinator.forget(batch).await?;
                self.ports.ledger.forget_books(batch).await?;
                kept.forgotten += 1;
            }
            return Ok(());
        }
        let Some(submitted) = store.submitted(batch).await? else { return Ok(()) };
        if tally.skus() < submitted.skus {
            return self.rebuild(batch, kept).await;
        }
        if is_at_rest(&tally) {
            self.write_closed(batch, true, tally).await?;
            kept.closed += 1;
            // Somebody may have opened it meanwhile, and what is written last counts.
            let tally = self.ports.coordinator.tally(batch).await?;
            if !is_at_rest(&tally) {
                self.write_closed(batch, false, tally).await?;
            }
        }
        Ok(())
    }

    async fn rebuild(&self, batch: &BatchId, kept: &mut Kept) -> Result<(), PortError> {
        let made = rebuild_batch(&self.ports, batch).await?;
        let Some(made) = made else { return Ok(()) };
        info!(batch.id = %batch, documents = made, "rebuilt a batch from its objects");
        kept.rebuilt += 1;
        kept.documents += made;
        Ok(())
    }

    async fn write_closed(&self, batch: &BatchId, closed: bool, tally: Tally) -> Result<(), PortError> {
        let at_ms = self.ports.clock.now_ms();
        let closed = Closed { schema: MANIFEST_SCHEMA, closed, at_ms, tally };
        Ok(self.ports.store().write_closed(batch, &closed).await?)
    }
}

/// Opens a batch that has come to rest: its documents are there again, and it stays until it
/// comes to rest once more. Returns `false` when there is no such batch.
pub async fn reopen(ports: &Ports, batch: &BatchId) -> Result<bool, PortError> {
    let store = ports.store();
    if let Some(closed) = store.closed(batch).await?.filter(|closed| closed.closed) {
        store.write_closed(batch, &Closed { closed: false, at_ms: ports.clock.now_ms(), ..closed }).await?;
    }
    Ok(rebuild_batch(ports, batch).await?.is_some())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use packshot_pipeline::manifest::{Batch, Submitted};
    use packshot_pipeline::policy::Policy;
    use packshot_pipeline::role::Role;
    use packshot_pipeline::state::Event;

    use super::*;
    use std::sync::Arc;

    use crate::clock::MonotonicClock;
    use crate::conformance::sample;
    use crate::memory::{BrokerLimits, MemoryBroker, MemoryCoordinator, MemoryLedger, MemoryObjects};
    use crate::port::{Coordinator, Running};
    use crate::submit::{create_document, open_batch};
    use crate::tell::tell;

    struct Shop {
        coordinator: Arc<MemoryCoordinator>,
        ports: Ports,
        header: Batch,
    }

    impl Shop {
        async fn with_skus(skus: &[&str]) -> Self {
            let coordinator = Arc::new(MemoryCoordinator::new(Incarnation(1)));
            let ports = Ports {
                coordinator: coordinator.clone(),
                ledger: Arc::new(MemoryLedger::new()),
                objects: Arc::new(MemoryObjects::new(1 << 22)),
                broker: Arc::new(MemoryBroker::new(BrokerLimits::STANDARD)),
                clock: Arc::new(MonotonicClock::starting_at(1_000)),
            };
            let shop = Shop { coordinator, ports, header: sample::batch("b", Policy::STANDARD) };
            let store = shop.ports.store();
            store.write_batch(&shop.header).await.unwrap();
            open_batch(&shop.ports, &shop.header).await.unwrap();
            for sku in skus {
                let entry = sample::entry(sku, &[Role::Main, Role::Detail]);
                store.write_entry(&shop.header.batch, &entry).await.unwrap();
                create_document(&shop.ports, &shop.header, &entry).await.unwrap();
            }
            let counts = Submitted { skus: skus.len() as u64, jobs: 2 * skus.len() as u64 };
            store.write_submitted(&shop.header.batch, &counts).await.unwrap();
            shop
        }

        fn keeper(&self) -> Keeper {
            let settings = KeepSettings { every_ms: 10, whole_every_ms: u64::MAX, rested_ms: 500 };
            Keeper::new(self.ports.clone(), settings)
        }

        async fn tell(&self, sku: &str, event: &Event) {
            let sku = packshot_pipeline::ids::Sku::new(sku).unwrap();
            let policy = &self.header.settings.policy;
            let told = tell(&*self.coordinator, &*self.ports.clock, policy, &self.header.batch, &sku, event)
                .await
                .unwrap();
            assert!(matches!(told, crate::tell::Told::Applied(_)), "{told:?}");
        }

        async fn skus(&self) -> u64 {
            self.ports.coordinator.tally(&self.header.batch).await.unwrap().skus()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_memory_is_rebuilt_with_what_the_operators_want() {
        let shop = Shop::with_skus(&["a", "b", "c"]).await;
        let mut keeper = shop.keeper();
        assert_eq!(keeper.look().await.unwrap(), Kept::default());
        let store = shop.ports.store();
        let paused = BatchControl { batch: shop.header.batch.clone(), priority: 3, running: Running::Paused };
        store.write_control(&paused).await.unwrap();
        shop.coordinator.reset(Incarnation(2));
        let kept = keeper.look().await.unwrap();
        assert_eq!((kept.rebuilt, kept.documents), (1, 3), "{kept:?}");
        assert_eq!(shop.coordinator.batches().await.unwrap(), [paused]);
        assert_eq!(shop.skus().await, 3);
        assert_eq!(keeper.look().await.unwrap(), Kept::default());
    }

    #[tokio::test(start_paused = true)]
    async fn documents_that_are_missing_are_made_again() {
        let shop = Shop::with_skus(&["a", "b"]).await;
        let mut keeper = shop.keeper();
        keeper.look().await.unwrap();
        // A store that was rolled back has the batch and lacks what came last.
        shop.coordinator.forget(&shop.header.batch).await.unwrap();
        let control = crate::batches::first_control(&shop.header);
        shop.coordinator.control(&control).await.unwrap();
        let kept = keeper.look().await.unwrap();
        assert_eq!((kept.rebuilt, kept.documents), (1, 2), "{kept:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_at_rest_is_closed_forgotten_and_opened_again() {
        let shop = Shop::with_skus(&["a"]).await;
        let mut keeper = shop.keeper();
        keeper.look().await.unwrap();
        shop.tell("a", &Event::Cancel).await;
        let kept = keeper.look().await.unwrap();
        assert_eq!(kept, Kept { closed: 1, ..Kept::default() });
        let store = shop.ports.store();
        let closed = store.closed(&shop.header.batch).await.unwrap().unwrap();
        assert!(closed.closed && closed.tally.sets("cancelled") == 1, "{closed:?}");

        shop.tell("a", &Event::Retry).await;
        assert_eq!(keeper.look().await.unwrap(), Kept { opened: 1, ..Kept::default() });
        assert!(!store.closed(&shop.header.batch).await.unwrap().unwrap().closed);
        shop.tell("a", &Event::Cancel).await;
        assert_eq!(keeper.look().await.unwrap(), Kept { closed: 1, ..Kept::default() });

        tokio::time::sleep(std::time::Duration::from_millis(600)).await;
        assert_eq!(keeper.look().await.unwrap(), Kept { forgotten: 1, ..Kept::default() });
        assert!(shop.coordinator.batches().await.unwrap().is_empty());
        // A lost memory does not bring back what is at rest.
        shop.coordinator.reset(Incarnation(2));
        assert_eq!(keeper.look().await.unwrap(), Kept::default());

        assert!(reopen(&shop.ports, &shop.header.batch).await.unwrap());
        assert_eq!(shop.skus().await, 1);
        assert_eq!(keeper.look().await.unwrap(), Kept::default(), "it is open: there is work in it");
    }
}
