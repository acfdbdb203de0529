//! Which server answers: the client does not tell, so the first thing that a server says is
//! read here.

use std::io;

use futures::{AsyncReadExt, AsyncWriteExt};
use lapin::tcp::AMQPUriTcpExt;
use lapin::types::{AMQPValue, FieldTable, parsing};
use packshot_runtime::port::{BrokerError, BrokerFault};

use super::fault::{fault, late, plain};
use super::settings::RabbitSettings;

/// What a client says first: AMQP 0-9-1.
const HELLO: &[u8] = b"AMQP\x00\x00\x09\x01";
/// The longest greeting, in bytes; RabbitMQ's has about 500.
const GREETING_BYTES_MAX: usize = 64 * 1024;
/// Class and method of `connection.start`, and the two bytes of the protocol's version.
const START: [u8; 4] = [0, 10, 0, 10];
const START_BYTES: usize = 6;

/// A server as it introduces itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Server {
    /// For example `RabbitMQ`.
    pub(super) product: String,
    /// For example `3.10.8`.
    pub(super) version: String,
}

impl Server {
    /// Whether the version is at least `major.minor`; an unreadable one is not.
    pub(super) fn is_at_least(&self, major: u32, minor: u32) -> bool {
        let mut numbers = self.version.split('.').map(str::parse::<u32>);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(its_major)), Some(Ok(its_minor))) => (its_major, its_minor) >= (major, minor),
            _ => false,
        }
    }
}

/// Asks the server who it is, without logging in.
pub(super) async fn greeting(settings: &RabbitSettings) -> Result<Server, BrokerError> {
    let doing = format!("asking {} for its version", settings.place());
    let uri = settings.uri().map_err(|problem| plain(BrokerFault::Refused, problem))?;
    let tls = settings.tls().await?;
    let runtime = lapin::runtime::default_runtime().map_err(|error| fault(&doing, error))?;
    let asking = async {
        let mut stream = uri.connect_with_config_async(tls.as_ref(), &runtime).await?;
        stream.write_all(HELLO).await?;
        stream.flush().await?;
        let mut head = [0; 7];
        stream.read_exact(&mut head).await?;
        let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
        if size > GREETING_BYTES_MAX {
            return Err(io::Error::from(io::ErrorKind::InvalidData));
        }
        let mut payload = vec![0; size];
        stream.read_exact(&mut payload).await?;
        read(&payload).ok_or_else(|| io::ErrorKind::InvalidData.into())
    };
    match tokio::time::timeout(settings.connect_timeout(), asking).await {
        Ok(asked) => asked.map_err(|error| BrokerError {
            kind: BrokerFault::Unavailable,
            what: doing,
            source: Some(Box::new(error)),
            retry_after_ms: None,
        }),
        Err(_) => Err(late(&doing, settings.connect_timeout())),
    }
}

fn read(payload: &[u8]) -> Option<Server> {
    let rest = payload.strip_prefix(&START)?.get(START_BYTES - START.len()..)?;
    let (_, properties) = parsing::parse_field_table(rest).ok()?;
    Some(Server { product: text(&properties, "product")?, version: text(&properties, "version")? })
}

fn text(properties: &FieldTable, name: &str) -> Option<String> {
    let AMQPValue::LongString(text) = properties.inner().get(name)? else { return None };
    Some(text.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        let check = |version: &str, expected: bool| {
            let server = Server { product: "RabbitMQ".to_owned(), version: version.to_owned() };
            assert_eq!(server.is_at_least(3, 10), expected, "{version}");
        };
        check("3.9.29", false);
        check("3.10.8", true);
        check("3.10.0-rc.1", true);
        check("4.2.1", true);
        check("unknown", false);
    }

    #[test]
    fn what_is_no_greeting_is_no_server() {
        assert_eq!(read(b""), None);
        assert_eq!(read(&[0, 10, 0, 10, 0, 9, 0, 0, 0, 50, 7]), None);
    }
}
