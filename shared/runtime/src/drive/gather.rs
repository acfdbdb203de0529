//! Reading everything a worker needs to do a claimed job.

use std::collections::BTreeMap;
use std::sync::Arc;

use packshot_pipeline::manifest::Batch;
use packshot_pipeline::role::Role;
use packshot_pipeline::state::{Attempt, JobState, SkuState, Target};
use tokio_util::sync::CancellationToken;

use super::Driver;
use crate::port::ObjectsError;
use crate::submit::PortError;
use crate::work::{ClaimedJob, Hold};

impl Driver {
    /// The claimed job with its inputs; `None` when the manifest has no such SKU.
    pub(super) async fn gather(
        &self,
        header: &Arc<Batch>,
        attempt: Attempt,
        state: SkuState,
        stop: &CancellationToken,
    ) -> Result<Option<ClaimedJob>, PortError> {
        let store = self.store();
        let Some(entry) = self.entry(&state.batch, &state.sku).await? else { return Ok(None) };
        let mut job = ClaimedJob {
            batch: Arc::clone(header),
            entry,
            attempt,
            results: BTreeMap::new(),
            decisions: BTreeMap::new(),
            candidates: Vec::new(),
            stop: stop.child_token(),
            hold: Hold::new(Arc::clone(&self.ports.coordinator), Arc::clone(&self.ports.clock)),
            objects: Arc::clone(&self.ports.objects),
            state,
        };
        match attempt.target {
            Target::Role(role) => {
                for on in role.waits_for() {
                    if job.is_accepted(*on) {
                        self.add_result(&mut job, *on).await?;
                    }
                }
                if let Some(own) = job.state.jobs.get(&role) {
                    job.candidates = store.candidates(&own.key).await?;
                }
            }
            Target::Set => {
                let jobs = job.state.jobs.iter().filter(|(_, job)| may_have_result(&job.state));
                // Each is a request or two of its own, so they are made at the same time.
                let read = futures::future::try_join_all(jobs.map(|(role, job)| async move {
                    let result = store.result(&job.key).await?;
                    Ok::<_, ObjectsError>((*role, result, store.decisions(&job.key).await?))
                }));
                for (role, result, decisions) in read.await? {
                    job.results.extend(result.map(|result| (role, result)));
                    if !decisions.is_empty() {
                        job.decisions.insert(role, decisions);
                    }
                }
            }
        }
        Ok(Some(job))
    }

    async fn add_result(&self, job: &mut ClaimedJob, role: Role) -> Result<(), PortError> {
        let Some(key) = job.state.jobs.get(&role).map(|job| job.key) else { return Ok(()) };
        if let Some(result) = self.store().result(&key).await? {
            job.results.insert(role, result);
        }
        Ok(())
    }
}

/// Whether the document says that a result was committed.
fn may_have_result(state: &JobState) -> bool {
    match state {
        JobState::Accepted | JobState::NeedsHuman | JobState::Rejected => true,
        JobState::Skipped { blocked_on, .. } => blocked_on.is_none(),
        JobState::Waiting { .. }
        | JobState::Ready { .. }
        | JobState::Running { .. }
        | JobState::Failed { .. }
        | JobState::OverBudget { .. }
        | JobState::Cancelled => false,
    }
}
