//! What every Packshot process needs besides its work: settings, logs and an orderly end.

pub mod config;
pub mod lifecycle;
pub mod logging;
