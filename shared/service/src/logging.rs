//! Logs of a process: to standard error, so that standard output stays data.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

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

/// Starts logging. The level comes from `PACKSHOT_LOG` (`info`, `debug`,
/// `packshot_runtime=trace`, ...), else `default_level`. Calling it twice keeps the first.
pub fn start(default_level: &str, format: LogFormat) {
    let filter = EnvFilter::try_from_env("PACKSHOT_LOG").unwrap_or_else(|_| EnvFilter::new(default_level));
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    // An error here means that a subscriber is set already, which is what is wanted.
    let _already_set = match format {
        LogFormat::Text => registry.with(layer.without_time()).try_init().is_err(),
        LogFormat::Json => registry.with(layer.json()).try_init().is_err(),
    };
}
