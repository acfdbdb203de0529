//! What the system must survive, with real servers and real processes: after each fault the
//! checker compares everything that is left with everything that should be.

mod calls;
mod chance;
mod check;
mod kills;
mod messages;
mod network;
mod rabbitmq;
mod real;
mod redis;
mod s3;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use packshot_pipeline::ids::BatchId;
use packshot_runtime::port::Coordinator;

use crate::cluster::{Cluster, PATIENCE, Process};
use crate::shop::{Shop, mug};
use calls::Calls;
use check::{Expected, LOG, UNNOTICED, check};

/// What an image costs, in millionths of a dollar.
const COST: &str = "40000";
/// What is made unless a test says otherwise: one image, one that waits for it, and the set.
const ROLES: &str = "main,detail";

/// Whether the tests that take minutes on a busy machine are wanted: `deploy/test --slow`.
fn slow_is_wanted() -> bool {
    std::env::var_os("PACKSHOT_SLOW").is_some()
}

/// A cluster of scripted work, the processes that run on it, and those that were killed.
struct Scene {
    workers: Vec<Process>,
    schedulers: Vec<Process>,
    cluster: Cluster,
    killed: BTreeSet<u32>,
}

impl Scene {
    /// On the servers of this machine, which are not disturbed.
    fn new() -> Self {
        Self::on(Cluster::new(Shop::new(&[])))
    }

    /// On servers of one's own.
    fn on(mut cluster: Cluster) -> Self {
        for (name, value) in [
            ("POLICY__LEASE_S", "3"),
            ("POLICY__ATTEMPTS_MAX", "1"),
            // Whom a test's many faults hit is chance, and must not end a job.
            ("POLICY__FAULTS_MAX", "100"),
            ("SWEEP__EVERY_MS", "200"),
            ("SWEEP__SILENT_S", "5"),
            ("KEEP__EVERY_MS", "300"),
            ("BUDGET__PRICES_USD", "studio=0.04"),
        ] {
            cluster.set_scheduler(name, value);
        }
        cluster.set_script("COST", COST);
        cluster.set_script("LOG", LOG);
        cluster.set_script("JOB_MS", "40");
        Self { workers: Vec::new(), schedulers: Vec::new(), cluster, killed: BTreeSet::new() }
    }

    fn start_scheduler(&mut self) {
        self.schedulers.push(self.cluster.serve());
    }

    fn start_worker(&mut self) {
        self.workers.push(self.cluster.scripted_worker());
    }

    /// Writes a catalog whose images nobody has made yet; returns the arguments that submit it
    /// under the name `batch`.
    fn catalog(&self, batch: &str, skus: usize, roles: &str) -> Vec<String> {
        let line = |n: usize| mug(&format!("{batch}-{n:04}"), &format!("{batch} {n}"));
        let lines: Vec<String> = (0..skus).map(line).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let name = format!("{batch}.csv");
        self.cluster.shop.write_catalog_as(&name, &lines);
        let arguments = ["submit", name.as_str(), "--batch", batch, "--roles", roles];
        arguments.map(str::to_owned).into()
    }

    fn submit(&self, batch: &str, skus: usize) {
        self.submit_with(batch, skus, ROLES, &[]);
    }

    fn submit_with(&self, batch: &str, skus: usize, roles: &str, more: &[&str]) {
        let arguments = self.catalog(batch, skus, roles);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).chain(more.iter().copied()).collect();
        self.cluster.answer(&arguments, 0);
    }

    /// How often the scripted work of a batch has reached a point.
    fn reached(&self, batch: &str, point: &str) -> usize {
        let about = format!("/{batch}/");
        self.cluster.reached(LOG, point).iter().filter(|line| line.contains(&about)).count()
    }

    /// Waits until `count` images of a batch are stored; workers that died are replaced.
    fn until_made(&mut self, batch: &str, count: usize) {
        let since = Instant::now();
        while self.reached(batch, "blob") < count {
            self.revive();
            assert!(since.elapsed() < PATIENCE, "{batch} stands still");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Replaces workers that died by their own hand.
    fn revive(&mut self) {
        for worker in &mut self.workers {
            if worker.has_ended() {
                *worker = self.cluster.scripted_worker();
            }
        }
    }

    /// `kill -9` of a worker, which is replaced.
    fn kill_worker(&mut self, at: usize) {
        let dead = std::mem::replace(&mut self.workers[at], self.cluster.scripted_worker());
        self.killed.insert(dead.id());
        dead.kill();
    }

    /// Waits until nothing more happens in a batch; workers that died are replaced.
    fn until_at_rest(&mut self, batch: &str) {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let id = BatchId::new(batch).unwrap();
        let since = Instant::now();
        let truth = runtime.block_on(self.cluster.truth());
        let submitted = runtime.block_on(async {
            let store = packshot_runtime::store::Store::new(&*truth.objects, &truth.clock);
            store.submitted(&id).await.unwrap().expect("wholly submitted").skus
        });
        loop {
            let tally = runtime.block_on(truth.coordinator.tally(&id));
            if tally.as_ref().is_ok_and(|tally| tally.settled() >= submitted) {
                return;
            }
            self.revive();
            assert!(since.elapsed() < PATIENCE, "{batch} does not come to rest: {tally:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Lets the workers end, so that what they held is back in the queues.
    fn end_workers(&mut self) {
        for worker in &self.workers {
            worker.signal("TERM");
        }
        for worker in &mut self.workers {
            let ended = worker.wait();
            assert_eq!(ended.code(), Some(0), "a worker did not drain: {}", worker.log());
        }
        self.workers.clear();
    }

    /// Calls of a batch whose answers died with a process.
    fn lost_calls(&self, batch: &str) -> usize {
        let log = std::fs::read_to_string(self.cluster.shop.path(LOG)).unwrap_or_default();
        let dead = calls::died(&log).into_iter().chain(self.killed.iter().copied()).collect();
        Calls::of(&log, &BatchId::new(batch).unwrap()).lost_with(&dead)
    }

    /// Waits for the end of a batch and checks it.
    fn ends_well(&mut self, batch: &str, expected: Expected) {
        self.until_at_rest(batch);
        let paid_twice_max = expected.paid_twice_max + self.lost_calls(batch);
        check(&self.cluster, batch, Expected { paid_twice_max, ..expected });
    }
}

#[test]
fn an_undisturbed_batch_passes_and_the_checker_can_fail() {
    let mut scene = Scene::new();
    scene.start_scheduler();
    scene.start_worker();
    scene.submit("peace", 6);
    scene.ends_well("peace", UNNOTICED);
    scene.end_workers();
    check(&scene.cluster, "peace", UNNOTICED);
}
