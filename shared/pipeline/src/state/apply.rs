//! How an event moves a document on. Nothing in here fails because of the world: a fault
//! of the world is an event, and an event of another time is [`Stale`].

use serde::{Deserialize, Serialize};

use super::{Attempt, Holder, JobState, SetState, SkuState, Target};
use crate::budget::MicroUsd;
use crate::change::Change;
use crate::ids::Digest;
use crate::policy::Policy;
use crate::result::JobStatus;
use crate::role::Role;

/// Something that happened to a SKU.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A worker claims a target. Counted before anything is done or paid.
    Started {
        /// What.
        target: Target,
        /// Who.
        holder: Holder,
    },
    /// The worker is still at it.
    Renewed {
        /// Its claim.
        attempt: Attempt,
    },
    /// A job's result is committed.
    Finished {
        /// The claim under which it was made, or found.
        attempt: Attempt,
        /// How it ended.
        status: JobStatus,
        /// What this batch paid for it.
        cost: MicroUsd,
    },
    /// A set is committed.
    Assembled {
        /// The claim under which it was made, or found.
        attempt: Attempt,
        /// Its content.
        revision: Digest,
        /// Whether every wanted image is in it.
        complete: bool,
    },
    /// A fault that may pass: tried again after a wait, until the policy's limit.
    Transient {
        /// The claim.
        attempt: Attempt,
        /// The fault.
        why: String,
        /// Not sooner than this, if the other side said so.
        retry_after_ms: Option<u64>,
    },
    /// A fault that will not pass.
    Failed {
        /// The claim.
        attempt: Attempt,
        /// The fault.
        why: String,
    },
    /// The money was not there.
    OverBudget {
        /// The claim.
        attempt: Attempt,
        /// Which cap.
        why: String,
    },
    /// What the job needs is held by others at the moment (money that is put aside): it waits,
    /// which is not a fault.
    PutOff {
        /// The claim.
        attempt: Attempt,
        /// For how long, in milliseconds.
        wait_ms: u64,
    },
    /// The worker was told to stop; not a fault.
    Interrupted {
        /// The claim.
        attempt: Attempt,
    },
    /// The lease ran out: the worker is dead, or so slow that it counts as dead.
    LeaseLost {
        /// The claim.
        attempt: Attempt,
    },
    /// The result stood already.
    Cached {
        /// Whose.
        role: Role,
        /// How it ended.
        status: JobStatus,
    },
    /// An operator stops the SKU.
    Cancel,
    /// An operator wants what failed, was cancelled or lacked money to be tried again.
    Retry,
    /// A person has looked at an image that needed it, or overrules a review.
    Decided {
        /// Whose image.
        role: Role,
        /// Whether it may be published.
        accept: bool,
    },
}

/// Why an event does not apply. Never an error: the sender drops what it holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Stale {
    /// The document has no such job.
    #[error("the SKU has no such job")]
    Unknown,
    /// Another attempt, holder or incarnation has the job now.
    #[error("the attempt is no longer the current one")]
    Attempt,
    /// The job has ended.
    #[error("the job has ended already")]
    Terminal,
    /// Somebody works at it under a live lease.
    #[error("the job is held until {until_ms}")]
    Held {
        /// Until when, in milliseconds since 1970.
        until_ms: u64,
    },
    /// It waits for another role, for its jobs, or for its time.
    #[error("the job is not ready")]
    NotReady,
    /// There is nothing the event could change.
    #[error("nothing to do")]
    Nothing,
}

/// A document moved on, with everything that must be committed together with it.
#[derive(Clone, PartialEq, Debug)]
pub struct Transition {
    /// The document afterwards.
    pub state: SkuState,
    /// What changes beside it.
    pub change: Change,
}

