//! Private servers for tests that disturb them: on free ports, gone when the test ends.

pub(crate) mod rabbitmq;
pub(crate) mod redis;
pub(crate) mod s3;

/// A port that is free at the moment.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}
