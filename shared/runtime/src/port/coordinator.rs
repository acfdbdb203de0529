//! The coordinator: who may work at what, now. It can be thrown away and rebuilt from the
//! object store at any time.

use async_trait::async_trait;
use packshot_pipeline::change::{Change, Progress, Slot};
use packshot_pipeline::ids::{BatchId, Sku};
use packshot_pipeline::pool::Pool;
use packshot_pipeline::state::{Incarnation, SkuState};
use packshot_pipeline::tally::Tally;
use serde::{Deserialize, Serialize};

use super::Source;

/// What went wrong, for code that branches on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CoordinatorFault {
    /// Not reachable, overloaded or too slow. Worth a retry; a commit may have happened.
    Unavailable,
    /// Credentials or a setting that the guarantees depend on. Not worth a retry.
    Refused,
    /// No memory is left. Worth a retry once somebody has made room.
    Full,
    /// What is stored cannot be understood, for example written by a newer version.
    Unreadable,
}

/// The coordinator failed.
#[derive(Debug, thiserror::Error)]
#[error("coordinator: {what}")]
pub struct CoordinatorError {
    /// For code.
    pub kind: CoordinatorFault,
    /// For people: what was being done and what can be done about it.
    pub what: String,
    /// The cause.
    #[source]
    pub source: Option<Source>,
    /// How long to wait, in milliseconds, where the other side said so.
    pub retry_after_ms: Option<u64>,
}

/// A document's version: changes with every commit, never returns within an incarnation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Version(pub u64);

/// A document and its version.
#[derive(Clone, PartialEq, Debug)]
pub struct Versioned {
    /// To be named in the next commit.
    pub version: Version,
    /// The document.
    pub state: SkuState,
}

/// What became of a commit.
#[derive(Clone, PartialEq, Debug)]
pub enum Commit {
    /// Document and change are in, together.
    Done(Version),
    /// The document is of another version, of another life, or gone; nothing was changed.
    /// Decide again. This is also the answer to a commit that is repeated after an unknown
    /// outcome and had happened.
    Conflict {
        /// The document as it stands, where the store found it on the way: saves loading it.
        present: Option<Box<Versioned>>,
    },
}

/// What became of a create.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Created {
    /// The document is new.
    Yes,
    /// There is one already; nothing was changed.
    Exists,
    /// The document belongs to an earlier life of the store; nothing was changed. Make it
    /// again for the present one.
    Outlived,
}

/// Whether a batch's jobs are handed out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Running {
    /// Yes.
    Yes,
    /// Not until it is resumed; what has been claimed goes on.
    Paused,
    /// Never again; documents are being cancelled.
    Cancelled,
}

/// What the dispatcher has to know of an open batch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BatchControl {
    /// Which batch.
    pub batch: BatchId,
    /// Weight among open batches, at least 1.
    pub priority: u32,
    /// Whether its jobs are handed out.
    pub running: Running,
}

/// How much of a batch stands where, in one pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Depth {
    /// To be dispatched, now or later.
    pub ready: u64,
    /// Handed to the broker and not claimed yet.
    pub dispatched: u64,
    /// Claimed.
    pub leased: u64,
}

/// Documents with compare-and-set, and the index of ready, dispatched and leased work that
/// changes in the same atomic step.
///
/// **Contract.** `create` and `commit` are atomic: document, index, tally and news change
/// together or not at all. Each [`IndexOp`](packshot_pipeline::change::IndexOp) puts its
/// slot into one place (ready, leased, nowhere) and takes it out of every other,
/// *dispatched* included; ops are idempotent. `mark_dispatched` and `mark_ready` move only
/// what still stands where it is moved from, so a dispatcher that is late, or one of two,
/// does no harm. Everything may be lost at once (then `incarnation` changes); nothing may
/// be lost in part. A document whose incarnation is not the store's is never taken in, so
/// what was decided in an earlier life cannot reach into this one. Times are milliseconds since 1970 and always given by the caller.
#[async_trait]
pub trait Coordinator: Send + Sync {
    /// The store's present life; a random one is kept when there is none.
    async fn incarnation(&self) -> Result<Incarnation, CoordinatorError>;

    /// Puts the batch among the open ones, or changes how it is handed out.
    async fn control(&self, control: &BatchControl) -> Result<(), CoordinatorError>;

    /// The open batches, by name.
    async fn batches(&self) -> Result<Vec<BatchControl>, CoordinatorError>;

    /// Forgets a batch: documents, index, tally, news.
    async fn forget(&self, batch: &BatchId) -> Result<(), CoordinatorError>;

    /// Stores a new document.
    async fn create(&self, state: &SkuState, change: &Change) -> Result<Created, CoordinatorError>;

    /// Reads a document; `None` when there is none.
    async fn load(&self, batch: &BatchId, sku: &Sku) -> Result<Option<Versioned>, CoordinatorError>;

    /// Replaces a document if it is still of version `expected`.
    async fn commit(
        &self,
        expected: Version,
        state: &SkuState,
        change: &Change,
    ) -> Result<Commit, CoordinatorError>;

    /// Up to `limit` SKUs that have a document, after `after`, in byte order of the SKU.
    async fn skus(
        &self,
        batch: &BatchId,
        after: Option<&Sku>,
        limit: usize,
    ) -> Result<Vec<Sku>, CoordinatorError>;

    /// Up to `limit` slots whose time has come, the longest due first. Nothing is moved.
    async fn ready(
        &self,
        batch: &BatchId,
        pool: Pool,
        now_ms: u64,
        limit: usize,
    ) -> Result<Vec<Slot>, CoordinatorError>;

    /// Moves slots from ready to dispatched.
    async fn mark_dispatched(
        &self,
        batch: &BatchId,
        pool: Pool,
        slots: &[Slot],
        now_ms: u64,
    ) -> Result<(), CoordinatorError>;

    /// Moves slots from dispatched back to ready.
    async fn mark_ready(
        &self,
        batch: &BatchId,
        pool: Pool,
        slots: &[Slot],
        now_ms: u64,
    ) -> Result<(), CoordinatorError>;

    /// Up to `limit` slots dispatched before `before_ms` and not claimed, oldest first.
    async fn silent(
        &self,
        batch: &BatchId,
        pool: Pool,
        before_ms: u64,
        limit: usize,
    ) -> Result<Vec<Slot>, CoordinatorError>;

    /// Up to `limit` slots whose lease ran out before or at `now_ms`, oldest first.
    async fn expired(
        &self,
        batch: &BatchId,
        now_ms: u64,
        limit: usize,
    ) -> Result<Vec<Slot>, CoordinatorError>;

    /// How much stands where.
    async fn depth(&self, batch: &BatchId, pool: Pool) -> Result<Depth, CoordinatorError>;

    /// The batch's totals; empty when there is no such batch.
    async fn tally(&self, batch: &BatchId) -> Result<Tally, CoordinatorError>;

    /// Up to `limit` pieces of news after number `after`, each with its number. Old news
    /// may be gone; numbers grow.
    async fn news(
        &self,
        batch: &BatchId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Progress)>, CoordinatorError>;

    /// Returns when something may have changed since the call that returned `seen` (0 at
    /// first). A hint that saves waiting; a store that cannot tell never returns.
    async fn changed(&self, seen: u64) -> u64;
}
