//! The whole system in one process: a directory is the object store, memory coordinates,
//! and the same dispatcher, workers and sweeper run as in a cluster.
//!
//! A run has three phases: take the catalog in (store and inspect every reference, so that
//! contradictions and weak photos are said before anything is made), make everything that
//! is due, and write the output folder from what is committed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, anyhow};
use packshot_adapters::directory::DirectoryObjects;
use packshot_pipeline::ids::{BatchId, Digest};
use packshot_pipeline::manifest::{Batch, MANIFEST_SCHEMA, Settings};
use packshot_pipeline::pool::Pool;
use packshot_pipeline::state::Incarnation;
use packshot_runtime::clock::{Clock, MonotonicClock};
use packshot_runtime::consume::{self, Stop};
use packshot_runtime::dispatch::{DispatchSettings, Dispatcher};
use packshot_runtime::drive::Driver;
use packshot_runtime::memory::{BrokerLimits, MemoryBroker, MemoryCoordinator, MemoryLedger};
use packshot_runtime::port::Objects;
use packshot_runtime::ports::Ports;
use packshot_runtime::submit::open_batch;
use packshot_runtime::sweep::{SweepSettings, Sweeper};
use packshot_runtime::watch::{Watched, until_settled};
use packshot_service::lifecycle::Shutdown;
use packshot_service::telemetry::Telemetry;
use packshot_worker::matting::MattingModel;
use packshot_worker::telemetry::{GAUGES_MS, Instruments};
use packshot_worker::work::{Workshop, WorkshopLimits};

use crate::exit::{Exit, Failure};
use crate::intake::fetch::FetchLimits;
use crate::output::{Masters, Source};
use crate::progress::Progress;
use crate::report::Summary;
use crate::submission::{Submission, take_in};
use crate::{output, terminal};

/// What a run is asked to do.
#[derive(Debug)]
pub struct RunRequest {
    /// Catalog file.
    pub catalog: PathBuf,
    /// Folder of local photos.
    pub images: Option<PathBuf>,
    /// Output folder.
    pub out: PathBuf,
    /// Name of the submission.
    pub batch: Option<String>,
    /// Only this many SKUs.
    pub limit: Option<usize>,
    /// What is wanted.
    pub wanted: Settings,
    /// How much of the machine is used.
    pub workshop: WorkshopLimits,
    /// Who else is asked where the product is.
    pub model: Option<Arc<MattingModel>>,
    /// Limits of fetching.
    pub fetch: FetchLimits,
    /// References of one SKU that are looked at.
    pub references_max: usize,
}

struct Parts {
    ports: Ports,
    workshop: Arc<Workshop>,
    instruments: Instruments,
}

/// Runs a catalog to the end, or until a signal.
pub async fn run(request: RunRequest, telemetry: &Telemetry) -> Result<(Option<Summary>, Exit), Failure> {
    let started = Instant::now();
    let catalog = crate::session::open_catalog(&request.catalog, request.images.as_deref())?;
    let _only_one = lock(&request.out)?;
    let parts = parts(&request, telemetry)?;
    let ports = &parts.ports;
    let header = header(&request, ports.clock.now_ms())?;
    let shutdown = Shutdown::on_signals().map_err(Failure::environment)?;
    let mut progress = Progress::start(&catalog.describe(), "inspecting references");

    ports.store().write_batch(&header).await.map_err(environment)?;
    open_batch(ports, &header).await.map_err(Failure::environment)?;
    let submission = Submission {
        catalog: &request.catalog,
        images: request.images.as_deref(),
        limit: request.limit,
        fetch: request.fetch.clone(),
        references_max: request.references_max,
        together: request.workshop.jobs.max(1) + 1,
        workshop: Some(&parts.workshop),
        resumes: false,
        creates_documents: true,
    };
    let taken =
        take_in(&submission, ports, &parts.instruments, &header, catalog, &shutdown.soft, &mut progress)
            .await?;
    let finished = match taken {
        Some(taken) => make(&request, &parts, &header, taken.skus, &shutdown, &mut progress).await?,
        None => false,
    };
    progress.finish();
    if !finished {
        terminal::note("stopped; the same command goes on from here");
        return Ok((None, Exit::Interrupted));
    }
    let source = Source {
        objects: &*ports.objects,
        clock: &*ports.clock,
        header: &header,
        documents: Some(&*ports.coordinator),
        masters: Masters::Stand,
    };
    let (summary, _) = output::write(&request.out, source, started.elapsed().as_secs_f64()).await?;
    let exit = if is_complete(&summary) { Exit::Complete } else { Exit::Attention };
    say(&request.out, &summary);
    Ok((Some(summary), exit))
}

