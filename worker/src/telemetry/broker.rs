//! The broker as OpenTelemetry's messaging conventions see it: a producer's span for each
//! message, whose context travels in the headers; counts and durations of sending,
//! receiving and ending.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use packshot_pipeline::pool::Pool;
use packshot_runtime::port::{Acked, Broker, BrokerError, BrokerFault, Consumer, Delivery, Message, Receipt};
use packshot_service::telemetry::Label;
use packshot_service::{names, propagation};
use tracing::field::Empty;
use tracing::{Instrument, Span, debug_span, info_span};

use super::observer::STATUS_CODE;
use super::{On, sku_ids};

/// Where messages go, as the conventions for RabbitMQ write it.
pub(super) mod destination {
    use packshot_pipeline::pool::Pool;

    /// `{exchange}:{routing key}`.
    pub(super) fn producer(pool: Pool) -> &'static str {
        match pool {
            Pool::Studio => "packshot.jobs:studio",
            Pool::Remote => "packshot.jobs:remote",
            Pool::Gpu => "packshot.jobs:gpu",
            Pool::Assemble => "packshot.jobs:assemble",
        }
    }

    /// `{exchange}:{routing key}:{queue}`.
    pub(in super::super) fn consumer(pool: Pool) -> &'static str {
        match pool {
            Pool::Studio => "packshot.jobs:studio:packshot.jobs.studio",
            Pool::Remote => "packshot.jobs:remote:packshot.jobs.remote",
            Pool::Gpu => "packshot.jobs:gpu:packshot.jobs.gpu",
            Pool::Assemble => "packshot.jobs:assemble:packshot.jobs.assemble",
        }
    }
}

fn error_type(error: &BrokerError) -> &'static str {
    match error.kind {
        BrokerFault::Unavailable => "unavailable",
        BrokerFault::Unconfirmed => "unconfirmed",
        BrokerFault::Unroutable => "unroutable",
        BrokerFault::Refused => "refused",
    }
}

/// A broker that is looked at.
pub(super) struct Watched {
    pub(super) inner: Arc<dyn Broker>,
    pub(super) on: Arc<On>,
}

impl Watched {
    /// The span of one message, in the trace of its SKU. Not entered: it lasts until the
    /// broker has confirmed.
    async fn sending(&self, pool: Pool, message: &Message) -> Span {
        let destination = destination::producer(pool);
        let span = info_span!(
            parent: None,
            names::PUBLISH,
            { names::BATCH } = %message.batch,
            { names::SKU } = %message.sku,
            { names::ROLE } = message.target.word(),
            { names::POOL } = pool.word(),
            { names::MESSAGING_SYSTEM } = self.on.system,
            { names::MESSAGING_OPERATION } = "publish",
            { names::MESSAGING_OPERATION_TYPE } = "send",
            { names::MESSAGING_DESTINATION } = destination,
            { names::MESSAGING_ROUTING_KEY } = pool.word(),
            { names::MESSAGING_ID } = %message.id(),
            { names::MESSAGING_CONVERSATION } = %message.batch,
            { names::ERROR_TYPE } = Empty,
            { STATUS_CODE } = Empty,
            otel.name = %format_args!("{} {destination}", names::PUBLISH),
            otel.kind = "producer",
        );
        if let Some(traces) = &self.on.traces
            && let Some(created_ms) = self.on.births.created_ms(&message.batch).await
        {
            let ids = sku_ids(&message.batch, created_ms, &message.sku);
            traces.adopt(&span, &traces.parent(ids));
        }
        span
    }
}

#[async_trait]
impl Broker for Watched {
    async fn publish(
        &self,
        pool: Pool,
        messages: &[(Message, BTreeMap<String, String>)],
    ) -> Vec<Result<(), BrokerError>> {
        let began = Instant::now();
        let mut sending = Vec::with_capacity(messages.len());
        let mut sent = Vec::with_capacity(messages.len());
        for (message, headers) in messages {
            let mut headers = headers.clone();
            if let Some(traces) = &self.on.traces {
                let span = self.sending(pool, message).await;
                propagation::inject(&traces.here(&span), &mut headers);
                sending.push(span);
            }
            sent.push((message.clone(), headers));
        }
        let results = self.inner.publish(pool, &sent).await;
        let took = began.elapsed().as_secs_f64();
        let mut sending = sending.into_iter();
        for result in &results {
            let mut labels = vec![
                (names::MESSAGING_SYSTEM, self.on.system),
                (names::MESSAGING_OPERATION, "publish"),
                (names::MESSAGING_DESTINATION, destination::producer(pool)),
            ];
            let span = sending.next();
            if let Err(error) = result {
                labels.push((names::ERROR_TYPE, error_type(error)));
                if let Some(span) = &span {
                    span.record(names::ERROR_TYPE, error_type(error));
                    span.record(STATUS_CODE, "error");
                }
            }
            self.on.count(&names::SENT, 1, &labels);
            self.on.record(&names::CLIENT_DURATION, took, &labels);
        }
        results
    }

