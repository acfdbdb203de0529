//! Objects in a folder. A put is one file, synced, then moved into place by one atomic
//! step: a rename, or a hard link where it must not replace anything.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};

use crate::arrive::{Arrived, Begun};
use crate::names::{file_of, folder_name, segment_of};
use crate::record::{About, read_about, write_about};

/// Where everything lies.
pub(crate) struct Store {
    root: PathBuf,
    /// Whether a put waits until the disk has it.
    sync: bool,
    written: AtomicU64,
    /// Held as long as this server uses the folder.
    _lock: File,
}

/// One object of a listing.
pub(crate) struct Listed {
    pub(crate) key: String,
    pub(crate) about: About,
    pub(crate) modified: SystemTime,
}

/// An object that is there.
pub(crate) struct Opened {
    pub(crate) file: File,
    pub(crate) about: About,
    pub(crate) modified: SystemTime,
}

/// What became of a put.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Placed {
    Done,
    Exists,
}

impl Store {
    /// Opens the folder; no other server may use it.
    pub(crate) fn open(root: &Path, sync: bool) -> io::Result<Arc<Self>> {
        fs::create_dir_all(root.join("buckets"))?;
        fs::create_dir_all(root.join("uploads"))?;
        let lock = File::create(root.join("lock"))?;
        lock.try_lock().map_err(|_| io::Error::other("another server uses this folder"))?;
        // What a killed server was writing.
        let _ = fs::remove_dir_all(root.join("writing"));
        fs::create_dir_all(root.join("writing"))?;
        Ok(Arc::new(Self { root: root.to_owned(), sync, written: AtomicU64::new(0), _lock: lock }))
    }

    /// A name that nobody else writes to.
    pub(crate) fn temporary(&self) -> PathBuf {
        self.root.join("writing").join(self.written.fetch_add(1, Ordering::Relaxed).to_string())
    }

    /// A name for an upload, also different after a restart.
    pub(crate) fn upload_name(&self) -> String {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
        format!("{now:x}-{:x}", self.written.fetch_add(1, Ordering::Relaxed))
    }

    /// The folder of an upload; `None` for a name that is none of ours.
    pub(crate) fn upload(&self, name: &str) -> Option<PathBuf> {
        let fine = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        fine.then(|| self.root.join("uploads").join(name))
    }

    fn bucket_path(&self, bucket: &str) -> PathBuf {
        self.root.join("buckets").join(folder_name(bucket))
    }

    pub(crate) fn create_bucket(&self, bucket: &str) -> io::Result<bool> {
        match fs::create_dir(self.bucket_path(bucket)) {
            Ok(()) => self.sync_folder(&self.root.join("buckets")).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The bucket's folder, or the error that a client gets.
    pub(crate) fn bucket(&self, bucket: &str) -> S3Result<PathBuf> {
        let path = self.bucket_path(bucket);
        if path.is_dir() { Ok(path) } else { Err(s3_error!(NoSuchBucket)) }
    }

    pub(crate) fn buckets(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.root.join("buckets"))? {
            let name = entry?.file_name();
            names.extend(name.to_str().and_then(segment_of).map(|(bucket, _)| bucket));
        }
        names.sort();
        Ok(names)
    }

    /// The path of an object, there or not.
    pub(crate) fn object(&self, bucket: &str, key: &str) -> S3Result<PathBuf> {
        let bucket = self.bucket(bucket)?;
        let file = file_of(key).ok_or_else(|| s3_error!(KeyTooLongError))?;
        Ok(bucket.join(file))
    }

    /// Completes what has arrived and moves it to `target`.
    pub(crate) fn place(
        &self,
        arrived: Arrived,
        about: &About,
        target: &Path,
        absent: bool,
    ) -> io::Result<Placed> {
        let mut begun = match arrived.begun {
            Some(begun) => begun,
            None => self.begin()?,
        };
        begun.file.write_all(&arrived.tail)?;
        self.end(begun, about, target, absent)
    }

    pub(crate) fn begin(&self) -> io::Result<Begun> {
        let path = self.temporary();
        Ok(Begun { file: File::create_new(&path)?, path })
    }

    /// Writes the end of the file, makes it durable, and moves it to `target`.
    pub(crate) fn end(
        &self,
        mut begun: Begun,
        about: &About,
        target: &Path,
        absent: bool,
    ) -> io::Result<Placed> {
        write_about(&mut begun.file, about)?;
        if self.sync {
            begun.file.sync_data()?;
        }
        let parent = target.parent().unwrap_or(&self.root);
        self.make_folders(parent)?;
        if absent {
            match fs::hard_link(&begun.path, target) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(Placed::Exists),
                Err(error) => return Err(error),
            }
        } else {
            fs::rename(&begun.path, target)?;
        }
        self.sync_folder(parent)?;
        Ok(Placed::Done)
    }