impl SkuState {
    /// Moves the document on by `event` at `now_ms` (milliseconds since 1970), or says why
    /// the event is of another time.
    pub fn apply(&self, event: &Event, policy: &Policy, now_ms: u64) -> Result<Transition, Stale> {
        let mut state = self.clone();
        match event {
            Event::Started { target, holder } => state.start(*target, *holder, policy, now_ms)?,
            Event::Renewed { attempt } => state.renew(attempt, policy, now_ms)?,
            Event::Finished { attempt, status, cost } => state.finish(attempt, status, *cost)?,
            Event::Assembled { attempt, revision, complete } => {
                state.set_is_running(attempt)?;
                let revision = *revision;
                state.set.state =
                    if *complete { SetState::Published { revision } } else { SetState::Partial { revision } };
            }
            Event::Transient { attempt, why, retry_after_ms } => {
                state.fault(attempt, why, *retry_after_ms, policy, now_ms)?;
            }
            Event::LeaseLost { attempt } => {
                state.fault(attempt, "the worker stopped answering", None, policy, now_ms)?;
            }
            Event::PutOff { attempt, wait_ms } => {
                state.ready_again(attempt, now_ms.saturating_add(*wait_ms))?;
            }
            Event::Interrupted { attempt } => state.ready_again(attempt, 0)?,
            Event::Failed { attempt, why } => state.fail(attempt, why)?,
            Event::OverBudget { attempt, why } => {
                let why = why.clone();
                match attempt.target {
                    Target::Role(_) => state.end(attempt, JobState::OverBudget { why })?,
                    Target::Set => state.fail(attempt, &why)?,
                }
            }
            Event::Cached { role, status } => state.cached(*role, status)?,
            Event::Cancel => state.cancel()?,
            Event::Retry => state.retry(now_ms)?,
            Event::Decided { role, accept } => state.decide(*role, *accept, now_ms)?,
        }
        state.settle(policy);
        let change = Change::between(self, &state, now_ms);
        Ok(Transition { state, change })
    }

    fn start(&mut self, target: Target, holder: Holder, policy: &Policy, now_ms: u64) -> Result<(), Stale> {
        let lease_until_ms = now_ms.saturating_add(policy.lease_ms);
        match target {
            Target::Role(role) => {
                let job = self.jobs.get_mut(&role).ok_or(Stale::Unknown)?;
                match &job.state {
                    JobState::Ready { not_before_ms } if *not_before_ms <= now_ms => {}
                    JobState::Ready { .. } | JobState::Waiting { .. } => return Err(Stale::NotReady),
                    JobState::Running { lease_until_ms, .. } => {
                        return Err(Stale::Held { until_ms: *lease_until_ms });
                    }
                    JobState::Accepted
                    | JobState::NeedsHuman
                    | JobState::Rejected
                    | JobState::Skipped { .. }
                    | JobState::Failed { .. }
                    | JobState::OverBudget { .. }
                    | JobState::Cancelled => return Err(Stale::Terminal),
                }
                job.attempts += 1;
                job.state = JobState::Running { holder, lease_until_ms };
            }
            Target::Set => {
                match &self.set.state {
                    SetState::Due { not_before_ms } if *not_before_ms <= now_ms => {}
                    SetState::Due { .. } | SetState::Open => return Err(Stale::NotReady),
                    SetState::Running { lease_until_ms, .. } => {
                        return Err(Stale::Held { until_ms: *lease_until_ms });
                    }
                    SetState::Published { .. }
                    | SetState::Partial { .. }
                    | SetState::Failed { .. }
                    | SetState::Cancelled => return Err(Stale::Terminal),
                }
                self.set.attempts += 1;
                self.set.state = SetState::Running { holder, lease_until_ms };
            }
        }
        Ok(())
    }

    /// The role's job, if `attempt` is the one that runs it.
    fn job_is_running(&mut self, attempt: &Attempt, role: Role) -> Result<&mut super::Job, Stale> {
        let incarnation = self.incarnation;
        let job = self.jobs.get_mut(&role).ok_or(Stale::Unknown)?;
        if job.state.is_terminal() {
            return Err(Stale::Terminal);
        }
        match job.state {
            JobState::Running { holder, .. }
                if holder == attempt.holder
                    && job.attempts == attempt.number
                    && incarnation == attempt.incarnation =>
            {
                Ok(job)
            }
            JobState::Running { .. }
            | JobState::Waiting { .. }
            | JobState::Ready { .. }
            | JobState::Accepted
            | JobState::NeedsHuman
            | JobState::Rejected
            | JobState::Skipped { .. }
            | JobState::Failed { .. }
            | JobState::OverBudget { .. }
            | JobState::Cancelled => Err(Stale::Attempt),
        }
    }

