//! Resident memory of processes that have nothing to do.

use std::time::Duration;

use anyhow::Result;

use crate::Options;
use crate::stage::Stage;
use crate::table::{Goal, Line};
use crate::usage::resident_bytes;

pub(crate) async fn run(options: &Options) -> Result<Vec<Line>> {
    let mut worker = Line::new("resident memory of an idle worker", Goal::AtMost(40.0), "MB");
    let mut scheduler = Line::new("resident memory of an idle scheduler", Goal::None, "MB");
    let stage = Stage::open(&options.objects).await?;
    for _ in 0..options.rounds {
        let idle = stage.start(stage.command("packshot-worker")?, "consuming")?;
        let serving = stage.serve(&[])?;
        tokio::time::sleep(Duration::from_secs(3)).await;
        worker.values.push(resident_bytes(idle.id())? as f64 / 1e6);
        scheduler.values.push(resident_bytes(serving.id())? as f64 / 1e6);
    }
    Ok(vec![worker, scheduler])
}
