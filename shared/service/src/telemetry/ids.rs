//! Trace and span ids that anybody can derive: the same words give the same ids in every
//! process and after every restart, so that the jobs of a SKU form one trace without
//! anything being remembered.

use std::cell::Cell;
use std::fmt;

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};

/// A trace id and a span id in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DerivedIds {
    /// Of the trace.
    pub trace: TraceId,
    /// Of one span of it.
    pub span: SpanId,
}

/// The trace that `words` name, and the id of its root span.
pub fn root(words: &[&str]) -> DerivedIds {
    let bytes = digest("trace", words);
    let (trace, rest) = bytes.split_at(16);
    DerivedIds { trace: TraceId::from_bytes(first(trace)), span: SpanId::from_bytes(first(rest)) }
}

impl DerivedIds {
    /// Another span of the same trace, by its own words.
    pub fn span(self, words: &[&str]) -> DerivedIds {
        let trace = self.trace.to_string();
        let mut all = vec![trace.as_str()];
        all.extend(words);
        DerivedIds { trace: self.trace, span: SpanId::from_bytes(first(&digest("span", &all))) }
    }

    /// The span as seen from another process.
    pub fn remote(self, sampled: bool) -> SpanContext {
        let flags = if sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
        SpanContext::new(self.trace, self.span, flags, true, TraceState::default())
    }
}

/// BLAKE3 of the words, each with its length, so that no two lists of words are one.
fn digest(kind: &str, words: &[&str]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for word in ["packshot telemetry", kind].iter().chain(words) {
        hasher.update(&(word.len() as u64).to_le_bytes());
        hasher.update(word.as_bytes());
    }
    *hasher.finalize().as_bytes()
}

/// The first `N` bytes; an id of zeros would not be valid, so that one is avoided.
fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut id = [0; N];
    for (to, from) in id.iter_mut().zip(bytes) {
        *to = *from;
    }
    if id == [0; N] {
        id[N - 1] = 1;
    }
    id
}

thread_local! {
    static NEXT: Cell<Option<DerivedIds>> = const { Cell::new(None) };
}

/// Runs `start`, which starts one span on this thread; that span gets `ids`. Its trace id
/// counts only if it has no parent.
pub(super) fn start_as<T>(ids: DerivedIds, start: impl FnOnce() -> T) -> T {
    NEXT.set(Some(ids));
    let started = start();
    NEXT.set(None);
    started
}

/// Random ids, but for the span that [`start_as`] starts.
#[derive(Clone, Default)]
pub(super) struct Ids(RandomIdGenerator);

impl fmt::Debug for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ids")
    }
}

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        NEXT.get().map_or_else(|| self.0.new_trace_id(), |ids| ids.trace)
    }

    fn new_span_id(&self) -> SpanId {
        NEXT.get().map_or_else(|| self.0.new_span_id(), |ids| ids.span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_told_apart_by_their_ends() {
        assert_eq!(root(&["ab", "c"]), root(&["ab", "c"]));
        assert_ne!(root(&["ab", "c"]), root(&["a", "bc"]));
        assert_ne!(root(&["ab"]), root(&["ab", ""]));
        let trace = root(&["sku"]);
        assert_eq!(trace.span(&["main", "1"]).trace, trace.trace);
        assert_ne!(trace.span(&["main", "1"]).span, trace.span(&["main", "2"]).span);
        assert_ne!(trace.span(&["main", "1"]).span, root(&["other"]).span(&["main", "1"]).span);
    }

    #[test]
    fn only_the_span_started_inside_gets_the_ids() {
        let (ids, wanted) = (Ids::default(), root(&["x"]));
        assert_eq!(start_as(wanted, || (ids.new_trace_id(), ids.new_span_id())), (wanted.trace, wanted.span));
        assert_ne!(ids.new_span_id(), wanted.span);
    }
}
