//! What every adapter of a port must do, as suites that any adapter's tests can call with
//! a factory of empty, independent instances. A suite panics at the first difference: it
//! is test code that is published so that adapters in other crates can run it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "test code for adapters"
)]

pub mod broker;
pub mod coordinator;
pub mod ledger;
pub mod limits;
pub mod objects;
pub mod sample;
