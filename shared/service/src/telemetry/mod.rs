//! Telemetry of a process: logs always; traces and metrics by OpenTelemetry where the
//! standard `OTEL_*` variables ask for them, else nothing: no exporter, no thread, no
//! connection.
//!
//! Exporting runs on threads of its own, so that neither a slow collector nor the end of
//! the process can stop the runtime that does the work.

mod environment;
mod export;
mod ids;
mod meters;
mod scrape;
mod steps;
mod traces;

use std::fmt;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use opentelemetry::trace::TracerProvider;
use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

pub use ids::{DerivedIds, root};
pub use meters::{Label, Meters};
pub use opentelemetry::Context;
pub use scrape::Scrape;
pub use traces::{RootSpan, Traces};

use crate::logging::{self, LogSettings};
use environment::Wanted;
use export::Pipelines;

/// The longest that the end of a process waits for what was not sent yet.
pub const FLUSH_MAX: Duration = Duration::from_secs(5);

/// Spans of our own crates; what libraries say of themselves would drown them.
const OURS: &str = "packshot";

/// The telemetry of this process. Keep it until the end: dropping it sends what was not
/// sent yet, for at most [`FLUSH_MAX`].
#[must_use = "dropping it ends telemetry"]
pub struct Telemetry {
    pipelines: Option<Pipelines>,
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry")
            .field("traces", &self.traces().is_some())
            .field("metrics", &self.meters().is_some())
            .finish_non_exhaustive()
    }
}

/// Starts logs, and telemetry as the `OTEL_*` variables want it. `service_name` and
/// `version` are what the process calls itself unless `OTEL_SERVICE_NAME` or
/// `OTEL_RESOURCE_ATTRIBUTES` say otherwise.
///
/// What cannot be started is logged and left out: telemetry never keeps a process from its
/// work. May be called inside or outside of a runtime; a second call in one process
/// changes nothing and returns telemetry that is off.
pub fn start(service_name: &'static str, version: &'static str, log: &LogSettings) -> Telemetry {
    let wanted = Wanted::read(&|name| std::env::var(name).ok());
    let (pipelines, mut problems) = if wanted.nothing() {
        (None, Vec::new())
    } else {
        let (pipelines, problems) = Pipelines::build(&wanted, service_name, version);
        (Some(pipelines), problems)
    };
    problems.splice(0..0, wanted.problems);

    let tracer = pipelines.as_ref().and_then(|pipelines| pipelines.tracers.as_ref());
    let spans = tracer.map(|tracers| {
        tracing_opentelemetry::layer()
            .with_tracer(tracers.tracer(OURS))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_error_records_to_exceptions(false)
            .with_filter(
                filter_fn(|about| {
                    about.target().starts_with(OURS) && (about.is_span() || *about.level() <= Level::INFO)
                })
                .with_max_level_hint(LevelFilter::DEBUG),
            )
    });
    let meters = pipelines.as_ref().and_then(|pipelines| pipelines.meters.clone());
    let steps = meters.map(steps::layer);
    let started =
        tracing_subscriber::registry().with(spans).with(steps).with(logging::layer(log)).try_init().is_ok();
    for problem in problems {
        tracing::warn!("telemetry: {problem}");
    }
    Telemetry { pipelines: pipelines.filter(|_| started) }
}

impl Telemetry {
    /// Telemetry that is off, for processes and tests that have none.
    pub fn off() -> Telemetry {
        Telemetry { pipelines: None }
    }

    /// What traces are made with; `None` while they are off.
    pub fn traces(&self) -> Option<Traces> {
        self.pipelines.as_ref().and_then(Pipelines::traces)
    }

    /// What metrics are counted with; `None` while they are off.
    pub fn meters(&self) -> Option<Meters> {
        self.pipelines.as_ref().and_then(|pipelines| pipelines.meters.clone())
    }

    /// What Prometheus reads, for [`Checks::metrics`](crate::health::Checks::metrics);
    /// `None` unless `OTEL_METRICS_EXPORTER` names `prometheus`.
    pub fn scrape(&self) -> Option<Scrape> {
        self.pipelines.as_ref().and_then(|pipelines| pipelines.scrape.clone())
    }

    /// Sends what was not sent yet and ends, within [`FLUSH_MAX`]. Waits without help of a
    /// runtime, so it may be called from any thread; spans still open are lost.
    pub fn shutdown(self) {
        self.shutdown_within(FLUSH_MAX);
    }

    /// The same with another limit; one longer than [`FLUSH_MAX`] is not kept.
    pub fn shutdown_within(mut self, longest: Duration) {
        self.end(longest);
    }

    fn end(&mut self, longest: Duration) {
        let Some(mut pipelines) = self.pipelines.take() else { return };
        let longest = longest.min(FLUSH_MAX);
        let mut ending: Vec<Box<dyn FnOnce() -> bool + Send>> = Vec::new();
        if let Some(tracers) = pipelines.tracers.take() {
            ending.push(Box::new(move || tracers.shutdown_with_timeout(longest).is_ok()));
        }
        if let Some(providers) = pipelines.providers.take() {
            ending.push(Box::new(move || providers.shutdown_with_timeout(longest).is_ok()));
        }
        if !flushed(ending, longest) {
            tracing::warn!("telemetry was not flushed in time: the collector did not take all of it");
        }
        let runtime = pipelines.runtime.take();
        if let Some(runtime) = runtime {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        self.end(FLUSH_MAX);
    }
}

/// Runs `ending` on threads of their own; whether all went well within `longest`.
fn flushed(ending: Vec<Box<dyn FnOnce() -> bool + Send>>, longest: Duration) -> bool {
    let deadline = Instant::now() + longest;
    let (done, ended) = mpsc::channel();
    let mut waiting = 0;
    for end in ending {
        let done = done.clone();
        let run = move || {
            // Nobody waits any more if this comes too late.
            let _late = done.send(end()).is_err();
        };
        if std::thread::Builder::new().name("telemetry-end".into()).spawn(run).is_err() {
            return false;
        }
        waiting += 1;
    }
    (0..waiting).all(|_| {
        let left = deadline.saturating_duration_since(Instant::now());
        ended.recv_timeout(left).unwrap_or(false)
    })
}
