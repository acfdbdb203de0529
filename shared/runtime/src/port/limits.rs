//! Shared limits: how often, and how many at a time, all processes together may call one
//! provider.

use std::num::{NonZeroU32, NonZeroU64};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::CoordinatorError;

/// The longest wait that is told for a place, in milliseconds: one may become free before
/// the lease of its holder ends.
pub const PLACE_WAIT_MS_MAX: u64 = 1_000;
/// How far apart the callers' clocks may be, in milliseconds. A rate that is used up until
/// later than that by any honest clock was used up by a broken one, and is forgiven.
pub const SKEW_MS_MAX: u64 = 60_000;

/// So many calls in such a time, and so many of them at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Calls per period.
    pub calls: NonZeroU32,
    /// The period, in milliseconds.
    pub per_ms: NonZeroU64,
    /// Calls that may follow each other at once after a rest.
    pub burst: NonZeroU32,
}

impl Rate {
    /// The longest interval that is told apart, in microseconds: 35 years.
    const INTERVAL_US_MAX: u64 = 1 << 50;

    /// The time between two calls at this rate, in microseconds, rounded up so that the
    /// rate is never exceeded.
    pub fn interval_us(&self) -> u64 {
        let per_us = self.per_ms.get().saturating_mul(1_000);
        per_us.div_ceil(u64::from(self.calls.get())).min(Self::INTERVAL_US_MAX)
    }

    /// How much earlier than evenly spaced a call may come, in microseconds.
    pub fn tolerance_us(&self) -> u64 {
        let early = u64::from(self.burst.get() - 1);
        self.interval_us().saturating_mul(early).min(Self::INTERVAL_US_MAX)
    }
}

/// What one key allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// How often; `None`: as often as one likes.
    pub rate: Option<Rate>,
    /// How many calls at a time; `None`: as many as one likes.
    pub at_a_time: Option<NonZeroU32>,
}

/// What a caller has to wait for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bound {
    /// The provider asked everybody to wait.
    Gate,
    /// Every place is taken.
    Places,
    /// The rate.
    Rate,
}

/// The answer to a caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Admission {
    /// Go ahead; the place is the holder's until it leaves or its lease ends.
    Granted,
    /// Not now; nothing was taken.
    Wait {
        /// Ask again after this, in milliseconds; at least 1.
        ms: u64,
        /// What for.
        on: Bound,
    },
}

/// Whether a holder still has its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Renewal {
    /// Until the new end of the lease.
    Kept,
    /// It ended before; somebody else may have the place.
    Lost,
}

/// How a key is used at present.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Occupancy {
    /// Places taken.
    pub places: u64,
    /// Until when everybody waits, in milliseconds since 1970; 0 = nobody does.
    pub gate_until_ms: u64,
}

/// Rate and concurrency per key, shared by every process, and a gate that one caller
/// closes for all.
///
/// **Contract.** Each call is atomic. `admit` checks gate, places and rate together and
/// takes a place and a call of the rate together, or neither. The rate is the generic cell
/// rate algorithm (ITU-T I.371): in any time `t` at most `burst + t / interval` calls are
/// granted. A place belongs to a holder, a name that is used for one call only: asking
/// again under the same name (after a lost answer) is granted again and takes nothing
/// more. A place whose lease has ended is free, so a crashed holder harms for one lease.
/// Everything may be lost at once: then the burst is there again and places are free.
/// Times are milliseconds since 1970 and always given by the caller.
#[async_trait]
pub trait Limits: Send + Sync {
    /// Asks to make one call on `key` under `limit`.
    async fn admit(
        &self,
        key: &str,
        limit: &Limit,
        holder: &str,
        now_ms: u64,
        lease_ms: u64,
    ) -> Result<Admission, CoordinatorError>;

    /// Keeps the holder's place until `lease_ms` from now.
    async fn renew(
        &self,
        key: &str,
        holder: &str,
        now_ms: u64,
        lease_ms: u64,
    ) -> Result<Renewal, CoordinatorError>;

    /// Gives the holder's place back; nothing happens when there is none.
    async fn leave(&self, key: &str, holder: &str) -> Result<(), CoordinatorError>;

    /// Lets nobody new in until `until_ms`, or later where somebody said so before.
    async fn close(&self, key: &str, until_ms: u64, now_ms: u64) -> Result<(), CoordinatorError>;

    /// How the key is used.
    async fn occupancy(&self, key: &str, now_ms: u64) -> Result<Occupancy, CoordinatorError>;
}
