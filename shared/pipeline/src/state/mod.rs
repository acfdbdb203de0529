//! One document per SKU: the state of every job and of the set. Pure data and questions;
//! how an event moves it on is in [`apply`](SkuState::apply).
//!
//! ```text
//! job: Waiting(on) → Ready → Running(attempt, lease) → Accepted | NeedsHuman | Rejected
//!                    ▲            │                     | Skipped | Failed | OverBudget | Cancelled
//!                    └────────────┘ fault, put off: not before t; interrupted: at once
//! set: Open → Due → Running(attempt, lease) → Published | Partial | Failed | Cancelled
//! ```
//!
//! The document is level-triggered: [`SkuState::due`] says what should be dispatched, and
//! after any crash one asks again. Fan-in is in the document: the set becomes due by the
//! same event that ends the last job.

mod apply;
mod gate;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod walk;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

pub use apply::{Event, Stale, Transition};

use crate::ids::{BatchId, Digest, Sku};
use crate::job_key::JobKey;
use crate::layout;
use crate::manifest::ManifestSku;
use crate::policy::Policy;
use crate::pool::Pool;
use crate::role::Role;

/// Version of the document's form; a reader refuses a newer one.
pub const STATE_SCHEMA: u32 = 1;

/// One life of the coordination store: a random number drawn when the store is found
/// empty. Attempts of an earlier life are stale.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Incarnation(pub u64);

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A random number by which one claim is told from every other, also when the answer of
/// the claim itself was lost.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Holder(pub u64);

/// What a job message points at: one image of the SKU, or its set.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Target {
    /// The job of this role.
    Role(Role),
    /// Assembling the set.
    Set,
}

impl Target {
    /// The role's word, or `set`.
    pub fn word(self) -> &'static str {
        match self {
            Target::Role(role) => role.word(),
            Target::Set => "set",
        }
    }

    /// The target with this word, if any.
    pub fn parse(word: &str) -> Option<Target> {
        if word == "set" { Some(Target::Set) } else { Role::parse(word).map(Target::Role) }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl Serialize for Target {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        Target::parse(&word).ok_or_else(|| serde::de::Error::custom("neither a role nor \"set\""))
    }
}

/// One started attempt.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Attempt {
    /// Life of the store in which it was counted.
    pub incarnation: Incarnation,
    /// What it works at.
    pub target: Target,
    /// Its number, from 1.
    pub number: u32,
    /// Whose it is.
    pub holder: Holder,
}

impl Attempt {
    /// `incarnation/batch/slug/target/number`: the key of everything the attempt causes.
    pub fn name(&self, batch: &BatchId, sku: &Sku) -> String {
        format!("{}/{batch}/{}/{}/{}", self.incarnation, sku.slug(), self.target, self.number)
    }

    /// The attempt as one path segment: `incarnation-number-holder`.
    pub fn file_name(&self) -> String {
        format!("{}-{:06}-{:016x}", self.incarnation, self.number, self.holder.0)
    }
}

/// Where a job stands.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum JobState {
    /// Until this role is accepted.
    Waiting {
        /// The role waited for.
        on: Role,
    },
    /// To be dispatched.
    Ready {
        /// Not before this time, in milliseconds since 1970; 0 = at once.
        not_before_ms: u64,
    },
    /// Claimed.
    Running {
        /// Whose claim it is.
        holder: Holder,
        /// From when on the claim counts as lost, in milliseconds since 1970.
        lease_until_ms: u64,
    },
    /// Store-ready.
    Accepted,
    /// A person must decide.
    NeedsHuman,
    /// Nothing store-ready came out.
    Rejected,
    /// Not made.
    Skipped {
        /// Why.
        reason: String,
        /// The role without which it cannot start; if that is accepted after all, so can
        /// this. `None`: skipped for good.
        blocked_on: Option<Role>,
    },
    /// The world prevented it; may be tried again by an operator.
    Failed {
        /// The last fault.
        why: String,
    },
    /// The money was not there; may be tried again by an operator.
    OverBudget {
        /// Which cap.
        why: String,
    },
    /// Stopped by an operator.
    Cancelled,
}

