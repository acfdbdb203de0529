//! From accepted images to a checked set: compare them with each other, export them for
//! each channel, read every written file again and refuse the ones that break a rule.
//!
//! [`assemble`] does it all and is pure: bytes come out, nothing is written. What a
//! channel asks is data ([`channel`]); geometry ([`frame`]), pixels ([`paint`]), names
//! ([`names`]) and the check of encoded files ([`verify`]) each have one place.

/// Version of framing, encoding and channel rules: a new one exports every set again.
pub const VERSION: &str = "1";

pub mod channel;
pub mod consistency;
pub mod export;
pub mod frame;
pub mod names;
pub mod paint;
pub mod provenance;
pub mod set;
pub mod verify;

#[cfg(test)]
mod channel_tests;
#[cfg(test)]
mod rules_tests;
#[cfg(test)]
pub(crate) mod testing;

pub use channel::Channel;
pub use consistency::{SetFinding, consistency};
pub use export::{ExportRequest, Member};
pub use names::NameClaims;
pub use set::{AssembledSet, SetDocument, assemble};
