//! A broker in memory: bounded queues, deliveries that come again when dropped, a delivery
//! limit and dead letters, like the real one.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use packshot_pipeline::pool::Pool;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::lock;
use crate::port::{Acked, Broker, BrokerError, BrokerFault, Consumer, Delivery, Message, Receipt};

/// The bounds of a [`MemoryBroker`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BrokerLimits {
    /// Messages a queue holds; more are refused.
    pub messages_max: usize,
    /// Deliveries of one message; then it is a dead letter.
    pub deliveries_max: u32,
    /// Dead letters kept; the oldest go.
    pub dead_letters_max: usize,
}

impl BrokerLimits {
    /// Enough for a dispatcher's window many times over.
    pub const STANDARD: BrokerLimits =
        BrokerLimits { messages_max: 100_000, deliveries_max: 50, dead_letters_max: 1_000 };
}

/// Queues in memory, one per pool.
#[derive(Debug)]
pub struct MemoryBroker {
    queues: BTreeMap<Pool, Arc<Queue>>,
}

#[derive(Debug)]
struct Queue {
    limits: BrokerLimits,
    room: Mutex<Room>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Room {
    waiting: VecDeque<Stored>,
    later: BTreeMap<(Instant, u64), Stored>,
    later_last: u64,
    dead: VecDeque<(Bytes, String)>,
}

#[derive(Debug)]
struct Stored {
    body: Bytes,
    headers: BTreeMap<String, String>,
    deliveries: u32,
}

impl MemoryBroker {
    /// Empty queues.
    pub fn new(limits: BrokerLimits) -> Self {
        let queue = || Arc::new(Queue { limits, room: Mutex::default(), arrived: Notify::new() });
        Self { queues: Pool::ALL.into_iter().map(|pool| (pool, queue())).collect() }
    }

    /// Puts a body as it is into the pool's queue.
    pub fn publish_raw(
        &self,
        pool: Pool,
        body: Bytes,
        headers: BTreeMap<String, String>,
    ) -> Result<(), BrokerError> {
        let Some(queue) = self.queues.get(&pool) else {
            return Err(error(BrokerFault::Unroutable, format!("no queue for pool {pool}")));
        };
        let mut room = lock(&queue.room);
        if room.waiting.len() + room.later.len() >= queue.limits.messages_max {
            let what = format!("the queue of pool {pool} holds {} messages", queue.limits.messages_max);
            return Err(error(BrokerFault::Unavailable, what));
        }
        room.waiting.push_back(Stored { body, headers, deliveries: 0 });
        drop(room);
        queue.arrived.notify_one();
        Ok(())
    }

    /// Messages not handed out at the moment.
    pub fn waiting(&self, pool: Pool) -> usize {
        self.queues.get(&pool).map_or(0, |queue| {
            let room = lock(&queue.room);
            room.waiting.len() + room.later.len()
        })
    }

    /// Loses every message that is not handed out, as a broker whose disk is gone.
    pub fn lose_messages(&self) {
        for queue in self.queues.values() {
            let mut room = lock(&queue.room);
            room.waiting.clear();
            room.later.clear();
        }
    }

    /// Dead letters with their reasons, oldest first.
    pub fn dead_letters(&self, pool: Pool) -> Vec<(Bytes, String)> {
        self.queues.get(&pool).map_or_else(Vec::new, |queue| lock(&queue.room).dead.iter().cloned().collect())
    }
}

fn error(kind: BrokerFault, what: String) -> BrokerError {
    BrokerError { kind, what, source: None, retry_after_ms: None }
}

impl Queue {
    /// The next message, or when to look again.
    fn pop(&self) -> Result<Stored, Option<Instant>> {
        let mut room = lock(&self.room);
        let now = Instant::now();
        while let Some(entry) = room.later.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let stored = entry.remove();
            room.waiting.push_back(stored);
        }
        let next = room.later.keys().next().map(|(at, _)| *at);
        room.waiting.pop_front().ok_or(next)
    }

