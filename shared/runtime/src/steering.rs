//! Steering and paying as a whole, on memory adapters and virtual time: an urgent batch behind a
//! large one, pause, cancel and priority, and a cap on money.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use packshot_pipeline::budget::MicroUsd;
use packshot_pipeline::ids::{BatchId, Sku};
use packshot_pipeline::manifest::{Batch, ManifestSku};
use packshot_pipeline::policy::Policy;
use packshot_pipeline::pool::Pool;
use packshot_pipeline::result::{JobResult, JobStatus, RESULT_SCHEMA, SavedCandidate, SetResult};
use packshot_pipeline::role::Role;
use packshot_pipeline::state::{Incarnation, Target};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::batches::first_control;
use crate::clock::MonotonicClock;
use crate::conformance::sample;
use crate::consume::{Stop, consume};
use crate::dispatch::{DispatchSettings, Dispatcher};
use crate::drive::Driver;
use crate::memory::{BrokerLimits, MemoryBroker, MemoryCoordinator, MemoryLedger, MemoryObjects};
use crate::port::{BatchControl, Coordinator, Message, Running};
use crate::ports::Ports;
use crate::submit::{create_document, open_batch};
use crate::sweep::{SweepSettings, Sweeper};
use crate::work::{ClaimedJob, Outcome, Work};

/// One job lasts a second.
const JOB_MS: u64 = 1_000;

/// Work of a second, which writes down when each image was begun, and what was paid.
#[derive(Default)]
struct Slow {
    begun: Mutex<Vec<(BatchId, Sku, Instant)>>,
    calls: AtomicU64,
    cost: u64,
    /// Attempts that die right after they paid and saved.
    dies: AtomicU64,
}

#[async_trait]
impl Work for Slow {
    async fn work(&self, job: &ClaimedJob) -> Outcome {
        let Target::Role(role) = job.target() else { return Self::set(job) };
        let begun = (job.state.batch.clone(), job.state.sku.clone(), Instant::now());
        self.begun.lock().unwrap().push(begun);
        tokio::select! {
            biased;
            () = job.stop.cancelled() => return Outcome::Interrupted,
            () = tokio::time::sleep(std::time::Duration::from_millis(JOB_MS)) => {}
        }
        if self.cost > 0 && job.candidates.is_empty() {
            self.calls.fetch_add(1, Ordering::SeqCst);
            let candidate = SavedCandidate {
                schema: RESULT_SCHEMA,
                attempt: job.name(),
                cost: MicroUsd(self.cost),
                artefacts: Vec::new(),
                source_type: String::new(),
                notes: Vec::new(),
                maker_data: BTreeMap::new(),
            };
            job.save_candidate(1, &candidate).await.unwrap();
            if self.dies.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
            {
                std::future::pending::<()>().await;
            }
        }
        Outcome::Job(Box::new(JobResult {
            schema: RESULT_SCHEMA,
            key: job.state.jobs[&role].key,
            batch: job.state.batch.clone(),
            sku: job.state.sku.clone(),
            role,
            status: JobStatus::Accepted,
            artefacts: Vec::new(),
            review: None,
            findings: Vec::new(),
            cost: MicroUsd(self.cost),
            candidates: 1,
            edits: 0,
            attempts: job.attempt.number,
            maker: "studio".into(),
            source_type: String::new(),
            notes: Vec::new(),
            trace_id: String::new(),
        }))
    }
}

impl Slow {
    fn set(job: &ClaimedJob) -> Outcome {
        Outcome::Set(Box::new(SetResult {
            schema: RESULT_SCHEMA,
            batch: job.state.batch.clone(),
            sku: job.state.sku.clone(),
            set_key: job.state.set.key,
            basis: job.state.basis(),
            members: Vec::new(),
            files: Vec::new(),
            gaps: Vec::new(),
            findings: Vec::new(),
            notes: Vec::new(),
            absent: BTreeMap::new(),
        }))
    }

    fn begun(&self, batch: &BatchId) -> Vec<Instant> {
        let begun = self.begun.lock().unwrap();
        begun.iter().filter(|(of, ..)| of == batch).map(|(.., at)| *at).collect()
    }
}

struct Plant {
    ports: Ports,
    coordinator: Arc<MemoryCoordinator>,
    work: Arc<Slow>,
    stop: CancellationToken,
}

impl Plant {
    fn new(work: Slow) -> Self {
        let coordinator = Arc::new(MemoryCoordinator::new(Incarnation(1)));
        let ports = Ports {
            coordinator: coordinator.clone(),
            ledger: Arc::new(MemoryLedger::new()),
            objects: Arc::new(MemoryObjects::new(256 << 20)),
            broker: Arc::new(MemoryBroker::new(BrokerLimits::STANDARD)),
            clock: Arc::new(MonotonicClock::starting_at(1_000_000)),
        };
        Self { ports, coordinator, work: Arc::new(work), stop: CancellationToken::new() }
    }

