//! Every integration test: the house rules, and the binaries as a user meets them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod proxy;
mod rabbitmq;
mod run;
mod servers;
mod shop;
mod tidy;
mod tools;
