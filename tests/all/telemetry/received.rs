//! What a collector has received, in a form that tests can ask.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

use mock_collector::{MockServer, Protocol, ServerHandle};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};

/// A collector on a free port.
pub(super) struct Collector {
    server: ServerHandle,
    protocol: &'static str,
}

/// One span.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub(super) name: String,
    pub(super) kind: i32,
    pub(super) trace: String,
    pub(super) id: String,
    pub(super) parent: String,
    pub(super) attributes: BTreeMap<String, String>,
    pub(super) links: Vec<(String, String)>,
    pub(super) instance: String,
    pub(super) service: String,
    pub(super) is_error: bool,
}

impl Span {
    /// The span's first word: what the table of names calls it.
    pub(super) fn word(&self) -> &str {
        let word = self.name.split(' ').next().unwrap_or_default();
        if ["ack", "retry", "dead-letter"].contains(&word) { "settle" } else { word }
    }

    pub(super) fn says(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }
}

fn text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => text.clone(),
        Some(any_value::Value::BoolValue(value)) => value.to_string(),
        Some(any_value::Value::IntValue(value)) => value.to_string(),
        Some(any_value::Value::DoubleValue(value)) => value.to_string(),
        other => format!("{other:?}"),
    }
}

fn map(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    attributes.iter().map(|pair| (pair.key.clone(), text(pair.value.as_ref()))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

impl Collector {
    pub(super) async fn grpc() -> Self {
        let server = MockServer::builder().protocol(Protocol::Grpc).start().await.unwrap();
        Self { server, protocol: "grpc" }
    }

    pub(super) async fn http() -> Self {
        let server = MockServer::builder().protocol(Protocol::HttpBinary).start().await.unwrap();
        Self { server, protocol: "http/protobuf" }
    }

    /// The variables that send a process' telemetry here.
    pub(super) fn variables(&self) -> Vec<(&'static str, String)> {
        vec![
            ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", self.server.addr())),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", self.protocol.to_owned()),
        ]
    }

    /// Everything received so far; waits until there is something. A process that has
    /// ended has sent everything before.
    pub(super) async fn spans(&self) -> Vec<Span> {
        self.server.wait_for_spans(1, Duration::from_secs(10)).await.unwrap();
        self.server
            .with_collector(|collector| {
                let one = |received: &mock_collector::TestSpan| {
                    let (span, resource) = (received.span(), map(received.resource_attrs()));
                    let of = |name: &str| resource.get(name).cloned().unwrap_or_default();
                    Span {
                        name: span.name.clone(),
                        kind: span.kind,
                        trace: hex(&span.trace_id),
                        id: hex(&span.span_id),
                        parent: hex(&span.parent_span_id),
                        attributes: map(&span.attributes),
                        links: span
                            .links
                            .iter()
                            .map(|link| (hex(&link.trace_id), hex(&link.span_id)))
                            .collect(),
                        instance: of("service.instance.id"),
                        service: of("service.name"),
                        is_error: span.status.as_ref().is_some_and(|status| status.code == 2),
                    }
                };
                collector.spans().iter().map(one).collect()
            })
            .await
    }

    /// Metrics received so far, with the names of their labels.
    pub(super) async fn metrics(&self) -> BTreeMap<String, BTreeSet<String>> {
        use opentelemetry_proto::tonic::metrics::v1::metric::Data;
        self.server.wait_for_metrics(1, Duration::from_secs(10)).await.unwrap();
        self.server
            .with_collector(|collector| {
                let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
                for received in collector.metrics() {
                    let metric = received.metric();
                    let labels: Vec<&[KeyValue]> = match &metric.data {
                        Some(Data::Gauge(gauge)) => {
                            gauge.data_points.iter().map(|point| &point.attributes[..]).collect()
                        }
                        Some(Data::Sum(sum)) => {
                            sum.data_points.iter().map(|point| &point.attributes[..]).collect()
                        }
                        Some(Data::Histogram(histogram)) => {
                            histogram.data_points.iter().map(|point| &point.attributes[..]).collect()
                        }
                        other => panic!("{} is neither gauge, sum nor histogram: {other:?}", metric.name),
                    };
                    let names = labels.into_iter().flatten().map(|label| label.key.clone());
                    found.entry(metric.name.clone()).or_default().extend(names);
                }
                found
            })
            .await
    }
}
