//! Hints that something changed: heard by others, soon, not too often, and again after the
//! connection broke.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use packshot_adapters::redis::RedisCoordinator;
use packshot_runtime::port::Coordinator;

use super::{Desk, answers, connect, version};
use crate::servers::redis::RedisServer;

/// The longest that a hint may take.
const SOON: Duration = Duration::from_secs(10);
/// How long nothing must come for "nothing comes" to be believed.
const SILENCE: Duration = Duration::from_millis(400);

/// Counts hints in the background.
struct Listener {
    heard: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Listener {
    /// Returns when it is listening and all is quiet.
    async fn start(server: &RedisServer, coordinator: RedisCoordinator) -> Self {
        let heard = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            let mut seen = 0;
            loop {
                seen = coordinator.changed(seen).await;
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        let listener = Self { heard, task };
        server.wait("a listener", |server| subscribers(server) > 0);
        listener.quiet().await;
        listener
    }

    fn heard(&self) -> u64 {
        self.heard.load(Ordering::SeqCst)
    }

    /// Waits until nothing more comes.
    async fn quiet(&self) {
        let since = Instant::now();
        loop {
            let before = self.heard();
            tokio::time::sleep(SILENCE / 2).await;
            if self.heard() == before {
                return;
            }
            assert!(since.elapsed() < SOON, "hints do not end");
        }
    }

    async fn hears_more_than(&self, before: u64) {
        let since = Instant::now();
        while self.heard() <= before {
            assert!(since.elapsed() < SOON, "no hint came");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn subscribers(server: &RedisServer) -> u64 {
    let (_, count): (String, u64) = server.ask(&["PUBSUB", "NUMSUB", "packshot:hints"]).unwrap();
    count
}

#[tokio::test(flavor = "multi_thread")]
async fn others_hear_of_changes_soon_and_not_too_often() {
    let server = RedisServer::start(&[]);
    let writer = connect(&server).await;
    let desk = Desk::new(&writer);
    let first = desk.create("first").await;
    let listener = Listener::start(&server, connect(&server).await).await;
    let before = listener.heard();
    let claimed = version(&desk.claim(&first, 1).await.unwrap());
    listener.hears_more_than(before).await;
    listener.quiet().await;
    // A renewed lease is no news.
    let mut document = desk.load("first").await.unwrap();
    assert_eq!(document.version, claimed);
    let before = listener.heard();
    for now_ms in 20..30 {
        let attempt = document.state.leases()[0].attempt;
        let event = packshot_pipeline::state::Event::Renewed { attempt };
        let renewed = document.state.apply(&event, &super::POLICY, now_ms).unwrap();
        writer.commit(document.version, &renewed.state, &renewed.change).await.unwrap();
        document = desk.load("first").await.unwrap();
    }
    tokio::time::sleep(SILENCE).await;
    assert_eq!(listener.heard(), before);
    let since = Instant::now();
    for sku in 0..300 {
        desk.create(&sku.to_string()).await;
    }
    listener.quiet().await;
    let (heard, took_ms) = (listener.heard() - before, since.elapsed().as_millis() as u64);
    // Two for each time that they may be said, at most.
    assert!((1..=took_ms / 20 * 2 + 4).contains(&heard), "{heard} hints in {took_ms} ms");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hint_crosses_a_cluster() {
    let servers = RedisServer::start_cluster(3);
    let writer = connect(&servers[0]).await;
    let listener = Listener::start(&servers[1], connect(&servers[1]).await).await;
    let before = listener.heard();
    Desk::new(&writer).create("x").await;
    listener.hears_more_than(before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_subscription_is_made_again_and_never_spins() {
    let mut server = RedisServer::start(&[]);
    let writer = connect(&server).await;
    let desk = Desk::new(&writer);
    let listener = Listener::start(&server, connect(&server).await).await;
    server.tell(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    server.wait("the listener to come back", |server| subscribers(server) > 0);
    listener.quiet().await;
    let before = listener.heard();
    desk.create("x").await;
    listener.hears_more_than(before).await;
    listener.quiet().await;
    server.kill();
    let before = listener.heard();
    tokio::time::sleep(SILENCE).await;
    assert_eq!(listener.heard(), before, "it spins on a dead server");
    server.run_again();
    // Whatever was missed meanwhile is one hint.
    listener.hears_more_than(before).await;
    listener.quiet().await;
    let before = listener.heard();
    answers(&writer).await;
    desk.create("y").await;
    listener.hears_more_than(before).await;
}
