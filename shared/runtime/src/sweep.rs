//! Sweeping up after the dead: leases that ran out, messages that were sent and never
//! claimed, batches that were cancelled. The document is asked again each time, so any
//! number of sweepers may run.

use std::sync::Arc;

use packshot_pipeline::change::{Change, Slot};
use packshot_pipeline::ids::{BatchId, Sku};
use packshot_pipeline::manifest::Batch;
use packshot_pipeline::policy::Policy;
use packshot_pipeline::pool::Pool;
use packshot_pipeline::state::Event;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::drive::committed;
use crate::pay;
use crate::port::{BatchControl, CoordinatorError, Observer, Running, Sight, Unobserved, Versioned};
use crate::ports::Ports;
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
    /// Reservations of money settled for attempts that are over.
    pub settled: u64,
    /// Batches that could not be swept; the next sweep tries again.
    pub failed: u64,
}

/// Sweeps.
pub struct Sweeper {
    ports: Ports,
    settings: SweepSettings,
    observer: Arc<dyn Observer>,
}

impl Sweeper {
    /// A sweeper.
    pub fn new(ports: Ports, settings: SweepSettings) -> Self {
        Self { ports, settings, observer: Arc::new(Unobserved) }
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
                () = self.ports.clock.sleep(self.settings.every_ms.max(1)) => {}
            }
            match self.sweep().await {
                Ok(swept) if swept == Swept::default() => {}
                Ok(swept) => debug!(?swept, "swept"),
                Err(error) => warn!(%error, "could not sweep; trying again"),
            }
        }
    }

    /// Sweeps every open batch once; what ails one keeps nobody from sweeping the others.
    pub async fn sweep(&self) -> Result<Swept, CoordinatorError> {
        let mut swept = Swept::default();
        for control in self.ports.coordinator.batches().await? {
            if let Err(error) = self.one(&control, &mut swept).await {
                warn!(%error, batch.id = %control.batch, "could not sweep a batch; trying again");
                swept.failed += 1;
            }
        }
        let Swept { leases_lost, sent_again, .. } = swept;
        self.observer.saw(Sight::Swept { leases_lost, sent_again });
        Ok(swept)
    }

    async fn one(&self, control: &BatchControl, swept: &mut Swept) -> Result<(), PortError> {
        let batch = &control.batch;
        let Some(header) = self.ports.store().batch(batch).await? else { return Ok(()) };
        let policy = &header.settings.policy;
        swept.leases_lost += self.leases(&header).await?;
        swept.sent_again += self.silent(batch).await?;
        if control.running == Running::Cancelled && self.has_open(batch).await? {
            swept.cancelled += self.cancel(control, policy).await?;
        }
        // An attempt settles by itself at its end; only what is older than that is looked at.
        let before_ms = self.ports.clock.now_ms().saturating_sub(policy.lease_ms);
        swept.settled += pay::sweep(&self.ports, &header, before_ms).await?;
        Ok(())
    }

    async fn leases(&self, header: &Batch) -> Result<u64, PortError> {
        let (batch, policy) = (&header.batch, &header.settings.policy);
        let slots = self.ports.coordinator.expired(batch, self.ports.clock.now_ms(), PAGE).await?;
        let mut lost = 0;
        for slot in slots {
            let Some(loaded) = self.ports.coordinator.load(batch, &slot.sku).await? else { continue };
            let leases = loaded.state.leases();
            let lease = leases
                .iter()
                .find(|lease| lease.attempt.target == slot.target && lease.attempt.number == slot.number);
            let Some(lease) = lease else {
                self.mend(&loaded, &slot).await?;
                continue;
            };
            // Dead after the commit is not dead before it.
            let store = self.ports.store();
            let done = committed(&store, lease.attempt, &loaded.state).await.unwrap_or(None);
            // The lease may have been renewed since; then the document must say so.
            if lease.until_ms > self.ports.clock.now_ms() {
                continue;
            }
            if done.is_some() {
                // A ledger that fell back knows neither what was paid nor what was put aside.
                pay::count_found_of(&self.ports, header, &loaded.state, slot.target).await?;
            }
            let event = done.unwrap_or(Event::LeaseLost { attempt: lease.attempt });
            tell(&*self.ports.coordinator, &*self.ports.clock, policy, batch, &slot.sku, &event).await?;
            lost += 1;
        }
        Ok(lost)
    }

    async fn silent(&self, batch: &BatchId) -> Result<u64, CoordinatorError> {
        let mut again = 0;
        for pool in Pool::ALL {
            let now_ms = self.ports.clock.now_ms();
            let before_ms = now_ms.saturating_sub(self.settings.silent_ms);
            let mut ready = Vec::new();
            for slot in self.ports.coordinator.silent(batch, pool, before_ms, PAGE).await? {
                let Some(loaded) = self.ports.coordinator.load(batch, &slot.sku).await? else { continue };
                let due = loaded.state.ready();
                if due.iter().any(|due| due.target == slot.target && due.number == slot.number) {
                    ready.push(slot);
                } else {
                    self.mend(&loaded, &slot).await?;
                }
            }
            self.ports.coordinator.mark_ready(batch, pool, &ready, now_ms).await?;
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
        self.ports.coordinator.commit(loaded.version, &loaded.state, &change).await.map(|_| ())
    }

    /// Whether anything of a batch has not ended.
    async fn has_open(&self, batch: &BatchId) -> Result<bool, CoordinatorError> {
        let tally = self.ports.coordinator.tally(batch).await?;
        let jobs = ["waiting", "ready", "running"].map(|state| tally.jobs(None, state));
        let sets = ["open", "due", "running"].map(|state| tally.sets(state));
        Ok(jobs.into_iter().chain(sets).any(|count| count > 0))
    }

    /// Cancels every document of a batch, as long as its operators want that.
    async fn cancel(&self, control: &BatchControl, policy: &Policy) -> Result<u64, CoordinatorError> {
        let mut after: Option<Sku> = None;
        let mut cancelled = 0;
        loop {
            if !self.ports.coordinator.batches().await?.contains(control) {
                return Ok(cancelled);
            }
            let page = self.ports.coordinator.skus(&control.batch, after.as_ref(), PAGE).await?;
            for sku in &page {
                let event = Event::Cancel;
                let told =
                    tell(&*self.ports.coordinator, &*self.ports.clock, policy, &control.batch, sku, &event)
                        .await?;
                cancelled += u64::from(matches!(told, crate::tell::Told::Applied(_)));
            }
            if page.len() < PAGE {
                return Ok(cancelled);
            }
            after = page.into_iter().next_back();
        }
    }
}
