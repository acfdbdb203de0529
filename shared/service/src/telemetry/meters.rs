//! The instruments of every metric in [`crate::names`]. Label values are words of the
//! program, never data, so that the number of series is bounded by construction.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter};

use crate::names::{Instrument, METRICS, Metric};

/// Bounds of durations, in seconds: from a Redis call to a slow provider.
const SECONDS: [f64; 18] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
    600.0,
];

enum Made {
    Counter(Counter<u64>),
    Amount(Counter<f64>),
    Gauge(Gauge<f64>),
    Histogram(Histogram<f64>),
}

/// What metrics are counted with. Cheap to clone.
#[derive(Clone)]
pub struct Meters(Arc<BTreeMap<&'static str, Made>>);

impl fmt::Debug for Meters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meters").field("instruments", &self.0.len()).finish()
    }
}

/// A label and its value, both words of the program.
pub type Label = (&'static str, &'static str);

fn attributes(labels: &[Label]) -> Vec<KeyValue> {
    labels.iter().map(|(name, value)| KeyValue::new(*name, *value)).collect()
}

impl Meters {
    pub(super) fn new(meter: &Meter) -> Self {
        let make = |metric: &Metric| match metric.instrument {
            Instrument::Counter => Made::Counter(
                meter
                    .u64_counter(metric.name)
                    .with_unit(metric.unit)
                    .with_description(metric.meaning)
                    .build(),
            ),
            Instrument::Amount => Made::Amount(
                meter
                    .f64_counter(metric.name)
                    .with_unit(metric.unit)
                    .with_description(metric.meaning)
                    .build(),
            ),
            Instrument::Gauge => Made::Gauge(
                meter.f64_gauge(metric.name).with_unit(metric.unit).with_description(metric.meaning).build(),
            ),
            Instrument::Histogram => Made::Histogram(
                meter
                    .f64_histogram(metric.name)
                    .with_unit(metric.unit)
                    .with_description(metric.meaning)
                    .with_boundaries(SECONDS.to_vec())
                    .build(),
            ),
        };
        Self(Arc::new(METRICS.iter().map(|metric| (metric.name, make(metric))).collect()))
    }

    /// Counts `by` more.
    pub fn count(&self, metric: &Metric, by: u64, labels: &[Label]) {
        match self.0.get(metric.name) {
            Some(Made::Counter(counter)) => counter.add(by, &attributes(labels)),
            Some(Made::Amount(counter)) => counter.add(by as f64, &attributes(labels)),
            Some(Made::Gauge(_) | Made::Histogram(_)) | None => {}
        }
    }

    /// Records a value: a duration in seconds, the present value of a gauge, or what is to
    /// be added to an amount.
    pub fn record(&self, metric: &Metric, value: f64, labels: &[Label]) {
        match self.0.get(metric.name) {
            Some(Made::Amount(counter)) => counter.add(value, &attributes(labels)),
            Some(Made::Gauge(gauge)) => gauge.record(value, &attributes(labels)),
            Some(Made::Histogram(histogram)) => histogram.record(value, &attributes(labels)),
            Some(Made::Counter(_)) | None => {}
        }
    }
}
