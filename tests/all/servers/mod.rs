//! Servers that a test starts for itself, on free ports, and stops again.

pub(crate) mod s3;
