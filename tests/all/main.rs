//! Every integration test: the house rules, and the binaries as a user meets them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod health;
mod run;
mod shop;
mod telemetry;
mod tidy;
mod tools;
