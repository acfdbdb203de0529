//! The end of a delivery: acknowledged, sent to the retry ladder, buried, or given back.
//!
//! AMQP does not confirm acknowledgements. [`Acked::Done`] says that the channel was alive and
//! took the acknowledgement; if the connection breaks before the server has read it, the
//! message comes again all the same.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lapin::options::{BasicAckOptions, BasicNackOptions, BasicRejectOptions};
use lapin::{Acker, Channel};
use packshot_runtime::port::{Acked, BrokerError, Receipt};
use tokio::runtime::Handle;
use tracing::warn;

use super::fault::late;
use super::form::Original;
use super::health::Connecting;
use super::link::Link;
use super::publisher::Publisher;
use super::topology::{self, Names};

/// How long a delivery that could not be sent to the retry ladder is held before it is given
/// back, at the most: it would come again at once.
const HOLD_MAX: Duration = Duration::from_secs(2);

/// What all deliveries of one consumer share. It keeps the channel open until the last of
/// them has ended, also after the consumer is gone.
pub(super) struct Shared {
    pub(super) channel: Channel,
    pub(super) link: Arc<Link>,
    pub(super) publisher: Publisher,
    pub(super) names: Arc<Names>,
    pub(super) answer_limit: Duration,
    pub(super) runtime: Handle,
}

/// The receipt of one delivery.
pub(super) struct RabbitReceipt {
    shared: Arc<Shared>,
    original: Original,
    /// `None` once it is ended.
    acker: Option<Acker>,
}

impl RabbitReceipt {
    pub(super) fn new(shared: Arc<Shared>, original: Original, acker: Acker) -> Self {
        Self { shared, original, acker: Some(acker) }
    }

    /// Ends the delivery; a channel that is gone means that the message comes again.
    async fn end(
        &self,
        doing: &str,
        answer: impl Future<Output = lapin::Result<bool>>,
    ) -> Result<Acked, BrokerError> {
        match tokio::time::timeout(self.shared.answer_limit, answer).await {
            Ok(Ok(true)) if self.shared.link.alive() => Ok(Acked::Done),
            Ok(Ok(_) | Err(_)) => Ok(Acked::ComesAgain),
            Err(_) => {
                // Acknowledgements are only ever held up by a peer that reads nothing.
                self.shared.link.cut();
                Err(late(doing, self.shared.answer_limit))
            }
        }
    }

    async fn ack_now(&self, acker: &Acker) -> Result<Acked, BrokerError> {
        self.end("acknowledging a delivery", acker.ack(BasicAckOptions::default())).await
    }

    async fn give_back(&self, acker: &Acker) -> Result<Acked, BrokerError> {
        self.end("giving a delivery back", acker.nack(requeue())).await
    }
}

/// Back to the head of the queue. Not `reject`: since RabbitMQ 4.3 only that one counts
/// towards the delivery limit.
pub(super) fn requeue() -> BasicNackOptions {
    BasicNackOptions { multiple: false, requeue: true }
}

#[async_trait]
impl Receipt for RabbitReceipt {
    async fn ack(mut self: Box<Self>) -> Result<Acked, BrokerError> {
        let Some(acker) = self.acker.take() else { return Ok(Acked::ComesAgain) };
        self.ack_now(&acker).await
    }

    async fn retry(mut self: Box<Self>, delay_ms: u64) -> Result<Acked, BrokerError> {
        // The acker stays in place across the publish: a caller that stops waiting gives
        // the delivery back.
        let Some(acker) = self.acker.clone() else { return Ok(Acked::ComesAgain) };
        if delay_ms > 0 && acker.usable() {
            let post = self.original.for_retry(&self.shared.names, topology::step(delay_ms));
            match self.shared.publisher.publish_one(post).await {
                Ok(()) => {
                    self.acker = None;
                    return self.ack_now(&acker).await;
                }
                Err(error) => {
                    let error = Connecting(&error).to_string();
                    warn!(error, "a delivery could not be put off; it is given back");
                    tokio::time::sleep(HOLD_MAX.min(Duration::from_millis(delay_ms))).await;
                }
            }
        }
        self.acker = None;
        self.give_back(&acker).await
    }

    async fn dead_letter(mut self: Box<Self>, reason: &str) -> Result<Acked, BrokerError> {
        let Some(acker) = self.acker.clone() else { return Ok(Acked::ComesAgain) };
        if acker.usable() {
            let post = self.original.for_the_dead(&self.shared.names, reason);
            if let Err(error) = self.shared.publisher.publish_one(post).await {
                // The queue itself moves it to the dead letters, only without the reason.
                let error = Connecting(&error).to_string();
                warn!(error, reason, "a dead letter goes without its reason");
                self.acker = None;
                let rejecting = acker.reject(BasicRejectOptions { requeue: false });
                return self.end("rejecting a delivery", rejecting).await;
            }
        }
        self.acker = None;
        self.ack_now(&acker).await
    }
}

impl Drop for RabbitReceipt {
    fn drop(&mut self) {
        let Some(acker) = self.acker.take().filter(Acker::usable) else { return };
        let shared = Arc::clone(&self.shared);
        let runtime = shared.runtime.clone();
        runtime.spawn(async move {
            let _ = tokio::time::timeout(shared.answer_limit, acker.nack(requeue())).await;
        });
    }
}
