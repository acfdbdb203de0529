//! Jobs that only pass through the protocol: a scheduler and workers as processes, images that
//! take no time and leave no bytes, and everything else as in production. Five roles and a set
//! for each SKU, so the fan-in is part of it.

use std::time::Duration;

use anyhow::Result;
use packshot_pipeline::policy::Policy;
use packshot_runtime::conformance::sample;

use crate::stage::{Stage, until};
use crate::table::{Goal, Line};
use crate::usage::Meter;
use crate::{Options, fill};

/// SKUs of one round.
const SKUS: usize = 2_000;
/// Jobs of a SKU: five roles and the set.
const JOBS: usize = SKUS * 6;
/// Jobs that a worker has under way; nobody waits for pixels here.
const UNDER_WAY: &str = "64";
/// Messages that may wait; jobs that take no time want more of them than those that do.
const WINDOW: &str = "1000";

pub(crate) async fn run(options: &Options) -> Result<Vec<Line>> {
    let mut rate = Line::new(
        format!(
            "no-op jobs through the whole protocol, 2 cores for everything ({SKUS} SKUs of 5 roles and a set)"
        ),
        Goal::AtLeast(4_000.0),
        "jobs/s",
    );
    let mut whole =
        Line::new(format!("{SKUS} five-role SKUs, first dispatch to last set"), Goal::AtMost(3.0), "s");
    let mut scripts = Line::new("scripts of Redis per job", Goal::None, "");
    let mut commands = Line::new("commands of Redis per job, those of scripts among them", Goal::None, "");
    let mut bytes = Line::new("Redis memory per open SKU of five roles", Goal::None, "bytes");
    let mut processors: Vec<Line> = Vec::new();
    for _ in 0..options.rounds {
        let stage = Stage::open(&options.objects).await?;
        let ports = stage.ports().await?;
        let empty = stage.redis_bytes()?;
        let header =
            fill::batch(&ports, sample::batch("protocol", Policy::STANDARD), SKUS, &fill::FIVE).await?;
        bytes.values.push(stage.redis_bytes()?.saturating_sub(empty) as f64 / SKUS as f64);
        let window = [("DISPATCH__WINDOW__STUDIO", WINDOW), ("DISPATCH__WINDOW__ASSEMBLE", WINDOW)];
        let scheduler = stage.serve(&window)?;
        let pools = [("POOLS__STUDIO", UNDER_WAY), ("POOLS__ASSEMBLE", UNDER_WAY)];
        let workers = (0..options.workers).map(|_| stage.worker(&pools, 0)).collect::<Result<Vec<_>>>()?;
        let mut names = vec![
            ("RabbitMQ", stage.rabbitmq_pid().await?),
            ("Redis", stage.redis_pid()?),
            ("the scheduler", scheduler.id()),
        ];
        names.extend(workers.iter().map(|worker| ("the workers", worker.id())));
        let before = stage.redis_calls()?;
        let meter = Meter::start(names)?;
        fill::resume(&ports, &header).await?;
        let took = until("the last set", async || {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Ok(ports.coordinator.tally(&header.batch).await?.settled() == SKUS as u64)
        })
        .await?;
        let after = stage.redis_calls()?;
        rate.values.push(JOBS as f64 / took.as_secs_f64());
        whole.values.push(took.as_secs_f64());
        scripts.values.push((after.0 - before.0) as f64 / JOBS as f64);
        commands.values.push((after.1 - before.1) as f64 / JOBS as f64);
        for (at, (name, taken)) in meter.taken()?.into_iter().enumerate() {
            if processors.len() == at {
                let what = format!("processor time per job: {name}");
                processors.push(Line::new(what, Goal::None, "microseconds"));
            }
            processors[at].values.push(taken.as_micros() as f64 / JOBS as f64);
        }
    }
    let mut lines = vec![rate, whole];
    lines.extend(processors);
    lines.extend([scripts, commands, bytes]);
    Ok(lines)
}
