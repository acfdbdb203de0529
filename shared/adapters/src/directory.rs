//! A folder as the object store: embedded mode's truth.
//!
//! A put writes a temporary file beside the objects, syncs it and moves it into place by
//! one atomic step (rename, or hard link where it must not replace anything), so a reader
//! sees a whole object or none, also after `kill -9` or a power cut. Keys become paths as
//! they are; [`check_key`] makes sure that they stay inside the folder.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use packshot_runtime::port::{ObjectInfo, Objects, ObjectsError, ObjectsFault, Put, check_key};
use rayon::{ThreadPool, ThreadPoolBuilder};
use tokio::sync::oneshot;

/// The folder for files that are being written; no key can begin with a dot.
const WRITING: &str = ".writing";
/// After what time such a file was left by a dead process.
const LEFT_BEHIND: Duration = Duration::from_hours(1);

/// Threads for each processor, and so requests that the disk has at a time. They are few and
/// their own, because the runtime's threads for blocking work are many, and waking them costs
/// more than most requests.
const THREADS: usize = 2;

/// Objects in a folder.
#[derive(Clone, Debug)]
pub struct DirectoryObjects {
    shared: Arc<Shared>,
    threads: Arc<ThreadPool>,
}

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    /// Names temporary files apart.
    written: AtomicU64,
    /// Decides between writers on file systems without hard links.
    without_links: Mutex<()>,
}

impl DirectoryObjects {
    /// Opens the store in `root`, making the folder if it is not there, and checks that it
    /// can be written.
    pub fn open(root: &Path) -> Result<Self, ObjectsError> {
        let writing = root.join(WRITING);
        let failed = |error| fault(error, "opening the object store", root);
        fs::create_dir_all(&writing).map_err(failed)?;
        remove_left_behind(&writing);
        let shared =
            Shared { root: root.to_owned(), written: AtomicU64::new(0), without_links: Mutex::new(()) };
        let probe = shared.writing_name();
        let probed = File::create(&probe).and_then(|mut file| file.write_all(b"probe"));
        let removed = fs::remove_file(&probe);
        probed.and(removed).map_err(failed)?;
        Ok(Self { shared: Arc::new(shared), threads: Arc::new(threads(root)?) })
    }

    /// The file that holds, or would hold, the object; `None` when `key` is not a key.
    pub fn path(&self, key: &str) -> Option<PathBuf> {
        check_key(key).ok().map(|()| self.shared.root.join(key))
    }

    async fn blocking<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Shared) -> Result<T, ObjectsError> + Send + 'static,
    ) -> Result<T, ObjectsError> {
        let shared = Arc::clone(&self.shared);
        let (tell, told) = oneshot::channel();
        self.threads.spawn(move || {
            // Whoever asked may have left.
            let _ = tell.send(act(&shared));
        });
        told.await.unwrap_or_else(|error| {
            Err(ObjectsError {
                kind: ObjectsFault::Unavailable,
                what: "a request to the object store broke off".to_owned(),
                source: Some(Box::new(error)),
                retry_after_ms: None,
            })
        })
    }
}

fn threads(root: &Path) -> Result<ThreadPool, ObjectsError> {
    let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let pool = ThreadPoolBuilder::new()
        .num_threads(THREADS * processors)
        .thread_name(|number| format!("objects-{number}"))
        // The one who asked is told by the answer that does not come.
        .panic_handler(|_| {});
    pool.build().map_err(|error| fault(io::Error::other(error), "starting the threads of", root))
}

