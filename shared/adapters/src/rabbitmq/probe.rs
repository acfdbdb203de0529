//! Whether a server gives what the system relies on: for `packshot doctor`. It declares the
//! queues, tries the paths that matter with messages of its own, and leaves nothing behind.

use std::time::Duration;

use lapin::options::{
    BasicGetOptions, BasicPublishOptions, BasicRejectOptions, ConfirmSelectOptions, QueueBindOptions,
    QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation};
use packshot_runtime::port::{BrokerError, BrokerFault};
use serde::Serialize;
use tokio::time::Instant;

use super::fault::{plain, within};
use super::greeting::{Server, greeting};
use super::health::Connecting;
use super::link::Link;
use super::management;
use super::settings::RabbitSettings;
use super::topology::{self, Names, Use};

/// How long the probe's own queues stay when the probe is interrupted, in milliseconds.
const PROBE_QUEUE_MS: i64 = 60_000;
/// Pauses while the probe waits for a message.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// As it should be.
    Fine,
    /// Works, but a guarantee depends on something that could not be checked, or somebody
    /// should look.
    Warning,
    /// A guarantee does not hold.
    Broken,
}

/// One thing that was looked at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// What was found.
    pub what: String,
    /// How bad it is.
    pub severity: Severity,
    /// What to do about it; empty where nothing is to be done.
    pub what_to_do: String,
}

impl Finding {
    pub(super) fn new(severity: Severity, what: impl Into<String>, what_to_do: impl Into<String>) -> Self {
        Self { what: what.into(), severity, what_to_do: what_to_do.into() }
    }

    pub(super) fn fine(what: impl Into<String>) -> Self {
        Self::new(Severity::Fine, what, "")
    }

    fn broken(error: &BrokerError, what_to_do: &str) -> Self {
        Self::new(Severity::Broken, Connecting(error).to_string(), what_to_do)
    }
}

/// Looks at the server and its queues; never fails, every failure is a finding.
pub async fn probe(settings: &RabbitSettings) -> Vec<Finding> {
    let problems = settings.problems();
    if !problems.is_empty() {
        let what =
            |problem: String| Finding::new(Severity::Broken, problem, "correct the settings of RabbitMQ");
        return problems.into_iter().map(what).collect();
    }
    let mut findings = Vec::new();
    match greeting(settings).await {
        Ok(server) => findings.extend(version(&server, settings)),
        Err(error) => {
            let what_to_do = "start the server, or correct the URL; look for a firewall in between";
            findings.push(Finding::broken(&error, what_to_do));
            return findings;
        }
    }
    if let Err(error) = queues(settings, &mut findings).await {
        findings.push(Finding::broken(&error, "the text says what to change; then run the probe again"));
    }
    if let Some(url) = &settings.management_url {
        findings.extend(management::look(settings, url).await);
    }
    findings
}

fn version(server: &Server, settings: &RabbitSettings) -> Vec<Finding> {
    let name = format!("{} {}", server.product, server.version);
    if !server.is_at_least(3, 10) {
        let what = format!(
            "{name} is too old: its quorum queues know neither a time to live nor surely delivered dead letters"
        );
        return vec![Finding::new(Severity::Broken, what, "install RabbitMQ 3.10 or newer")];
    }
    let seconds = settings.consumer_timeout_s;
    let timeout = if server.is_at_least(3, 12) {
        Finding::fine(format!("a delivery may stay unended for {seconds} s, as the queues say"))
    } else {
        let what = format!(
            "{name} knows the consumer timeout per node only, 30 minutes unless changed, and does not \
             tell clients: a job that takes longer comes again while it is being worked on"
        );
        let what_to_do = format!(
            "put consumer_timeout = {seconds}000 into rabbitmq.conf; ask with \
             rabbitmqctl eval 'application:get_env(rabbit, consumer_timeout).'"
        );
        Finding::new(Severity::Warning, what, what_to_do)
    };
    vec![Finding::fine(format!("{name} answers")), timeout]
}

/// Logs in, declares, and tries the paths.
async fn queues(settings: &RabbitSettings, findings: &mut Vec<Finding>) -> Result<(), BrokerError> {
    let names = Names::new(&settings.prefix);
    let link = Link::open(settings, &format!("{} probe", settings.prefix)).await?;
    let channel = link.channel().await?;
    topology::declare(&channel, &names, settings).await?;
    findings
        .push(Finding::fine("exchanges and queues are there, with the arguments that the settings ask for"));
    for of in [Use::Dead, Use::Unroutable] {
        findings.extend(left_over(&channel, &names, of, settings).await?);
    }
    let trial = Trial { channel: &channel, names: &names, limit: settings.confirm_timeout() };
    let selecting = channel.confirm_select(ConfirmSelectOptions::default());
    within(trial.limit, "asking for confirmations", selecting).await?;
    findings.push(trial.unroutable().await?);
    let id = format!("{:016x}", rand::random::<u64>());
    let tried = trial.dead_letters(&id, settings).await;
    for name in trial.own_queues(&id) {
        let deleting = channel.queue_delete(name, QueueDeleteOptions::default());
        let _ = within(trial.limit, "deleting a queue of the probe", deleting).await;
    }
    findings.push(tried?);
    link.close().await;
    Ok(())
}

