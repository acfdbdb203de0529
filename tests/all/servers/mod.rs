//! Private servers for tests that disturb them: on free ports, gone when the test ends.

pub(crate) mod rabbitmq;
pub(crate) mod redis;
pub(crate) mod s3;
