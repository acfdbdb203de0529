//! A store that loses its memory, wholly, in part, or of its last moments.

use std::sync::Arc;
use std::time::{Duration, Instant};

use packshot_pipeline::pool::Pool;
use packshot_pipeline::state::Incarnation;
use packshot_runtime::clock::MonotonicClock;
use packshot_runtime::conformance::sample;
use packshot_runtime::memory::{BrokerLimits, MemoryBroker, MemoryLedger, MemoryObjects};
use packshot_runtime::port::{BatchControl, Commit, Coordinator, Created, Depth, Running};
use packshot_runtime::ports::Ports;
use packshot_runtime::sweep::{SweepSettings, Sweeper};

use super::{Desk, POLICY, answers, connect, version};
use crate::servers::redis::RedisServer;

#[tokio::test(flavor = "multi_thread")]
async fn after_flushall_nothing_of_the_old_life_is_taken_in() {
    let server = RedisServer::start(&[]);
    let coordinator = connect(&server).await;
    let desk = Desk::new(&coordinator);
    let old = coordinator.incarnation().await.unwrap();
    let (x, y) = (desk.create("x").await, desk.create("y").await);
    server.tell(&["FLUSHALL"]);
    // Nobody has noticed yet.
    assert!(matches!(desk.claim(&x, 1).await.unwrap(), Commit::Conflict { .. }));
    assert_eq!(desk.offer("z", old).await.unwrap(), Created::Outlived);
    let new = coordinator.incarnation().await.unwrap();
    assert_ne!(new, old);
    assert!(desk.load("x").await.is_none());
    let again = desk.create("x").await;
    assert_eq!(again.state.incarnation, new);
    for from in [&x, &y] {
        assert!(matches!(desk.claim(from, 1).await.unwrap(), Commit::Conflict { .. }));
    }
    assert_eq!(desk.offer("z", old).await.unwrap(), Created::Outlived);
    assert_eq!(desk.load("x").await.unwrap(), again);
    assert_eq!(coordinator.tally(&desk.batch).await.unwrap().skus(), 1);
    assert_eq!(desk.ready().await, [Desk::slot("x")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn flushing_under_many_writers_leaves_one_life() {
    let server = RedisServer::start(&[]);
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let settings = super::settings(&server);
            tokio::spawn(async move {
                let coordinator =
                    packshot_adapters::redis::RedisCoordinator::connect(&settings).await.unwrap();
                let desk = Desk::new(&coordinator);
                let until = Instant::now() + Duration::from_millis(600);
                let mut made = 0u64;
                while Instant::now() < until {
                    let life = coordinator.incarnation().await.unwrap();
                    let created = desk.offer(&format!("{writer}/{made}"), life).await.unwrap();
                    made += u64::from(created == Created::Yes);
                }
                made
            })
        })
        .collect();
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        server.tell(&["FLUSHALL"]);
    }
    let mut made = 0;
    for writer in writers {
        made += writer.await.unwrap();
    }
    let coordinator = connect(&server).await;
    let desk = Desk::new(&coordinator);
    let life = coordinator.incarnation().await.unwrap();
    // A rebuild is what follows; its first document ends whatever is of an earlier life.
    assert_eq!(desk.offer("rebuilt", life).await.unwrap(), Created::Yes);
    let skus = coordinator.skus(&desk.batch, None, 99_999).await.unwrap();
    for sku in &skus {
        let found = coordinator.load(&desk.batch, sku).await.unwrap().unwrap();
        assert_eq!(found.state.incarnation, life, "{sku} is of an earlier life");
    }
    assert_eq!(coordinator.tally(&desk.batch).await.unwrap().skus(), skus.len() as u64);
    assert!(made > skus.len() as u64, "nothing was lost, so nothing was tested");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_incarnation_ends_every_batch_when_it_is_made_again() {
    let server = RedisServer::start(&[]);
    let coordinator = connect(&server).await;
    let desk = Desk::new(&coordinator);
    let old = coordinator.incarnation().await.unwrap();
    let x = desk.create("x").await;
    server.tell(&["DEL", "packshot:{/incarnation}"]);
    let new = coordinator.incarnation().await.unwrap();
    assert_ne!(new, old);
    let y = desk.create("y").await;
    assert_eq!(y.state.incarnation, new);
    assert!(desk.load("x").await.is_none(), "two lives in one batch");
    assert!(matches!(desk.claim(&x, 1).await.unwrap(), Commit::Conflict { .. }));
    assert_eq!(coordinator.tally(&desk.batch).await.unwrap().skus(), 1);
    assert_eq!(desk.ready().await, [Desk::slot("y")]);
    assert_eq!(coordinator.skus(&desk.batch, None, 9).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_batch_is_made_again_and_old_versions_do_not_fit() {
    let server = RedisServer::start(&[]);
    let coordinator = connect(&server).await;
    let desk = Desk::new(&coordinator);
    let x = desk.create("x").await;
    let keys: Vec<String> = server.ask(&["KEYS", "packshot:{desk}:*"]).unwrap();
    assert!(keys.len() >= 4, "{keys:?}");
    for key in &keys {
        server.tell(&["DEL", key]);
    }
    assert!(matches!(desk.claim(&x, 1).await.unwrap(), Commit::Conflict { .. }));
    let again = desk.create("x").await;
    assert_eq!(again.state, x.state);
    assert!(matches!(desk.claim(&x, 1).await.unwrap(), Commit::Conflict { .. }), "a version came back");
    version(&desk.claim(&again, 1).await.unwrap());
}

/// A server that was saved to disk, went on, and fell back to what was saved.
#[tokio::test(flavor = "multi_thread")]
async fn a_rolled_back_store_heals_by_sweeping() {
    let mut server = RedisServer::start(&[]);
    let coordinator = Arc::new(connect(&server).await);
    let desk = Desk::new(&coordinator);
    let life = coordinator.incarnation().await.unwrap();
    let control = BatchControl { batch: desk.batch.clone(), priority: 1, running: Running::Yes };
    coordinator.control(&control).await.unwrap();
    let (x, y) = (desk.create("x").await, desk.create("y").await);
    coordinator.mark_dispatched(&desk.batch, Pool::Studio, &[Desk::slot("x")], 5).await.unwrap();
    let claimed = version(&desk.claim(&y, 7).await.unwrap());
    server.tell(&["SAVE"]);
    // What follows is lost: x is claimed, and its message acknowledged.
    let lost = version(&desk.claim(&x, 1).await.unwrap());
    let after = desk.load("x").await.unwrap();
    server.run_again();
    answers(&coordinator).await;
    assert_eq!(coordinator.incarnation().await.unwrap(), life);
    assert_eq!(desk.load("x").await.unwrap(), x);
    // Somebody else claims it; the version that was lost must not come back.
    assert_eq!(after.version, lost);
    let other = version(&desk.claim(&x, 2).await.unwrap());
    assert_ne!(other, lost);
    let renewed =
        coordinator.commit(lost, &after.state, &packshot_pipeline::change::Change::default()).await.unwrap();
    assert!(matches!(renewed, Commit::Conflict { .. }), "a lost version was taken in");
    server.run_again();
    answers(&coordinator).await;
    let depth = coordinator.depth(&desk.batch, Pool::Studio).await.unwrap();
    assert_eq!(depth, Depth { ready: 0, dispatched: 1, leased: 1 }, "x waits for a message that is gone");
    let ports = Ports {
        coordinator: coordinator.clone(),
        ledger: Arc::new(MemoryLedger::new()),
        objects: Arc::new(MemoryObjects::new(1 << 20)),
        broker: Arc::new(MemoryBroker::new(BrokerLimits::STANDARD)),
        clock: Arc::new(MonotonicClock::starting_at(100_000)),
    };
    let header = sample::batch(desk.batch.as_str(), POLICY);
    ports.store().write_batch(&header).await.unwrap();
    let every = SweepSettings { every_ms: 1, silent_ms: 1_000 };
    let sweeper = Sweeper::new(ports, every);
    let swept = sweeper.sweep().await.unwrap();
    assert_eq!((swept.leases_lost, swept.sent_again), (1, 1));
    let depth = coordinator.depth(&desk.batch, Pool::Studio).await.unwrap();
    assert_eq!(depth, Depth { ready: 2, dispatched: 0, leased: 0 });
    assert_ne!(desk.load("y").await.unwrap().version, claimed);
}

#[tokio::test(flavor = "multi_thread")]
async fn lives_are_told_apart_by_every_process() {
    let server = RedisServer::start(&[]);
    let both = [connect(&server).await, connect(&server).await];
    let (one, two) = tokio::join!(both[0].incarnation(), both[1].incarnation());
    assert_eq!(one.unwrap(), two.unwrap());
    let mut seen: Vec<Incarnation> = Vec::new();
    for _ in 0..5 {
        server.tell(&["FLUSHALL"]);
        let (one, two) = tokio::join!(both[0].incarnation(), both[1].incarnation());
        assert_eq!(one.as_ref().unwrap(), &two.unwrap());
        seen.push(one.unwrap());
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 5, "a life came back");
}
