//! Whether the store keeps its word about conditional puts, and what is done where not.
//!
//! One small object that no key of ours can name is put with `If-None-Match: *`. The
//! second such put must be refused with 412; at every later start the first one is.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::OnceLock;

use bytes::Bytes;
use packshot_runtime::port::{ObjectsError, ObjectsFault};
use tokio::sync::{Mutex, MutexGuard, OnceCell};

use super::{ConditionalPut, S3Objects, Written, fault};

/// The object that conditions are tried on; a key of ours never begins with a dot.
const TRIED: &str = ".packshot/conditional-put";
/// Locks for emulated conditional puts; two keys may share one.
const LOCKS: usize = 64;

/// What is known of the store's conditional puts.
#[derive(Debug)]
pub(super) struct Conditional {
    emulated: OnceLock<bool>,
    /// Whether conditions also hold for uploads in parts; asked at the first large one.
    in_parts: OnceCell<bool>,
    locks: [Mutex<()>; LOCKS],
}

impl Conditional {
    pub(super) fn new() -> Self {
        Self {
            emulated: OnceLock::new(),
            in_parts: OnceCell::new(),
            locks: std::array::from_fn(|_| Mutex::new(())),
        }
    }

    pub(super) fn is_emulated(&self) -> bool {
        self.emulated.get().copied().unwrap_or(false)
    }

    /// Holds back the other writers of `key` in this process.
    pub(super) async fn alone(&self, key: &str) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        self.locks[hasher.finish() as usize % LOCKS].lock().await
    }
}

impl S3Objects {
    /// Decides how `put_if_absent` works, as the settings say.
    pub(super) async fn settle_conditional(&self) -> Result<(), ObjectsError> {
        let emulated = match self.settings().conditional_put {
            ConditionalPut::Assume => false,
            ConditionalPut::Require => {
                if !self.keeps_conditions().await? {
                    return Err(fault::own(ObjectsFault::Broken, self.ignored()));
                }
                false
            }
            ConditionalPut::Emulate => !self.keeps_conditions().await?,
        };
        if emulated {
            tracing::warn!(
                bucket = self.bucket(),
                store = fault::store(self.settings()),
                "this store ignores conditional puts: packshot looks first and then writes, so two \
                 processes can both believe to have been first, and work can be paid for twice"
            );
        }
        let _ = self.shared.conditional.emulated.set(emulated);
        Ok(())
    }

    /// What to do about a store that ignores conditions.
    pub(super) fn ignored(&self) -> String {
        format!(
            "{} ignores `If-None-Match: *`, so it cannot tell two writers of s3://{} apart; use a store with \
             conditional puts (AWS S3, MinIO, Cloudflare R2, Ceph from Squid on), or set \
             `s3.conditional_put` to \"emulate\" and accept that work can be done twice",
            fault::store(self.settings()),
            self.bucket(),
        )
    }

    /// Puts an object twice on condition that it is not there: one of the two must be
    /// refused.
    pub(super) async fn keeps_conditions(&self) -> Result<bool, ObjectsError> {
        let mut stored = 0;
        for attempt in 0..=self.settings().attempts_max {
            if attempt > 0 {
                tokio::time::sleep(self.backoff(attempt)).await;
            }
            match self.put_whole(TRIED, Bytes::from_static(b"tried"), true).await? {
                Written::Exists => return Ok(true),
                Written::NotOffered => return Ok(false),
                // The first time ever, or because conditions are ignored.
                Written::Stored => stored += 1,
                Written::Again => {}
            }
            if stored == 2 {
                return Ok(false);
            }
        }
        let what = format!("{} answered 409 to every conditional put", fault::store(self.settings()));
        Err(fault::own(ObjectsFault::Unavailable, what))
    }

    /// Whether an upload in parts is refused at its end when the object is there. Where
    /// not, large objects that must not replace another are put in one piece.
    pub(super) async fn parts_take_conditions(&self) -> Result<bool, ObjectsError> {
        let known = &self.shared.conditional.in_parts;
        known.get_or_try_init(|| self.try_parts()).await.copied()
    }

    async fn try_parts(&self) -> Result<bool, ObjectsError> {
        // Somebody must be there to be found.
        self.put_whole(TRIED, Bytes::from_static(b"tried"), false).await?;
        let (upload, parts) = self.begin_small_upload(TRIED).await?;
        let kept = match self.complete(TRIED, &upload, parts, 0, true).await {
            Ok(Written::Exists) => true,
            Ok(Written::Stored | Written::Again | Written::NotOffered) => false,
            Err(error) if error.kind == ObjectsFault::Broken => false,
            Err(error) => return Err(error),
        };
        if !kept {
            tracing::info!(
                "the store takes no conditions for uploads in parts; large objects go in one piece"
            );
        }
        let asked = self.client().abort_multipart_upload().bucket(self.bucket()).upload_id(upload);
        let _ = asked.key(self.settings().full_key(TRIED)).send().await;
        Ok(kept)
    }
}
