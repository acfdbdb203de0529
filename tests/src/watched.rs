//! Ports that are watched: they do what the inner ones do, and say which named points of the
//! protocol were reached by it.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use packshot_pipeline::change::{Change, IndexOp, Progress, Slot};
use packshot_pipeline::ids::{BatchId, Sku};
use packshot_pipeline::pool::Pool;
use packshot_pipeline::state::{Incarnation, SkuState, Target};
use packshot_pipeline::tally::Tally;
use packshot_runtime::port::{
    Acked, BatchControl, Broker, BrokerError, Commit, Consumer, Coordinator, CoordinatorError, Created,
    Delivery, Depth, Message, ObjectInfo, Objects, ObjectsError, Put, Receipt, Version, Versioned,
};
use packshot_runtime::ports::Ports;

use crate::points::Points;

/// The ports, watched.
pub fn around(ports: Ports, points: &Arc<Points>) -> Ports {
    Ports {
        coordinator: Arc::new(Watched { inner: ports.coordinator, points: Arc::clone(points) }),
        objects: Arc::new(Watched { inner: ports.objects, points: Arc::clone(points) }),
        broker: Arc::new(Watched { inner: ports.broker, points: Arc::clone(points) }),
        ..ports
    }
}

struct Watched<T: ?Sized> {
    inner: Arc<T>,
    points: Arc<Points>,
}

impl Watched<dyn Objects> {
    fn stored(&self, key: &str, put: &Result<Put, ObjectsError>) {
        if key.starts_with("results/") {
            let point = match put {
                Ok(Put::Stored) => "result",
                Ok(Put::Exists) => "adopted",
                Err(_) => "unsure",
            };
            self.points.reach(point, key);
        } else if key.starts_with("sets/") && key.contains("/current/") {
            self.points.reach("set-pointed", key);
        } else if key.starts_with("sets/") {
            self.points.reach("set-stored", key);
        }
    }
}

#[async_trait]
impl Objects for Watched<dyn Objects> {
    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), ObjectsError> {
        self.inner.put(key, bytes).await
    }
    async fn put_if_absent(&self, key: &str, bytes: Bytes) -> Result<Put, ObjectsError> {
        let put = self.inner.put_if_absent(key, bytes).await;
        self.stored(key, &put);
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
impl Coordinator for Watched<dyn Coordinator> {
    async fn commit(
        &self,
        expected: Version,
        state: &SkuState,
        change: &Change,
    ) -> Result<Commit, CoordinatorError> {
        let commit = self.inner.commit(expected, state, change).await;
        if matches!(commit, Ok(Commit::Done(_))) {
            for op in &change.index {
                if let IndexOp::Gone { slot, .. } = op {
                    let point = if slot.target == Target::Set { "set-told" } else { "told" };
                    self.points.reach(point, &format!("{}/{}", slot.sku.slug(), slot.target));
                }
            }
        }
        commit
    }
    async fn incarnation(&self) -> Result<Incarnation, CoordinatorError> {
        self.inner.incarnation().await
    }
    async fn control(&self, control: &BatchControl) -> Result<(), CoordinatorError> {
        self.inner.control(control).await
    }
    async fn batches(&self) -> Result<Vec<BatchControl>, CoordinatorError> {
        self.inner.batches().await
    }
    async fn forget(&self, batch: &BatchId) -> Result<(), CoordinatorError> {
        self.inner.forget(batch).await
    }
    async fn create(&self, state: &SkuState, change: &Change) -> Result<Created, CoordinatorError> {
        self.inner.create(state, change).await
    }
    async fn load(&self, batch: &BatchId, sku: &Sku) -> Result<Option<Versioned>, CoordinatorError> {
        self.inner.load(batch, sku).await
    }
    async fn skus(
        &self,
        batch: &BatchId,
        after: Option<&Sku>,
        limit: usize,
    ) -> Result<Vec<Sku>, CoordinatorError> {
        self.inner.skus(batch, after, limit).await
    }
    async fn ready(
        &self,
        batch: &BatchId,
        pool: Pool,
        now_ms: u64,
        limit: usize,
    ) -> Result<Vec<Slot>, CoordinatorError> {
        self.inner.ready(batch, pool, now_ms, limit).await
    }
    async fn mark_dispatched(
        &self,
        batch: &BatchId,
        pool: Pool,
        slots: &[Slot],
        now_ms: u64,
    ) -> Result<(), CoordinatorError> {
        self.inner.mark_dispatched(batch, pool, slots, now_ms).await
    }
    async fn mark_ready(
        &self,
        batch: &BatchId,
        pool: Pool,
        slots: &[Slot],
        now_ms: u64,
    ) -> Result<(), CoordinatorError> {
        self.inner.mark_ready(batch, pool, slots, now_ms).await
    }
    async fn silent(
        &self,
        batch: &BatchId,
        pool: Pool,
        before_ms: u64,
        limit: usize,
    ) -> Result<Vec<Slot>, CoordinatorError> {
        self.inner.silent(batch, pool, before_ms, limit).await
    }
    async fn expired(
        &self,
        batch: &BatchId,
        now_ms: u64,
        limit: usize,
    ) -> Result<Vec<Slot>, CoordinatorError> {
        self.inner.expired(batch, now_ms, limit).await
    }
    async fn depth(&self, batch: &BatchId, pool: Pool) -> Result<Depth, CoordinatorError> {
        self.inner.depth(batch, pool).await
    }
    async fn tally(&self, batch: &BatchId) -> Result<Tally, CoordinatorError> {
        self.inner.tally(batch).await
    }
    async fn news(
        &self,
        batch: &BatchId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Progress)>, CoordinatorError> {
        self.inner.news(batch, after, limit).await
    }
    async fn changed(&self, seen: u64) -> u64 {
        self.inner.changed(seen).await
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