    /// Makes a folder and those above it, each durable before the next is used.
    fn make_folders(&self, folder: &Path) -> io::Result<()> {
        if folder.is_dir() {
            return Ok(());
        }
        let above = folder.parent().unwrap_or(&self.root);
        self.make_folders(above)?;
        match fs::create_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            Ok(()) | Err(_) => self.sync_folder(above),
        }
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        if self.sync { File::open(folder)?.sync_all() } else { Ok(()) }
    }

    /// Keys of `bucket` that begin with `prefix` and come after `after`, in byte order, at
    /// most `limit`.
    pub(crate) fn list(bucket: &Path, prefix: &str, after: &str, limit: usize) -> io::Result<Vec<String>> {
        let mut keys = Vec::new();
        list(bucket, "", &Wanted { prefix, after, limit }, &mut keys)?;
        Ok(keys)
    }
}

struct Wanted<'w> {
    prefix: &'w str,
    after: &'w str,
    limit: usize,
}

fn list(folder: &Path, above: &str, wanted: &Wanted<'_>, keys: &mut Vec<String>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let Some((segment, is_folder)) = name.to_str().and_then(segment_of) else { continue };
        let key = if is_folder { format!("{above}{segment}/") } else { format!("{above}{segment}") };
        let fits = key.starts_with(wanted.prefix) || (is_folder && wanted.prefix.starts_with(&key));
        // A folder is behind when even its last key would be.
        let behind = key.as_str() <= wanted.after && !(is_folder && wanted.after.starts_with(&key));
        if fits && !behind {
            names.push((key, is_folder, name));
        }
    }
    names.sort();
    for (key, is_folder, name) in names {
        if keys.len() >= wanted.limit {
            break;
        }
        if is_folder {
            list(&folder.join(name), &key, wanted, keys)?;
        } else {
            keys.push(key);
        }
    }
    Ok(())
}

/// Opens an object; `None` when there is none.
pub(crate) fn open(path: &Path) -> io::Result<Option<Opened>> {
    let mut file = match File::open(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        opened => opened?,
    };
    let modified = file.metadata()?.modified()?;
    let about = read_about(&mut file)?;
    Ok(Some(Opened { file, about, modified }))
}

/// Runs what waits for the disk away from the requests.
pub(crate) async fn blocking<T: Send + 'static>(
    act: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> S3Result<T> {
    match tokio::task::spawn_blocking(act).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) if error.kind() == io::ErrorKind::StorageFull => {
            let mut full =
                S3Error::with_message(S3ErrorCode::Custom("StorageFull".into()), "the disk is full");
            full.set_status_code(hyper::StatusCode::INSUFFICIENT_STORAGE);
            Err(full)
        }
        Ok(Err(error)) => Err(S3Error::internal_error(error)),
        Err(error) => Err(S3Error::internal_error(error)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn put(store: &Store, path: &Path, bytes: &[u8], absent: bool) -> Placed {
        let mut begun = store.begin().unwrap();
        begun.file.write_all(bytes).unwrap();
        let about = About { size_bytes: bytes.len() as u64, ..About::default() };
        store.end(begun, &about, path, absent).unwrap()
    }

    #[test]
    fn a_put_is_whole_and_can_be_conditional() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path(), true).unwrap();
        assert!(Store::open(root.path(), true).is_err(), "two servers on one folder");
        assert!(store.create_bucket("b").unwrap() && !store.create_bucket("b").unwrap());
        let path = store.object("b", "x/y").unwrap();
        assert!(open(&path).unwrap().is_none());
        assert_eq!(put(&store, &path, b"one", true), Placed::Done);
        assert_eq!(put(&store, &path, b"two", true), Placed::Exists);
        assert_eq!(open(&path).unwrap().unwrap().about.size_bytes, 3);
        assert_eq!(put(&store, &path, b"three", false), Placed::Done);
        assert_eq!(open(&path).unwrap().unwrap().about.size_bytes, 5);
        assert_eq!(fs::read_dir(root.path().join("writing")).unwrap().count(), 0, "nothing is left over");
        assert!(store.object("c", "x").is_err());
    }

    #[test]
    fn keys_are_listed_in_byte_order() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path(), false).unwrap();
        store.create_bucket("b").unwrap();
        let mut keys = ["a", "a-b", "a/b", "a/c/d", "a0", "b/", "b/x"].map(str::to_owned);
        for key in &keys {
            put(&store, &store.object("b", key).unwrap(), b"", false);
        }
        keys.sort_unstable();
        let bucket = store.bucket("b").unwrap();
        assert_eq!(Store::list(&bucket, "", "", 100).unwrap(), keys);
        assert_eq!(Store::list(&bucket, "a/", "", 100).unwrap(), ["a/b", "a/c/d"]);
        assert_eq!(Store::list(&bucket, "a", "a/b", 2).unwrap(), ["a/c/d", "a0"]);
        for (index, key) in keys.iter().enumerate() {
            assert_eq!(Store::list(&bucket, "", key, 100).unwrap(), keys[index + 1..], "after {key}");
        }
    }
}
