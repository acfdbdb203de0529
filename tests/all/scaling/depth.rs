//! The metric as KEDA reads it: the messages of a queue by the management plugin, those that
//! are being worked at included.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::servers::rabbitmq::RabbitServer;

/// How long one answer may take.
const LIMIT: Duration = Duration::from_secs(5);

/// Lets the plugin's view be as old as `age_ms` at the most; queues made later go by that.
pub(super) async fn refresh_every(server: &RabbitServer, age_ms: u64) {
    for name in ["collect_statistics_interval", "quorum_tick_interval"] {
        server.ctl(&["eval", &format!("application:set_env(rabbit, {name}, {age_ms}).")]).await;
    }
}

/// Ready and unacknowledged messages; `None` when the plugin does not say.
pub(super) fn messages(server: &RabbitServer, queue: &str) -> Option<u64> {
    let url = server.management_url();
    let host = url.rsplit('@').next()?;
    let mut stream = TcpStream::connect(host).ok()?;
    stream.set_read_timeout(Some(LIMIT)).ok()?;
    // HTTP 1.0, so that the answer comes in one piece; the user is guest.
    write!(
        stream,
        "GET /api/queues/%2f/{queue} HTTP/1.0\r\nhost: {host}\r\nauthorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\n\r\n"
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    serde_json::from_str::<serde_json::Value>(body).ok()?["messages"].as_u64()
}
