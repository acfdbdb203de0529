//! `packshot serve`: the scheduler process. Dispatcher, sweeper and keeper as loops of their
//! own, with health. It holds nothing that is not in the object store or the coordinator, so
//! it may be killed at any time, and several may run at once.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use packshot_runtime::dispatch::Dispatcher;
use packshot_runtime::keep::Keeper;
use packshot_runtime::ports::Ports;
use packshot_runtime::sweep::Sweeper;
use packshot_service::health::{self, Checks, Pulse};
use packshot_service::lifecycle::Shutdown;
use packshot_service::telemetry::Telemetry;
use packshot_worker::system::{System, connect_patiently};
use packshot_worker::telemetry::{GAUGES_MS, Instruments};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::cluster;
use crate::exit::{Exit, Failure};
use crate::settings::Settings;

/// How long the coordinator may not answer until the scheduler counts as not ready.
const SILENT_MAX: Duration = Duration::from_secs(30);
/// The wait between two questions whether it answers, in milliseconds.
const ASK_MS: u64 = 5_000;
/// How long loops may take to end after they were told to.
const END_MAX: Duration = Duration::from_secs(20);

/// Serves until it is told to stop.
pub async fn serve(settings: &Settings, telemetry: &Telemetry) -> Result<Exit, Failure> {
    let shutdown = Shutdown::on_signals().map_err(Failure::environment)?;
    let checks = Checks::new();
    checks.metrics(telemetry.scrape());
    let _serving = serve_health(settings, &checks, &shutdown).await?;
    // Not ready until everything is open.
    let answered = Pulse::new();
    let opened = CancellationToken::new();
    let is_open = opened.clone();
    checks.ready("opened", move || {
        if is_open.is_cancelled() {
            Ok(())
        } else {
            Err("the outside systems are not all open yet".to_owned())
        }
    });
    let connected = connect_patiently(&settings.system, &shutdown.soft).await;
    let Some(system) = connected.map_err(cluster::failure)? else { return Ok(Exit::Complete) };
    opened.cancel();
    checks.ready("coordinator", answered.probe(SILENT_MAX));
    let rabbit = system.rabbit.clone();
    checks.ready("publishing", move || match rabbit.health().publisher {
        publisher if publisher.connected && publisher.blocked_ms.is_none() => Ok(()),
        publisher => Err(publisher.last_error.unwrap_or_else(|| "the broker takes no messages".to_owned())),
    });
    let System { ports, .. } = system;
    let instruments =
        Instruments::new(telemetry, Arc::clone(&ports.objects), Arc::clone(&ports.clock), "rabbitmq");
    let loops = start(settings, instruments.ports(ports), &instruments, answered, &shutdown.soft);
    info!("serving");
    end(loops, &shutdown).await
}

async fn serve_health(
    settings: &Settings,
    checks: &Checks,
    shutdown: &Shutdown,
) -> Result<Option<health::Serving>, Failure> {
    let addr = settings.health.addr().map_err(|bad| Failure::usage(anyhow!(bad)))?;
    let Some(addr) = addr else { return Ok(None) };
    match health::serve(addr, checks.clone(), shutdown).await {
        Ok(serving) => {
            info!(addr = %serving.addr(), "health is served");
            Ok(Some(serving))
        }
        // A second scheduler of one machine works all the same.
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            warn!(%addr, "another process serves health there; this one does not (`health.listen`)");
            Ok(None)
        }
        Err(error) => Err(Failure::environment(error).hint("another address can be set as `health.listen`")),
    }
}

/// Starts every loop.
fn start(
    settings: &Settings,
    ports: Ports,
    instruments: &Instruments,
    answered: Arc<Pulse>,
    stop: &CancellationToken,
) -> JoinSet<()> {
    let mut loops = JoinSet::new();
    let dispatcher = Dispatcher::new(ports.clone(), settings.dispatch.settings());
    loops.spawn(dispatcher.run(stop.clone()));
    let sweeper = Sweeper::new(ports.clone(), settings.sweep.settings());
    loops.spawn(sweeper.observed_by(instruments.observer()).run(stop.clone()));
    loops.spawn(Keeper::new(ports.clone(), settings.keep.settings()).run(stop.clone()));
    let (gauged, looked, until) = (instruments.clone(), ports.clone(), stop.clone());
    loops.spawn(async move {
        gauged.watch_gauges(&*looked.coordinator, &*looked.clock, GAUGES_MS, &until).await;
        // Returns at once while metrics are off.
        until.cancelled().await;
    });
    loops.spawn(ask(ports, answered, stop.clone()));
    loops
}

/// Asks the coordinator now and then, as a sign of life.
async fn ask(ports: Ports, answered: Arc<Pulse>, stop: CancellationToken) {
    loop {
        match ports.coordinator.incarnation().await {
            Ok(_) => answered.beat(),
            Err(error) => warn!(%error, "the coordinator does not answer"),
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = ports.clock.sleep(ASK_MS) => {}
        }
    }
}

/// Waits until it is told to stop, or a loop breaks, and then for the loops to end.
async fn end(mut loops: JoinSet<()>, shutdown: &Shutdown) -> Result<Exit, Failure> {
    let broken = tokio::select! {
        biased;
        () = shutdown.soft.cancelled() => None,
        ended = loops.join_next() => Some(ended),
    };
    shutdown.soft.cancel();
    let ending = async { while loops.join_next().await.is_some() {} };
    tokio::select! {
        () = ending => {}
        () = shutdown.hard.cancelled() => warn!("told to stop at once"),
        () = tokio::time::sleep(END_MAX) => warn!("the loops did not end in time"),
    }
    match broken {
        None => {
            info!("stopped");
            Ok(Exit::Complete)
        }
        Some(ended) => {
            let why = match ended {
                Some(Err(error)) => error.to_string(),
                Some(Ok(())) | None => "it returned".to_owned(),
            };
            Err(Failure::environment(anyhow!("a loop of the scheduler ended by itself: {why}"))
                .hint("this is a bug; start the scheduler again, nothing is lost"))
        }
    }
}
