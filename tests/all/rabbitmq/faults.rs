//! Between the adapter and the server stands a proxy that does harm: every kind of it ends in
//! an error within its limit, and is over when the harm is.

use std::time::Duration;

use packshot_pipeline::pool::Pool;
use tokio::time::Instant;

use super::*;
use crate::proxy::{Mode, Proxy};

/// A broker behind a proxy, with short limits.
async fn behind(proxy: &Proxy) -> (Scratch, RabbitBroker) {
    let mut scratch = Scratch::on(SHARED);
    scratch.settings.url = Secret::new(format!("amqp://guest:guest@{}/%2f", proxy.address()));
    scratch.settings.confirm_timeout_ms = 1_500;
    scratch.settings.connect_timeout_ms = 1_500;
    scratch.settings.heartbeat_s = 1;
    let broker = scratch.connect().await;
    (scratch, broker)
}

async fn proxy() -> Proxy {
    Proxy::start(([127, 0, 0, 1], 5672).into()).await
}

/// Threads of the client that are alive, by what they are called.
fn client_threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let name =
        |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
    tasks.flatten().map(name).filter(|name| name.starts_with("lapin-io")).count()
}

/// `mode` while a consumer waits and a publisher publishes.
async fn harms_and_heals(mode: Mode) {
    let proxy = proxy().await;
    let (scratch, broker) = behind(&proxy).await;
    send(&broker, 0..3).await;
    let mut consumer = consume(&broker, 1).await;
    let held = next(&mut *consumer).await;
    proxy.set(mode);
    let harmed = Instant::now();
    let batch = jobs(10..12);
    let (outcomes, error) = tokio::join!(publish(&broker, Pool::Studio, &batch), over(&mut *consumer));
    // A publish waits for its confirmation, or for a connection; a consumer for two
    // heartbeats or for an answer.
    assert!(harmed.elapsed() < Duration::from_secs(6), "{mode:?} took {:?}", harmed.elapsed());
    assert!(outcomes.iter().all(Result::is_err), "{mode:?}: {outcomes:?}");
    assert!(!broker.health().is_consuming(Pool::Studio, 60_000), "{mode:?}");
    let acked = tokio::time::timeout(Duration::from_secs(5), held.receipt.ack()).await.expect("ack hangs");
    assert!(!matches!(acked, Ok(packshot_runtime::port::Acked::Done)), "{mode:?}: {error}");
    let asked = Instant::now();
    assert!(broker.consume(Pool::Studio, 1).await.is_err(), "{mode:?}");
    assert!(asked.elapsed() < Duration::from_secs(4), "{mode:?}: {:?}", asked.elapsed());
    drop(consumer);

    proxy.set(Mode::Pass);
    let healed = Instant::now();
    send_in_the_end(&broker, 20).await;
    drain(&broker, BTreeSet::from([0, 1, 2, 20])).await;
    assert!(healed.elapsed() < Duration::from_secs(15), "{mode:?}: {:?}", healed.elapsed());
    let health = broker.health();
    assert!(health.publisher.reconnects > 0 && health.consuming.reconnects > 0, "{health:?}");
    drop(broker);
    drop(scratch);
}

#[tokio::test(flavor = "multi_thread")]
async fn resets_are_survived() {
    harms_and_heals(Mode::Reset).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_black_hole_is_survived() {
    harms_and_heals(Mode::BlackHole).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_open_connection_is_survived() {
    harms_and_heals(Mode::HalfOpen).await;
}

/// So slow that no answer comes in time.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_drip_is_survived() {
    harms_and_heals(Mode::Drip(10)).await;
}

/// Latency below the limits is only slow.
#[tokio::test(flavor = "multi_thread")]
async fn latency_is_borne() {
    let proxy = proxy().await;
    let (_scratch, broker) = behind(&proxy).await;
    let mut consumer = consume(&broker, 10).await;
    proxy.set(Mode::Delay(Duration::from_millis(400)));
    send(&broker, 0..50).await;
    for _ in 0..50 {
        ack(next(&mut *consumer).await).await;
    }
    assert_eq!(broker.health().publisher.reconnects, 0);
    assert!(broker.health().is_consuming(Pool::Studio, 5_000));
}

/// A cut in the middle of a batch: nothing that was confirmed is missing.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_confirmed_before_a_cut_is_there() {
    let proxy = proxy().await;
    let (_scratch, broker) = behind(&proxy).await;
    let mut confirmed = BTreeSet::new();
    for round in 0..5 {
        let numbers = round * 10_000..round * 10_000 + 3_000;
        let jobs = jobs(numbers.clone());
        let (outcomes, ()) = tokio::join!(publish(&broker, Pool::Studio, &jobs), async {
            tokio::time::sleep(Duration::from_millis(20 + u64::from(round) * 15)).await;
            proxy.cut();
        });
        let stored = numbers.zip(outcomes).filter(|(_, outcome)| outcome.is_ok());
        confirmed.extend(stored.map(|(number, _)| number));
        send_in_the_end(&broker, 1_000_000 + round).await;
        confirmed.insert(1_000_000 + round);
    }
    drain(&broker, confirmed).await;
}

/// Tries to connect to somebody who accepts and says nothing leave no threads behind.
#[tokio::test(flavor = "multi_thread")]
async fn silent_servers_cost_no_threads() {
    let proxy = proxy().await;
    proxy.set(Mode::BlackHole);
    let mut settings = Scratch::on(SHARED).settings.clone();
    settings.url = Secret::new(format!("amqp://guest:guest@{}/%2f", proxy.address()));
    settings.connect_timeout_ms = 200;
    let before = client_threads();
    for _ in 0..20 {
        let asked = Instant::now();
        let error = RabbitBroker::connect(&settings).await.unwrap_err();
        assert!(asked.elapsed() < Duration::from_secs(2), "{error}: {:?}", asked.elapsed());
    }
    // Other tests have threads of their own; twenty more would be ours.
    wait_until("the threads are gone", || client_threads() < before + 15).await;
}
