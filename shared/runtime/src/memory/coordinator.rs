//! A coordinator in memory: the same atomic steps as the shared one, under one lock.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use packshot_pipeline::change::{Change, IndexOp, Progress, Slot};
use packshot_pipeline::ids::{BatchId, Sku};
use packshot_pipeline::pool::Pool;
use packshot_pipeline::state::{Incarnation, SkuState};
use packshot_pipeline::tally::Tally;
use tokio::sync::Notify;

use super::lock;
use crate::port::{BatchControl, Commit, Coordinator, CoordinatorError, Created, Depth, Version, Versioned};

/// News kept per batch; older ones are gone.
const NEWS_MAX: usize = 10_000;

/// Documents and their index in memory.
#[derive(Debug)]
pub struct MemoryCoordinator {
    store: Mutex<Store>,
    changes: AtomicU64,
    changed: Notify,
}

#[derive(Debug)]
struct Store {
    incarnation: Incarnation,
    versions: u64,
    batches: BTreeMap<BatchId, Room>,
}

#[derive(Debug, Default)]
struct Room {
    control: Option<BatchControl>,
    documents: BTreeMap<Sku, (Version, SkuState)>,
    ready: BTreeMap<Pool, Timed>,
    dispatched: BTreeMap<Pool, Timed>,
    leased: BTreeMap<Pool, Timed>,
    tally: Tally,
    news: VecDeque<(u64, Progress)>,
    news_last: u64,
}

/// Slots by time.
#[derive(Debug, Default)]
struct Timed {
    order: BTreeSet<(u64, Slot)>,
    times: HashMap<Slot, u64>,
}

impl Timed {
    fn put(&mut self, slot: &Slot, at_ms: u64) {
        self.take(slot);
        self.times.insert(slot.clone(), at_ms);
        self.order.insert((at_ms, slot.clone()));
    }

    fn take(&mut self, slot: &Slot) -> bool {
        let Some(at_ms) = self.times.remove(slot) else { return false };
        self.order.remove(&(at_ms, slot.clone()))
    }

    fn until(&self, at_ms: u64, limit: usize) -> Vec<(u64, Slot)> {
        self.order.iter().take_while(|(at, _)| *at <= at_ms).take(limit).cloned().collect()
    }
}

impl Room {
    fn place(&mut self, op: &IndexOp) {
        let (IndexOp::Ready { slot, pool, .. }
        | IndexOp::Leased { slot, pool, .. }
        | IndexOp::Gone { slot, pool }) = op;
        for index in [&mut self.ready, &mut self.dispatched, &mut self.leased] {
            if let Some(timed) = index.get_mut(pool) {
                timed.take(slot);
            }
        }
        match op {
            IndexOp::Ready { not_before_ms, .. } => {
                self.ready.entry(*pool).or_default().put(slot, *not_before_ms);
            }
            IndexOp::Leased { until_ms, .. } => self.leased.entry(*pool).or_default().put(slot, *until_ms),
            IndexOp::Gone { .. } => {}
        }
    }

    fn take_in(&mut self, version: Version, state: &SkuState, change: &Change) {
        self.documents.insert(state.sku.clone(), (version, state.clone()));
        for op in &change.index {
            self.place(op);
        }
        self.tally.add(&change.tally);
        for news in &change.progress {
            self.news_last += 1;
            self.news.push_back((self.news_last, news.clone()));
        }
        while self.news.len() > NEWS_MAX {
            self.news.pop_front();
        }
    }
}

impl MemoryCoordinator {
    /// An empty store with this (random) life.
    pub fn new(incarnation: Incarnation) -> Self {
        let store = Store { incarnation, versions: 0, batches: BTreeMap::new() };
        Self { store: Mutex::new(store), changes: AtomicU64::new(1), changed: Notify::new() }
    }

    /// Forgets everything and begins another life, as a shared store that lost its memory.
    pub fn reset(&self, incarnation: Incarnation) {
        let mut store = lock(&self.store);
        store.incarnation = incarnation;
        store.batches.clear();
    }

    fn room<T>(&self, batch: &BatchId, read: impl FnOnce(&Room) -> T) -> Option<T> {
        lock(&self.store).batches.get(batch).map(read)
    }

    fn announce(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.changed.notify_waiters();
    }
}

#[async_trait]
impl Coordinator for MemoryCoordinator {
    async fn incarnation(&self) -> Result<Incarnation, CoordinatorError> {
        Ok(lock(&self.store).incarnation)
    }

    async fn control(&self, control: &BatchControl) -> Result<(), CoordinatorError> {
        let mut store = lock(&self.store);
        store.batches.entry(control.batch.clone()).or_default().control = Some(control.clone());
        drop(store);
        self.announce();
        Ok(())
    }

    async fn batches(&self) -> Result<Vec<BatchControl>, CoordinatorError> {
        Ok(lock(&self.store).batches.values().filter_map(|room| room.control.clone()).collect())
    }

    async fn forget(&self, batch: &BatchId) -> Result<(), CoordinatorError> {
        lock(&self.store).batches.remove(batch);
        self.announce();
        Ok(())
    }

    async fn create(&self, state: &SkuState, change: &Change) -> Result<Created, CoordinatorError> {
        {
            let mut store = lock(&self.store);
            if store.incarnation != state.incarnation {
                return Ok(Created::Outlived);
            }
            store.versions += 1;
            let version = Version(store.versions);
            let room = store.batches.entry(state.batch.clone()).or_default();
            if room.documents.contains_key(&state.sku) {
                return Ok(Created::Exists);
            }
            room.take_in(version, state, change);
        }
        self.announce();
        Ok(Created::Yes)
    }

