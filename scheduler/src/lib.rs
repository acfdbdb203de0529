//! Packshot's scheduler as a library: reads catalogs, plans jobs, runs them or publishes
//! them, and reports what came of it.

pub mod cli;
pub mod cluster;
pub mod control;
pub mod doctor;
pub mod estimate;
pub mod exit;
pub mod fetch;
pub mod intake;
pub mod output;
pub mod prepare;
mod progress;
pub mod report;
pub mod run;
pub mod serve;
pub mod session;
pub mod settings;
pub mod status;
pub mod submission;
pub mod submit;
pub mod terminal;
pub mod watch;
