//! Finds the product in a photo: supplied coverage cleaned, opaque photos segmented.

pub(crate) mod spread;
pub(crate) mod supplied;
