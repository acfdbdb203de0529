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
