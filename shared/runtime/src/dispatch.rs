//! Handing ready work to the broker: a bounded window per pool, shared among the open
//! batches by deficit round robin (Shreedhar and Varghese, 1995) weighted by priority.
//! What is not in the window stays in the coordinator, so pause, cancel and priority act
//! at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use packshot_pipeline::change::Slot;
use packshot_pipeline::ids::BatchId;
use packshot_pipeline::pool::Pool;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::clock::Clock;
use crate::port::{BatchControl, Broker, Coordinator, CoordinatorError, Message, Running};

/// How a dispatcher behaves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DispatchSettings {
    /// Messages of one pool that may wait unclaimed in the broker, by pool; a pool that is
    /// not named is not served.
    pub windows: BTreeMap<Pool, u64>,
    /// How long it rests when there is nothing to do, in milliseconds, unless something
    /// becomes ready.
    pub idle_ms: u64,
}

/// Fills the windows. Several may run at a time: then some messages are sent twice.
pub struct Dispatcher {
    coordinator: Arc<dyn Coordinator>,
    broker: Arc<dyn Broker>,
    clock: Arc<dyn Clock>,
    settings: DispatchSettings,
    shares: BTreeMap<Pool, Shares>,
}

/// Whose turn it is in one pool, and what each batch is owed.
#[derive(Debug, Default)]
struct Shares {
    last_served: Option<BatchId>,
    deficits: BTreeMap<BatchId, u64>,
}

impl Dispatcher {
    /// A dispatcher that has not served anybody yet.
    pub fn new(
        coordinator: Arc<dyn Coordinator>,
        broker: Arc<dyn Broker>,
        clock: Arc<dyn Clock>,
        settings: DispatchSettings,
    ) -> Self {
        Self { coordinator, broker, clock, settings, shares: BTreeMap::new() }
    }

    /// Dispatches until `stop` is cancelled.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut seen = 0;
        let coordinator = Arc::clone(&self.coordinator);
        let clock = Arc::clone(&self.clock);
        loop {
            let rest_ms = match self.round().await {
                Ok(0) => self.settings.idle_ms,
                Ok(_) => 0,
                Err(error) => {
                    warn!(%error, "could not dispatch; trying again");
                    self.settings.idle_ms.max(1_000)
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                now = coordinator.changed(seen) => seen = now,
                () = clock.sleep(rest_ms) => {}
            }
        }
    }

    /// Fills every window once; returns how many messages were sent.
    pub async fn round(&mut self) -> Result<u64, CoordinatorError> {
        let batches = self.coordinator.batches().await?;
        let open: Vec<BatchControl> =
            batches.into_iter().filter(|control| control.running == Running::Yes).collect();
        let mut sent = 0;
        for (pool, window) in self.settings.windows.clone() {
            sent += self.fill(pool, window, &open).await?;
        }
        Ok(sent)
    }

    async fn fill(
        &mut self,
        pool: Pool,
        window: u64,
        open: &[BatchControl],
    ) -> Result<u64, CoordinatorError> {
        let mut outstanding = 0;
        let mut with_work = Vec::new();
        for control in open {
            let depth = self.coordinator.depth(&control.batch, pool).await?;
            outstanding += depth.dispatched;
            if depth.ready > 0 {
                with_work.push(control);
            }
        }
        let free = window.saturating_sub(outstanding) as usize;
        if free == 0 || with_work.is_empty() {
            return Ok(0);
        }
        let now_ms = self.clock.now_ms();
        let mut queues = Vec::new();
        for control in with_work {
            let slots = self.coordinator.ready(&control.batch, pool, now_ms, free).await?;
            queues.push((control, slots));
        }
        let shares = self.shares.entry(pool).or_default();
        let mut sent = 0;
        for (batch, slots) in shares.take(queues, free) {
            sent += self.send(&batch, pool, slots).await?;
        }
        Ok(sent)
    }

    async fn send(&self, batch: &BatchId, pool: Pool, slots: Vec<Slot>) -> Result<u64, CoordinatorError> {
        let messages: Vec<_> = slots
            .iter()
            .map(|slot| {
                let message = Message {
                    schema: Message::SCHEMA,
                    batch: batch.clone(),
                    sku: slot.sku.clone(),
                    target: slot.target,
                    number: slot.number,
                };
                (message, BTreeMap::new())
            })
            .collect();
        let results = self.broker.publish(pool, &messages).await;
        let mut sent = Vec::new();
        for (slot, result) in slots.into_iter().zip(results) {
            match result {
                Ok(()) => sent.push(slot),
                // It stays ready and is sent again; if it was stored, it comes twice.
                Err(error) => warn!(%error, pool = pool.word(), "a message was not confirmed"),
            }
        }
        self.coordinator.mark_dispatched(batch, pool, &sent, self.clock.now_ms()).await?;
        Ok(sent.len() as u64)
    }
}

impl Shares {
    /// Chooses up to `free` slots: in turns, each turn as many as the batch's priority, what
    /// could not be taken for lack of room is owed to the batch next time.
    fn take(&mut self, queues: Vec<(&BatchControl, Vec<Slot>)>, free: usize) -> BTreeMap<BatchId, Vec<Slot>> {
        let mut free = free as u64;
        let mut queues: Vec<(&BatchControl, std::vec::IntoIter<Slot>)> =
            queues.into_iter().map(|(control, slots)| (control, slots.into_iter())).collect();
        self.deficits.retain(|batch, _| queues.iter().any(|(control, _)| control.batch == *batch));
        let first = queues
            .iter()
            .position(|(control, _)| self.last_served.as_ref().is_none_or(|last| control.batch > *last));
        queues.rotate_left(first.unwrap_or(0));
        let mut taken: BTreeMap<BatchId, Vec<Slot>> = BTreeMap::new();
        while free > 0 && queues.iter().any(|(_, slots)| slots.len() > 0) {
            for (control, slots) in &mut queues {
                if slots.len() == 0 || free == 0 {
                    continue;
                }
                let owed = self.deficits.entry(control.batch.clone()).or_insert(0);
                *owed = owed.saturating_add(u64::from(control.priority.max(1)));
                let now = (*owed).min(free);
                let before = slots.len() as u64;
                taken.entry(control.batch.clone()).or_default().extend(slots.by_ref().take(now as usize));
                let got = before - slots.len() as u64;
                *owed = if slots.len() == 0 { 0 } else { *owed - got };
                free -= got;
                self.last_served = Some(control.batch.clone());
            }
        }
        taken
    }
}
