//! The consuming side: a consumer with a channel of its own, watched from beside, which gives
//! back what it has not handed out when it is dropped.

use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, message};
use packshot_pipeline::pool::Pool;
use packshot_runtime::port::{BrokerError, BrokerFault, Consumer, Delivery};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tracing::{debug, warn};

use super::fault::{fault, plain, within};
use super::form::{Original, from_table};
use super::health::{ConsumerRecord, Health};
use super::link::Link;
use super::publisher::Publisher;
use super::receipt::{RabbitReceipt, Shared, requeue};
use super::settings::RabbitSettings;
use super::topology::{self, Names, Use};

/// Answers in a row that the queue has no consumer, before that is believed: the server also
/// says so while the queue's leader changes.
const NO_CONSUMER_MAX: u32 = 3;

/// Looks in a row at which messages wait, somebody asks for them and none comes, before the
/// subscription is taken for deaf. A queue that was deleted and declared again can keep a
/// consumer of the old one, deliver to it, and have every delivery dropped on the way by the
/// server itself (seen with RabbitMQ 3.10).
const DEAF_MAX: u32 = 2;

/// Whether deliveries come while there are some.
#[derive(Debug, Default)]
struct Hearing {
    received: Option<u64>,
    in_vain: u32,
}

impl Hearing {
    /// Looks once: `waiting` messages are in the queue, `received` came so far (`None` while
    /// nobody asks). Returns whether the consumer is deaf.
    fn look(&mut self, waiting: u32, received: Option<u64>) -> bool {
        let in_vain = waiting > 0 && received.is_some() && received == self.received;
        self.in_vain = if in_vain { self.in_vain + 1 } else { 0 };
        self.received = received;
        self.in_vain >= DEAF_MAX
    }
}

/// What a consumer is made of.
pub(super) struct Parts {
    pub(super) settings: Arc<RabbitSettings>,
    pub(super) names: Arc<Names>,
    pub(super) health: Arc<Health>,
    pub(super) publisher: Publisher,
    pub(super) link: Arc<Link>,
}

/// A subscription to one pool's queue.
pub(super) struct RabbitConsumer {
    pool: Pool,
    shared: Arc<Shared>,
    record: Arc<ConsumerRecord>,
    /// Taken when the consumer is dropped.
    stream: Option<lapin::Consumer>,
}

