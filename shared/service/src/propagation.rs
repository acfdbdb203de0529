//! Trace context in message headers: W3C `traceparent`, `tracestate` and `baggage`.
//! Headers come from outside: what is missing or garbled is no context, never an error.

use std::collections::BTreeMap;

use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::TraceContextExt;
use opentelemetry_sdk::propagation::{BaggagePropagator, TraceContextPropagator};

/// The longest header that is read, in bytes; the longest that the W3C asks for.
const HEADER_BYTES_MAX: usize = 8_192;

struct Write<'a>(&'a mut BTreeMap<String, String>);

impl Injector for Write<'_> {
    fn set(&mut self, key: &str, value: String) {
        if !value.is_empty() {
            self.0.insert(key.to_owned(), value);
        }
    }
}

struct Read<'a>(&'a BTreeMap<String, String>);

impl Extractor for Read<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        // Header names are compared without case: proxies and shovels rewrite them.
        let found = self.0.get(key).or_else(|| {
            self.0.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value)
        });
        found.map(String::as_str).filter(|value| value.len() <= HEADER_BYTES_MAX)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }
}

/// Puts `context` into `headers`; a context without a valid span adds no `traceparent`.
pub fn inject(context: &Context, headers: &mut BTreeMap<String, String>) {
    TraceContextPropagator::new().inject_context(context, &mut Write(headers));
    BaggagePropagator::new().inject_context(context, &mut Write(headers));
}

/// The context in `headers`, if there is a valid one.
pub fn extract(headers: &BTreeMap<String, String>) -> Option<Context> {
    let headers = Read(headers);
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &headers);
    if !context.span().span_context().is_valid() {
        return None;
    }
    Some(BaggagePropagator::new().extract_with_context(&context, &headers))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use opentelemetry::KeyValue;
    use opentelemetry::baggage::BaggageExt;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_context_survives_the_headers() {
        let sent = headers(&[("traceparent", PARENT), ("tracestate", "a=b"), ("baggage", "tenant=x")]);
        let context = extract(&sent).unwrap();
        assert_eq!(context.span().span_context().trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(context.span().span_context().is_sampled());
        assert_eq!(context.baggage().get("tenant").map(ToString::to_string), Some("x".to_owned()));
        let mut again = BTreeMap::new();
        inject(&context.with_baggage([KeyValue::new("tenant", "x")]), &mut again);
        assert_eq!(again, sent);
    }

    #[test]
    fn names_are_read_without_case() {
        assert!(extract(&headers(&[("Traceparent", PARENT)])).is_some());
    }

    #[test]
    fn missing_and_garbled_headers_are_no_context() {
        let long = format!("{PARENT}{}", "-x".repeat(HEADER_BYTES_MAX));
        for garbled in [
            "",
            "nonsense",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "\u{1f980}-\u{0}-\u{0}-\u{0}",
            long.as_str(),
        ] {
            assert!(extract(&headers(&[("traceparent", garbled)])).is_none(), "{garbled:.60}");
        }
        assert!(extract(&BTreeMap::new()).is_none());
        let odd = headers(&[("traceparent", PARENT), ("tracestate", "\u{1f980},,=,"), ("baggage", "%%%=;;")]);
        assert!(extract(&odd).is_some(), "a bad tracestate does not cost the trace");
        let mut none = BTreeMap::new();
        inject(&Context::new(), &mut none);
        assert!(none.is_empty());
    }
}