    fn set_is_running(&mut self, attempt: &Attempt) -> Result<&mut super::SetJob, Stale> {
        if self.set.state.is_terminal() {
            return Err(Stale::Terminal);
        }
        match self.set.state {
            SetState::Running { holder, .. }
                if attempt.target == Target::Set
                    && holder == attempt.holder
                    && self.set.attempts == attempt.number
                    && self.incarnation == attempt.incarnation =>
            {
                Ok(&mut self.set)
            }
            SetState::Running { .. }
            | SetState::Open
            | SetState::Due { .. }
            | SetState::Published { .. }
            | SetState::Partial { .. }
            | SetState::Failed { .. }
            | SetState::Cancelled => Err(Stale::Attempt),
        }
    }

    fn renew(&mut self, attempt: &Attempt, policy: &Policy, now_ms: u64) -> Result<(), Stale> {
        let lease_until_ms = now_ms.saturating_add(policy.lease_ms);
        let holder = attempt.holder;
        match attempt.target {
            Target::Role(role) => {
                self.job_is_running(attempt, role)?.state = JobState::Running { holder, lease_until_ms };
            }
            Target::Set => self.set_is_running(attempt)?.state = SetState::Running { holder, lease_until_ms },
        }
        Ok(())
    }

    /// Ends the running job of a role.
    fn end(&mut self, attempt: &Attempt, state: JobState) -> Result<(), Stale> {
        let Target::Role(role) = attempt.target else { return Err(Stale::Unknown) };
        self.job_is_running(attempt, role)?.state = state;
        Ok(())
    }

    fn finish(&mut self, attempt: &Attempt, status: &JobStatus, cost: MicroUsd) -> Result<(), Stale> {
        let Target::Role(role) = attempt.target else { return Err(Stale::Unknown) };
        self.job_is_running(attempt, role)?.cost = cost;
        self.conclude(role, status);
        Ok(())
    }

    fn conclude(&mut self, role: Role, status: &JobStatus) {
        let state = match status {
            JobStatus::Accepted => JobState::Accepted,
            JobStatus::NeedsHuman { .. } => JobState::NeedsHuman,
            JobStatus::Rejected { .. } => JobState::Rejected,
            JobStatus::Skipped { reason } => JobState::Skipped { reason: reason.clone(), blocked_on: None },
            JobStatus::WeakReference { reason } => {
                let state = JobState::Skipped { reason: reason.clone(), blocked_on: None };
                for job in self.jobs.values_mut() {
                    let blocked = matches!(&job.state, JobState::Skipped { blocked_on: Some(_), .. });
                    if !job.state.is_terminal() || blocked {
                        job.state = state.clone();
                    }
                }
                state
            }
        };
        if let Some(job) = self.jobs.get_mut(&role) {
            job.state = state;
        }
    }

    /// Counts a fault: ready again after a wait, or failed at the policy's limit.
    fn fault(
        &mut self,
        attempt: &Attempt,
        why: &str,
        retry_after_ms: Option<u64>,
        policy: &Policy,
        now_ms: u64,
    ) -> Result<(), Stale> {
        let faults = match attempt.target {
            Target::Role(role) => &mut self.job_is_running(attempt, role)?.faults,
            Target::Set => &mut self.set_is_running(attempt)?.faults,
        };
        *faults += 1;
        let faults = *faults;
        if faults >= policy.faults_max.max(1) {
            return self.fail(attempt, &format!("given up after {faults} faults: {why}"));
        }
        let wait_ms = policy.backoff_ms(faults, attempt.holder.0).max(retry_after_ms.unwrap_or(0));
        self.ready_again(attempt, now_ms.saturating_add(wait_ms))
    }

