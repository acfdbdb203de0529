//! An object store in memory, bounded by bytes.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;

use super::lock;
use crate::port::{ObjectInfo, Objects, ObjectsError, ObjectsFault, Put, check_key};

/// Objects in memory.
#[derive(Debug)]
pub struct MemoryObjects {
    bytes_max: u64,
    room: Mutex<Room>,
}

#[derive(Debug, Default)]
struct Room {
    bytes: u64,
    objects: BTreeMap<String, Bytes>,
}

fn error(kind: ObjectsFault, what: String) -> ObjectsError {
    ObjectsError { kind, what, source: None, retry_after_ms: None }
}

fn checked(key: &str) -> Result<(), ObjectsError> {
    check_key(key).map_err(|bad| error(ObjectsFault::BadKey, bad.to_string()))
}

impl MemoryObjects {
    /// An empty store that holds at most `bytes_max` bytes.
    pub fn new(bytes_max: u64) -> Self {
        Self { bytes_max, room: Mutex::default() }
    }

    fn store(&self, room: &mut Room, key: &str, bytes: Bytes) -> Result<(), ObjectsError> {
        let old = room.objects.get(key).map_or(0, |old| old.len() as u64);
        let total = room.bytes - old + bytes.len() as u64;
        if total > self.bytes_max {
            let what =
                format!("no room for {key}: {total} bytes of at most {} would be held", self.bytes_max);
            return Err(error(ObjectsFault::Full, what));
        }
        room.bytes = total;
        room.objects.insert(key.to_owned(), bytes);
        Ok(())
    }
}

#[async_trait]
impl Objects for MemoryObjects {
    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), ObjectsError> {
        checked(key)?;
        self.store(&mut lock(&self.room), key, bytes)
    }

    async fn put_if_absent(&self, key: &str, bytes: Bytes) -> Result<Put, ObjectsError> {
        checked(key)?;
        let mut room = lock(&self.room);
        if room.objects.contains_key(key) {
            return Ok(Put::Exists);
        }
        self.store(&mut room, key, bytes)?;
        Ok(Put::Stored)
    }

    async fn get(&self, key: &str, bytes_max: u64) -> Result<Option<Bytes>, ObjectsError> {
        checked(key)?;
        let found = lock(&self.room).objects.get(key).cloned();
        match found {
            Some(bytes) if bytes.len() as u64 > bytes_max => {
                let what = format!("{key} has {} bytes, at most {bytes_max} are read", bytes.len());
                Err(error(ObjectsFault::TooLarge, what))
            }
            found => Ok(found),
        }
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectInfo>, ObjectsError> {
        checked(key)?;
        Ok(lock(&self.room).objects.get(key).map(|bytes| ObjectInfo { size_bytes: bytes.len() as u64 }))
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, ObjectsError> {
        checked(prefix.trim_end_matches('/'))?;
        let from = after.filter(|after| *after >= prefix).map_or(Bound::Included(prefix), Bound::Excluded);
        let room = lock(&self.room);
        let keys = room.objects.range::<str, _>((from, Bound::Unbounded)).map(|(key, _)| key);
        Ok(keys.take_while(|key| key.starts_with(prefix)).take(limit).cloned().collect())
    }

    async fn url(&self, key: &str, _valid_ms: u64) -> Result<Option<String>, ObjectsError> {
        checked(key)?;
        Ok(None)
    }
}