impl RabbitConsumer {
    /// Declares the topology and subscribes.
    pub(super) async fn open(parts: Parts, pool: Pool, prefetch: u16) -> Result<Self, BrokerError> {
        let Parts { settings, names, health, publisher, link } = parts;
        let limit = settings.confirm_timeout();
        let beside = link.channel().await?;
        topology::declare(&beside, &names, &settings).await?;
        let channel = link.channel().await?;
        // Without it the server sends everything it has; it counts for consumers made later
        // on this channel only, so it comes first.
        let qos = channel.basic_qos(prefetch.max(1), BasicQosOptions::default());
        within(limit, "setting the prefetch", qos).await?;
        let queue = names.queue(Use::Jobs(pool));
        let tag: ShortString =
            format!("{}-{}-{:016x}", pool.word(), std::process::id(), rand::random::<u64>()).into();
        let consuming = channel.basic_consume(
            queue.clone(),
            tag.clone(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        );
        let stream = within(limit, &format!("consuming queue {queue}"), consuming).await?;
        let record = health.consumer(pool, tag.as_str());
        debug!(queue = queue.as_str(), tag = tag.as_str(), prefetch, "consuming");
        let watch = Watch {
            record: Arc::downgrade(&record),
            over: record.over(),
            link: Arc::clone(&link),
            channel: beside,
            queue,
        };
        tokio::spawn(watch.run(settings.heartbeat(), limit));
        let runtime = Handle::current();
        let shared = Arc::new(Shared { channel, link, publisher, names, answer_limit: limit, runtime });
        Ok(Self { pool, shared, record, stream: Some(stream) })
    }

    fn delivery(&self, received: message::Delivery) -> Delivery {
        self.record.received_one();
        let headers = from_table(received.properties.headers().as_ref());
        let body = bytes::Bytes::from(received.data);
        let original = Original {
            pool: self.pool,
            properties: received.properties,
            headers: headers.clone(),
            body: body.clone(),
        };
        let receipt = RabbitReceipt::new(Arc::clone(&self.shared), original, received.acker);
        Delivery { body, headers, redelivered: received.redelivered, receipt: Box::new(receipt) }
    }
}

#[async_trait]
impl Consumer for RabbitConsumer {
    async fn next(&mut self) -> Result<Delivery, BrokerError> {
        let over = |reason: String| plain(BrokerFault::Unavailable, format!("consuming stopped: {reason}"));
        let Some(stream) = self.stream.as_mut() else { return Err(over("it was ended".to_owned())) };
        let asking = self.record.asking();
        let received = tokio::select! {
            biased;
            reason = self.record.ended() => return Err(over(reason)),
            received = stream.next() => received,
        };
        drop(asking);
        match received {
            Some(Ok(received)) => Ok(self.delivery(received)),
            Some(Err(error)) => {
                self.stream = None;
                self.record.end(&error.to_string());
                Err(fault("consuming", error))
            }
            None => {
                self.stream = None;
                let reason = "the server cancelled the consumer; its queue was deleted or moved";
                self.record.end(reason);
                Err(over(reason.to_owned()))
            }
        }
    }
}

impl Drop for RabbitConsumer {
    fn drop(&mut self) {
        let Some(stream) = self.stream.take() else { return };
        self.record.end("dropped");
        let shared = Arc::clone(&self.shared);
        let runtime = shared.runtime.clone();
        runtime.spawn(async move { leave(stream, &shared).await });
    }
}

/// Cancels first, so that what is given back does not come here again, then gives back what
/// was received and not handed out. Deliveries that are being worked on stay as they are.
async fn leave(mut stream: lapin::Consumer, shared: &Shared) {
    if !shared.channel.status().connected() {
        return;
    }
    let cancelling = shared.channel.basic_cancel(stream.tag(), BasicCancelOptions::default());
    if let Err(error) = within(shared.answer_limit, "cancelling a consumer", cancelling).await {
        warn!(%error, "a consumer could not be cancelled; its connection is cut");
        shared.link.cut();
        return;
    }
    // The answer to the cancellation is the last thing that the server sends to a consumer,
    // so the stream ends.
    while let Ok(Some(Ok(delivery))) = tokio::time::timeout(shared.answer_limit, stream.next()).await {
        let _ = tokio::time::timeout(shared.answer_limit, delivery.acker.nack(requeue())).await;
    }
}

/// Looks from beside whether the server still serves a consumer.
struct Watch {
    record: Weak<ConsumerRecord>,
    over: watch::Receiver<Option<String>>,
    link: Arc<Link>,
    channel: Channel,
    queue: ShortString,
}

impl Watch {
    async fn run(mut self, every: Duration, limit: Duration) {
        let mut tick = tokio::time::interval(every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut state = self.link.watch();
        let mut without_consumer = 0;
        let mut hearing = Hearing::default();
        loop {
            let in_turn = tokio::select! {
                _ = tick.tick() => true,
                changed = state.changed() => if changed.is_err() { return } else { false },
                _ = self.over.changed() => return,
            };
            let Some(record) = self.record.upgrade() else { return };
            let passive = QueueDeclareOptions::default().passive();
            let asking = self.channel.queue_declare(self.queue.clone(), passive, FieldTable::default());
            match tokio::time::timeout(limit, asking).await {
                Ok(Ok(queue)) if queue.consumer_count() > 0 => {
                    without_consumer = 0;
                    if in_turn && hearing.look(queue.message_count(), record.received_so_far()) {
                        record.end("messages wait in the queue and none is delivered");
                        return;
                    }
                    record.seen_now();
                }
                Ok(Ok(_)) => {
                    without_consumer += 1;
                    if without_consumer >= NO_CONSUMER_MAX {
                        record.end("the server no longer knows the consumer");
                        return;
                    }
                }
                Ok(Err(error)) => {
                    record.end(&format!("queue {}: {error}", self.queue));
                    return;
                }
                Err(_) => {
                    self.link.cut();
                    record.end("the server does not answer");
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consumer_is_deaf_when_messages_wait_and_none_comes() {
        let check = |looks: &[(u32, Option<u64>)], expected: bool| {
            let mut hearing = Hearing::default();
            let deaf = looks.iter().map(|(waiting, received)| hearing.look(*waiting, *received)).last();
            assert_eq!(deaf, Some(expected), "{looks:?}");
        };
        check(&[(9, Some(5)), (9, Some(5)), (9, Some(5))], true);
        check(&[(9, Some(5)), (9, Some(5))], false);
        check(&[(9, Some(5)), (9, Some(6)), (9, Some(6))], false);
        check(&[(0, Some(5)), (0, Some(5)), (0, Some(5))], false);
        check(&[(9, None), (9, None), (9, None)], false);
        check(&[(9, Some(5)), (9, None), (9, Some(5))], false);
    }
}
