//! What must be true after any fault. The checker compares the manifest, the objects, the
//! documents and the index in Redis, the queues, the books and the makers' own log of calls,
//! and what an undisturbed run of the same manifest gives.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use packshot_pipeline::budget::MicroUsd;
use packshot_pipeline::ids::{BatchId, Digest, Sku};
use packshot_pipeline::manifest::{Batch, ManifestSku};
use packshot_pipeline::pool::Pool;
use packshot_pipeline::state::{JobState, SetState, SkuState};
use packshot_pipeline::tally::{Tally, TallyDelta};
use packshot_runtime::port::{Coordinator, Depth, Ledger};
use packshot_runtime::store::Store;
use packshot_tests::undisturbed::{self, Ended};

use super::calls::{Calls, blame_commits};
use crate::cluster::{Cluster, Truth};

/// The longest that what is left over may take to be swept up.
const SWEPT: Duration = Duration::from_mins(1);

/// What a test knows of its own fault.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    /// Calls that may have been paid twice: those that were going on when a process, or its
    /// hold on the job, was lost.
    pub(crate) paid_twice_max: usize,
    /// Messages that can never be done.
    pub(crate) dead_letters: u32,
    /// Images that the batch's cap leaves unmade.
    pub(crate) over_budget: usize,
}

/// A fault that nobody may notice afterwards.
pub(crate) const UNNOTICED: Expected = Expected { paid_twice_max: 0, dead_letters: 0, over_budget: 0 };

/// Fails unless everything of `batch`, which has come to rest, is as if nothing had happened.
/// What sweepers have to put right gets the time for it.
pub(crate) fn check(cluster: &Cluster, batch: &str, expected: Expected) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let truth = cluster.truth().await;
        let batch = BatchId::new(batch).unwrap();
        let wanted = undisturbed::run(&*truth.objects, &batch).await;
        let since = Instant::now();
        loop {
            let mut checker = Checker { truth: &truth, batch: &batch, expected, blames: Vec::new() };
            checker.look(&wanted, &log(cluster)).await;
            if checker.blames.is_empty() {
                return;
            }
            assert!(since.elapsed() < SWEPT, "{batch}:\n{}", checker.blames.join("\n"));
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    });
}

/// Where the scripted workers of a fault test write down what they reach.
pub(crate) const LOG: &str = "steps";

fn log(cluster: &Cluster) -> String {
    std::fs::read_to_string(cluster.shop.path(LOG)).unwrap_or_default()
}

struct Checker<'a> {
    truth: &'a Truth,
    batch: &'a BatchId,
    expected: Expected,
    blames: Vec<String>,
}

