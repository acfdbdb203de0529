//! `packshot submit`: hands a catalog to the workers of a cluster.

use packshot_service::lifecycle::Shutdown;
use packshot_worker::matting::MattingModel;
use packshot_worker::telemetry::Instruments;
use serde_json::json;

use super::SubmitArgs;
use crate::exit::{Exit, Failure};
use crate::submit::{Receipt, SubmitRequest, Submitted, submit as submit_catalog};
use crate::{cluster, session, terminal};

/// Answers the command.
pub async fn submit(arguments: &SubmitArgs) -> Result<Exit, Failure> {
    let mut flags = session::flags(&arguments.catalog);
    if let Some(priority) = arguments.priority {
        flags.push(("batch.priority".to_owned(), json!(priority)));
    }
    if let Some(cost_max) = &arguments.cost_max {
        flags.push(("budget.cost_max_usd".to_owned(), json!(cost_max)));
    }
    let settings = session::read_settings(arguments.catalog.config.as_deref(), flags)?;
    let telemetry = session::telemetry(&settings);
    // Only what it is counts here: those who ask it try it out.
    let model = MattingModel::load(&settings.matting).map_err(session::no_model)?;
    let request = SubmitRequest {
        catalog: arguments.catalog.catalog.clone(),
        images: arguments.catalog.images.clone(),
        batch: arguments.batch.clone(),
        limit: arguments.catalog.limit,
        wanted: session::wanted(&settings, model.as_deref())?,
        fetch: session::fetch_limits(&settings),
        references_max: settings.limits.references_max,
        together: settings.submit.together,
    };
    let ports = cluster::ports(&settings).await?;
    let instruments = Instruments::new(&telemetry, ports.objects.clone(), ports.clock.clone(), "rabbitmq");
    let ports = instruments.ports(ports);
    let shutdown = Shutdown::on_signals().map_err(Failure::environment)?;
    match submit_catalog(&request, &ports, &instruments, &shutdown.soft).await? {
        Submitted::Stopped(batch) => {
            terminal::note(format!("stopped; the same command goes on with batch {batch}"));
            Ok(Exit::Interrupted)
        }
        Submitted::Whole(receipt) => {
            said(&receipt);
            terminal::data(if arguments.catalog.json {
                serde_json::to_string_pretty(&receipt).map_err(Failure::environment)?
            } else {
                receipt.batch.to_string()
            });
            Ok(if receipt.taken.bad_rows > 0 { Exit::Attention } else { Exit::Complete })
        }
    }
}

fn said(receipt: &Receipt) {
    let Receipt { batch, taken, ended } = receipt;
    let resumed = match taken.resumed {
        0 => String::new(),
        all if all == taken.skus => ", all of which stood already".to_owned(),
        some => format!(", {some} of which stood already"),
    };
    terminal::note(format!("batch {batch}: {} SKUs{resumed}, {} images", taken.skus, taken.jobs));
    if taken.bad_rows > 0 {
        terminal::note(format!(
            "{} rows of the catalog could not be used; they are named above",
            taken.bad_rows
        ));
    }
    terminal::note(if *ended {
        format!("it has ended: `packshot fetch {batch} --out DIR` writes what came of it")
    } else {
        format!("`packshot watch {batch}` shows how it goes on")
    });
}
