//! Finds the product in a photo: supplied coverage cleaned, opaque photos segmented.

pub(crate) mod background;
pub(crate) mod barrier;
pub(crate) mod coarse;
pub(crate) mod gmm;
pub(crate) mod grabcut;
pub(crate) mod matte;
pub(crate) mod maxflow;
pub(crate) mod opinion;
pub(crate) mod quality;
mod regain;
pub(crate) mod sharp;
pub(crate) mod spread;
mod steep;
pub(crate) mod supplied;
pub(crate) mod surface;

#[cfg(test)]
mod tests;
