//! Attributes of spans, fields of logs and labels of metrics.

/// The batch.
pub const BATCH: &str = "batch.id";
/// The SKU.
pub const SKU: &str = "sku";
/// The role, or `set`.
pub const ROLE: &str = "role";
/// The kind of worker.
pub const POOL: &str = "pool";
/// The attempt's number.
pub const ATTEMPT: &str = "attempt";
/// How something ended.
pub const OUTCOME: &str = "outcome";
/// How a job ended.
pub const STATUS: &str = "status";
/// In which state something stands.
pub const STATE: &str = "state";
/// What a review decided.
pub const VERDICT: &str = "verdict";
/// A drift axis.
pub const AXIS: &str = "axis";
/// How much a finding weighs.
pub const SEVERITY: &str = "severity";
/// A step of a job.
pub const STEP: &str = "step";
/// A call of a port.
pub const OPERATION: &str = "operation";
/// Why something failed.
pub const ERROR_TYPE: &str = "error.type";
/// Who made a candidate.
pub const MAKER: &str = "maker";
/// Which candidate of an attempt.
pub const CANDIDATE: &str = "candidate";
/// An edit operation.
pub const EDIT_OP: &str = "op";
/// Whether an edit made the image better and was kept.
pub const KEPT: &str = "kept";
/// Whether the broker says that it delivered the message before.
pub const REDELIVERED: &str = "redelivered";
/// Whether a result stood already.
pub const CACHED: &str = "cached";
/// How many SKUs.
pub const SKUS: &str = "skus";
/// Whether the candidate could be compared with its reference.
pub const COMPARABLE: &str = "review.comparable";
/// The axes that failed.
pub const FAILED_AXES: &str = "review.failed";
/// Drift of the shape.
pub const SCORE_SHAPE: &str = "review.score.shape";
/// Drift of the colour.
pub const SCORE_COLOUR: &str = "review.score.colour";
/// Drift of the material.
pub const SCORE_MATERIAL: &str = "review.score.material";
/// Drift of the features.
pub const SCORE_FEATURE: &str = "review.score.feature";
/// Drift of the scale.
pub const SCORE_SCALE: &str = "review.score.scale";
/// Claims added.
pub const SCORE_CLAIM: &str = "review.score.claim";
/// Technical quality lost.
pub const SCORE_QUALITY: &str = "review.score.quality";
/// The broker's kind.
pub const MESSAGING_SYSTEM: &str = "messaging.system";
/// What is done with a message.
pub const MESSAGING_OPERATION: &str = "messaging.operation.name";
/// What kind of operation that is.
pub const MESSAGING_OPERATION_TYPE: &str = "messaging.operation.type";
/// Where a message goes to or comes from.
pub const MESSAGING_DESTINATION: &str = "messaging.destination.name";
/// The message's id.
pub const MESSAGING_ID: &str = "messaging.message.id";
/// What messages belong together: the batch.
pub const MESSAGING_CONVERSATION: &str = "messaging.message.conversation_id";
/// The routing key.
pub const MESSAGING_ROUTING_KEY: &str = "messaging.rabbitmq.destination.routing_key";

/// Every attribute and label, with its meaning.
pub const ATTRIBUTES: &[(&str, &str)] = &[
    (BATCH, "the batch; on spans and in logs, never a label"),
    (SKU, "the SKU; on spans and in logs, never a label"),
    (ROLE, "the role of the image, or `set`"),
    (POOL, "the kind of worker: `studio`, `remote`, `gpu`, `assemble`"),
    (ATTEMPT, "the number of the attempt, from 1"),
    (OUTCOME, "how it ended, in a word"),
    (STATUS, "how the job ended: `accepted`, `needs-human`, `rejected`, `skipped`, `weak-reference`"),
    (STATE, "where it stands, as in `packshot status`"),
    (VERDICT, "`accept`, `edit`, `regenerate` or `human`"),
    (AXIS, "`shape`, `colour`, `material`, `feature`, `scale`, `claim` or `quality`"),
    (SEVERITY, "`note`, `warning` or `drift`"),
    (STEP, "the name of the step's span"),
    (OPERATION, "the port's method"),
    (ERROR_TYPE, "the kind of failure; absent where it went well"),
    (MAKER, "who made the candidate"),
    (CANDIDATE, "which candidate of the attempt, from 1"),
    (EDIT_OP, "the edit operation"),
    (KEPT, "whether the edit made the image better and was kept"),
    (REDELIVERED, "whether the broker says that it delivered the message before"),
    (CACHED, "whether the result stood already"),
    (SKUS, "how many SKUs were taken in"),
    (COMPARABLE, "whether the candidate could be registered to its reference"),
    (FAILED_AXES, "the axes that failed, with commas"),
    (SCORE_SHAPE, "drift of the shape; 0 = identical, absent = not comparable"),
    (SCORE_COLOUR, "the same for colour"),
    (SCORE_MATERIAL, "the same for material"),
    (SCORE_FEATURE, "the same for features"),
    (SCORE_SCALE, "the same for scale"),
    (SCORE_CLAIM, "the same for claims"),
    (SCORE_QUALITY, "the same for technical quality"),
    (MESSAGING_SYSTEM, "`rabbitmq`, or `memory` in one process"),
    (MESSAGING_OPERATION, "`publish`, `process`, `ack`, `retry` or `dead-letter`"),
    (MESSAGING_OPERATION_TYPE, "`send`, `process` or `settle`"),
    (MESSAGING_DESTINATION, "exchange and pool; for consumers the queue too"),
    (MESSAGING_ID, "batch, SKU, role and number"),
    (MESSAGING_CONVERSATION, "the batch"),
    (MESSAGING_ROUTING_KEY, "the pool"),
];
