//! The RabbitMQ adapter against real servers: the shared one for what disturbs nobody, a
//! private one for the rest.

mod disturbed;
mod faults;
mod shared;
mod special;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lapin::options::{BasicGetOptions, ExchangeDeleteOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use packshot_adapters::rabbitmq::{RabbitBroker, RabbitSettings};
use packshot_adapters::secret::Secret;
use packshot_pipeline::ids::{BatchId, Sku};
use packshot_pipeline::pool::Pool;
use packshot_pipeline::role::Role;
use packshot_pipeline::state::Target;
use packshot_runtime::port::{Acked, Broker, BrokerError, Consumer, Delivery, Message};
use tokio::time::Instant;

/// The server that runs on every development machine.
const SHARED: &str = "amqp://guest:guest@127.0.0.1:5672/%2f";
/// The longest that anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

type Job = (Message, BTreeMap<String, String>);

/// Queues of one's own on a server, gone afterwards.
struct Scratch {
    /// Where they are; a test may change the rest.
    settings: RabbitSettings,
    /// The server itself, which `settings` may reach through a proxy.
    server: String,
}

impl Scratch {
    fn on(server: &str) -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("test-{}-{number}", std::process::id());
        let settings = RabbitSettings { url: Secret::new(server), prefix, ..RabbitSettings::standard() };
        Self { settings, server: server.to_owned() }
    }

    /// Connected; a server that has just lost its connections may first refuse to declare.
    async fn connect(&self) -> RabbitBroker {
        for _ in 0..20 {
            if let Ok(broker) = RabbitBroker::connect(&self.settings).await {
                return broker;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        RabbitBroker::connect(&self.settings).await.unwrap()
    }

    fn name(&self, rest: &str) -> String {
        format!("{}.{rest}", self.settings.prefix)
    }

    /// A channel without the adapter.
    async fn raw(&self) -> Raw {
        Raw::connect(&self.server).await
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let (server, prefix) = (self.server.clone(), self.settings.prefix.clone());
        let clean = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let cleaning = remove(&server, &prefix);
                let _ = tokio::time::timeout(PATIENCE, cleaning).await;
            });
        };
        let _ = std::thread::spawn(clean).join();
    }
}

/// Deletes everything under `prefix`, if the server is there.
async fn remove(server: &str, prefix: &str) {
    let Ok(connection) = lapin::Connection::connect(server, lapin::ConnectionProperties::default()).await
    else {
        return;
    };
    let Ok(channel) = connection.create_channel().await else { return };
    let jobs = Pool::ALL.map(|pool| format!("jobs.{pool}"));
    let others = ["delay.2s", "delay.15s", "delay.2m", "dead", "unroutable"].map(str::to_owned);
    for queue in jobs.into_iter().chain(others) {
        let name = format!("{prefix}.{queue}").into();
        let _ = channel.queue_delete(name, QueueDeleteOptions::default()).await;
    }
    for exchange in ["jobs", "delay", "back", "dead", "unroutable"] {
        let name = format!("{prefix}.{exchange}").into();
        let _ = channel.exchange_delete(name, ExchangeDeleteOptions::default()).await;
    }
    let _ = connection.close(200, "done".into()).await;
}

/// A connection without the adapter, to look and to meddle.
struct Raw {
    _connection: lapin::Connection,
    channel: lapin::Channel,
}

impl Raw {
    async fn connect(url: &str) -> Self {
        let properties = lapin::ConnectionProperties::default();
        let connection = lapin::Connection::connect(url, properties).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        Self { _connection: connection, channel }
    }

    async fn ready(&self, queue: &str) -> u32 {
        let passive = QueueDeclareOptions::default().passive();
        let declared = self.channel.queue_declare(queue.into(), passive, FieldTable::default()).await;
        declared.unwrap().message_count()
    }

