//! Where the bucket is, how to speak to it, and how long to wait for it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::secret::Secret;

/// Everything the S3 adapter needs to know. A text that is empty is not set.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3Settings {
    /// The bucket; it must exist.
    pub bucket: String,
    /// What every key begins with, so that several systems can share a bucket; segments
    /// joined by `/`, without one at either end. Empty: the whole bucket.
    pub prefix: String,
    /// The bucket's region. Empty: as the AWS environment says, else `us-east-1`, which
    /// most other stores accept.
    pub region: String,
    /// Address of a store that is not AWS, for example `http://minio:9000`. Empty: AWS.
    pub endpoint: String,
    /// Address under which a browser reaches the same store, where it differs from
    /// `endpoint`; used in signed addresses only. Empty: the same.
    pub public_endpoint: String,
    /// Whether the bucket stands in the path instead of the host name.
    pub path_style: PathStyle,
    /// When checksums are sent and asked for.
    pub checksums: Checksums,
    /// What is asked of the store so that two writers are told apart.
    pub conditional_put: ConditionalPut,
    /// Access key. Empty: by AWS's usual chain (environment, profile, web identity,
    /// container, instance).
    pub access_key_id: String,
    /// The access key's secret; set with it or not at all.
    pub secret_access_key: Secret,
    /// The session's token, where the access key is a temporary one.
    pub session_token: Secret,
    /// Until a connection must stand, in milliseconds.
    pub connect_timeout_ms: u64,
    /// Until one try must be answered, and the longest pause while bytes arrive, in
    /// milliseconds; the time that the bytes themselves may take is added.
    pub answer_timeout_ms: u64,
    /// All tries of one operation together, in milliseconds; the time that the bytes
    /// themselves may take is added.
    pub operation_timeout_ms: u64,
    /// The slowest transfer that is waited for, in kilobytes per second.
    pub kb_per_s_min: u64,
    /// Tries of one operation, the first included.
    pub attempts_max: u32,
    /// The longest pause between two tries, in milliseconds.
    pub backoff_ms_max: u64,
    /// From what size an object is sent in parts, in megabytes.
    pub multipart_from_mb: u64,
    /// Size of a part, in megabytes; at least 5.
    pub part_mb: u64,
    /// Parts of one object that are sent at the same time.
    pub parts_at_once: usize,
}

/// Whether the bucket stands in the path (`http://host/bucket/key`) or in the host name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PathStyle {
    /// In the path where `endpoint` is set.
    Auto,
    /// In the path.
    Always,
    /// In the host name.
    Never,
}

/// When checksums are sent and asked for. Stores other than AWS often stumble over those
/// that they did not ask for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Checksums {
    /// `when_required` where `endpoint` is set, else `when_supported`.
    Auto,
    /// With every operation that knows them.
    WhenSupported,
    /// Only where the protocol demands one.
    WhenRequired,
}

/// What is asked of the store so that of two writers of a key exactly one wins.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConditionalPut {
    /// Conditional puts must work; tried at every start.
    Require,
    /// They work; not tried.
    Assume,
    /// Tried at every start; where they do not work, a put looks first and then writes.
    /// Two processes can then both believe to have been first.
    Emulate,
}

impl Default for S3Settings {
    fn default() -> Self {
        Self {
            bucket: String::new(),
            prefix: String::new(),
            region: String::new(),
            endpoint: String::new(),
            public_endpoint: String::new(),
            path_style: PathStyle::Auto,
            checksums: Checksums::Auto,
            conditional_put: ConditionalPut::Require,
            access_key_id: String::new(),
            secret_access_key: Secret::new(""),
            session_token: Secret::new(""),
            connect_timeout_ms: 3_000,
            answer_timeout_ms: 20_000,
            operation_timeout_ms: 90_000,
            kb_per_s_min: 100,
            attempts_max: 6,
            backoff_ms_max: 5_000,
            multipart_from_mb: 32,
            part_mb: 8,
            parts_at_once: 4,
        }
    }
}

