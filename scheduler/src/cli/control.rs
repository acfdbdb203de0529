//! `packshot pause`, `resume`, `cancel` and `priority`: an operator's word about a batch.

use super::{ControlArgs, PriorityArgs};
use crate::exit::{Exit, Failure};
use crate::{cluster, control, terminal};

/// Answers `pause`.
pub async fn pause(arguments: &ControlArgs) -> Result<Exit, Failure> {
    let settings = cluster::settings(arguments.config.as_deref())?;
    let batch = cluster::batch(&arguments.batch)?;
    control::pause(&cluster::ports(&settings).await?, &batch).await?;
    terminal::note(format!(
        "batch {batch} is paused; what has begun goes on, `packshot resume {batch}` goes on with the rest"
    ));
    Ok(Exit::Complete)
}

/// Answers `resume`.
pub async fn resume(arguments: &ControlArgs) -> Result<Exit, Failure> {
    let settings = cluster::settings(arguments.config.as_deref())?;
    let batch = cluster::batch(&arguments.batch)?;
    control::resume(&cluster::ports(&settings).await?, &batch).await?;
    terminal::note(format!("batch {batch} goes on"));
    Ok(Exit::Complete)
}

/// Answers `cancel`.
pub async fn cancel(arguments: &ControlArgs) -> Result<Exit, Failure> {
    let settings = cluster::settings(arguments.config.as_deref())?;
    let batch = cluster::batch(&arguments.batch)?;
    let cancelled = control::cancel(&cluster::ports(&settings).await?, &batch).await?;
    terminal::note(format!("batch {batch} is cancelled; {cancelled} SKUs had not ended"));
    Ok(Exit::Complete)
}

/// Answers `priority`.
pub async fn priority(arguments: &PriorityArgs) -> Result<Exit, Failure> {
    let settings = cluster::settings(arguments.config.as_deref())?;
    let batch = cluster::batch(&arguments.batch)?;
    control::prioritise(&cluster::ports(&settings).await?, &batch, arguments.priority).await?;
    terminal::note(format!("batch {batch} has priority {} now", arguments.priority));
    Ok(Exit::Complete)
}
