//! Redis (or Valkey, or a cluster of either) as coordinator, shared limits and ledger.
//!
//! One script writes a document with everything that changes beside it, so a change is
//! there as a whole or not at all. Every version is a random number drawn by the writer:
//! a request that is sent again after its answer was lost is known by it, and a version
//! that was seen before the server lost its last seconds never returns.
//!
//! The store's life (its incarnation) is one key; each batch keeps a copy beside its
//! documents, which the script compares. A batch takes on the store's life when its first
//! document of that life is made, and loses then whatever was left of an earlier one.

mod fault;
mod form;
mod hints;
mod keys;
mod ledger;
mod limits;
mod link;
pub mod probe;
mod script;
mod server;
mod settings;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use packshot_pipeline::change::{Change, IndexOp, Progress, Slot};
use packshot_pipeline::ids::{BatchId, Sku};
use packshot_pipeline::pool::Pool;
use packshot_pipeline::state::{Incarnation, SkuState};
use packshot_pipeline::tally::Tally;
use packshot_runtime::port::{
    BatchControl, Commit, Coordinator, CoordinatorError, CoordinatorFault, Created, Depth, Version, Versioned,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use redis::{Cmd, Pipeline, cmd};

pub use settings::RedisSettings;

use hints::Hints;
use keys::{Keys, Place};
use link::{Link, Request};

/// How often a document is offered to a batch whose life changes meanwhile.
const LIVES_MAX: u32 = 3;
/// Slots moved by one call of a script, so that none keeps others waiting for long.
const MOVED_MAX: usize = 500;

/// What is read in one go at the most, however much is asked for.
const PAGE_MAX: usize = 100_000;

/// Documents, index, limits and ledger in Redis.
pub struct RedisCoordinator {
    link: Arc<Link>,
    keys: Keys,
    news_max: u64,
    chance: Mutex<StdRng>,
    hints: Hints,
}

impl std::fmt::Debug for RedisCoordinator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisCoordinator")
            .field("address", &self.link.named.address)
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}

/// What became of a write.
enum Wrote {
    Done,
    /// The document that is there, as stored; empty when there is none.
    Conflict(Vec<u8>),
    /// The batch is of this life, as stored; empty when of none.
    OtherLife(String),
}

impl RedisCoordinator {
    /// Connects, and makes sure that the server can be relied on.
    ///
    /// # Errors
    /// `Refused`, with what to do: settings that contradict each other, a password that is
    /// not accepted, a server that is too old or drops keys when its memory is short.
    pub async fn connect(settings: &RedisSettings) -> Result<Self, CoordinatorError> {
        let link = Arc::new(Link::new(settings)?);
        server::check(&link).await?;
        let keys = Keys::new(&settings.prefix);
        let every = Duration::from_millis(settings.hint_every_ms);
        let hints = Hints::new(Arc::clone(&link), keys.hints(), every);
        let chance = Mutex::new(StdRng::from_os_rng());
        Ok(Self { link, keys, news_max: settings.news_max, chance, hints })
    }

    /// The server's time, in milliseconds since 1970.
    pub async fn now_ms(&self) -> Result<u64, CoordinatorError> {
        server::now_ms(&self.link).await
    }

    fn random(&self) -> u64 {
        self.chance.lock().unwrap_or_else(PoisonError::into_inner).random()
    }

    async fn write(
        &self,
        doing: &str,
        versions: (Option<Version>, Version),
        state: &SkuState,
        change: &Change,
    ) -> Result<Wrote, CoordinatorError> {
        let doing = || format!("{doing} {} of {}", state.sku, state.batch);
        let call = form::write(&self.keys, self.news_max, versions, state, change);
        let call = call.map_err(|error| self.link.named.unreadable(&doing(), &error))?;
        let answer: Vec<Vec<u8>> = self.link.ask(doing, Request::Script(&script::WRITE, &call)).await?;
        let mut answer = answer.into_iter();
        let (what, value) = (answer.next().unwrap_or_default(), answer.next().unwrap_or_default());
        Ok(match what.as_slice() {
            b"done" => Wrote::Done,
            b"life" => Wrote::OtherLife(String::from_utf8_lossy(&value).into_owned()),
            _ => Wrote::Conflict(value),
        })
    }

