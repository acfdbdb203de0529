//! The pure domain of Packshot: what a catalog, a fact, a role, a job and a set are,
//! and which step comes next. No I/O, no clock and no randomness: time and chance are
//! arguments, and nothing in here can fail because of the world.

pub mod catalog;
pub mod facts;
pub mod finding;
pub mod ids;
pub mod inspection;
pub mod role;
