//! `packshot fetch`: the output folder of a batch, from the object store alone.

use packshot_worker::system;

use super::FetchArgs;
use crate::exit::{Exit, Failure};
use crate::fetch::{Fetched, fetch as fetch_batch};
use crate::{cluster, terminal};

/// Answers the command.
pub async fn fetch(arguments: &FetchArgs) -> Result<Exit, Failure> {
    let settings = cluster::settings(arguments.config.as_deref())?;
    let batch = cluster::batch(&arguments.batch)?;
    let objects = cluster::objects(&settings).await?;
    let Fetched { summary, sentence, exit } =
        fetch_batch(&*objects, &*system::clock(), &batch, &arguments.out).await?;
    if arguments.json {
        terminal::data(serde_json::to_string_pretty(&summary).map_err(Failure::environment)?);
    }
    terminal::note(sentence);
    terminal::note(format!("report: {}", arguments.out.join("report.html").display()));
    Ok(exit)
}
