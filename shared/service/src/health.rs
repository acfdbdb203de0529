//! Health over HTTP: `/livez` says whether the process should be left alone, `/readyz`
//! whether it does its work, `/metrics` what it counts, in Prometheus' text format.
//!
//! A check is a closure that says what the process knows already; it must not wait. What
//! takes time (a ping, a look at a queue) is done by the process in its own loop, which
//! beats a [`Pulse`] or keeps the last answer.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::lifecycle::Shutdown;
use crate::telemetry::Scrape;

/// Where health is served unless a setting says otherwise: this machine only.
pub const DEFAULT_ADDR: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9464);

/// A check: `Err` is the reason why it fails, for people.
type Probe = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

#[derive(Default)]
struct Registered {
    live: BTreeMap<&'static str, Probe>,
    ready: BTreeMap<&'static str, Probe>,
    scrape: Option<Scrape>,
}

/// The named checks of a process. Cheap to clone; checks may be added while it is served.
#[derive(Clone, Default)]
pub struct Checks(Arc<Mutex<Registered>>);

impl std::fmt::Debug for Checks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let registered = self.registered();
        f.debug_struct("Checks")
            .field("live", &registered.live.keys().collect::<Vec<_>>())
            .field("ready", &registered.ready.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl Checks {
    /// No checks: alive and ready as long as it answers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a check that fails when only a restart helps. Never let it depend on an outside
    /// system: the restart of a whole cluster does not mend a broker.
    pub fn live(&self, name: &'static str, probe: impl Fn() -> Result<(), String> + Send + Sync + 'static) {
        self.registered().live.insert(name, Box::new(probe));
    }

    /// Adds a check that fails while the process cannot do its work.
    pub fn ready(&self, name: &'static str, probe: impl Fn() -> Result<(), String> + Send + Sync + 'static) {
        self.registered().ready.insert(name, Box::new(probe));
    }

    /// Serves these metrics under `/metrics`; `None` leaves the page away.
    pub fn metrics(&self, scrape: Option<Scrape>) {
        self.registered().scrape = scrape;
    }

    fn registered(&self) -> std::sync::MutexGuard<'_, Registered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A sign of life of a loop, asked for by a check.
#[derive(Debug)]
pub struct Pulse {
    start: Instant,
    last_ms: AtomicU64,
}

impl Pulse {
    /// A pulse that has just beaten.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { start: Instant::now(), last_ms: AtomicU64::new(0) })
    }

    /// The loop is alive.
    pub fn beat(&self) {
        self.last_ms.store(self.start.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    /// A check that fails when the last beat is older than `silent_max`.
    pub fn probe(
        self: &Arc<Self>,
        silent_max: Duration,
    ) -> impl Fn() -> Result<(), String> + Send + Sync + use<> {
        let pulse = Arc::clone(self);
        move || {
            let last = Duration::from_millis(pulse.last_ms.load(Ordering::Relaxed));
            let silent = pulse.start.elapsed().saturating_sub(last);
            if silent <= silent_max {
                Ok(())
            } else {
                Err(format!(
                    "no sign of life for {} s, at most {} s are allowed",
                    silent.as_secs(),
                    silent_max.as_secs()
                ))
            }
        }
    }
}

/// A health server that runs. It ends with the process' hard stop, or when this is dropped.
#[derive(Debug)]
pub struct Serving {
    addr: SocketAddr,
    task: JoinHandle<()>,
}

impl Serving {
    /// Where it listens; tells the port where 0 was asked for.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone)]
struct Served {
    checks: Checks,
    stopping: CancellationToken,
}

/// Serves `checks` on `addr`. From the soft stop on the process is not ready any more, but
/// it still answers, until the hard stop.
///
/// # Errors
/// When the address cannot be bound.
pub async fn serve(addr: SocketAddr, checks: Checks, shutdown: &Shutdown) -> std::io::Result<Serving> {
    let listener = TcpListener::bind(addr).await?;
    let addr = listener.local_addr()?;
    let served = Served { checks, stopping: shutdown.soft.clone() };
    let router = Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(served);
    let hard = shutdown.hard.clone();
    let task = tokio::spawn(async move {
        let serving = axum::serve(listener, router).with_graceful_shutdown(hard.cancelled_owned());
        if let Err(error) = serving.await {
            tracing::warn!(%error, "the health server ended");
        }
    });
    Ok(Serving { addr, task })
}

/// The body of `/livez` and `/readyz`.
#[derive(Serialize)]
struct Answer {
    status: &'static str,
    checks: BTreeMap<&'static str, Checked>,
}

#[derive(Serialize)]
struct Checked {
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

fn answer(probes: &BTreeMap<&'static str, Probe>, more: Option<(&'static str, String)>) -> Response {
    let mut checks: BTreeMap<&'static str, Checked> = probes
        .iter()
        .map(|(name, probe)| {
            let reason = probe().err();
            (*name, Checked { ok: reason.is_none(), reason })
        })
        .collect();
    if let Some((name, reason)) = more {
        checks.insert(name, Checked { ok: false, reason: Some(reason) });
    }
    let fine = checks.values().all(|checked| checked.ok);
    let (code, status) =
        if fine { (StatusCode::OK, "ok") } else { (StatusCode::SERVICE_UNAVAILABLE, "failing") };
    (code, Json(Answer { status, checks })).into_response()
}

async fn livez(State(served): State<Served>) -> Response {
    answer(&served.checks.registered().live, None)
}

async fn readyz(State(served): State<Served>) -> Response {
    let stopping = served
        .stopping
        .is_cancelled()
        .then(|| ("stopping", "the process was asked to stop and takes no new work".to_owned()));
    answer(&served.checks.registered().ready, stopping)
}

async fn metrics(State(served): State<Served>) -> Response {
    let scrape = served.checks.registered().scrape.clone();
    match scrape {
        Some(scrape) => {
            let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
            (kind, scrape.text()).into_response()
        }
        None => {
            let why = "metrics are off; OTEL_METRICS_EXPORTER=prometheus turns them on\n";
            (StatusCode::NOT_FOUND, why).into_response()
        }
    }
}