    fn bury(&self, stored: Stored, reason: String) {
        let mut room = lock(&self.room);
        room.dead.push_back((stored.body, reason));
        while room.dead.len() > self.limits.dead_letters_max {
            room.dead.pop_front();
        }
    }

    fn give_back(&self, stored: Stored, delay_ms: u64) {
        if stored.deliveries >= self.limits.deliveries_max {
            self.bury(stored, "delivered too often".to_owned());
            return;
        }
        let mut room = lock(&self.room);
        if delay_ms == 0 {
            room.waiting.push_front(stored);
        } else {
            room.later_last += 1;
            let at = (Instant::now() + Duration::from_millis(delay_ms), room.later_last);
            room.later.insert(at, stored);
        }
        drop(room);
        self.arrived.notify_one();
    }
}

#[async_trait]
impl Broker for MemoryBroker {
    async fn publish(
        &self,
        pool: Pool,
        messages: &[(Message, BTreeMap<String, String>)],
    ) -> Vec<Result<(), BrokerError>> {
        let each = messages.iter();
        each.map(|(message, headers)| self.publish_raw(pool, message.to_bytes(), headers.clone())).collect()
    }

    async fn consume(&self, pool: Pool, prefetch: u16) -> Result<Box<dyn Consumer>, BrokerError> {
        let Some(queue) = self.queues.get(&pool) else {
            return Err(error(BrokerFault::Refused, format!("no queue for pool {pool}")));
        };
        let unended = Arc::new(Semaphore::new(usize::from(prefetch.max(1))));
        Ok(Box::new(MemoryConsumer { queue: Arc::clone(queue), unended }))
    }
}

struct MemoryConsumer {
    queue: Arc<Queue>,
    unended: Arc<Semaphore>,
}

#[async_trait]
impl Consumer for MemoryConsumer {
    async fn next(&mut self) -> Result<Delivery, BrokerError> {
        let Ok(permit) = Arc::clone(&self.unended).acquire_owned().await else {
            return Err(error(BrokerFault::Unavailable, "the consumer is closed".to_owned()));
        };
        loop {
            let arrived = self.queue.arrived.notified();
            match self.queue.pop() {
                Ok(mut stored) => {
                    let redelivered = stored.deliveries > 0;
                    stored.deliveries += 1;
                    let (body, headers) = (stored.body.clone(), stored.headers.clone());
                    let queue = Arc::clone(&self.queue);
                    let receipt = MemoryReceipt { queue, stored: Some(stored), _permit: permit };
                    return Ok(Delivery { body, headers, redelivered, receipt: Box::new(receipt) });
                }
                Err(None) => arrived.await,
                Err(Some(at)) => {
                    tokio::select! {
                        biased;
                        () = arrived => {}
                        () = tokio::time::sleep_until(at) => {}
                    }
                }
            }
        }
    }
}

struct MemoryReceipt {
    queue: Arc<Queue>,
    stored: Option<Stored>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for MemoryReceipt {
    fn drop(&mut self) {
        if let Some(stored) = self.stored.take() {
            self.queue.give_back(stored, 0);
        }
    }
}

#[async_trait]
impl Receipt for MemoryReceipt {
    async fn ack(mut self: Box<Self>) -> Result<Acked, BrokerError> {
        self.stored = None;
        Ok(Acked::Done)
    }

    async fn retry(mut self: Box<Self>, delay_ms: u64) -> Result<Acked, BrokerError> {
        if let Some(stored) = self.stored.take() {
            self.queue.give_back(stored, delay_ms);
        }
        Ok(Acked::Done)
    }

    async fn dead_letter(mut self: Box<Self>, reason: &str) -> Result<Acked, BrokerError> {
        if let Some(stored) = self.stored.take() {
            self.queue.bury(stored, reason.to_owned());
        }
        Ok(Acked::Done)
    }
}
