//! Which telemetry is wanted, by the standard `OTEL_*` variables. Nothing is on unless a
//! variable asks for it: an endpoint turns its signal on, an exporter may be named.
//! Endpoints, headers and timeouts themselves are read by the exporters.

use opentelemetry_otlp::Protocol;
use opentelemetry_sdk::trace::Sampler;

/// How a signal leaves the process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Transport {
    /// OTLP over gRPC.
    Grpc,
    /// OTLP as protobuf over HTTP.
    Http,
}

impl Transport {
    /// As the exporters call it.
    pub(super) fn protocol(self) -> Protocol {
        match self {
            Transport::Grpc => Protocol::Grpc,
            Transport::Http => Protocol::HttpBinary,
        }
    }
}

/// What is wanted.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Traces, if at all.
    pub(super) traces: Option<Transport>,
    /// Metrics pushed, if at all.
    pub(super) metrics: Option<Transport>,
    /// Whether metrics can be scraped from the health server.
    pub(super) scrape: bool,
    /// Which traces are kept.
    pub(super) sampler: Sampler,
    /// Variables that could not be followed, one sentence each. Never their values: a
    /// value may be a secret in the wrong place.
    pub(super) problems: Vec<String>,
}

/// The variables, by name; an empty one counts as unset.
pub(super) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Wanted {
    /// Reads the variables.
    pub(super) fn read(variable: Lookup<'_>) -> Wanted {
        let variable =
            |name: &str| variable(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let mut problems = Vec::new();
        let sampler = sampler(&variable, &mut problems);
        let disabled = variable("OTEL_SDK_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true"));
        if disabled {
            return Wanted { traces: None, metrics: None, scrape: false, sampler, problems: Vec::new() };
        }
        let traces = exporters("TRACES", &["otlp"], &variable, &mut problems);
        let metrics = exporters("METRICS", &["otlp", "prometheus"], &variable, &mut problems);
        let mut transport = |signal: &str, on: bool| on.then(|| transport(signal, &variable, &mut problems));
        Wanted {
            traces: transport("TRACES", traces.contains(&"otlp")),
            metrics: transport("METRICS", metrics.contains(&"otlp")),
            scrape: metrics.contains(&"prometheus"),
            sampler,
            problems,
        }
    }

    /// Whether nothing at all is wanted.
    pub(super) fn nothing(&self) -> bool {
        self.traces.is_none() && self.metrics.is_none() && !self.scrape
    }
}

/// The exporters of a signal: those named, else OTLP where an endpoint is set.
fn exporters(
    signal: &str,
    known: &[&'static str],
    variable: &dyn Fn(&str) -> Option<String>,
    problems: &mut Vec<String>,
) -> Vec<&'static str> {
    let name = format!("OTEL_{signal}_EXPORTER");
    let Some(named) = variable(&name) else {
        let endpoint = variable(&format!("OTEL_EXPORTER_OTLP_{signal}_ENDPOINT"))
            .or_else(|| variable("OTEL_EXPORTER_OTLP_ENDPOINT"));
        return if endpoint.is_some() { vec!["otlp"] } else { Vec::new() };
    };
    let mut wanted = Vec::new();
    for word in named.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        match known.iter().find(|known| **known == word) {
            Some(known) => wanted.push(*known),
            None if word == "none" => {}
            None => problems.push(format!(
                "{name} names an exporter that does not exist here; {} and none do",
                known.join(", ")
            )),
        }
    }
    wanted
}

fn transport(
    signal: &str,
    variable: &dyn Fn(&str) -> Option<String>,
    problems: &mut Vec<String>,
) -> Transport {
    for name in [format!("OTEL_EXPORTER_OTLP_{signal}_PROTOCOL"), "OTEL_EXPORTER_OTLP_PROTOCOL".to_owned()] {
        match variable(&name).as_deref() {
            None => {}
            Some("grpc") => return Transport::Grpc,
            Some("http/protobuf") => return Transport::Http,
            Some(_) => {
                problems.push(format!("{name} is neither grpc nor http/protobuf; http/protobuf is used"));
                return Transport::Http;
            }
        }
    }
    Transport::Http
}