impl Checker<'_> {
    fn blame(&mut self, what: String) {
        self.blames.push(what);
    }

    fn store(&self) -> Store<'_> {
        Store::new(&*self.truth.objects, &self.truth.clock)
    }

    async fn look(&mut self, wanted: &BTreeMap<Sku, Ended>, log: &str) {
        let (header, entries) = undisturbed::manifest(&*self.truth.objects, self.batch).await;
        let submitted = self.store().submitted(self.batch).await.unwrap();
        if submitted.map(|submitted| submitted.skus) != Some(entries.len() as u64) {
            self.blame(format!("{submitted:?} was submitted, there are {} entries", entries.len()));
        }
        let calls = Calls::of(log, self.batch);
        self.documents(&entries).await;
        self.ends(&entries, wanted).await;
        self.money(&header, &entries, &calls).await;
        self.queues().await;
        self.blames.extend(blame_commits(log, &keys(&entries)));
        self.blames.extend(calls.blame(self.expected.paid_twice_max));
    }

    /// Every document has ended, agrees with what is committed, and the index is empty.
    async fn documents(&mut self, entries: &[ManifestSku]) {
        let coordinator = &self.truth.coordinator;
        let mut recount = Tally::default();
        for entry in entries {
            match coordinator.load(self.batch, &entry.product.sku).await.unwrap() {
                Some(found) => {
                    recount.add(&TallyDelta(Tally::of(&found.state).0));
                    self.document(&found.state).await;
                }
                None => self.blame(format!("{} has no document", entry.product.sku)),
            }
        }
        let skus = coordinator.skus(self.batch, None, entries.len() + 1).await.unwrap();
        if skus.len() != entries.len() {
            self.blame(format!("{} documents for {} entries", skus.len(), entries.len()));
        }
        let tally = coordinator.tally(self.batch).await.unwrap();
        if tally != recount {
            self.blame(format!("the totals say {tally:?}, the documents {recount:?}"));
        }
        for pool in Pool::ALL {
            let depth = coordinator.depth(self.batch, pool).await.unwrap();
            if depth != Depth::default() {
                self.blame(format!("the index of {pool} still holds {depth:?}"));
            }
        }
    }

    async fn document(&mut self, state: &SkuState) {
        for lease in state.leases() {
            self.blame(format!("{} is still leased", lease.attempt.name(self.batch, &state.sku)));
        }
        for (role, job) in &state.jobs {
            let result = self.store().result(&job.key).await.unwrap();
            let committed = result.is_some_and(|result| result.status.word() == "accepted");
            let agrees = match job.state {
                JobState::Accepted => committed,
                JobState::OverBudget { .. } | JobState::Skipped { .. } => {
                    self.expected.over_budget > 0 && !committed
                }
                JobState::Waiting { .. }
                | JobState::Ready { .. }
                | JobState::Running { .. }
                | JobState::NeedsHuman
                | JobState::Rejected
                | JobState::Failed { .. }
                | JobState::Cancelled => false,
            };
            if !agrees {
                let what = &job.state;
                self.blame(format!("{}/{role} is {what:?}; committed: {committed}", state.sku));
            }
        }
        let pointer = self.store().current_set(&state.sku).await.unwrap();
        let current = pointer.as_ref().map(|pointer| pointer.revision);
        match &state.set.state {
            SetState::Published { revision } if current == Some(*revision) => {}
            other @ (SetState::Open
            | SetState::Due { .. }
            | SetState::Running { .. }
            | SetState::Published { .. }
            | SetState::Partial { .. }
            | SetState::Failed { .. }
            | SetState::Cancelled) => {
                self.blame(format!("the set of {} is {other:?}, current is {current:?}", state.sku));
            }
        }
        if let Some(pointer) = pointer
            && self.store().set(&state.sku, &pointer).await.unwrap().is_none()
        {
            self.blame(format!("{} points at a set that is not there", state.sku));
        }
    }

    /// Images and sets are those of an undisturbed run, and their bytes are there.
    async fn ends(&mut self, entries: &[ManifestSku], wanted: &BTreeMap<Sku, Ended>) {
        let found = undisturbed::ended(&self.store(), entries).await;
        let mut missing = 0;
        for (sku, found) in &found {
            let wanted = &wanted[sku];
            let unmade = found.jobs.values().filter(|job| job.is_none()).count();
            missing += unmade;
            if unmade == 0 && found != wanted {
                self.blame(format!("{sku} is {found:?}, undisturbed it is {wanted:?}"));
            }
            for (_, images) in found.jobs.values().flatten() {
                for image in images {
                    let key = format!("blobs/{image}.png");
                    let bytes = self.truth.objects.get(&key, 1 << 20).await.unwrap();
                    if bytes.is_none_or(|bytes| Digest::of(&bytes) != *image) {
                        self.blame(format!("{key} of {sku} is not what its name says"));
                    }
                }
            }
        }
        if missing != self.expected.over_budget {
            self.blame(format!("{missing} images are missing, {} may be", self.expected.over_budget));
        }
    }

    /// The books agree with the paid answers, nothing is left put aside, and the cap held.
    async fn money(&mut self, header: &Batch, entries: &[ManifestSku], calls: &Calls<'_>) {
        let ledger = &self.truth.coordinator;
        let mut answered = MicroUsd::ZERO;
        for key in keys(entries) {
            for candidate in self.store().candidates(&key).await.unwrap() {
                let ours = candidate.attempt.split('/').nth(1) == Some(self.batch.as_str());
                answered = answered + if ours { candidate.cost } else { MicroUsd::ZERO };
            }
        }
        let books = ledger.books(self.batch).await.unwrap();
        let left = ledger.reservations(self.batch, u64::MAX >> 12, 1_000).await.unwrap();
        if books.reserved > MicroUsd::ZERO || !left.is_empty() {
            self.blame(format!("{} are still put aside: {left:?}", books.reserved));
        }
        if books.spent != answered {
            self.blame(format!("the books say {}, the paid answers {answered}", books.spent));
        }
        let price = header.settings.prices.values().next().copied().unwrap_or(MicroUsd::ZERO);
        let paid = MicroUsd(price.0 * calls.count() as u64);
        let in_flight = MicroUsd(price.0 * self.expected.paid_twice_max as u64);
        if header.settings.cost_max.is_some_and(|cap| paid > cap + in_flight) {
            self.blame(format!("{paid} were paid, the cap is {:?}", header.settings.cost_max));
        }
    }

    /// No message is left. Those that a consumer holds come back when it ends, so a test whose
    /// workers have ended knows that there are none.
    async fn queues(&mut self) {
        for queue in self.truth.broker.depths().await.unwrap() {
            let dead = queue.queue.rsplit('.').next() == Some("dead");
            let may = if dead { self.expected.dead_letters } else { 0 };
            if queue.ready != may {
                self.blame(format!("{} messages in {}, {may} may be", queue.ready, queue.queue));
            }
        }
    }
}

fn keys(entries: &[ManifestSku]) -> BTreeSet<packshot_pipeline::job_key::JobKey> {
    entries.iter().flat_map(|entry| entry.jobs.values().map(|spec| spec.key)).collect()
}
