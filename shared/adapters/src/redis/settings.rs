//! Settings of the Redis adapter.

use serde::{Deserialize, Serialize};

use crate::secret::Secret;

/// How Redis (7.0 or later), Valkey or a cluster of either is reached.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisSettings {
    /// `redis://[user:password@]host[:port][/db]`, `rediss://…` with TLS, or
    /// `redis+unix:///path`. For a cluster, any of its nodes.
    pub url: Secret,
    /// Begins every key and channel, so that several installations can share a server: 1 to
    /// 64 characters out of letters, digits, `-`, `_`, `.` and `:`.
    pub prefix: String,
    /// A PEM file with the certificate authorities to trust for `rediss://`; empty: those
    /// of the system.
    pub ca_file: String,
    /// The longest wait for a connection, in milliseconds.
    pub connect_timeout_ms: u64,
    /// The longest wait for one answer, in milliseconds. Longer than the server's longest
    /// pause (snapshot fork, failover of a replica, slow disk).
    pub response_timeout_ms: u64,
    /// The shortest time between two hints of one process that something changed, in
    /// milliseconds.
    pub hint_every_ms: u64,
    /// News kept per batch, about; older ones are gone.
    pub news_max: u64,
}

impl Default for RedisSettings {
    fn default() -> Self {
        Self {
            url: Secret::new("redis://127.0.0.1:6379"),
            prefix: "packshot".to_owned(),
            ca_file: String::new(),
            connect_timeout_ms: 2_000,
            response_timeout_ms: 3_000,
            hint_every_ms: 20,
            news_max: 10_000,
        }
    }
}

impl RedisSettings {
    /// What is wrong with them, one sentence each.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let in_prefix = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
        if !(1..=64).contains(&self.prefix.len()) || !self.prefix.chars().all(in_prefix) {
            problems.push(format!(
                "redis.prefix has 1 to 64 letters, digits, `-`, `_`, `.` and `:`, not {:?}",
                self.prefix
            ));
        }
        let ranges = [
            ("connect_timeout_ms", self.connect_timeout_ms, 10, 60_000),
            ("response_timeout_ms", self.response_timeout_ms, 10, 60_000),
            ("hint_every_ms", self.hint_every_ms, 1, 60_000),
            ("news_max", self.news_max, 1, 1_000_000),
        ];
        for (name, value, least, most) in ranges {
            if !(least..=most).contains(&value) {
                problems.push(format!("redis.{name} is {least} to {most}, not {value}"));
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_fine_and_every_mistake_is_named() {
        assert_eq!(RedisSettings::default().problems(), Vec::<String>::new());
        let bad = RedisSettings {
            prefix: "a{b}".to_owned(),
            connect_timeout_ms: 0,
            response_timeout_ms: 100_000,
            hint_every_ms: 0,
            news_max: 0,
            ..RedisSettings::default()
        };
        assert_eq!(bad.problems().len(), 5);
        let shown = format!("{:?}", RedisSettings { url: "redis://:hunter2@h".into(), ..bad });
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