/// Two runs into one folder would not harm each other's results, but would fight for the
/// report; the second one is refused.
pub(crate) fn lock(out: &Path) -> Result<std::fs::File, Failure> {
    let open = || -> std::io::Result<std::fs::File> {
        std::fs::create_dir_all(out)?;
        std::fs::File::options().create(true).truncate(false).write(true).open(out.join(".lock"))
    };
    let file =
        open().with_context(|| format!("cannot write to the output folder {}", out.display())).map_err(
            |error| Failure::environment(error).hint("choose a folder that can be written with --out"),
        )?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(Failure::environment(anyhow!("another run is writing to {}", out.display()))
                .hint("wait for it, or choose another folder with --out"))
        }
        // Some network file systems have no locks; then nobody can be told apart.
        Err(std::fs::TryLockError::Error(_)) => Ok(file),
    }
}

fn parts(request: &RunRequest, telemetry: &Telemetry) -> Result<Parts, Failure> {
    let directory = DirectoryObjects::open(&request.out.join("store")).map_err(environment)?;
    let objects: Arc<dyn Objects> = Arc::new(directory);
    let clock: Arc<dyn Clock> = Arc::new(MonotonicClock::new());
    let instruments = Instruments::new(telemetry, Arc::clone(&objects), Arc::clone(&clock), "memory");
    let coordinator = MemoryCoordinator::new(Incarnation(clock.now_ms()));
    Ok(Parts {
        workshop: Arc::new(Workshop::new(request.workshop, request.model.clone())),
        ports: instruments.ports(Ports {
            objects,
            coordinator: Arc::new(coordinator),
            ledger: Arc::new(MemoryLedger::new()),
            broker: Arc::new(MemoryBroker::new(BrokerLimits::STANDARD)),
            clock,
        }),
        instruments,
    })
}

/// Every run is a submission of its own; results are shared by job keys, so nothing is made
/// twice. The name tells a person which catalog it was.
fn header(request: &RunRequest, now_ms: u64) -> Result<Batch, Failure> {
    let bytes = std::fs::read(&request.catalog)
        .with_context(|| format!("cannot read the catalog {}", request.catalog.display()))
        .map_err(Failure::usage)?;
    let name = match &request.batch {
        Some(name) => BatchId::new(name).map_err(Failure::usage)?.to_string(),
        None => {
            let stem = request.catalog.file_stem().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
            stem.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(40).collect()
        }
    };
    Ok(Batch {
        schema: MANIFEST_SCHEMA,
        batch: BatchId::new(&format!("{}-{now_ms:x}", &name[..name.len().min(48)]))
            .map_err(Failure::usage)?,
        created_ms: now_ms,
        catalog: Digest::of(&bytes),
        settings: request.wanted.clone(),
    })
}

