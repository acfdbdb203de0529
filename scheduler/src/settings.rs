//! The settings of `packshot`, one struct per concern, each with its default. The sample
//! file `deploy/scheduler.toml` lists them all, `deploy/packshot.toml` those that commands
//! without servers read; both are parsed by tests.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use packshot_pipeline::budget::MicroUsd;
use packshot_pipeline::pool::Pool;
use packshot_runtime::dispatch::DispatchSettings;
use packshot_runtime::keep::KeepSettings;
use packshot_runtime::sweep::SweepSettings;
use packshot_service::logging::LogFormat;
use packshot_worker::matting::MattingSettings;
use packshot_worker::system::SystemSettings;
use serde::{Deserialize, Serialize};

/// Every setting.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Settings {
    /// What is made and for whom.
    pub batch: Batch,
    /// When an image is good enough, and when a person must look.
    pub policy: Policy,
    /// How much of the machine is used.
    pub work: Work,
    /// What is refused as too large.
    pub limits: Limits,
    /// Which model is asked where the product is.
    pub matting: MattingSettings,
    /// How reference URLs are fetched.
    pub fetch: Fetch,
    /// What is logged.
    pub log: Log,
    /// What may be spent.
    pub budget: Budget,
    /// How a catalog is submitted.
    pub submit: Submit,
    /// How jobs are handed to the broker.
    pub dispatch: Dispatch,
    /// How the dead are swept up.
    pub sweep: Sweep,
    /// How the coordinator is kept in step with the object store.
    pub keep: Keep,
    /// Where the scheduler's health is served.
    pub health: Health,
    /// The outside systems.
    #[serde(flatten)]
    pub system: SystemSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            batch: Batch::default(),
            policy: Policy::default(),
            work: Work::default(),
            limits: Limits::default(),
            matting: MattingSettings::standard(),
            fetch: Fetch::default(),
            log: Log::default(),
            budget: Budget::default(),
            submit: Submit::default(),
            dispatch: Dispatch::default(),
            sweep: Sweep::default(),
            keep: Keep::default(),
            health: Health::default(),
            system: SystemSettings::standard(),
        }
    }
}

/// What is made and for whom.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// Roles made for every SKU, by their words.
    pub roles: Vec<String>,
    /// Channels exported for every SKU, by their names.
    pub channels: Vec<String>,
    /// Weight among batches that are made at the same time, 1 to 100.
    pub priority: u32,
}

impl Default for Batch {
    fn default() -> Self {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Self {
            roles: words(&["main", "cleanup", "detail", "angle", "lifestyle", "feature", "comparison", "ad"]),
            channels: words(&["amazon", "google", "shopify"]),
            priority: 10,
        }
    }
}

/// When an image is good enough, and when a person must look.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Candidates made for one image before a person is asked, 1 to 10.
    pub attempts_max: u32,
    /// Edits of one candidate before the next attempt, 0 to 10.
    pub edits_max: u32,
    /// What a set does while an image waits for a person: `partial` exports the accepted
    /// images, `hold` exports nothing.
    pub needs_human: NeedsHuman,
    /// What happens when catalog and photo disagree: `warn` says so, `hold` makes nothing.
    pub contradiction: Contradiction,
    /// Attempts of one job that the world may prevent (a fault, a dead worker) before the job
    /// fails, 1 to 100.
    pub faults_max: u32,
    /// Seconds after which a worker that stays silent counts as dead, 1 to 3600.
    pub lease_s: u64,
}

/// What a set does while an image waits for a person.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NeedsHuman {
    /// Export the accepted images.
    Partial,
    /// Export nothing.
    Hold,
}

/// What happens when catalog and photo disagree.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Contradiction {
    /// Say so and go on.
    Warn,
    /// Make nothing for that SKU.
    Hold,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            attempts_max: 2,
            edits_max: 2,
            needs_human: NeedsHuman::Partial,
            contradiction: Contradiction::Warn,
            faults_max: 5,
            lease_s: 60,
        }
    }
}

/// How much of the machine is used.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Work {
    /// Images made at the same time; 0 = one per core.
    pub jobs: usize,
    /// Decoded references kept for the next image of the same SKU, in megabytes.
    pub cache_mb_max: u64,
}

impl Default for Work {
    fn default() -> Self {
        Self { jobs: 0, cache_mb_max: 256 }
    }
}

/// What is refused as too large.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// A reference file, in megabytes.
    pub reference_mb_max: u64,
    /// A reference's pixels, in millions.
    pub reference_mpx_max: u64,
    /// References of one SKU; further ones are ignored with a warning.
    pub references_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { reference_mb_max: 100, reference_mpx_max: 100, references_max: 12 }
    }
}

/// How reference URLs are fetched.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fetch {
    /// Hosts that may have private, loopback or link-local addresses; every other host
    /// must be public.
    pub private_hosts: Vec<String>,
    /// Seconds for one reference, redirects included.
    pub timeout_s: u64,
}

impl Default for Fetch {
    fn default() -> Self {
        Self { private_hosts: Vec::new(), timeout_s: 30 }
    }
}

/// What is logged.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug` or `trace`; `PACKSHOT_LOG` wins.
    pub level: String,
    /// `text` or `json`.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "warn".to_owned(), format: LogFormat::Text }
    }
}

