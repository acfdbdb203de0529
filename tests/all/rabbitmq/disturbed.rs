//! On a private server: it is restarted, killed, alarmed and emptied under the adapter.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lapin::options::QueueDeleteOptions;
use packshot_pipeline::pool::Pool;
use packshot_runtime::port::{Acked, BrokerFault};
use tokio::time::Instant;

use super::*;
use crate::servers::rabbitmq::{RabbitServer, private};

/// Publishes in batches until told to stop; the numbers that were confirmed.
struct Load {
    stop: tokio_util::sync::CancellationToken,
    /// How many were confirmed so far.
    count: Arc<AtomicUsize>,
    publishing: tokio::task::JoinHandle<BTreeSet<u32>>,
}

impl Load {
    fn start(broker: &RabbitBroker) -> Self {
        let (stop, count) = (tokio_util::sync::CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
        let (broker, stopped, counted) = (broker.clone(), stop.clone(), Arc::clone(&count));
        let publishing = tokio::spawn(async move {
            let mut confirmed = BTreeSet::new();
            let mut from = 0;
            while !stopped.is_cancelled() {
                let numbers = from..from + 20;
                from += 20;
                let outcomes = publish(&broker, Pool::Studio, &jobs(numbers.clone())).await;
                let stored = numbers.zip(outcomes).filter(|(_, outcome)| outcome.is_ok());
                confirmed.extend(stored.map(|(number, _)| number));
                counted.store(confirmed.len(), Ordering::SeqCst);
                // Load, not a flood: what it leaves has to be taken out again.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            confirmed
        });
        Self { stop, count, publishing }
    }

    /// Waits until so many more messages are confirmed.
    async fn goes_on(&self, more: usize) {
        let least = self.count.load(Ordering::SeqCst) + more;
        let deadline = Instant::now() + PATIENCE;
        while self.count.load(Ordering::SeqCst) < least {
            assert!(Instant::now() < deadline, "no load");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn end(self) -> BTreeSet<u32> {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.publishing).await.expect("the load hangs").unwrap()
    }
}

/// Load before, during and after `disturb`; every confirmed message comes in the end.
async fn survives(
    server: &mut RabbitServer,
    disturb: impl AsyncFnOnce(&mut RabbitServer),
) -> (RabbitBroker, Scratch) {
    let scratch = Scratch::on(&server.url());
    let broker = scratch.connect().await;
    // A server that has only just started may refuse at first.
    let mut consumer = consume_in_the_end(&broker, 20).await;
    let load = Load::start(&broker);
    let mut held = Vec::new();
    for _ in 0..10 {
        held.push(next(&mut *consumer).await);
    }
    load.goes_on(20).await;
    disturb(server).await;
    let error = over(&mut *consumer).await;
    assert_eq!(error.kind, BrokerFault::Unavailable, "{error}");
    for delivery in held {
        let ended = delivery.receipt.ack().await;
        assert!(matches!(ended, Ok(Acked::ComesAgain)), "{ended:?}");
    }
    let back = Instant::now();
    send_in_the_end(&broker, 1_000_000).await;
    drop(consume_in_the_end(&broker, 1).await);
    assert!(back.elapsed() < Duration::from_secs(10), "recovery took {:?}", back.elapsed());
    load.goes_on(20).await;
    let mut confirmed = load.end().await;
    confirmed.insert(1_000_000);
    drain(&broker, confirmed).await;
    let health = broker.health();
    assert!(health.can_publish() && health.publisher.reconnects > 0, "{health:?}");
    (broker, scratch)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orderly_restart_loses_nothing() {
    let mut server = private().await;
    survives(&mut server, async |server| {
        server.stop().await;
        server.start_again().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_loses_nothing() {
    let mut server = private().await;
    survives(&mut server, async |server| {
        server.kill().await;
        server.start_again().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closed_connections_are_made_anew() {
    let mut server = private().await;
    survives(&mut server, async |server| {
        server.ctl(&["close_all_connections", "maintenance"]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_deleted_under_the_consumer_is_noticed_and_made_anew() {
    let server = private().await;
    let scratch = Scratch::on(&server.url());
    let broker = scratch.connect().await;
    send(&broker, 0..2).await;
    let mut consumer = consume(&broker, 1).await;
    let held = next(&mut *consumer).await;
    let raw = scratch.raw().await;
    let name = scratch.name("jobs.studio");
    raw.channel.queue_delete(name.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
    let noticed = Instant::now();
    let error = over(&mut *consumer).await;
    assert_eq!(error.kind, BrokerFault::Unavailable, "{error}");
    assert!(noticed.elapsed() < Duration::from_secs(5), "{:?}", noticed.elapsed());
    assert!(!broker.health().is_consuming(Pool::Studio, 60_000));
    // The channel is there, the message is not; nobody can tell.
    let _ = held.receipt.ack().await;
    let unroutable = publish(&broker, Pool::Studio, &jobs(5..6)).await.remove(0);
    assert_eq!(unroutable.unwrap_err().kind, BrokerFault::Unroutable);
    drop(consumer);
    let mut consumer = consume(&broker, 1).await;
    send(&broker, 6..7).await;
    let delivery = next(&mut *consumer).await;
    assert_eq!(number(&delivery), 6);
    ack(delivery).await;
    assert!(broker.health().is_consuming(Pool::Studio, 60_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memory_alarm_blocks_publishers_only() {
    let mut server = private().await;
    let mut scratch = Scratch::on(&server.url());
    scratch.settings.confirm_timeout_ms = 1_000;
    let broker = scratch.connect().await;
    send(&broker, 0..10).await;
    let mut consumer = consume(&broker, 1).await;
    server.disturbed = true;
    server.ctl(&["set_vm_memory_high_watermark", "0"]).await;
    // The server says so only to those who publish.
    let deadline = Instant::now() + PATIENCE;
    while broker.health().publisher.blocked_ms.is_none() {
        assert!(Instant::now() < deadline, "not blocked");
        let asked = Instant::now();
        let _ = publish(&broker, Pool::Studio, &jobs(100..101)).await;
        assert!(asked.elapsed() < Duration::from_secs(3), "publish took {:?}", asked.elapsed());
    }
    let asked = Instant::now();
    let error = publish(&broker, Pool::Studio, &jobs(101..102)).await.remove(0).unwrap_err();
    assert_eq!(error.kind, BrokerFault::Unavailable, "{error}");
    assert!(error.what.contains("takes no publishes"), "{error}");
    assert!(asked.elapsed() < Duration::from_millis(500), "{:?}", asked.elapsed());
    assert!(!broker.health().can_publish());
    // Consuming and acknowledging go on; what cannot be put off is given back.
    for _ in 0..5 {
        ack(next(&mut *consumer).await).await;
    }
    let delivery = next(&mut *consumer).await;
    let put_off = number(&delivery);
    assert_eq!(delivery.receipt.retry(100).await.unwrap(), Acked::Done);
    let delivery = next(&mut *consumer).await;
    assert_eq!(number(&delivery), put_off);
    // Without the publisher a dead letter loses its reason, not itself.
    assert_eq!(delivery.receipt.dead_letter("for no reason").await.unwrap(), Acked::Done);
    server.ctl(&["set_vm_memory_high_watermark", "0.4"]).await;
    server.disturbed = false;
    send_in_the_end(&broker, 200).await;
    assert!(broker.health().can_publish());
    scratch.raw().await.wait_for(&scratch.name("dead"), 1).await;
    drain(&broker, BTreeSet::from([200])).await;
}