/// Phase 2: everything that is due, until nothing more happens without a person. `false`
/// when a signal ended it.
async fn make(
    request: &RunRequest,
    parts: &Parts,
    header: &Batch,
    skus: u64,
    shutdown: &Shutdown,
    progress: &mut Progress,
) -> Result<bool, Failure> {
    let jobs = request.workshop.jobs.max(1);
    let stop = Stop { soft: shutdown.soft.clone(), hard: shutdown.hard.clone() };
    let pools = [Pool::Studio, Pool::Assemble];
    // A small window keeps the jobs of a SKU close together, so that its photos are decoded
    // once.
    let windows = BTreeMap::from(pools.map(|pool| (pool, jobs as u64 * 2)));
    let (ports, instruments) = (&parts.ports, &parts.instruments);
    let dispatcher = Dispatcher::new(ports.clone(), DispatchSettings { windows, idle_ms: 200 });
    let sweeping = SweepSettings { every_ms: 5_000, silent_ms: 600_000 };
    let sweeper = Sweeper::new(ports.clone(), sweeping).observed_by(instruments.observer());
    let work = instruments.work(Arc::clone(&parts.workshop) as Arc<dyn packshot_runtime::work::Work>);
    let driver = Driver::new(ports.clone(), work, ports.clock.now_ms());
    let driver = Arc::new(driver.observed_by(instruments.observer()));
    let background = stop.soft.child_token();
    let dispatching = tokio::spawn(dispatcher.run(background.clone()));
    let sweeping = tokio::spawn(sweeper.run(background.clone()));
    let gauging = {
        let (instruments, stop) = (parts.instruments.clone(), background.clone());
        let (coordinator, clock) = (Arc::clone(&ports.coordinator), Arc::clone(&ports.clock));
        tokio::spawn(async move { instruments.watch_gauges(&*coordinator, &*clock, GAUGES_MS, &stop).await })
    };
    let consuming: Vec<_> = pools
        .map(|pool| {
            let (broker, clock) = (Arc::clone(&ports.broker), Arc::clone(&ports.clock));
            let (driver, stop) =
                (Arc::clone(&driver), Stop { soft: background.clone(), hard: stop.hard.clone() });
            tokio::spawn(async move {
                consume::consume(&*broker, &driver, &*clock, pool, jobs as u16, &stop).await;
            })
        })
        .into();
    let watched =
        until_settled(&*ports.coordinator, &*ports.clock, &header.batch, skus, &stop.soft, |tally, _news| {
            progress.made(tally);
        })
        .await;
    background.cancel();
    for task in consuming.into_iter().chain([dispatching, sweeping, gauging]) {
        task.await.map_err(Failure::environment)?;
    }
    match watched.map_err(Failure::environment)? {
        Watched::Settled(_) => Ok(true),
        Watched::Stopped(_) => Ok(false),
    }
}

/// A failure of the object store: the disk, most of the time.
fn environment(error: impl Into<anyhow::Error>) -> Failure {
    Failure::environment(error)
        .hint("make room or permissions right, then run the same command: it goes on from here")
}

fn say(out: &Path, summary: &Summary) {
    if summary.jobs > 0 && summary.cached == summary.jobs {
        terminal::note("nothing to make: every image of this catalog stands already");
    }
    terminal::note(sentence(summary));
    if summary.bad_rows > 0 {
        let bad_rows = summary.bad_rows;
        terminal::note(format!("{bad_rows} rows of the catalog could not be used; they are named above"));
    }
    terminal::note(format!("report: {}", out.join("report.html").display()));
}

/// Whether nothing needs a person: what was skipped for a good reason does not.
pub(crate) fn is_complete(summary: &Summary) -> bool {
    summary.bad_rows + summary.weak_references + summary.needs_human + summary.failed == 0
}

pub(crate) fn sentence(summary: &Summary) -> String {
    let mut parts = vec![format!("{} images accepted", summary.accepted)];
    let more = [
        (summary.cached, "stood already"),
        (summary.needs_human, "need a human eye"),
        (summary.failed, "failed"),
        (summary.skipped, "skipped with a reason"),
    ];
    parts.extend(more.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")));
    if summary.weak_references > 0 {
        parts.push(format!("{} SKUs need a new photo", summary.weak_references));
    }
    format!(
        "{} SKUs: {}; {:.0} s, {:.0} images a minute",
        summary.skus,
        parts.join(", "),
        summary.seconds,
        summary.images_per_minute
    )
}