    async fn consume(&self, pool: Pool, prefetch: u16) -> Result<Box<dyn Consumer>, BrokerError> {
        let inner = self.inner.consume(pool, prefetch).await?;
        let end = End { on: Arc::clone(&self.on), pool };
        Ok(Box::new(WatchedConsumer { inner, end }))
    }
}

/// Whatever the end of a delivery is counted with.
#[derive(Clone)]
struct End {
    on: Arc<On>,
    pool: Pool,
}

impl End {
    fn labels(&self, operation: &'static str) -> Vec<Label> {
        vec![
            (names::MESSAGING_SYSTEM, self.on.system),
            (names::MESSAGING_OPERATION, operation),
            (names::MESSAGING_DESTINATION, destination::consumer(self.pool)),
        ]
    }
}

struct WatchedConsumer {
    inner: Box<dyn Consumer>,
    end: End,
}

#[async_trait]
impl Consumer for WatchedConsumer {
    async fn next(&mut self) -> Result<Delivery, BrokerError> {
        let delivery = self.inner.next().await?;
        let on = &self.end.on;
        on.count(&names::CONSUMED, 1, &self.end.labels("process"));
        if delivery.redelivered {
            on.count(&names::REDELIVERIES, 1, &[(names::POOL, self.end.pool.word())]);
        }
        let receipt =
            WatchedReceipt { inner: delivery.receipt, end: self.end.clone(), since: Instant::now() };
        Ok(Delivery { receipt: Box::new(receipt), ..delivery })
    }
}

struct WatchedReceipt {
    inner: Box<dyn Receipt>,
    end: End,
    since: Instant,
}

impl WatchedReceipt {
    async fn ended(
        end: End,
        since: Instant,
        operation: &'static str,
        ending: impl Future<Output = Result<Acked, BrokerError>>,
    ) -> Result<Acked, BrokerError> {
        let destination = destination::consumer(end.pool);
        let span = debug_span!(
            names::SETTLE,
            { names::MESSAGING_SYSTEM } = end.on.system,
            { names::MESSAGING_OPERATION } = operation,
            { names::MESSAGING_OPERATION_TYPE } = "settle",
            { names::MESSAGING_DESTINATION } = destination,
            { names::ERROR_TYPE } = Empty,
            { STATUS_CODE } = Empty,
            otel.name = %format_args!("{operation} {destination}"),
            otel.kind = "client",
        );
        let began = Instant::now();
        let ended = ending.instrument(span.clone()).await;
        let mut labels = end.labels(operation);
        if let Err(error) = &ended {
            labels.push((names::ERROR_TYPE, error_type(error)));
            span.record(names::ERROR_TYPE, error_type(error));
            span.record(STATUS_CODE, "error");
        }
        end.on.record(&names::CLIENT_DURATION, began.elapsed().as_secs_f64(), &labels);
        end.on.record(&names::PROCESS_DURATION, since.elapsed().as_secs_f64(), &end.labels("process"));
        ended
    }
}

#[async_trait]
impl Receipt for WatchedReceipt {
    async fn ack(self: Box<Self>) -> Result<Acked, BrokerError> {
        Self::ended(self.end, self.since, "ack", self.inner.ack()).await
    }

    async fn retry(self: Box<Self>, delay_ms: u64) -> Result<Acked, BrokerError> {
        let pool = [(names::POOL, self.end.pool.word())];
        self.end.on.count(&names::RETRIES, 1, &pool);
        Self::ended(self.end, self.since, "retry", self.inner.retry(delay_ms)).await
    }

    async fn dead_letter(self: Box<Self>, reason: &str) -> Result<Acked, BrokerError> {
        let pool = [(names::POOL, self.end.pool.word())];
        self.end.on.count(&names::DEAD_LETTERS, 1, &pool);
        Self::ended(self.end, self.since, "dead-letter", self.inner.dead_letter(reason)).await
    }
}
