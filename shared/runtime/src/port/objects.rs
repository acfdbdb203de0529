//! The object store: the truth.

use async_trait::async_trait;
use bytes::Bytes;

use super::Source;

/// What went wrong, for code that branches on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ObjectsFault {
    /// Not reachable, overloaded or too slow. Worth a retry; a `put` may have happened.
    Unavailable,
    /// Credentials or permissions, a read-only file system. Not worth a retry.
    Denied,
    /// No room is left. Worth a retry once somebody has made room.
    Full,
    /// The object is larger than the caller can take.
    TooLarge,
    /// The key is not one; see [`check_key`].
    BadKey,
    /// Anything else that a retry does not mend.
    Broken,
}

/// The object store failed.
#[derive(Debug, thiserror::Error)]
#[error("object store: {what}")]
pub struct ObjectsError {
    /// For code.
    pub kind: ObjectsFault,
    /// For people: what was being done, to which key, and what can be done about it.
    pub what: String,
    /// The cause.
    #[source]
    pub source: Option<Source>,
    /// How long to wait, in milliseconds, where the other side said so.
    pub retry_after_ms: Option<u64>,
}

/// What a conditional put found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Put {
    /// The object was not there and is now what was put.
    Stored,
    /// Somebody else's object was there first and is untouched.
    Exists,
}

/// What is known of an object without reading it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ObjectInfo {
    /// Size.
    pub size_bytes: u64,
}

/// A text that is no object key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an object key: {0:?}")]
pub struct BadKey(pub String);

/// Checks that `key` is safe as an object key and as a relative path on every file
/// system: segments of ASCII letters, digits, `.`, `-` and `_` joined by `/`; no segment
/// empty or beginning with a dot; 1 to 512 bytes in all, 1 to 200 each.
pub fn check_key(key: &str) -> Result<(), BadKey> {
    let segment_is_fine = |segment: &str| {
        (1..=200).contains(&segment.len())
            && !segment.starts_with('.')
            && segment.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
    };
    if key.len() <= 512 && key.split('/').all(segment_is_fine) {
        Ok(())
    } else {
        Err(BadKey(key.chars().take(80).collect()))
    }
}

/// A store of immutable-by-habit objects.
///
/// **Contract.** A put is atomic: a reader sees the whole object or none, also after a
/// crash. A finished put is durable and visible to every later `get`, `head` and `list`.
/// A failed put with [`ObjectsFault::Unavailable`] may have happened. Of several
/// concurrent `put_if_absent` for a key exactly one gets [`Put::Stored`]; one that is
/// repeated after an unknown outcome may get [`Put::Exists`] for its own bytes.
#[async_trait]
pub trait Objects: Send + Sync {
    /// Stores `bytes`, replacing what is there.
    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), ObjectsError>;

    /// Stores `bytes` unless the key exists: the only way to decide between two writers.
    async fn put_if_absent(&self, key: &str, bytes: Bytes) -> Result<Put, ObjectsError>;

    /// Reads an object of at most `bytes_max` bytes; `None` when there is none.
    async fn get(&self, key: &str, bytes_max: u64) -> Result<Option<Bytes>, ObjectsError>;

    /// What is known of an object; `None` when there is none.
    async fn head(&self, key: &str) -> Result<Option<ObjectInfo>, ObjectsError>;

    /// Up to `limit` keys that begin with `prefix` and come after `after`, in byte order.
    /// Fewer than `limit` means that there are no more. `prefix` ends in `/`.
    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, ObjectsError>;

    /// An address under which a browser can read the object for `valid_ms`; `None` when
    /// the store has no such thing.
    async fn url(&self, key: &str, valid_ms: u64) -> Result<Option<String>, ObjectsError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_safe_as_paths() {
        for fine in ["a", "blobs/ab.png", "sets/a-b_c/0000/set.json"] {
            assert!(check_key(fine).is_ok(), "{fine}");
        }
        let long = "x".repeat(201);
        for bad in ["", "/", "/a", "a/", "a//b", "..", "a/../b", ".x", "a\\b", "a b", "ä", "a\0", "C:", &long]
        {
            assert!(check_key(bad).is_err(), "{bad}");
        }
    }
}