impl JobState {
    /// The word used in tallies, reports, logs and metrics.
    pub fn word(&self) -> &'static str {
        match self {
            JobState::Waiting { .. } => "waiting",
            JobState::Ready { .. } => "ready",
            JobState::Running { .. } => "running",
            JobState::Accepted => "accepted",
            JobState::NeedsHuman => "needs-human",
            JobState::Rejected => "rejected",
            JobState::Skipped { .. } => "skipped",
            JobState::Failed { .. } => "failed",
            JobState::OverBudget { .. } => "over-budget",
            JobState::Cancelled => "cancelled",
        }
    }

    /// Whether the job has ended; only a person can move it from here.
    pub fn is_terminal(&self) -> bool {
        match self {
            JobState::Waiting { .. } | JobState::Ready { .. } | JobState::Running { .. } => false,
            JobState::Accepted
            | JobState::NeedsHuman
            | JobState::Rejected
            | JobState::Skipped { .. }
            | JobState::Failed { .. }
            | JobState::OverBudget { .. }
            | JobState::Cancelled => true,
        }
    }
}

/// Where the set stands.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum SetState {
    /// Some job has not ended.
    Open,
    /// To be dispatched.
    Due {
        /// Not before this time, in milliseconds since 1970; 0 = at once.
        not_before_ms: u64,
    },
    /// Claimed.
    Running {
        /// Whose claim it is.
        holder: Holder,
        /// From when on the claim counts as lost, in milliseconds since 1970.
        lease_until_ms: u64,
    },
    /// Complete in every channel.
    Published {
        /// Its content.
        revision: Digest,
    },
    /// Exported with gaps.
    Partial {
        /// Its content.
        revision: Digest,
    },
    /// The world prevented it; may be tried again by an operator.
    Failed {
        /// The last fault.
        why: String,
    },
    /// Stopped by an operator.
    Cancelled,
}

impl SetState {
    /// The word used in tallies, reports, logs and metrics.
    pub fn word(&self) -> &'static str {
        match self {
            SetState::Open => "open",
            SetState::Due { .. } => "due",
            SetState::Running { .. } => "running",
            SetState::Published { .. } => "published",
            SetState::Partial { .. } => "partial",
            SetState::Failed { .. } => "failed",
            SetState::Cancelled => "cancelled",
        }
    }

    /// Whether the set has ended; only a person can move it from here.
    pub fn is_terminal(&self) -> bool {
        match self {
            SetState::Open | SetState::Due { .. } | SetState::Running { .. } => false,
            SetState::Published { .. }
            | SetState::Partial { .. }
            | SetState::Failed { .. }
            | SetState::Cancelled => true,
        }
    }
}

/// One job of the document.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Job {
    /// Fingerprint; names the result.
    pub key: JobKey,
    /// Which workers can do it.
    pub pool: Pool,
    /// Attempts started in this incarnation.
    pub attempts: u32,
    /// Attempts that a fault ended since the start or the operator's last retry.
    pub faults: u32,
    /// Whether the result stood before this batch could work at it.
    pub cached: bool,
    /// What this batch paid for the job, in millionths of a US dollar.
    pub cost: crate::budget::MicroUsd,
    /// Where it stands.
    #[serde(flatten)]
    pub state: JobState,
}

/// The set of the document.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct SetJob {
    /// Fingerprint of the set's inputs.
    pub key: JobKey,
    /// Attempts started in this incarnation.
    pub attempts: u32,
    /// As [`Job::faults`].
    pub faults: u32,
    /// Orders the sets of one batch: a set of a higher generation replaces a lower one.
    /// When the document was made or people last reopened the set, in milliseconds since
    /// 1970, and more than every generation before. A time, so that a worker who outlived
    /// the coordinator's memory cannot go ahead of those who came after.
    pub generation: u64,
    /// Where it stands.
    #[serde(flatten)]
    pub state: SetState,
}

/// Everything that is going on with one SKU of one batch.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct SkuState {
    /// [`STATE_SCHEMA`] of the writer.
    pub schema: u32,
    /// Batch.
    pub batch: BatchId,
    /// SKU.
    pub sku: Sku,
    /// Life of the store in which the document was made.
    pub incarnation: Incarnation,
    /// One job per role.
    pub jobs: BTreeMap<Role, Job>,
    /// The set.
    pub set: SetJob,
}

