//! Exchanges and queues: their names, their arguments, and declaring them.
//!
//! ```text
//! publisher ─mandatory→ P.jobs ──<pool>──→ queue P.jobs.<pool>
//!                                             │ delivery limit, reject
//!                                             ▼
//!                                          P.dead ──<pool>──→ queue P.dead
//! retry ────mandatory→ P.delay ─<step>.*─→ queue P.delay.<step>
//!                                             │ its time is up
//!                                             ▼
//!                                          P.back ──*.<pool>→ queue P.jobs.<pool>
//!             P.back, P.dead: no queue takes it → P.unroutable → queue P.unroutable
//! ```
//!
//! A message that an alternate exchange takes counts as routed and is not returned to its
//! publisher. So the exchanges that a publisher speaks to (`jobs`, `delay`) have none and
//! every publish is mandatory; the ones that only the server forwards to (`back`, `dead`)
//! have one, because nobody else could be told.
//!
//! All queues are quorum queues. Dead-lettering is at-least-once, which needs
//! `reject-publish`; it and the time to live need RabbitMQ 3.10.

use std::time::Duration;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, ExchangeKind};
use packshot_pipeline::pool::Pool;
use packshot_runtime::port::BrokerError;

use super::fault::{declaration_fault, late};
use super::settings::RabbitSettings;

/// The longest job queue, in messages; more are refused. The dispatcher's window keeps far
/// below it.
const JOBS_MAX: i64 = 1_000_000;
/// The longest dead-letter and unroutable queues, in messages; the oldest go. What they
/// point to is found again by the sweeper; they are for people.
const DEAD_MAX: i64 = 100_000;
/// Stands for no delivery limit, which servers before 4.0 cannot say and servers since 4.0
/// do not assume.
const NO_DELIVERY_LIMIT: i64 = 1_000_000_000;

/// The steps of the retry ladder, ascending: the name and the wait in milliseconds. One queue
/// each, because within a queue only the head's time is looked at.
pub(super) const DELAYS: [(&str, u64); 3] = [("2s", 2_000), ("15s", 15_000), ("2m", 120_000)];

/// What a queue is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Use {
    Jobs(Pool),
    Delay(&'static str, u64),
    Dead,
    Unroutable,
}

/// The names under one prefix.
#[derive(Clone, Debug)]
pub(super) struct Names {
    prefix: String,
}

impl Names {
    /// `prefix` has been checked to be short and plain.
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    fn name(&self, rest: &str) -> ShortString {
        format!("{}.{rest}", self.prefix).into()
    }

    pub(super) fn jobs(&self) -> ShortString {
        self.name("jobs")
    }

    pub(super) fn delay(&self) -> ShortString {
        self.name("delay")
    }

    fn back(&self) -> ShortString {
        self.name("back")
    }

    pub(super) fn dead(&self) -> ShortString {
        self.name("dead")
    }

    pub(super) fn unroutable(&self) -> ShortString {
        self.name("unroutable")
    }

    pub(super) fn queue(&self, of: Use) -> ShortString {
        match of {
            Use::Jobs(pool) => self.name(&format!("jobs.{}", pool.word())),
            Use::Delay(step, _) => self.name(&format!("delay.{step}")),
            Use::Dead => self.dead(),
            Use::Unroutable => self.unroutable(),
        }
    }

    /// A name for a queue of the probe.
    pub(super) fn probe(&self, id: &str) -> ShortString {
        self.name(&format!("probe.{id}"))
    }
}

/// Every queue.
pub(super) fn queues() -> impl Iterator<Item = Use> {
    let jobs = Pool::ALL.into_iter().map(Use::Jobs);
    let delays = DELAYS.into_iter().map(|(step, wait_ms)| Use::Delay(step, wait_ms));
    jobs.chain(delays).chain([Use::Dead, Use::Unroutable])
}

/// The step for a wait: the shortest that is not shorter, else the longest.
pub(super) fn step(delay_ms: u64) -> &'static str {
    let [.., (longest, _)] = DELAYS;
    DELAYS.into_iter().find(|(_, wait_ms)| *wait_ms >= delay_ms).map_or(longest, |(step, _)| step)
}

fn text(value: impl Into<String>) -> AMQPValue {
    AMQPValue::LongString(value.into().into())
}

fn name_text(name: ShortString) -> AMQPValue {
    text(String::from(name))
}

/// A table from pairs.
pub(super) fn table<const N: usize>(pairs: [(&str, AMQPValue); N]) -> FieldTable {
    let mut table = FieldTable::default();
    for (key, value) in pairs {
        table.insert(key.into(), value);
    }
    table
}

