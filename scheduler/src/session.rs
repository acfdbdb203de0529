//! What every command that reads a catalog needs: settings, the catalog opened, limits.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::anyhow;
use packshot_imaging::decode::DecodeLimits;
use packshot_pipeline::manifest;
use packshot_pipeline::policy::{self, Policy};
use packshot_pipeline::role::Role;
use packshot_service::config::{Sources, load};
use packshot_service::logging::LogSettings;
use packshot_service::telemetry::{self, Telemetry};
use packshot_worker::assemble::channel::Channel;
use packshot_worker::matting::{MattingError, MattingModel, MattingSettings};
use packshot_worker::work::{OPTION_CONTRADICTION, OPTION_MATTING, WorkshopLimits};
use serde_json::json;

use crate::cli::CatalogArgs;
use crate::control::PRIORITY_MAX;
use crate::exit::Failure;
use crate::intake::Catalog;
use crate::intake::fetch::FetchLimits;
use crate::settings::{Contradiction, NeedsHuman, Settings};

/// Reads the settings from file, environment and flags.
pub fn read_settings(
    config: Option<&Path>,
    flags: Vec<(String, serde_json::Value)>,
) -> Result<Settings, Failure> {
    let sources = Sources { file: config, flags, ..Sources::from_process_env() };
    load(&Settings::default(), &sources).map_err(|error| {
        Failure::usage(error).hint("deploy/scheduler.toml lists every setting with its default")
    })
}

/// Reads the settings and starts logging: for commands without telemetry.
pub fn settings(config: Option<&Path>, flags: Vec<(String, serde_json::Value)>) -> Result<Settings, Failure> {
    let settings = read_settings(config, flags)?;
    packshot_service::logging::start(&settings.log.level, settings.log.format);
    Ok(settings)
}

/// Starts logging and telemetry of a command.
pub fn telemetry(settings: &Settings) -> Telemetry {
    telemetry_as("packshot", settings)
}

/// The same for a process that calls itself `name`.
pub fn telemetry_as(name: &'static str, settings: &Settings) -> Telemetry {
    let log = LogSettings { level: settings.log.level.clone(), format: settings.log.format };
    telemetry::start(name, env!("CARGO_PKG_VERSION"), &log)
}

/// The flags of a catalog command as settings.
pub fn flags(arguments: &CatalogArgs) -> Vec<(String, serde_json::Value)> {
    let mut flags = Vec::new();
    if let Some(channels) = &arguments.channels {
        flags.push(("batch.channels".to_owned(), json!(channels)));
    }
    if let Some(roles) = &arguments.roles {
        flags.push(("batch.roles".to_owned(), json!(roles)));
    }
    flags
}

/// Opens a catalog. Without `--images`, photos lie in the folder `images` beside it, else
/// in its own folder.
pub fn open_catalog(path: &Path, images: Option<&Path>) -> Result<Catalog, Failure> {
    let beside: PathBuf = path.parent().map(|parent| parent.join("images")).unwrap_or_default();
    let images = images.or_else(|| beside.is_dir().then_some(beside.as_path()));
    Catalog::open(path, images).map_err(|error| {
        let hint = error.hint();
        Failure::usage(error).hint(hint)
    })
}

/// The matting model of the settings, tried out; `None` when they name none.
pub fn matting(settings: &MattingSettings) -> Result<Option<Arc<MattingModel>>, Failure> {
    MattingModel::ready(settings).map_err(no_model)
}

/// A model that cannot be asked, as the end of a command.
pub fn no_model(error: MattingError) -> Failure {
    Failure::usage(error).hint("take `matting.model` out of the settings to work without one")
}

/// What is wanted of the batch, checked; its references are seen with `model`, if with any.
pub fn wanted(settings: &Settings, model: Option<&MattingModel>) -> Result<manifest::Settings, Failure> {
    let mut problems = Vec::new();
    let mut roles: Vec<Role> = Vec::new();
    for word in &settings.batch.roles {
        match Role::parse(word) {
            Some(role) if roles.contains(&role) => {}
            Some(role) => roles.push(role),
            None => problems
                .push(format!("there is no role {word:?}; roles are {}", words(Role::ALL.map(Role::word)))),
        }
    }
    roles.sort_unstable();
    let mut channels: Vec<String> = Vec::new();
    for name in &settings.batch.channels {
        match Channel::by_name(name) {
            Some(channel) if channels.contains(&channel.name) => {}
            Some(channel) => channels.push(channel.name.clone()),
            None => problems.push(format!(
                "there is no channel {name:?}; channels are {}",
                words(packshot_worker::assemble::channel::all().iter().map(|channel| channel.name.as_str()))
            )),
        }
    }
    let wanted = &settings.policy;
    let priority = settings.batch.priority;
    for (name, value, range) in [
        ("policy.attempts_max", u64::from(wanted.attempts_max), 1..=10),
        ("policy.edits_max", u64::from(wanted.edits_max), 0..=10),
        ("policy.faults_max", u64::from(wanted.faults_max), 1..=100),
        ("policy.lease_s", wanted.lease_s, 1..=3_600),
        ("batch.priority", u64::from(priority), 1..=u64::from(PRIORITY_MAX)),
        ("submit.together", settings.submit.together as u64, 1..=256),
    ] {
        if !range.contains(&value) {
            problems.push(format!("`{name}` is {value}; it goes from {} to {}", range.start(), range.end()));
        }
    }
    let cost_max = settings.budget.cost_max().map_err(|bad| problems.push(bad)).unwrap_or_default();
    let prices = settings.budget.prices().map_err(|bad| problems.push(bad)).unwrap_or_default();
    if !problems.is_empty() {
        return Err(Failure::usage(anyhow!("{}", problems.join("\n"))));
    }
    let contradiction = match wanted.contradiction {
        Contradiction::Warn => "warn",
        Contradiction::Hold => "hold",
    };
    Ok(manifest::Settings {
        roles,
        channels,
        policy: Policy {
            candidates_max: wanted.attempts_max,
            edits_max: wanted.edits_max,
            needs_human: match wanted.needs_human {
                NeedsHuman::Partial => policy::NeedsHuman::Partial,
                NeedsHuman::Hold => policy::NeedsHuman::Hold,
            },
            faults_max: wanted.faults_max,
            lease_ms: wanted.lease_s * 1_000,
            ..Policy::STANDARD
        },
        priority,
        cost_max,
        prices,
        options: std::iter::once((OPTION_CONTRADICTION.to_owned(), contradiction.to_owned()))
            .chain(model.map(|model| (OPTION_MATTING.to_owned(), model.fingerprint().to_hex())))
            .collect(),
    })
}

fn words<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    words.into_iter().collect::<Vec<_>>().join(", ")
}

/// Limits of the pixel work.
pub fn workshop_limits(settings: &Settings) -> WorkshopLimits {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = if settings.work.jobs == 0 { cores } else { settings.work.jobs };
    WorkshopLimits {
        jobs,
        cache_bytes_max: settings.work.cache_mb_max << 20,
        decode: DecodeLimits {
            bytes_max: settings.limits.reference_mb_max << 20,
            pixels_max: settings.limits.reference_mpx_max * 1_000_000,
            ..DecodeLimits::DEFAULT
        },
    }
}

/// Limits of fetching.
pub fn fetch_limits(settings: &Settings) -> FetchLimits {
    FetchLimits {
        bytes_max: settings.limits.reference_mb_max << 20,
        attempt_ms_max: settings.fetch.timeout_s * 1000,
        private_hosts: settings.fetch.private_hosts.clone(),
        ..FetchLimits::DEFAULT
    }
}
