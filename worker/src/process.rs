//! The worker process: settings, outside systems, consume → claim → drive → commit → ack for
//! every configured pool, health, and an orderly end. What is done inside a job is an
//! argument, so that the same process runs with any other work.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use packshot_adapters::rabbitmq::{RabbitBroker, RabbitHealth};
use packshot_pipeline::pool::Pool;
use packshot_runtime::causes::chain;
use packshot_runtime::consume::{self, consume};
use packshot_runtime::drive::Driver;
use packshot_runtime::ports::Ports;
use packshot_runtime::work::Work;
use packshot_service::config::{Sources, load};
use packshot_service::health::{self, Checks, Pulse};
use packshot_service::lifecycle::Shutdown;
use packshot_service::telemetry::{self, Telemetry};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::bounded::{Bounded, resident_bytes};
use crate::settings::WorkerSettings;
use crate::system::{System, connect_patiently};
use crate::telemetry::Instruments;

/// How a worker process ends, as whoever started it sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// 0: it was asked to stop and everything that had begun was finished or given back.
    Drained,
    /// 1: the settings or the command line are wrong.
    Usage,
    /// 3: it had to leave while jobs were going on; their leases run out.
    Hard,
    /// 4: an outside system refuses it, or the machine does.
    Environment,
}

impl From<Ended> for ExitCode {
    fn from(ended: Ended) -> Self {
        ExitCode::from(match ended {
            Ended::Drained => 0,
            Ended::Usage => 1,
            Ended::Hard => 3,
            Ended::Environment => 4,
        })
    }
}

/// What a worker process runs with: the ports as it shall see them, and what is done inside a
/// job.
#[derive(Clone)]
pub struct Crew {
    /// The ports; those that were opened, or wrapped.
    pub ports: Ports,
    /// What is done inside a job.
    pub work: Arc<dyn Work>,
}

/// Runs a worker process with the settings of `config` and the environment, until it is told
/// to stop. `hire` is called before anything outside is opened and may refuse to begin; what it
/// returns is given the ports once they are open, and says what to run with.
pub fn main<E: FnOnce(Ports) -> Crew>(
    config: Option<PathBuf>,
    version: &'static str,
    hire: impl FnOnce(&WorkerSettings) -> Result<E, String>,
) -> ExitCode {
    let settings = match read(config) {
        Ok(settings) => settings,
        Err(problems) => {
            say(&format!("error: {}", problems.join("\n")));
            say("hint: deploy/worker.toml lists every setting with its default");
            return Ended::Usage.into();
        }
    };
    let engage = match hire(&settings) {
        Ok(engage) => engage,
        Err(why) => {
            say(&format!("error: {why}"));
            say("hint: deploy/TROUBLESHOOTING.md explains every message");
            return Ended::Usage.into();
        }
    };
    let telemetry = telemetry::start("packshot-worker", version, &settings.log);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(problem) => {
            error!(error = %problem, "cannot start the runtime");
            return Ended::Environment.into();
        }
    };
    let ended = runtime.block_on(live(&settings, &telemetry, engage));
    // Pixel work that was told to leave cannot be stopped in the middle; nobody waits for it.
    runtime.shutdown_background();
    telemetry.shutdown();
    ended.into()
}

/// Reads and checks the settings; every mistake at once.
fn read(config: Option<PathBuf>) -> Result<WorkerSettings, Vec<String>> {
    let sources = Sources { file: config.as_deref(), ..Sources::from_process_env() };
    let settings = load(&WorkerSettings::standard(), &sources).map_err(|bad| bad.problems)?;
    let problems = settings.problems();
    if problems.is_empty() { Ok(settings) } else { Err(problems) }
}

/// Before logging stands, an error has no other way out.
#[allow(clippy::print_stderr, reason = "logging is not started when settings cannot be read")]
fn say(line: &str) {
    eprintln!("{line}");
}

async fn live(settings: &WorkerSettings, telemetry: &Telemetry, engage: impl FnOnce(Ports) -> Crew) -> Ended {
    let shutdown = match Shutdown::on_signals() {
        Ok(shutdown) => shutdown,
        Err(problem) => {
            error!(error = %problem, "cannot listen for signals");
            return Ended::Environment;
        }
    };
    let checks = Checks::new();
    checks.metrics(telemetry.scrape());
    let served = serve_health(settings, &checks, &shutdown).await;
    let _serving = match served {
        Ok(serving) => serving,
        Err(problem) => {
            error!(error = %problem, listen = settings.health.listen, "cannot serve health");
            return Ended::Environment;
        }
    };
    let opened = CancellationToken::new();
    checks.ready("opened", once_opened(opened.clone()));
    match connect_patiently(&settings.system, &shutdown.soft).await {
        Ok(Some(System { ports, rabbit, .. })) => {
            let pools = settings.pools.consumed().into_keys().collect();
            watch_consumers(&checks, &rabbit, pools, settings.health.silent_s);
            opened.cancel();
            let ended = run(settings, engage(ports), telemetry, &shutdown).await;
            // Acknowledgements that the server has not taken would come back as duplicates.
            rabbit.close().await;
            ended
        }
        Ok(None) => Ended::Drained,
        Err(problem) => {
            error!(error = %chain(&problem), "an outside system refuses this worker; `packshot doctor` looks closer");
            Ended::Environment
        }
    }
}

