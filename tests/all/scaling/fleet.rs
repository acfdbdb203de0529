//! The replica set and the kubelet of the simulation: real worker processes, SIGTERM, the
//! grace period, SIGKILL.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::cluster::{Cluster, Process};

/// The scripted workers' log of steps.
pub(super) const STEPS: &str = "steps";

/// One worker.
struct Pod {
    process: Process,
    /// When it is killed, once it was told to stop.
    killed_at: Option<Instant>,
}

/// All workers of the pool.
pub(super) struct Fleet {
    pods: Vec<Pod>,
    grace: Duration,
    /// The most that there were at a time, those that stop not counted.
    pub(super) peak: usize,
    /// Told to stop while they worked at something.
    pub(super) stopped_at_work: usize,
    /// How those that were told to stop ended: exit code, `None` = killed.
    pub(super) ended: Vec<Option<i32>>,
}

impl Fleet {
    pub(super) fn new(grace: Duration) -> Self {
        Self { pods: Vec::new(), grace, peak: 0, stopped_at_work: 0, ended: Vec::new() }
    }

    fn replicas(&self) -> usize {
        self.pods.iter().filter(|pod| pod.killed_at.is_none()).count()
    }

    /// Whether no process is left.
    pub(super) fn is_gone(&self) -> bool {
        self.pods.is_empty()
    }

    /// Starts and stops until there are so many.
    pub(super) fn scale(&mut self, cluster: &Cluster, replicas: usize) {
        while self.replicas() < replicas {
            self.pods.push(Pod { process: cluster.scripted_worker(), killed_at: None });
        }
        self.peak = self.peak.max(replicas);
        let surplus = self.replicas().saturating_sub(replicas);
        if surplus == 0 {
            return;
        }
        // The controller does not know who is busy, so the worst is assumed: the busiest go.
        let busy = at_work(cluster);
        let of = |pod: &Pod| busy.get(&pod.process.id()).copied().unwrap_or(0);
        self.pods.sort_by_key(|pod| std::cmp::Reverse(of(pod)));
        let kept = self.pods.iter_mut().filter(|pod| pod.killed_at.is_none());
        for pod in kept.take(surplus) {
            self.stopped_at_work += usize::from(of(pod) > 0);
            pod.process.signal("TERM");
            pod.killed_at = Some(Instant::now() + self.grace);
        }
    }

    /// Takes away those that have ended, and kills those whose grace is over.
    pub(super) fn tick(&mut self) {
        let mut left = Vec::new();
        for mut pod in std::mem::take(&mut self.pods) {
            let Some(killed_at) = pod.killed_at else {
                assert_eq!(pod.process.ended(), None, "a worker ended by itself: {}", pod.process.log());
                left.push(pod);
                continue;
            };
            if let Some(status) = pod.process.ended() {
                self.ended.push(status.code());
            } else if Instant::now() >= killed_at {
                pod.process.kill();
                self.ended.push(None);
            } else {
                left.push(pod);
            }
        }
        self.pods = left;
    }
}

/// How many jobs each process is at, by its own words.
fn at_work(cluster: &Cluster) -> BTreeMap<u32, i64> {
    let mut busy = BTreeMap::new();
    for (point, by) in [("claimed", 1), ("blob", -1), ("interrupted", -1)] {
        for line in cluster.reached(STEPS, point) {
            let pid = line.rsplit(' ').next().and_then(|pid| pid.parse().ok()).unwrap();
            *busy.entry(pid).or_insert(0) += by;
        }
    }
    busy
}
