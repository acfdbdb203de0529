//! Every name by which this program can be seen from outside: spans, attributes and
//! metrics. Dashboards and alerts hold on to them, so a name is a contract; the page
//! `deploy/TELEMETRY.md` is this module in words, and a test compares the two.
//!
//! A SKU or a batch is an attribute of spans and a field of logs, never a label of a
//! metric: labels have a fixed, small set of values.

mod attributes;
mod metrics;
mod page;
mod spans;

pub use attributes::*;
pub use metrics::*;
pub use page::page;
pub use spans::*;

/// How a metric is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Instrument {
    /// A whole number that only grows.
    Counter,
    /// A sum that only grows, with fractions.
    Amount,
    /// A present value.
    Gauge,
    /// A distribution.
    Histogram,
}

impl Instrument {
    /// The word of the table.
    pub fn word(self) -> &'static str {
        match self {
            Instrument::Counter | Instrument::Amount => "counter",
            Instrument::Gauge => "gauge",
            Instrument::Histogram => "histogram",
        }
    }
}

/// A metric.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// How it is counted.
    pub instrument: Instrument,
    /// Its unit, in UCUM.
    pub unit: &'static str,
    /// Names of its labels.
    pub labels: &'static [&'static str],
    /// What it says.
    pub meaning: &'static str,
}

/// A span.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// Its name, or the first word of it where the rest is a destination.
    pub name: &'static str,
    /// Its kind.
    pub kind: &'static str,
    /// Attributes of its own; those of the spans around it are not repeated.
    pub attributes: &'static [&'static str],
    /// What it stands for.
    pub meaning: &'static str,
}
