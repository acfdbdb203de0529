//! Metrics.

#[allow(clippy::wildcard_imports, reason = "names are one vocabulary")]
use super::attributes::*;
use super::{Instrument, Metric};

/// Ready jobs.
pub const READY: Metric = gauge("packshot.ready", "{job}", &[POOL], "jobs to be handed out, now or later");
/// Jobs in the window.
pub const DISPATCHED: Metric = gauge(
    "packshot.dispatched",
    "{job}",
    &[POOL],
    "jobs in the window: handed to the broker and not claimed yet",
);
/// Jobs being worked at.
pub const LEASED: Metric = gauge("packshot.leased", "{job}", &[POOL], "jobs being worked at");
/// Age of the backlog's head.
pub const READY_OLDEST_AGE: Metric = gauge(
    "packshot.ready.oldest.age",
    "s",
    &[POOL],
    "how long the first of the due jobs has been seen waiting to be handed out",
);
/// Open batches.
pub const BATCHES: Metric =
    gauge("packshot.batches", "{batch}", &[STATE], "open batches: `running`, `paused` or `cancelled`");
/// Jobs by state.
pub const JOBS: Metric =
    gauge("packshot.jobs", "{job}", &[ROLE, STATE], "jobs and sets of the open batches by state");
/// SKUs of open batches.
pub const OPEN_SKUS: Metric = gauge(
    "packshot.skus",
    "{sku}",
    &[STATE],
    "SKUs of the open batches: `open`, or `settled` when nothing more happens without a person",
);
/// Money of open batches.
pub const OPEN_COST: Metric =
    gauge("packshot.batches.cost", "USD", &[], "what the open batches have cost so far");
/// Claims.
pub const CLAIMS: Metric = counter(
    "packshot.claims",
    "{claim}",
    &[ROLE, OUTCOME],
    "messages by what their claim met: `held`, or why the message was dropped",
);
/// Redeliveries.
pub const REDELIVERIES: Metric = counter(
    "packshot.redeliveries",
    "{message}",
    &[POOL],
    "messages that the broker says it delivered before",
);
/// Messages to come again.
pub const RETRIES: Metric = counter(
    "packshot.retries",
    "{message}",
    &[POOL],
    "messages given back because not even a claim was possible",
);
/// Dead letters.
pub const DEAD_LETTERS: Metric =
    counter("packshot.dead_letters", "{message}", &[POOL], "messages that can never be done");
/// Stale commits.
pub const STALE_COMMITS: Metric = counter(
    "packshot.commits.stale",
    "{commit}",
    &[ROLE],
    "attempts that ended after somebody else had taken over",
);
/// Conflicts.
pub const CONFLICTS: Metric = counter(
    "packshot.commits.conflicts",
    "{commit}",
    &[],
    "compare-and-sets of a document that somebody else was faster at; tried again at once",
);
/// Leases lost.
pub const LEASES_EXPIRED: Metric =
    counter("packshot.leases.expired", "{lease}", &[], "claims whose worker stopped answering");
/// Messages sent again.
pub const SENT_AGAIN: Metric = counter(
    "packshot.messages.sent_again",
    "{message}",
    &[],
    "messages that nobody claimed in time and that are sent again",
);
/// Duration of attempts.
pub const JOB_DURATION: Metric = histogram(
    "packshot.job.duration",
    "s",
    &[ROLE, OUTCOME],
    "how long an attempt took from its claim to its end",
);
/// Duration of steps.
pub const STEP_DURATION: Metric =
    histogram("packshot.step.duration", "s", &[ROLE, STEP], "how long a step of a job took");
/// Results.
pub const RESULTS: Metric =
    counter("packshot.results", "{job}", &[ROLE, STATUS], "results that this worker made");
/// Verdicts.
pub const VERDICTS: Metric =
    counter("packshot.verdicts", "{review}", &[ROLE, VERDICT], "last verdicts of the images made");
