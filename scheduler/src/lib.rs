//! Packshot's scheduler as a library: reads catalogs, plans jobs, runs them or publishes
//! them, and reports what came of it.

pub mod cli;
pub mod exit;
pub mod intake;
pub mod output;
pub mod prepare;
mod progress;
pub mod report;
pub mod run;
pub mod session;
pub mod settings;
pub mod submission;
pub mod submit;
pub mod terminal;
