//! One seed's world: processes that are killed and come back, people, and disasters.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use packshot_pipeline::budget::MicroUsd;
use packshot_pipeline::layout;
use packshot_pipeline::manifest::{Batch, ManifestSku};
use packshot_pipeline::policy::{NeedsHuman, Policy};
use packshot_pipeline::pool::Pool;
use packshot_pipeline::result::{Decision, RESULT_SCHEMA};
use packshot_pipeline::role::Role;
use packshot_pipeline::state::{Event, Incarnation, JobState};
use tokio_util::sync::CancellationToken;

use super::check;
use super::fate::{Fate, Process, START_MS};
use super::faulty::Faulty;
use super::maker::{PRICE, SimulatedWork};
use crate::clock::{Clock, MonotonicClock};
use crate::conformance::sample;
use crate::consume::{Stop, consume};
use crate::dispatch::{DispatchSettings, Dispatcher};
use crate::drive::Driver;
use crate::memory::{BrokerLimits, MemoryBroker, MemoryCoordinator, MemoryLedger, MemoryObjects};
use crate::port::{Broker, Coordinator, Ledger, Objects};
use crate::ports::Ports;
use crate::submit::{PortError, create_document, open_batch, rebuild_batch};
use crate::sweep::{SweepSettings, Sweeper};
use crate::tell::tell;

/// What is known of a seed afterwards; the same for the same seed.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct History {
    pub(super) crashes: u64,
    pub(super) stalls: u64,
    pub(super) resets: u64,
    pub(super) paid: u64,
    draws: u64,
    lasted_ms: u64,
    pub(super) wrong: Vec<String>,
}

/// The ports as they really are.
pub(super) struct World {
    pub(super) fate: Arc<Fate>,
    pub(super) coordinator: Arc<MemoryCoordinator>,
    pub(super) broker: Arc<MemoryBroker>,
    pub(super) objects: Arc<MemoryObjects>,
    pub(super) ledger: Arc<MemoryLedger>,
    pub(super) batches: Vec<(Batch, Vec<ManifestSku>)>,
    resets: AtomicU64,
}

/// A clock that every process shares.
struct Shared(Arc<Fate>);

#[async_trait::async_trait]
impl Clock for Shared {
    fn now_ms(&self) -> u64 {
        self.0.clock.now_ms()
    }
    async fn sleep(&self, ms: u64) {
        self.0.clock.sleep(ms).await;
    }
}

fn catalog(fate: &Fate) -> Vec<(Batch, Vec<ManifestSku>)> {
    let batches = fate.draw(1..3);
    let one = |n: u64| {
        let policy = Policy {
            faults_max: fate.draw(2..6) as u32,
            lease_ms: 3_000,
            backoff_ms_min: 100,
            backoff_ms_max: 2_000,
            needs_human: if fate.draw(0..2) == 0 { NeedsHuman::Hold } else { NeedsHuman::Partial },
            ..Policy::STANDARD
        };
        let mut header = sample::batch(&format!("b{n}"), policy);
        header.created_ms = START_MS + n;
        header.settings.priority = fate.draw(1..20) as u32;
        header.settings.prices = BTreeMap::from([("studio".to_owned(), PRICE)]);
        // Now and then the money is short.
        let cap = fate.draw(0..4) * fate.draw(100..400);
        header.settings.cost_max = Some(MicroUsd(cap)).filter(|cap| *cap > MicroUsd::ZERO);
        let skus = fate.draw(1..5);
        let roles = || -> BTreeSet<Role> {
            let count = fate.draw(0..6);
            (0..count)
                .map(|_| Role::ALL[fate.draw(0..9) as usize])
                .chain([Role::Main])
                .skip(usize::from(count == 0))
                .collect()
        };
        // SKUs of different batches share their jobs' keys, so one batch finds the other's.
        let name = |sku: u64| format!("seed {} sku {sku}", fate.seed);
        let entries =
            (0..skus).map(|sku| sample::entry(&name(sku), &roles().into_iter().collect::<Vec<_>>()));
        (header, entries.collect())
    };
    (0..batches).map(one).collect()
}

impl World {
    /// The ports as a process sees them.
    fn ports(&self, process: &Process) -> Ports {
        let coordinator: Arc<dyn Coordinator> = self.coordinator.clone();
        let ledger: Arc<dyn Ledger> = self.ledger.clone();
        let objects: Arc<dyn Objects> = self.objects.clone();
        let broker: Arc<dyn Broker> = self.broker.clone();
        let process = || process.clone();
        Ports {
            coordinator: Arc::new(Faulty { process: process(), inner: coordinator }),
            ledger: Arc::new(Faulty { process: process(), inner: ledger }),
            objects: Arc::new(Faulty { process: process(), inner: objects }),
            broker: Arc::new(Faulty { process: process(), inner: broker }),
            clock: self.clock(),
        }
    }