/// Findings.
pub const FINDINGS: Metric = counter(
    "packshot.findings",
    "{finding}",
    &[AXIS, SEVERITY],
    "findings in the last reviews of the images made",
);
/// Cache hits.
pub const CACHE_HITS: Metric =
    counter("packshot.cache.hits", "{job}", &[ROLE], "jobs whose result stood already");
/// Money.
pub const COST: Metric = amount("packshot.cost", "USD", &[ROLE], "what the results made here have cost");
/// Duration of coordinator calls.
pub const COORDINATOR_DURATION: Metric = histogram(
    "packshot.coordinator.duration",
    "s",
    &[OPERATION, ERROR_TYPE],
    "calls of the coordination store",
);
/// Duration of object store calls.
pub const OBJECTS_DURATION: Metric =
    histogram("packshot.objects.duration", "s", &[OPERATION, ERROR_TYPE], "calls of the object store");
/// Messages sent.
pub const SENT: Metric = counter(
    "messaging.client.sent.messages",
    "{message}",
    &[MESSAGING_SYSTEM, MESSAGING_OPERATION, MESSAGING_DESTINATION, ERROR_TYPE],
    "messages sent",
);
/// Messages received.
pub const CONSUMED: Metric = counter(
    "messaging.client.consumed.messages",
    "{message}",
    &[MESSAGING_SYSTEM, MESSAGING_OPERATION, MESSAGING_DESTINATION],
    "messages received",
);
/// Duration of broker calls.
pub const CLIENT_DURATION: Metric = histogram(
    "messaging.client.operation.duration",
    "s",
    &[MESSAGING_SYSTEM, MESSAGING_OPERATION, MESSAGING_DESTINATION, ERROR_TYPE],
    "calls of the broker: publishing with its confirmation, ending a delivery",
);
/// Duration of handling.
pub const PROCESS_DURATION: Metric = histogram(
    "messaging.process.duration",
    "s",
    &[MESSAGING_SYSTEM, MESSAGING_OPERATION, MESSAGING_DESTINATION],
    "from the delivery of a message to its end",
);

/// Every metric.
pub const METRICS: &[&Metric] = &[
    &READY,
    &DISPATCHED,
    &LEASED,
    &READY_OLDEST_AGE,
    &BATCHES,
    &JOBS,
    &OPEN_SKUS,
    &OPEN_COST,
    &CLAIMS,
    &REDELIVERIES,
    &RETRIES,
    &DEAD_LETTERS,
    &STALE_COMMITS,
    &CONFLICTS,
    &LEASES_EXPIRED,
    &SENT_AGAIN,
    &JOB_DURATION,
    &STEP_DURATION,
    &RESULTS,
    &VERDICTS,
    &FINDINGS,
    &CACHE_HITS,
    &COST,
    &COORDINATOR_DURATION,
    &OBJECTS_DURATION,
    &SENT,
    &CONSUMED,
    &CLIENT_DURATION,
    &PROCESS_DURATION,
];

const fn counter(
    name: &'static str,
    unit: &'static str,
    labels: &'static [&'static str],
    meaning: &'static str,
) -> Metric {
    Metric { name, instrument: Instrument::Counter, unit, labels, meaning }
}

const fn amount(
    name: &'static str,
    unit: &'static str,
    labels: &'static [&'static str],
    meaning: &'static str,
) -> Metric {
    Metric { name, instrument: Instrument::Amount, unit, labels, meaning }
}

const fn gauge(
    name: &'static str,
    unit: &'static str,
    labels: &'static [&'static str],
    meaning: &'static str,
) -> Metric {
    Metric { name, instrument: Instrument::Gauge, unit, labels, meaning }
}

const fn histogram(
    name: &'static str,
    unit: &'static str,
    labels: &'static [&'static str],
    meaning: &'static str,
) -> Metric {
    Metric { name, instrument: Instrument::Histogram, unit, labels, meaning }
}
