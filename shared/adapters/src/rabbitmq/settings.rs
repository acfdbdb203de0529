//! The settings of the RabbitMQ adapter.

use std::path::PathBuf;
use std::time::Duration;

use lapin::tcp::OwnedTLSConfig;
use lapin::uri::AMQPUri;
use packshot_runtime::port::{BrokerError, BrokerFault};
use serde::{Deserialize, Serialize};

use crate::secret::Secret;

/// The longest AMQP frame, in bytes. Job messages are small; the client keeps buffers of 32
/// frames per direction and connection.
const FRAME_BYTES_MAX: u32 = 32 * 1024;

/// How RabbitMQ is reached and how its queues are made.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RabbitSettings {
    /// `amqp://user:password@host:port/vhost`, or `amqps://` for TLS. Without a virtual host,
    /// or with an empty one, `/` is meant.
    pub url: Secret,
    /// The virtual host, where it shall not be part of the URL; it wins over the URL's.
    pub vhost: Option<String>,
    /// What the names of all exchanges and queues begin with.
    pub prefix: String,
    /// A PEM file with the certificate authority that signed the server's certificate, where
    /// the system does not know it.
    pub ca_file: Option<PathBuf>,
    /// How long a connection may take to be made, TLS and login included, in milliseconds.
    pub connect_timeout_ms: u64,
    /// How long an answer of the server may take (confirmations, declarations,
    /// acknowledgements), in milliseconds.
    pub confirm_timeout_ms: u64,
    /// The heartbeat, in seconds; a peer silent for twice as long is dead.
    pub heartbeat_s: u16,
    /// Deliveries of one message without an end; then it is a dead letter. It is part of the
    /// queues: changing it needs new queues.
    pub delivery_limit: u32,
    /// How long a delivery may stay unended before the server takes it back, in seconds. Only
    /// RabbitMQ 3.12 and newer know this per queue; on older ones the node's
    /// `consumer_timeout` counts.
    pub consumer_timeout_s: u32,
    /// `http://user:password@host:15672`, the management plugin, where it is installed; only
    /// the probe uses it.
    pub management_url: Option<Secret>,
}

impl RabbitSettings {
    /// A server on this machine as its packages install it.
    pub fn standard() -> Self {
        Self {
            url: Secret::new("amqp://guest:guest@127.0.0.1:5672/%2f"),
            vhost: None,
            prefix: "packshot".to_owned(),
            ca_file: None,
            connect_timeout_ms: 10_000,
            confirm_timeout_ms: 15_000,
            heartbeat_s: 10,
            delivery_limit: 50,
            consumer_timeout_s: 24 * 60 * 60,
            management_url: None,
        }
    }

    /// Everything that is wrong with the settings, one sentence each, without secrets.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if let Err(problem) = self.uri() {
            problems.push(problem);
        }
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if self.prefix.is_empty() || self.prefix.len() > 64 || !self.prefix.chars().all(fine) {
            problems.push("prefix: 1 to 64 letters, digits, dots, dashes and underscores".to_owned());
        }
        let mut within = |name: &str, value: u64, least: u64, most: u64| {
            if !(least..=most).contains(&value) {
                problems.push(format!("{name}: {value} is not between {least} and {most}"));
            }
        };
        within("connect_timeout_ms", self.connect_timeout_ms, 100, 120_000);
        within("confirm_timeout_ms", self.confirm_timeout_ms, 100, 120_000);
        within("heartbeat_s", self.heartbeat_s.into(), 1, 60);
        within("delivery_limit", self.delivery_limit.into(), 2, 1_000_000);
        within("consumer_timeout_s", self.consumer_timeout_s.into(), 60, 30 * 24 * 60 * 60);
        problems
    }

    pub(super) fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }

    pub(super) fn confirm_timeout(&self) -> Duration {
        Duration::from_millis(self.confirm_timeout_ms)
    }

    pub(super) fn heartbeat(&self) -> Duration {
        Duration::from_secs(self.heartbeat_s.into())
    }

    /// Where to connect to; the problem names no part of the URL, which holds a password.
    pub(super) fn uri(&self) -> Result<AMQPUri, String> {
        let text = self.url.expose();
        let mut uri: AMQPUri = text.parse().map_err(|_| {
            "url: not of the form amqp://user:password@host:port/vhost (escape special characters)".to_owned()
        })?;
        if text.contains('[') {
            return Err("url: an IPv6 address is not understood, use a host name".to_owned());
        }
        if let Some(vhost) = &self.vhost {
            uri.vhost.clone_from(vhost);
        }
        if uri.vhost.is_empty() {
            "/".clone_into(&mut uri.vhost);
        }
        if uri.vhost.len() > 255 {
            return Err("vhost: longer than 255 bytes".to_owned());
        }
        uri.query.heartbeat = Some(self.heartbeat_s);
        uri.query.frame_max = Some(FRAME_BYTES_MAX);
        Ok(uri)
    }

    /// The server as logs and errors name it: without user and password.
    pub(super) fn place(&self) -> String {
        match self.uri() {
            Ok(uri) => format!("{}:{}, vhost {}", uri.authority.host, uri.authority.port, uri.vhost),
            Err(_) => "an address that cannot be read".to_owned(),
        }
    }

    /// The extra certificate authority, read from its file.
    pub(super) async fn tls(&self) -> Result<OwnedTLSConfig, BrokerError> {
        let Some(path) = &self.ca_file else { return Ok(OwnedTLSConfig::default()) };
        let pem = tokio::fs::read_to_string(path).await.map_err(|error| BrokerError {
            kind: BrokerFault::Refused,
            what: format!("reading the certificate authority {}", path.display()),
            source: Some(Box::new(error)),
            retry_after_ms: None,
        })?;
        Ok(OwnedTLSConfig { identity: None, cert_chain: Some(pem) })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn with_url(url: &str) -> RabbitSettings {
        RabbitSettings { url: Secret::new(url), ..RabbitSettings::standard() }
    }

    #[test]
    fn the_standard_has_no_problems() {
        assert_eq!(RabbitSettings::standard().problems(), Vec::<String>::new());
    }

    #[test]
    fn the_virtual_host_is_found() {
        let check = |url: &str, vhost: Option<&str>, expected: &str| {
            let settings = RabbitSettings { vhost: vhost.map(str::to_owned), ..with_url(url) };
            assert_eq!(settings.uri().unwrap().vhost, expected, "{url}");
        };
        check("amqp://h", None, "/");
        check("amqp://h/", None, "/");
        check("amqp://h/%2f", None, "/");
        check("amqp://h/shop", None, "shop");
        check("amqp://h/shop", Some("other"), "other");
    }

    #[test]
    fn problems_come_together_and_without_the_password() {
        let settings = RabbitSettings {
            prefix: "a b".to_owned(),
            heartbeat_s: 0,
            delivery_limit: 1,
            ..with_url("http://user:hunter2@h/%2f")
        };
        let problems = settings.problems();
        assert_eq!(problems.len(), 4, "{problems:?}");
        let all = format!("{settings:?} {problems:?} {}", settings.place());
        assert!(!all.contains("hunter2"), "{all}");
        assert_eq!(with_url("amqp://u:p@[::1]:5672/%2f").problems().len(), 1);
        assert_eq!(with_url("amqp://user:hunter2@h:70/%2f").place(), "h:70, vhost /");
    }
}
