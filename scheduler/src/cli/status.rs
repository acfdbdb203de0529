//! `packshot status`: one batch, or all of them.

use packshot_runtime::ports::Ports;

use super::StatusArgs;
use crate::exit::{Exit, Failure};
use crate::status::BatchView;
use crate::{cluster, terminal};

/// Answers the command.
pub async fn status(arguments: &StatusArgs) -> Result<Exit, Failure> {
    let settings = cluster::settings(arguments.config.as_deref())?;
    let ports = cluster::ports(&settings).await?;
    match &arguments.batch {
        Some(name) => one(&ports, name, arguments.json).await,
        None => all(&ports, arguments.json).await,
    }
}

async fn one(ports: &Ports, name: &str, json: bool) -> Result<Exit, Failure> {
    let view = BatchView::load(ports, &cluster::batch(name)?).await?;
    if json {
        terminal::data(serde_json::to_string_pretty(&view).map_err(Failure::environment)?);
    } else {
        terminal::data(view.line());
        terminal::data(view.table());
        if let Some(cap) = &view.cost_max_usd {
            terminal::data(format!(
                "money: {} USD spent, {} USD put aside, {cap} USD at most",
                view.cost_usd, view.reserved_usd
            ));
        }
    }
    Ok(if view.is_at_rest() && view.needs_attention() { Exit::Attention } else { Exit::Complete })
}

async fn all(ports: &Ports, json: bool) -> Result<Exit, Failure> {
    let names = ports.store().batches().await.map_err(Failure::environment)?;
    if names.is_empty() {
        terminal::note("there are no batches in this object store");
    }
    if !json && !names.is_empty() {
        terminal::data(format!(
            "{:<32} {:<11} {:>8} {:>8} {:>9} {:>6} {:>6} {:>9}",
            "batch", "phase", "SKUs", "settled", "accepted", "human", "failed", "priority"
        ));
    }
    for name in names {
        let view = BatchView::load(ports, &name).await?;
        // One line each, so that a list of any length is a stream.
        terminal::data(if json {
            serde_json::to_string(&view).map_err(Failure::environment)?
        } else {
            format!(
                "{:<32} {:<11} {:>8} {:>8} {:>9} {:>6} {:>6} {:>9}",
                view.batch.to_string(),
                view.phase.word(),
                view.skus_submitted.unwrap_or(view.skus),
                view.settled,
                view.images("accepted"),
                view.images("needs-human"),
                view.images("failed") + view.images("rejected") + view.images("over-budget"),
                view.priority
            )
        });
    }
    Ok(Exit::Complete)
}