    async fn load(&self, batch: &BatchId, sku: &Sku) -> Result<Option<Versioned>, CoordinatorError> {
        let found = self.room(batch, |room| room.documents.get(sku).cloned());
        Ok(found.flatten().map(|(version, state)| Versioned { version, state }))
    }

    async fn commit(
        &self,
        expected: Version,
        state: &SkuState,
        change: &Change,
    ) -> Result<Commit, CoordinatorError> {
        let version = {
            let mut store = lock(&self.store);
            if store.incarnation != state.incarnation {
                return Ok(Commit::Conflict { present: None });
            }
            store.versions += 1;
            let version = Version(store.versions);
            let Some(room) = store.batches.get_mut(&state.batch) else {
                return Ok(Commit::Conflict { present: None });
            };
            match room.documents.get(&state.sku) {
                Some((present, _)) if *present == expected => room.take_in(version, state, change),
                Some((version, state)) => {
                    let present = Versioned { version: *version, state: state.clone() };
                    return Ok(Commit::Conflict { present: Some(Box::new(present)) });
                }
                None => return Ok(Commit::Conflict { present: None }),
            }
            version
        };
        self.announce();
        Ok(Commit::Done(version))
    }

    async fn skus(
        &self,
        batch: &BatchId,
        after: Option<&Sku>,
        limit: usize,
    ) -> Result<Vec<Sku>, CoordinatorError> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let skus = self.room(batch, |room| {
            let skus = room.documents.range((from, Bound::Unbounded)).map(|(sku, _)| sku.clone());
            skus.take(limit).collect()
        });
        Ok(skus.unwrap_or_default())
    }

    async fn ready(
        &self,
        batch: &BatchId,
        pool: Pool,
        now_ms: u64,
        limit: usize,
    ) -> Result<Vec<Slot>, CoordinatorError> {
        let slots = self.room(batch, |room| room.ready.get(&pool).map(|timed| timed.until(now_ms, limit)));
        Ok(slots.flatten().unwrap_or_default().into_iter().map(|(_, slot)| slot).collect())
    }

    async fn mark_dispatched(
        &self,
        batch: &BatchId,
        pool: Pool,
        slots: &[Slot],
        now_ms: u64,
    ) -> Result<(), CoordinatorError> {
        let mut store = lock(&self.store);
        let Some(room) = store.batches.get_mut(batch) else { return Ok(()) };
        for slot in slots {
            if room.ready.get_mut(&pool).is_some_and(|ready| ready.take(slot)) {
                room.dispatched.entry(pool).or_default().put(slot, now_ms);
            }
        }
        Ok(())
    }

    async fn mark_ready(
        &self,
        batch: &BatchId,
        pool: Pool,
        slots: &[Slot],
        now_ms: u64,
    ) -> Result<(), CoordinatorError> {
        {
            let mut store = lock(&self.store);
            let Some(room) = store.batches.get_mut(batch) else { return Ok(()) };
            for slot in slots {
                if room.dispatched.get_mut(&pool).is_some_and(|dispatched| dispatched.take(slot)) {
                    room.ready.entry(pool).or_default().put(slot, now_ms);
                }
            }
        }
        self.announce();
        Ok(())
    }

    async fn silent(
        &self,
        batch: &BatchId,
        pool: Pool,
        before_ms: u64,
        limit: usize,
    ) -> Result<Vec<Slot>, CoordinatorError> {
        let Some(before_ms) = before_ms.checked_sub(1) else { return Ok(Vec::new()) };
        let slots =
            self.room(batch, |room| room.dispatched.get(&pool).map(|timed| timed.until(before_ms, limit)));
        Ok(slots.flatten().unwrap_or_default().into_iter().map(|(_, slot)| slot).collect())
    }

    async fn expired(
        &self,
        batch: &BatchId,
        now_ms: u64,
        limit: usize,
    ) -> Result<Vec<Slot>, CoordinatorError> {
        let mut slots: Vec<(u64, Slot)> = self
            .room(batch, |room| room.leased.values().flat_map(|timed| timed.until(now_ms, limit)).collect())
            .unwrap_or_default();
        slots.sort();
        slots.truncate(limit);
        Ok(slots.into_iter().map(|(_, slot)| slot).collect())
    }

    async fn depth(&self, batch: &BatchId, pool: Pool) -> Result<Depth, CoordinatorError> {
        let count =
            |index: &BTreeMap<Pool, Timed>| index.get(&pool).map_or(0, |timed| timed.order.len() as u64);
        let depth = self.room(batch, |room| Depth {
            ready: count(&room.ready),
            dispatched: count(&room.dispatched),
            leased: count(&room.leased),
        });
        Ok(depth.unwrap_or_default())
    }

    async fn tally(&self, batch: &BatchId) -> Result<Tally, CoordinatorError> {
        Ok(self.room(batch, |room| room.tally.clone()).unwrap_or_default())
    }

    async fn news(
        &self,
        batch: &BatchId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Progress)>, CoordinatorError> {
        let news = self.room(batch, |room| {
            let first = room.news.partition_point(|(number, _)| *number <= after);
            room.news.iter().skip(first).take(limit).cloned().collect()
        });
        Ok(news.unwrap_or_default())
    }

    async fn changed(&self, seen: u64) -> u64 {
        loop {
            // Created before the look, so that a change in between is not missed.
            let changed = self.changed.notified();
            let now = self.changes.load(Ordering::SeqCst);
            if now != seen {
                return now;
            }
            changed.await;
        }
    }
}
