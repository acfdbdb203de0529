//! The Redis adapter against real servers: the conformance suites, and everything that can
//! happen to a server.

mod faults;
mod hints;
mod lives;
mod refusals;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use packshot_adapters::redis::{RedisCoordinator, RedisSettings};
use packshot_pipeline::change::{Change, Slot};
use packshot_pipeline::ids::{BatchId, Sku};
use packshot_pipeline::policy::Policy;
use packshot_pipeline::pool::Pool;
use packshot_pipeline::role::Role;
use packshot_pipeline::state::{Event, Holder, Incarnation, SkuState, Target};
use packshot_runtime::conformance::{self, sample};
use packshot_runtime::port::{
    Commit, Coordinator, CoordinatorError, Created, Ledger, Limits, Version, Versioned,
};

use crate::servers::redis::RedisServer;

const POLICY: Policy = Policy { lease_ms: 1_000, ..Policy::STANDARD };
const MAIN: Target = Target::Role(Role::Main);

fn settings(server: &RedisServer) -> RedisSettings {
    RedisSettings { url: server.url().into(), ..RedisSettings::default() }
}

async fn connect(server: &RedisServer) -> RedisCoordinator {
    RedisCoordinator::connect(&settings(server)).await.unwrap()
}

/// Waits until a server that was started again is reached.
async fn answers(coordinator: &RedisCoordinator) {
    let asking = async {
        while coordinator.incarnation().await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), asking)
        .await
        .expect("the server is not reached again");
}

/// Coordinators that know nothing of each other, on one server.
fn fresh(server: &RedisServer) -> impl FnMut() -> Arc<RedisCoordinator> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let settings = settings(server);
    move || {
        let prefix = format!("t{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let settings = RedisSettings { prefix, ..settings.clone() };
        let connect = RedisCoordinator::connect(&settings);
        let made = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(connect));
        Arc::new(made.unwrap())
    }
}

async fn every_suite(server: &RedisServer) {
    let mut make = fresh(server);
    conformance::coordinator::suite(|| make() as Arc<dyn Coordinator>).await;
    conformance::limits::suite(|| make() as Arc<dyn Limits>).await;
    conformance::ledger::suite(|| make() as Arc<dyn Ledger>).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_conforms() {
    every_suite(&RedisServer::start(&[])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_conforms_while_its_scripts_are_flushed() {
    let server = RedisServer::start(&[]);
    let over = AtomicBool::new(false);
    let flushes = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut connection = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
            while !over.load(Ordering::Relaxed) {
                redis::cmd("SCRIPT").arg("FLUSH").exec(&mut connection).unwrap();
                flushes.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        });
        let suites = every_suite(&server);
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(suites));
        }));
        over.store(true, Ordering::Relaxed);
        ended.unwrap();
    });
    assert!(flushes.load(Ordering::Relaxed) > 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_conforms() {
    let servers = RedisServer::start_cluster(3);
    every_suite(&servers[0]).await;
    let keys: Vec<u64> = servers.iter().map(|server| server.ask(&["DBSIZE"]).unwrap()).collect();
    assert!(keys.iter().all(|keys| *keys > 0), "not every node holds keys: {keys:?}");
}

/// One batch of a coordinator, and one SKU after another in it.
struct Desk<'c> {
    coordinator: &'c RedisCoordinator,
    batch: BatchId,
}

impl<'c> Desk<'c> {
    fn new(coordinator: &'c RedisCoordinator) -> Self {
        Self { coordinator, batch: BatchId::new("desk").unwrap() }
    }

    fn document(&self, sku: &str, incarnation: Incarnation) -> SkuState {
        SkuState::new(&self.batch, &sample::entry(sku, &[Role::Main]), incarnation, &POLICY)
    }

    async fn offer(&self, sku: &str, incarnation: Incarnation) -> Result<Created, CoordinatorError> {
        let state = self.document(sku, incarnation);
        self.coordinator.create(&state, &Change::creating(&state, 1)).await
    }

    async fn create(&self, sku: &str) -> Versioned {
        let incarnation = self.coordinator.incarnation().await.unwrap();
        assert_eq!(self.offer(sku, incarnation).await.unwrap(), Created::Yes);
        self.load(sku).await.expect("just created")
    }

    async fn load(&self, sku: &str) -> Option<Versioned> {
        self.coordinator.load(&self.batch, &Sku::new(sku).unwrap()).await.unwrap()
    }

    /// Starts the main image's attempt at time 10.
    async fn claim(&self, from: &Versioned, holder: u64) -> Result<Commit, CoordinatorError> {
        let event = Event::Started { target: MAIN, holder: Holder(holder) };
        let started = from.state.apply(&event, &POLICY, 10).unwrap();
        self.coordinator.commit(from.version, &started.state, &started.change).await
    }

    async fn attempts(&self) -> u64 {
        self.coordinator.tally(&self.batch).await.unwrap().get("attempts")
    }

    async fn ready(&self) -> Vec<Slot> {
        self.coordinator.ready(&self.batch, Pool::Studio, 1_000, 99).await.unwrap()
    }

    fn slot(sku: &str) -> Slot {
        Slot { sku: Sku::new(sku).unwrap(), target: MAIN, number: 1 }
    }
}

fn version(committed: &Commit) -> Version {
    match committed {
        Commit::Done(version) => *version,
        other @ Commit::Conflict { .. } => panic!("not committed: {other:?}"),
    }
}
