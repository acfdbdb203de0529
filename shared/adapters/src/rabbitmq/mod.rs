//! RabbitMQ as the broker.
//!
//! Publishing and consuming have a connection each, so that a server that blocks publishers
//! does not hold up acknowledgements. The client's own recovery is off: it revives channels
//! that nobody can trust. Instead everything that has failed is thrown away and made anew, the
//! publisher by itself ([`publisher`]), a consumer when its caller asks for a new one, which is
//! the contract of [`Consumer::next`]. Every wait has a limit.
//!
//! Works with RabbitMQ 3.10 and newer; `topology` says what is declared.

mod backoff;
mod confirms;
mod consumer;
mod fault;
mod form;
mod greeting;
mod health;
mod link;
mod management;
mod probe;
mod publisher;
mod receipt;
mod settings;
mod topology;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use packshot_pipeline::pool::Pool;
use packshot_runtime::port::{Broker, BrokerError, BrokerFault, Consumer, Message};
use serde::Serialize;
use tokio::sync::Mutex;

pub use health::{ConnectionHealth, ConsumerHealth, RabbitHealth};
pub use probe::{Finding, Severity, probe};
pub use settings::RabbitSettings;

use consumer::{Parts, RabbitConsumer};
use fault::{plain, within};
use health::Health;
use link::Link;
use publisher::Publisher;
use topology::{Names, Use};

/// A queue and how full it is, for metrics.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct QueueDepth {
    /// Its name.
    pub queue: String,
    /// The pool whose jobs it holds; `None` for waiting retries, dead letters and unroutable
    /// messages.
    pub pool: Option<Pool>,
    /// Messages that are not handed out.
    pub ready: u32,
    /// Consumers.
    pub consumers: u32,
}

/// Queues on a RabbitMQ server. Cheap to clone; the connections end when the last clone and
/// the last consumer and delivery are gone.
#[derive(Clone)]
pub struct RabbitBroker {
    settings: Arc<RabbitSettings>,
    names: Arc<Names>,
    health: Arc<Health>,
    publisher: Publisher,
    /// The connection that consumers share.
    consuming: Arc<Mutex<Option<Arc<Link>>>>,
}

impl std::fmt::Debug for RabbitBroker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RabbitBroker").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl RabbitBroker {
    /// Connects and declares exchanges and queues; one try.
    ///
    /// # Errors
    /// [`BrokerFault::Refused`] for wrong settings, credentials or permissions, and for queues
    /// that exist with other arguments; [`BrokerFault::Unavailable`] for everything that a
    /// later try may mend.
    pub async fn connect(settings: &RabbitSettings) -> Result<Self, BrokerError> {
        let problems = settings.problems();
        if !problems.is_empty() {
            return Err(plain(
                BrokerFault::Refused,
                format!("settings of RabbitMQ: {}", problems.join("; ")),
            ));
        }
        let settings = Arc::new(settings.clone());
        let names = Arc::new(Names::new(&settings.prefix));
        let health = Arc::new(Health::default());
        let publisher =
            Publisher::open(Arc::clone(&settings), Arc::clone(&names), Arc::clone(&health)).await?;
        Ok(Self { settings, names, health, publisher, consuming: Arc::new(Mutex::new(None)) })
    }

    /// How the adapter is; asks nobody and returns at once.
    pub fn health(&self) -> RabbitHealth {
        self.health.read()
    }

    /// How full the queues are. A queue that does not exist is an error, as a server that does
    /// not answer is.
    pub async fn depths(&self) -> Result<Vec<QueueDepth>, BrokerError> {
        let channel = self.link().await?.channel().await?;
        let mut depths = Vec::new();
        for of in topology::queues() {
            let name = self.names.queue(of);
            let passive = QueueDeclareOptions::default().passive();
            let asking = channel.queue_declare(name.clone(), passive, FieldTable::default());
            let doing = format!("asking for the depth of queue {name}");
            let queue = within(self.settings.confirm_timeout(), &doing, asking).await?;
            let pool = match of {
                Use::Jobs(pool) => Some(pool),
                Use::Delay(..) | Use::Dead | Use::Unroutable => None,
            };
            depths.push(QueueDepth {
                queue: name.to_string(),
                pool,
                ready: queue.message_count(),
                consumers: queue.consumer_count(),
            });
        }
        Ok(depths)
    }

    /// Says farewell on the consuming connection, for the end of a process: once this returns,
    /// the server has taken every acknowledgement, which a process that just ends cannot know.
    /// Deliveries that are not ended come again; consumers are over.
    pub async fn close(&self) {
        if let Some(link) = self.consuming.lock().await.take() {
            link.close().await;
        }
    }

    /// The consuming connection; a new one if there is none that lives.
    async fn link(&self) -> Result<Arc<Link>, BrokerError> {
        let mut consuming = self.consuming.lock().await;
        if let Some(link) = consuming.as_ref().filter(|link| link.alive()) {
            return Ok(Arc::clone(link));
        }
        let name = format!("{} consumer", self.settings.prefix);
        let opened = Link::open(&self.settings, &name).await;
        let link = Arc::new(opened.inspect_err(|error| self.health.consuming.failed(error))?);
        self.health.consuming.connected(link.watch());
        *consuming = Some(Arc::clone(&link));
        Ok(link)
    }
}

#[async_trait]
impl Broker for RabbitBroker {
    async fn publish(
        &self,
        pool: Pool,
        messages: &[(Message, BTreeMap<String, String>)],
    ) -> Vec<Result<(), BrokerError>> {
        let each = messages.iter();
        let posts = each.map(|(message, headers)| form::job(&self.names, pool, message, headers)).collect();
        self.publisher.publish(posts).await
    }

    async fn consume(&self, pool: Pool, prefetch: u16) -> Result<Box<dyn Consumer>, BrokerError> {
        let parts = Parts {
            settings: Arc::clone(&self.settings),
            names: Arc::clone(&self.names),
            health: Arc::clone(&self.health),
            publisher: self.publisher.clone(),
            link: self.link().await?,
        };
        Ok(Box::new(RabbitConsumer::open(parts, pool, prefetch).await?))
    }
}
