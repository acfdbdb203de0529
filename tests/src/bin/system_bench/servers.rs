//! The private servers of the integration tests, for the bench: it measures their processor
//! time and restarts one, so it wants them to itself.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "shared with the tests, which use all of it"
)]

#[path = "../../../all/servers/rabbitmq.rs"]
pub(crate) mod rabbitmq;
#[path = "../../../all/servers/redis.rs"]
pub(crate) mod redis;

use self::redis::free_port;
