//! The pure domain of Packshot: what a catalog, a fact, a role, a job and a set are,
//! and which step comes next. No I/O, no clock and no randomness: time and chance are
//! arguments, and nothing in here can fail because of the world.

pub mod budget;
pub mod catalog;
pub mod change;
pub mod facts;
pub mod finding;
pub mod ids;
pub mod inspection;
pub mod job_key;
pub mod layout;
pub mod manifest;
pub mod policy;
pub mod pool;
pub mod result;
pub mod role;
pub mod state;
pub mod tally;
