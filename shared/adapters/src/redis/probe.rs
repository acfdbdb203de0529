//! Looking at a server as an operator would: everything that the guarantees or the
//! comfort depend on, each finding with what to do.

use packshot_runtime::clock::Clock;
use packshot_runtime::port::{CoordinatorError, SKEW_MS_MAX};

use super::link::Link;
use super::server::{self, Facts, POLICY};
use super::settings::RedisSettings;

/// How far the clocks may be apart before it is worth a word, in milliseconds.
const SKEW_MS_NOTICED: u64 = 1_000;
/// From how full on memory is worth a word, in percent.
const FULL_PERCENT: u64 = 80;

/// How much a finding matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// As it should be.
    Fine,
    /// It works; it could be better.
    Warning,
    /// The guarantees cannot be kept.
    Error,
}

/// One thing that was looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// What was found.
    pub what: String,
    /// How much it matters.
    pub severity: Severity,
    /// What to do; empty when nothing is.
    pub to_do: String,
}

/// What was found at a server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Probe {
    /// Host and port.
    pub address: String,
    /// Kind and version of the first node, as `Redis 7.0.15` or `Valkey 8.1.0`.
    pub version: String,
    /// Primaries; 1 where it is not a cluster.
    pub nodes: usize,
    /// Names the life of the first node's process: when it changes, the server was started
    /// again and may have lost its last seconds.
    pub run_id: String,
    /// Everything that was looked at.
    pub findings: Vec<Finding>,
}

/// Looks at the server that `settings` name.
///
/// # Errors
/// When it cannot be reached, or does not let anybody in.
pub async fn probe(settings: &RedisSettings, clock: &dyn Clock) -> Result<Probe, CoordinatorError> {
    let link = Link::new(settings)?;
    let mut nodes = server::facts(&link).await?;
    if nodes.iter().any(Facts::is_cluster) {
        link.use_cluster()?;
        nodes = server::facts(&link).await?;
    }
    let mut findings = Vec::new();
    for node in &nodes {
        findings.extend([version(node), role(node), memory(node)]);
        findings.extend(persistence(node));
    }
    findings.push(policy(&link, &nodes).await);
    findings.push(flushing(&link).await);
    findings.push(skew(&link, clock).await?);
    if nodes.is_empty() {
        findings.push(Finding {
            what: "INFO is forbidden, so version, memory and persistence are unknown".to_owned(),
            severity: Severity::Warning,
            to_do: "allow the user INFO (`ACL SETUSER … +info`)".to_owned(),
        });
    }
    let first = nodes.first().cloned().unwrap_or_default();
    Ok(Probe {
        address: link.named.address.clone(),
        version: first.version(),
        nodes: nodes.len().max(1),
        run_id: first.get("run_id").to_owned(),
        findings,
    })
}

fn fine(what: impl Into<String>) -> Finding {
    Finding { what: what.into(), severity: Severity::Fine, to_do: String::new() }
}

fn bad(severity: Severity, what: impl Into<String>, to_do: &str) -> Finding {
    Finding { what: what.into(), severity, to_do: to_do.to_owned() }
}

fn version(node: &Facts) -> Finding {
    let version = node.version();
    if node.is_too_old() {
        return bad(Severity::Error, version, "upgrade to Redis 7.0 or Valkey 7.2 at least");
    }
    fine(if node.is_cluster() { format!("{version}, cluster") } else { version })
}

fn role(node: &Facts) -> Finding {
    if node.is_replica() {
        let to_do = "let `redis.url` name the primary";
        return bad(Severity::Error, "it is a replica, which cannot be written", to_do);
    }
    fine(format!("primary with {} replicas", node.number("connected_slaves")))
}

fn memory(node: &Facts) -> Finding {
    let (used, most) = (node.number("used_memory"), node.number("maxmemory"));
    let evicted = node.number("evicted_keys");
    if evicted > 0 {
        let to_do = "set `maxmemory-policy noeviction` and rebuild the open batches";
        return bad(Severity::Error, format!("{evicted} keys were evicted since it started"), to_do);
    }
    if most == 0 {
        let what = format!("{} MB used, no maxmemory", used >> 20);
        let to_do = "set `maxmemory` below the machine's memory, so that a full server says so instead of \
                     being killed";
        return bad(Severity::Warning, what, to_do);
    }
    let what = format!("{} of {} MB used", used >> 20, most >> 20);
    if used.saturating_mul(100) / most >= FULL_PERCENT {
        return bad(Severity::Warning, what, "raise `maxmemory` or forget finished batches");
    }
    fine(what)
}

/// Whether its data survive a restart, and whether writing them works.
fn persistence(node: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    let has_aof = node.get("aof_enabled") == "1";
    let to_do = "set `appendonly yes` with `appendfsync everysec`; without it a restart loses everything \
                 since the last snapshot, and open batches have to be rebuilt from the object store";
    findings.push(if has_aof { fine("AOF is on") } else { bad(Severity::Warning, "AOF is off", to_do) });
    for (name, what) in [("rdb_last_bgsave_status", "snapshot"), ("aof_last_write_status", "AOF write")] {
        if !matches!(node.get(name), "" | "ok") {
            let to_do = "make room on the server's disk and read its log; until then it may refuse writes";
            findings.push(bad(Severity::Error, format!("the last {what} failed"), to_do));
        }
    }
    findings
}

async fn policy(link: &Link, nodes: &[Facts]) -> Finding {
    let mut policies: Vec<String> = nodes.iter().filter_map(|n| n.policy().map(str::to_owned)).collect();
    if policies.is_empty() {
        policies.extend(server::setting(link, "maxmemory-policy").await);
    }
    let Some(first) = policies.iter().find(|policy| *policy != POLICY).or_else(|| policies.first()) else {
        let to_do = "make sure that `maxmemory-policy` is `noeviction`";
        return bad(Severity::Warning, "the eviction policy cannot be read", to_do);
    };
    if first == POLICY {
        return fine(format!("maxmemory-policy {first}"));
    }
    let to_do = "set `maxmemory-policy noeviction`; under any other policy single documents vanish when memory \
                 is short";
    bad(Severity::Error, format!("maxmemory-policy {first}"), to_do)
}

async fn flushing(link: &Link) -> Finding {
    match server::setting(link, "appendfsync").await.as_deref() {
        Some("no") => bad(
            Severity::Warning,
            "appendfsync no",
            "set `appendfsync everysec`: a crash then loses a second, not half a minute",
        ),
        Some(other) => fine(format!("appendfsync {other}")),
        None => fine("appendfsync cannot be read (CONFIG is forbidden)"),
    }
}

async fn skew(link: &Link, clock: &dyn Clock) -> Result<Finding, CoordinatorError> {
    let before_ms = clock.now_ms();
    let theirs_ms = server::now_ms(link).await?;
    let after_ms = clock.now_ms();
    // Anything within the round trip is no difference.
    let apart_ms = before_ms.saturating_sub(theirs_ms).max(theirs_ms.saturating_sub(after_ms));
    let what = format!("its clock is {apart_ms} ms from ours");
    let to_do = "run NTP (chrony, systemd-timesyncd) on every machine: leases go by this server's clock, but \
                 object stores refuse what is signed by a wrong one, and logs are dated by it";
    Ok(if apart_ms >= SKEW_MS_MAX {
        bad(Severity::Error, what, to_do)
    } else if apart_ms >= SKEW_MS_NOTICED {
        bad(Severity::Warning, what, to_do)
    } else {
        fine(what)
    })
}