    async fn submit(&self, mut header: Batch, skus: usize) -> BatchId {
        // Batches of one name prefix share nothing: SKUs carry the batch's name.
        let entry =
            |n: usize| -> ManifestSku { sample::entry(&format!("{}-{n:06}", header.batch), &[Role::Main]) };
        let entries: Vec<ManifestSku> = (0..skus).map(entry).collect();
        header.created_ms += 1;
        self.ports.store().write_batch(&header).await.unwrap();
        open_batch(&self.ports, &header).await.unwrap();
        for entry in &entries {
            self.ports.store().write_entry(&header.batch, entry).await.unwrap();
            create_document(&self.ports, &header, entry).await.unwrap();
        }
        header.batch
    }

    /// A dispatcher with this window, and one worker with so many places.
    fn start(&self, window: u64, places: u16) {
        let windows = BTreeMap::from([(Pool::Studio, window), (Pool::Assemble, 50)]);
        let dispatcher = Dispatcher::new(self.ports.clone(), DispatchSettings { windows, idle_ms: 100 });
        tokio::spawn(dispatcher.run(self.stop.clone()));
        let sweeper = Sweeper::new(self.ports.clone(), SweepSettings { every_ms: 500, silent_ms: 60_000 });
        tokio::spawn(sweeper.run(self.stop.clone()));
        let work: Arc<dyn Work> = self.work.clone();
        let driver = Arc::new(Driver::new(self.ports.clone(), work, 7));
        for pool in [Pool::Studio, Pool::Assemble] {
            let (ports, driver) = (self.ports.clone(), Arc::clone(&driver));
            let stop = Stop { soft: self.stop.clone(), hard: CancellationToken::new() };
            tokio::spawn(async move {
                consume(&*ports.broker, &driver, &*ports.clock, pool, places, &stop).await;
            });
        }
    }

    async fn settled(&self, batch: &BatchId) -> u64 {
        self.coordinator.tally(batch).await.unwrap().settled()
    }

    async fn until(&self, what: &str, is: impl AsyncFn() -> bool) {
        let begun = Instant::now();
        while !is().await {
            assert!(begun.elapsed().as_secs() < 4_000, "{what} does not come");
            sleep_ms(50).await;
        }
    }
}

async fn sleep_ms(ms: u64) {
    tokio::time::sleep(std::time::Duration::from_millis(ms)).await;
}