/// Files that a killed process was writing; best effort, they only take room.
fn remove_left_behind(writing: &Path) {
    let Ok(entries) = fs::read_dir(writing) else { return };
    for entry in entries.flatten() {
        let modified = entry.metadata().and_then(|meta| meta.modified());
        let age = modified.ok().and_then(|at| SystemTime::now().duration_since(at).ok());
        if age.is_some_and(|age| age > LEFT_BEHIND) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Says what failed, where, and what to do about it.
#[allow(clippy::wildcard_enum_match_arm, reason = "the standard library's enum is open")]
fn fault(error: io::Error, doing: &str, path: &Path) -> ObjectsError {
    let (kind, hint) = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            (ObjectsFault::Full, ": no room is left; free some and run again, what is done stays done")
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            (ObjectsFault::Denied, ": the folder cannot be written or read; check its permissions")
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => {
            (ObjectsFault::Broken, ": a file stands where a folder should be, or the reverse")
        }
        io::ErrorKind::Interrupted | io::ErrorKind::TimedOut | io::ErrorKind::ResourceBusy => {
            (ObjectsFault::Unavailable, "")
        }
        _ => (ObjectsFault::Broken, ""),
    };
    let what = format!("{doing} {}{hint}", path.display());
    ObjectsError { kind, what, source: Some(Box::new(error)), retry_after_ms: None }
}

fn bad_key(key: &str) -> Result<(), ObjectsError> {
    check_key(key).map_err(|bad| ObjectsError {
        kind: ObjectsFault::BadKey,
        what: bad.to_string(),
        source: None,
        retry_after_ms: None,
    })
}

impl Shared {
    fn writing_name(&self) -> PathBuf {
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        // Two stores on one folder, in one process or two, must not share a name.
        let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
        let name = format!("{}-{:p}-{number}-{clock:x}", std::process::id(), self);
        self.root.join(WRITING).join(name)
    }

    /// Writes `bytes` to a temporary file and hands it to `place`, which moves it.
    fn written<T>(
        &self,
        key: &str,
        bytes: &[u8],
        place: impl FnOnce(&Path, &Path) -> io::Result<T>,
    ) -> Result<T, ObjectsError> {
        let target = self.root.join(key);
        let temporary = self.writing_name();
        let write = || {
            let parent = target.parent().unwrap_or(&self.root);
            fs::create_dir_all(parent)?;
            let mut file = OpenOptions::new().write(true).create_new(true).open(&temporary)?;
            file.write_all(bytes)?;
            file.sync_data()?;
            drop(file);
            let placed = place(&temporary, &target)?;
            sync_folder(parent)?;
            Ok(placed)
        };
        let ended = write().map_err(|error| fault(error, "writing", &target));
        // Gone already after a rename; otherwise it has served.
        let _ = fs::remove_file(&temporary);
        ended
    }

    fn put(&self, key: &str, bytes: &[u8]) -> Result<(), ObjectsError> {
        self.written(key, bytes, |temporary, target| fs::rename(temporary, target))
    }

    fn put_if_absent(&self, key: &str, bytes: &[u8]) -> Result<Put, ObjectsError> {
        let target = self.root.join(key);
        // Saves the write in the usual case; the link below decides.
        if is_file(&target).map_err(|error| fault(error, "looking for", &target))? {
            return Ok(Put::Exists);
        }
        self.written(key, bytes, |temporary, target| match fs::hard_link(temporary, target) {
            Ok(()) => Ok(Put::Stored),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Put::Exists),
            Err(error) if has_no_links(&error) => {
                // exFAT and some network shares: decided within this process only.
                let _held = self.without_links.lock().unwrap_or_else(PoisonError::into_inner);
                if is_file(target)? {
                    return Ok(Put::Exists);
                }
                fs::rename(temporary, target).map(|()| Put::Stored)
            }
            Err(error) => Err(error),
        })
    }

    fn get(&self, key: &str, bytes_max: u64) -> Result<Option<Bytes>, ObjectsError> {
        let path = self.root.join(key);
        let failed = |error| fault(error, "reading", &path);
        let file = match File::open(&path) {
            Err(error) if is_absent(&error) => return Ok(None),
            opened => opened.map_err(failed)?,
        };
        let meta = file.metadata().map_err(failed)?;
        if meta.is_dir() {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        if meta.len() <= bytes_max {
            bytes.reserve_exact(meta.len() as usize);
            file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
        }
        if meta.len() > bytes_max || bytes.len() as u64 > bytes_max {
            return Err(ObjectsError {
                kind: ObjectsFault::TooLarge,
                what: format!("{} has {} bytes, at most {bytes_max} are read", path.display(), meta.len()),
                source: None,
                retry_after_ms: None,
            });
        }
        Ok(Some(bytes.into()))
    }

    fn head(&self, key: &str) -> Result<Option<ObjectInfo>, ObjectsError> {
        let path = self.root.join(key);
        match fs::metadata(&path) {
            Ok(meta) if meta.is_file() => Ok(Some(ObjectInfo { size_bytes: meta.len() })),
            Ok(_) => Ok(None),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(fault(error, "looking for", &path)),
        }
    }

    /// Adds the keys below `folder` to `keys` in byte order, until there are `limit`.
    fn list(
        &self,
        folder: &str,
        after: &str,
        limit: usize,
        keys: &mut Vec<String>,
    ) -> Result<(), ObjectsError> {
        let path = self.root.join(folder);
        let failed = |error| fault(error, "listing", &path);
        let entries = match fs::read_dir(&path) {
            Err(error) if is_absent(&error) => return Ok(()),
            entries => entries.map_err(failed)?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let is_folder = entry.file_type().map_err(failed)?.is_dir();
            let key = if is_folder { format!("{folder}{name}/") } else { format!("{folder}{name}") };
            // A folder is behind us when even its last key would be.
            let behind = key.as_str() <= after && !(is_folder && after.starts_with(key.as_str()));
            if !name.starts_with('.') && !behind {
                names.push((key, is_folder));
            }
        }
        names.sort();
        for (key, is_folder) in names {
            if keys.len() >= limit {
                break;
            }
            if is_folder {
                self.list(&key, after, limit, keys)?;
            } else {
                keys.push(key);
            }
        }
        Ok(())
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn is_file(path: &Path) -> io::Result<bool> {
    match fs::metadata(path) {
        Ok(meta) => Ok(meta.is_file()),
        Err(error) if is_absent(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether a link failed because the file system knows none.
fn has_no_links(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied)
}

/// Makes a rename or link in `folder` survive a power cut.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Other systems sync folders by themselves or not at all.
#[cfg(not(unix))]
#[allow(clippy::unnecessary_wraps, reason = "same form as on unix")]
fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

#[async_trait]
impl Objects for DirectoryObjects {
    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), ObjectsError> {
        bad_key(key)?;
        let key = key.to_owned();
        self.blocking(move |shared| shared.put(&key, &bytes)).await
    }

    async fn put_if_absent(&self, key: &str, bytes: Bytes) -> Result<Put, ObjectsError> {
        bad_key(key)?;
        let key = key.to_owned();
        self.blocking(move |shared| shared.put_if_absent(&key, &bytes)).await
    }

    async fn get(&self, key: &str, bytes_max: u64) -> Result<Option<Bytes>, ObjectsError> {
        bad_key(key)?;
        let key = key.to_owned();
        self.blocking(move |shared| shared.get(&key, bytes_max)).await
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectInfo>, ObjectsError> {
        bad_key(key)?;
        let key = key.to_owned();
        self.blocking(move |shared| shared.head(&key)).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, ObjectsError> {
        let folder = format!("{}/", prefix.trim_end_matches('/'));
        bad_key(folder.trim_end_matches('/'))?;
        let after = after.unwrap_or_default().to_owned();
        self.blocking(move |shared| {
            let mut keys = Vec::new();
            shared.list(&folder, &after, limit, &mut keys)?;
            Ok(keys)
        })
        .await
    }

    async fn url(&self, key: &str, _valid_ms: u64) -> Result<Option<String>, ObjectsError> {
        bad_key(key)?;
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use super::*;
    use packshot_runtime::conformance;

    #[tokio::test]
    async fn it_is_an_object_store() {
        let folder = tempfile::tempdir().unwrap();
        let mut made = 0;
        conformance::objects::suite(|| {
            made += 1;
            Arc::new(DirectoryObjects::open(&folder.path().join(made.to_string())).unwrap())
                as Arc<dyn Objects>
        })
        .await;
    }

    #[tokio::test]
    async fn a_finished_put_leaves_nothing_else_behind() {
        let folder = tempfile::tempdir().unwrap();
        let store = DirectoryObjects::open(folder.path()).unwrap();
        store.put("a/b.json", Bytes::from_static(b"1")).await.unwrap();
        assert_eq!(store.put_if_absent("a/b.json", Bytes::from_static(b"2")).await.unwrap(), Put::Exists);
        assert_eq!(store.put_if_absent("a/c.json", Bytes::from_static(b"2")).await.unwrap(), Put::Stored);
        assert_eq!(fs::read_dir(folder.path().join(WRITING)).unwrap().count(), 0);
        assert_eq!(fs::read(store.path("a/c.json").unwrap()).unwrap(), b"2");
        assert!(store.path("../c").is_none());
    }

    #[tokio::test]
    async fn a_file_in_the_way_is_one_clear_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, b"x").unwrap();
        let error = DirectoryObjects::open(&file).unwrap_err();
        assert!(error.what.contains("opening the object store"), "{}", error.what);
        let store = DirectoryObjects::open(folder.path()).unwrap();
        assert!(store.put("file/a", Bytes::new()).await.is_err());
        assert_eq!(store.get("file/a", 1).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_request_that_breaks_off_is_an_error_and_the_next_one_works() {
        let folder = tempfile::tempdir().unwrap();
        let store = DirectoryObjects::open(folder.path()).unwrap();
        let broken: Result<(), ObjectsError> = store.blocking(|_| panic!("on purpose")).await;
        assert_eq!(broken.unwrap_err().kind, ObjectsFault::Unavailable);
        store.put("a", Bytes::from_static(b"1")).await.unwrap();
        assert_eq!(store.get("a", 1).await.unwrap(), Some(Bytes::from_static(b"1")));
    }

    #[test]
    fn full_and_read_only_say_what_to_do() {
        for (kind, expected, hint) in [
            (io::ErrorKind::StorageFull, ObjectsFault::Full, "free some"),
            (io::ErrorKind::ReadOnlyFilesystem, ObjectsFault::Denied, "permissions"),
        ] {
            let error = fault(io::Error::from(kind), "writing", Path::new("/out/a"));
            assert_eq!(error.kind, expected);
            assert!(error.what.contains(hint) && error.what.contains("/out/a"), "{}", error.what);
        }
    }
}
