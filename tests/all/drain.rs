//! Graceful scale-in: the consumer is cancelled first, what had begun is finished and
//! acknowledged, telemetry is flushed last, and the process leaves with 0. And what it costs
//! when it is killed all the same.

use std::time::{Duration, Instant};

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use mock_collector::{MockServer, Protocol};
use packshot_pipeline::budget::MicroUsd;
use packshot_pipeline::manifest::Batch;
use packshot_pipeline::policy::Policy;
use packshot_pipeline::role::Role;
use packshot_runtime::conformance::sample;
use packshot_runtime::ports::Ports;

use crate::cluster::{Cluster, PATIENCE, until};
use crate::fill;
use crate::shop::Shop;

/// Ready messages of a queue.
async fn look(queue: &str) -> u32 {
    let properties = lapin::ConnectionProperties::default();
    let connection = lapin::Connection::connect(crate::cluster::RABBITMQ, properties).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let passive = QueueDeclareOptions::default().passive();
    let found = channel.queue_declare(queue.into(), passive, FieldTable::default()).await.unwrap();
    let seen = found.message_count();
    connection.close(200, "done".into()).await.unwrap();
    seen
}

async fn settled(ports: &Ports, header: &Batch) -> bool {
    let tally = ports.coordinator.tally(&header.batch).await.unwrap();
    tally.skus() > 0 && tally.settled() == tally.skus()
}

async fn until_settled(ports: &Ports, header: &Batch) {
    let begun = Instant::now();
    while !settled(ports, header).await {
        assert!(begun.elapsed() < PATIENCE, "the batch does not end");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_leaves_cancels_first_and_flushes_last() {
    let collector = MockServer::builder().protocol(Protocol::Grpc).start().await.unwrap();
    let mut cluster = Cluster::new(Shop::empty());
    cluster.set_script("JOB_MS", "10000");
    cluster.set_script("LOG", "steps");
    // One place stays free, so that only a cancelled consumer keeps it from filling.
    cluster.set_worker("POOLS__STUDIO", "4");
    cluster.set_worker("STOP__DRAIN_S", "60");
    cluster.set_worker_variable("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{}", collector.addr()));
    cluster.set_worker_variable("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    // Nothing is sent by itself within this test, so what arrives was flushed at the end.
    cluster.set_worker_variable("OTEL_BSP_SCHEDULE_DELAY", "600000");
    let ports = cluster.ports().await;
    let header = sample::batch("leaves", Policy::STANDARD);
    let header = fill::batch(&ports, header, 3, &[Role::Main]).await.unwrap();
    let later = sample::batch("later", Policy::STANDARD);
    let later = fill::batch(&ports, later, 4, &[Role::Main]).await.unwrap();
    fill::resume(&ports, &header).await.unwrap();
    let _scheduler = cluster.serve();
    let mut worker = cluster.scripted_worker();
    until("three claims", || cluster.reached("steps", "claimed").len() == 3);
    let queue = cluster.queue("studio");
    let begun = Instant::now();
    worker.signal("TERM");
    until("the drain", || worker.log().contains("stopping"));
    fill::resume(&ports, &later).await.unwrap();
    // The server counts a cancelled consumer of a quorum queue until its last message is
    // acknowledged, so what is looked at is that it gets no more.
    while look(&queue).await < 4 {
        assert!(begun.elapsed() < PATIENCE, "the messages are not in the queue");
    }
    assert!(cluster.reached("steps", "acking").is_empty(), "it is cancelled while the work goes on");
    assert_eq!(worker.wait().code(), Some(0), "{}", worker.log());
    assert!(begun.elapsed() < Duration::from_mins(1), "within the time for draining");
    for point in ["claimed", "blob", "result", "acking"] {
        let reached = cluster.reached("steps", point);
        let images: Vec<_> = reached.iter().filter(|line| !line.contains("/set/")).collect();
        assert_eq!(images.len(), 3, "{point}: {reached:?}");
    }
    let spans = collector.with_collector(|collector| {
        let names = collector.spans().iter().map(|span| span.span().name.clone());
        names.filter(|name| name.starts_with("process ")).count()
    });
    assert!(spans.await >= 3, "the spans of its last jobs were flushed");
    assert_eq!(look(&queue).await, 4, "the others were not taken");

    cluster.set_script("JOB_MS", "0");
    let _other = cluster.scripted_worker();
    until_settled(&ports, &later).await;
    let images = cluster.reached("steps", "claimed").iter().filter(|line| !line.contains("/set/")).count();
    assert_eq!(images, 7, "nothing was begun twice");
}

/// The window that the protocol names: the call is made, and its answer is not saved yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_while_it_drains_repeats_one_request() {
    let mut cluster = Cluster::new(Shop::empty());
    cluster.set_scheduler("SWEEP__EVERY_MS", "200");
    cluster.set_script("JOB_MS", "2000");
    cluster.set_script("COST", "40000");
    cluster.set_script("LOG", "steps");
    cluster.set_worker("POOLS__STUDIO", "1");
    let marker = cluster.shop.path("crashed").display().to_string();
    cluster.set_script("CRASH", &format!("called={marker}"));
    let ports = cluster.ports().await;
    let mut header = sample::batch("dies", Policy { lease_ms: 3_000, ..Policy::STANDARD });
    header.settings.prices.insert("studio".to_owned(), MicroUsd(40_000));
    let header = fill::batch(&ports, header, 5, &[Role::Main]).await.unwrap();
    fill::resume(&ports, &header).await.unwrap();
    let _scheduler = cluster.serve();
    let mut worker = cluster.scripted_worker();
    until("a claim", || cluster.reached("steps", "claimed").len() == 1);
    worker.signal("TERM");
    assert_eq!(worker.wait().code(), None, "it died while it drained");
    cluster.set_script("JOB_MS", "0");
    let _other = cluster.scripted_worker();
    until_settled(&ports, &header).await;
    let tally = ports.coordinator.tally(&header.batch).await.unwrap();
    assert_eq!(tally.jobs(Some(Role::Main), "accepted"), 5, "{tally:?}");
    let called = cluster.reached("steps", "called");
    assert_eq!(called.len(), 6, "one call is repeated, the one that was under way: {called:?}");
}
