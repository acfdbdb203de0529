//! What every Packshot process needs besides its work: settings, logs, telemetry, health
//! and an orderly end.

pub mod config;
pub mod health;
pub mod lifecycle;
pub mod logging;
pub mod names;
pub mod propagation;
pub mod telemetry;
