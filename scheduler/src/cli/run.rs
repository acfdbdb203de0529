//! `packshot run`: the whole job on this machine.

use serde_json::json;

use super::RunArgs;
use crate::exit::{Exit, Failure};
use crate::run::{RunRequest, run as run_catalog};
use crate::{session, terminal};

/// Answers the command.
pub async fn run(arguments: &RunArgs) -> Result<Exit, Failure> {
    let mut flags = session::flags(&arguments.catalog);
    if let Some(jobs) = arguments.jobs {
        flags.push(("work.jobs".to_owned(), json!(jobs)));
    }
    let settings = session::read_settings(arguments.catalog.config.as_deref(), flags)?;
    let telemetry = session::telemetry(&settings);
    let model = session::matting(&settings.matting)?;
    let request = RunRequest {
        catalog: arguments.catalog.catalog.clone(),
        images: arguments.catalog.images.clone(),
        out: arguments.out.clone(),
        batch: arguments.batch.clone(),
        limit: arguments.catalog.limit,
        wanted: session::wanted(&settings, model.as_deref())?,
        workshop: session::workshop_limits(&settings),
        model,
        fetch: session::fetch_limits(&settings),
        references_max: settings.limits.references_max,
    };
    let (summary, exit) = run_catalog(request, &telemetry).await?;
    if let Some(summary) = summary.filter(|_| arguments.catalog.json) {
        terminal::data(serde_json::to_string_pretty(&summary).map_err(Failure::environment)?);
    }
    Ok(exit)
}
