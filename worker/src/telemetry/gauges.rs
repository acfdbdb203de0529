//! How much stands where, looked up from time to time: depths per pool, jobs by state and
//! the money of the open batches. One process per cluster should do it, the scheduler; if
//! two do, both say the same.

use std::collections::BTreeMap;

use packshot_pipeline::change::Slot;
use packshot_pipeline::ids::BatchId;
use packshot_pipeline::pool::Pool;
use packshot_pipeline::role::Role;
use packshot_pipeline::tally::Tally;
use packshot_runtime::clock::Clock;
use packshot_runtime::port::{Coordinator, CoordinatorError, Depth, Running};
use packshot_service::names;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{Instruments, On};

/// The wait between two looks, in milliseconds.
pub const GAUGES_MS: u64 = 5_000;

/// States that jobs can stand in, as their documents call them.
const JOB_STATES: [&str; 10] = [
    "waiting",
    "ready",
    "running",
    "accepted",
    "needs-human",
    "rejected",
    "skipped",
    "failed",
    "over-budget",
    "cancelled",
];
/// The same for sets.
const SET_STATES: [&str; 7] = ["open", "due", "running", "published", "partial", "failed", "cancelled"];

/// The first due slot of a batch in a pool, and since when it is seen there.
type Heads = BTreeMap<(BatchId, Pool), (Slot, u64)>;

impl Instruments {
    /// Looks every `every_ms` until `stop`; returns at once while metrics are off.
    pub async fn watch_gauges(
        &self,
        coordinator: &dyn Coordinator,
        clock: &dyn Clock,
        every_ms: u64,
        stop: &CancellationToken,
    ) {
        let Some(on) = self.metered() else { return };
        let mut heads = Heads::new();
        loop {
            if let Err(error) = on.look(coordinator, clock.now_ms(), &mut heads).await {
                debug!(%error, "could not look up how much stands where");
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = clock.sleep(every_ms.max(1)) => {}
            }
        }
    }
}

impl On {
    async fn look(
        &self,
        coordinator: &dyn Coordinator,
        now_ms: u64,
        heads: &mut Heads,
    ) -> Result<(), CoordinatorError> {
        let open = coordinator.batches().await?;
        heads.retain(|(batch, _), _| open.iter().any(|control| control.batch == *batch));
        for (running, state) in
            [(Running::Yes, "running"), (Running::Paused, "paused"), (Running::Cancelled, "cancelled")]
        {
            let count = open.iter().filter(|control| control.running == running).count();
            self.record(&names::BATCHES, count as f64, &[(names::STATE, state)]);
        }
        let mut total = Tally::default();
        for control in &open {
            let tally = coordinator.tally(&control.batch).await?;
            total.add(&packshot_pipeline::tally::TallyDelta(tally.0));
        }
        self.totals(&total);
        for pool in Pool::ALL {
            let mut depth = Depth::default();
            let mut oldest_ms = 0;
            for control in &open {
                let of = coordinator.depth(&control.batch, pool).await?;
                depth.ready += of.ready;
                depth.dispatched += of.dispatched;
                depth.leased += of.leased;
                let name = (control.batch.clone(), pool);
                let head = match control.running {
                    Running::Yes if of.ready > 0 => {
                        coordinator.ready(&control.batch, pool, now_ms, 1).await?.pop()
                    }
                    Running::Yes | Running::Paused | Running::Cancelled => None,
                };
                match head {
                    None => {
                        heads.remove(&name);
                    }
                    Some(slot) => {
                        let seen = heads.entry(name).or_insert_with(|| (slot.clone(), now_ms));
                        if seen.0 != slot {
                            *seen = (slot, now_ms);
                        }
                        oldest_ms = oldest_ms.max(now_ms.saturating_sub(seen.1));
                    }
                }
            }
            let pool = [(names::POOL, pool.word())];
            self.record(&names::READY, depth.ready as f64, &pool);
            self.record(&names::DISPATCHED, depth.dispatched as f64, &pool);
            self.record(&names::LEASED, depth.leased as f64, &pool);
            self.record(&names::READY_OLDEST_AGE, oldest_ms as f64 / 1_000.0, &pool);
        }
        Ok(())
    }

    fn totals(&self, total: &Tally) {
        for role in Role::ALL {
            for state in JOB_STATES {
                self.jobs(role.word(), state, total.jobs(Some(role), state));
            }
        }
        for state in SET_STATES {
            self.jobs("set", state, total.sets(state));
        }
        let settled = total.settled();
        self.record(&names::OPEN_SKUS, settled as f64, &[(names::STATE, "settled")]);
        let open = total.skus().saturating_sub(settled);
        self.record(&names::OPEN_SKUS, open as f64, &[(names::STATE, "open")]);
        self.record(&names::OPEN_COST, total.cost().0 as f64 / 1e6, &[]);
    }

    fn jobs(&self, role: &'static str, state: &'static str, count: u64) {
        self.record(&names::JOBS, count as f64, &[(names::ROLE, role), (names::STATE, state)]);
    }
}
