//! Ports that crash, fail and stall around the real ones.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use packshot_pipeline::budget::MicroUsd;
use packshot_pipeline::change::{Change, Progress, Slot};
use packshot_pipeline::ids::{BatchId, Sku};
use packshot_pipeline::pool::Pool;
use packshot_pipeline::state::{Incarnation, SkuState};
use packshot_pipeline::tally::Tally;

use super::fate::Process;
use crate::clock::Clock;
use crate::port::{
    Acked, BatchControl, Books, Broker, BrokerError, BrokerFault, Commit, Consumer, Coordinator,
    CoordinatorError, CoordinatorFault, Created, Delivery, Depth, Ledger, Message, ObjectInfo, Objects,
    ObjectsError, ObjectsFault, Put, Receipt, Reservation, Reserved, Version, Versioned,
};

#[derive(Clone)]
pub(super) struct Faulty<T: ?Sized> {
    pub(super) process: Process,
    pub(super) inner: Arc<T>,
}

fn lost() -> CoordinatorError {
    CoordinatorError {
        kind: CoordinatorFault::Unavailable,
        what: "simulated".into(),
        source: None,
        retry_after_ms: None,
    }
}

fn out() -> ObjectsError {
    ObjectsError {
        kind: ObjectsFault::Unavailable,
        what: "simulated".into(),
        source: None,
        retry_after_ms: None,
    }
}

fn cut() -> BrokerError {
    BrokerError {
        kind: BrokerFault::Unconfirmed,
        what: "simulated".into(),
        source: None,
        retry_after_ms: None,
    }
}

impl<T: ?Sized> Faulty<T> {
    async fn asks<R>(
        &self,
        effect: impl Future<Output = Result<R, CoordinatorError>>,
    ) -> Result<R, CoordinatorError> {
        self.process.under_fate(effect).await.unwrap_or_else(|| Err(lost()))
    }

    async fn stores<R>(
        &self,
        effect: impl Future<Output = Result<R, ObjectsError>>,
    ) -> Result<R, ObjectsError> {
        self.process.under_fate(effect).await.unwrap_or_else(|| Err(out()))
    }
}

#[async_trait]
impl Coordinator for Faulty<dyn Coordinator> {
    async fn incarnation(&self) -> Result<Incarnation, CoordinatorError> {
        self.asks(self.inner.incarnation()).await
    }
    async fn control(&self, control: &BatchControl) -> Result<(), CoordinatorError> {
        self.asks(self.inner.control(control)).await
    }
    async fn batches(&self) -> Result<Vec<BatchControl>, CoordinatorError> {
        self.asks(self.inner.batches()).await
    }
    async fn forget(&self, batch: &BatchId) -> Result<(), CoordinatorError> {
        self.asks(self.inner.forget(batch)).await
    }
    async fn create(&self, state: &SkuState, change: &Change) -> Result<Created, CoordinatorError> {
        self.asks(self.inner.create(state, change)).await
    }
    async fn load(&self, batch: &BatchId, sku: &Sku) -> Result<Option<Versioned>, CoordinatorError> {
        self.asks(self.inner.load(batch, sku)).await
    }
    async fn commit(
        &self,
        v: Version,
        state: &SkuState,
        change: &Change,
    ) -> Result<Commit, CoordinatorError> {
        self.asks(self.inner.commit(v, state, change)).await
    }
    async fn skus(
        &self,
        b: &BatchId,
        after: Option<&Sku>,
        limit: usize,
    ) -> Result<Vec<Sku>, CoordinatorError> {
        self.asks(self.inner.skus(b, after, limit)).await
    }
    async fn ready(
        &self,
        b: &BatchId,
        pool: Pool,
        now: u64,
        limit: usize,
    ) -> Result<Vec<Slot>, CoordinatorError> {
        self.asks(self.inner.ready(b, pool, now, limit)).await
    }
    async fn mark_dispatched(
        &self,
        b: &BatchId,
        pool: Pool,
        slots: &[Slot],
        now: u64,
    ) -> Result<(), CoordinatorError> {
        self.asks(self.inner.mark_dispatched(b, pool, slots, now)).await
    }
    async fn mark_ready(
        &self,
        b: &BatchId,
        pool: Pool,
        slots: &[Slot],
        now: u64,
    ) -> Result<(), CoordinatorError> {
        self.asks(self.inner.mark_ready(b, pool, slots, now)).await
    }
    async fn silent(
        &self,
        b: &BatchId,
        pool: Pool,
        before: u64,
        n: usize,
    ) -> Result<Vec<Slot>, CoordinatorError> {
        self.asks(self.inner.silent(b, pool, before, n)).await
    }
    async fn expired(&self, b: &BatchId, now: u64, limit: usize) -> Result<Vec<Slot>, CoordinatorError> {
        self.asks(self.inner.expired(b, now, limit)).await
    }
    async fn depth(&self, b: &BatchId, pool: Pool) -> Result<Depth, CoordinatorError> {
        self.asks(self.inner.depth(b, pool)).await
    }
    async fn tally(&self, b: &BatchId) -> Result<Tally, CoordinatorError> {
        self.asks(self.inner.tally(b)).await
    }
    async fn news(
        &self,
        b: &BatchId,
        after: u64,
        n: usize,
    ) -> Result<Vec<(u64, Progress)>, CoordinatorError> {
        self.asks(self.inner.news(b, after, n)).await
    }
    async fn changed(&self, seen: u64) -> u64 {
        self.inner.changed(seen).await
    }
}