    /// Waits until the queue holds `count` messages.
    async fn wait_for(&self, queue: &str, count: u32) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ready = self.ready(queue).await;
            if ready == count {
                return;
            }
            assert!(Instant::now() < deadline, "{queue} holds {ready} messages, not {count}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Takes the next message of a queue that must hold one.
    async fn take(&self, queue: &str) -> lapin::message::Delivery {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let options = BasicGetOptions { no_ack: true };
            if let Some(got) = self.channel.basic_get(queue.into(), options).await.unwrap() {
                return got.delivery;
            }
            assert!(Instant::now() < deadline, "{queue} stays empty");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn message(number: u32) -> Message {
    Message {
        schema: Message::SCHEMA,
        batch: BatchId::new("rabbit").unwrap(),
        sku: Sku::new(&format!("SKU {number}")).unwrap(),
        target: Target::Role(Role::Main),
        number,
    }
}

fn jobs(numbers: std::ops::Range<u32>) -> Vec<Job> {
    numbers.map(|number| (message(number), BTreeMap::new())).collect()
}

async fn publish(broker: &RabbitBroker, pool: Pool, jobs: &[Job]) -> Vec<Result<(), BrokerError>> {
    tokio::time::timeout(PATIENCE, broker.publish(pool, jobs)).await.expect("publish hangs")
}

async fn send(broker: &RabbitBroker, numbers: std::ops::Range<u32>) {
    for result in publish(broker, Pool::Studio, &jobs(numbers)).await {
        result.unwrap();
    }
}

/// Publishes until the server takes it again.
async fn send_in_the_end(broker: &RabbitBroker, number: u32) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let outcome = publish(broker, Pool::Studio, &jobs(number..number + 1)).await.remove(0);
        let Err(error) = outcome else { return };
        assert!(Instant::now() < deadline, "publishing does not recover: {error:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn consume(broker: &RabbitBroker, prefetch: u16) -> Box<dyn Consumer> {
    let consuming = broker.consume(Pool::Studio, prefetch);
    tokio::time::timeout(PATIENCE, consuming).await.expect("consume hangs").unwrap()
}

/// Subscribes until the server lets us.
async fn consume_in_the_end(broker: &RabbitBroker, prefetch: u16) -> Box<dyn Consumer> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let consuming = tokio::time::timeout(PATIENCE, broker.consume(Pool::Studio, prefetch));
        match consuming.await.expect("consume hangs") {
            Ok(consumer) => return consumer,
            Err(error) => assert!(Instant::now() < deadline, "consuming does not recover: {error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn next(consumer: &mut dyn Consumer) -> Delivery {
    tokio::time::timeout(PATIENCE, consumer.next()).await.expect("no delivery came").unwrap()
}

/// Waits until the consumer says that it is over.
async fn over(consumer: &mut dyn Consumer) -> BrokerError {
    let ended = async {
        loop {
            if let Err(error) = consumer.next().await {
                return error;
            }
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("the consumer does not notice")
}

fn number(delivery: &Delivery) -> u32 {
    Message::parse(&delivery.body).unwrap().number
}

async fn ack(delivery: Delivery) {
    assert_eq!(delivery.receipt.ack().await.unwrap(), Acked::Done);
}

/// Takes and acknowledges until every number of `wanted` came, with a new consumer whenever
/// one is over; duplicates are allowed.
async fn drain(broker: &RabbitBroker, mut wanted: BTreeSet<u32>) {
    let deadline = Instant::now() + PATIENCE;
    let mut consumer = consume_in_the_end(broker, 500).await;
    while !wanted.is_empty() {
        let some = wanted.iter().take(10);
        assert!(Instant::now() < deadline, "{} are lost: {:?}", wanted.len(), some.collect::<Vec<_>>());
        match tokio::time::timeout(Duration::from_secs(1), consumer.next()).await {
            Ok(Ok(delivery)) => {
                wanted.remove(&number(&delivery));
                let _ = delivery.receipt.ack().await;
            }
            Ok(Err(_)) => consumer = consume_in_the_end(broker, 500).await,
            Err(_) => {}
        }
    }
}

async fn wait_until(what: &str, mut reached: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !reached() {
        assert!(Instant::now() < deadline, "not reached: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