    /// The ports as they are.
    pub(super) fn true_ports(&self) -> Ports {
        Ports {
            coordinator: self.coordinator.clone(),
            ledger: self.ledger.clone(),
            objects: self.objects.clone(),
            broker: self.broker.clone(),
            clock: self.clock(),
        }
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(Shared(Arc::clone(&self.fate)))
    }

    async fn submit(&self, process: Process) {
        let ports = self.ports(&process);
        while let Err(_fault) = self.submit_once(&ports).await {
            self.fate.clock.sleep(300).await;
        }
    }

    async fn submit_once(&self, ports: &Ports) -> Result<(), PortError> {
        let store = ports.store();
        for (header, entries) in &self.batches {
            store.write_batch(header).await?;
            for entry in entries {
                store.write_entry(&header.batch, entry).await?;
            }
            open_batch(ports, header).await?;
            for entry in entries {
                create_document(ports, header, entry).await?;
            }
        }
        Ok(())
    }

    async fn worker(&self, process: Process) {
        let ports = self.ports(&process);
        let books: Arc<dyn Coordinator> = self.coordinator.clone();
        let work = Arc::new(SimulatedWork { process: process.clone(), books });
        let seed = self.fate.draw(0..u64::MAX);
        let (broker, clock) = (Arc::clone(&ports.broker), self.clock());
        let driver = Arc::new(Driver::new(ports, work, seed));
        let stop = Stop::default();
        let ordered = async {
            self.fate.clock.sleep(self.fate.draw(2_000..30_000)).await;
            stop.soft.cancel();
            self.fate.clock.sleep(self.fate.draw(0..4_000)).await;
            stop.hard.cancel();
            std::future::pending::<()>().await;
        };
        let in_flight = self.fate.draw(1..4) as u16;
        let working = async {
            tokio::join!(
                consume(&*broker, &driver, &*clock, Pool::Studio, in_flight, &stop),
                consume(&*broker, &driver, &*clock, Pool::Assemble, in_flight, &stop)
            )
        };
        tokio::select! {
            biased;
            _ = working => {}
            () = ordered => {}
        }
    }

    async fn dispatcher(&self, process: Process) {
        let windows = BTreeMap::from([(Pool::Studio, self.fate.draw(1..6)), (Pool::Assemble, 2)]);
        let settings = DispatchSettings { windows, idle_ms: 1_000 };
        Dispatcher::new(self.ports(&process), settings).run(CancellationToken::new()).await;
    }

    async fn sweeper(&self, process: Process) {
        let settings = SweepSettings { every_ms: 1_000, silent_ms: 5_000 };
        Sweeper::new(self.ports(&process), settings).run(CancellationToken::new()).await;
    }

    /// Disasters and people, until the world becomes kind.
    async fn disasters(&self) {
        let fate = &self.fate;
        while !fate.is_kind() {
            fate.clock.sleep(fate.draw(200..4_000)).await;
            match fate.draw(0..12) {
                0 => self.broker.lose_messages(),
                1 => {
                    let reset = self.resets.fetch_add(1, Ordering::SeqCst) + 2;
                    self.coordinator.reset(Incarnation(reset));
                    for (header, _) in &self.batches {
                        self.ledger.forget_books(&header.batch).await.unwrap();
                    }
                    fate.clock.sleep(fate.draw(1..3_000)).await;
                    self.rebuild().await;
                }
                2..=4 => self.decide().await,
                5 => self.tell_one(&Event::Cancel).await,
                _ => self.tell_one(&Event::Retry).await,
            }
        }
        self.rebuild().await;
    }

    async fn rebuild(&self) {
        for (header, _) in &self.batches {
            rebuild_batch(&self.true_ports(), &header.batch).await.unwrap();
        }
    }

    fn some_sku(&self) -> (&Batch, &ManifestSku) {
        let (header, entries) = &self.batches[self.fate.draw(0..self.batches.len() as u64) as usize];
        (header, &entries[self.fate.draw(0..entries.len() as u64) as usize])
    }

    async fn tell_one(&self, event: &Event) {
        let (header, entry) = self.some_sku();
        let (policy, clock) = (&header.settings.policy, &self.fate.clock);
        tell(&*self.coordinator, clock, policy, &header.batch, &entry.product.sku, event).await.unwrap();
    }

