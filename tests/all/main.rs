//! Every integration test: the house rules, and the binaries as a user meets them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod cluster;
mod distributed;
mod drain;
mod faults;
#[path = "../src/bin/system_bench/fill.rs"]
#[allow(dead_code, reason = "shared with the bench, which uses all of it")]
mod fill;
mod health;
mod proxy;
mod rabbitmq;
mod redis;
mod run;
mod s3;
mod samples;
mod scaling;
mod servers;
mod shop;
mod sizing;
mod telemetry;
mod tidy;
mod tools;
mod troubleshooting;
