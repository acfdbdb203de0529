//! The settings of `packshot`, one struct per concern, each with its default. The sample
//! file `deploy/packshot.toml` lists them all and is parsed by a test.

use serde::{Deserialize, Serialize};

use packshot_service::logging::LogFormat;

/// Every setting.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What is made and for whom.
    pub batch: Batch,
    /// When an image is good enough, and when a person must look.
    pub policy: Policy,
    /// How much of the machine is used.
    pub work: Work,
    /// What is refused as too large.
    pub limits: Limits,
    /// How reference URLs are fetched.
    pub fetch: Fetch,
    /// What is logged.
    pub log: Log,
}

/// What is made and for whom.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// Roles made for every SKU, by their words.
    pub roles: Vec<String>,
    /// Channels exported for every SKU, by their names.
    pub channels: Vec<String>,
}

impl Default for Batch {
    fn default() -> Self {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Self {
            roles: words(&["main", "cleanup", "detail", "angle", "lifestyle", "feature", "comparison", "ad"]),
            channels: words(&["amazon", "google", "shopify"]),
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use super::*;

    #[test]
    fn the_sample_file_states_the_defaults() {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/packshot.toml");
        let sources = packshot_service::config::Sources { file: Some(&file), ..Default::default() };
        let empty = Settings {
            batch: Batch { roles: vec![], channels: vec![] },
            work: Work { jobs: 9, cache_mb_max: 0 },
            ..Settings::default()
        };
        let read: Settings = packshot_service::config::load(&empty, &sources).unwrap();
        assert_eq!(read, Settings::default());
    }
}
