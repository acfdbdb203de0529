//! Finding what is committed already, and committing what is not. The object store's
//! put-if-absent is the only place where two workers are told apart.

use packshot_pipeline::budget::MicroUsd;
use packshot_pipeline::layout;
use packshot_pipeline::manifest::Batch;
use packshot_pipeline::result::{JobResult, SetPointer, SetResult};
use packshot_pipeline::role::Role;
use packshot_pipeline::state::{Attempt, Event, JobState, SkuState, Target};

use super::Driver;
use crate::store::{Store, Written};
use crate::submit::PortError;
use crate::tell::{Told, tell};
use crate::work::ClaimedJob;

/// What to tell a document about a committed result that `attempt` made or found.
pub(crate) fn finished(attempt: Attempt, state: &SkuState, result: JobResult) -> Event {
    // What another batch paid is not paid again.
    let cost = if result.batch == state.batch { result.cost } else { MicroUsd::ZERO };
    Event::Finished { attempt, status: result.status, cost }
}

/// What was committed for `attempt`'s job, if anything, as the event that says so.
pub(crate) async fn committed(
    store: &Store<'_>,
    attempt: Attempt,
    state: &SkuState,
) -> Result<Option<Event>, PortError> {
    let Target::Role(role) = attempt.target else { return Ok(None) };
    let Some(job) = state.jobs.get(&role) else { return Ok(None) };
    let result = store.result(&job.key).await?;
    Ok(result.map(|result| finished(attempt, state, result)))
}

impl Driver {
    /// Looks whether the job is done already, by an earlier attempt or another batch.
    pub(super) async fn found(
        &self,
        header: &Batch,
        attempt: Attempt,
        state: &SkuState,
    ) -> Result<Option<Event>, PortError> {
        match attempt.target {
            Target::Role(_) => committed(&self.store(), attempt, state).await,
            Target::Set => self.found_set(header, attempt, state).await,
        }
    }

    /// The SKU's current set, if assembling now would make the very same.
    async fn found_set(
        &self,
        header: &Batch,
        attempt: Attempt,
        state: &SkuState,
    ) -> Result<Option<Event>, PortError> {
        let store = self.store();
        let Some(pointer) = store.current_set(&state.sku).await? else { return Ok(None) };
        let Some(set) = store.set(&state.sku, &pointer).await? else { return Ok(None) };
        if set.set_key != state.set.key || set.basis != state.basis() {
            return Ok(None);
        }
        self.point(header, attempt, state, &pointer, &set).await.map(Some)
    }

    /// Commits a role's result, or adopts the one that was faster.
    pub(super) async fn commit_job(
        &self,
        job: &ClaimedJob,
        role: Role,
        result: &JobResult,
    ) -> Result<Event, PortError> {
        let attempt = job.attempt;
        if job.state.jobs.get(&role).map(|own| own.key) != Some(result.key) || result.role != role {
            let why = "the work answered for another job".to_owned();
            return Ok(Event::Failed { attempt, why });
        }
        let winner = self.store().commit_result(result).await?;
        Ok(finished(attempt, &job.state, winner))
    }

    /// Commits a set: its content first, then the pointer that makes it the SKU's current
    /// one, unless a newer one is.
    pub(super) async fn commit_set(&self, job: &ClaimedJob, set: &SetResult) -> Result<Event, PortError> {
        let pointer = SetPointer { revision: set.revision(), complete: set.is_complete() };
        let from_committed = set.members.iter().all(|member| {
            let own = job.state.jobs.get(&member.role);
            own.is_some_and(|own| own.key == member.key && own.state == JobState::Accepted)
        });
        if !from_committed || set.set_key != job.state.set.key || set.basis != job.state.basis() {
            let why = "the work assembled another set than the one asked for".to_owned();
            return Ok(Event::Failed { attempt: job.attempt, why });
        }
        // The content names the object, so whatever is there says the same about the set.
        self.store().write_once(&layout::set(&job.state.sku, &pointer.revision), set).await?;
        self.point(&job.batch, job.attempt, &job.state, &pointer, set).await
    }

    /// Puts the pointer of this batch and generation. A name that is taken by another set
    /// belongs to an earlier life of the store: whoever still holds the job takes the next.
    async fn point(
        &self,
        header: &Batch,
        attempt: Attempt,
        state: &SkuState,
        pointer: &SetPointer,
        set: &SetResult,
    ) -> Result<Event, PortError> {
        let store = self.store();
        let mut generation = state.set.generation;
        loop {
            let name = layout::set_pointer(&state.sku, header.created_ms, &header.batch, generation);
            match store.write_once(&name, pointer).await? {
                Written::New | Written::Same => break,
                Written::Differs => {}
            }
            let there: Option<SetPointer> = store.read(&name).await?;
            let Some(there) = there else { continue };
            let other = store.set(&state.sku, &there).await?;
            if other.is_some_and(|other| other.set_key == set.set_key && other.basis == set.basis) {
                let (revision, complete) = (there.revision, there.complete);
                return Ok(Event::Assembled { attempt, revision, complete });
            }
            let renewed = Event::Renewed { attempt };
            let policy = &header.settings.policy;
            let told = tell(
                &*self.ports.coordinator,
                &*self.ports.clock,
                policy,
                &state.batch,
                &state.sku,
                &renewed,
            )
            .await?;
            if !matches!(told, Told::Applied(_)) {
                break;
            }
            generation = generation.saturating_add(1);
        }
        Ok(Event::Assembled { attempt, revision: pointer.revision, complete: pointer.complete })
    }
}
