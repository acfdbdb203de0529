//! Packshot's scheduler as a library: reads catalogs, plans jobs, runs them or publishes
//! them, and reports what came of it.

pub mod intake;
pub mod report;
