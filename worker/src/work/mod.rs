//! What the runtime calls for every claimed job: one image, or one set.
//!
//! Each job is one straight line: read what it needs from the object store, do the pixel
//! work on the processor pool, put the blobs, and answer with a result to be committed.

mod image;
mod inspection;
mod set;
mod store;

use std::sync::Arc;

use async_trait::async_trait;
use packshot_imaging::decode::DecodeLimits;
use packshot_pipeline::manifest::Settings;
use packshot_pipeline::state::Target;
use packshot_runtime::causes::chain;
use packshot_runtime::port::{ObjectsError, ObjectsFault};
use packshot_runtime::work::{ClaimedJob, Outcome, Work};
use tokio::sync::Semaphore;

use crate::matting::MattingModel;
use crate::subject::PreparedCache;

pub use inspection::{INSPECTION_VERSION, inspection_key};
pub use set::{CODE_SHARED_NAME, SET_DOCUMENT};
pub use store::thumbnail_key;

/// Version of making and assembling as a whole; a new one makes everything again.
pub const VERSION: &str = "2";

/// Name of the setting that says what follows when catalog and photo disagree: `warn`
/// (the default) or `hold`.
pub const OPTION_CONTRADICTION: &str = "contradiction";

/// Name of the setting that says which matting model a batch is made with: its
/// [`MattingModel::fingerprint`]; absent: with none.
pub const OPTION_MATTING: &str = "matting";

/// After which time another worker is given the chance to have the batch's model.
const OTHER_MODEL_RETRY_MS: u64 = 10_000;

/// How much of the machine a [`Workshop`] uses.
#[derive(Clone, Copy, Debug)]
pub struct WorkshopLimits {
    /// Pixel jobs at the same time, at least 1.
    pub jobs: usize,
    /// Decoded references kept, in bytes.
    pub cache_bytes_max: u64,
    /// What a reference may be at most.
    pub decode: DecodeLimits,
}

/// Makes, reviews, edits and assembles on this machine, with the built-in studio.
#[derive(Debug)]
pub struct Workshop {
    cache: PreparedCache,
    decode: DecodeLimits,
    model: Option<Arc<MattingModel>>,
    processors: Arc<Semaphore>,
}

impl Workshop {
    /// A workshop with an empty cache, and the model that it can ask, if it has one.
    pub fn new(limits: WorkshopLimits, model: Option<Arc<MattingModel>>) -> Self {
        Self {
            cache: PreparedCache::new(limits.cache_bytes_max),
            decode: limits.decode,
            model,
            processors: Arc::new(Semaphore::new(limits.jobs.max(1))),
        }
    }

    /// The workshop's own model.
    pub fn model(&self) -> Option<&Arc<MattingModel>> {
        self.model.as_ref()
    }

    /// The model with which a batch is made. A batch of another time is made as it was
    /// submitted, whatever model the workshop has by now.
    ///
    /// # Errors
    /// [`Fault::OtherModel`] when the batch wants one that is not here.
    pub fn model_of(&self, batch: &Settings) -> Result<Option<&Arc<MattingModel>>, Fault> {
        let Some(wanted) = batch.options.get(OPTION_MATTING) else { return Ok(None) };
        match &self.model {
            Some(model) if model.fingerprint().to_hex() == *wanted => Ok(Some(model)),
            Some(_) | None => Err(Fault::OtherModel),
        }
    }

    /// Runs `pixels` on the blocking pool as soon as one of the `jobs` places is free.
    async fn on_processor<T: Send + 'static>(
        &self,
        pixels: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let place = self.processors.clone().acquire_owned().await.map_err(|_| Fault::Interrupted)?;
        let span = tracing::Span::current();
        let done = tokio::task::spawn_blocking(move || {
            let done = span.in_scope(pixels);
            drop(place);
            done
        });
        done.await.map_err(|error| Fault::Broken(format!("pixel work stopped: {error}")))
    }
}

#[async_trait]
impl Work for Workshop {
    async fn work(&self, job: &ClaimedJob) -> Outcome {
        let work = async {
            match job.target() {
                Target::Role(role) => self.image(job, role).await,
                Target::Set => self.set(job).await,
            }
        };
        let done = tokio::select! {
            done = work => done,
            () = job.stop.cancelled() => Err(Fault::Interrupted),
        };
        done.unwrap_or_else(Fault::into_outcome)
    }
}

/// Why a job could not be finished now.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The object store failed.
    #[error(transparent)]
    Objects(#[from] ObjectsError),
    /// Something that a retry does not mend.
    #[error("{0}")]
    Broken(String),
    /// The batch was submitted with a matting model that is not here.
    #[error(
        "the batch was submitted with a matting model or settings of it that this worker does not have; give it the same `matting` settings and file"
    )]
    OtherModel,
    /// The process is stopping.
    #[error("interrupted")]
    Interrupted,
}

impl Fault {
    fn into_outcome(self) -> Outcome {
        match self {
            Fault::Interrupted => Outcome::Interrupted,
            Fault::Broken(why) => Outcome::Failed { why },
            Fault::OtherModel => Outcome::Transient {
                why: Fault::OtherModel.to_string(),
                retry_after_ms: Some(OTHER_MODEL_RETRY_MS),
            },
            Fault::Objects(error) => {
                let why = chain(&error);
                match error.kind {
                    ObjectsFault::Unavailable | ObjectsFault::Full => {
                        Outcome::Transient { why, retry_after_ms: error.retry_after_ms }
                    }
                    ObjectsFault::Denied
                    | ObjectsFault::TooLarge
                    | ObjectsFault::BadKey
                    | ObjectsFault::Broken => Outcome::Failed { why },
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
