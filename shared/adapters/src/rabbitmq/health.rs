//! What the adapter knows of itself, for liveness and readiness: whether the publisher is
//! connected, and whether each consumer is really consuming.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use packshot_pipeline::pool::Pool;
use packshot_runtime::causes::with_causes;
use packshot_runtime::port::BrokerError;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;

use super::link::LinkState;

/// The state of one connection.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ConnectionHealth {
    /// Connected and logged in.
    pub connected: bool,
    /// For how long the server has taken no publishes, in milliseconds, if it does not.
    pub blocked_ms: Option<u64>,
    /// How often a connection was made after the first one.
    pub reconnects: u64,
    /// The last error of the connection or of the tries to make one, with its causes.
    pub last_error: Option<String>,
}

/// The state of one consumer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ConsumerHealth {
    /// The pool whose queue it consumes.
    pub pool: Pool,
    /// The tag that the server confirmed.
    pub tag: String,
    /// Milliseconds since the last sign that the server still serves it: a delivery, or an
    /// answer that the queue is there and has consumers.
    pub seen_ms_ago: u64,
    /// Why it is over, if it is.
    pub over: Option<String>,
}

/// The state of the adapter.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct RabbitHealth {
    /// The publishing connection.
    pub publisher: ConnectionHealth,
    /// The consuming connection; there is none before the first consumer.
    pub consuming: ConnectionHealth,
    /// Consumers that were made and not dropped.
    pub consumers: Vec<ConsumerHealth>,
}

impl RabbitHealth {
    /// Whether a consumer of `pool` has been seen served within the last `within_ms`
    /// milliseconds. Half a minute is a fair limit with the standard settings.
    pub fn is_consuming(&self, pool: Pool, within_ms: u64) -> bool {
        let of_pool = self.consumers.iter().filter(|consumer| consumer.pool == pool);
        of_pool.into_iter().any(|consumer| consumer.over.is_none() && consumer.seen_ms_ago <= within_ms)
    }

    /// Whether a publish would be tried now.
    pub fn can_publish(&self) -> bool {
        self.publisher.connected && self.publisher.blocked_ms.is_none()
    }
}

/// An error with its causes, in one line.
pub(super) struct Connecting<'a>(pub(super) &'a BrokerError);

impl fmt::Display for Connecting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&with_causes(self.0.what.clone(), std::error::Error::source(self.0)))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Where the parts of the adapter write down how they are.
#[derive(Debug, Default)]
pub(super) struct Health {
    pub(super) publisher: ConnectionRecord,
    pub(super) consuming: ConnectionRecord,
    consumers: Mutex<Vec<Weak<ConsumerRecord>>>,
}

#[derive(Debug, Default)]
pub(super) struct ConnectionRecord(Mutex<Record>);

#[derive(Debug, Default)]
struct Record {
    state: Option<watch::Receiver<LinkState>>,
    connects: u64,
    last_error: Option<String>,
}

impl ConnectionRecord {
    pub(super) fn connected(&self, state: watch::Receiver<LinkState>) {
        let mut record = lock(&self.0);
        record.state = Some(state);
        record.connects += 1;
    }

    pub(super) fn failed(&self, error: &BrokerError) {
        lock(&self.0).last_error = Some(Connecting(error).to_string());
    }

    fn read(&self) -> ConnectionHealth {
        let record = lock(&self.0);
        let (connected, blocked_ms, died_of) = match record.state.as_ref().map(|state| state.borrow().clone())
        {
            Some(LinkState::Open) => (true, None, None),
            Some(LinkState::Blocked { since, .. }) => (true, Some(millis(since.elapsed())), None),
            Some(LinkState::Dead { reason }) => (false, None, Some(reason)),
            None => (false, None, None),
        };
        ConnectionHealth {
            connected,
            blocked_ms,
            reconnects: record.connects.saturating_sub(1),
            last_error: record.last_error.clone().or(died_of),
        }
    }
}

/// One consumer's own record.
#[derive(Debug)]
pub(super) struct ConsumerRecord {
    pool: Pool,
    tag: String,
    seen: Mutex<Instant>,
    /// Deliveries so far.
    received: AtomicU64,
    /// Whether somebody waits for the next one.
    asked: AtomicBool,
    over: watch::Sender<Option<String>>,
}

/// Somebody waits for a delivery as long as this is there.
pub(super) struct Asking<'a>(&'a AtomicBool);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl ConsumerRecord {
    /// Says that somebody waits for the next delivery.
    pub(super) fn asking(&self) -> Asking<'_> {
        self.asked.store(true, Ordering::Relaxed);
        Asking(&self.asked)
    }

    /// A delivery came.
    pub(super) fn received_one(&self) {
        self.received.fetch_add(1, Ordering::Relaxed);
        self.seen_now();
    }

    /// How many deliveries came, while somebody waits for the next one.
    pub(super) fn received_so_far(&self) -> Option<u64> {
        self.asked.load(Ordering::Relaxed).then(|| self.received.load(Ordering::Relaxed))
    }

    pub(super) fn seen_now(&self) {
        *lock(&self.seen) = Instant::now();
    }

    /// The consumer is over; the first reason stays.
    pub(super) fn end(&self, reason: &str) {
        self.over.send_if_modified(|over| {
            let first = over.is_none();
            if first {
                *over = Some(reason.to_owned());
            }
            first
        });
    }

    /// The end, to be watched from elsewhere.
    pub(super) fn over(&self) -> watch::Receiver<Option<String>> {
        self.over.subscribe()
    }

    /// Waits for the end and says why.
    pub(super) async fn ended(&self) -> String {
        let mut over = self.over();
        // The sender is part of `self`, so the wait cannot fail.
        over.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone()).unwrap_or_default()
    }

    fn read(&self) -> ConsumerHealth {
        ConsumerHealth {
            pool: self.pool,
            tag: self.tag.clone(),
            seen_ms_ago: millis(lock(&self.seen).elapsed()),
            over: self.over.borrow().clone(),
        }
    }
}

impl Health {
    /// A record for a consumer that the server has just confirmed.
    pub(super) fn consumer(&self, pool: Pool, tag: &str) -> Arc<ConsumerRecord> {
        let record = Arc::new(ConsumerRecord {
            pool,
            tag: tag.to_owned(),
            seen: Mutex::new(Instant::now()),
            received: AtomicU64::new(0),
            asked: AtomicBool::new(false),
            over: watch::Sender::new(None),
        });
        let mut consumers = lock(&self.consumers);
        consumers.retain(|consumer| consumer.strong_count() > 0);
        consumers.push(Arc::downgrade(&record));
        record
    }

    pub(super) fn read(&self) -> RabbitHealth {
        let consumers: Vec<Arc<ConsumerRecord>> =
            lock(&self.consumers).iter().filter_map(Weak::upgrade).collect();
        RabbitHealth {
            publisher: self.publisher.read(),
            consuming: self.consuming.read(),
            consumers: consumers.iter().map(|consumer| consumer.read()).collect(),
        }
    }
}
