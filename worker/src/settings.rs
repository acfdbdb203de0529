//! The settings of `packshot-worker`, one struct per concern, each with its default. The
//! sample file `deploy/worker.toml` lists them all and is parsed by a test.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use packshot_imaging::decode::DecodeLimits;
use packshot_pipeline::pool::Pool;
use packshot_service::health;
use packshot_service::logging::{LogFormat, LogSettings};
use serde::{Deserialize, Serialize};

use crate::matting::MattingSettings;
use crate::system::SystemSettings;
use crate::work::WorkshopLimits;

/// Every setting.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct WorkerSettings {
    /// Which queues are consumed.
    pub pools: Pools,
    /// How much of the machine is used.
    pub work: Work,
    /// What is refused as too large.
    pub limits: Limits,
    /// Which model is asked where the product is.
    pub matting: MattingSettings,
    /// How the process stops.
    pub stop: Stop,
    /// Where health is served.
    pub health: Health,
    /// What is logged.
    pub log: LogSettings,
    /// The outside systems.
    #[serde(flatten)]
    pub system: SystemSettings,
}

/// Jobs of each pool that are in flight at a time; 0: the pool's queue is not consumed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pools {
    /// Images of the built-in maker; more than `work.jobs` only wait for a processor.
    pub studio: u16,
    /// Images of generation providers, which mostly wait.
    pub remote: u16,
    /// Images of local models.
    pub gpu: u16,
    /// Sets.
    pub assemble: u16,
}

impl Pools {
    /// The pools that are consumed, with the jobs in flight.
    pub fn consumed(&self) -> BTreeMap<Pool, u16> {
        let of = |pool: Pool| match pool {
            Pool::Studio => self.studio,
            Pool::Remote => self.remote,
            Pool::Gpu => self.gpu,
            Pool::Assemble => self.assemble,
        };
        Pool::ALL.into_iter().map(|pool| (pool, of(pool))).filter(|(_, jobs)| *jobs > 0).collect()
    }
}

/// How much of the machine is used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Work {
    /// Pixel jobs at the same time; 0 = one per core.
    pub jobs: usize,
    /// Decoded references kept for the next image of the same SKU, in megabytes.
    pub cache_mb_max: u64,
    /// While the process uses more memory than this, in megabytes, no further job begins, as
    /// long as another one is going on; 0 = no bound.
    pub memory_mb_max: u64,
}

/// What is refused as too large.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// A reference file, in megabytes.
    pub reference_mb_max: u64,
    /// A reference's pixels, in millions.
    pub reference_mpx_max: u64,
}

/// How the process stops.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// After the first signal: seconds in which jobs that have begun may end. Less than what
    /// the machine gives before it kills (Kubernetes: `terminationGracePeriodSeconds`).
    pub drain_s: u64,
    /// After that, or after a second signal: seconds in which interrupted jobs are given back.
    pub give_back_s: u64,
}

/// Where health is served.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// Address and port of `/livez`, `/readyz` and `/metrics`; empty: nowhere.
    pub listen: String,
    /// Seconds without a sign that the broker still serves a consumer until the process counts
    /// as not ready, and three times that until it counts as stuck.
    pub silent_s: u64,
}

impl Health {
    /// The address, if health is served; `Err` is what is wrong with it.
    pub fn addr(&self) -> Result<Option<SocketAddr>, String> {
        if self.listen.is_empty() {
            return Ok(None);
        }
        self.listen.parse().map(Some).map_err(|_| {
            format!(
                "`health.listen` is {:?}; it is an address with a port, for example 127.0.0.1:9465",
                self.listen
            )
        })
    }
}

impl WorkerSettings {
    /// A worker for the built-in maker and for sets, on this machine.
    pub fn standard() -> Self {
        Self {
            pools: Pools { studio: 4, remote: 0, gpu: 0, assemble: 4 },
            work: Work { jobs: 0, cache_mb_max: 256, memory_mb_max: 0 },
            limits: Limits { reference_mb_max: 100, reference_mpx_max: 100 },
            matting: MattingSettings::standard(),
            stop: Stop { drain_s: 60, give_back_s: 5 },
            health: Health { listen: health::DEFAULT_ADDR.to_string(), silent_s: 30 },
            log: LogSettings { level: "info".to_owned(), format: LogFormat::Text },
            system: SystemSettings::standard(),
        }
    }

    /// Everything that is wrong with them, one sentence each, without secrets.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = self.system.problems();
        if self.pools.consumed().is_empty() {
            problems.push("no pool is consumed: set at least one of `pools` above 0".to_owned());
        }
        problems.extend(self.matting.problems());
        problems.extend(self.health.addr().err());
        if self.health.silent_s == 0 {
            problems.push("`health.silent_s` is 0; it is at least 1".to_owned());
        }
        problems
    }

    /// Limits of the pixel work.
    pub fn workshop(&self) -> WorkshopLimits {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        WorkshopLimits {
            jobs: if self.work.jobs == 0 { cores } else { self.work.jobs },
            cache_bytes_max: self.work.cache_mb_max << 20,
            decode: DecodeLimits {
                bytes_max: self.limits.reference_mb_max << 20,
                pixels_max: self.limits.reference_mpx_max * 1_000_000,
                ..DecodeLimits::DEFAULT
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_is_named_at_once() {
        let mut settings = WorkerSettings::standard();
        settings.system.objects.directory = "/shared".to_owned();
        assert_eq!(settings.problems(), Vec::<String>::new());
        settings.pools = Pools { studio: 0, remote: 0, gpu: 0, assemble: 0 };
        settings.health = Health { listen: "9465".to_owned(), silent_s: 0 };
        settings.system.objects.directory.clear();
        let problems = settings.problems().join("\n");
        for word in ["pools", "health.listen", "health.silent_s", "objects.directory"] {
            assert!(problems.contains(word), "{word}: {problems}");
        }
    }

    #[test]
    fn pools_without_jobs_are_not_consumed() {
        let pools = Pools { studio: 2, remote: 0, gpu: 0, assemble: 1 };
        let consumed: Vec<(Pool, u16)> = pools.consumed().into_iter().collect();
        assert_eq!(consumed, [(Pool::Studio, 2), (Pool::Assemble, 1)]);
    }
}