impl S3Settings {
    /// Every mistake, one sentence each; empty when there is none.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut check = |fine: bool, problem: &str| {
            if !fine {
                problems.push(problem.to_owned());
            }
        };
        check(!self.bucket.is_empty(), "`s3.bucket` is not set: name an existing bucket");
        check(!self.bucket.contains('/'), "`s3.bucket` is a name, not a path: put the rest into `s3.prefix`");
        check(
            self.prefix.is_empty() || packshot_runtime::port::check_key(&self.prefix).is_ok(),
            "`s3.prefix` must be segments of letters, digits, `.`, `-` and `_` joined by `/`",
        );
        // Leaves room for the longest key within the 1,024 bytes that a store takes.
        check(self.prefix.len() <= 256, "`s3.prefix` is longer than 256 bytes");
        for (name, address) in [("endpoint", &self.endpoint), ("public_endpoint", &self.public_endpoint)] {
            let host = address.strip_prefix("http://").or_else(|| address.strip_prefix("https://"));
            check(
                address.is_empty() || host.is_some_and(|host| !host.is_empty() && !host.starts_with('/')),
                &format!("`s3.{name}` must begin with http:// or https:// and a host"),
            );
        }
        check(
            self.access_key_id.is_empty() == self.secret_access_key.expose().is_empty(),
            "`s3.access_key_id` and `s3.secret_access_key` are set together or not at all",
        );
        check(
            self.session_token.expose().is_empty() || !self.access_key_id.is_empty(),
            "`s3.session_token` needs `s3.access_key_id`",
        );
        for (name, value, least, most) in [
            ("connect_timeout_ms", self.connect_timeout_ms, 100, 60_000),
            ("answer_timeout_ms", self.answer_timeout_ms, 100, 600_000),
            ("operation_timeout_ms", self.operation_timeout_ms, 100, 3_600_000),
            ("kb_per_s_min", self.kb_per_s_min, 1, 1_000_000),
            ("attempts_max", u64::from(self.attempts_max), 1, 20),
            ("backoff_ms_max", self.backoff_ms_max, 1, 60_000),
            ("multipart_from_mb", self.multipart_from_mb, 5, 5_000),
            ("part_mb", self.part_mb, 5, 1_000),
            ("parts_at_once", self.parts_at_once as u64, 1, 32),
        ] {
            check((least..=most).contains(&value), &format!("`s3.{name}` must be {least} to {most}"));
        }
        check(
            self.operation_timeout_ms >= self.answer_timeout_ms,
            "`s3.operation_timeout_ms` must not be less than `s3.answer_timeout_ms`",
        );
        problems
    }

    /// Whether checksums go with every operation that knows them.
    pub(super) fn checksums_when_supported(&self) -> bool {
        match self.checksums {
            Checksums::Auto => self.endpoint.is_empty(),
            Checksums::WhenSupported => true,
            Checksums::WhenRequired => false,
        }
    }

    /// Whether the bucket stands in the path.
    pub(super) fn bucket_in_path(&self) -> bool {
        match self.path_style {
            PathStyle::Auto => !self.endpoint.is_empty(),
            PathStyle::Always => true,
            PathStyle::Never => false,
        }
    }

    /// The key in the bucket for a key of ours.
    pub(super) fn full_key(&self, key: &str) -> String {
        if self.prefix.is_empty() { key.to_owned() } else { format!("{}/{key}", self.prefix) }
    }

    /// The key of ours for a key in the bucket.
    pub(super) fn own_key<'k>(&self, full: &'k str) -> Option<&'k str> {
        if self.prefix.is_empty() {
            return Some(full);
        }
        full.strip_prefix(self.prefix.as_str())?.strip_prefix('/')
    }

    /// How a key is named to people.
    pub(super) fn shown(&self, key: &str) -> String {
        format!("s3://{}/{}", self.bucket, self.full_key(key))
    }

    /// How long `size_bytes` may take on the slowest transfer that is waited for.
    pub(super) fn transfer(&self, size_bytes: u64) -> Duration {
        Duration::from_millis(size_bytes / self.kb_per_s_min.max(1))
    }

    /// One try, with this many bytes on the way.
    pub(super) fn attempt_timeout(&self, size_bytes: u64) -> Duration {
        Duration::from_millis(self.answer_timeout_ms) + self.transfer(size_bytes)
    }

    /// All tries, with this many bytes on the way.
    pub(super) fn operation_timeout(&self, size_bytes: u64) -> Duration {
        Duration::from_millis(self.operation_timeout_ms) + self.transfer(size_bytes)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn fine() -> S3Settings {
        S3Settings { bucket: "b".into(), ..S3Settings::default() }
    }

    #[test]
    fn every_mistake_is_named_at_once() {
        assert_eq!(fine().problems(), Vec::<String>::new());
        let bad = S3Settings {
            bucket: String::new(),
            prefix: "a//b".into(),
            endpoint: "localhost:9000".into(),
            access_key_id: "key".into(),
            part_mb: 1,
            answer_timeout_ms: 200_000,
            ..S3Settings::default()
        };
        let problems = bad.problems().join("\n");
        for word in ["bucket", "prefix", "endpoint", "secret_access_key", "part_mb", "operation_timeout_ms"] {
            assert!(problems.contains(word), "{word} in {problems}");
        }
    }

    #[test]
    fn keys_wear_the_prefix_and_take_it_off() {
        let whole = fine();
        assert_eq!(whole.full_key("a/b"), "a/b");
        assert_eq!(whole.own_key("a/b"), Some("a/b"));
        let shared = S3Settings { prefix: "x/y".into(), ..fine() };
        assert_eq!(shared.full_key("a/b"), "x/y/a/b");
        assert_eq!(shared.own_key("x/y/a/b"), Some("a/b"));
        assert_eq!(shared.own_key("x/yz/a/b"), None);
        assert_eq!(shared.shown("a"), "s3://b/x/y/a");
    }

    #[test]
    fn a_store_of_another_maker_gets_what_it_understands() {
        let aws = fine();
        assert!(aws.checksums_when_supported() && !aws.bucket_in_path());
        let other = S3Settings { endpoint: "http://127.0.0.1:9000".into(), ..fine() };
        assert!(!other.checksums_when_supported() && other.bucket_in_path());
    }

    #[test]
    fn secrets_stay_out_of_sight() {
        let settings = S3Settings { secret_access_key: Secret::new("tiger"), ..fine() };
        assert!(!format!("{settings:?}").contains("tiger"));
    }

    #[test]
    fn large_objects_get_more_time() {
        let settings = fine();
        assert_eq!(settings.attempt_timeout(0), Duration::from_secs(20));
        assert_eq!(settings.attempt_timeout(10_000_000), Duration::from_mins(2));
    }
}
