//! On the shared server: what a broker must do, and what this one adds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lapin::BasicProperties;
use lapin::options::BasicPublishOptions;
use lapin::types::{AMQPValue, FieldTable};
use packshot_adapters::rabbitmq::{Finding, RabbitBroker, RabbitSettings, Severity, probe};
use packshot_adapters::secret::Secret;
use packshot_pipeline::pool::Pool;
use packshot_runtime::conformance;
use packshot_runtime::port::{Acked, Broker, BrokerFault, Message};
use tokio::time::Instant;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn it_conforms() {
    let mut scratches = Vec::new();
    let mut brokers: Vec<Arc<dyn Broker>> = Vec::new();
    for _ in 0..5 {
        let scratch = Scratch::on(SHARED);
        brokers.push(Arc::new(scratch.connect().await));
        scratches.push(scratch);
    }
    conformance::broker::suite(|| brokers.pop().expect("the suite wants more brokers")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_says_what_it_is_to_other_tools() {
    let scratch = Scratch::on(SHARED);
    let broker = scratch.connect().await;
    let headers = BTreeMap::from([("traceparent".to_owned(), "00-1-2-01".to_owned())]);
    publish(&broker, Pool::Remote, &[(message(7), headers)]).await.remove(0).unwrap();
    let got = scratch.raw().await.take(&scratch.name("jobs.remote")).await;
    let properties = &got.properties;
    let text = |text: &Option<lapin::types::ShortString>| text.as_ref().unwrap().to_string();
    assert_eq!(text(properties.message_id()), message(7).id());
    assert_eq!(text(properties.correlation_id()), "rabbit");
    assert_eq!(text(properties.kind()), "main");
    assert_eq!(text(properties.content_type()), "application/json");
    assert_eq!(*properties.delivery_mode(), Some(2));
    let headers = properties.headers().as_ref().unwrap();
    assert_eq!(headers.inner()["traceparent"], AMQPValue::LongString("00-1-2-01".into()));
    assert_eq!(Message::parse(&got.data).unwrap(), message(7));
}

/// Twenty callers at a time, one of which publishes where no queue listens.
#[tokio::test(flavor = "multi_thread")]
async fn the_right_publish_is_blamed_among_twenty() {
    let scratch = Scratch::on(SHARED);
    let broker = scratch.connect().await;
    let raw = scratch.raw().await;
    for round in 0..40 {
        let unbind = raw.channel.queue_unbind(
            scratch.name("jobs.gpu").into(),
            scratch.name("jobs").into(),
            "gpu".into(),
            FieldTable::default(),
        );
        unbind.await.unwrap();
        let lost = round % 20;
        let each = (0..20).map(|caller| {
            let pool = if caller == lost { Pool::Gpu } else { Pool::Studio };
            let broker = broker.clone();
            async move { publish(&broker, pool, &jobs(caller..caller + 1)).await.remove(0) }
        });
        let outcomes = futures::future::join_all(each).await;
        for (caller, outcome) in (0..20).zip(outcomes) {
            let kind = outcome.map_err(|error| error.kind);
            let expected = if caller == lost { Err(BrokerFault::Unroutable) } else { Ok(()) };
            assert_eq!(kind, expected, "round {round}, caller {caller}");
        }
        // The adapter has bound the queue again by itself.
        publish(&broker, Pool::Gpu, &jobs(0..1)).await.remove(0).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_buried_with_the_reason() {
    let scratch = Scratch::on(SHARED);
    let broker = scratch.connect().await;
    let raw = scratch.raw().await;
    let bodies = [Bytes::from_static(b"not json"), Bytes::from(vec![b'x'; 300_000]), Bytes::new()];
    for body in &bodies {
        let publishing = raw.channel.basic_publish(
            scratch.name("jobs").into(),
            "studio".into(),
            BasicPublishOptions { mandatory: true, immediate: false },
            body,
            BasicProperties::default().with_expiration("600000".into()),
        );
        publishing.await.unwrap().await.unwrap();
    }
    let mut consumer = consume(&broker, 10).await;
    for body in &bodies {
        let delivery = next(&mut *consumer).await;
        assert_eq!(delivery.body, body);
        let reason = Message::parse(&delivery.body).unwrap_err();
        assert_eq!(delivery.receipt.dead_letter(&reason).await.unwrap(), Acked::Done);
        let dead = raw.take(&scratch.name("dead")).await;
        assert_eq!(dead.data, body.as_ref());
        let headers = dead.properties.headers().clone().unwrap();
        assert_eq!(headers.inner()["x-packshot-reason"], AMQPValue::LongString(reason.into()));
        assert_eq!(dead.routing_key.as_str(), "studio");
    }
    raw.wait_for(&scratch.name("jobs.studio"), 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn delivered_too_often_is_dead() {
    let mut scratch = Scratch::on(SHARED);
    scratch.settings.delivery_limit = 3;
    let broker = scratch.connect().await;
    send(&broker, 0..1).await;
    let mut consumer = consume(&broker, 1).await;
    for _ in 0..4 {
        drop(next(&mut *consumer).await);
    }
    let dead = scratch.raw().await.take(&scratch.name("dead")).await;
    assert_eq!(Message::parse(&dead.data).unwrap(), message(0));
    let came = tokio::time::timeout(Duration::from_millis(200), consumer.next()).await;
    assert!(came.is_err(), "{came:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_waits_and_comes_back_whole() {
    let scratch = Scratch::on(SHARED);
    let broker = scratch.connect().await;
    let headers = BTreeMap::from([("traceparent".to_owned(), "00-1-2-01".to_owned())]);
    publish(&broker, Pool::Studio, &[(message(1), headers.clone())]).await.remove(0).unwrap();
    let mut consumer = consume(&broker, 1).await;
    // Twice, because the server drops what it takes for a loop.
    for _ in 0..2 {
        let delivery = next(&mut *consumer).await;
        assert_eq!((number(&delivery), &delivery.headers), (1, &headers));
        let put_off = Instant::now();
        assert_eq!(delivery.receipt.retry(1_500).await.unwrap(), Acked::Done);
        let delivery = next(&mut *consumer).await;
        assert!(put_off.elapsed() >= Duration::from_millis(1_500), "{:?}", put_off.elapsed());
        assert_eq!((number(&delivery), &delivery.headers), (1, &headers));
        assert_eq!(delivery.receipt.retry(0).await.unwrap(), Acked::Done);
    }
    let delivery = next(&mut *consumer).await;
    assert!(delivery.redelivered);
    ack(delivery).await;
    for queue in ["jobs.studio", "delay.2s", "dead", "unroutable"] {
        scratch.raw().await.wait_for(&scratch.name(queue), 0).await;
    }
}

/// What has not started goes back; what has is still acknowledged on the old channel.
#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_consumer_gives_back_what_has_not_started() {
    let scratch = Scratch::on(SHARED);
    let broker = scratch.connect().await;
    send(&broker, 0..10).await;
    let mut consumer = consume(&broker, 10).await;
    let mut started = Vec::new();
    for _ in 0..3 {
        started.push(next(&mut *consumer).await);
    }
    drop(consumer);
    let raw = scratch.raw().await;
    raw.wait_for(&scratch.name("jobs.studio"), 7).await;
    assert_eq!(broker.health().consumers, []);
    let other = raw.take(&scratch.name("jobs.studio")).await;
    let count = other.properties.headers().clone().unwrap().inner()["x-delivery-count"].clone();
    assert_eq!(count, AMQPValue::LongLongInt(1), "more than one return was counted");
    let mut ended: BTreeSet<u32> = BTreeSet::from([Message::parse(&other.data).unwrap().number]);
    for delivery in started {
        ended.insert(number(&delivery));
        ack(delivery).await;
    }
    let mut consumer = consume(&broker, 10).await;
    for _ in 0..6 {
        let delivery = next(&mut *consumer).await;
        assert!(ended.insert(number(&delivery)), "an acknowledged message came again");
        ack(delivery).await;
    }
    raw.wait_for(&scratch.name("jobs.studio"), 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn depth_and_health_tell_what_is() {
    let scratch = Scratch::on(SHARED);
    let broker = scratch.connect().await;
    assert!(broker.health().can_publish());
    assert!(!broker.health().is_consuming(Pool::Studio, 60_000));
    send(&broker, 0..3).await;
    let consumer = broker.consume(Pool::Assemble, 1).await.unwrap();
    assert!(broker.health().is_consuming(Pool::Assemble, 60_000));
    let depths = broker.depths().await.unwrap();
    let of = |pool| depths.iter().find(|depth| depth.pool == Some(pool)).unwrap();
    assert_eq!((of(Pool::Studio).ready, of(Pool::Studio).consumers), (3, 0));
    assert_eq!((of(Pool::Assemble).ready, of(Pool::Assemble).consumers), (0, 1));
    assert!(depths.iter().any(|depth| depth.queue == scratch.name("dead")));
    drop(consumer);
    wait_until("no consumer", || broker.health().consumers.is_empty()).await;
    assert!(!broker.health().is_consuming(Pool::Assemble, 60_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_retry_can_mend_is_refused() {
    let scratch = Scratch::on(SHARED);
    let broker = scratch.connect().await;
    let check = async |change: fn(&mut RabbitSettings), kind: BrokerFault, says: &str| {
        let mut settings = scratch.settings.clone();
        change(&mut settings);
        let error = RabbitBroker::connect(&settings).await.unwrap_err();
        let source = error.source.as_ref().map(ToString::to_string).unwrap_or_default();
        let text = format!("{error}: {source} {settings:?}");
        assert_eq!(error.kind, kind, "{text}");
        assert!(text.contains(says), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    };
    let other = |settings: &mut RabbitSettings| settings.delivery_limit = 7;
    check(other, BrokerFault::Refused, "exists with other arguments").await;
    check(other, BrokerFault::Refused, "x-delivery-limit").await;
    let password = |settings: &mut RabbitSettings| {
        settings.url = Secret::new("amqp://guest:hunter2@127.0.0.1:5672/%2f");
    };
    check(password, BrokerFault::Refused, "check the user").await;
    let vhost = |settings: &mut RabbitSettings| settings.vhost = Some("nowhere".to_owned());
    check(vhost, BrokerFault::Refused, "virtual host").await;
    let nobody = |settings: &mut RabbitSettings| {
        settings.url = Secret::new("amqp://guest:hunter2@127.0.0.1:1/%2f");
    };
    check(nobody, BrokerFault::Unavailable, "127.0.0.1:1").await;
    let prefix = |settings: &mut RabbitSettings| settings.prefix = String::new();
    check(prefix, BrokerFault::Refused, "prefix").await;
    send(&broker, 0..1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_probe_finds_a_sound_server_sound_and_says_what_is_not() {
    let scratch = Scratch::on(SHARED);
    let findings = probe(&scratch.settings).await;
    assert!(findings.iter().all(|finding| finding.severity != Severity::Broken), "{findings:#?}");
    assert!(findings.iter().any(|finding| finding.what.contains("RabbitMQ 3.")), "{findings:#?}");
    assert!(findings.iter().any(|finding| finding.what.contains("returned to its publisher")));
    assert!(findings.iter().any(|finding| finding.what.contains("becomes a dead letter")));
    for queue in ["dead", "unroutable"] {
        scratch.raw().await.wait_for(&scratch.name(queue), 0).await;
    }
    let broken = |findings: &[Finding]| {
        findings.iter().filter(|finding| finding.severity == Severity::Broken).cloned().collect::<Vec<_>>()
    };
    let mut settings = scratch.settings.clone();
    settings.delivery_limit = 9;
    let found = broken(&probe(&settings).await);
    assert!(found.len() == 1 && found[0].what.contains("other arguments"), "{found:#?}");
    settings.url = Secret::new("amqp://guest:guest@127.0.0.1:1/%2f");
    let found = broken(&probe(&settings).await);
    assert!(found.len() == 1 && found[0].what.contains("127.0.0.1:1"), "{found:#?}");
}
