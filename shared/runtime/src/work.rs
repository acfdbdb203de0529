//! What a worker is asked to do, and what it may answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use packshot_pipeline::layout;
use packshot_pipeline::manifest::{Batch, ManifestSku};
use packshot_pipeline::result::{Decision, JobResult, SavedCandidate, SetResult};
use packshot_pipeline::role::Role;
use packshot_pipeline::state::{Attempt, SkuState, Target};
use tokio_util::sync::CancellationToken;

use crate::port::{Objects, ObjectsError, Put};

/// A claimed job: everything a worker needs to do it, read from the object store.
#[derive(Clone)]
pub struct ClaimedJob {
    /// The batch's header: settings, policy, prices.
    pub batch: Arc<Batch>,
    /// The SKU's entry: product, references, job keys.
    pub entry: Arc<ManifestSku>,
    /// The document as claimed.
    pub state: SkuState,
    /// The claim; its [`Attempt::name`] is the idempotency key of everything it causes.
    pub attempt: Attempt,
    /// For a role: committed results of the accepted roles it waits for. For the set:
    /// committed results of every role that has one, accepted or not (the document says).
    pub results: BTreeMap<Role, JobResult>,
    /// For the set: human decisions by role, the last one counts.
    pub decisions: BTreeMap<Role, Vec<Decision>>,
    /// Paid answers of earlier attempts, oldest first. Review them before paying again.
    pub candidates: Vec<SavedCandidate>,
    /// Cancelled when the lease is lost, an operator cancels or the process stops: leave
    /// as soon as possible with [`Outcome::Interrupted`].
    pub stop: CancellationToken,
    /// Where blobs and candidates go.
    pub objects: Arc<dyn Objects>,
}

impl ClaimedJob {
    /// What is to be done.
    pub fn target(&self) -> Target {
        self.attempt.target
    }

    /// The attempt's full name: `incarnation/batch/slug/target/number`.
    pub fn name(&self) -> String {
        self.attempt.name(&self.state.batch, &self.state.sku)
    }

    /// Whether a role of this SKU is accepted (by review or by a person).
    pub fn is_accepted(&self, role: Role) -> bool {
        self.state
            .jobs
            .get(&role)
            .is_some_and(|job| job.state == packshot_pipeline::state::JobState::Accepted)
    }

    /// Saves the `n`th paid answer of this attempt, before anything else happens to it.
    pub async fn save_candidate(&self, n: u32, candidate: &SavedCandidate) -> Result<(), ObjectsError> {
        let Target::Role(role) = self.target() else { return Ok(()) };
        let Some(job) = self.state.jobs.get(&role) else { return Ok(()) };
        let key = layout::candidate(&job.key, &format!("{}-{n:03}", self.attempt.file_name()));
        let bytes = serde_json::to_vec(candidate).map_err(|error| ObjectsError {
            kind: crate::port::ObjectsFault::Broken,
            what: format!("writing {key}"),
            source: Some(Box::new(error)),
            retry_after_ms: None,
        })?;
        // "Exists" can only be this very attempt, repeated after an unknown outcome.
        match self.objects.put_if_absent(&key, Bytes::from(bytes)).await? {
            Put::Stored | Put::Exists => Ok(()),
        }
    }
}

/// How a claimed job ended. Blobs and exported files are in the object store already.
#[derive(Clone, PartialEq, Debug)]
pub enum Outcome {
    /// A job's result, to be committed.
    Job(Box<JobResult>),
    /// A set, to be committed; its files stand under
    /// `layout::set_folder(sku, set.revision())`.
    Set(Box<SetResult>),
    /// A fault that may pass.
    Transient {
        /// The fault.
        why: String,
        /// Not sooner than this, in milliseconds, if the other side said so.
        retry_after_ms: Option<u64>,
    },
    /// A fault that will not pass.
    Failed {
        /// The fault.
        why: String,
    },
    /// The money was not there.
    OverBudget {
        /// Which cap.
        why: String,
    },
    /// `stop` was cancelled before it was finished.
    Interrupted,
}

/// Does claimed jobs.
#[async_trait]
pub trait Work: Send + Sync {
    /// Does one. Pixel work belongs on the processor pool, not on the runtime's threads.
    async fn work(&self, job: &ClaimedJob) -> Outcome;
}
