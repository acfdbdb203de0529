//! What spans need beyond `tracing`: a parent in another process, links, ids that can be
//! derived, and a root span that is written once its end is known.

use std::time::SystemTime;

use opentelemetry::trace::{Link, Span as _, SpanContext, SpanKind, TraceContextExt, TraceId, Tracer};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, SdkTracer, ShouldSample};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::DerivedIds;
use super::ids::start_as;

/// Makes traces. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Traces {
    tracer: SdkTracer,
    sampler: Sampler,
}

/// A finished root span.
#[derive(Clone, Debug)]
pub struct RootSpan {
    /// Its trace and its own id.
    pub ids: DerivedIds,
    /// Its name.
    pub name: &'static str,
    /// When what it stands for began.
    pub started: SystemTime,
    /// Spans of other traces that it belongs to.
    pub links: Vec<SpanContext>,
    /// What it says, by name.
    pub attributes: Vec<(&'static str, String)>,
}

impl Traces {
    pub(super) fn new(tracer: SdkTracer, sampler: Sampler) -> Self {
        Self { tracer, sampler }
    }

    /// Whether the trace is kept. Depends on nothing but its id and the settings, so every
    /// process decides the same.
    pub fn keeps(&self, trace: TraceId) -> bool {
        let decided = self.sampler.should_sample(None, trace, "", &SpanKind::Internal, &[], &[]);
        decided.decision == SamplingDecision::RecordAndSample
    }

    /// The derived span as the parent of spans in this process.
    pub fn parent(&self, ids: DerivedIds) -> Context {
        Context::new().with_remote_span_context(ids.remote(self.keeps(ids.trace)))
    }

    /// Makes `span` a child of `parent`. Must be called before the span is entered.
    pub fn adopt(&self, span: &Span, parent: &Context) {
        // A span that is filtered out has no parent, and needs none.
        let _adopted = span.set_parent(parent.clone());
    }

    /// Gives `span` the id of `ids`. Must be called before the span is entered, and after
    /// it was adopted into the trace of `ids`.
    pub fn name(&self, span: &Span, ids: DerivedIds) {
        start_as(ids, || drop(span.context()));
    }

    /// Links `span` to a derived span.
    pub fn link(&self, span: &Span, ids: DerivedIds) {
        span.add_link(ids.remote(self.keeps(ids.trace)));
    }

    /// Links `span` to another one.
    pub fn link_to(&self, span: &Span, other: SpanContext) {
        span.add_link(other);
    }

    /// The context inside of `span`, to be sent along with a message.
    pub fn here(&self, span: &Span) -> Context {
        span.context()
    }

    /// The id of the trace that `span` is part of; `None` when nobody will see it.
    pub fn trace_id(&self, span: &Span) -> Option<String> {
        let context = span.context();
        let context = context.span().span_context().clone();
        (context.is_valid() && context.is_sampled()).then(|| context.trace_id().to_string())
    }

    /// The span itself, to be linked to by others; `None` when it is not traced.
    pub fn context(&self, span: &Span) -> Option<SpanContext> {
        let context = span.context();
        let context = context.span().span_context().clone();
        context.is_valid().then_some(context)
    }

    /// Writes a root span that ends now.
    pub fn root(&self, root: RootSpan) {
        let attributes = root.attributes.into_iter().map(|(name, value)| KeyValue::new(name, value));
        let builder = self
            .tracer
            .span_builder(root.name)
            .with_kind(SpanKind::Internal)
            .with_start_time(root.started)
            .with_attributes(attributes)
            .with_links(root.links.into_iter().map(Link::with_context).collect());
        let mut span = start_as(root.ids, || builder.start_with_context(&self.tracer, &Context::new()));
        span.end();
    }
}
