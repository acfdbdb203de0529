//! A bound on memory around any work: while the process uses more than it may, no further
//! job begins. What has begun goes on, and one job is always let through, so the bound
//! slows a worker down and never stops it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use packshot_runtime::work::{ClaimedJob, Outcome, Work};
use tokio::sync::{Mutex, Notify};

/// The wait between two looks at the memory.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How many bytes the process uses.
pub type Used = fn() -> u64;

/// Work that begins only while there is memory.
pub struct Bounded {
    inner: Arc<dyn Work>,
    bytes_max: u64,
    used: Used,
    running: AtomicUsize,
    /// Only one waits at the door, so that two do not take the same room.
    door: Mutex<()>,
    ended: Notify,
}

impl Bounded {
    /// `inner`, bound to `bytes_max` bytes of the whole process.
    pub fn new(inner: Arc<dyn Work>, bytes_max: u64, used: Used) -> Self {
        let (running, door, ended) = (AtomicUsize::new(0), Mutex::new(()), Notify::new());
        Self { inner, bytes_max, used, running, door, ended }
    }

    /// Waits for memory; `false` when the job was told to leave before.
    async fn admitted(&self, job: &ClaimedJob) -> bool {
        let waiting = async {
            let _first = self.door.lock().await;
            loop {
                let ended = self.ended.notified();
                if self.running.load(Ordering::SeqCst) == 0 || (self.used)() < self.bytes_max {
                    self.running.fetch_add(1, Ordering::SeqCst);
                    return;
                }
                tokio::select! {
                    () = ended => {}
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                }
            }
        };
        tokio::select! {
            biased;
            () = job.stop.cancelled() => false,
            () = waiting => true,
        }
    }
}

/// Counts a job as ended however it ends.
struct Running<'a>(&'a Bounded);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
        self.0.ended.notify_one();
    }
}

#[async_trait]
impl Work for Bounded {
    async fn work(&self, job: &ClaimedJob) -> Outcome {
        if !self.admitted(job).await {
            return Outcome::Interrupted;
        }
        let _running = Running(self);
        self.inner.work(job).await
    }
}

/// What the process keeps in memory (its resident set), in bytes; 0 where the system does not
/// say.
pub fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use packshot_pipeline::ids::Digest;
    use packshot_pipeline::policy::Policy;
    use packshot_pipeline::role::Role;
    use packshot_pipeline::state::{Attempt, Holder, Incarnation, SkuState, Target};
    use packshot_runtime::clock::MonotonicClock;
    use packshot_runtime::conformance::sample;
    use packshot_runtime::memory::{MemoryCoordinator, MemoryObjects};
    use packshot_runtime::work::Hold;
    use tokio_util::sync::CancellationToken;

    use super::*;

    fn job() -> ClaimedJob {
        let (batch, entry) = (sample::batch("b", Policy::STANDARD), sample::entry("s", &[Role::Main]));
        let state = SkuState::new(&batch.batch, &entry, Incarnation(1), &Policy::STANDARD);
        let attempt =
            Attempt { incarnation: Incarnation(1), target: Target::Set, number: 1, holder: Holder(1) };
        ClaimedJob {
            batch: Arc::new(batch),
            entry: Arc::new(entry),
            hold: Hold::new(
                Arc::new(MemoryCoordinator::new(Incarnation(1))),
                Arc::new(MonotonicClock::new()),
            ),
            state,
            attempt,
            results: std::collections::BTreeMap::new(),
            decisions: std::collections::BTreeMap::new(),
            candidates: Vec::new(),
            stop: CancellationToken::new(),
            objects: Arc::new(MemoryObjects::new(1 << 20)),
        }
    }

    /// Work that ends when it is let, and counts how many are at it.
    struct Held {
        at_it: AtomicUsize,
        let_go: tokio::sync::Semaphore,
    }

    #[async_trait]
    impl Work for Held {
        async fn work(&self, _job: &ClaimedJob) -> Outcome {
            self.at_it.fetch_add(1, Ordering::SeqCst);
            self.let_go.acquire().await.unwrap().forget();
            self.at_it.fetch_sub(1, Ordering::SeqCst);
            Outcome::Failed { why: Digest::of(b"done").to_string() }
        }
    }

    #[tokio::test]
    async fn one_at_a_time_while_memory_is_short() {
        let held = Arc::new(Held { at_it: AtomicUsize::new(0), let_go: tokio::sync::Semaphore::new(0) });
        let bounded = Arc::new(Bounded::new(held.clone(), 100, || 200));
        let start = || {
            let bounded = Arc::clone(&bounded);
            let job = job();
            (job.stop.clone(), tokio::spawn(async move { bounded.work(&job).await }))
        };
        let (_, first) = start();
        tokio::time::sleep(Duration::from_millis(250)).await;
        let (_, second) = start();
        let (stop, third) = start();
        tokio::time::sleep(Duration::from_millis(400)).await;
        assert_eq!(held.at_it.load(Ordering::SeqCst), 1, "memory is short");
        stop.cancel();
        assert_eq!(third.await.unwrap(), Outcome::Interrupted, "waiting can be interrupted");
        held.let_go.add_permits(1);
        first.await.unwrap();
        tokio::time::sleep(Duration::from_millis(250)).await;
        assert_eq!(held.at_it.load(Ordering::SeqCst), 1, "the next one is let through");
        held.let_go.add_permits(1);
        second.await.unwrap();
    }

    #[tokio::test]
    async fn nobody_waits_while_there_is_memory() {
        let held = Arc::new(Held { at_it: AtomicUsize::new(0), let_go: tokio::sync::Semaphore::new(9) });
        let bounded = Bounded::new(held, 100, || 99);
        let (one, two) = (job(), job());
        let both = async { tokio::join!(bounded.work(&one), bounded.work(&two)) };
        tokio::time::timeout(Duration::from_secs(20), both).await.unwrap();
    }

    #[test]
    fn the_system_says_what_the_process_uses() {
        let before = resident_bytes();
        assert!(before > 1 << 20, "{before}");
    }
}