/// The sampler. A ratio decides by the trace's id, which is derived from the SKU, so that
/// every process decides the same for all jobs of a SKU.
fn sampler(variable: &dyn Fn(&str) -> Option<String>, problems: &mut Vec<String>) -> Sampler {
    let mut ratio = || {
        let share = variable("OTEL_TRACES_SAMPLER_ARG").map(|text| text.parse::<f64>());
        match share {
            Some(Ok(share)) if (0.0..=1.0).contains(&share) => Sampler::TraceIdRatioBased(share),
            None => Sampler::AlwaysOn,
            Some(_) => {
                problems
                    .push("OTEL_TRACES_SAMPLER_ARG is no number from 0 to 1; every trace is kept".to_owned());
                Sampler::AlwaysOn
            }
        }
    };
    match variable("OTEL_TRACES_SAMPLER").as_deref() {
        Some("always_on") => Sampler::AlwaysOn,
        Some("always_off") => Sampler::AlwaysOff,
        Some("traceidratio") => ratio(),
        Some("parentbased_always_off") => Sampler::ParentBased(Box::new(Sampler::AlwaysOff)),
        Some("parentbased_traceidratio") => Sampler::ParentBased(Box::new(ratio())),
        None | Some("parentbased_always_on") => Sampler::ParentBased(Box::new(Sampler::AlwaysOn)),
        Some(_) => {
            problems.push(
                "OTEL_TRACES_SAMPLER names a sampler that does not exist here; parentbased_always_on is used"
                    .to_owned(),
            );
            Sampler::ParentBased(Box::new(Sampler::AlwaysOn))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Wanted {
        let find = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        Wanted::read(&find)
    }

    fn check(
        variables: &[(&str, &str)],
        traces: Option<Transport>,
        metrics: Option<Transport>,
        scrape: bool,
    ) {
        let wanted = read(variables);
        assert_eq!(
            (wanted.traces, wanted.metrics, wanted.scrape),
            (traces, metrics, scrape),
            "{variables:?}"
        );
        assert!(wanted.problems.is_empty(), "{variables:?}: {:?}", wanted.problems);
    }

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
    const GRPC: (&str, &str) = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");

    #[test]
    fn nothing_is_on_until_it_is_asked_for() {
        let (grpc, http) = (Some(Transport::Grpc), Some(Transport::Http));
        check(&[], None, None, false);
        check(&[GRPC], None, None, false);
        check(&[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")], None, None, false);
        check(&[ENDPOINT], http, http, false);
        check(&[ENDPOINT, GRPC], grpc, grpc, false);
        check(&[ENDPOINT, ("OTEL_SDK_DISABLED", "true")], None, None, false);
        check(&[ENDPOINT, ("OTEL_TRACES_EXPORTER", "none")], None, http, false);
        check(&[ENDPOINT, ("OTEL_METRICS_EXPORTER", "prometheus")], http, None, true);
        check(&[("OTEL_METRICS_EXPORTER", "otlp, prometheus")], None, http, true);
        check(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://x")], http, None, false);
        check(&[ENDPOINT, GRPC, ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "http/protobuf")], grpc, http, false);
    }

    #[test]
    fn what_cannot_be_followed_is_said_without_its_value() {
        for (name, value) in [
            ("OTEL_TRACES_EXPORTER", "s3cret"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "s3cret"),
            ("OTEL_TRACES_SAMPLER", "s3cret"),
        ] {
            let wanted = read(&[ENDPOINT, (name, value)]);
            assert_eq!(wanted.problems.len(), if name.ends_with("PROTOCOL") { 2 } else { 1 }, "{name}");
            assert!(wanted.problems.iter().all(|said| said.contains(name) && !said.contains("s3cret")));
        }
    }

    #[test]
    fn samplers_have_their_standard_names() {
        let said = |name: &str, share: Option<&str>| {
            let mut variables = vec![("OTEL_TRACES_SAMPLER", name)];
            variables.extend(share.map(|share| ("OTEL_TRACES_SAMPLER_ARG", share)));
            format!("{:?}", read(&variables).sampler)
        };
        assert_eq!(said("always_off", None), "AlwaysOff");
        assert_eq!(said("traceidratio", Some("0.25")), "TraceIdRatioBased(0.25)");
        assert_eq!(said("parentbased_traceidratio", Some("0.5")), "ParentBased(TraceIdRatioBased(0.5))");
        assert_eq!(said("parentbased_traceidratio", None), "ParentBased(AlwaysOn)");
        assert_eq!(
            read(&[("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "7")]).problems.len(),
            1
        );
    }
}
