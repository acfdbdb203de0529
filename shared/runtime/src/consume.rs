//! The worker's loop: consume, drive a bounded number of jobs at a time, end each delivery,
//! drain when told to stop.

use std::sync::Arc;

use packshot_pipeline::pool::Pool;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, warn};

use crate::clock::Clock;
use crate::drive::{Driven, Driver};
use crate::port::{Acked, Broker, BrokerError, Delivery, Message, Receipt, Step};

/// The wait before a broken subscription is made anew, in milliseconds; doubles.
const AGAIN_MS_MIN: u64 = 250;
/// The longest such wait, in milliseconds: a server that is back is found within it.
const AGAIN_MS_MAX: u64 = 5_000;

/// How a worker stops: softly first, hard at a deadline.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// Take nothing new, give back what has not started, finish what has.
    pub soft: CancellationToken,
    /// Leave now; interrupted attempts do not count as failed.
    pub hard: CancellationToken,
}

/// Consumes the queue of `pool` with at most `in_flight_max` jobs at a time, until `stop`.
/// Returns when the last job has ended.
pub async fn consume(
    broker: &dyn Broker,
    driver: &Arc<Driver>,
    clock: &dyn Clock,
    pool: Pool,
    in_flight_max: u16,
    stop: &Stop,
) {
    let mut jobs = JoinSet::new();
    let mut again_ms = AGAIN_MS_MIN;
    while !stop.soft.is_cancelled() {
        let ended = subscribed(broker, driver, pool, in_flight_max, stop, &mut jobs, &mut again_ms).await;
        if let Err(error) = ended {
            warn!(%error, pool = pool.word(), "the subscription ended; making a new one");
            tokio::select! {
                biased;
                () = stop.soft.cancelled() => {}
                () = clock.sleep(again_ms) => {}
            }
            again_ms = (again_ms * 2).min(AGAIN_MS_MAX);
        }
    }
    while jobs.join_next().await.is_some() {}
}

/// One subscription, until it breaks (an error) or the worker stops.
async fn subscribed(
    broker: &dyn Broker,
    driver: &Arc<Driver>,
    pool: Pool,
    in_flight_max: u16,
    stop: &Stop,
    jobs: &mut JoinSet<()>,
    again_ms: &mut u64,
) -> Result<(), BrokerError> {
    let limit = usize::from(in_flight_max.max(1));
    let mut consumer = broker.consume(pool, in_flight_max.max(1)).await?;
    loop {
        tokio::select! {
            biased;
            () = stop.soft.cancelled() => return Ok(()),
            ended = jobs.join_next(), if !jobs.is_empty() => {
                if let Some(Err(error)) = ended {
                    warn!(%error, "a job's task broke; its message comes again");
                }
            }
            delivery = consumer.next(), if jobs.len() < limit => {
                let delivery = delivery?;
                *again_ms = AGAIN_MS_MIN;
                jobs.spawn(handle(Arc::clone(driver), pool, delivery, stop.hard.clone()));
            }
        }
    }
}

/// Drives one delivery and ends it, as the very last thing.
async fn handle(driver: Arc<Driver>, pool: Pool, delivery: Delivery, hard: CancellationToken) {
    let Delivery { body, headers, redelivered, receipt } = delivery;
    match Message::parse(&body) {
        Ok(message) => {
            let step = Step::Process { pool, message: &message, headers: &headers, redelivered };
            let span = driver.observer().begin(step);
            let handled = async { end(receipt, driver.drive(&message, &hard).await).await };
            handled.instrument(span).await;
        }
        Err(reason) => end(receipt, Driven::Dead { reason }).await,
    }
}

async fn end(receipt: Box<dyn Receipt>, driven: Driven) {
    let ended = match driven {
        Driven::Done(what) => {
            debug!(what, "job message done");
            receipt.ack().await
        }
        Driven::Again { delay_ms } => receipt.retry(delay_ms).await,
        Driven::Dead { reason } => {
            warn!(reason, "a dead letter");
            receipt.dead_letter(&reason).await
        }
    };
    match ended {
        Ok(Acked::Done) => {}
        Ok(Acked::ComesAgain) => debug!("the delivery's channel is gone; the message comes again"),
        Err(error) => warn!(%error, "a delivery could not be ended; the message comes again"),
    }
}
