//! The broker: transport that may duplicate, reorder and lose.

use async_trait::async_trait;
use bytes::Bytes;
use packshot_pipeline::change::Slot;
use packshot_pipeline::ids::{BatchId, Sku};
use packshot_pipeline::pool::Pool;
use packshot_pipeline::state::Target;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::Source;

/// What went wrong, for code that branches on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BrokerFault {
    /// Not reachable, or the connection broke. Worth a retry.
    Unavailable,
    /// No confirmation came: the message may be published, or not.
    Unconfirmed,
    /// No queue takes the message. Worth a retry once the queue is there again.
    Unroutable,
    /// Credentials or a queue declared with other arguments. Not worth a retry.
    Refused,
}

/// The broker failed.
#[derive(Debug, thiserror::Error)]
#[error("broker: {what}")]
pub struct BrokerError {
    /// For code.
    pub kind: BrokerFault,
    /// For people: what was being done and what can be done about it.
    pub what: String,
    /// The cause.
    #[source]
    pub source: Option<Source>,
    /// How long to wait, in milliseconds, where the other side said so.
    pub retry_after_ms: Option<u64>,
}

/// A job message: a pointer, never the job itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Message {
    /// Version of the message's form.
    pub schema: u32,
    /// Batch.
    pub batch: BatchId,
    /// SKU.
    pub sku: Sku,
    /// What of it.
    pub target: Target,
    /// The attempt that was ready when the message was sent; for logs and message ids.
    pub number: u32,
}

impl Message {
    /// The form written today; a reader refuses a newer one.
    pub const SCHEMA: u32 = 1;
    /// The largest body that is read; a longer one is a dead letter.
    pub const BYTES_MAX: usize = 64 * 1024;

    /// The message that hands out a slot of a batch.
    pub fn of(batch: &BatchId, slot: &Slot) -> Message {
        Message {
            schema: Message::SCHEMA,
            batch: batch.clone(),
            sku: slot.sku.clone(),
            target: slot.target,
            number: slot.number,
        }
    }

    /// The slot that it hands out.
    pub fn slot(&self) -> Slot {
        Slot { sku: self.sku.clone(), target: self.target, number: self.number }
    }

    /// The message as bytes.
    pub fn to_bytes(&self) -> Bytes {
        // A struct of texts and numbers always has a JSON form.
        serde_json::to_vec(self).unwrap_or_default().into()
    }

    /// Reads a body, or says why it is a dead letter.
    pub fn parse(body: &[u8]) -> Result<Message, String> {
        if body.len() > Message::BYTES_MAX {
            return Err(format!(
                "the body has {} bytes, at most {} are read",
                body.len(),
                Message::BYTES_MAX
            ));
        }
        let message: Message = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        if message.schema == Message::SCHEMA {
            Ok(message)
        } else {
            Err(format!("message schema {} is not understood, only {}", message.schema, Message::SCHEMA))
        }
    }

    /// An id by which confirmations, returns and logs are matched:
    /// `batch/slug/target/number`.
    pub fn id(&self) -> String {
        format!("{}/{}/{}/{}", self.batch, self.sku.slug(), self.target, self.number)
    }
}

/// What became of an acknowledgement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Acked {
    /// The message is gone.
    Done,
    /// The broker no longer takes the answer (its channel is gone): the message comes again.
    ComesAgain,
}

/// The broker's side of one delivery.
#[async_trait]
pub trait Receipt: Send {
    /// The message is done with.
    async fn ack(self: Box<Self>) -> Result<Acked, BrokerError>;
    /// The message shall come again, not sooner than `delay_ms` where the broker can.
    async fn retry(self: Box<Self>, delay_ms: u64) -> Result<Acked, BrokerError>;
    /// The message goes to the dead letters, with the reason.
    async fn dead_letter(self: Box<Self>, reason: &str) -> Result<Acked, BrokerError>;
}

/// One message handed to a consumer. It is ended by value, once; dropped without an end it
/// comes again.
pub struct Delivery {
    /// As received; hostile until parsed.
    pub body: Bytes,
    /// Headers (trace context), as received.
    pub headers: BTreeMap<String, String>,
    /// Whether the broker says that it was delivered before.
    pub redelivered: bool,
    /// By which the delivery is ended.
    pub receipt: Box<dyn Receipt>,
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delivery")
            .field("body_bytes", &self.body.len())
            .field("redelivered", &self.redelivered)
            .finish_non_exhaustive()
    }
}

/// A running subscription to one pool's queue.
#[async_trait]
pub trait Consumer: Send {
    /// The next delivery; waits for one. After an error the consumer is over: make a new
    /// one. Safe to cancel: no delivery is lost.
    async fn next(&mut self) -> Result<Delivery, BrokerError>;
}

/// Queues, one per pool.
///
/// **Contract.** A publish that returns `Ok` is stored by the broker and in the pool's
/// queue. A failed one may be stored too. A delivery that is not ended comes again, to
/// this consumer or another. At most `prefetch` deliveries of a consumer are unended.
#[async_trait]
pub trait Broker: Send + Sync {
    /// Publishes `messages` with their `headers` to the pool's queue and waits for the
    /// confirmations; one result each, in order.
    async fn publish(
        &self,
        pool: Pool,
        messages: &[(Message, BTreeMap<String, String>)],
    ) -> Vec<Result<(), BrokerError>>;

    /// Begins to consume the pool's queue with at most `prefetch` (at least 1) unended
    /// deliveries.
    async fn consume(&self, pool: Pool, prefetch: u16) -> Result<Box<dyn Consumer>, BrokerError>;
}
