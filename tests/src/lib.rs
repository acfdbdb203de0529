//! What the tests' programs and suites share: scripted work, the named points of the protocol
//! at which a process may die, what an undisturbed run of the same batch gives, and the scenes of
//! the benches.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "test code"
)]

pub mod points;
pub mod scenes;
pub mod script;
pub mod undisturbed;
mod watched;

pub use watched::around;
