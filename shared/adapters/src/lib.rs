//! Adapters of Packshot's ports to outside systems: one module each, none knows another.

pub mod directory;
pub mod rabbitmq;
pub mod redis;
pub mod s3;
pub mod secret;
