//! The ledger in memory: for one process, and the model of the shared one.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use async_trait::async_trait;
use packshot_pipeline::budget::MicroUsd;
use packshot_pipeline::ids::BatchId;

use super::lock;
use crate::port::{Books, CoordinatorError, Ledger, Reservation, Reserved};

/// Reservations and spending per batch in memory.
#[derive(Debug, Default)]
pub struct MemoryLedger {
    batches: Mutex<HashMap<BatchId, Account>>,
}

#[derive(Debug, Default)]
struct Account {
    spent: MicroUsd,
    reserved: BTreeMap<String, (MicroUsd, u64)>,
    settled: HashMap<String, MicroUsd>,
}

impl Account {
    fn books(&self) -> Books {
        Books { spent: self.spent, reserved: self.reserved.values().map(|(amount, _)| *amount).sum() }
    }

    fn reserve(&mut self, cap: Option<MicroUsd>, name: &str, amount: MicroUsd, now_ms: u64) -> Reserved {
        if let Some(actual) = self.settled.get(name) {
            return Reserved::Settled { actual: *actual };
        }
        if self.reserved.contains_key(name) {
            return Reserved::Yes;
        }
        let books = self.books();
        let bound = books.spent + books.reserved;
        if let Some(cap) = cap
            && bound + amount > cap
        {
            return Reserved::OverCap { free: MicroUsd(cap.0.saturating_sub(bound.0)) };
        }
        self.reserved.insert(name.to_owned(), (amount, now_ms));
        Reserved::Yes
    }

    fn settle(&mut self, name: &str, actual: MicroUsd) {
        if !self.settled.contains_key(name) {
            self.reserved.remove(name);
            self.settled.insert(name.to_owned(), actual);
            self.spent = self.spent + actual;
        }
    }
}

impl MemoryLedger {
    /// Nothing is spent yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn account<T>(&self, batch: &BatchId, act: impl FnOnce(&mut Account) -> T) -> T {
        act(lock(&self.batches).entry(batch.clone()).or_default())
    }
}

#[async_trait]
impl Ledger for MemoryLedger {
    async fn reserve(
        &self,
        batch: &BatchId,
        cap: Option<MicroUsd>,
        name: &str,
        amount: MicroUsd,
        now_ms: u64,
    ) -> Result<Reserved, CoordinatorError> {
        Ok(self.account(batch, |account| account.reserve(cap, name, amount, now_ms)))
    }

    async fn settle(&self, batch: &BatchId, name: &str, actual: MicroUsd) -> Result<(), CoordinatorError> {
        self.account(batch, |account| account.settle(name, actual));
        Ok(())
    }

    async fn release(&self, batch: &BatchId, name: &str) -> Result<(), CoordinatorError> {
        self.account(batch, |account| account.reserved.remove(name));
        Ok(())
    }

    async fn books(&self, batch: &BatchId) -> Result<Books, CoordinatorError> {
        Ok(self.account(batch, |account| account.books()))
    }

    async fn reservations(
        &self,
        batch: &BatchId,
        before_ms: u64,
        limit: usize,
    ) -> Result<Vec<Reservation>, CoordinatorError> {
        Ok(self.account(batch, |account| {
            let reserved = account.reserved.iter().map(|(name, (amount, at_ms))| Reservation {
                name: name.clone(),
                amount: *amount,
                at_ms: *at_ms,
            });
            let mut old: Vec<Reservation> = reserved.filter(|one| one.at_ms < before_ms).collect();
            old.sort_by(|a, b| (a.at_ms, &a.name).cmp(&(b.at_ms, &b.name)));
            old.truncate(limit);
            old
        }))
    }

    async fn set_spent(&self, batch: &BatchId, spent: MicroUsd) -> Result<(), CoordinatorError> {
        self.account(batch, |account| account.spent = spent);
        Ok(())
    }

    async fn forget_books(&self, batch: &BatchId) -> Result<(), CoordinatorError> {
        lock(&self.batches).remove(batch);
        Ok(())
    }
}
