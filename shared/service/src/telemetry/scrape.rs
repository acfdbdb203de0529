//! The metrics as Prometheus reads them (text format 0.0.4), from the same instruments
//! that OTLP exports, collected when it asks. Names follow the OpenTelemetry rules for
//! Prometheus: `packshot.job.duration` in seconds becomes `packshot_job_duration_seconds`,
//! and counters end in `_total`.

use std::fmt::{Display, Write};
use std::sync::{Arc, Weak};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, Metric, MetricData, ResourceMetrics};
use opentelemetry_sdk::metrics::reader::MetricReader;
use opentelemetry_sdk::metrics::{InstrumentKind, ManualReader, Pipeline, Temporality};

/// The metrics of this process, to be read at any time. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Scrape(Arc<ManualReader>);

impl Scrape {
    pub(super) fn new() -> Self {
        Self(Arc::new(ManualReader::builder().build()))
    }

    /// The reader to be registered with the provider.
    pub(super) fn reader(&self) -> impl MetricReader + use<> {
        Shared(Arc::clone(&self.0))
    }

    /// Everything counted so far.
    pub fn text(&self) -> String {
        let mut metrics = ResourceMetrics::default();
        let mut page = String::new();
        if let Err(error) = self.0.collect(&mut metrics) {
            tracing::debug!(%error, "metrics could not be collected");
            return page;
        }
        let about: Vec<KeyValue> = metrics
            .resource()
            .iter()
            .map(|(name, value)| KeyValue::new(name.clone(), value.clone()))
            .collect();
        head(&mut page, "target_info", "gauge", "Who is being scraped");
        sample(&mut page, "target_info", about.iter(), None, 1);
        for scope in metrics.scope_metrics() {
            for metric in scope.metrics() {
                write_metric(&mut page, metric);
            }
        }
        page
    }
}

/// The reader that both the provider and the page hold.
#[derive(Debug)]
struct Shared(Arc<ManualReader>);

impl MetricReader for Shared {
    fn register_pipeline(&self, pipeline: Weak<Pipeline>) {
        self.0.register_pipeline(pipeline);
    }
    fn collect(&self, metrics: &mut ResourceMetrics) -> OTelSdkResult {
        self.0.collect(metrics)
    }
    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }
    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }
    fn temporality(&self, kind: InstrumentKind) -> Temporality {
        self.0.temporality(kind)
    }
}

fn write_metric(page: &mut String, metric: &Metric) {
    match metric.data() {
        AggregatedMetrics::F64(data) => write_data(page, metric, data),
        AggregatedMetrics::U64(data) => write_data(page, metric, data),
        AggregatedMetrics::I64(data) => write_data(page, metric, data),
    }
}

fn write_data<T: Copy + Display>(page: &mut String, metric: &Metric, data: &MetricData<T>) {
    match data {
        MetricData::Gauge(gauge) => {
            let name = name(metric, false);
            head(page, &name, "gauge", metric.description());
            for point in gauge.data_points() {
                sample(page, &name, point.attributes(), None, point.value());
            }
        }
        MetricData::Sum(sum) => {
            let name = name(metric, sum.is_monotonic());
            let kind = if sum.is_monotonic() { "counter" } else { "gauge" };
            head(page, &name, kind, metric.description());
            for point in sum.data_points() {
                sample(page, &name, point.attributes(), None, point.value());
            }
        }
        MetricData::Histogram(histogram) => {
            let name = name(metric, false);
            head(page, &name, "histogram", metric.description());
            let bucket = format!("{name}_bucket");
            for point in histogram.data_points() {
                let mut below = 0;
                let bounds = point.bounds().map(|bound| bound.to_string()).chain(["+Inf".to_owned()]);
                for (bound, count) in bounds.zip(point.bucket_counts()) {
                    below += count;
                    sample(page, &bucket, point.attributes(), Some(&bound), below);
                }
                sample(page, &format!("{name}_sum"), point.attributes(), None, point.sum());
                sample(page, &format!("{name}_count"), point.attributes(), None, point.count());
            }
        }
        // No instrument of ours aggregates so.
        MetricData::ExponentialHistogram(_) => {}
    }
}

