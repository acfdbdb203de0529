//! Logs of a process: to standard error, so that standard output stays data. As text for
//! people, or as one JSON object a line with the fields of the spans around it and, where
//! traces are on, `trace_id` and `span_id`.
//!
//! A log never holds a secret, a prompt or an image: whoever writes a line chooses its
//! fields, and types that hold secrets do not show them.

use std::fmt;
use std::io::IsTerminal;

use opentelemetry::trace::TraceContextExt;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// How log lines look.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// What is logged, and how.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct LogSettings {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a list such as
    /// `warn,packshot_runtime=debug`. The variable `PACKSHOT_LOG` wins.
    pub level: String,
    /// How lines look.
    pub format: LogFormat,
}

/// Starts logging without telemetry. The level comes from `PACKSHOT_LOG` (`info`, `debug`,
/// `packshot_runtime=trace`, ...), else `default_level`. Calling it twice keeps the first.
pub fn start(default_level: &str, format: LogFormat) {
    let log = layer(&LogSettings { level: default_level.to_owned(), format });
    // An error here means that a subscriber is set already, which is what is wanted.
    let _already_set = tracing_subscriber::registry().with(log).try_init().is_err();
}

/// What libraries say of themselves and nobody asked for: the telemetry libraries below a
/// warning, and the AMQP client altogether, because the adapter says once and in its own words
/// whatever the client meets.
const QUIET: &str = "opentelemetry=warn,lapin=off";

/// The layer that writes log lines. What libraries are quiet about can be asked for by name.
pub(crate) fn layer<S>(log: &LogSettings) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let filter = EnvFilter::try_from_env("PACKSHOT_LOG")
        .unwrap_or_else(|_| EnvFilter::new(format!("{QUIET},{}", log.level)));
    // Colours are for people who look at a terminal, not for files.
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(colours);
    match log.format {
        LogFormat::Text => layer.without_time().with_filter(filter).boxed(),
        LogFormat::Json => {
            layer.event_format(JsonLines).fmt_fields(JsonFields::new()).with_filter(filter).boxed()
        }
    }
}

/// One JSON object a line: `timestamp`, `level`, `target`, `message`, `trace_id`,
/// `span_id`, `span` (the innermost), and every field of the event and of the spans around
/// it; the nearest one wins.
struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Map::new();
        if let Some(scope) = context.event_scope() {
            for span in scope.from_root() {
                let extensions = span.extensions();
                let recorded = extensions.get::<FormattedFields<N>>();
                if let Some(Ok(Value::Object(recorded))) =
                    recorded.map(|recorded| serde_json::from_str(&recorded.fields))
                {
                    fields.extend(recorded);
                }
            }
        }
        event.record(&mut Collect(&mut fields));

        let mut line = Map::new();
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        line.insert("timestamp".into(), time.into());
        let metadata = event.metadata();
        line.insert("level".into(), metadata.level().as_str().into());
        line.insert("target".into(), metadata.target().into());
        line.insert("message".into(), fields.remove("message").unwrap_or_default());
        let trace = opentelemetry::Context::current();
        let trace = trace.span().span_context().clone();
        if trace.is_valid() {
            line.insert("trace_id".into(), trace.trace_id().to_string().into());
            line.insert("span_id".into(), trace.span_id().to_string().into());
        }
        if let Some(span) = context.lookup_current() {
            line.insert("span".into(), span.name().into());
        }
        for (name, value) in fields {
            line.entry(name).or_insert(value);
        }
        writeln!(writer, "{}", Value::Object(line))
    }
}

/// Fields as JSON values.
struct Collect<'a>(&'a mut Map<String, Value>);

impl Collect<'_> {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Collect<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
}
