//! A thorough look at the store for an operator: everything that the guarantees rest on is
//! tried, and each finding says what to do.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use bytes::Bytes;
use packshot_runtime::port::{Objects, ObjectsError, Put};

use super::{ConditionalPut, S3Objects, S3Settings, fault};

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// As it should be.
    Fine,
    /// It works, with a drawback.
    Warning,
    /// A guarantee does not hold.
    Error,
}

/// One thing that was tried.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// What was tried and what was seen.
    pub what: String,
    /// How bad it is.
    pub severity: Severity,
    /// What to do about it; empty when nothing.
    pub what_to_do: String,
}

impl Finding {
    fn new(severity: Severity, what: impl Into<String>, what_to_do: impl Into<String>) -> Self {
        Self { what: what.into(), severity, what_to_do: what_to_do.into() }
    }

    fn fine(what: impl Into<String>) -> Self {
        Self::new(Severity::Fine, what, "")
    }

    fn error(what: impl Into<String>, what_to_do: impl Into<String>) -> Self {
        Self::new(Severity::Error, what, what_to_do)
    }

    /// An error whose text already says what to do.
    fn failed(trying: &str, error: &ObjectsError) -> Self {
        let cause = error.source.as_ref().map_or_else(String::new, |source| format!(" ({source})"));
        Self::error(format!("{trying} failed{cause}"), error.what.clone())
    }
}

/// Rounds of the race of two writers.
const RACES: usize = 8;
/// From what difference of the clocks leases and signatures suffer, in seconds.
const SKEW_S_WARNING: i64 = 5;
/// From what difference it is serious; stores refuse requests at 15 minutes.
const SKEW_S_ERROR: i64 = 300;

impl S3Objects {
    /// Tries everything that the guarantees rest on, with objects of its own below
    /// `doctor/`, which it removes again.
    pub async fn probe(settings: S3Settings) -> Vec<Finding> {
        let problems = settings.problems();
        if !problems.is_empty() {
            return problems
                .into_iter()
                .map(|problem| Finding::error("the settings are not complete", problem))
                .collect();
        }
        let store = Self::unchecked(settings).await;
        let mut findings = Vec::new();
        let dated = Dated::default();
        match store.reach_dated(&dated).await {
            Ok(()) => findings.push(Finding::fine(format!(
                "bucket {} is reached at {}",
                store.bucket(),
                fault::store(store.settings())
            ))),
            Err(error) => {
                findings.push(Finding::failed("reaching the bucket", &error));
                findings.extend(dated.finding());
                return findings;
            }
        }
        findings.extend(dated.finding());
        let folder = format!("doctor/{:016x}", rand::random::<u64>());
        let mut made = Vec::new();
        findings.push(store.probe_reads(&folder, &mut made).await);
        let conditions = store.probe_conditions().await;
        let kept = conditions.severity == Severity::Fine;
        findings.push(conditions);
        if kept {
            findings.push(Box::pin(store.probe_race(&folder, &mut made)).await);
        }
        findings.push(store.probe_parts().await);
        findings.push(store.probe_order(&folder, &mut made).await);
        findings.extend(store.remove_probes(&made).await);
        findings
    }

    async fn reach_dated(&self, dated: &Dated) -> Result<(), ObjectsError> {
        let asked = self.client().list_objects_v2().bucket(self.bucket()).max_keys(1);
        let listed = asked.customize().interceptor(dated.clone()).send().await;
        listed.map(drop).map_err(|error| fault::fault(self.settings(), "opening", "", error))
    }

    /// What was put is there at once: by `get`, by `head`, in the list, and also after it
    /// was replaced.
    async fn probe_reads(&self, folder: &str, made: &mut Vec<String>) -> Finding {
        let key = format!("{folder}/read/a");
        made.push(key.clone());
        let try_it = async {
            for text in ["one", "two, longer"] {
                self.put(&key, Bytes::from_static(text.as_bytes())).await?;
                let read = self.get(&key, 100).await?;
                let seen = self.head(&key).await?.map(|info| info.size_bytes);
                let listed = self.list(&format!("{folder}/read/"), None, 10).await?;
                if read.as_deref() != Some(text.as_bytes())
                    || seen != Some(text.len() as u64)
                    || listed != [key.clone()]
                {
                    return Ok(false);
                }
            }
            Ok(true)
        };
        match try_it.await {
            Ok(true) => Finding::fine("what was put is read, found and listed at once"),
            Ok(false) => Finding::error(
                "an object that was just put is not yet seen, or an old one is",
                "use a store that is consistent at once (no cache or lagging replica in front of it)",
            ),
            Err(error) => Finding::failed("putting and reading an object", &error),
        }
    }

    async fn probe_conditions(&self) -> Finding {
        match self.keeps_conditions().await {
            Ok(true) => Finding::fine("conditional puts are kept (`If-None-Match: *`)"),
            Ok(false) if self.settings().conditional_put == ConditionalPut::Emulate => Finding::new(
                Severity::Warning,
                "conditional puts are ignored, and the settings accept that (`s3.conditional_put`)",
                self.ignored(),
            ),
            Ok(false) => Finding::error("conditional puts are ignored", self.ignored()),
            Err(error) => Finding::failed("a conditional put", &error),
        }
    }

