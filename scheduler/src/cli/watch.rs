//! `packshot watch`: a batch until nothing more happens in it without a person.

use packshot_service::lifecycle::Shutdown;

use super::BatchArgs;
use crate::exit::{Exit, Failure};
use crate::watch::{Show, watch as watch_batch};
use crate::{cluster, terminal};

/// Answers the command.
pub async fn watch(arguments: &BatchArgs) -> Result<Exit, Failure> {
    let settings = cluster::settings(arguments.config.as_deref())?;
    let batch = cluster::batch(&arguments.batch)?;
    let ports = cluster::ports(&settings).await?;
    let shutdown = Shutdown::on_signals().map_err(Failure::environment)?;
    let show = if arguments.json { Show::Json } else { Show::People };
    let (view, at_rest) = watch_batch(&ports, &batch, show, &shutdown.soft).await?;
    if !arguments.json {
        terminal::note(view.table());
        terminal::note(view.line());
    }
    if !at_rest {
        terminal::note(format!("no longer watching; batch {batch} goes on by itself"));
        return Ok(Exit::Interrupted);
    }
    terminal::note(format!("`packshot fetch {batch} --out DIR` writes what came of it"));
    Ok(if view.needs_attention() { Exit::Attention } else { Exit::Complete })
}
