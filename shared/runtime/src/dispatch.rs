//! Handing ready work to the broker: a bounded window per pool, shared among the open
//! batches by deficit round robin (Shreedhar and Varghese, 1995) weighted by priority: as
//! every message weighs the same, a turn is as many messages as the batch's priority, and a
//! turn that the window cut short goes on when there is room again.
//! What is not in the window stays in the coordinator, so pause, cancel and priority act
//! at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use packshot_pipeline::change::Slot;
use packshot_pipeline::ids::BatchId;
use packshot_pipeline::pool::Pool;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::port::{BatchControl, CoordinatorError, Message, Running};
use crate::ports::Ports;

/// Messages handed to the broker in one go.
const SEND_MAX: usize = 1_000;

/// The rest between two rounds, so that a busy system is not asked more than served.
const REST_MS: u64 = 5;
/// The rest after a round that the coordinator cut short.
const FAULT_MS: u64 = 1_000;

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
    ports: Ports,
    settings: DispatchSettings,
    turns: BTreeMap<Pool, Turns>,
}

/// Whose turn it is in one pool, and how many messages of it are left.
#[derive(Debug, Default)]
struct Turns {
    turn: Option<(BatchId, usize)>,
}

impl Dispatcher {
    /// A dispatcher that has not served anybody yet.
    pub fn new(ports: Ports, settings: DispatchSettings) -> Self {
        Self { ports, settings, turns: BTreeMap::new() }
    }

    /// Dispatches until `stop` is cancelled.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut seen = 0;
        let coordinator = Arc::clone(&self.ports.coordinator);
        let clock = Arc::clone(&self.ports.clock);
        loop {
            let round = self.round().await;
            if let Err(error) = &round {
                warn!(%error, "could not dispatch; trying again");
            }
            let rest_ms = if round.is_err() { FAULT_MS } else { REST_MS };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = clock.sleep(rest_ms) => {}
            }
            if round.is_ok_and(|sent| sent == 0) {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return,
                    now = coordinator.changed(seen) => seen = now,
                    () = clock.sleep(self.settings.idle_ms) => {}
                }
            }
        }
    }

    /// Fills every window once; returns how many messages were sent.
    pub async fn round(&mut self) -> Result<u64, CoordinatorError> {
        let batches = self.ports.coordinator.batches().await?;
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
            let depth = self.ports.coordinator.depth(&control.batch, pool).await?;
            outstanding += depth.dispatched;
            if depth.ready > 0 {
                with_work.push(control);
            }
        }
        let free = window.saturating_sub(outstanding) as usize;
        if free == 0 || with_work.is_empty() {
            return Ok(0);
        }
        let now_ms = self.ports.clock.now_ms();
        let mut queues = Vec::new();
        for control in with_work {
            let slots = self.ports.coordinator.ready(&control.batch, pool, now_ms, free).await?;
            queues.push((control, slots));
        }
        let chosen = self.turns.entry(pool).or_default().take(queues, free);
        let mut sent = 0;
        for some in chosen.chunks(SEND_MAX) {
            sent += self.send(pool, some).await?;
        }
        Ok(sent)
    }

    /// Publishes slots in their order, and takes those that are confirmed out of the ready ones.
    async fn send(&self, pool: Pool, slots: &[(BatchId, Slot)]) -> Result<u64, CoordinatorError> {
        let messages: Vec<_> =
            slots.iter().map(|(batch, slot)| (Message::of(batch, slot), BTreeMap::new())).collect();
        let results = self.ports.broker.publish(pool, &messages).await;
        let mut sent: BTreeMap<&BatchId, Vec<Slot>> = BTreeMap::new();
        for ((batch, slot), result) in slots.iter().zip(results) {
            match result {
                Ok(()) => sent.entry(batch).or_default().push(slot.clone()),
                // It stays ready and is sent again; if it was stored, it comes twice.
                Err(error) => warn!(%error, pool = pool.word(), "a message was not confirmed"),
            }
        }
        let now_ms = self.ports.clock.now_ms();
        for (batch, slots) in &sent {
            self.ports.coordinator.mark_dispatched(batch, pool, slots, now_ms).await?;
        }
        Ok(sent.values().map(|slots| slots.len() as u64).sum())
    }
}

