//! Processes of their own for the telemetry tests: this test binary, started again with a
//! variable that says what to be.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use packshot_adapters::directory::DirectoryObjects;
use packshot_pipeline::budget::MicroUsd;
use packshot_pipeline::finding::{Axis, Finding, Review, Severity, Verdict};
use packshot_pipeline::manifest::Batch;
use packshot_pipeline::policy::Policy;
use packshot_pipeline::pool::Pool;
use packshot_pipeline::result::{JobResult, JobStatus, RESULT_SCHEMA, SetMember, SetResult};
use packshot_pipeline::role::Role;
use packshot_pipeline::state::{Incarnation, Target};
use packshot_runtime::clock::{Clock, MonotonicClock};
use packshot_runtime::conformance::sample;
use packshot_runtime::consume::{Stop, consume};
use packshot_runtime::dispatch::{DispatchSettings, Dispatcher};
use packshot_runtime::drive::Driver;
use packshot_runtime::memory::{BrokerLimits, MemoryBroker, MemoryCoordinator, MemoryLedger};
use packshot_runtime::port::Objects;
use packshot_runtime::ports::Ports;
use packshot_runtime::submit::{create_document, open_batch, rebuild_batch};
use packshot_runtime::sweep::{SweepSettings, Sweeper};
use packshot_runtime::work::{ClaimedJob, Outcome, Work};
use packshot_service::logging::{LogFormat, LogSettings};
use packshot_service::telemetry::{self, Telemetry};
use packshot_worker::telemetry::Instruments;
use tracing::Instrument;

/// Says what the process shall be.
const PART: &str = "PACKSHOT_TEST_PART";
/// Folder of the object store.
const STORE: &str = "PACKSHOT_TEST_STORE";
/// How many SKUs.
const SKUS: &str = "PACKSHOT_TEST_SKUS";

/// This binary again, as `part`, with exactly these `OTEL_*` variables.
pub(super) fn process(part: &str, store: &Path, skus: usize, variables: &[(&str, String)]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["telemetry::worker::a_process_of_its_own", "--exact", "--ignored", "--nocapture"])
        .env(PART, part)
        .env(STORE, store)
        .env(SKUS, skus.to_string());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OTEL_")) {
        command.env_remove(name);
    }
    command.envs(variables.iter().map(|(name, value)| (*name, value.as_str())));
    command
}

/// Runs it to its end, which must be a good one.
pub(super) fn run(mut command: Command) -> Output {
    let out = command.output().unwrap();
    assert!(
        out.status.success(),
        "{command:?}\n{}\n{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
    out
}

#[test]
#[ignore = "a part of other tests, in a process of its own"]
fn a_process_of_its_own() {
    let Ok(part) = std::env::var(PART) else { return };
    match part.as_str() {
        "submit-and-main" => in_runtime(submit_and_main),
        "the-rest" => in_runtime(the_rest),
        "off" => off(),
        "end" => end(),
        other => panic!("no part {other}"),
    }
}

/// On one thread: the end of telemetry must not need another one.
fn in_runtime<F: Future<Output = ()>>(part: impl FnOnce(Nightshift) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let telemetry = start();
        part(Nightshift::new(&telemetry)).await;
        telemetry.shutdown();
    });
}

fn start() -> Telemetry {
    let log = LogSettings { level: "info".into(), format: LogFormat::Json };
    telemetry::start("packshot-test", "0.0.0", &log)
}

/// A batch of SKUs with a main, a detail and a set; the parts of one process.
struct Nightshift {
    header: Batch,
    skus: usize,
    instruments: Instruments,
    ports: Ports,
}