    /// Lets a batch begin the store's present life, unless that is not `life`, the one that
    /// a document was made for.
    async fn begin(&self, batch: &BatchId, seen: &str, life: Incarnation) -> Result<bool, CoordinatorError> {
        if self.incarnation().await? != life {
            return Ok(false);
        }
        let mut call = script::BEGIN.call(&self.keys.all(batch));
        call.arg(seen).arg(form::life(life));
        let doing = || format!("opening {batch}");
        let _: String = self.link.ask(doing, Request::Script(&script::BEGIN, &call)).await?;
        // If the store lost its memory between look and write, the batch has begun a life
        // that is over; nothing has been put into it, and the next document ends it.
        Ok(self.incarnation().await? == life)
    }

    fn announce(&self, change: &Change) {
        let only_renewed = change.index.iter().all(|op| matches!(op, IndexOp::Leased { .. }));
        if !(only_renewed && change.progress.is_empty()) {
            self.hints.say();
        }
    }

    async fn ask<T: redis::FromRedisValue>(
        &self,
        doing: impl Fn() -> String + Send,
        command: &Cmd,
    ) -> Result<T, CoordinatorError> {
        self.link.ask(doing, Request::One(command)).await
    }

    /// Slots of one place up to `max` (a score), by time.
    async fn slots(
        &self,
        batch: &BatchId,
        pool: Pool,
        place: Place,
        max: String,
        limit: usize,
    ) -> Result<Vec<Slot>, CoordinatorError> {
        let command = by_time(&self.keys.index(batch, place, pool), &max, limit);
        let doing = || format!("reading the index of {batch}");
        let members: Vec<String> = self.ask(doing, &command).await?;
        members.iter().map(|member| self.slot(member)).collect()
    }

    fn slot(&self, member: &str) -> Result<Slot, CoordinatorError> {
        form::parse_member(member).map_err(|error| self.link.named.unreadable("the index", &error))
    }

    async fn relocate(
        &self,
        batch: &BatchId,
        pool: Pool,
        (from, to): (Place, Place),
        slots: &[Slot],
        now_ms: u64,
    ) -> Result<(), CoordinatorError> {
        let keys = [from, to].map(|place| self.keys.index(batch, place, pool));
        for some in slots.chunks(MOVED_MAX) {
            let mut call = script::MOVE.call(&keys);
            call.arg(now_ms.min(form::TIME_MS_MAX));
            for slot in some {
                call.arg(form::member(slot));
            }
            let doing = || format!("moving slots of {batch}");
            let _: u64 = self.link.ask(doing, Request::Script(&script::MOVE, &call)).await?;
        }
        Ok(())
    }
}

/// Members up to the score `max`, those of the lowest scores first.
fn by_time(key: &str, max: &str, limit: usize) -> Cmd {
    let mut command = cmd("ZRANGE");
    command.arg(key).arg("-inf").arg(max).arg("BYSCORE").arg("LIMIT").arg(0).arg(limit.min(PAGE_MAX));
    command
}

#[async_trait]
impl Coordinator for RedisCoordinator {
    async fn incarnation(&self) -> Result<Incarnation, CoordinatorError> {
        let doing = || "reading the incarnation".to_owned();
        let key = self.keys.incarnation();
        let mut read = cmd("GET");
        read.arg(&key);
        loop {
            let life: Option<String> = self.ask(doing, &read).await?;
            if let Some(life) = life {
                let parsed = form::parse_life(&life);
                return parsed.map_err(|error| self.link.named.unreadable("the incarnation", &error));
            }
            let mut begin = cmd("SET");
            begin.arg(&key).arg(form::life(Incarnation(self.random()))).arg("NX");
            let _: redis::Value = self.ask(doing, &begin).await?;
        }
    }

