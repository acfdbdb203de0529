//! `packshot retry --failed`: tries again what the world prevented.

use super::RetryArgs;
use crate::exit::{Exit, Failure};
use crate::{cluster, control, terminal};

/// Answers the command.
pub async fn retry(arguments: &RetryArgs) -> Result<Exit, Failure> {
    let settings = cluster::settings(arguments.config.as_deref())?;
    let batch = cluster::batch(&arguments.batch)?;
    let again = control::retry(&cluster::ports(&settings).await?, &batch).await?;
    terminal::note(match again {
        0 => format!("nothing of batch {batch} failed, lacked money or was cancelled"),
        _ => format!(
            "{again} SKUs of batch {batch} are tried again; `packshot watch {batch}` shows how it goes"
        ),
    });
    Ok(Exit::Complete)
}
