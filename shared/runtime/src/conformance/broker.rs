//! What every broker must do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use packshot_pipeline::ids::{BatchId, Sku};
use packshot_pipeline::pool::Pool;
use packshot_pipeline::role::Role;
use packshot_pipeline::state::Target;

use crate::port::{Acked, Broker, Consumer, Delivery, Message};

/// The longest that a delivery may take to come.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long nothing must come for "nothing comes" to be believed.
const SILENCE: Duration = Duration::from_millis(300);

fn message(number: u32) -> Message {
    Message {
        schema: Message::SCHEMA,
        batch: BatchId::new("conformance").unwrap(),
        sku: Sku::new("A/1").unwrap(),
        target: Target::Role(Role::Main),
        number,
    }
}

async fn send(broker: &dyn Broker, numbers: std::ops::Range<u32>) {
    let headers = BTreeMap::from([("traceparent".to_owned(), "00-ab-cd-01".to_owned())]);
    let messages: Vec<_> = numbers.map(|number| (message(number), headers.clone())).collect();
    for result in broker.publish(Pool::Studio, &messages).await {
        result.unwrap();
    }
}

async fn next(consumer: &mut dyn Consumer) -> Delivery {
    tokio::time::timeout(PATIENCE, consumer.next()).await.expect("no delivery came").unwrap()
}

async fn silent(consumer: &mut dyn Consumer) {
    let came = tokio::time::timeout(SILENCE, consumer.next()).await;
    assert!(came.is_err(), "a delivery came that should not: {came:?}");
}

fn number(delivery: &Delivery) -> u32 {
    Message::parse(&delivery.body).unwrap().number
}

async fn ack(delivery: Delivery) {
    assert_eq!(delivery.receipt.ack().await.unwrap(), Acked::Done);
}

/// Runs every check, each against an instance (or empty queues) of its own.
pub async fn suite(mut make: impl FnMut() -> Arc<dyn Broker>) {
    delivers_what_was_published(&*make()).await;
    delivers_again_what_was_dropped(&*make()).await;
    retries_and_buries(&*make()).await;
    keeps_to_the_prefetch(&*make()).await;
    shares_among_consumers(&*make()).await;
}

async fn delivers_what_was_published(broker: &dyn Broker) {
    send(broker, 0..3).await;
    let mut consumer = broker.consume(Pool::Studio, 10).await.unwrap();
    let mut seen = BTreeSet::new();
    for _ in 0..3 {
        let delivery = next(&mut *consumer).await;
        assert_eq!(delivery.headers.get("traceparent").map(String::as_str), Some("00-ab-cd-01"));
        assert_eq!(Message::parse(&delivery.body).unwrap().sku, Sku::new("A/1").unwrap());
        seen.insert(number(&delivery));
        ack(delivery).await;
    }
    assert_eq!(seen, BTreeSet::from([0, 1, 2]));
    silent(&mut *consumer).await;
    send(broker, 7..8).await;
    let late = next(&mut *consumer).await;
    assert_eq!(number(&late), 7);
    ack(late).await;
    let mut other = broker.consume(Pool::Assemble, 10).await.unwrap();
    silent(&mut *other).await;
}

async fn delivers_again_what_was_dropped(broker: &dyn Broker) {
    send(broker, 0..2).await;
    let mut consumer = broker.consume(Pool::Studio, 10).await.unwrap();
    let (first, second) = (next(&mut *consumer).await, next(&mut *consumer).await);
    assert!(!first.redelivered);
    let lost = number(&first);
    ack(second).await;
    drop((first, consumer));
    let mut consumer = broker.consume(Pool::Studio, 10).await.unwrap();
    let again = next(&mut *consumer).await;
    assert_eq!(number(&again), lost);
    assert!(again.redelivered);
    ack(again).await;
    silent(&mut *consumer).await;
}

async fn retries_and_buries(broker: &dyn Broker) {
    send(broker, 0..1).await;
    let mut consumer = broker.consume(Pool::Studio, 10).await.unwrap();
    let delivery = next(&mut *consumer).await;
    assert_eq!(delivery.receipt.retry(0).await.unwrap(), Acked::Done);
    let delivery = next(&mut *consumer).await;
    assert_eq!(number(&delivery), 0);
    assert_eq!(delivery.receipt.retry(50).await.unwrap(), Acked::Done);
    let delivery = next(&mut *consumer).await;
    assert_eq!(number(&delivery), 0);
    assert_eq!(delivery.receipt.dead_letter("not readable").await.unwrap(), Acked::Done);
    silent(&mut *consumer).await;
}

async fn keeps_to_the_prefetch(broker: &dyn Broker) {
    send(broker, 0..3).await;
    let mut consumer = broker.consume(Pool::Studio, 2).await.unwrap();
    let (first, second) = (next(&mut *consumer).await, next(&mut *consumer).await);
    silent(&mut *consumer).await;
    ack(first).await;
    let third = next(&mut *consumer).await;
    ack(second).await;
    ack(third).await;
    silent(&mut *consumer).await;
}

async fn shares_among_consumers(broker: &dyn Broker) {
    let mut one = broker.consume(Pool::Studio, 1).await.unwrap();
    let mut two = broker.consume(Pool::Studio, 1).await.unwrap();
    send(broker, 0..20).await;
    let mut seen = BTreeSet::new();
    for _ in 0..10 {
        let (first, second) = (next(&mut *one).await, next(&mut *two).await);
        for delivery in [first, second] {
            assert!(seen.insert(number(&delivery)), "delivered twice while unended");
            ack(delivery).await;
        }
    }
    assert_eq!(seen.len(), 20);
}
