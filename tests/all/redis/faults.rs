//! What befalls a server: pauses, restarts, full memory, foreign data; and what callers do
//! to each other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use packshot_adapters::redis::{RedisCoordinator, RedisSettings};
use packshot_pipeline::pool::Pool;
use packshot_runtime::port::{Commit, Coordinator, CoordinatorError, CoordinatorFault, Depth};

use super::{Desk, connect, settings, version};
use crate::servers::redis::RedisServer;

/// The longest that anything here may take to work again.
const PATIENCE: Duration = Duration::from_secs(20);

async fn impatient(server: &RedisServer, response_timeout_ms: u64) -> RedisCoordinator {
    let settings = RedisSettings { response_timeout_ms, connect_timeout_ms: 500, ..settings(server) };
    RedisCoordinator::connect(&settings).await.unwrap()
}

/// Waits until the server answers again, without connecting anew by hand.
async fn recovered(coordinator: &RedisCoordinator) {
    let since = Instant::now();
    while let Err(error) = coordinator.incarnation().await {
        assert_eq!(error.kind, CoordinatorFault::Unavailable, "{error:?}");
        assert!(since.elapsed() < PATIENCE, "does not recover: {error:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn unavailable<T: std::fmt::Debug>(answer: Result<T, CoordinatorError>) -> CoordinatorError {
    let error = answer.unwrap_err();
    assert_eq!(error.kind, CoordinatorFault::Unavailable, "{error:?}");
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_is_waited_out_and_a_claim_counts_once() {
    let server = RedisServer::start(&[]);
    let coordinator = impatient(&server, 200).await;
    let desk = Desk::new(&coordinator);
    let created = desk.create("x").await;
    server.tell(&["CLIENT", "PAUSE", "1500", "ALL"]);
    let since = Instant::now();
    unavailable(desk.claim(&created, 1).await);
    assert!(since.elapsed() < Duration::from_millis(1_400), "the timeout is not kept: {:?}", since.elapsed());
    recovered(&coordinator).await;
    // Whether the claim happened after all is for the caller to see.
    let present = desk.load("x").await.unwrap();
    match desk.claim(&created, 1).await.unwrap() {
        Commit::Done(_) => assert_eq!(present, created),
        Commit::Conflict { .. } => assert_eq!(present.state.leases().len(), 1),
    }
    assert_eq!(desk.attempts().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_answer_was_lost_is_recognised() {
    let server = RedisServer::start(&[]);
    let coordinator = impatient(&server, 1_000).await;
    let desk = Desk::new(&coordinator);
    let created = desk.create("x").await;
    // The first answer comes too late; the second request meets what the first one did.
    server.tell(&["CLIENT", "PAUSE", "1500", "ALL"]);
    let committed = version(&desk.claim(&created, 1).await.unwrap());
    assert_eq!(desk.load("x").await.unwrap().version, committed);
    assert_eq!(desk.attempts().await, 1, "counted twice");
    let calls: String = server.ask(&["INFO", "commandstats"]).unwrap();
    let evalsha = calls.lines().find(|line| line.starts_with("cmdstat_evalsha:calls=")).unwrap();
    let calls: u64 = evalsha.split(['=', ',']).nth(1).unwrap().parse().unwrap();
    assert!(calls >= 5, "begin, create (twice) and the claim twice: {evalsha}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_what_was_on_disk() {
    let mut server = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let coordinator = impatient(&server, 1_000).await;
    let desk = Desk::new(&coordinator);
    let life = coordinator.incarnation().await.unwrap();
    let created = desk.create("x").await;
    server.kill();
    let since = Instant::now();
    unavailable(desk.claim(&created, 1).await);
    unavailable(coordinator.batches().await);
    assert!(since.elapsed() < Duration::from_secs(2), "a dead server is noticed late: {:?}", since.elapsed());
    server.run_again();
    recovered(&coordinator).await;
    assert_eq!(coordinator.incarnation().await.unwrap(), life);
    assert_eq!(desk.load("x").await.unwrap(), created);
    version(&desk.claim(&created, 1).await.unwrap());
    assert_eq!(desk.attempts().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_server_is_given_up_and_found_again() {
    let server = RedisServer::start(&[]);
    let coordinator = impatient(&server, 200).await;
    let desk = Desk::new(&coordinator);
    let created = desk.create("x").await;
    server.freeze(true);
    for _ in 0..3 {
        let since = Instant::now();
        unavailable(coordinator.batches().await);
        assert!(since.elapsed() < Duration::from_secs(3), "{:?}", since.elapsed());
    }
    server.freeze(false);
    recovered(&coordinator).await;
    version(&desk.claim(&created, 1).await.unwrap());
}

/// Sends commands on a connection that was open before nobody was let in any more.
fn tell_all(connection: &mut redis::Connection, commands: &[&[&str]]) {
    for command in commands {
        redis::cmd(command[0]).arg(&command[1..]).exec(connection).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_handshake_is_not_for_good() {
    let server = RedisServer::start(&["--requirepass", "opensesame"]);
    let coordinator = impatient(&server, 1_000).await;
    let mut other = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
    let kill: &[&str] = &["CLIENT", "KILL", "TYPE", "normal"];
    tell_all(&mut other, &[&["CONFIG", "SET", "requirepass", "changed"], kill]);
    for _ in 0..3 {
        assert_eq!(coordinator.incarnation().await.unwrap_err().kind, CoordinatorFault::Refused);
    }
    tell_all(&mut other, &[&["CONFIG", "SET", "requirepass", "opensesame"]]);
    recovered(&coordinator).await;
    tell_all(&mut other, &[&["CONFIG", "SET", "maxclients", "1"], kill]);
    for _ in 0..3 {
        unavailable(coordinator.incarnation().await);
    }
    drop(other);
    recovered(&coordinator).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn full_memory_is_said_and_made_room_in() {
    let server = RedisServer::start(&[]);
    let coordinator = connect(&server).await;
    let desk = Desk::new(&coordinator);
    let created = desk.create("x").await;
    let life = coordinator.incarnation().await.unwrap();
    server.tell(&["CONFIG", "SET", "maxmemory", "1"]);
    for error in [desk.claim(&created, 1).await.unwrap_err(), desk.offer("y", life).await.unwrap_err()] {
        assert_eq!(error.kind, CoordinatorFault::Full, "{error:?}");
        assert!(error.what.contains("maxmemory"), "{error:?}");
    }
    assert_eq!(desk.load("x").await.unwrap(), created, "half of a write happened");
    assert_eq!(desk.attempts().await, 0);
    // Sent messages must be marked all the same, or they are sent again for ever.
    coordinator.mark_dispatched(&desk.batch, Pool::Studio, &[Desk::slot("x")], 5).await.unwrap();
    let depth = coordinator.depth(&desk.batch, Pool::Studio).await.unwrap();
    assert_eq!(depth, Depth { ready: 0, dispatched: 1, leased: 0 });
    server.tell(&["CONFIG", "SET", "maxmemory", "0"]);
    version(&desk.claim(&created, 1).await.unwrap());
    server.tell(&["CONFIG", "SET", "maxmemory", "1"]);
    coordinator.forget(&desk.batch).await.unwrap();
    assert!(desk.load("x").await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_understood_is_not_guessed_at() {
    let server = RedisServer::start(&[]);
    let coordinator = connect(&server).await;
    let desk = Desk::new(&coordinator);
    let created = desk.create("x").await;
    let documents = "packshot:{desk}:documents";
    let mut newer = created.state.clone();
    newer.schema += 1;
    let newer = format!("{:016x}{}", created.version.0, serde_json::to_string(&newer).unwrap());
    for stored in ["", "0123456789abcdef{}", &newer] {
        server.tell(&["HSET", documents, "x", stored]);
        let error = coordinator.load(&desk.batch, &created.state.sku).await.unwrap_err();
        assert_eq!(error.kind, CoordinatorFault::Unreadable, "{error:?}");
    }
    server.tell(&["DEL", documents]);
    server.tell(&["SET", documents, "of somebody else"]);
    let error = coordinator.load(&desk.batch, &created.state.sku).await.unwrap_err();
    assert_eq!(error.kind, CoordinatorFault::Unreadable, "{error:?}");
    assert!(error.what.contains("redis.prefix"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_processes_wins_each_race() {
    let server = RedisServer::start(&[]);
    let both = [Arc::new(connect(&server).await), Arc::new(connect(&server).await)];
    let desk = Desk::new(&both[0]);
    for round in 0..40 {
        let created = desk.create(&format!("sku {round}")).await;
        let racers = both.iter().enumerate().map(|(holder, coordinator)| {
            let (coordinator, created) = (Arc::clone(coordinator), created.clone());
            tokio::spawn(async move {
                let committed = Desk::new(&coordinator).claim(&created, holder as u64).await.unwrap();
                matches!(committed, Commit::Done(_))
            })
        });
        let racers: Vec<_> = racers.collect();
        let mut winners = 0;
        for racer in racers {
            winners += usize::from(racer.await.unwrap());
        }
        assert_eq!(winners, 1, "round {round}");
    }
    assert_eq!(desk.attempts().await, 40);
}