    async fn control(&self, control: &BatchControl) -> Result<(), CoordinatorError> {
        let batch = &control.batch;
        let form = serde_json::to_vec(control)
            .map_err(|error| self.link.named.unreadable("a batch to be opened", &error))?;
        let mut command = cmd("HSET");
        command.arg(self.keys.batches()).arg(batch.as_str()).arg(form);
        let _: u64 = self.ask(|| format!("controlling {batch}"), &command).await?;
        self.hints.say();
        Ok(())
    }

    async fn batches(&self) -> Result<Vec<BatchControl>, CoordinatorError> {
        let mut command = cmd("HGETALL");
        command.arg(self.keys.batches());
        let found: BTreeMap<String, Vec<u8>> =
            self.ask(|| "reading the open batches".to_owned(), &command).await?;
        let parse = |(name, form): (String, Vec<u8>)| {
            serde_json::from_slice(&form)
                .map_err(|error| self.link.named.unreadable(&format!("how {name} is run"), &error))
        };
        found.into_iter().map(parse).collect()
    }

    async fn forget(&self, batch: &BatchId) -> Result<(), CoordinatorError> {
        let doing = || format!("forgetting {batch}");
        // The batch stays in the list until nothing else of it is left.
        let mut command = cmd("UNLINK");
        command.arg(self.keys.all(batch));
        let _: u64 = self.ask(doing, &command).await?;
        let mut command = cmd("HDEL");
        command.arg(self.keys.batches()).arg(batch.as_str());
        let _: u64 = self.ask(doing, &command).await?;
        self.hints.say();
        Ok(())
    }

    async fn create(&self, state: &SkuState, change: &Change) -> Result<Created, CoordinatorError> {
        let version = Version(self.random());
        for _ in 0..LIVES_MAX {
            match self.write("creating", (None, version), state, change).await? {
                Wrote::Done => {
                    self.announce(change);
                    return Ok(Created::Yes);
                }
                Wrote::Conflict(_) => return Ok(Created::Exists),
                Wrote::OtherLife(seen) => {
                    if !self.begin(&state.batch, &seen, state.incarnation).await? {
                        return Ok(Created::Outlived);
                    }
                }
            }
        }
        Err(CoordinatorError {
            kind: CoordinatorFault::Unavailable,
            what: format!("creating {} of {}: the store's life keeps changing", state.sku, state.batch),
            source: None,
            retry_after_ms: None,
        })
    }

    async fn load(&self, batch: &BatchId, sku: &Sku) -> Result<Option<Versioned>, CoordinatorError> {
        let mut command = cmd("HGET");
        command.arg(self.keys.documents(batch)).arg(sku.as_str());
        let found: Option<Vec<u8>> = self.ask(|| format!("reading {sku} of {batch}"), &command).await?;
        let Some(bytes) = found else { return Ok(None) };
        let parsed = form::parse_document(&bytes);
        parsed.map(Some).map_err(|error| self.link.named.unreadable(&format!("{sku} of {batch}"), &error))
    }

    async fn commit(
        &self,
        expected: Version,
        state: &SkuState,
        change: &Change,
    ) -> Result<Commit, CoordinatorError> {
        let version = Version(self.random());
        match self.write("committing", (Some(expected), version), state, change).await? {
            Wrote::Done => {
                self.announce(change);
                Ok(Commit::Done(version))
            }
            Wrote::Conflict(present) => {
                // What cannot be read is told to whoever loads it.
                let present = form::parse_document(&present).ok().map(Box::new);
                Ok(Commit::Conflict { present })
            }
            Wrote::OtherLife(_) => Ok(Commit::Conflict { present: None }),
        }
    }

    async fn skus(
        &self,
        batch: &BatchId,
        after: Option<&Sku>,
        limit: usize,
    ) -> Result<Vec<Sku>, CoordinatorError> {
        let from = after.map_or_else(|| "-".to_owned(), |sku| format!("({sku}"));
        let mut command = cmd("ZRANGE");
        command.arg(self.keys.skus(batch)).arg(from).arg("+").arg("BYLEX").arg("LIMIT").arg(0);
        command.arg(limit.min(PAGE_MAX));
        let found: Vec<String> = self.ask(|| format!("listing the SKUs of {batch}"), &command).await?;
        let parse = |text: &String| {
            Sku::new(text).map_err(|bad| {
                let error = serde::de::Error::custom(bad.to_string());
                self.link.named.unreadable(&format!("the SKUs of {batch}"), &error)
            })
        };
        found.iter().map(parse).collect()
    }

