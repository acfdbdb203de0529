//! A bucket as the object store: S3, or a store that speaks its language.
//!
//! Everything rests on the conditional put (`If-None-Match: *`): of two writers of a key
//! exactly one wins. [`S3Objects::connect`] therefore tries it and refuses a store that
//! ignores it, unless the settings say to look first and write then.
//!
//! Every wait has a limit that grows with the bytes on the way. Tries are repeated inside,
//! with pauses, until their number or time is up; an error that comes out as
//! [`ObjectsFault::Unavailable`] may have stored the object.
//!
//! Parts of an upload that was cut off stay in the bucket until its lifecycle rule for
//! incomplete multipart uploads removes them. The access key needs `ListBucket`, `GetObject`
//! and `PutObject`, for large objects `AbortMultipartUpload` too; only [`S3Objects::probe`]
//! ever removes an object (`DeleteObject`), and only its own.

mod client;
mod conditional;
mod fault;
mod multipart;
mod probe;
mod read;
mod settings;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use packshot_runtime::port::{ObjectInfo, Objects, ObjectsError, ObjectsFault, Put, check_key};

pub use probe::{Finding, Severity};
pub use settings::{Checksums, ConditionalPut, PathStyle, S3Settings};

use conditional::Conditional;

/// The longest validity that S3 signs: a week.
const SIGNED_S_MAX: u64 = 7 * 24 * 60 * 60;
/// Keys of one answer of a listing.
const PAGE: usize = 1_000;
/// The first pause between tries that this adapter repeats by itself.
const BACKOFF_MS_FIRST: u64 = 50;

/// Objects in a bucket. Clones share connections.
#[derive(Clone, Debug)]
pub struct S3Objects {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    settings: S3Settings,
    client: Client,
    /// Signs addresses as a browser sees the store.
    public: Client,
    conditional: Conditional,
}

impl S3Objects {
    /// Opens the store and checks what everything rests on: the bucket can be reached with
    /// these credentials, and conditional puts work.
    ///
    /// # Errors
    /// All mistakes of the settings together; otherwise what the store answered and what
    /// to do about it.
    pub async fn connect(settings: S3Settings) -> Result<Self, ObjectsError> {
        let problems = settings.problems();
        if !problems.is_empty() {
            return Err(fault::own(ObjectsFault::Broken, problems.join("; ")));
        }
        let store = Self::unchecked(settings).await;
        store.reach().await?;
        store.settle_conditional().await?;
        Ok(store)
    }

    async fn unchecked(settings: S3Settings) -> Self {
        let (client, public) = client::build(&settings).await;
        let conditional = Conditional::new();
        Self { shared: Arc::new(Shared { settings, client, public, conditional }) }
    }

    /// Whether two writers are told apart by the store, not by looking first: false only
    /// where the settings allow it and the store knows no better.
    pub fn is_conditional(&self) -> bool {
        !self.shared.conditional.is_emulated()
    }

    fn settings(&self) -> &S3Settings {
        &self.shared.settings
    }

    fn bucket(&self) -> &str {
        &self.shared.settings.bucket
    }

    fn client(&self) -> &Client {
        &self.shared.client
    }

    /// Asks for a listing rather than for the bucket: its refusal has a body that says why.
    async fn reach(&self) -> Result<(), ObjectsError> {
        let asked = self.client().list_objects_v2().bucket(self.bucket()).max_keys(1);
        let listed = asked.prefix(self.settings().full_key("")).send().await;
        listed.map(drop).map_err(|error| fault::fault(self.settings(), "opening", "", error))
    }

    /// One put in one request.
    async fn put_whole(&self, key: &str, bytes: Bytes, condition: bool) -> Result<Written, ObjectsError> {
        let size_bytes = bytes.len() as u64;
        let sent = self
            .client()
            .put_object()
            .bucket(self.bucket())
            .key(self.settings().full_key(key))
            .content_type(content_type(key))
            .set_if_none_match(condition.then(|| "*".to_owned()))
            .body(ByteStream::from(bytes))
            .customize()
            .config_override(client::waits(self.settings(), size_bytes))
            .send()
            .await;
        match sent {
            Ok(_) => Ok(Written::Stored),
            Err(error) => match fault::answer(&error) {
                Some(answer) if condition && answer.is_exists() => Ok(Written::Exists),
                Some(answer) if condition && answer.is_not_offered() => Ok(Written::NotOffered),
                Some(answer) if answer.is_conflict() => Ok(Written::Again),
                Some(_) | None => Err(fault::fault(self.settings(), "writing", key, error)),
            },
        }
    }

