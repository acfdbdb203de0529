//! From accepted images to a checked set: compare them with each other, export them for
//! each channel, read every written file again and refuse the ones that break a rule.

pub mod channel;
pub mod names;
pub mod provenance;
#[cfg(test)]
pub(crate) mod testing;