/// Something that should be dispatched.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Due {
    /// What.
    pub target: Target,
    /// To which workers.
    pub pool: Pool,
    /// The number the next attempt will have; names this readiness among others.
    pub number: u32,
    /// Not before this time, in milliseconds since 1970; 0 = at once.
    pub not_before_ms: u64,
}

/// A claim that is being worked at.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Lease {
    /// Whose.
    pub attempt: Attempt,
    /// Workers of which pool.
    pub pool: Pool,
    /// Until when, in milliseconds since 1970.
    pub until_ms: u64,
}

impl SkuState {
    /// A document in which nothing has happened yet. A SKU without roles is due at once.
    pub fn new(batch: &BatchId, entry: &ManifestSku, incarnation: Incarnation, policy: &Policy) -> Self {
        let job = |spec: &crate::manifest::JobSpec| Job {
            key: spec.key,
            pool: spec.pool,
            attempts: 0,
            faults: 0,
            cached: false,
            cost: crate::budget::MicroUsd::ZERO,
            state: JobState::Ready { not_before_ms: 0 },
        };
        let mut state = SkuState {
            schema: STATE_SCHEMA,
            batch: batch.clone(),
            sku: entry.product.sku.clone(),
            incarnation,
            jobs: entry.jobs.iter().map(|(role, spec)| (*role, job(spec))).collect(),
            set: SetJob { key: entry.set_key, attempts: 0, faults: 0, generation: 0, state: SetState::Open },
        };
        state.settle(policy);
        state
    }

    /// Everything ready, whether its time has come or not.
    pub fn ready(&self) -> Vec<Due> {
        let mut ready = Vec::new();
        for (role, job) in &self.jobs {
            if let JobState::Ready { not_before_ms } = job.state {
                let target = Target::Role(*role);
                ready.push(Due { target, pool: job.pool, number: job.attempts + 1, not_before_ms });
            }
        }
        if let SetState::Due { not_before_ms } = self.set.state {
            let number = self.set.attempts + 1;
            ready.push(Due { target: Target::Set, pool: Pool::Assemble, number, not_before_ms });
        }
        ready
    }

    /// What should be dispatched at `now_ms`.
    pub fn due(&self, now_ms: u64) -> Vec<Due> {
        let mut due = self.ready();
        due.retain(|due| due.not_before_ms <= now_ms);
        due
    }

    /// Every claim that is being worked at.
    pub fn leases(&self) -> Vec<Lease> {
        let mut leases = Vec::new();
        let attempt =
            |target, number, holder| Attempt { incarnation: self.incarnation, target, number, holder };
        for (role, job) in &self.jobs {
            if let JobState::Running { holder, lease_until_ms } = job.state {
                let attempt = attempt(Target::Role(*role), job.attempts, holder);
                leases.push(Lease { attempt, pool: job.pool, until_ms: lease_until_ms });
            }
        }
        if let SetState::Running { holder, lease_until_ms } = self.set.state {
            let attempt = attempt(Target::Set, self.set.attempts, holder);
            leases.push(Lease { attempt, pool: Pool::Assemble, until_ms: lease_until_ms });
        }
        leases
    }

    /// Claims whose lease has run out at `now_ms`.
    pub fn expired(&self, now_ms: u64) -> Vec<Attempt> {
        self.leases().iter().filter(|lease| lease.until_ms <= now_ms).map(|lease| lease.attempt).collect()
    }

    /// Whether nothing can move any more without a person: what "the batch has finished"
    /// means for this SKU.
    pub fn is_settled(&self) -> bool {
        self.ready().is_empty() && self.leases().is_empty()
    }

    /// The word of every job's state: what a set assembled now is made of.
    pub fn basis(&self) -> BTreeMap<Role, String> {
        self.jobs.iter().map(|(role, job)| (*role, job.state.word().to_owned())).collect()
    }

    /// The pool that works at `target`; `None` when the SKU has no such job.
    pub fn pool(&self, target: Target) -> Option<Pool> {
        match target {
            Target::Role(role) => self.jobs.get(&role).map(|job| job.pool),
            Target::Set => Some(Pool::Assemble),
        }
    }

    /// Where the result of a role's job is committed.
    pub fn result_key(&self, role: Role) -> Option<String> {
        self.jobs.get(&role).map(|job| layout::result(&job.key))
    }
}