    /// A person looks at one image: their word is written down first, then told.
    async fn decide(&self) {
        let (header, entry) = self.some_sku();
        let sku = &entry.product.sku;
        let Some(document) = self.coordinator.load(&header.batch, sku).await.unwrap() else { return };
        let open = document.state.jobs.iter().find(|(_, job)| job.state == JobState::NeedsHuman);
        let Some((role, job)) = open else { return };
        let accept = self.fate.draw(0..2) == 0;
        let decision = Decision {
            schema: RESULT_SCHEMA,
            accept,
            by: "simulated".into(),
            note: String::new(),
            at_ms: self.fate.clock.now_ms(),
        };
        let n = self.objects.list(&layout::decisions(&job.key), None, 999).await.unwrap().len() as u32 + 1;
        let bytes = Bytes::from(serde_json::to_vec(&decision).unwrap());
        self.objects.put(&layout::decision(&job.key, n), bytes).await.unwrap();
        let event = Event::Decided { role: *role, accept };
        let (policy, clock) = (&header.settings.policy, &self.fate.clock);
        tell(&*self.coordinator, clock, policy, &header.batch, sku, &event).await.unwrap();
    }

    /// Fingerprints of every job.
    pub(super) fn keys(&self) -> BTreeSet<packshot_pipeline::job_key::JobKey> {
        let entries = self.batches.iter().flat_map(|(_, entries)| entries);
        entries.flat_map(|entry| entry.jobs.values().map(|spec| spec.key)).collect()
    }

    async fn settled(&self) -> bool {
        for (header, entries) in &self.batches {
            for entry in entries {
                let document = self.coordinator.load(&header.batch, &entry.product.sku).await.unwrap();
                if !document.is_some_and(|document| document.state.is_settled()) {
                    return false;
                }
            }
        }
        true
    }
}

/// Runs `body` again each time it is killed or ends, until `over`.
async fn supervised<F: Future<Output = ()>>(
    fate: &Arc<Fate>,
    over: &CancellationToken,
    once: bool,
    body: impl Fn(Process) -> F,
) {
    loop {
        let process = Process { fate: Arc::clone(fate), killed: CancellationToken::new() };
        let killed = process.killed.clone();
        tokio::select! {
            biased;
            () = over.cancelled() => return,
            () = killed.cancelled() => {}
            () = body(process) => if once { return },
        }
        fate.clock.sleep(fate.draw(1..2_500)).await;
    }
}

/// The longest that a kind world may need to end everything, in milliseconds.
const PATIENCE_MS: u64 = 600_000;

pub(super) async fn live(seed: u64) -> History {
    let fate = Fate::new(seed);
    let world = World {
        coordinator: Arc::new(MemoryCoordinator::new(Incarnation(1))),
        broker: Arc::new(MemoryBroker::new(BrokerLimits {
            deliveries_max: u32::MAX,
            ..BrokerLimits::STANDARD
        })),
        objects: Arc::new(MemoryObjects::new(64 << 20)),
        ledger: Arc::new(MemoryLedger::new()),
        batches: catalog(&fate),
        resets: AtomicU64::new(0),
        fate,
    };
    let (world, fate) = (&world, &world.fate);
    let over = CancellationToken::new();
    let crew = async {
        tokio::join!(
            supervised(fate, &over, false, |process| world.worker(process)),
            supervised(fate, &over, false, |process| world.worker(process)),
            supervised(fate, &over, false, |process| world.worker(process)),
            supervised(fate, &over, false, |process| world.dispatcher(process)),
            supervised(fate, &over, false, |process| world.dispatcher(process)),
            supervised(fate, &over, false, |process| world.sweeper(process)),
            supervised(fate, &over, false, |process| world.sweeper(process)),
        )
    };
    let watched = async {
        tokio::join!(supervised(fate, &over, true, |process| world.submit(process)), world.disasters());
        while !world.settled().await {
            if fate.clock.now_ms() > fate.kind_from_ms + PATIENCE_MS {
                fate.blame("does not end".to_owned());
                break;
            }
            fate.clock.sleep(500).await;
        }
        // What is left over is swept up.
        fate.clock.sleep(12_000).await;
        over.cancel();
    };
    tokio::join!(crew, watched);
    check::check(world).await;
    history(world)
}

fn history(world: &World) -> History {
    let fate = &world.fate;
    let counts = fate.counts.lock().unwrap();
    let clock: &MonotonicClock = &fate.clock;
    History {
        crashes: counts.crashes,
        stalls: counts.stalls,
        resets: world.resets.load(Ordering::SeqCst),
        paid: fate.paid.lock().unwrap().values().sum(),
        draws: counts.draws,
        lasted_ms: clock.now_ms() - START_MS,
        wrong: fate.wrong.lock().unwrap().clone(),
    }
}
