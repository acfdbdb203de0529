//! `packshot doctor`: what is wrong outside, and what to do.

use super::DoctorArgs;
use crate::doctor::{Weight, examine, text};
use crate::exit::{Exit, Failure};
use crate::{cluster, terminal};

/// Answers the command.
pub async fn doctor(arguments: &DoctorArgs) -> Result<Exit, Failure> {
    let settings = cluster::settings(arguments.config.as_deref())?;
    let findings = Box::pin(examine(&settings)).await;
    terminal::data(if arguments.json {
        serde_json::to_string_pretty(&findings).map_err(Failure::environment)?
    } else {
        text(&findings)
    });
    let problem = findings.iter().any(|finding| finding.weight == Weight::Problem);
    Ok(if problem { Exit::Attention } else { Exit::Complete })
}
