//! The runtime of Packshot: what moves documents on. Ports to the world, the drive loop
//! of one job, the loops that consume, dispatch and sweep, and memory adapters that are
//! products of their own. Decides nothing: that is `packshot-pipeline`.

pub mod batches;
pub mod causes;
pub mod clock;
pub mod conformance;
pub mod consume;
pub mod dispatch;
pub mod drive;
pub mod keep;
pub mod memory;
mod pay;
pub mod port;
pub mod ports;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod steering;
pub mod store;
pub mod submit;
pub mod sweep;
pub mod tell;
pub mod watch;
pub mod work;
