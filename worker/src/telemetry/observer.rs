//! The runtime's steps as spans, and what it saw as numbers.

use std::collections::BTreeMap;

use packshot_pipeline::ids::Sku;
use packshot_pipeline::manifest::Batch;
use packshot_pipeline::pool::Pool;
use packshot_pipeline::state::{Attempt, Event, Target};
use packshot_runtime::port::{Message, Observer, Sight, Step};
use packshot_service::{names, propagation};
use tracing::field::Empty;
use tracing::{Span, debug_span, info_span};

use super::broker::destination;
use super::{On, attempt_ids, sku_ids};

/// What a span says of itself where it went wrong.
pub(super) const STATUS_CODE: &str = "otel.status_code";

impl Observer for On {
    fn begin(&self, step: Step<'_>) -> Span {
        match step {
            Step::Process { pool, message, headers, redelivered } => {
                self.process(pool, message, headers, redelivered)
            }
            Step::Claim => debug_span!(names::CLAIM),
            Step::Attempt { header, sku, attempt } => self.attempt(header, sku, &attempt),
            Step::Look => debug_span!(names::LOOK),
            Step::Gather => debug_span!(names::GATHER),
            Step::Commit => debug_span!(names::COMMIT),
            Step::Conclude => debug_span!(names::CONCLUDE),
        }
    }

    fn saw(&self, sight: Sight<'_>) {
        match sight {
            Sight::Claimed { target, claim } => {
                let outcome = match claim {
                    Ok(number) => {
                        Span::current().record(names::ATTEMPT, number);
                        "held"
                    }
                    Err(why) => why,
                };
                Span::current().record(names::OUTCOME, outcome);
                self.count(&names::CLAIMS, 1, &[(names::ROLE, target.word()), (names::OUTCOME, outcome)]);
            }
            Sight::Found { target } => {
                Span::current().record(names::CACHED, true);
                self.count(&names::CACHE_HITS, 1, &[(names::ROLE, target.word())]);
            }
            Sight::Concluded { target, event, heard, took_ms } => {
                self.concluded(target, event, heard, took_ms);
            }
            Sight::Swept { leases_lost, sent_again } => {
                self.count(&names::LEASES_EXPIRED, leases_lost, &[]);
                self.count(&names::SENT_AGAIN, sent_again, &[]);
            }
        }
    }
}

impl On {
    /// The span of a message, a child of the span that sent it. A message without context
    /// (or with a garbled one) begins a trace of its own; its attempt finds the SKU's.
    fn process(
        &self,
        pool: Pool,
        message: &Message,
        headers: &BTreeMap<String, String>,
        redelivered: bool,
    ) -> Span {
        let destination = destination::consumer(pool);
        let span = info_span!(
            parent: None,
            names::PROCESS,
            { names::BATCH } = %message.batch,
            { names::SKU } = %message.sku,
            { names::ROLE } = message.target.word(),
            { names::POOL } = pool.word(),
            { names::ATTEMPT } = Empty,
            { names::OUTCOME } = Empty,
            { names::REDELIVERED } = redelivered,
            { names::MESSAGING_SYSTEM } = self.system,
            { names::MESSAGING_OPERATION } = "process",
            { names::MESSAGING_OPERATION_TYPE } = "process",
            { names::MESSAGING_DESTINATION } = destination,
            { names::MESSAGING_ROUTING_KEY } = pool.word(),
            { names::MESSAGING_ID } = %message.id(),
            { names::MESSAGING_CONVERSATION } = %message.batch,
            otel.name = %format_args!("{} {destination}", names::PROCESS),
            otel.kind = "consumer",
        );
        if let (Some(traces), Some(sender)) = (&self.traces, propagation::extract(headers)) {
            traces.adopt(&span, &sender);
        }
        span
    }

    /// The span of an attempt, in the trace of its SKU, with an id that the next attempt
    /// can derive to link to it.
    fn attempt(&self, header: &Batch, sku: &Sku, attempt: &Attempt) -> Span {
        let span = info_span!(
            names::ATTEMPT_SPAN,
            { names::BATCH } = %header.batch,
            { names::SKU } = %sku,
            { names::ROLE } = attempt.target.word(),
            { names::ATTEMPT } = attempt.number,
            { names::OUTCOME } = Empty,
            { names::CACHED } = Empty,
            { STATUS_CODE } = Empty,
        );
        let Some(traces) = &self.traces else { return span };
        let ids = sku_ids(&header.batch, header.created_ms, sku);
        let around = traces.context(&Span::current());
        if around.as_ref().is_none_or(|around| around.trace_id() != ids.trace) {
            traces.adopt(&span, &traces.parent(ids));
            if let Some(around) = around {
                traces.link_to(&span, around);
            }
        }
        if attempt.number > 1 {
            traces.link(&span, attempt_ids(ids, attempt, attempt.number - 1));
        }
        traces.name(&span, attempt_ids(ids, attempt, attempt.number));
        span
    }

    fn concluded(&self, target: Target, event: &Event, heard: bool, took_ms: u64) {
        let (outcome, wrong) = outcome(event);
        let span = Span::current();
        span.record(names::OUTCOME, outcome);
        if wrong {
            span.record(STATUS_CODE, "error");
        }
        let role = (names::ROLE, target.word());
        self.record(&names::JOB_DURATION, took_ms as f64 / 1_000.0, &[role, (names::OUTCOME, outcome)]);
        if !heard {
            self.count(&names::STALE_COMMITS, 1, &[role]);
        }
    }
}

/// The word for how an attempt ended, and whether that is a fault.
fn outcome(event: &Event) -> (&'static str, bool) {
    match event {
        Event::Finished { status, .. } => (status.word(), false),
        Event::Assembled { complete: true, .. } => ("published", false),
        Event::Assembled { complete: false, .. } => ("partial", false),
        Event::Transient { .. } => ("transient", true),
        Event::Failed { .. } => ("failed", true),
        Event::OverBudget { .. } => ("over-budget", false),
        Event::PutOff { .. } => ("put-off", false),
        Event::Interrupted { .. } => ("interrupted", false),
        Event::LeaseLost { .. } => ("lease-lost", true),
        Event::Started { .. }
        | Event::Renewed { .. }
        | Event::Cached { .. }
        | Event::Cancel
        | Event::Retry
        | Event::Decided { .. } => ("other", false),
    }
}