/// Messages that wait for people.
async fn left_over(
    channel: &Channel,
    names: &Names,
    of: Use,
    settings: &RabbitSettings,
) -> Result<Option<Finding>, BrokerError> {
    let name = names.queue(of);
    let passive = QueueDeclareOptions::default().passive();
    let asking = channel.queue_declare(name.clone(), passive, FieldTable::default());
    let queue = within(settings.confirm_timeout(), &format!("asking for queue {name}"), asking).await?;
    let count = queue.message_count();
    let what = format!("queue {name} holds {count} messages");
    let what_to_do = "look at them (the header x-packshot-reason says why); their jobs are found again \
                      by the sweeper, so the queue may be purged";
    Ok((count > 0).then(|| Finding::new(Severity::Warning, what, what_to_do)))
}

/// Paths tried with messages of the probe's own.
struct Trial<'a> {
    channel: &'a Channel,
    names: &'a Names,
    limit: Duration,
}

impl Trial<'_> {
    fn own_queues(&self, id: &str) -> [ShortString; 2] {
        [self.names.probe(id), self.names.probe(&format!("{id}.dead"))]
    }

    /// Publishes one message with no other outstanding, so that a return is surely its own.
    async fn publish(&self, exchange: ShortString, key: ShortString) -> Result<Confirmation, BrokerError> {
        let publishing = async {
            let options = BasicPublishOptions { mandatory: true, immediate: false };
            let properties = BasicProperties::default().with_message_id("probe".into()).with_delivery_mode(2);
            self.channel.basic_publish(exchange, key, options, b"probe", properties).await?.await
        };
        within(self.limit, "a test publish", publishing).await
    }

    async fn unroutable(&self) -> Result<Finding, BrokerError> {
        let exchange = self.names.jobs();
        match self.publish(exchange.clone(), "no-such-pool".into()).await? {
            Confirmation::Ack(Some(_)) => {
                Ok(Finding::fine("a message that no queue takes is returned to its publisher"))
            }
            Confirmation::Ack(None) | Confirmation::Nack(_) | Confirmation::NotRequested => Ok(Finding::new(
                Severity::Broken,
                format!("a message that no queue takes was not returned by exchange {exchange}"),
                format!(
                    "remove alternate exchanges from {exchange}, in its arguments and in policies, and \
                         bindings that this system did not make"
                ),
            )),
        }
    }

    /// A queue like a job queue, a message rejected in it, and a queue behind the dead-letter
    /// exchange where it must arrive.
    async fn dead_letters(&self, id: &str, settings: &RabbitSettings) -> Result<Finding, BrokerError> {
        let [queue, dead] = self.own_queues(id);
        let key = dead.clone();
        let mut arguments =
            topology::arguments(self.names, Use::Jobs(packshot_pipeline::pool::Pool::Studio), settings);
        let key_text: &str = key.as_str();
        arguments.insert("x-dead-letter-routing-key".into(), AMQPValue::LongString(key_text.into()));
        arguments.insert("x-expires".into(), AMQPValue::LongLongInt(PROBE_QUEUE_MS));
        self.declare(&queue, arguments).await?;
        let target = topology::table([
            ("x-queue-type", AMQPValue::LongString("quorum".into())),
            ("x-expires", AMQPValue::LongLongInt(PROBE_QUEUE_MS)),
        ]);
        self.declare(&dead, target).await?;
        let options = QueueBindOptions::default();
        let binding =
            self.channel.queue_bind(dead.clone(), self.names.dead(), key, options, FieldTable::default());
        within(self.limit, "binding a queue of the probe", binding).await?;
        if self.publish(ShortString::default(), queue.clone()).await? != Confirmation::Ack(None) {
            let what = "a persistent message to a quorum queue was not confirmed";
            return Err(plain(BrokerFault::Unconfirmed, what));
        }
        let taken = self.take(&queue).await?;
        let rejecting = taken.acker.reject(BasicRejectOptions { requeue: false });
        within(self.limit, "rejecting a test message", rejecting).await?;
        let arrived = self.take(&dead).await;
        Ok(match arrived {
            Ok(_) => Finding::fine("a rejected message becomes a dead letter"),
            Err(error) => Finding::broken(
                &error,
                "look for policies that change dead-lettering, and for the feature flag stream_queue, which it needs",
            ),
        })
    }

    async fn declare(&self, queue: &ShortString, arguments: FieldTable) -> Result<(), BrokerError> {
        let declaring = self.channel.queue_declare(queue.clone(), QueueDeclareOptions::durable(), arguments);
        within(self.limit, "declaring a queue of the probe", declaring).await.map(|_| ())
    }

    /// The next message of a queue; it stays unended.
    async fn take(&self, queue: &ShortString) -> Result<lapin::message::Delivery, BrokerError> {
        let deadline = Instant::now() + self.limit;
        loop {
            let getting = self.channel.basic_get(queue.clone(), BasicGetOptions::default());
            if let Some(got) = within(self.limit, "getting a test message", getting).await? {
                return Ok(got.delivery);
            }
            if Instant::now() > deadline {
                let what = format!("a test message did not arrive in queue {queue}");
                return Err(plain(BrokerFault::Unavailable, what));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}