#[tokio::test(start_paused = true)]
async fn urgent_skus_behind_a_crowd_start_within_a_minutes_work() {
    let plant = Plant::new(Slow::default());
    let crowd = plant.submit(sample::batch("a-crowd", Policy::STANDARD), 2_000).await;
    plant.start(32, 4);
    plant.until("the crowd's work", async || plant.work.begun(&crowd).len() >= 20).await;
    let submitted = Instant::now();
    let urgent = plant.submit(sample::batch("urgent", Policy::STANDARD), 20).await;
    plant.until("the urgent batch", async || plant.settled(&urgent).await == 20).await;
    let begun = plant.work.begun(&urgent);
    let first = begun[0].duration_since(submitted).as_millis() as u64;
    let last = begun[19].duration_since(submitted).as_millis() as u64;
    // The window that stood before (32 jobs, 4 at a time), then turn by turn.
    assert!(first <= 12 * JOB_MS, "the first of them began after {first} ms");
    assert!(last <= 24 * JOB_MS, "the last of them began after {last} ms");
    assert!(plant.work.begun(&crowd).len() < 150, "the crowd had not been worked off before");
    plant.stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn priority_acts_at_once() {
    let plant = Plant::new(Slow::default());
    let slow = plant.submit(sample::batch("a", Policy::STANDARD), 600).await;
    let header = sample::batch("b", Policy::STANDARD);
    let fast = plant.submit(header.clone(), 600).await;
    plant.start(8, 4);
    plant.until("work", async || plant.work.begun(&slow).len() >= 20).await;
    let shares = || (plant.work.begun(&slow).len() as f64, plant.work.begun(&fast).len() as f64);
    let (a, b) = shares();
    assert!((a - b).abs() <= 20.0, "equal priorities share equally: {a} {b}");
    let control = BatchControl { priority: 90, ..first_control(&header) };
    plant.coordinator.control(&control).await.unwrap();
    sleep_ms(100 * JOB_MS).await;
    let (after_a, after_b) = shares();
    let (a, b) = (after_a - a, after_b - b);
    assert!(b / a >= 5.0, "nine times the priority got {b} against {a}");
    plant.stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_paused_batch_begins_nothing_and_loses_nothing() {
    let plant = Plant::new(Slow::default());
    let header = sample::batch("b", Policy::STANDARD);
    let batch = plant.submit(header.clone(), 60).await;
    plant.start(30, 3);
    plant.until("work", async || plant.work.begun(&batch).len() >= 9).await;
    let paused = BatchControl { running: Running::Paused, ..first_control(&header) };
    plant.coordinator.control(&paused).await.unwrap();
    sleep_ms(2 * JOB_MS).await;
    let begun = plant.work.begun(&batch).len();
    assert!(begun <= 18, "{begun} had begun, though at most those of one more second may");
    sleep_ms(50 * JOB_MS).await;
    assert_eq!(plant.work.begun(&batch).len(), begun, "nothing begins while it is paused");
    let depth = plant.coordinator.depth(&batch, Pool::Studio).await.unwrap();
    assert_eq!((depth.dispatched, depth.leased), (0, 0), "everything that was sent is back: {depth:?}");
    plant.coordinator.control(&first_control(&header)).await.unwrap();
    plant.until("the end", async || plant.settled(&batch).await == 60).await;
    assert_eq!(plant.work.begun(&batch).len(), 60, "each image was made once");
    plant.stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_message_given_back_before_it_was_noted_as_sent_is_not_lost() {
    let plant = Plant::new(Slow::default());
    let header = sample::batch("b", Policy::STANDARD);
    let batch = plant.submit(header.clone(), 1).await;
    let paused = BatchControl { running: Running::Paused, ..first_control(&header) };
    plant.coordinator.control(&paused).await.unwrap();
    let slot = plant.coordinator.ready(&batch, Pool::Studio, u64::MAX, 1).await.unwrap().remove(0);
    let message = (Message::of(&batch, &slot), BTreeMap::new());
    let sent = plant.ports.broker.publish(Pool::Studio, &[message]).await;
    assert!(sent.iter().all(Result::is_ok));
    plant.start(30, 1);
    sleep_ms(100).await;
    let now_ms = plant.ports.clock.now_ms();
    plant.coordinator.mark_dispatched(&batch, Pool::Studio, &[slot], now_ms).await.unwrap();
    sleep_ms(1_000).await;
    let depth = plant.coordinator.depth(&batch, Pool::Studio).await.unwrap();
    assert_eq!((depth.ready, depth.dispatched), (1, 0), "{depth:?}");
    plant.stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_batch_ends_at_once() {
    let plant = Plant::new(Slow::default());
    let header = sample::batch("b", Policy::STANDARD);
    let batch = plant.submit(header.clone(), 300).await;
    plant.start(30, 3);
    plant.until("work", async || plant.work.begun(&batch).len() >= 9).await;
    let cancelled = BatchControl { running: Running::Cancelled, ..first_control(&header) };
    plant.coordinator.control(&cancelled).await.unwrap();
    let since = Instant::now();
    plant.until("the end", async || plant.settled(&batch).await == 300).await;
    assert!(since.elapsed().as_millis() <= 3_000, "it took {} ms", since.elapsed().as_millis());
    let tally = plant.coordinator.tally(&batch).await.unwrap();
    assert!(tally.jobs(None, "cancelled") >= 280, "{tally:?}");
    plant.stop.cancel();
}

/// A batch in which a candidate has this price.
fn priced(price: u64, cap: Option<u64>) -> Batch {
    let policy = Policy { candidates_max: 1, lease_ms: 3_000, ..Policy::STANDARD };
    let mut header = sample::batch("paid", policy);
    header.settings.prices.insert("studio".to_owned(), MicroUsd(price));
    header.settings.cost_max = cap.map(MicroUsd);
    header
}

#[tokio::test(start_paused = true)]
async fn a_cap_holds_however_many_work_at_once() {
    let plant = Plant::new(Slow { cost: 40, ..Slow::default() });
    let batch = plant.submit(priced(40, Some(410)), 50).await;
    plant.start(30, 10);
    plant.until("the end", async || plant.settled(&batch).await == 50).await;
    let tally = plant.coordinator.tally(&batch).await.unwrap();
    assert_eq!((tally.jobs(None, "accepted"), tally.jobs(None, "over-budget")), (10, 40), "{tally:?}");
    assert_eq!(plant.work.calls.load(Ordering::SeqCst), 10);
    let books = plant.ports.ledger.books(&batch).await.unwrap();
    assert_eq!((books.spent, books.reserved), (MicroUsd(400), MicroUsd::ZERO));
    plant.stop.cancel();
}

/// Each job puts aside twice what it pays in the end, so that five at a time take up the cap.
#[tokio::test(start_paused = true)]
async fn what_others_have_only_put_aside_is_waited_for() {
    let plant = Plant::new(Slow { cost: 40, ..Slow::default() });
    let mut header = priced(40, Some(400));
    header.settings.policy.candidates_max = 2;
    let batch = plant.submit(header, 30).await;
    plant.start(30, 10);
    plant.until("the end", async || plant.settled(&batch).await == 30).await;
    let tally = plant.coordinator.tally(&batch).await.unwrap();
    // The last 40 are less than an image may cost.
    assert_eq!((tally.jobs(None, "accepted"), tally.jobs(None, "over-budget")), (9, 21), "{tally:?}");
    let books = plant.ports.ledger.books(&batch).await.unwrap();
    assert_eq!((books.spent, books.reserved), (MicroUsd(360), MicroUsd::ZERO));
    plant.stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn work_without_a_price_is_not_held_up_by_a_cap() {
    let plant = Plant::new(Slow::default());
    let mut header = priced(40, Some(0));
    header.settings.prices.clear();
    let batch = plant.submit(header, 5).await;
    plant.start(30, 10);
    plant.until("the end", async || plant.settled(&batch).await == 5).await;
    assert_eq!(plant.coordinator.tally(&batch).await.unwrap().jobs(None, "accepted"), 5);
    plant.stop.cancel();
}

/// A worker that dies right after it paid, and with it perhaps what the ledger knew last.
async fn outlived_by_its_answer(ledger_falls_back: bool) {
    let plant = Plant::new(Slow { cost: 40, dies: AtomicU64::new(1), ..Slow::default() });
    let batch = plant.submit(priced(40, None), 1).await;
    plant.start(30, 1);
    plant.until("the call", async || plant.work.calls.load(Ordering::SeqCst) == 1).await;
    // The worker that paid never comes back; here it does not even renew its lease, because
    // another process would have died with it.
    plant.stop.cancel();
    if ledger_falls_back {
        plant.ports.ledger.forget_books(&batch).await.unwrap();
    }
    let next = Plant {
        ports: plant.ports.clone(),
        coordinator: plant.coordinator.clone(),
        work: Arc::new(Slow { cost: 40, ..Slow::default() }),
        stop: CancellationToken::new(),
    };
    let lost = plant.coordinator.load(&batch, &Sku::new("paid-000000").unwrap()).await.unwrap().unwrap();
    let lease = lost.state.leases()[0];
    let event = packshot_pipeline::state::Event::LeaseLost { attempt: lease.attempt };
    let policy = priced(40, None).settings.policy;
    let told = crate::tell::tell(
        &*next.ports.coordinator,
        &*next.ports.clock,
        &policy,
        &batch,
        &lost.state.sku,
        &event,
    );
    assert!(matches!(told.await.unwrap(), crate::tell::Told::Applied(_)));
    next.start(30, 1);
    next.until("the end", async || next.settled(&batch).await == 1).await;
    assert_eq!(next.work.calls.load(Ordering::SeqCst), 0, "the paid answer was found");
    // The reservation of the dead attempt is swept, the answer counts once.
    next.until("the books", async || {
        let books = next.ports.ledger.books(&batch).await.unwrap();
        (books.spent, books.reserved) == (MicroUsd(40), MicroUsd::ZERO)
    })
    .await;
    assert_eq!(next.coordinator.tally(&batch).await.unwrap().cost(), MicroUsd(40));
    next.stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_paid_answer_of_a_dead_worker_is_used_and_counted_once() {
    outlived_by_its_answer(false).await;
}

#[tokio::test(start_paused = true)]
async fn whoever_finds_an_answer_counts_it_where_the_ledger_fell_back() {
    outlived_by_its_answer(true).await;
}

#[tokio::test(start_paused = true)]
async fn books_that_were_lost_are_counted_again_from_the_paid_answers() {
    let plant = Plant::new(Slow { cost: 40, ..Slow::default() });
    let batch = plant.submit(priced(40, Some(400)), 20).await;
    plant.start(30, 2);
    plant.until("some work", async || plant.settled(&batch).await >= 4).await;
    plant.coordinator.reset(Incarnation(2));
    plant.ports.ledger.forget_books(&batch).await.unwrap();
    crate::submit::rebuild_batch(&plant.ports, &batch).await.unwrap();
    plant.until("the end", async || plant.settled(&batch).await == 20).await;
    let books = plant.ports.ledger.books(&batch).await.unwrap();
    assert_eq!(books.spent, MicroUsd(40 * plant.work.calls.load(Ordering::SeqCst)));
    assert!(books.spent <= MicroUsd(400 + 2 * 40), "the cap and what was in flight: {books:?}");
    plant.stop.cancel();
}
