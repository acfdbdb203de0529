//! Servers that a test may disturb: started on free ports with their data in a temporary
//! folder, and gone when the test is.

pub mod rabbitmq;

/// A port that is free at the moment.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}
