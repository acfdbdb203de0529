//! How often, how long and how strictly: the limits of one batch, as whole numbers with
//! their units in their names. A policy travels in the batch's header, so every worker
//! decides by the same one.

use serde::{Deserialize, Serialize};

/// What a set does with an image that measurement cannot decide.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NeedsHuman {
    /// The set and everything that waits for the image wait for the decision.
    Hold,
    /// The set is published without the image; a later decision makes it due again.
    Partial,
}

/// What happens when no reference of a SKU can be trusted. Read by the worker, which is
/// the one that inspects references.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WeakReference {
    /// Stop the SKU before anything is spent.
    Stop,
    /// Work with the best there is; every image of the SKU goes to a human.
    Human,
}

/// The limits of one batch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Candidates a maker may make for one job, at least 1.
    pub candidates_max: u32,
    /// Edits of one candidate before the concept counts as wrong.
    pub edits_max: u32,
    /// Attempts of one job that may end by a fault of the world (transient error, lost
    /// lease) before the job fails. An interrupted attempt is not a fault.
    pub faults_max: u32,
    /// How long a claimed job may stay silent, in milliseconds.
    pub lease_ms: u64,
    /// Wait after the first fault, in milliseconds; doubles with each further one.
    pub backoff_ms_min: u64,
    /// The longest such wait, in milliseconds.
    pub backoff_ms_max: u64,
    /// What a set does about undecided images.
    pub needs_human: NeedsHuman,
    /// What happens without a trustworthy reference.
    pub weak_reference: WeakReference,
}

impl Policy {
    /// The policy of a batch that does not say otherwise.
    pub const STANDARD: Policy = Policy {
        candidates_max: 3,
        edits_max: 3,
        faults_max: 5,
        lease_ms: 60_000,
        backoff_ms_min: 1_000,
        backoff_ms_max: 120_000,
        needs_human: NeedsHuman::Partial,
        weak_reference: WeakReference::Stop,
    };

    /// The wait before the next attempt after `faults` faults (1 = the first), in
    /// milliseconds. `salt` spreads jobs that failed together: the wait lies between half
    /// and the whole of the exponential step ("equal jitter").
    pub fn backoff_ms(&self, faults: u32, salt: u64) -> u64 {
        let doublings = faults.saturating_sub(1).min(32);
        let step = self.backoff_ms_min.saturating_mul(1 << doublings).min(self.backoff_ms_max);
        let half = step / 2;
        half + salt % (step - half + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_grows_and_stays_within_its_limits() {
        let policy = Policy::STANDARD;
        for salt in [0, 1, 77, u64::MAX] {
            for faults in 0..80u32 {
                let step = (1_000u64 << (faults.clamp(1, 40) - 1)).min(120_000);
                let wait = policy.backoff_ms(faults, salt);
                assert!((step / 2..=step).contains(&wait), "{faults} {salt} {wait}");
            }
        }
        let none = Policy { backoff_ms_min: 0, backoff_ms_max: 0, ..Policy::STANDARD };
        assert_eq!(none.backoff_ms(3, 9), 0);
        let huge = Policy { backoff_ms_min: u64::MAX, backoff_ms_max: u64::MAX, ..Policy::STANDARD };
        assert!(huge.backoff_ms(3, 9) >= u64::MAX / 2);
    }
}