#[async_trait]
impl Ledger for Faulty<dyn Ledger> {
    async fn reserve(
        &self,
        b: &BatchId,
        cap: Option<MicroUsd>,
        name: &str,
        amount: MicroUsd,
        now: u64,
    ) -> Result<Reserved, CoordinatorError> {
        self.asks(self.inner.reserve(b, cap, name, amount, now)).await
    }
    async fn settle(&self, b: &BatchId, name: &str, actual: MicroUsd) -> Result<(), CoordinatorError> {
        self.asks(self.inner.settle(b, name, actual)).await
    }
    async fn release(&self, b: &BatchId, name: &str) -> Result<(), CoordinatorError> {
        self.asks(self.inner.release(b, name)).await
    }
    async fn books(&self, b: &BatchId) -> Result<Books, CoordinatorError> {
        self.asks(self.inner.books(b)).await
    }
    async fn reservations(
        &self,
        b: &BatchId,
        before: u64,
        limit: usize,
    ) -> Result<Vec<Reservation>, CoordinatorError> {
        self.asks(self.inner.reservations(b, before, limit)).await
    }
    async fn set_spent(&self, b: &BatchId, spent: MicroUsd) -> Result<(), CoordinatorError> {
        self.asks(self.inner.set_spent(b, spent)).await
    }
    async fn forget_books(&self, b: &BatchId) -> Result<(), CoordinatorError> {
        self.asks(self.inner.forget_books(b)).await
    }
}

#[async_trait]
impl Objects for Faulty<dyn Objects> {
    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), ObjectsError> {
        if !key.starts_with("blobs/") {
            self.process.fate.blame(format!("{key} is put without asking whether it is there"));
        }
        self.stores(self.inner.put(key, bytes)).await
    }
    async fn put_if_absent(&self, key: &str, bytes: Bytes) -> Result<Put, ObjectsError> {
        let fate = &self.process.fate;
        let put = async {
            let put = self.inner.put_if_absent(key, bytes).await;
            let job = key.split(['/', '.']).nth(1).unwrap_or_default();
            if key.starts_with("results/") || key.starts_with("candidates/") {
                fate.stored.lock().unwrap().entry(job.to_owned()).or_insert(fate.clock.now_ms());
            }
            put
        };
        self.stores(put).await
    }
    async fn get(&self, key: &str, bytes_max: u64) -> Result<Option<Bytes>, ObjectsError> {
        self.stores(self.inner.get(key, bytes_max)).await
    }
    async fn head(&self, key: &str) -> Result<Option<ObjectInfo>, ObjectsError> {
        self.stores(self.inner.head(key)).await
    }
    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, ObjectsError> {
        self.stores(self.inner.list(prefix, after, limit)).await
    }
    async fn url(&self, key: &str, valid_ms: u64) -> Result<Option<String>, ObjectsError> {
        self.stores(self.inner.url(key, valid_ms)).await
    }
}

#[async_trait]
impl Broker for Faulty<dyn Broker> {
    async fn publish(
        &self,
        pool: Pool,
        messages: &[(Message, BTreeMap<String, String>)],
    ) -> Vec<Result<(), BrokerError>> {
        let mut results = Vec::new();
        // Each message has its own fate, and now and then it is published twice.
        for message in messages {
            let one = std::slice::from_ref(message);
            if !self.process.fate.is_kind() && self.process.fate.draw(0..30) == 0 {
                self.process.under_fate(self.inner.publish(pool, one)).await;
            }
            let published = self.process.under_fate(self.inner.publish(pool, one)).await;
            results.push(published.and_then(|mut results| results.pop()).unwrap_or_else(|| Err(cut())));
        }
        results
    }

    async fn consume(&self, pool: Pool, prefetch: u16) -> Result<Box<dyn Consumer>, BrokerError> {
        let consumed = self.process.under_fate(self.inner.consume(pool, prefetch)).await;
        let inner = consumed.unwrap_or_else(|| Err(cut()))?;
        Ok(Box::new(FaultyConsumer { process: self.process.clone(), inner }))
    }
}

struct FaultyConsumer {
    process: Process,
    inner: Box<dyn Consumer>,
}

#[async_trait]
impl Consumer for FaultyConsumer {
    async fn next(&mut self) -> Result<Delivery, BrokerError> {
        let delivery = self.inner.next().await?;
        // A connection that breaks gives everything unended back.
        let fate = &self.process.fate;
        if !fate.is_kind() && fate.draw(0..100) == 0 {
            return Err(cut());
        }
        let receipt = FaultyReceipt { process: self.process.clone(), inner: delivery.receipt };
        Ok(Delivery { receipt: Box::new(receipt), ..delivery })
    }
}

struct FaultyReceipt {
    process: Process,
    inner: Box<dyn Receipt>,
}

#[async_trait]
impl Receipt for FaultyReceipt {
    async fn ack(self: Box<Self>) -> Result<Acked, BrokerError> {
        self.process.under_fate(self.inner.ack()).await.unwrap_or_else(|| Err(cut()))
    }
    async fn retry(self: Box<Self>, delay_ms: u64) -> Result<Acked, BrokerError> {
        self.process.under_fate(self.inner.retry(delay_ms)).await.unwrap_or_else(|| Err(cut()))
    }
    async fn dead_letter(self: Box<Self>, reason: &str) -> Result<Acked, BrokerError> {
        self.process.under_fate(self.inner.dead_letter(reason)).await.unwrap_or_else(|| Err(cut()))
    }
}
