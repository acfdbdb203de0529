//! The observer: whoever looks at the runtime while it works. The runtime says which step
//! begins and what it saw; names, traces and numbers are the observer's business.

use std::collections::BTreeMap;

use packshot_pipeline::ids::Sku;
use packshot_pipeline::manifest::Batch;
use packshot_pipeline::pool::Pool;
use packshot_pipeline::state::{Attempt, Event, Target};
use tracing::Span;

use super::Message;

/// A step that takes time.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// Handling a message, until its delivery is ended.
    Process {
        /// From whose queue.
        pool: Pool,
        /// Which job.
        message: &'a Message,
        /// As received.
        headers: &'a BTreeMap<String, String>,
        /// Whether the broker says that it was delivered before.
        redelivered: bool,
    },
    /// Counting an attempt.
    Claim,
    /// What a claimed attempt does; every following step is part of it.
    Attempt {
        /// Of which batch.
        header: &'a Batch,
        /// Of which SKU.
        sku: &'a Sku,
        /// Which one.
        attempt: Attempt,
    },
    /// Looking whether it is done already.
    Look,
    /// Reading what it needs.
    Gather,
    /// Putting the result.
    Commit,
    /// Telling the document.
    Conclude,
}

/// Something that happened.
#[derive(Clone, Copy, Debug)]
pub enum Sight<'a> {
    /// A claim was decided: an attempt's number, or why the message is dropped.
    Claimed {
        /// Of what.
        target: Target,
        /// The number, or the reason.
        claim: Result<u32, &'static str>,
    },
    /// The result stood already when the attempt looked.
    Found {
        /// Of what.
        target: Target,
    },
    /// An attempt ended.
    Concluded {
        /// At what.
        target: Target,
        /// How.
        event: &'a Event,
        /// Whether the document took it; `false` when somebody else had taken over.
        heard: bool,
        /// Since its claim, in milliseconds.
        took_ms: u64,
    },
    /// A sweep ended.
    Swept {
        /// Leases that had run out.
        leases_lost: u64,
        /// Messages to be sent again.
        sent_again: u64,
    },
}

/// Looks on. Must be quick: it is called in the middle of things.
pub trait Observer: Send + Sync {
    /// The span of a step, in which the step then runs; a span that is off costs nothing.
    fn begin(&self, step: Step<'_>) -> Span {
        logged(step)
    }

    /// What happened, told inside of the step's span.
    fn saw(&self, sight: Sight<'_>) {
        if let Sight::Claimed { claim: Ok(number), .. } = sight {
            Span::current().record("attempt", number);
        }
    }
}

/// Nobody looks: log lines say which job they belong to, and that is all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl Observer for Unobserved {}

/// The span that log lines need.
fn logged(step: Step<'_>) -> Span {
    match step {
        Step::Process { message, .. } => tracing::info_span!(
            "process",
            batch.id = %message.batch,
            sku = %message.sku,
            role = %message.target,
            attempt = tracing::field::Empty
        ),
        Step::Claim | Step::Attempt { .. } | Step::Look | Step::Gather | Step::Commit | Step::Conclude => {
            Span::none()
        }
    }
}
