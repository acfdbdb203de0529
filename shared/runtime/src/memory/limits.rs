//! Shared limits in memory: for one process, and the model of the shared ones.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use async_trait::async_trait;

use super::lock;
use crate::port::{
    Admission, Bound, CoordinatorError, Limit, Limits, Occupancy, PLACE_WAIT_MS_MAX, Rate, Renewal,
    SKEW_MS_MAX,
};

/// Rate and concurrency per key in memory.
#[derive(Debug, Default)]
pub struct MemoryLimits {
    keys: Mutex<HashMap<String, Room>>,
}

#[derive(Debug, Default)]
struct Room {
    /// The end of each holder's lease.
    places: BTreeMap<String, u64>,
    gate_until_ms: u64,
    /// When the rate would be unused again, in microseconds since 1970: the theoretical
    /// arrival time of the next evenly spaced call.
    unused_from_us: u64,
}

impl Room {
    fn free_ended(&mut self, now_ms: u64) {
        self.places.retain(|_, until_ms| *until_ms > now_ms);
    }

    /// How long to wait for the rate, in milliseconds, or the time from which it is unused
    /// after this call.
    fn rate(&self, rate: &Rate, now_ms: u64) -> Result<u64, u64> {
        let (interval_us, tolerance_us) = (rate.interval_us(), rate.tolerance_us());
        let now_us = now_ms.saturating_mul(1_000);
        let by_honest_clocks_us = now_us + tolerance_us + interval_us + SKEW_MS_MAX * 1_000;
        let from_broken_clock = self.unused_from_us > by_honest_clocks_us;
        let unused_from_us =
            if from_broken_clock { now_us + tolerance_us } else { self.unused_from_us.max(now_us) };
        let allowed_us = unused_from_us.saturating_sub(tolerance_us);
        if allowed_us > now_us {
            return Err((allowed_us - now_us).div_ceil(1_000));
        }
        Ok(unused_from_us + interval_us)
    }

    fn admit(&mut self, limit: &Limit, holder: &str, now_ms: u64, lease_ms: u64) -> Admission {
        self.free_ended(now_ms);
        let until_ms = now_ms.saturating_add(lease_ms);
        if let Some(until) = self.places.get_mut(holder) {
            *until = until_ms.max(*until);
            return Admission::Granted;
        }
        if self.gate_until_ms > now_ms {
            return Admission::Wait { ms: self.gate_until_ms - now_ms, on: Bound::Gate };
        }
        if limit.at_a_time.is_some_and(|most| self.places.len() >= most.get() as usize) {
            let first_ms = self.places.values().min().copied().unwrap_or(now_ms) - now_ms;
            return Admission::Wait { ms: first_ms.clamp(1, PLACE_WAIT_MS_MAX), on: Bound::Places };
        }
        if let Some(rate) = &limit.rate {
            match self.rate(rate, now_ms) {
                Ok(unused_from_us) => self.unused_from_us = unused_from_us,
                Err(ms) => return Admission::Wait { ms, on: Bound::Rate },
            }
        }
        self.places.insert(holder.to_owned(), until_ms);
        Admission::Granted
    }
}

impl MemoryLimits {
    /// Nothing is used yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn room<T>(&self, key: &str, act: impl FnOnce(&mut Room) -> T) -> T {
        act(lock(&self.keys).entry(key.to_owned()).or_default())
    }
}

#[async_trait]
impl Limits for MemoryLimits {
    async fn admit(
        &self,
        key: &str,
        limit: &Limit,
        holder: &str,
        now_ms: u64,
        lease_ms: u64,
    ) -> Result<Admission, CoordinatorError> {
        Ok(self.room(key, |room| room.admit(limit, holder, now_ms, lease_ms)))
    }

    async fn renew(
        &self,
        key: &str,
        holder: &str,
        now_ms: u64,
        lease_ms: u64,
    ) -> Result<Renewal, CoordinatorError> {
        Ok(self.room(key, |room| {
            room.free_ended(now_ms);
            let Some(until) = room.places.get_mut(holder) else { return Renewal::Lost };
            *until = now_ms.saturating_add(lease_ms).max(*until);
            Renewal::Kept
        }))
    }

    async fn leave(&self, key: &str, holder: &str) -> Result<(), CoordinatorError> {
        self.room(key, |room| room.places.remove(holder));
        Ok(())
    }

    async fn close(&self, key: &str, until_ms: u64, _now_ms: u64) -> Result<(), CoordinatorError> {
        self.room(key, |room| room.gate_until_ms = room.gate_until_ms.max(until_ms));
        Ok(())
    }

    async fn occupancy(&self, key: &str, now_ms: u64) -> Result<Occupancy, CoordinatorError> {
        Ok(self.room(key, |room| {
            room.free_ended(now_ms);
            let gate_until_ms = if room.gate_until_ms > now_ms { room.gate_until_ms } else { 0 };
            Occupancy { places: room.places.len() as u64, gate_until_ms }
        }))
    }
}