/// The metric's name with its unit, as Prometheus writes them.
fn name(metric: &Metric, counter: bool) -> String {
    let mut name = plain(metric.name());
    let unit = match metric.unit() {
        "s" => "_seconds",
        "By" => "_bytes",
        "USD" => "_usd",
        _ => "",
    };
    if !name.ends_with(unit) {
        name.push_str(unit);
    }
    if counter {
        name.push_str("_total");
    }
    name
}

/// Letters, digits and `_` only.
fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

// Writing to a text cannot fail.

fn head(page: &mut String, name: &str, kind: &str, meaning: &str) {
    let meaning = meaning.replace('\\', "\\\\").replace('\n', "\\n");
    let _written = write!(page, "# HELP {name} {meaning}\n# TYPE {name} {kind}\n");
}

fn sample<'a>(
    page: &mut String,
    name: &str,
    attributes: impl Iterator<Item = &'a KeyValue>,
    bound: Option<&str>,
    value: impl Display,
) {
    let mut labels: Vec<String> = attributes
        .map(|attribute| {
            format!("{}=\"{}\"", plain(attribute.key.as_str()), escaped(&attribute.value.as_str()))
        })
        .collect();
    labels.sort_unstable();
    labels.extend(bound.map(|bound| format!("le=\"{bound}\"")));
    let _written = if labels.is_empty() {
        writeln!(page, "{name} {value}")
    } else {
        writeln!(page, "{name}{{{}}} {value}", labels.join(","))
    };
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names;
    use crate::telemetry::Meters;
    use opentelemetry::metrics::MeterProvider;
    use opentelemetry_sdk::Resource;
    use opentelemetry_sdk::metrics::SdkMeterProvider;

    #[test]
    fn the_page_has_every_kind_of_instrument() {
        let scrape = Scrape::new();
        let resource = Resource::builder_empty()
            .with_attributes([KeyValue::new("service.name", "a \"quoted\"\nname")])
            .build();
        let providers =
            SdkMeterProvider::builder().with_resource(resource).with_reader(scrape.reader()).build();
        let meters = Meters::new(&providers.meter("x"));
        meters.count(&names::CLAIMS, 2, &[(names::POOL, "studio"), (names::OUTCOME, "held")]);
        meters.count(&names::CLAIMS, 3, &[(names::POOL, "studio"), (names::OUTCOME, "held")]);
        meters.record(&names::READY, 7.0, &[(names::POOL, "studio")]);
        meters.record(&names::JOB_DURATION, 0.3, &[(names::ROLE, "main")]);
        meters.record(&names::JOB_DURATION, 4000.0, &[(names::ROLE, "main")]);
        meters.record(&names::COST, 0.04, &[(names::ROLE, "lifestyle")]);
        let page = scrape.text();
        for line in [
            "target_info{service_name=\"a \\\"quoted\\\"\\nname\"} 1",
            "# TYPE packshot_claims_total counter",
            "packshot_claims_total{outcome=\"held\",pool=\"studio\"} 5",
            "packshot_ready{pool=\"studio\"} 7",
            "# TYPE packshot_job_duration_seconds histogram",
            "packshot_job_duration_seconds_bucket{role=\"main\",le=\"0.25\"} 0",
            "packshot_job_duration_seconds_bucket{role=\"main\",le=\"0.5\"} 1",
            "packshot_job_duration_seconds_bucket{role=\"main\",le=\"+Inf\"} 2",
            "packshot_job_duration_seconds_sum{role=\"main\"} 4000.3",
            "packshot_job_duration_seconds_count{role=\"main\"} 2",
            "packshot_cost_usd_total{role=\"lifestyle\"} 0.04",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
        }
        let nothing = scrape.text().matches("# TYPE packshot_verdicts_total").count();
        assert_eq!(nothing, 0, "what was never counted is not shown");
    }
}