/// The arguments that a queue is declared with.
pub(super) fn arguments(names: &Names, of: Use, settings: &RabbitSettings) -> FieldTable {
    let quorum = ("x-queue-type", text("quorum"));
    let surely = ("x-dead-letter-strategy", text("at-least-once"));
    let refuse = ("x-overflow", text("reject-publish"));
    match of {
        Use::Jobs(pool) => table([
            quorum,
            surely,
            refuse,
            ("x-max-length", AMQPValue::LongLongInt(JOBS_MAX)),
            ("x-delivery-limit", AMQPValue::LongLongInt(settings.delivery_limit.into())),
            ("x-dead-letter-exchange", name_text(names.dead())),
            ("x-dead-letter-routing-key", text(pool.word())),
            ("x-consumer-timeout", AMQPValue::LongLongInt(i64::from(settings.consumer_timeout_s) * 1_000)),
        ]),
        Use::Delay(_, wait_ms) => table([
            quorum,
            surely,
            refuse,
            ("x-max-length", AMQPValue::LongLongInt(JOBS_MAX)),
            ("x-message-ttl", AMQPValue::LongLongInt(wait_ms as i64)),
            ("x-dead-letter-exchange", name_text(names.back())),
        ]),
        Use::Dead | Use::Unroutable => table([
            quorum,
            ("x-max-length", AMQPValue::LongLongInt(DEAD_MAX)),
            ("x-delivery-limit", AMQPValue::LongLongInt(NO_DELIVERY_LIMIT)),
        ]),
    }
}

/// The bindings of a queue: exchange and key.
fn bindings(names: &Names, of: Use) -> Vec<(ShortString, ShortString)> {
    match of {
        Use::Jobs(pool) => {
            vec![(names.jobs(), pool.word().into()), (names.back(), format!("*.{}", pool.word()).into())]
        }
        Use::Delay(step, _) => vec![(names.delay(), format!("{step}.*").into())],
        // Not `#`: the probe sends a message of its own through this exchange.
        Use::Dead => Pool::ALL.into_iter().map(|pool| (names.dead(), pool.word().into())).collect(),
        Use::Unroutable => vec![(names.unroutable(), ShortString::default())],
    }
}

/// Declares everything; what is there already stays as it is. An error closes `channel`.
pub(super) async fn declare(
    channel: &Channel,
    names: &Names,
    settings: &RabbitSettings,
) -> Result<(), BrokerError> {
    let limit = settings.confirm_timeout();
    let unroutable = || table([("alternate-exchange", name_text(names.unroutable()))]);
    let exchanges = [
        (names.unroutable(), ExchangeKind::Fanout, FieldTable::default()),
        (names.jobs(), ExchangeKind::Topic, FieldTable::default()),
        (names.delay(), ExchangeKind::Topic, FieldTable::default()),
        (names.back(), ExchangeKind::Topic, unroutable()),
        (names.dead(), ExchangeKind::Topic, unroutable()),
    ];
    for (name, kind, arguments) in exchanges {
        let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let declaring = channel.exchange_declare(name.clone(), kind, options, arguments);
        declared(limit, &format!("exchange {name}"), declaring).await?;
    }
    for of in queues() {
        let name = names.queue(of);
        let arguments = arguments(names, of, settings);
        let declaring = channel.queue_declare(name.clone(), QueueDeclareOptions::durable(), arguments);
        declared(limit, &format!("queue {name}"), declaring).await?;
        for (exchange, key) in bindings(names, of) {
            let doing = format!("binding of queue {name} to exchange {exchange}");
            let options = QueueBindOptions::default();
            let binding = channel.queue_bind(name.clone(), exchange, key, options, FieldTable::default());
            declared(limit, &doing, binding).await?;
        }
    }
    Ok(())
}

async fn declared<T>(
    limit: Duration,
    name: &str,
    declaring: impl Future<Output = lapin::Result<T>>,
) -> Result<T, BrokerError> {
    match tokio::time::timeout(limit, declaring).await {
        Ok(ended) => ended.map_err(|error| declaration_fault(name, error)),
        Err(_) => Err(late(&format!("declaring {name}"), limit)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_never_shortened_but_by_the_longest_step() {
        let check = |delay_ms: u64, expected: &str| assert_eq!(step(delay_ms), expected, "{delay_ms}");
        check(1, "2s");
        check(2_000, "2s");
        check(2_001, "15s");
        check(15_001, "2m");
        check(86_400_000, "2m");
    }
}