impl Turns {
    /// Chooses up to `free` slots of `queues` (in the order of their batches' names), turn by
    /// turn. A batch whose queue runs empty loses the rest of its turn; one that gave `free`
    /// slots may have more of them.
    fn take(&mut self, queues: Vec<(&BatchControl, Vec<Slot>)>, free: usize) -> Vec<(BatchId, Slot)> {
        let mut queues: Vec<(&BatchControl, std::vec::IntoIter<Slot>)> = queues
            .into_iter()
            .map(|(control, slots)| (control, slots.into_iter()))
            .filter(|(_, slots)| slots.len() > 0)
            .collect();
        let mut chosen = Vec::new();
        while chosen.len() < free && !queues.is_empty() {
            let (at, left) = self.next(&queues);
            let (control, slots) = &mut queues[at];
            let room = (free - chosen.len()).min(left);
            let before = slots.len();
            chosen.extend(slots.by_ref().take(room).map(|slot| (control.batch.clone(), slot)));
            self.turn = Some((control.batch.clone(), left - (before - slots.len())));
            if slots.len() == 0 && chosen.len() < free {
                self.turn = Some((control.batch.clone(), 0));
                queues.remove(at);
            }
        }
        chosen
    }

    /// The queue whose turn it is, and how much of the turn is left.
    fn next(&self, queues: &[(&BatchControl, std::vec::IntoIter<Slot>)]) -> (usize, usize) {
        let whole = |at: usize| (at, queues[at].0.priority.max(1) as usize);
        let Some((last, left)) = &self.turn else { return whole(0) };
        match queues.iter().position(|(control, _)| control.batch >= *last) {
            Some(at) if queues[at].0.batch == *last && *left > 0 => {
                let (at, turn) = whole(at);
                (at, turn.min(*left))
            }
            Some(at) if queues[at].0.batch == *last => whole((at + 1) % queues.len()),
            Some(at) => whole(at),
            None => whole(0),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use packshot_pipeline::ids::Sku;
    use packshot_pipeline::role::Role;
    use packshot_pipeline::state::Target;

    use super::*;

    fn control(name: &str, priority: u32) -> BatchControl {
        BatchControl { batch: BatchId::new(name).unwrap(), priority, running: Running::Yes }
    }

    fn slots(count: usize) -> Vec<Slot> {
        let slot = |n: usize| Slot {
            sku: Sku::new(&format!("s{n:05}")).unwrap(),
            target: Target::Role(Role::Main),
            number: 1,
        };
        (0..count).map(slot).collect()
    }

    /// How many of each batch are among `rounds` rounds of `free` places each, while nobody
    /// runs out of work.
    fn served(turns: &mut Turns, batches: &[BatchControl], free: usize, rounds: usize) -> Vec<usize> {
        let mut counts = vec![0; batches.len()];
        for _ in 0..rounds {
            let queues = batches.iter().map(|control| (control, slots(free))).collect();
            for (batch, _) in turns.take(queues, free) {
                counts[batches.iter().position(|control| control.batch == batch).unwrap()] += 1;
            }
        }
        counts
    }

    #[test]
    fn shares_follow_priority_however_small_the_window() {
        let batches = [control("a", 10), control("b", 30), control("c", 1)];
        for (free, rounds) in [(1, 410), (3, 410), (41, 10), (1_000, 41)] {
            let counts = served(&mut Turns::default(), &batches, free, rounds);
            let total = (free * rounds) as f64;
            for (count, share) in counts.iter().zip([10.0, 30.0, 1.0]) {
                let expected = total * share / 41.0;
                assert!(
                    (*count as f64 - expected).abs() <= 31.0,
                    "{free} places, {rounds} rounds: {counts:?}, expected {expected}"
                );
            }
        }
    }

    #[test]
    fn a_newcomer_waits_for_one_turn_at_most() {
        let (crowd, urgent) = (control("a-crowd", 10), control("urgent", 10));
        let mut turns = Turns::default();
        let _alone = turns.take(vec![(&crowd, slots(64))], 64);
        let chosen = turns.take(vec![(&crowd, slots(64)), (&urgent, slots(20))], 64);
        let first = chosen.iter().position(|(batch, _)| *batch == urgent.batch).unwrap();
        assert!(first <= 10, "the newcomer came after {first} others");
        let all = chosen.iter().filter(|(batch, _)| *batch == urgent.batch).count();
        assert_eq!(all, 20, "a short queue is served whole");
    }

    #[test]
    fn a_queue_that_runs_empty_leaves_its_turn_to_the_others() {
        let (a, b) = (control("a", 100), control("b", 1));
        let mut turns = Turns::default();
        let chosen = turns.take(vec![(&a, slots(3)), (&b, slots(50))], 20);
        assert_eq!(chosen.iter().filter(|(batch, _)| *batch == b.batch).count(), 17);
        assert!(turns.take(vec![(&a, Vec::new()), (&b, Vec::new())], 20).is_empty());
    }
}
