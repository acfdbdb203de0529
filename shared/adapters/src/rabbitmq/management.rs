//! What the management plugin tells about the queues: their type, and policies that change
//! what they were declared with. Only the probe asks.

use std::time::Duration;

use lapin::types::{AMQPValue, FieldTable};
use serde_json::Value;

use super::probe::{Finding, Severity};
use super::settings::RabbitSettings;
use super::topology::{self, Names};
use crate::secret::Secret;

/// How long one answer may take.
const LIMIT: Duration = Duration::from_secs(10);
/// The longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Looks at every queue and at the nodes.
pub(super) async fn look(settings: &RabbitSettings, url: &Secret) -> Vec<Finding> {
    let Ok(uri) = settings.uri() else { return Vec::new() };
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let client = match reqwest::Client::builder().timeout(LIMIT).build() {
        Ok(client) => client,
        Err(error) => return vec![unreachable(&error)],
    };
    let base = url.expose().trim_end_matches('/');
    let names = Names::new(&settings.prefix);
    let mut findings = Vec::new();
    for of in topology::queues() {
        let name = names.queue(of);
        let path = format!("{base}/api/queues/{}/{}", escaped(&uri.vhost), escaped(name.as_str()));
        match ask(&client, &path).await {
            Ok(found) => {
                let wanted = topology::arguments(&names, of, settings);
                findings.extend(differences(name.as_str(), &found, &wanted));
            }
            Err(error) => return vec![unreachable(&error)],
        }
    }
    if findings.is_empty() {
        findings.push(Finding::fine("no policy changes the queues"));
    }
    match ask(&client, &format!("{base}/api/nodes")).await {
        Ok(nodes) => findings.extend(alarms(&nodes)),
        Err(error) => findings.push(unreachable(&error)),
    }
    findings
}

fn unreachable(error: &dyn std::fmt::Display) -> Finding {
    let what = format!("the management plugin could not be asked: {error}");
    let what_to_do = "check management_url and its user, or leave it out";
    Finding::new(Severity::Warning, what, what_to_do)
}

/// One answer as JSON; the error holds no URL, which may hold a password.
async fn ask(client: &reqwest::Client, url: &str) -> Result<Value, String> {
    let without_url = |error: reqwest::Error| error.without_url().to_string();
    let mut response = client.get(url).send().await.map_err(without_url)?;
    if !response.status().is_success() {
        return Err(format!("status {}", response.status()));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(without_url)? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(format!("more than {ANSWER_BYTES_MAX} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&body).map_err(|error| error.to_string())
}

/// A name as one segment of a path.
fn escaped(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let each = name.bytes();
    each.map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// What a queue is, against what it should be. Declaring has found most differences already;
/// policies it does not see.
fn differences(name: &str, found: &Value, wanted: &FieldTable) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (argument, value) in wanted {
        let argument = argument.as_str();
        let is = &found["arguments"][argument];
        if *is != json(value) {
            let what = format!("queue {name}: argument {argument} is {is}, not {}", json(value));
            let what_to_do = "use another prefix, or delete the queue once it is empty";
            findings.push(Finding::new(Severity::Broken, what, what_to_do));
        }
    }
    let policy = found["effective_policy_definition"].as_object();
    for (key, value) in policy.into_iter().flatten() {
        if key == "consumer-timeout" {
            continue;
        }
        let what = format!("queue {name}: a policy sets {key} to {value}");
        let what_to_do = "make sure that it is meant: policies can change time to live, length, \
                          delivery limit and dead-lettering of these queues";
        findings.push(Finding::new(Severity::Warning, what, what_to_do));
    }
    findings
}

#[allow(clippy::wildcard_enum_match_arm, reason = "only texts and numbers are declared")]
fn json(value: &AMQPValue) -> Value {
    match value {
        AMQPValue::LongString(text) => text.to_string().into(),
        AMQPValue::LongLongInt(number) => (*number).into(),
        _ => Value::Null,
    }
}

fn alarms(nodes: &Value) -> Vec<Finding> {
    let mut findings = Vec::new();
    for node in nodes.as_array().into_iter().flatten() {
        for (key, what) in [("mem_alarm", "memory"), ("disk_free_alarm", "disk")] {
            if node[key] == Value::Bool(true) {
                let name = node["name"].as_str().unwrap_or("?");
                let what = format!("node {name} is short of {what}: publishers are blocked");
                let what_to_do = "give the node more, or take load from it";
                findings.push(Finding::new(Severity::Broken, what, what_to_do));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_and_other_arguments_are_found() {
        let wanted = topology::table([
            ("x-queue-type", AMQPValue::LongString("quorum".into())),
            ("x-delivery-limit", AMQPValue::LongLongInt(50)),
        ]);
        let check = |arguments: Value, policy: Value, expected: &[Severity]| {
            let found = serde_json::json!({"arguments": arguments, "effective_policy_definition": policy});
            let findings = differences("q", &found, &wanted);
            let severities: Vec<Severity> = findings.iter().map(|finding| finding.severity).collect();
            assert_eq!(severities, expected, "{findings:?}");
        };
        let right = serde_json::json!({"x-queue-type": "quorum", "x-delivery-limit": 50, "x-other": 1});
        check(right.clone(), Value::Null, &[]);
        check(right.clone(), serde_json::json!([]), &[]);
        check(right, serde_json::json!({"message-ttl": 5}), &[Severity::Warning]);
        check(serde_json::json!({"x-queue-type": "classic"}), Value::Null, &[Severity::Broken; 2]);
    }

    #[test]
    fn names_become_path_segments() {
        assert_eq!(escaped("/"), "%2F");
        assert_eq!(escaped("a b/ä"), "a%20b%2F%C3%A4");
    }
}
