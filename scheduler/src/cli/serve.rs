//! `packshot serve`: the scheduler of a cluster.

use super::ServeArgs;
use crate::exit::{Exit, Failure};
use crate::{serve, session};

/// Answers the command.
pub async fn serve(arguments: &ServeArgs) -> Result<Exit, Failure> {
    let mut settings = session::read_settings(arguments.config.as_deref(), Vec::new())?;
    // A process that stays says what it does; commands that answer do not.
    if settings.log == crate::settings::Log::default() {
        settings.log.level = "info".to_owned();
    }
    let telemetry = session::telemetry_as("packshot-scheduler", &settings);
    let exit = serve::serve(&settings, &telemetry).await;
    telemetry.shutdown();
    exit
}
