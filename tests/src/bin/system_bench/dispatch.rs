//! The dispatcher alone: everything that is ready goes to the broker, each message confirmed
//! and its slot moved, in one window that holds all of it.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Result, ensure};
use packshot_pipeline::policy::Policy;
use packshot_pipeline::pool::Pool;
use packshot_pipeline::role::Role;
use packshot_runtime::conformance::sample;
use packshot_runtime::dispatch::{DispatchSettings, Dispatcher};

use crate::stage::Stage;
use crate::table::{Goal, Line};
use crate::{Options, fill};

const JOBS: usize = 15_000;

pub(crate) async fn run(options: &Options) -> Result<Vec<Line>> {
    let mut line = Line::new(format!("{JOBS} jobs dispatched with confirms"), Goal::AtMost(3.0), "s");
    for _ in 0..options.rounds {
        let stage = Stage::open(&options.objects).await?;
        let ports = stage.ports().await?;
        let header =
            fill::batch(&ports, sample::batch("dispatch", Policy::STANDARD), JOBS, &[Role::Main]).await?;
        fill::resume(&ports, &header).await?;
        let windows = BTreeMap::from([(Pool::Studio, JOBS as u64)]);
        let mut dispatcher = Dispatcher::new(ports.clone(), DispatchSettings { windows, idle_ms: 200 });
        let begun = Instant::now();
        let mut sent = 0;
        while sent < JOBS as u64 {
            sent += dispatcher.round().await?;
        }
        line.values.push(begun.elapsed().as_secs_f64());
        let depth = ports.coordinator.depth(&header.batch, Pool::Studio).await?;
        ensure!((depth.ready, depth.dispatched) == (0, JOBS as u64), "not all were dispatched: {depth:?}");
    }
    Ok(vec![line])
}
