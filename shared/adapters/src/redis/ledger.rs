//! The ledger in Redis. Amounts are exact up to 2^50 micro-dollars (1.1 billion dollars); a
//! larger one counts as that much.

use async_trait::async_trait;
use packshot_pipeline::budget::MicroUsd;
use packshot_pipeline::ids::BatchId;
use packshot_runtime::port::{Books, CoordinatorError, Ledger, Reservation, Reserved};
use redis::cmd;

use super::form::TIME_MS_MAX;
use super::link::Request;
use super::{RedisCoordinator, by_time, script};

/// The largest amount that is exact in a script, where numbers are floats.
const AMOUNT_MAX: u64 = 1 << 50;

fn amount(money: MicroUsd) -> u64 {
    money.0.min(AMOUNT_MAX)
}

impl RedisCoordinator {
    /// Ends a reservation with what it cost, or with nothing.
    async fn end(
        &self,
        batch: &BatchId,
        name: &str,
        actual: Option<MicroUsd>,
    ) -> Result<(), CoordinatorError> {
        let mut call = script::SETTLE.call(&self.keys.ledger(batch));
        call.arg(name).arg(actual.map(|actual| amount(actual).to_string()).unwrap_or_default());
        let doing = || format!("settling {name}");
        let _: u64 = self.link.ask(doing, Request::Script(&script::SETTLE, &call)).await?;
        Ok(())
    }
}

#[async_trait]
impl Ledger for RedisCoordinator {
    async fn reserve(
        &self,
        batch: &BatchId,
        cap: Option<MicroUsd>,
        name: &str,
        money: MicroUsd,
        now_ms: u64,
    ) -> Result<Reserved, CoordinatorError> {
        let cap = cap.map_or_else(|| "-1".to_owned(), |cap| amount(cap).to_string());
        let mut call = script::RESERVE.call(&self.keys.ledger(batch));
        call.arg(name).arg(amount(money)).arg(cap).arg(now_ms.min(TIME_MS_MAX));
        let doing = || format!("reserving for {name}");
        let (what, money): (String, u64) =
            self.link.ask(doing, Request::Script(&script::RESERVE, &call)).await?;
        let money = MicroUsd(money);
        Ok(match what.as_str() {
            "yes" => Reserved::Yes,
            "settled" => Reserved::Settled { actual: money },
            _ => Reserved::OverCap { free: money },
        })
    }

    async fn settle(&self, batch: &BatchId, name: &str, actual: MicroUsd) -> Result<(), CoordinatorError> {
        self.end(batch, name, Some(actual)).await
    }

    async fn release(&self, batch: &BatchId, name: &str) -> Result<(), CoordinatorError> {
        self.end(batch, name, None).await
    }

    async fn books(&self, batch: &BatchId) -> Result<Books, CoordinatorError> {
        let [totals, ..] = self.keys.ledger(batch);
        let mut command = cmd("HMGET");
        command.arg(totals).arg("spent").arg("reserved");
        let (spent, reserved): (Option<u64>, Option<u64>) =
            self.ask(|| format!("reading the books of {batch}"), &command).await?;
        let money = |total: Option<u64>| MicroUsd(total.unwrap_or(0));
        Ok(Books { spent: money(spent), reserved: money(reserved) })
    }

    async fn reservations(
        &self,
        batch: &BatchId,
        before_ms: u64,
        limit: usize,
    ) -> Result<Vec<Reservation>, CoordinatorError> {
        let [_, amounts, times, _] = self.keys.ledger(batch);
        let doing = || format!("reading the reservations of {batch}");
        let mut command = by_time(&times, &format!("({before_ms}"), limit);
        command.arg("WITHSCORES");
        let found: Vec<(String, f64)> = self.ask(doing, &command).await?;
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let mut command = cmd("HMGET");
        command.arg(amounts);
        for (name, _) in &found {
            command.arg(name);
        }
        let amounts: Vec<Option<u64>> = self.ask(doing, &command).await?;
        // One that was settled between the two looks has no amount any more.
        let pairs = found.into_iter().zip(amounts).filter_map(|((name, at_ms), amount)| {
            amount.map(|amount| Reservation { name, amount: MicroUsd(amount), at_ms: at_ms as u64 })
        });
        Ok(pairs.collect())
    }

    async fn set_spent(&self, batch: &BatchId, spent: MicroUsd) -> Result<(), CoordinatorError> {
        let [totals, ..] = self.keys.ledger(batch);
        let mut command = cmd("HSET");
        command.arg(totals).arg("spent").arg(amount(spent));
        let _: u64 = self.ask(|| format!("setting what {batch} has spent"), &command).await?;
        Ok(())
    }

    async fn forget_books(&self, batch: &BatchId) -> Result<(), CoordinatorError> {
        let mut command = cmd("UNLINK");
        command.arg(&self.keys.ledger(batch)[..]);
        let _: u64 = self.ask(|| format!("forgetting the books of {batch}"), &command).await?;
        Ok(())
    }
}