    async fn ready(
        &self,
        batch: &BatchId,
        pool: Pool,
        now_ms: u64,
        limit: usize,
    ) -> Result<Vec<Slot>, CoordinatorError> {
        self.slots(batch, pool, Place::Ready, now_ms.to_string(), limit).await
    }

    async fn mark_dispatched(
        &self,
        batch: &BatchId,
        pool: Pool,
        slots: &[Slot],
        now_ms: u64,
    ) -> Result<(), CoordinatorError> {
        self.relocate(batch, pool, (Place::Ready, Place::Dispatched), slots, now_ms).await
    }

    async fn mark_ready(
        &self,
        batch: &BatchId,
        pool: Pool,
        slots: &[Slot],
        now_ms: u64,
    ) -> Result<(), CoordinatorError> {
        self.relocate(batch, pool, (Place::Dispatched, Place::Ready), slots, now_ms).await?;
        if !slots.is_empty() {
            self.hints.say();
        }
        Ok(())
    }

    async fn silent(
        &self,
        batch: &BatchId,
        pool: Pool,
        before_ms: u64,
        limit: usize,
    ) -> Result<Vec<Slot>, CoordinatorError> {
        self.slots(batch, pool, Place::Dispatched, format!("({before_ms}"), limit).await
    }

    async fn expired(
        &self,
        batch: &BatchId,
        now_ms: u64,
        limit: usize,
    ) -> Result<Vec<Slot>, CoordinatorError> {
        let mut all = Pipeline::new();
        for pool in Pool::ALL {
            let mut command =
                by_time(&self.keys.index(batch, Place::Leased, pool), &now_ms.to_string(), limit);
            command.arg("WITHSCORES");
            all.add_command(command);
        }
        let doing = || format!("reading the leases of {batch}");
        let found: Vec<Vec<(String, f64)>> = self.link.ask(doing, Request::All(&all)).await?;
        let mut found: Vec<(String, f64)> = found.into_iter().flatten().collect();
        found.sort_by(|a, b| a.1.total_cmp(&b.1).then_with(|| a.0.cmp(&b.0)));
        found.truncate(limit);
        found.iter().map(|(member, _)| self.slot(member)).collect()
    }

    async fn depth(&self, batch: &BatchId, pool: Pool) -> Result<Depth, CoordinatorError> {
        let mut all = Pipeline::new();
        for place in Place::ALL {
            all.cmd("ZCARD").arg(self.keys.index(batch, place, pool));
        }
        let doing = || format!("measuring the index of {batch}");
        let (ready, dispatched, leased) = self.link.ask(doing, Request::All(&all)).await?;
        Ok(Depth { ready, dispatched, leased })
    }

    async fn tally(&self, batch: &BatchId) -> Result<Tally, CoordinatorError> {
        let mut command = cmd("HGETALL");
        command.arg(self.keys.tally(batch));
        let mut totals: BTreeMap<String, i64> =
            self.ask(|| format!("reading the totals of {batch}"), &command).await?;
        totals.retain(|_, total| *total != 0);
        Ok(Tally(totals))
    }

    async fn news(
        &self,
        batch: &BatchId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Progress)>, CoordinatorError> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let mut command = cmd("XRANGE");
        command.arg(self.keys.news(batch)).arg(form::news_from(after)).arg("+").arg("COUNT");
        command.arg(limit.min(PAGE_MAX) + 1);
        let doing = || format!("reading the news of {batch}");
        let found: Vec<form::NewsEntry> = self.ask(doing, &command).await?;
        let mut news = Vec::new();
        for entry in &found {
            let pieces = form::parse_news(entry);
            news.extend(pieces.map_err(|error| self.link.named.unreadable(&doing(), &error))?);
        }
        news.retain(|(number, _)| *number > after);
        news.truncate(limit);
        Ok(news)
    }

    async fn changed(&self, seen: u64) -> u64 {
        self.hints.changed(seen).await
    }
}
