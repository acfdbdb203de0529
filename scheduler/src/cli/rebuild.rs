//! `packshot rebuild`: the coordinator's documents from the object store. The scheduler does
//! it by itself when the coordinator has lost its memory; this is for operators who know more.

use anyhow::anyhow;
use packshot_runtime::submit::rebuild_batch;

use super::RebuildArgs;
use crate::exit::{Exit, Failure};
use crate::{cluster, terminal};

/// Answers the command.
pub async fn rebuild(arguments: &RebuildArgs) -> Result<Exit, Failure> {
    let settings = cluster::settings(arguments.config.as_deref())?;
    let ports = cluster::ports(&settings).await?;
    let store = ports.store();
    let batches = match &arguments.batch {
        Some(name) => vec![cluster::batch(name)?],
        None => {
            let mut open = Vec::new();
            for batch in store.batches().await.map_err(Failure::environment)? {
                let closed = store.closed(&batch).await.map_err(Failure::environment)?;
                open.extend(closed.is_none_or(|closed| !closed.closed).then_some(batch));
            }
            open
        }
    };
    if batches.is_empty() {
        terminal::note("every batch of this object store has ended; name one to rebuild it all the same");
    }
    for batch in batches {
        let made = rebuild_batch(&ports, &batch).await.map_err(Failure::environment)?;
        let made = made.ok_or_else(|| {
            Failure::usage(anyhow!("there is no batch {batch}"))
                .hint("`packshot status` lists the batches of this object store")
        })?;
        terminal::note(format!("batch {batch}: {made} documents made anew, the others stood"));
    }
    Ok(Exit::Complete)
}
