//! What the distributed system shows of itself: the runtime's steps, its ports and the
//! worker's results as spans and metrics, in the names of [`packshot_service::names`].
//!
//! Ports are wrapped, so that nothing is measured in them and nothing is wrapped while
//! telemetry is off. All jobs of a SKU form one trace: its ids are derived from the batch
//! and the SKU, so that every process finds the same ones without asking anybody.

mod broker;
mod calls;
mod gauges;
mod observer;
mod submission;
mod work;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use packshot_pipeline::ids::{BatchId, Sku};
use packshot_pipeline::state::Attempt;
use packshot_runtime::clock::Clock;
use packshot_runtime::port::{Broker, Coordinator, Objects, Observer, Unobserved};
use packshot_runtime::ports::Ports;
use packshot_runtime::store::Store;
use packshot_runtime::work::Work;
use packshot_service::names::Metric;
use packshot_service::telemetry::{self, DerivedIds, Label, Meters, Telemetry, Traces};

pub use gauges::GAUGES_MS;
pub use submission::{Intake, Submission};

/// Batches whose age is kept in memory.
const BATCHES_MAX: usize = 64;

/// Puts telemetry around the parts of a process. Cheap to clone; while telemetry is off
/// every part is handed back as it is.
#[derive(Clone)]
pub struct Instruments {
    on: Option<Arc<On>>,
}

impl std::fmt::Debug for Instruments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instruments").field("on", &self.on.is_some()).finish()
    }
}

/// What there is while telemetry is on.
struct On {
    traces: Option<Traces>,
    meters: Option<Meters>,
    /// What the broker is.
    system: &'static str,
    births: Births,
}

impl Instruments {
    /// Instruments as `telemetry` wants them. Batches are looked up in `objects`; `system`
    /// is what the broker is: `rabbitmq` or `memory`.
    pub fn new(
        telemetry: &Telemetry,
        objects: Arc<dyn Objects>,
        clock: Arc<dyn Clock>,
        system: &'static str,
    ) -> Self {
        let (traces, meters) = (telemetry.traces(), telemetry.meters());
        let wanted = traces.is_some() || meters.is_some();
        let births = Births { objects, clock, known: Mutex::default() };
        Self { on: wanted.then(|| Arc::new(On { traces, meters, system, births })) }
    }

    /// Who looks at drivers and sweepers.
    pub fn observer(&self) -> Arc<dyn Observer> {
        match &self.on {
            Some(on) => Arc::clone(on) as Arc<dyn Observer>,
            None => Arc::new(Unobserved),
        }
    }

    /// Every port of a process.
    pub fn ports(&self, ports: Ports) -> Ports {
        Ports {
            coordinator: self.coordinator(ports.coordinator),
            objects: self.objects(ports.objects),
            broker: self.broker(ports.broker),
            ..ports
        }
    }

    /// The broker with a span for each message, context in its headers, and counts.
    pub fn broker(&self, broker: Arc<dyn Broker>) -> Arc<dyn Broker> {
        match &self.on {
            Some(on) => Arc::new(broker::Watched { inner: broker, on: Arc::clone(on) }),
            None => broker,
        }
    }

    /// The coordinator with durations, conflicts and cache hits.
    pub fn coordinator(&self, coordinator: Arc<dyn Coordinator>) -> Arc<dyn Coordinator> {
        match self.metered() {
            Some(on) => Arc::new(calls::Watched { inner: coordinator, on }),
            None => coordinator,
        }
    }

    /// The object store with durations.
    pub fn objects(&self, objects: Arc<dyn Objects>) -> Arc<dyn Objects> {
        match self.metered() {
            Some(on) => Arc::new(calls::Watched { inner: objects, on }),
            None => objects,
        }
    }

    /// The work with verdicts, findings and money, and with the trace's id in its results.
    pub fn work(&self, work: Arc<dyn Work>) -> Arc<dyn Work> {
        match &self.on {
            Some(on) => Arc::new(work::Watched { inner: work, on: Arc::clone(on) }),
            None => work,
        }
    }

    /// The instruments, if there is anything to count with.
    fn metered(&self) -> Option<Arc<On>> {
        self.on.clone().filter(|on| on.meters.is_some())
    }
}

impl On {
    fn count(&self, metric: &Metric, by: u64, labels: &[Label]) {
        if let Some(meters) = &self.meters
            && by > 0
        {
            meters.count(metric, by, labels);
        }
    }

    fn record(&self, metric: &Metric, value: f64, labels: &[Label]) {
        if let Some(meters) = &self.meters {
            meters.record(metric, value, labels);
        }
    }
}

/// When batches were submitted: what tells one life of a batch's name from another.
struct Births {
    objects: Arc<dyn Objects>,
    clock: Arc<dyn Clock>,
    known: Mutex<BTreeMap<BatchId, u64>>,
}

impl Births {
    /// When `batch` was submitted, in milliseconds since 1970; `None` when that cannot be
    /// found out now.
    async fn created_ms(&self, batch: &BatchId) -> Option<u64> {
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(created_ms) = known().get(batch) {
            return Some(*created_ms);
        }
        let store = Store::new(&*self.objects, &*self.clock);
        let created_ms = store.batch(batch).await.ok()??.created_ms;
        let mut known = known();
        if known.len() >= BATCHES_MAX {
            known.clear();
        }
        known.insert(batch.clone(), created_ms);
        Some(created_ms)
    }
}

/// The trace of a submission.
fn batch_ids(batch: &BatchId, created_ms: u64) -> DerivedIds {
    telemetry::root(&["batch", batch.as_str(), &created_ms.to_string()])
}

/// The trace of a SKU in a batch.
fn sku_ids(batch: &BatchId, created_ms: u64, sku: &Sku) -> DerivedIds {
    telemetry::root(&["sku", batch.as_str(), &created_ms.to_string(), sku.as_str()])
}

/// The span of an attempt in its SKU's trace; `number` may be an earlier one.
fn attempt_ids(sku: DerivedIds, attempt: &Attempt, number: u32) -> DerivedIds {
    let (incarnation, number) = (attempt.incarnation.to_string(), number.to_string());
    sku.span(&["attempt", &incarnation, attempt.target.word(), &number])
}
