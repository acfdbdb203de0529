//! Spans.

use super::Span;
#[allow(clippy::wildcard_imports, reason = "names are one vocabulary")]
use super::attributes::*;

/// Submitting a batch.
pub const SUBMIT: &str = "submit";
/// The root of a SKU's trace.
pub const SKU_ROOT: &str = "sku";
/// Taking one SKU in.
pub const INTAKE: &str = "intake";
/// Sending a message.
pub const PUBLISH: &str = "publish";
/// Handling a message.
pub const PROCESS: &str = "process";
/// Ending a delivery.
pub const SETTLE: &str = "settle";
/// Claiming a job.
pub const CLAIM: &str = "claim";
/// One attempt at a job.
pub const ATTEMPT_SPAN: &str = "attempt";
/// Looking for what is done already.
pub const LOOK: &str = "look";
/// Reading what the job needs.
pub const GATHER: &str = "gather";
/// Measuring references.
pub const INSPECT: &str = "inspect";
/// Making a candidate.
pub const GENERATE: &str = "generate";
/// Reviewing a frame.
pub const REVIEW: &str = "review";
/// Editing a frame.
pub const EDIT: &str = "edit";
/// Encoding and storing images.
pub const STORE: &str = "store";
/// Assembling a set.
pub const ASSEMBLE: &str = "assemble";
/// Committing a result.
pub const COMMIT: &str = "commit";
/// Telling the document.
pub const CONCLUDE: &str = "conclude";

/// The steps of a job whose duration is measured.
pub const STEPS: &[&str] =
    &[CLAIM, LOOK, GATHER, INSPECT, GENERATE, REVIEW, EDIT, STORE, ASSEMBLE, COMMIT, CONCLUDE];

/// Values of [`ROLE`] as a label.
pub const ROLES: &[&str] =
    &["main", "cleanup", "detail", "angle", "lifestyle", "feature", "comparison", "ad", "on-model", "set"];

const MESSAGE: &[&str] = &[
    BATCH,
    SKU,
    ROLE,
    POOL,
    MESSAGING_SYSTEM,
    MESSAGING_OPERATION,
    MESSAGING_OPERATION_TYPE,
    MESSAGING_DESTINATION,
    MESSAGING_ROUTING_KEY,
    MESSAGING_ID,
    MESSAGING_CONVERSATION,
    ERROR_TYPE,
];

/// Every span.
pub const SPANS: &[Span] = &[
    Span {
        name: SUBMIT,
        kind: "internal",
        attributes: &[BATCH, SKUS],
        meaning: "taking a catalog in; a trace of its own per batch",
    },
    Span {
        name: SKU_ROOT,
        kind: "internal",
        attributes: &[BATCH, SKU],
        meaning: "the root of the SKU's trace, written once its document is new; linked to `submit`",
    },
    Span {
        name: INTAKE,
        kind: "internal",
        attributes: &[BATCH, SKU],
        meaning: "taking one SKU in: references, inspection, entry and document",
    },
    Span {
        name: PUBLISH,
        kind: "producer",
        attributes: MESSAGE,
        meaning: "`publish {exchange}:{pool}`: sending a job's message, until it is confirmed; travels in the message",
    },
    Span {
        name: PROCESS,
        kind: "consumer",
        attributes: &[
            BATCH,
            SKU,
            ROLE,
            POOL,
            ATTEMPT,
            OUTCOME,
            REDELIVERED,
            MESSAGING_SYSTEM,
            MESSAGING_OPERATION,
            MESSAGING_OPERATION_TYPE,
            MESSAGING_DESTINATION,
            MESSAGING_ROUTING_KEY,
            MESSAGING_ID,
            MESSAGING_CONVERSATION,
            ERROR_TYPE,
        ],
        meaning: "`process {exchange}:{pool}:{queue}`: handling a message; child of the `publish` that sent it",
    },
    Span {
        name: SETTLE,
        kind: "client",
        attributes: &[
            MESSAGING_SYSTEM,
            MESSAGING_OPERATION,
            MESSAGING_OPERATION_TYPE,
            MESSAGING_DESTINATION,
            ERROR_TYPE,
        ],
        meaning: "`ack`, `retry` or `dead-letter {destination}`: ending the delivery",
    },
    Span {
        name: CLAIM,
        kind: "internal",
        attributes: &[],
        meaning: "counting an attempt in the SKU's document",
    },
    Span {
        name: ATTEMPT_SPAN,
        kind: "internal",
        attributes: &[BATCH, SKU, ROLE, ATTEMPT, OUTCOME, CACHED],
        meaning: "what a claimed attempt does; linked to the attempt before it",
    },
    Span {
        name: LOOK,
        kind: "internal",
        attributes: &[],
        meaning: "looking whether the job is done already",
    },
    Span { name: GATHER, kind: "internal", attributes: &[], meaning: "reading what the job needs" },
    Span { name: INSPECT, kind: "internal", attributes: &[], meaning: "measuring the SKU's references" },
    Span {
        name: GENERATE,
        kind: "internal",
        attributes: &[MAKER, CANDIDATE],
        meaning: "making one candidate",
    },
    Span {
        name: REVIEW,
        kind: "internal",
        attributes: &[
            VERDICT,
            COMPARABLE,
            FAILED_AXES,
            SCORE_SHAPE,
            SCORE_COLOUR,
            SCORE_MATERIAL,
            SCORE_FEATURE,
            SCORE_SCALE,
            SCORE_CLAIM,
            SCORE_QUALITY,
        ],
        meaning: "measuring one frame against the reference, with its score per axis",
    },
    Span { name: EDIT, kind: "internal", attributes: &[EDIT_OP, KEPT], meaning: "one edit, with its review" },
    Span { name: STORE, kind: "internal", attributes: &[], meaning: "encoding and storing the images" },
    Span { name: ASSEMBLE, kind: "internal", attributes: &[], meaning: "comparing and exporting a set" },
    Span {
        name: COMMIT,
        kind: "internal",
        attributes: &[],
        meaning: "putting the result, which decides who has done the job",
    },
    Span {
        name: CONCLUDE,
        kind: "internal",
        attributes: &[],
        meaning: "telling the document how the attempt ended",
    },
];