    /// Writes by the way that fits the size, again after a conflict.
    async fn write(&self, key: &str, bytes: Bytes, condition: bool) -> Result<Put, ObjectsError> {
        let large = bytes.len() as u64 >= self.settings().multipart_from_mb * 1_000_000;
        let in_parts = large && (!condition || Box::pin(self.parts_take_conditions()).await?);
        for attempt in 0..self.settings().attempts_max {
            if attempt > 0 {
                tokio::time::sleep(self.backoff(attempt)).await;
            }
            let written = if in_parts {
                Box::pin(self.put_in_parts(key, &bytes, condition)).await?
            } else {
                Box::pin(self.put_whole(key, bytes.clone(), condition)).await?
            };
            match written {
                Written::Stored => return Ok(Put::Stored),
                Written::Exists => return Ok(Put::Exists),
                Written::NotOffered => return Err(fault::own(ObjectsFault::Broken, self.ignored())),
                Written::Again => {}
            }
        }
        let what = format!(
            "writing {}: another write of the same key was under way at each of {} tries (`s3.attempts_max`)",
            self.settings().shown(key),
            self.settings().attempts_max
        );
        Err(fault::own(ObjectsFault::Unavailable, what))
    }

    /// A pause before the next try: random, so that rivals part, and longer each time.
    fn backoff(&self, attempt: u32) -> Duration {
        let most = BACKOFF_MS_FIRST << attempt.min(10);
        let most = most.min(self.settings().backoff_ms_max);
        Duration::from_millis(rand::random_range(most / 2..=most))
    }
}

/// What became of one try to write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Written {
    Stored,
    /// The condition was not met.
    Exists,
    /// Another write was under way, or an upload was lost; to be begun anew.
    Again,
    /// The store knows no conditions.
    NotOffered,
}

fn checked(key: &str) -> Result<(), ObjectsError> {
    check_key(key).map_err(|bad| fault::own(ObjectsFault::BadKey, bad.to_string()))
}

/// What a browser shall take the object for.
fn content_type(key: &str) -> &'static str {
    match key.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "json" => "application/json",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "csv" => "text/csv; charset=utf-8",
        "html" => "text/html; charset=utf-8",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[async_trait]
