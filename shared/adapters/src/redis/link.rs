//! The connection: made when needed, given up when it is broken or silent, made again. One
//! multiplexed connection per process (or one per node of a cluster) carries everything.
//!
//! Not the client library's connection manager: that keeps an error for good when the
//! server answers the handshake with anything but a broken connection ("loading", "too many
//! clients"), and stays on a connection whose other end has vanished without a word.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use packshot_runtime::port::{CoordinatorError, CoordinatorFault};
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{MultipleNodeRoutingInfo, RoutingInfo};
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, IntoConnectionInfo, Pipeline, RedisError,
    RedisResult, ServerErrorKind, TlsCertificates, Value,
};
use tracing::{debug, info};

use super::fault::{Named, spoils_connection};
use super::script::Script;
use super::settings::RedisSettings;
use crate::secret::Secret;

/// How often a request is sent before its failure is reported.
const TRIES: u32 = 3;
/// How often when the server is silent, because each try takes the whole response timeout.
const TRIES_IN_SILENCE: u32 = 2;
/// The wait before the second try; four times as long before the third.
const TRY_WAIT: Duration = Duration::from_millis(30);
/// After how many answers missing in a row a connection is given up.
const SILENCE_MAX: u32 = 2;
/// Requests that wait to be written to the socket.
const BUFFERED: usize = 256;

