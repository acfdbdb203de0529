//! From accepted images to a checked set: compare them with each other, bring outliers in
//! line where an edit can, export them for each channel, read every written file again and
//! refuse the ones that break a rule.
//!
//! [`mend()`] edits outliers and [`assemble`] does the rest; both are pure: bytes come out, nothing
//! is written. What a
//! channel asks is data ([`channel`]); geometry ([`frame`]), pixels ([`paint`]), names
//! ([`names`]) and the check of encoded files ([`verify`]) each have one place.

/// Version of consistency, mending, framing, encoding and channel rules: a new one exports every
/// set again. 2: outliers are edited first.
pub const VERSION: &str = "2";

pub mod channel;
pub mod consistency;
pub mod export;
pub mod frame;
pub mod mend;
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
pub use mend::{Compared, SetEdit, mend};
pub use names::NameClaims;
pub use set::{AssembledSet, SetDocument, assemble};