/// What may be spent. The built-in studio costs nothing.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// The most that one batch may cost, in US dollars; empty: no cap.
    pub cost_max_usd: String,
    /// Price of one candidate, as `maker/model=dollars`, for example `fal/some-model=0.04`.
    pub prices_usd: Vec<String>,
}

impl Budget {
    /// The cap, if there is one; `Err` is what is wrong with it.
    pub fn cost_max(&self) -> Result<Option<MicroUsd>, String> {
        if self.cost_max_usd.is_empty() {
            return Ok(None);
        }
        let amount = MicroUsd::parse(&self.cost_max_usd);
        amount.map(Some).map_err(|bad| format!("`budget.cost_max_usd`: {bad}"))
    }

    /// Prices by maker; `Err` is what is wrong with one.
    pub fn prices(&self) -> Result<BTreeMap<String, MicroUsd>, String> {
        let price = |text: &String| {
            let (maker, amount) = text.split_once('=').ok_or_else(|| {
                format!("`budget.prices_usd`: {text:?} is not of the form maker/model=dollars")
            })?;
            let amount = MicroUsd::parse(amount).map_err(|bad| format!("`budget.prices_usd`: {bad}"))?;
            Ok((maker.trim().to_owned(), amount))
        };
        self.prices_usd.iter().map(price).collect()
    }
}

/// How a catalog is submitted.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submit {
    /// SKUs whose references are on their way at the same time, 1 to 256.
    pub together: usize,
}

impl Default for Submit {
    fn default() -> Self {
        Self { together: 16 }
    }
}

/// How jobs are handed to the broker.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dispatch {
    /// Messages that may wait unclaimed, by pool; 0: the pool is not served. Large enough that
    /// no worker waits for the next, small enough that an urgent batch need not wait for long.
    pub window: Windows,
    /// Milliseconds of rest when there is nothing to do and nobody says that there is.
    pub idle_ms: u64,
}

/// A number of messages for each pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Windows {
    /// The built-in maker.
    pub studio: u64,
    /// Generation providers.
    pub remote: u64,
    /// Local models.
    pub gpu: u64,
    /// Sets.
    pub assemble: u64,
}

impl Default for Dispatch {
    fn default() -> Self {
        Self { window: Windows { studio: 128, remote: 512, gpu: 64, assemble: 128 }, idle_ms: 200 }
    }
}

impl Dispatch {
    /// The dispatcher's own settings.
    pub fn settings(&self) -> DispatchSettings {
        let of = |pool: Pool| match pool {
            Pool::Studio => self.window.studio,
            Pool::Remote => self.window.remote,
            Pool::Gpu => self.window.gpu,
            Pool::Assemble => self.window.assemble,
        };
        let windows = Pool::ALL.into_iter().map(|pool| (pool, of(pool))).filter(|(_, window)| *window > 0);
        DispatchSettings { windows: windows.collect(), idle_ms: self.idle_ms.max(1) }
    }
}

/// How the dead are swept up.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    /// Milliseconds between two sweeps.
    pub every_ms: u64,
    /// Seconds after which a message that nobody claimed is sent again. More than a window
    /// usually takes to be worked off.
    pub silent_s: u64,
}

impl Default for Sweep {
    fn default() -> Self {
        Self { every_ms: 5_000, silent_s: 600 }
    }
}

impl Sweep {
    /// The sweeper's own settings.
    pub fn settings(&self) -> SweepSettings {
        SweepSettings { every_ms: self.every_ms.max(1), silent_ms: self.silent_s.saturating_mul(1000) }
    }
}

/// How the coordinator is kept in step with the object store.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keep {
    /// Milliseconds between two looks at the open batches.
    pub every_ms: u64,
    /// Seconds between two looks at every batch of the object store; one is made at once when
    /// the coordinator has lost its memory.
    pub whole_every_s: u64,
    /// Minutes for which the coordinator keeps a batch that has ended. Afterwards `status`,
    /// `fetch` and `retry` work from the object store.
    pub ended_min: u64,
}

impl Default for Keep {
    fn default() -> Self {
        Self { every_ms: 2_000, whole_every_s: 300, ended_min: 60 }
    }
}

impl Keep {
    /// The keeper's own settings.
    pub fn settings(&self) -> KeepSettings {
        KeepSettings {
            every_ms: self.every_ms.max(1),
            whole_every_ms: self.whole_every_s.saturating_mul(1000),
            rested_ms: self.ended_min.saturating_mul(60_000),
        }
    }
}

/// Where the scheduler's health is served.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// Address and port of `/livez`, `/readyz` and `/metrics`; empty: nowhere.
    pub listen: String,
}

impl Default for Health {
    fn default() -> Self {
        // Beside the worker's, so that both run on one machine as they come.
        Self { listen: "127.0.0.1:9465".to_owned() }
    }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use super::*;

    #[test]
    fn the_sample_file_states_the_defaults() {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/packshot.toml");
        let sources = packshot_service::config::Sources { file: Some(&file), ..Default::default() };
        let empty = Settings {
            batch: Batch { roles: vec![], channels: vec![], priority: 10 },
            work: Work { jobs: 9, cache_mb_max: 0 },
            ..Settings::default()
        };
        let read: Settings = packshot_service::config::load(&empty, &sources).unwrap();
        assert_eq!(read, Settings::default());
    }
}