    /// Two writers at the same moment: exactly one may be told that it was first, and its
    /// bytes must be there.
    async fn probe_race(&self, folder: &str, made: &mut Vec<String>) -> Finding {
        let what_to_do = "use a store whose conditional puts are atomic; of two workers both would pay";
        for round in 0..RACES {
            let key = format!("{folder}/race/{round}");
            made.push(key.clone());
            let (one, two) = tokio::join!(
                self.write(&key, Bytes::from_static(b"one"), true),
                self.write(&key, Bytes::from_static(b"two"), true)
            );
            let winner = match (one, two) {
                (Ok(Put::Stored), Ok(Put::Exists)) => "one",
                (Ok(Put::Exists), Ok(Put::Stored)) => "two",
                // Possible after a try whose answer was lost: both find the first try's object.
                (Ok(Put::Exists), Ok(Put::Exists)) => continue,
                (Ok(Put::Stored), Ok(Put::Stored)) => {
                    return Finding::error("two writers at the same moment were both first", what_to_do);
                }
                (Err(error), _) | (_, Err(error)) => {
                    return Finding::failed("two conditional puts at the same moment", &error);
                }
            };
            match self.get(&key, 100).await {
                Ok(Some(bytes)) if bytes == winner.as_bytes() => {}
                Ok(_) => return Finding::error("the bytes of the writer that lost were kept", what_to_do),
                Err(error) => return Finding::failed("reading what two writers put", &error),
            }
        }
        Finding::fine(format!("of two writers at the same moment one wins ({RACES} rounds)"))
    }

    async fn probe_parts(&self) -> Finding {
        match self.parts_take_conditions().await {
            Ok(true) => Finding::fine("conditions hold for uploads in parts"),
            Ok(false) => Finding::new(
                Severity::Warning,
                "conditions do not hold for uploads in parts",
                "nothing needs to be done: large results are put in one piece, which a slow line feels",
            ),
            Err(error) => Finding::failed("an upload in parts", &error),
        }
    }

    async fn probe_order(&self, folder: &str, made: &mut Vec<String>) -> Finding {
        let base = format!("{folder}/order");
        // In byte order; by names of folders it would be another.
        let keys = ["A", "a-b", "a/b", "a/c", "a0", "b"].map(|name| format!("{base}/{name}"));
        made.extend(keys.iter().cloned());
        let try_it = async {
            for key in keys.iter().rev() {
                self.put(key, Bytes::new()).await?;
            }
            let prefix = format!("{base}/");
            let all = self.list(&prefix, None, 100).await?;
            let first = self.list(&prefix, None, 2).await?;
            let rest = self.list(&prefix, Some(&keys[2]), 100).await?;
            Ok(all == keys && first == keys[..2] && rest == keys[3..])
        };
        match try_it.await {
            Ok(true) => Finding::fine("keys are listed in byte order, from where one asks"),
            Ok(false) => Finding::error(
                "keys are not listed in byte order, or not from where one asks (`start-after`)",
                "use a store that lists like AWS's ordinary buckets; rebuilding depends on it",
            ),
            Err(error) => Finding::failed("listing", &error),
        }
    }

    async fn remove_probes(&self, made: &[String]) -> Option<Finding> {
        for key in made {
            let asked = self.client().delete_object().bucket(self.bucket());
            if let Err(error) = asked.key(self.settings().full_key(key)).send().await {
                let error = fault::fault(self.settings(), "removing", key, error);
                return Some(Finding::new(
                    Severity::Warning,
                    format!("the objects of this look could not be removed: {}", error.what),
                    "packshot itself never removes anything; remove everything below `doctor/` by hand",
                ));
            }
        }
        None
    }
}

/// Keeps the `Date` header of the last answer.
#[derive(Clone, Debug, Default)]
struct Dated(Arc<Mutex<Option<String>>>);

impl Intercept for Dated {
    fn name(&self) -> &'static str {
        "Dated"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date").map(str::to_owned);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = date;
        Ok(())
    }
}

impl Dated {
    fn finding(&self) -> Option<Finding> {
        let text = self.0.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        let there = DateTime::from_str(&text, DateTimeFormat::HttpDate).ok()?.secs();
        let here = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as i64;
        Some(skew(here - there))
    }
}

/// What a clock that is `ahead_s` seconds ahead of the store's means.
fn skew(ahead_s: i64) -> Finding {
    let severity = match ahead_s.abs() {
        SKEW_S_ERROR.. => Severity::Error,
        SKEW_S_WARNING.. => Severity::Warning,
        _ => return Finding::fine("this machine's clock agrees with the store's"),
    };
    let side = if ahead_s > 0 { "ahead of" } else { "behind" };
    Finding::new(
        severity,
        format!("this machine's clock is {} s {side} the store's", ahead_s.abs()),
        "let every machine follow a time server; signatures and leases depend on it",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_may_differ_a_little() {
        for (ahead_s, severity) in [
            (0, Severity::Fine),
            (-4, Severity::Fine),
            (5, Severity::Warning),
            (-299, Severity::Warning),
            (300, Severity::Error),
            (-90_000, Severity::Error),
        ] {
            assert_eq!(skew(ahead_s).severity, severity, "{ahead_s}");
        }
        assert!(skew(-7).what.contains("7 s behind"));
    }

    #[tokio::test]
    async fn wrong_settings_are_findings_too() {
        let findings = Box::pin(S3Objects::probe(S3Settings::default())).await;
        assert!(findings.iter().any(|finding| finding.what_to_do.contains("s3.bucket")), "{findings:?}");
    }
}
