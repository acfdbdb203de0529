//! Shared limits in Redis: a sorted set of places and a small hash per key.

use async_trait::async_trait;
use packshot_runtime::port::{
    Admission, Bound, CoordinatorError, Limit, Limits, Occupancy, PLACE_WAIT_MS_MAX, Renewal, SKEW_MS_MAX,
};
use redis::{Pipeline, cmd};

use super::form::TIME_MS_MAX;
use super::link::Request;
use super::{RedisCoordinator, script};

/// The longest lease of a place, in milliseconds: a day, after which a key that nobody
/// uses is gone.
const LEASE_MS_MAX: u64 = 86_400_000;

#[async_trait]
impl Limits for RedisCoordinator {
    async fn admit(
        &self,
        key: &str,
        limit: &Limit,
        holder: &str,
        now_ms: u64,
        lease_ms: u64,
    ) -> Result<Admission, CoordinatorError> {
        let mut call = script::ADMIT.call(&self.keys.limit(key));
        call.arg(now_ms.min(TIME_MS_MAX))
            .arg(lease_ms.min(LEASE_MS_MAX))
            .arg(holder)
            .arg(limit.at_a_time.map_or(0, std::num::NonZeroU32::get))
            .arg(limit.rate.map_or(0, |rate| rate.interval_us()))
            .arg(limit.rate.map_or(0, |rate| rate.tolerance_us()))
            .arg(SKEW_MS_MAX);
        let doing = || format!("asking for a place at {key}");
        let (what, ms): (String, u64) = self.link.ask(doing, Request::Script(&script::ADMIT, &call)).await?;
        Ok(match what.as_str() {
            "granted" => Admission::Granted,
            "gate" => Admission::Wait { ms: ms.max(1), on: Bound::Gate },
            "places" => Admission::Wait { ms: ms.clamp(1, PLACE_WAIT_MS_MAX), on: Bound::Places },
            _ => Admission::Wait { ms: ms.max(1), on: Bound::Rate },
        })
    }

    async fn renew(
        &self,
        key: &str,
        holder: &str,
        now_ms: u64,
        lease_ms: u64,
    ) -> Result<Renewal, CoordinatorError> {
        let [places, _] = self.keys.limit(key);
        let mut call = script::RENEW.call(&[places]);
        call.arg(now_ms.min(TIME_MS_MAX)).arg(lease_ms.min(LEASE_MS_MAX)).arg(holder);
        let doing = || format!("keeping a place at {key}");
        let kept: bool = self.link.ask(doing, Request::Script(&script::RENEW, &call)).await?;
        Ok(if kept { Renewal::Kept } else { Renewal::Lost })
    }

    async fn leave(&self, key: &str, holder: &str) -> Result<(), CoordinatorError> {
        let [places, _] = self.keys.limit(key);
        let mut command = cmd("ZREM");
        command.arg(places).arg(holder);
        let _: u64 = self.ask(|| format!("giving a place at {key} back"), &command).await?;
        Ok(())
    }

    async fn close(&self, key: &str, until_ms: u64, now_ms: u64) -> Result<(), CoordinatorError> {
        let [_, state] = self.keys.limit(key);
        let mut call = script::CLOSE.call(&[state]);
        call.arg(until_ms.min(TIME_MS_MAX)).arg(now_ms.min(TIME_MS_MAX));
        let doing = || format!("closing the gate of {key}");
        let _: u64 = self.link.ask(doing, Request::Script(&script::CLOSE, &call)).await?;
        Ok(())
    }

    async fn occupancy(&self, key: &str, now_ms: u64) -> Result<Occupancy, CoordinatorError> {
        let [places, state] = self.keys.limit(key);
        let mut all = Pipeline::new();
        all.cmd("ZCOUNT").arg(places).arg(format!("({now_ms}")).arg("+inf");
        all.cmd("HGET").arg(state).arg("gate");
        let doing = || format!("looking at {key}");
        let (places, gate): (u64, Option<u64>) = self.link.ask(doing, Request::All(&all)).await?;
        Ok(Occupancy { places, gate_until_ms: gate.filter(|until| *until > now_ms).unwrap_or(0) })
    }
}
