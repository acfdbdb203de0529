//! What a worker is asked to do, and what it may answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use packshot_pipeline::layout;
use packshot_pipeline::manifest::{Batch, ManifestSku};
use packshot_pipeline::result::{Decision, JobResult, SavedCandidate, SetResult};
use packshot_pipeline::role::Role;
use packshot_pipeline::state::{Attempt, Event, SkuState, Target};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::clock::Clock;
use crate::port::{Coordinator, Objects, ObjectsError, ObjectsFault, Put};
use crate::tell::{Told, tell};

/// The wait before a paid answer that could not be saved is saved again, in milliseconds;
/// doubles.
const SAVE_AGAIN_MS_MIN: u64 = 200;
/// The longest such wait, in milliseconds.
const SAVE_AGAIN_MS_MAX: u64 = 5_000;

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
    /// By which [`ClaimedJob::is_held`] asks.
    pub hold: Hold,
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

    /// Whether the job is still this attempt's, as the coordinator says: to be asked right
    /// before paying. A process that stood still for longer than its lease wakes up as one of
    /// two, and so does one whose coordinator has lost its memory; neither must buy what the
    /// other one buys. Not knowing counts as no. The lease begins anew.
    pub async fn is_held(&self) -> bool {
        let Hold { coordinator, clock } = &self.hold;
        let (policy, renewed) = (&self.batch.settings.policy, Event::Renewed { attempt: self.attempt });
        let (batch, sku) = (&self.state.batch, &self.state.sku);
        match tell(&**coordinator, &**clock, policy, batch, sku, &renewed).await {
            Ok(told) => matches!(told, Told::Applied(_)) && !self.stop.is_cancelled(),
            Err(error) => {
                warn!(%error, "cannot see whether the job is still ours; nothing is bought");
                false
            }
        }
    }

    /// Saves the `n`th paid answer of this attempt, before anything else happens to it. What
    /// is paid must not be lost while the object store is away, so this waits for it as long
    /// as the job is not told to stop.
    pub async fn save_candidate(&self, n: u32, candidate: &SavedCandidate) -> Result<(), ObjectsError> {
        let Target::Role(role) = self.target() else { return Ok(()) };
        let Some(job) = self.state.jobs.get(&role) else { return Ok(()) };
        let key = layout::candidate(&job.key, &format!("{}-{n:03}", self.attempt.file_name()));
        let bytes = serde_json::to_vec(candidate).map_err(|error| ObjectsError {
            kind: ObjectsFault::Broken,
            what: format!("writing {key}"),
            source: Some(Box::new(error)),
            retry_after_ms: None,
        })?;
        let bytes = Bytes::from(bytes);
        let mut wait_ms = SAVE_AGAIN_MS_MIN;
        loop {
            // "Exists" can only be this very attempt, repeated after an unknown outcome.
            let error = match self.objects.put_if_absent(&key, bytes.clone()).await {
                Ok(Put::Stored | Put::Exists) => return Ok(()),
                Err(error) => error,
            };
            if error.kind != ObjectsFault::Unavailable || self.stop.is_cancelled() {
                return Err(error);
            }
            warn!(%error, wait_ms, "a paid answer is not saved yet; trying again");
            tokio::select! {
                biased;
                () = self.stop.cancelled() => {}
                () = self.hold.clock.sleep(wait_ms.max(error.retry_after_ms.unwrap_or(0))) => {}
            }
            wait_ms = (wait_ms * 2).min(SAVE_AGAIN_MS_MAX);
        }
    }
}

/// What a claimed job asks whether it is still claimed.
#[derive(Clone)]
pub struct Hold {
    coordinator: Arc<dyn Coordinator>,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hold").finish_non_exhaustive()
    }
}

impl Hold {
    /// Asks `coordinator`, waits by `clock`.
    pub fn new(coordinator: Arc<dyn Coordinator>, clock: Arc<dyn Clock>) -> Self {
        Self { coordinator, clock }
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
