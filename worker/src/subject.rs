//! A SKU's references as decoded pixels and a cut-out, kept for the SKU's next job.
//!
//! Decoding and cutting out cost more than most roles, and a SKU's jobs follow each other,
//! so the last few references stay in memory, bounded by bytes.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use lru::LruCache;
use packshot_imaging::cutout::{CutoutError, CutoutOptions, Segmenter, cut_out_asking};
use packshot_imaging::decode::{DecodeError, DecodeLimits, decode};
use packshot_imaging::photo::{Cutout, Photo};
use packshot_pipeline::ids::Digest;
use tokio::sync::OnceCell;

/// A reference, decoded and cut out.
#[derive(Debug)]
pub struct Prepared {
    /// Upright sRGB pixels.
    pub photo: Photo,
    /// The product separated from its background; the reason when that failed.
    pub cutout: Result<Cutout, CutoutError>,
}

impl Prepared {
    /// Decodes and cuts out, with a third opinion where there is one, on the calling thread.
    ///
    /// # Errors
    /// When the bytes are not a readable image within `limits`.
    pub fn new(
        bytes: &[u8],
        limits: &DecodeLimits,
        third: Option<&dyn Segmenter>,
    ) -> Result<Self, DecodeError> {
        let photo = decode(bytes, limits)?;
        let cutout = cut_out_asking(&photo, &CutoutOptions::DEFAULT, third);
        Ok(Self { photo, cutout })
    }

    /// Memory held, in bytes: 3 for the photo's colour and 1 for its alpha, and as much
    /// again plus 1 for the shadow in the cut-out.
    fn size_bytes(&self) -> u64 {
        let pixels = u64::from(self.photo.rgb.width()) * u64::from(self.photo.rgb.height());
        pixels * if self.cutout.is_ok() { 9 } else { 4 }
    }
}

type Slot = Arc<OnceCell<Arc<Prepared>>>;

/// What a prepared reference is known by: its digest, and that of the model which was asked.
pub type PreparedKey = (Digest, Option<Digest>);

/// Prepared references, least recently used first out.
#[derive(Debug)]
pub struct PreparedCache {
    bytes_max: u64,
    slots: Mutex<LruCache<PreparedKey, Slot>>,
}

impl PreparedCache {
    /// A cache of at most `bytes_max` bytes, not counting references still in use.
    pub fn new(bytes_max: u64) -> Self {
        // The count is a second fence for tiny pictures; the bytes are the real limit.
        let count_max = NonZeroUsize::new(256).unwrap_or(NonZeroUsize::MIN);
        Self { bytes_max, slots: Mutex::new(LruCache::new(count_max)) }
    }

    /// The prepared reference `key`, made by `make` unless it is here; two callers who ask at
    /// the same time wait for one making.
    ///
    /// # Errors
    /// Whatever `make` returns; an error is not remembered.
    pub async fn get<E, F>(&self, key: PreparedKey, make: impl FnOnce() -> F) -> Result<Arc<Prepared>, E>
    where
        F: Future<Output = Result<Prepared, E>>,
    {
        let slot = self.lock().get_or_insert(key, Slot::default).clone();
        let prepared = slot.get_or_try_init(|| async { make().await.map(Arc::new) }).await?.clone();
        self.shrink();
        Ok(prepared)
    }

    fn shrink(&self) {
        let mut slots = self.lock();
        let held = |slots: &LruCache<PreparedKey, Slot>| -> u64 {
            slots.iter().filter_map(|(_, slot)| slot.get()).map(|prepared| prepared.size_bytes()).sum()
        };
        while slots.len() > 1 && held(&slots) > self.bytes_max {
            slots.pop_lru();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, LruCache<PreparedKey, Slot>> {
        // The map is consistent between any two calls, so a panic elsewhere does not spoil it.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
