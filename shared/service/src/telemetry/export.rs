//! The pipelines out of the process: exporters, providers, and the runtime of their own
//! that gRPC needs.

use opentelemetry::KeyValue;
use opentelemetry::metrics::MeterProvider;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{ExporterBuildError, MetricExporter, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, Sampler, SdkTracerProvider};
use tokio::runtime::Runtime;

use super::environment::{Transport, Wanted};
use super::ids::Ids;
use super::{Meters, OURS, Scrape, Traces};

/// Everything that runs while telemetry is on.
pub(super) struct Pipelines {
    pub(super) tracers: Option<SdkTracerProvider>,
    pub(super) providers: Option<SdkMeterProvider>,
    pub(super) meters: Option<Meters>,
    pub(super) scrape: Option<Scrape>,
    /// Drives gRPC connections, apart from the runtime that does the work.
    pub(super) runtime: Option<Runtime>,
    sampler: Sampler,
}

impl Pipelines {
    /// Builds what is wanted; what cannot be built is left out and said.
    pub(super) fn build(
        wanted: &Wanted,
        service_name: &'static str,
        version: &'static str,
    ) -> (Pipelines, Vec<String>) {
        let mut problems = Vec::new();
        let runtime = runtime(wanted).unwrap_or_else(|error| {
            problems.push(format!("no thread for the exporter: {error}"));
            None
        });
        let inside = runtime.as_ref().map(Runtime::enter);
        // One TLS stack; a process that has chosen its provider already keeps it.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let resource = resource(service_name, version);
        let mut kept =
            |what: &str, error: &ExporterBuildError| problems.push(format!("{what} are off: {error}"));

        let spans = wanted.traces.map(span_exporter);
        let tracers = match spans {
            Some(Ok(exporter)) => Some(
                SdkTracerProvider::builder()
                    .with_resource(resource.clone())
                    .with_sampler(wanted.sampler.clone())
                    .with_id_generator(Ids::default())
                    .with_batch_exporter(exporter)
                    .build(),
            ),
            Some(Err(error)) => {
                kept("traces", &error);
                None
            }
            None => None,
        };
        let pushed = wanted
            .metrics
            .map(metric_exporter)
            .and_then(|built| built.map_err(|error| kept("pushed metrics", &error)).ok());
        let scrape = wanted.scrape.then(Scrape::new);
        let providers = (pushed.is_some() || scrape.is_some()).then(|| {
            let mut builder = SdkMeterProvider::builder().with_resource(resource);
            if let Some(exporter) = pushed {
                builder = builder.with_periodic_exporter(exporter);
            }
            if let Some(scrape) = &scrape {
                builder = builder.with_reader(scrape.reader());
            }
            builder.build()
        });
        let meters = providers.as_ref().map(|providers| Meters::new(&providers.meter(OURS)));
        drop(inside);
        let sampler = wanted.sampler.clone();
        (Pipelines { tracers, providers, meters, scrape, runtime, sampler }, problems)
    }

    /// What traces are made with.
    pub(super) fn traces(&self) -> Option<Traces> {
        self.tracers.as_ref().map(|tracers| Traces::new(tracers.tracer(OURS), self.sampler.clone()))
    }
}

/// A runtime with one thread, if gRPC is wanted; HTTP exporters bring their own.
fn runtime(wanted: &Wanted) -> std::io::Result<Option<Runtime>> {
    if ![wanted.traces, wanted.metrics].contains(&Some(Transport::Grpc)) {
        return Ok(None);
    }
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).thread_name("telemetry").enable_all().build().map(Some)
}

fn span_exporter(transport: Transport) -> Result<SpanExporter, ExporterBuildError> {
    let builder = SpanExporter::builder();
    match transport {
        Transport::Grpc => builder.with_tonic().with_protocol(transport.protocol()).build(),
        Transport::Http => builder.with_http().with_protocol(transport.protocol()).build(),
    }
}

fn metric_exporter(transport: Transport) -> Result<MetricExporter, ExporterBuildError> {
    let builder = MetricExporter::builder();
    match transport {
        Transport::Grpc => builder.with_tonic().with_protocol(transport.protocol()).build(),
        Transport::Http => builder.with_http().with_protocol(transport.protocol()).build(),
    }
}

/// Who speaks. The environment wins; an instance that has no name gets a random one, so
/// that two workers on one machine are two.
fn resource(service_name: &'static str, version: &'static str) -> Resource {
    let environment = Resource::builder().build();
    let given = |key: &'static str| environment.get(&key.into());
    let named = given("service.name").is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    let mut own = Vec::new();
    if !named {
        own.push(KeyValue::new("service.name", service_name));
    }
    if given("service.version").is_none() {
        own.push(KeyValue::new("service.version", version));
    }
    if given("service.namespace").is_none() {
        own.push(KeyValue::new("service.namespace", OURS));
    }
    if given("service.instance.id").is_none() {
        own.push(KeyValue::new(
            "service.instance.id",
            RandomIdGenerator::default().new_trace_id().to_string(),
        ));
    }
    Resource::builder().with_attributes(own).build()
}
