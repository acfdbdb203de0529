//! How long calls of the coordination store and the object store take, and how they end.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use packshot_pipeline::change::{Change, Progress, Slot};
use packshot_pipeline::ids::{BatchId, Sku};
use packshot_pipeline::pool::Pool;
use packshot_pipeline::state::{Incarnation, SkuState};
use packshot_pipeline::tally::Tally;
use packshot_runtime::port::{
    BatchControl, Commit, Coordinator, CoordinatorError, CoordinatorFault, Created, Depth, ObjectInfo,
    Objects, ObjectsError, ObjectsFault, Put, Version, Versioned,
};
use packshot_service::names::{self, Metric};

use super::On;

/// A port that is looked at.
pub(super) struct Watched<T: ?Sized> {
    pub(super) inner: Arc<T>,
    pub(super) on: Arc<On>,
}

/// An error that has a word for its kind.
trait Kind {
    fn kind(&self) -> &'static str;
}

impl Kind for CoordinatorError {
    fn kind(&self) -> &'static str {
        match self.kind {
            CoordinatorFault::Unavailable => "unavailable",
            CoordinatorFault::Refused => "refused",
            CoordinatorFault::Full => "full",
            CoordinatorFault::Unreadable => "unreadable",
        }
    }
}

impl Kind for ObjectsError {
    fn kind(&self) -> &'static str {
        match self.kind {
            ObjectsFault::Unavailable => "unavailable",
            ObjectsFault::Denied => "denied",
            ObjectsFault::Full => "full",
            ObjectsFault::TooLarge => "too-large",
            ObjectsFault::BadKey => "bad-key",
            ObjectsFault::Broken => "broken",
        }
    }
}

impl<T: ?Sized> Watched<T> {
    async fn timed<V, E: Kind>(
        &self,
        metric: &Metric,
        operation: &'static str,
        call: impl Future<Output = Result<V, E>>,
    ) -> Result<V, E> {
        let began = Instant::now();
        let answer = call.await;
        let took = began.elapsed().as_secs_f64();
        let operation = (names::OPERATION, operation);
        match &answer {
            Ok(_) => self.on.record(metric, took, &[operation]),
            Err(error) => self.on.record(metric, took, &[operation, (names::ERROR_TYPE, error.kind())]),
        }
        answer
    }
}

impl Watched<dyn Coordinator> {
    async fn call<V>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<V, CoordinatorError>>,
    ) -> Result<V, CoordinatorError> {
        self.timed(&names::COORDINATOR_DURATION, operation, call).await
    }
}

#[async_trait]
impl Coordinator for Watched<dyn Coordinator> {
    async fn incarnation(&self) -> Result<Incarnation, CoordinatorError> {
        self.call("incarnation", self.inner.incarnation()).await
    }

    async fn control(&self, control: &BatchControl) -> Result<(), CoordinatorError> {
        self.call("control", self.inner.control(control)).await
    }

    async fn batches(&self) -> Result<Vec<BatchControl>, CoordinatorError> {
        self.call("batches", self.inner.batches()).await
    }

    async fn forget(&self, batch: &BatchId) -> Result<(), CoordinatorError> {
        self.call("forget", self.inner.forget(batch)).await
    }

    async fn create(&self, state: &SkuState, change: &Change) -> Result<Created, CoordinatorError> {
        let created = self.call("create", self.inner.create(state, change)).await?;
        if created == Created::Yes {
            for (role, _) in state.jobs.iter().filter(|(_, job)| job.cached) {
                self.on.count(&names::CACHE_HITS, 1, &[(names::ROLE, role.word())]);
            }
        }
        Ok(created)
    }

    async fn load(&self, batch: &BatchId, sku: &Sku) -> Result<Option<Versioned>, CoordinatorError> {
        self.call("load", self.inner.load(batch, sku)).await
    }

    async fn commit(
        &self,
        expected: Version,
        state: &SkuState,
        change: &Change,
    ) -> Result<Commit, CoordinatorError> {
        let commit = self.call("commit", self.inner.commit(expected, state, change)).await?;
        if matches!(commit, Commit::Conflict { .. }) {
            self.on.count(&names::CONFLICTS, 1, &[]);
        }
        Ok(commit)
    }

    async fn skus(
        &self,
        batch: &BatchId,
        after: Option<&Sku>,
        limit: usize,
    ) -> Result<Vec<Sku>, CoordinatorError> {
        self.call("skus", self.inner.skus(batch, after, limit)).await
    }

    async fn ready(
        &self,
        batch: &BatchId,
        pool: Pool,
        now_ms: u64,
        limit: usize,
    ) -> Result<Vec<Slot>, CoordinatorError> {
        self.call("ready", self.inner.ready(batch, pool, now_ms, limit)).await
    }

    async fn mark_dispatched(
        &self,
        batch: &BatchId,
        pool: Pool,
        slots: &[Slot],
        now_ms: u64,
    ) -> Result<(), CoordinatorError> {
        self.call("mark-dispatched", self.inner.mark_dispatched(batch, pool, slots, now_ms)).await
    }

    async fn mark_ready(
        &self,
        batch: &BatchId,
        pool: Pool,
        slots: &[Slot],
        now_ms: u64,
    ) -> Result<(), CoordinatorError> {
        self.call("mark-ready", self.inner.mark_ready(batch, pool, slots, now_ms)).await
    }

    async fn silent(
        &self,
        batch: &BatchId,
        pool: Pool,
        before_ms: u64,
        limit: usize,
    ) -> Result<Vec<Slot>, CoordinatorError> {
        self.call("silent", self.inner.silent(batch, pool, before_ms, limit)).await
    }

    async fn expired(
        &self,
        batch: &BatchId,
        now_ms: u64,
        limit: usize,
    ) -> Result<Vec<Slot>, CoordinatorError> {
        self.call("expired", self.inner.expired(batch, now_ms, limit)).await
    }

    async fn depth(&self, batch: &BatchId, pool: Pool) -> Result<Depth, CoordinatorError> {
        self.call("depth", self.inner.depth(batch, pool)).await
    }

    async fn tally(&self, batch: &BatchId) -> Result<Tally, CoordinatorError> {
        self.call("tally", self.inner.tally(batch)).await
    }

    async fn news(
        &self,
        batch: &BatchId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Progress)>, CoordinatorError> {
        self.call("news", self.inner.news(batch, after, limit)).await
    }

    async fn changed(&self, seen: u64) -> u64 {
        // A wait, not a call.
        self.inner.changed(seen).await
    }
}

impl Watched<dyn Objects> {
    async fn call<V>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<V, ObjectsError>>,
    ) -> Result<V, ObjectsError> {
        self.timed(&names::OBJECTS_DURATION, operation, call).await
    }
}

#[async_trait]
impl Objects for Watched<dyn Objects> {
    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), ObjectsError> {
        self.call("put", self.inner.put(key, bytes)).await
    }

    async fn put_if_absent(&self, key: &str, bytes: Bytes) -> Result<Put, ObjectsError> {
        self.call("put-if-absent", self.inner.put_if_absent(key, bytes)).await
    }

    async fn get(&self, key: &str, bytes_max: u64) -> Result<Option<Bytes>, ObjectsError> {
        self.call("get", self.inner.get(key, bytes_max)).await
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectInfo>, ObjectsError> {
        self.call("head", self.inner.head(key)).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, ObjectsError> {
        self.call("list", self.inner.list(prefix, after, limit)).await
    }

    async fn url(&self, key: &str, valid_ms: u64) -> Result<Option<String>, ObjectsError> {
        self.call("url", self.inner.url(key, valid_ms)).await
    }
}
