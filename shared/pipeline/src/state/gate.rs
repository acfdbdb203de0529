//! Fan-in: what a job waits for, and when the set is due. Asked anew after every event, so
//! it does not matter in which order, how often or how late the jobs ended.

use super::{JobState, SetState, SkuState};
use crate::policy::{NeedsHuman, Policy};
use crate::role::Role;

impl SkuState {
    /// Lets every job that waits, or could not start, look again at what it waits for, and
    /// makes the set due when every job has ended. One pass suffices because a role only
    /// waits for roles that come before it.
    pub(super) fn settle(&mut self, policy: &Policy) {
        for role in Role::ALL {
            let Some(job) = self.jobs.get(&role) else { continue };
            let looks = match &job.state {
                JobState::Waiting { .. } | JobState::Ready { .. } => true,
                JobState::Skipped { blocked_on, .. } => blocked_on.is_some(),
                JobState::Running { .. }
                | JobState::Accepted
                | JobState::NeedsHuman
                | JobState::Rejected
                | JobState::Failed { .. }
                | JobState::OverBudget { .. }
                | JobState::Cancelled => false,
            };
            if !looks {
                continue;
            }
            let state = self.gate(role, policy);
            if let Some(job) = self.jobs.get_mut(&role) {
                let stays_ready =
                    matches!((&job.state, &state), (JobState::Ready { .. }, JobState::Ready { .. }));
                if !stays_ready {
                    job.state = state;
                }
            }
        }
        let ended = self.jobs.values().all(|job| has_ended(&job.state, policy));
        if self.set.state == SetState::Open && ended {
            self.set.state = SetState::Due { not_before_ms: 0 };
        }
    }

    /// Whether `role` may start, must wait, or cannot start at all.
    pub(super) fn gate(&self, role: Role, policy: &Policy) -> JobState {
        let mut first_blocked: Option<(Role, &'static str)> = None;
        for on in role.waits_for() {
            let Some(job) = self.jobs.get(on) else { continue };
            match &job.state {
                JobState::Accepted => return JobState::Ready { not_before_ms: 0 },
                JobState::Waiting { .. } | JobState::Ready { .. } | JobState::Running { .. } => {
                    return JobState::Waiting { on: *on };
                }
                JobState::NeedsHuman if policy.needs_human == NeedsHuman::Hold => {
                    return JobState::Waiting { on: *on };
                }
                JobState::NeedsHuman
                | JobState::Rejected
                | JobState::Skipped { .. }
                | JobState::Failed { .. }
                | JobState::OverBudget { .. }
                | JobState::Cancelled => {
                    first_blocked.get_or_insert((*on, job.state.word()));
                }
            }
        }
        match first_blocked {
            None => JobState::Ready { not_before_ms: 0 },
            Some((on, word)) => JobState::Skipped {
                reason: format!("the {on} image it builds on is {word}"),
                blocked_on: Some(on),
            },
        }
    }
}

/// Whether the set need not wait for this job any longer.
pub(super) fn has_ended(state: &JobState, policy: &Policy) -> bool {
    match state {
        JobState::NeedsHuman => policy.needs_human == NeedsHuman::Partial,
        JobState::Waiting { .. }
        | JobState::Ready { .. }
        | JobState::Running { .. }
        | JobState::Accepted
        | JobState::Rejected
        | JobState::Skipped { .. }
        | JobState::Failed { .. }
        | JobState::OverBudget { .. }
        | JobState::Cancelled => state.is_terminal(),
    }
}
