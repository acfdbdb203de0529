//! Faults on demand: which requests are hit, how often, and how.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hyper::http::Extensions;
use hyper::{HeaderMap, Method, Uri};
use serde::{Deserialize, Serialize};

/// Requests that are remembered.
const REQUESTS_MAX: usize = 10_000;

/// Which requests are hit, and how. Whatever is left out matches everything.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    /// `GET`, `HEAD`, `PUT`, `POST`, `DELETE`.
    #[serde(default)]
    method: Option<String>,
    /// What `bucket/key` begins with.
    #[serde(default)]
    prefix: String,
    /// What the query contains, for example `uploadId=`.
    #[serde(default)]
    query: Option<String>,
    /// A header that is there, for example `if-none-match`.
    #[serde(default)]
    header: Option<String>,
    /// Matching requests that pass first.
    #[serde(default)]
    skip: u64,
    /// Matching requests that are hit then; without it all, until the rule is removed.
    #[serde(default)]
    times: Option<u64>,
    fault: Fault,
}

/// What happens to a request.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Fault {
    /// Nothing is done; this is answered.
    Answer { status: u16, code: String, retry_after_s: Option<u64> },
    /// It is done, and then this is answered.
    AnswerAfter { status: u16, code: String },
    /// A pause, and then it is done.
    Delay { ms: u64 },
    /// It is done, and the answer comes after a pause.
    DelayAfter { ms: u64 },
    /// Nothing is done; the connection is closed.
    Drop,
    /// It is done, and the connection is closed without an answer.
    DropAfter,
    /// The answer's body comes in chunks of `bytes`, with a pause before each.
    Drip { bytes: usize, pause_ms: u64 },
    /// The answer's body breaks off after `bytes`, and the connection with it.
    Cut { bytes: usize },
    /// `If-None-Match` is ignored, as by a store that does not know it.
    IgnoreConditions,
    /// A listing is not in byte order.
    Unordered,
    /// The `Date` header is off by so many seconds.
    Clock { ahead_s: i64 },
}

/// What the operations themselves do wrong.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Quirks {
    pub(crate) ignore_conditions: bool,
    pub(crate) unordered: bool,
}

impl Quirks {
    pub(crate) fn of(extensions: &Extensions) -> Self {
        extensions.get().copied().unwrap_or_default()
    }
}

/// A rule as it stands.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Standing {
    id: u64,
    /// Requests that matched.
    seen: u64,
    /// Requests that were hit.
    hits: u64,
    rule: Rule,
}

/// A request that was answered.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Answered {
    method: String,
    /// `bucket/key`.
    path: String,
    query: String,
    /// Zero when there was no answer.
    status: u16,
}

/// The rules, and the requests of late.
#[derive(Default)]
pub(crate) struct Faults {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    last_id: u64,
    rules: Vec<Standing>,
    requests: VecDeque<Answered>,
}

impl Faults {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, rule: Rule) -> u64 {
        let mut inner = self.inner();
        inner.last_id += 1;
        let id = inner.last_id;
        inner.rules.push(Standing { id, seen: 0, hits: 0, rule });
        id
    }

    /// Removes one rule, or all.
    pub(crate) fn remove(&self, id: Option<u64>) {
        self.inner().rules.retain(|standing| id.is_some_and(|id| standing.id != id));
    }

    pub(crate) fn rules(&self) -> Vec<Standing> {
        self.inner().rules.clone()
    }

    pub(crate) fn requests(&self) -> Vec<Answered> {
        self.inner().requests.iter().cloned().collect()
    }

    pub(crate) fn forget_requests(&self) {
        self.inner().requests.clear();
    }

    pub(crate) fn answered(&self, method: &Method, uri: &Uri, status: u16) {
        let mut inner = self.inner();
        if inner.requests.len() == REQUESTS_MAX {
            inner.requests.pop_front();
        }
        inner.requests.push_back(Answered {
            method: method.to_string(),
            path: path(uri).to_owned(),
            query: uri.query().unwrap_or_default().to_owned(),
            status,
        });
    }

    /// The fault of the first rule that has one for this request.
    pub(crate) fn strike(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<Fault> {
        let mut inner = self.inner();
        for standing in &mut inner.rules {
            let rule = &standing.rule;
            let matches = rule.method.as_ref().is_none_or(|wanted| wanted == method.as_str())
                && path(uri).starts_with(&rule.prefix)
                && rule
                    .query
                    .as_ref()
                    .is_none_or(|part| uri.query().unwrap_or_default().contains(part.as_str()))
                && rule.header.as_ref().is_none_or(|name| headers.contains_key(name.as_str()));
            if !matches {
                continue;
            }
            standing.seen += 1;
            let passes = standing.seen <= rule.skip;
            let is_over = rule.times.is_some_and(|times| standing.hits >= times);
            if !passes && !is_over {
                standing.hits += 1;
                return Some(standing.rule.fault.clone());
            }
        }
        None
    }
}

/// `bucket/key`.
fn path(uri: &Uri) -> &str {
    uri.path().trim_start_matches('/')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_rule_hits_whom_it_names_and_as_often_as_it_says() {
        let faults = Faults::default();
        let rule = serde_json::json!({
            "method": "PUT", "prefix": "b/results/", "skip": 1, "times": 2,
            "fault": {"kind": "answer", "status": 503, "code": "SlowDown"},
        });
        let id = faults.add(serde_json::from_value(rule).unwrap());
        let strike = |method: &Method, uri: &str| {
            faults.strike(method, &uri.parse().unwrap(), &HeaderMap::new()).is_some()
        };
        assert!(!strike(&Method::GET, "/b/results/a"));
        assert!(!strike(&Method::PUT, "/b/other/a"));
        let hits: Vec<bool> = (0..5).map(|_| strike(&Method::PUT, "/b/results/a?x=1")).collect();
        assert_eq!(hits, [false, true, true, false, false]);
        assert_eq!((faults.rules()[0].seen, faults.rules()[0].hits), (5, 2));
        faults.remove(Some(id));
        assert!(faults.rules().is_empty());
    }
}