    fn ready_again(&mut self, attempt: &Attempt, not_before_ms: u64) -> Result<(), Stale> {
        match attempt.target {
            Target::Role(role) => {
                self.job_is_running(attempt, role)?.state = JobState::Ready { not_before_ms };
            }
            Target::Set => self.set_is_running(attempt)?.state = SetState::Due { not_before_ms },
        }
        Ok(())
    }

    fn fail(&mut self, attempt: &Attempt, why: &str) -> Result<(), Stale> {
        let why = why.to_owned();
        match attempt.target {
            Target::Role(_) => self.end(attempt, JobState::Failed { why }),
            Target::Set => {
                self.set_is_running(attempt)?.state = SetState::Failed { why };
                Ok(())
            }
        }
    }

    /// A result that stood before anybody could work at the job; where somebody is at it
    /// already, that attempt will find the result by itself.
    fn cached(&mut self, role: Role, status: &JobStatus) -> Result<(), Stale> {
        match self.set.state {
            SetState::Open | SetState::Due { .. } => {}
            SetState::Running { .. } => return Err(Stale::NotReady),
            SetState::Published { .. }
            | SetState::Partial { .. }
            | SetState::Failed { .. }
            | SetState::Cancelled => return Err(Stale::Terminal),
        }
        let job = self.jobs.get_mut(&role).ok_or(Stale::Unknown)?;
        if job.attempts > 0 {
            return Err(Stale::NotReady);
        }
        match job.state {
            JobState::Waiting { .. }
            | JobState::Ready { .. }
            | JobState::Skipped { blocked_on: Some(_), .. } => {}
            JobState::Running { .. } => return Err(Stale::NotReady),
            JobState::Accepted
            | JobState::NeedsHuman
            | JobState::Rejected
            | JobState::Skipped { .. }
            | JobState::Failed { .. }
            | JobState::OverBudget { .. }
            | JobState::Cancelled => return Err(Stale::Terminal),
        }
        job.cached = true;
        self.conclude(role, status);
        self.set.state = SetState::Open;
        Ok(())
    }

    fn cancel(&mut self) -> Result<(), Stale> {
        if self.set.state.is_terminal() {
            return Err(Stale::Terminal);
        }
        for job in self.jobs.values_mut() {
            if !job.state.is_terminal() {
                job.state = JobState::Cancelled;
            }
        }
        self.set.state = SetState::Cancelled;
        Ok(())
    }

    fn retry(&mut self, now_ms: u64) -> Result<(), Stale> {
        let mut changed = false;
        for job in self.jobs.values_mut() {
            if matches!(
                job.state,
                JobState::Failed { .. } | JobState::OverBudget { .. } | JobState::Cancelled
            ) {
                job.state = JobState::Ready { not_before_ms: 0 };
                job.faults = 0;
                changed = true;
            }
        }
        changed |= matches!(self.set.state, SetState::Failed { .. } | SetState::Cancelled);
        if !changed {
            return Err(Stale::Nothing);
        }
        self.reopen(now_ms);
        Ok(())
    }

    fn decide(&mut self, role: Role, accept: bool, now_ms: u64) -> Result<(), Stale> {
        let job = self.jobs.get_mut(&role).ok_or(Stale::Unknown)?;
        let decided = if accept { JobState::Accepted } else { JobState::Rejected };
        match job.state {
            JobState::NeedsHuman | JobState::Accepted | JobState::Rejected => {}
            JobState::Waiting { .. } | JobState::Ready { .. } | JobState::Running { .. } => {
                return Err(Stale::NotReady);
            }
            JobState::Skipped { .. }
            | JobState::Failed { .. }
            | JobState::OverBudget { .. }
            | JobState::Cancelled => return Err(Stale::Nothing),
        }
        if job.state == decided {
            return Err(Stale::Nothing);
        }
        job.state = decided;
        self.reopen(now_ms);
        Ok(())
    }

    /// The set is to be made anew; whoever is making it now is stale, because the document
    /// no longer says that it runs.
    fn reopen(&mut self, now_ms: u64) {
        self.set.state = SetState::Open;
        self.set.faults = 0;
        self.set.generation = now_ms.max(self.set.generation.saturating_add(1));
    }
}
