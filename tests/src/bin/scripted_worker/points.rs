//! Named points of the protocol: each is written down when it is reached, and one of them may
//! be the place where the process dies. The points inside of a job are reached by the script,
//! the later ones by ports that are wrapped.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use packshot_pipeline::pool::Pool;
use packshot_runtime::port::{
    Acked, Broker, BrokerError, Consumer, Delivery, Message, ObjectInfo, Objects, ObjectsError, Put, Receipt,
};
use packshot_runtime::ports::Ports;

pub(crate) struct Points {
    log: Option<String>,
    /// Point and marker file.
    crash: Option<(String, String)>,
}

impl Points {
    pub(crate) fn from_environment() -> Self {
        let crash = std::env::var("PACKSHOT_TEST_CRASH").ok();
        let crash = crash.map(|text| {
            let (point, marker) = text.split_once('=').expect("PACKSHOT_TEST_CRASH is point=marker file");
            (point.to_owned(), marker.to_owned())
        });
        Self { log: std::env::var("PACKSHOT_TEST_LOG").ok(), crash }
    }

    /// Writes the point down, and dies there if that is wanted.
    pub(crate) fn reach(&self, point: &str, about: &str) {
        if let Some(log) = &self.log {
            let mut file = OpenOptions::new().create(true).append(true).open(log).unwrap();
            // One write, so that lines of several processes do not mix.
            file.write_all(format!("{point} {about} {}\n", std::process::id()).as_bytes()).unwrap();
        }
        let Some((at, marker)) = &self.crash else { return };
        if at == point && OpenOptions::new().create_new(true).write(true).open(marker).is_ok() {
            // As abrupt as a kill: nothing is flushed, dropped or told.
            std::process::abort();
        }
    }
}

/// The ports, with the points `result` (a result is committed) and `acking` (everything but the
/// acknowledgement is done).
pub(crate) fn around(ports: Ports, points: &Arc<Points>) -> Ports {
    Ports {
        objects: Arc::new(Watched { inner: ports.objects, points: Arc::clone(points) }),
        broker: Arc::new(Watched { inner: ports.broker, points: Arc::clone(points) }),
        ..ports
    }
}

struct Watched<T: ?Sized> {
    inner: Arc<T>,
    points: Arc<Points>,
}

#[async_trait]
impl Objects for Watched<dyn Objects> {
    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), ObjectsError> {
        self.inner.put(key, bytes).await
    }
    async fn put_if_absent(&self, key: &str, bytes: Bytes) -> Result<Put, ObjectsError> {
        let put = self.inner.put_if_absent(key, bytes).await;
        if key.starts_with("results/") {
            self.points.reach("result", key);
        }
        put
    }
    async fn get(&self, key: &str, bytes_max: u64) -> Result<Option<Bytes>, ObjectsError> {
        self.inner.get(key, bytes_max).await
    }
    async fn head(&self, key: &str) -> Result<Option<ObjectInfo>, ObjectsError> {
        self.inner.head(key).await
    }
    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, ObjectsError> {
        self.inner.list(prefix, after, limit).await
    }
    async fn url(&self, key: &str, valid_ms: u64) -> Result<Option<String>, ObjectsError> {
        self.inner.url(key, valid_ms).await
    }
}

#[async_trait]
impl Broker for Watched<dyn Broker> {
    async fn publish(
        &self,
        pool: Pool,
        messages: &[(Message, BTreeMap<String, String>)],
    ) -> Vec<Result<(), BrokerError>> {
        self.inner.publish(pool, messages).await
    }
    async fn consume(&self, pool: Pool, prefetch: u16) -> Result<Box<dyn Consumer>, BrokerError> {
        let inner = self.inner.consume(pool, prefetch).await?;
        Ok(Box::new(WatchedConsumer { inner, points: Arc::clone(&self.points) }))
    }
}

struct WatchedConsumer {
    inner: Box<dyn Consumer>,
    points: Arc<Points>,
}

#[async_trait]
impl Consumer for WatchedConsumer {
    async fn next(&mut self) -> Result<Delivery, BrokerError> {
        let mut delivery = self.inner.next().await?;
        let about = Message::parse(&delivery.body).map_or_else(|_| "unreadable".to_owned(), |m| m.id());
        if delivery.redelivered {
            self.points.reach("redelivered", &about);
        }
        let points = Arc::clone(&self.points);
        delivery.receipt = Box::new(WatchedReceipt { inner: delivery.receipt, points, about });
        Ok(delivery)
    }
}

struct WatchedReceipt {
    inner: Box<dyn Receipt>,
    points: Arc<Points>,
    about: String,
}

#[async_trait]
impl Receipt for WatchedReceipt {
    async fn ack(self: Box<Self>) -> Result<Acked, BrokerError> {
        self.points.reach("acking", &self.about);
        self.inner.ack().await
    }
    async fn retry(self: Box<Self>, delay_ms: u64) -> Result<Acked, BrokerError> {
        self.inner.retry(delay_ms).await
    }
    async fn dead_letter(self: Box<Self>, reason: &str) -> Result<Acked, BrokerError> {
        self.inner.dead_letter(reason).await
    }
}