/// Not ready until everything is open.
fn once_opened(opened: CancellationToken) -> impl Fn() -> Result<(), String> {
    move || {
        if opened.is_cancelled() {
            Ok(())
        } else {
            Err("the outside systems are not all open yet".to_owned())
        }
    }
}

async fn serve_health(
    settings: &WorkerSettings,
    checks: &Checks,
    shutdown: &Shutdown,
) -> std::io::Result<Option<health::Serving>> {
    match settings.health.addr().ok().flatten() {
        Some(addr) => match health::serve(addr, checks.clone(), shutdown).await {
            Ok(serving) => {
                info!(addr = %serving.addr(), "health is served");
                Ok(Some(serving))
            }
            // A second worker of one machine works all the same.
            Err(problem) if problem.kind() == std::io::ErrorKind::AddrInUse => {
                warn!(%addr, "another process serves health there; this one does not (`health.listen`)");
                Ok(None)
            }
            Err(problem) => Err(problem),
        },
        None => Ok(None),
    }
}

/// Consumes every configured pool until `shutdown`, and drains.
pub async fn run(settings: &WorkerSettings, crew: Crew, telemetry: &Telemetry, shutdown: &Shutdown) -> Ended {
    let Crew { ports, work } = crew;
    let instruments =
        Instruments::new(telemetry, Arc::clone(&ports.objects), Arc::clone(&ports.clock), "rabbitmq");
    let ports = instruments.ports(ports);
    let work = match settings.work.memory_mb_max {
        0 => work,
        megabytes => Arc::new(Bounded::new(work, megabytes << 20, resident_bytes)),
    };
    let driver = Driver::new(ports.clone(), instruments.work(work), seed());
    let driver = Arc::new(driver.observed_by(instruments.observer()));
    info!(pools = ?settings.pools, "consuming");
    let mut consuming = JoinSet::new();
    for (pool, jobs) in settings.pools.consumed() {
        consuming.spawn(consume_pool(ports.clone(), Arc::clone(&driver), pool, jobs, shutdown.clone()));
    }
    let ended = drain(settings, &mut consuming, shutdown).await;
    info!(?ended, "the worker ends");
    ended
}

async fn consume_pool(ports: Ports, driver: Arc<Driver>, pool: Pool, jobs: u16, shutdown: Shutdown) {
    let stop = consume::Stop { soft: shutdown.soft, hard: shutdown.hard };
    consume(&*ports.broker, &driver, &*ports.clock, pool, jobs, &stop).await;
}

/// Waits for the end: what has begun may finish until the deadline; then it is told to leave
/// and gets a moment to give itself back.
async fn drain(settings: &WorkerSettings, consuming: &mut JoinSet<()>, shutdown: &Shutdown) -> Ended {
    shutdown.soft.cancelled().await;
    info!(drain_s = settings.stop.drain_s, "stopping: nothing new is taken, what has begun is finished");
    tokio::select! {
        () = all_ended(consuming) => return Ended::Drained,
        () = shutdown.hard.cancelled() => warn!("told to stop at once"),
        () = tokio::time::sleep(Duration::from_secs(settings.stop.drain_s)) => {
            warn!("jobs did not end in time; they are interrupted and given back");
            shutdown.hard.cancel();
        }
    }
    let give_back = Duration::from_secs(settings.stop.give_back_s);
    match tokio::time::timeout(give_back, all_ended(consuming)).await {
        Ok(()) => Ended::Drained,
        Err(_) => Ended::Hard,
    }
}

async fn all_ended(consuming: &mut JoinSet<()>) {
    while let Some(ended) = consuming.join_next().await {
        if let Err(problem) = ended {
            error!(error = %problem, "a consuming task broke");
        }
    }
}

/// Adds the checks by which a worker is known to be really consuming. A broker that does not
/// answer makes it not ready; only a consumer that is dead while the broker answers makes it
/// stuck, because nothing but a restart would help then.
fn watch_consumers(checks: &Checks, rabbit: &RabbitBroker, pools: Vec<Pool>, silent_s: u64) {
    let alive = Pulse::new();
    let (asked, wanted) = (rabbit.clone(), pools.clone());
    checks.ready("consuming", move || silent_pool(&asked.health(), &wanted, silent_s * 1000));
    let (rabbit, beating) = (rabbit.clone(), Arc::clone(&alive));
    let stuck = alive.probe(Duration::from_secs(silent_s * 3));
    checks.live("consuming", move || {
        let health = rabbit.health();
        let silent = silent_pool(&health, &pools, silent_s * 1000);
        if silent.is_ok() || !health.consuming.connected {
            beating.beat();
        }
        stuck().map_err(|why| format!("the broker answers, but {}: {why}", silent.err().unwrap_or_default()))
    });
}

fn silent_pool(health: &RabbitHealth, pools: &[Pool], within_ms: u64) -> Result<(), String> {
    match pools.iter().find(|pool| !health.is_consuming(**pool, within_ms)) {
        None => Ok(()),
        Some(pool) => Err(match &health.consuming.last_error {
            Some(why) => format!("the queue of pool {pool} is not being consumed: {why}"),
            None => format!("the queue of pool {pool} is not being consumed"),
        }),
    }
}

/// Tells the claims of this process from those of every other.
fn seed() -> u64 {
    rand::random()
}
