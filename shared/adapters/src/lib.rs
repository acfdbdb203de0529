//! Adapters of Packshot's ports to outside systems: one file each, none knows another.

pub mod directory;
pub mod rabbitmq;
pub mod secret;
