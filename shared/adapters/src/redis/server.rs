//! What kind of server it is, and whether the guarantees can be kept on it.

use std::collections::BTreeMap;
use std::time::Instant;

use packshot_runtime::port::CoordinatorError;
use redis::{Cmd, RedisResult, Value, cmd};
use tracing::warn;

use super::link::{Link, Request};

/// The oldest version that has everything that is used: declared scripts (`#!lua`).
const VERSION_MIN: u32 = 7;
/// The only policy under which nothing vanishes by itself.
pub(super) const POLICY: &str = "noeviction";

/// The server's time, in milliseconds since 1970. Half of the round trip is taken for the way
/// back.
pub(super) async fn now_ms(link: &Link) -> Result<u64, CoordinatorError> {
    let asked = Instant::now();
    let doing = || "reading its clock".to_owned();
    let (seconds, micros): (u64, u64) = link.ask(doing, Request::One(&cmd("TIME"))).await?;
    Ok(seconds * 1_000 + micros / 1_000 + asked.elapsed().as_millis() as u64 / 2)
}

/// What one node says about itself, by the names of `INFO`.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts(BTreeMap<String, String>);

impl Facts {
    fn parse(text: &str) -> Self {
        let lines = text.lines().filter_map(|line| line.split_once(':'));
        Self(lines.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect())
    }

    pub(super) fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    pub(super) fn number(&self, name: &str) -> u64 {
        self.get(name).parse().unwrap_or(0)
    }

    /// `Redis 7.0.15` or `Valkey 8.1.0`.
    pub(super) fn version(&self) -> String {
        match self.get("valkey_version") {
            "" => format!("Redis {}", self.get("redis_version")),
            valkey => format!("Valkey {valkey}"),
        }
    }

    pub(super) fn is_too_old(&self) -> bool {
        let major = self.get("redis_version").split('.').next().and_then(|major| major.parse().ok());
        major.is_some_and(|major: u32| major < VERSION_MIN)
    }

    pub(super) fn is_cluster(&self) -> bool {
        self.get("cluster_enabled") == "1"
    }

    pub(super) fn is_replica(&self) -> bool {
        self.get("role") == "slave"
    }

    /// The eviction policy where the node tells it.
    pub(super) fn policy(&self) -> Option<&str> {
        Some(self.get("maxmemory_policy")).filter(|policy| !policy.is_empty())
    }
}

/// What every primary says about itself; nothing where INFO is forbidden.
pub(super) async fn facts(link: &Link) -> Result<Vec<Facts>, CoordinatorError> {
    let doing = || "reading what kind of server it is".to_owned();
    // As everywhere, a few tries, so that a server that is just starting is waited for.
    let _: String = link.ask(doing, Request::One(&cmd("PING"))).await?;
    match link.once_everywhere(&cmd("INFO")).await {
        Ok(answers) => {
            let texts =
                answers.into_iter().filter_map(|answer| redis::from_redis_value::<String>(answer).ok());
            Ok(texts.map(|text| Facts::parse(&text)).collect())
        }
        Err(error) if is_forbidden(&error) => Ok(Vec::new()),
        Err(error) => Err(link.named.error(&doing(), &error)),
    }
}

/// Whether a command is not allowed or does not exist here, as on managed servers.
pub(super) fn is_forbidden(error: &redis::RedisError) -> bool {
    let text = error.to_string();
    error.code() == Some("NOPERM") || text.contains("unknown command") || text.contains("not allowed")
}

/// A setting by CONFIG GET; `None` where that is forbidden.
pub(super) async fn setting(link: &Link, name: &str) -> Option<String> {
    let mut command = Cmd::new();
    command.arg("CONFIG").arg("GET").arg(name);
    let answer: RedisResult<Value> = link.once(Request::One(&command)).await;
    let pair: BTreeMap<String, String> = redis::from_redis_value(answer.ok()?).ok()?;
    pair.into_values().next()
}

/// Refuses a server on which documents could vanish one by one, and learns whether it is a
/// cluster.
pub(super) async fn check(link: &Link) -> Result<(), CoordinatorError> {
    let mut nodes = facts(link).await?;
    if nodes.iter().any(Facts::is_cluster) {
        link.use_cluster()?;
        nodes = facts(link).await?;
    }
    let mut policies: Vec<String> =
        nodes.iter().filter_map(|node| node.policy().map(str::to_owned)).collect();
    if policies.is_empty() {
        policies.extend(setting(link, "maxmemory-policy").await);
    }
    if policies.is_empty() {
        warn!(
            address = link.named.address,
            "this redis tells neither INFO nor CONFIG: make sure that its maxmemory-policy is noeviction"
        );
    }
    for node in &nodes {
        if node.is_too_old() {
            return Err(link.named.refusal(&format!(
                "it is {}, and Redis 7.0 or Valkey 7.2 at least is needed",
                node.version()
            )));
        }
        if node.is_replica() {
            return Err(link
                .named
                .refusal("it is a replica, which cannot be written; let `redis.url` name the primary"));
        }
    }
    match policies.iter().find(|policy| *policy != POLICY) {
        None => Ok(()),
        Some(policy) => Err(link.named.refusal(&format!(
            "its maxmemory-policy is {policy}, so it would drop single documents when memory is short; \
             set `maxmemory-policy noeviction` in its configuration (CONFIG SET maxmemory-policy \
             noeviction, or the parameter group of a managed server), or use a server of its own"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_read_from_info() {
        let redis = Facts::parse(
            "# Server\r\nredis_version:7.0.15\r\nrole:master\r\ncluster_enabled:0\r\n\
             maxmemory:1024\r\nmaxmemory_policy:noeviction\r\n",
        );
        assert_eq!(redis.version(), "Redis 7.0.15");
        assert_eq!((redis.number("maxmemory"), redis.policy()), (1_024, Some("noeviction")));
        assert!(!redis.is_too_old() && !redis.is_cluster() && !redis.is_replica());
        let valkey = Facts::parse("redis_version:7.2.4\r\nvalkey_version:8.1.0\r\nrole:slave\r\n");
        assert_eq!(valkey.version(), "Valkey 8.1.0");
        assert!(valkey.is_replica() && !valkey.is_too_old() && valkey.policy().is_none());
        assert!(Facts::parse("redis_version:6.2.14").is_too_old());
        assert!(!Facts::default().is_too_old());
    }
}
