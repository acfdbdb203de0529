//! How long it takes to come back: work after a restart of the broker, and every document
//! after Redis lost all of its memory. Scheduler and worker are processes.

use std::time::{Duration, Instant};

use anyhow::Result;
use packshot_pipeline::policy::Policy;
use packshot_runtime::conformance::sample;

use crate::stage::{Stage, until};
use crate::table::{Goal, Line};
use crate::{Options, fill};

/// SKUs that are rebuilt.
const SKUS: usize = 3_000;
/// SKUs of the batch during which the broker restarts: more than are worked off before.
const LONG: usize = 5_000;
/// How long a job takes while the broker restarts.
const JOB_MS: u64 = 50;

/// From the moment in which RabbitMQ listens again until a job ends that had not begun before.
pub(crate) async fn broker(options: &Options) -> Result<Vec<Line>> {
    let mut line = Line::new("first job after RabbitMQ is up again from a restart", Goal::AtMost(10.0), "s");
    for _ in 0..options.rounds {
        let mut stage = Stage::open(&options.objects).await?;
        let ports = stage.ports().await?;
        let header =
            fill::batch(&ports, sample::batch("outage", Policy::STANDARD), LONG, &fill::FIVE).await?;
        let _scheduler = stage.serve(&[])?;
        let _worker = stage.worker(&[("POOLS__STUDIO", "8")], JOB_MS)?;
        fill::resume(&ports, &header).await?;
        let ended = async || -> Result<u64> {
            Ok(ports.coordinator.tally(&header.batch).await?.jobs(None, "accepted"))
        };
        until("some work", async || Ok(ended().await? > 100)).await?;
        stage.rabbitmq.stop().await;
        // What was being worked at ends all the same.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let before = ended().await?;
        stage.rabbitmq.start_again().await;
        let took = until("work after the restart", async || Ok(ended().await? > before)).await?;
        line.values.push(took.as_secs_f64());
    }
    Ok(vec![line])
}

/// From `FLUSHALL` until the last document stands again, half of the jobs being done.
pub(crate) async fn memory(options: &Options) -> Result<Vec<Line>> {
    let mut line = Line::new(
        format!("{SKUS} SKUs of 5 roles rebuilt after FLUSHALL, noticing it included"),
        Goal::AtMost(60.0),
        "s",
    );
    for _ in 0..options.rounds {
        let stage = Stage::open(&options.objects).await?;
        let ports = stage.ports().await?;
        let header =
            fill::batch(&ports, sample::batch("memory", Policy::STANDARD), SKUS, &fill::FIVE).await?;
        let scheduler = stage.serve(&[("DISPATCH__WINDOW__STUDIO", "1000")])?;
        let worker = stage.worker(&[("POOLS__STUDIO", "64")], 0)?;
        fill::resume(&ports, &header).await?;
        let tally = async || ports.coordinator.tally(&header.batch).await;
        let half = (SKUS * fill::FIVE.len() / 2) as u64;
        until("half of the jobs", async || Ok(tally().await?.jobs(None, "accepted") >= half)).await?;
        drop(worker);
        stage.redis.tell(&["FLUSHALL"]);
        let begun = Instant::now();
        until("every document", async || Ok(tally().await?.skus() >= SKUS as u64)).await?;
        line.values.push(begun.elapsed().as_secs_f64());
        drop(scheduler);
    }
    Ok(vec![line])
}