impl Objects for S3Objects {
    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), ObjectsError> {
        checked(key)?;
        self.write(key, bytes, false).await.map(|_| ())
    }

    async fn put_if_absent(&self, key: &str, bytes: Bytes) -> Result<Put, ObjectsError> {
        checked(key)?;
        if self.is_conditional() {
            self.write(key, bytes, true).await
        } else {
            // Tells apart the writers of this process at least.
            let _held = self.shared.conditional.alone(key).await;
            if self.head(key).await?.is_some() {
                return Ok(Put::Exists);
            }
            self.write(key, bytes, false).await
        }
    }

    async fn get(&self, key: &str, bytes_max: u64) -> Result<Option<Bytes>, ObjectsError> {
        checked(key)?;
        self.read(key, bytes_max).await
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectInfo>, ObjectsError> {
        checked(key)?;
        let asked = self.client().head_object().bucket(self.bucket()).key(self.settings().full_key(key));
        match asked.send().await {
            Ok(found) => {
                let size_bytes = found.content_length().unwrap_or_default().max(0) as u64;
                Ok(Some(ObjectInfo { size_bytes }))
            }
            Err(error) => match fault::answer(&error) {
                Some(answer) if answer.is_absent() => Ok(None),
                Some(_) | None => Err(fault::fault(self.settings(), "looking for", key, error)),
            },
        }
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, ObjectsError> {
        let prefix = format!("{}/", prefix.trim_end_matches('/'));
        checked(prefix.trim_end_matches('/'))?;
        let mut keys: Vec<String> = Vec::new();
        let mut token: Option<String> = None;
        while keys.len() < limit {
            let asked = self
                .client()
                .list_objects_v2()
                .bucket(self.bucket())
                .prefix(self.settings().full_key(&prefix))
                .set_start_after(after.map(|after| self.settings().full_key(after)))
                .set_continuation_token(token.take())
                .max_keys((limit - keys.len()).min(PAGE) as i32);
            let page = asked
                .send()
                .await
                .map_err(|error| fault::fault(self.settings(), "listing", &prefix, error))?;
            for object in page.contents() {
                let key = object.key().and_then(|full| self.settings().own_key(full));
                // What is no key of ours was put there by somebody else.
                let Some(key) = key.filter(|key| check_key(key).is_ok()) else { continue };
                if keys.last().map(String::as_str).or(after).is_some_and(|before| key <= before) {
                    return Err(unordered(self.settings(), &prefix, key));
                }
                keys.push(key.to_owned());
            }
            token = page.next_continuation_token().map(str::to_owned);
            if token.is_none() {
                break;
            }
        }
        Ok(keys)
    }

    async fn url(&self, key: &str, valid_ms: u64) -> Result<Option<String>, ObjectsError> {
        checked(key)?;
        let valid = Duration::from_secs(valid_ms.div_ceil(1_000).clamp(1, SIGNED_S_MAX));
        let unsigned = |why: String| {
            let what = format!("signing an address of {}: {why}", self.settings().shown(key));
            fault::own(ObjectsFault::Broken, what)
        };
        let signing = PresigningConfig::expires_in(valid).map_err(|error| unsigned(error.to_string()))?;
        let asked = self.shared.public.get_object().bucket(self.bucket()).key(self.settings().full_key(key));
        let signed = asked
            .presigned(signing)
            .await
            .map_err(|error| fault::fault(self.settings(), "signing an address of", key, error))?;
        Ok(Some(signed.uri().to_owned()))
    }
}

fn unordered(settings: &S3Settings, prefix: &str, key: &str) -> ObjectsError {
    let what = format!(
        "listing {}: {key:?} came out of order; the store does not list by byte order (directory buckets do \
         not), use an ordinary bucket",
        settings.shown(prefix)
    );
    fault::own(ObjectsFault::Broken, what)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use super::*;
    use crate::secret::Secret;

    async fn store(change: impl FnOnce(&mut S3Settings)) -> S3Objects {
        let mut settings = S3Settings {
            bucket: "b".into(),
            prefix: "p".into(),
            endpoint: "http://127.0.0.1:9".into(),
            access_key_id: "key".into(),
            secret_access_key: Secret::new("tiger"),
            attempts_max: 1,
            ..S3Settings::default()
        };
        change(&mut settings);
        S3Objects::unchecked(settings).await
    }

    #[tokio::test]
    async fn wrong_settings_are_named_before_anything_is_sent() {
        let error = S3Objects::connect(S3Settings::default()).await.unwrap_err();
        assert_eq!(error.kind, ObjectsFault::Broken);
        assert!(error.what.contains("`s3.bucket` is not set"), "{}", error.what);
    }

    #[tokio::test]
    async fn a_store_that_is_not_there_is_unavailable_and_named() {
        let error = store(|_| ()).await.get("a", 1).await.unwrap_err();
        assert_eq!(error.kind, ObjectsFault::Unavailable);
        for part in ["s3://b/p/a", "http://127.0.0.1:9", "s3.endpoint"] {
            assert!(error.what.contains(part), "{part} in {}", error.what);
        }
    }

    #[tokio::test]
    async fn addresses_are_signed_for_where_the_browser_is() {
        let signed = store(|s| s.public_endpoint = "https://images.example".into()).await;
        let url = signed.url("a/b.png", 60_500).await.unwrap().unwrap();
        assert!(url.starts_with("https://images.example/b/p/a/b.png?"), "{url}");
        assert!(url.contains("X-Amz-Expires=61&") && !url.contains("tiger"), "{url}");
        let longest = signed.url("a/b.png", u64::MAX).await.unwrap().unwrap();
        assert!(longest.contains("X-Amz-Expires=604800&"), "{longest}");
    }

    #[tokio::test]
    async fn pauses_grow_and_have_an_end() {
        let store = store(|s| s.backoff_ms_max = 300).await;
        assert!(store.backoff(1) <= Duration::from_millis(100));
        for attempt in [5, 20, u32::MAX] {
            let pause = store.backoff(attempt);
            assert!(pause >= Duration::from_millis(150) && pause <= Duration::from_millis(300), "{pause:?}");
        }
    }

    #[tokio::test]
    async fn nothing_of_the_secret_is_shown() {
        assert!(!format!("{:?}", store(|_| ()).await).contains("tiger"));
    }
}
