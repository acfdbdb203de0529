//! Sweeping up after the dead: leases that ran out, messages that were sent and never
//! claimed, batches that were cancelled. The document is asked again each time, so any
//! number of sweepers may run.

use std::sync::Arc;

use packshot_pipeline::change::{Change, Slot};
use packshot_pipeline::ids::{BatchId, Sku};
use packshot_pipeline::policy::Policy;
use packshot_pipeline::pool::Pool;
use packshot_pipeline::state::Event;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::clock::Clock;
use crate::drive::committed;
use crate::port::{
    BatchControl, Coordinator, CoordinatorError, Objects, Observer, Running, Sight, Unobserved, Versioned,
};
use crate::store::Store;
use crate::submit::PortError;
use crate::tell::tell;

/// Slots looked at in one go.
const PAGE: usize = 256;

/// How a sweeper behaves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SweepSettings {
    /// The wait between two sweeps, in milliseconds.
    pub every_ms: u64,
    /// After what time a message that nobody claimed is sent again, in milliseconds. More
    /// than a window usually takes to be worked off.
    pub silent_ms: u64,
}

/// What one sweep did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Swept {
    /// Leases that had run out.
    pub leases_lost: u64,
    /// Messages to be sent again.
    pub sent_again: u64,
    /// Documents cancelled.
    pub cancelled: u64,
}

/// Sweeps.
pub struct Sweeper {
    coordinator: Arc<dyn Coordinator>,
    objects: Arc<dyn Objects>,
    clock: Arc<dyn Clock>,
    settings: SweepSettings,
    observer: Arc<dyn Observer>,
}

impl Sweeper {
    /// A sweeper.
    pub fn new(
        coordinator: Arc<dyn Coordinator>,
        objects: Arc<dyn Objects>,
        clock: Arc<dyn Clock>,
        settings: SweepSettings,
    ) -> Self {
        Self { coordinator, objects, clock, settings, observer: Arc::new(Unobserved) }
    }

    /// The same, looked at by `observer`.
    #[must_use]
    pub fn observed_by(self, observer: Arc<dyn Observer>) -> Self {
        Self { observer, ..self }
    }

    /// Sweeps until `stop` is cancelled.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.clock.sleep(self.settings.every_ms.max(1)) => {}
            }
            match self.sweep().await {
                Ok(swept) if swept == Swept::default() => {}
                Ok(swept) => debug!(?swept, "swept"),
                Err(error) => warn!(%error, "could not sweep; trying again"),
            }
        }
    }

    /// Sweeps every open batch once.
    pub async fn sweep(&self) -> Result<Swept, PortError> {
        let mut swept = Swept::default();
        for control in self.coordinator.batches().await? {
            let batch = &control.batch;
            let Some(header) = Store::new(&*self.objects, &*self.clock).batch(batch).await? else { continue };
            let policy = &header.settings.policy;
            swept.leases_lost += self.leases(batch, policy).await?;
            swept.sent_again += self.silent(batch).await?;
            if control.running == Running::Cancelled {
                swept.cancelled += self.cancel(&control, policy).await?;
            }
        }
        let Swept { leases_lost, sent_again, .. } = swept;
        self.observer.saw(Sight::Swept { leases_lost, sent_again });
        Ok(swept)
    }

    async fn leases(&self, batch: &BatchId, policy: &Policy) -> Result<u64, PortError> {
        let slots = self.coordinator.expired(batch, self.clock.now_ms(), PAGE).await?;
        let mut lost = 0;
        for slot in slots {
            let Some(loaded) = self.coordinator.load(batch, &slot.sku).await? else { continue };
            let leases = loaded.state.leases();
            let lease = leases
                .iter()
                .find(|lease| lease.attempt.target == slot.target && lease.attempt.number == slot.number);
            let Some(lease) = lease else {
                self.mend(&loaded, &slot).await?;
                continue;
            };
            // Dead after the commit is not dead before it.
            let store = Store::new(&*self.objects, &*self.clock);
            let done = committed(&store, lease.attempt, &loaded.state).await.unwrap_or(None);
            // The lease may have been renewed since; then the document must say so.
            if lease.until_ms > self.clock.now_ms() {
                continue;
            }
            let event = done.unwrap_or(Event::LeaseLost { attempt: lease.attempt });
            tell(&*self.coordinator, &*self.clock, policy, batch, &slot.sku, &event).await?;
            lost += 1;
        }
        Ok(lost)
    }

    async fn silent(&self, batch: &BatchId) -> Result<u64, CoordinatorError> {
        let mut again = 0;
        for pool in Pool::ALL {
            let now_ms = self.clock.now_ms();
            let before_ms = now_ms.saturating_sub(self.settings.silent_ms);
            let mut ready = Vec::new();
            for slot in self.coordinator.silent(batch, pool, before_ms, PAGE).await? {
                let Some(loaded) = self.coordinator.load(batch, &slot.sku).await? else { continue };
                let due = loaded.state.ready();
                if due.iter().any(|due| due.target == slot.target && due.number == slot.number) {
                    ready.push(slot);
                } else {
                    self.mend(&loaded, &slot).await?;
                }
            }
            self.coordinator.mark_ready(batch, pool, &ready, now_ms).await?;
            again += ready.len() as u64;
        }
        Ok(again)
    }

    /// Puts a slot where the document says that it belongs. The document may have moved on
    /// since the index was read (claimed, ended, or made anew after the store lost its
    /// memory), so it is the one that decides, never the index.
    async fn mend(&self, loaded: &Versioned, slot: &Slot) -> Result<(), CoordinatorError> {
        let change = Change::mending(&loaded.state, slot);
        // On a conflict the document has moved on, and the index with it.
        self.coordinator.commit(loaded.version, &loaded.state, &change).await.map(|_| ())
    }

    async fn cancel(&self, control: &BatchControl, policy: &Policy) -> Result<u64, CoordinatorError> {
        let mut after: Option<Sku> = None;
        let mut cancelled = 0;
        loop {
            let page = self.coordinator.skus(&control.batch, after.as_ref(), PAGE).await?;
            for sku in &page {
                let event = Event::Cancel;
                let told =
                    tell(&*self.coordinator, &*self.clock, policy, &control.batch, sku, &event).await?;
                cancelled += u64::from(matches!(told, crate::tell::Told::Applied(_)));
            }
            if page.len() < PAGE {
                return Ok(cancelled);
            }
            after = page.into_iter().next_back();
        }
    }
}