impl Nightshift {
    fn new(telemetry: &Telemetry) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(MonotonicClock::new());
        let directory = DirectoryObjects::open(Path::new(&std::env::var(STORE).unwrap())).unwrap();
        let directory: Arc<dyn Objects> = Arc::new(directory);
        let instruments = Instruments::new(telemetry, Arc::clone(&directory), Arc::clone(&clock), "memory");
        let coordinator = MemoryCoordinator::new(Incarnation(u64::from(std::process::id())));
        let policy = Policy { backoff_ms_min: 1, backoff_ms_max: 2, ..Policy::STANDARD };
        Self {
            header: sample::batch("night", policy),
            skus: std::env::var(SKUS).unwrap().parse().unwrap(),
            ports: Ports {
                objects: instruments.objects(directory),
                coordinator: instruments.coordinator(Arc::new(coordinator)),
                ledger: Arc::new(MemoryLedger::new()),
                broker: instruments.broker(Arc::new(MemoryBroker::new(BrokerLimits::STANDARD))),
                clock,
            },
            instruments,
        }
    }

    async fn submit(&self) {
        let store = self.ports.store();
        store.write_batch(&self.header).await.unwrap();
        open_batch(&self.ports, &self.header).await.unwrap();
        let submission = self.instruments.submission(&self.header);
        for number in 0..self.skus {
            let mut entry = sample::entry(&format!("sku {number}"), &[Role::Main, Role::Detail]);
            // Another kind of worker, so that another process makes it.
            entry.jobs.get_mut(&Role::Detail).unwrap().pool = Pool::Remote;
            let intake = submission.sku(&entry.product.sku);
            store.write_entry(&self.header.batch, &entry).await.unwrap();
            let created = create_document(&self.ports, &self.header, &entry).instrument(intake.span()).await;
            intake.created(created.unwrap());
        }
        submission.ended(self.skus as u64);
    }

    /// Works in `pools` until `count` jobs or sets have come to `state`.
    async fn work(&self, pools: &[Pool], count: u64, state: &str) {
        let work = self.instruments.work(Arc::new(Quick));
        let driver = Driver::new(self.ports.clone(), work, u64::from(std::process::id()))
            .observed_by(self.instruments.observer());
        let driver = Arc::new(driver);
        let settings =
            DispatchSettings { windows: pools.iter().map(|pool| (*pool, 100)).collect(), idle_ms: 5 };
        let dispatcher = Dispatcher::new(self.ports.clone(), settings);
        let sweeping = SweepSettings { every_ms: 5, silent_ms: 600_000 };
        let sweeper = Sweeper::new(self.ports.clone(), sweeping).observed_by(self.instruments.observer());
        let Ports { coordinator, broker, clock, .. } = &self.ports;
        let stop = Stop::default();
        let reached = async {
            let deadline = Instant::now() + Duration::from_secs(30);
            loop {
                let tally = coordinator.tally(&self.header.batch).await.unwrap();
                if tally.jobs(None, state) + tally.sets(state) >= count {
                    break;
                }
                assert!(Instant::now() < deadline, "{state}: {tally:?}");
                clock.sleep(5).await;
            }
            stop.soft.cancel();
        };
        let consuming = pools.iter().map(|pool| consume(&**broker, &driver, &**clock, *pool, 4, &stop));
        tokio::join!(
            reached,
            dispatcher.run(stop.soft.clone()),
            sweeper.run(stop.soft.clone()),
            self.instruments.watch_gauges(&**coordinator, &**clock, 5, &stop.soft),
            futures::future::join_all(consuming),
        );
    }
}

async fn submit_and_main(night: Nightshift) {
    night.submit().await;
    night.work(&[Pool::Studio], night.skus as u64, "accepted").await;
}

async fn the_rest(night: Nightshift) {
    rebuild_batch(&night.ports, &night.header.batch).await.unwrap();
    night.work(&[Pool::Remote, Pool::Assemble], night.skus as u64, "published").await;
}

/// Nothing may be there that was not there before.
fn off() {
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
    let files = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = (threads(), files());
    let telemetry = start();
    assert!(telemetry.traces().is_none() && telemetry.meters().is_none() && telemetry.scrape().is_none());
    tracing::info!("nobody is told of this but the log");
    assert_eq!((threads(), files()), before, "threads and open files");
    telemetry.shutdown();
}

/// Something to send, and a limit for sending it.
fn end() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let telemetry = start();
        tracing::info_span!(target: "packshot_test", "claim").in_scope(|| tracing::info!("to be sent"));
        let began = Instant::now();
        telemetry.shutdown_within(Duration::from_millis(300));
        let took = began.elapsed();
        assert!(took < Duration::from_secs(3), "the end took {took:?}");
        #[allow(clippy::print_stdout, reason = "the test that started this process reads it")]
        {
            println!("ended");
        }
    });
}

/// Work that does nothing but answer. The first attempt at a detail fails.
struct Quick;

#[async_trait]
impl Work for Quick {
    async fn work(&self, job: &ClaimedJob) -> Outcome {
        match job.target() {
            Target::Role(Role::Detail) if job.attempt.number == 1 => {
                Outcome::Transient { why: "not at once".into(), retry_after_ms: None }
            }
            Target::Role(role) => Outcome::Job(Box::new(image(job, role))),
            Target::Set => Outcome::Set(Box::new(set(job))),
        }
    }
}

fn image(job: &ClaimedJob, role: Role) -> JobResult {
    let finding = Finding {
        axis: Axis::Colour,
        severity: Severity::Note,
        region: None,
        evidence: "a little warmer".into(),
        value: 0.1,
        threshold: 1.0,
    };
    JobResult {
        schema: RESULT_SCHEMA,
        key: job.entry.jobs[&role].key,
        batch: job.state.batch.clone(),
        sku: job.state.sku.clone(),
        role,
        status: JobStatus::Accepted,
        artefacts: Vec::new(),
        review: Some(Review {
            axes: Vec::new(),
            findings: vec![finding],
            verdict: Verdict::Accept,
            comparable: true,
        }),
        findings: Vec::new(),
        cost: MicroUsd(40_000),
        candidates: 1,
        edits: 0,
        attempts: job.attempt.number,
        maker: "test".into(),
        source_type: String::new(),
        notes: Vec::new(),
        trace_id: String::new(),
    }
}

fn set(job: &ClaimedJob) -> SetResult {
    let accepted = job.results.keys().filter(|role| job.is_accepted(**role));
    SetResult {
        schema: RESULT_SCHEMA,
        batch: job.state.batch.clone(),
        sku: job.state.sku.clone(),
        set_key: job.entry.set_key,
        basis: job.state.basis(),
        absent: std::collections::BTreeMap::new(),
        members: accepted.map(|role| SetMember { role: *role, key: job.entry.jobs[role].key }).collect(),
        files: Vec::new(),
        gaps: Vec::new(),
        findings: Vec::new(),
        notes: Vec::new(),
    }
}