/// What is sent. Everything that this adapter sends may be sent twice.
#[derive(Clone, Copy)]
pub(super) enum Request<'r> {
    One(&'r Cmd),
    /// All to one node; answered together.
    All(&'r Pipeline),
    /// An EVALSHA; where the server does not know the script, it is sent along.
    Script(&'static Script, &'r Cmd),
}

/// An open connection.
#[derive(Clone)]
enum Wire {
    Node(MultiplexedConnection),
    Cluster(ClusterConnection),
}

#[derive(Default)]
struct Slot {
    wire: Option<Wire>,
    generation: u64,
    /// Answers missing in a row.
    silence: u32,
    /// Attempts to connect, and how the last one failed.
    attempts: u64,
    failure: Option<RedisError>,
}

/// The way to the server.
pub(super) struct Link {
    pub(super) named: Named,
    client: Client,
    certificates: Option<TlsCertificates>,
    connect_timeout: Duration,
    response_timeout: Duration,
    /// Set when the server is a node of a cluster.
    cluster: OnceLock<ClusterClient>,
    slot: Mutex<Slot>,
    connecting: tokio::sync::Mutex<()>,
}

impl Link {
    /// Reads the settings; connects to nothing.
    pub(super) fn new(settings: &RedisSettings) -> Result<Self, CoordinatorError> {
        let refused = |what: String| CoordinatorError {
            kind: CoordinatorFault::Refused,
            what,
            source: None,
            retry_after_ms: None,
        };
        let problems = settings.problems();
        if !problems.is_empty() {
            return Err(refused(problems.join("; ")));
        }
        let tcp = TcpSettings::default().set_nodelay(true);
        let info = settings.url.expose().into_connection_info().map_err(|_| {
            refused(
                "redis.url is not one: it reads redis://[user:password@]host[:port][/db], rediss://… for TLS \
                 or redis+unix:///path, with special characters of the password as %XX"
                    .to_owned(),
            )
        })?;
        let info = info.set_tcp_settings(tcp);
        let password = info.redis_settings().password().map(Secret::new);
        let named = Named {
            address: info.addr().to_string(),
            secrets: [Some(settings.url.clone()), password].into_iter().flatten().collect(),
        };
        let certificates = match settings.ca_file.as_str() {
            "" => None,
            path => {
                let pem = std::fs::read(path)
                    .map_err(|error| refused(format!("cannot read redis.ca_file {path}: {error}")))?;
                Some(TlsCertificates { client_tls: None, root_cert: Some(pem) })
            }
        };
        let client = match &certificates {
            None => Client::open(info),
            Some(certificates) => Client::build_with_tls(info, certificates.clone()),
        };
        let client = client.map_err(|error| named.error("preparing the connection", &error))?;
        Ok(Self {
            named,
            client,
            certificates,
            connect_timeout: Duration::from_millis(settings.connect_timeout_ms),
            response_timeout: Duration::from_millis(settings.response_timeout_ms),
            cluster: OnceLock::new(),
            slot: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
        })
    }

    /// A client for a connection of another kind to the same node.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// The longest wait for a connection.
    pub(super) fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// The longest wait for an answer.
    pub(super) fn response_timeout(&self) -> Duration {
        self.response_timeout
    }

    /// Sends `request`, more than once if need be, and reads the answer.
    pub(super) async fn ask<T: FromRedisValue>(
        &self,
        doing: impl Fn() -> String + Send,
        request: Request<'_>,
    ) -> Result<T, CoordinatorError> {
        let mut tries = 1;
        loop {
            let error = match self.once(request).await.and_then(|value| Ok(redis::from_redis_value(value)?)) {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let told = self.named.error(&doing(), &error);
            let tries_max = if error.is_timeout() { TRIES_IN_SILENCE } else { TRIES };
            if told.kind != CoordinatorFault::Unavailable || tries >= tries_max {
                return Err(told);
            }
            debug!(%error, tries, "a request failed; sending it again");
            tokio::time::sleep(TRY_WAIT * 4u32.pow(tries - 1)).await;
            tries += 1;
        }
    }

    /// Sends `request` once.
    pub(super) async fn once(&self, request: Request<'_>) -> RedisResult<Value> {
        let (generation, mut wire) = self.wire().await?;
        let answer = match request {
            Request::One(command) | Request::Script(_, command) => wire.send(command).await,
            Request::All(pipeline) => wire.send_all(pipeline).await,
        };
        let answer = match (answer, request) {
            (Err(error), Request::Script(script, command))
                if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) =>
            {
                wire.send(&script.with_source(command)).await
            }
            (answer, _) => answer,
        };
        self.note(generation, answer.as_ref().err());
        answer
    }

    /// Sends `command` to every primary; one answer each.
    pub(super) async fn once_everywhere(&self, command: &Cmd) -> RedisResult<Vec<Value>> {
        let (generation, mut wire) = self.wire().await?;
        let answer = match &mut wire {
            Wire::Node(_) => wire.send(command).await.map(|value| vec![value]),
            Wire::Cluster(cluster) => {
                let everywhere = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
                let answers = cluster.route_command(command.clone(), everywhere).await;
                // By node.
                let answers =
                    answers.and_then(|all| Ok(redis::from_redis_value::<Vec<(Value, Value)>>(all)?));
                answers.map(|all| all.into_iter().map(|(_, value)| value).collect())
            }
        };
        self.note(generation, answer.as_ref().err());
        answer
    }

    /// From now on, connects to the cluster that the server is a node of.
    pub(super) fn use_cluster(&self) -> Result<(), CoordinatorError> {
        let builder = ClusterClient::builder([self.client.get_connection_info().clone()])
            .connection_timeout(self.connect_timeout)
            .response_timeout(self.response_timeout)
            .overall_response_timeout(Some(self.response_timeout))
            .tcp_settings(TcpSettings::default().set_nodelay(true));
        let builder = match &self.certificates {
            None => builder,
            Some(certificates) => builder.certs(certificates.clone()),
        };
        let cluster = builder
            .build()
            .map_err(|error| self.named.error("preparing the cluster's connection", &error))?;
        info!(address = self.named.address, "redis is a cluster");
        if self.cluster.set(cluster).is_ok() {
            self.slot().wire = None;
        }
        Ok(())
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The open connection, or a new one. However many wait for it, one connects at a time,
    /// and its failure is that of all who waited.
    async fn wire(&self) -> RedisResult<(u64, Wire)> {
        let attempts = match self.slot().open() {
            Ok(open) => return Ok(open),
            Err(attempts) => attempts,
        };
        let _turn = self.connecting.lock().await;
        {
            let slot = self.slot();
            match (slot.open(), &slot.failure) {
                (Ok(open), _) => return Ok(open),
                (Err(now), Some(failure)) if now != attempts => return Err(failure.clone()),
                (Err(_), _) => {}
            }
        }
        let made = tokio::time::timeout(self.connect_timeout, self.connect()).await;
        let made = made.unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()));
        let mut slot = self.slot();
        slot.attempts += 1;
        match made {
            Ok(wire) => {
                slot.generation += 1;
                slot.silence = 0;
                slot.failure = None;
                slot.wire = Some(wire.clone());
                Ok((slot.generation, wire))
            }
            Err(error) => {
                slot.failure = Some(error.clone());
                Err(error)
            }
        }
    }

    async fn connect(&self) -> RedisResult<Wire> {
        if let Some(cluster) = self.cluster.get() {
            return cluster.get_async_connection().await.map(Wire::Cluster);
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect_timeout))
            .set_response_timeout(Some(self.response_timeout))
            .set_pipeline_buffer_size(BUFFERED);
        self.client.get_multiplexed_async_connection_with_config(&config).await.map(Wire::Node)
    }

    /// Learns from an answer whether the connection is still good.
    fn note(&self, generation: u64, error: Option<&RedisError>) {
        let mut slot = self.slot();
        if slot.generation != generation {
            return;
        }
        slot.silence = match error {
            Some(error) if error.is_timeout() => slot.silence + 1,
            Some(_) | None => 0,
        };
        if slot.silence >= SILENCE_MAX || error.is_some_and(spoils_connection) {
            slot.wire = None;
        }
    }
}

impl Slot {
    fn open(&self) -> Result<(u64, Wire), u64> {
        self.wire.clone().map(|wire| (self.generation, wire)).ok_or(self.attempts)
    }
}

impl Wire {
    async fn send(&mut self, command: &Cmd) -> RedisResult<Value> {
        match self {
            Wire::Node(node) => command.query_async(node).await,
            Wire::Cluster(cluster) => command.query_async(cluster).await,
        }
    }

    async fn send_all(&mut self, pipeline: &Pipeline) -> RedisResult<Value> {
        match self {
            Wire::Node(node) => all(pipeline, node).await,
            Wire::Cluster(cluster) => all(pipeline, cluster).await,
        }
    }
}

async fn all(pipeline: &Pipeline, connection: &mut impl ConnectionLike) -> RedisResult<Value> {
    pipeline.query_async(connection).await
}
