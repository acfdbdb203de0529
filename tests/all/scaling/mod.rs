//! The scaling of the chart, simulated: its rendered numbers, KEDA's and the HPA's formulas, a
//! real RabbitMQ with the management plugin, and real worker processes. Only time is shorter:
//! a second of the chart is a fraction of one here, for polls, windows, grace and jobs alike.
//!
//! What it is not: there is no real KEDA or HPA in it, no image is pulled, and no node is added.

mod depth;
mod fleet;
mod ideal;
mod scaler;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use packshot_pipeline::job_key::JobKey;
use packshot_pipeline::manifest::Batch;
use packshot_pipeline::policy::Policy;
use packshot_pipeline::role::Role;
use packshot_runtime::conformance::sample;
use packshot_runtime::ports::Ports;

use self::fleet::{Fleet, STEPS};
use self::scaler::{Numbers, Scaler};
use crate::cluster::{Cluster, PATIENCE};
use crate::fill;
use crate::servers::rabbitmq::{Extras, RabbitServer};
use crate::shop::Shop;

/// How long jobs last, in seconds of the chart; which one is told by the job's key.
const LENGTHS_S: [u64; 5] = [10, 20, 20, 40, 100];
/// Messages that the dispatcher lets wait, as `deploy/packshot.toml` has it.
const WINDOW: u64 = 128;
/// RabbitMQ's own statistics are as old as this, in seconds of the chart.
const STATISTICS_S: f64 = 5.0;

/// What is played.
struct Play {
    /// Seconds of the chart per second here.
    pace: f64,
    /// Jobs that are there at the beginning.
    flood: usize,
    /// Jobs that come in each minute of the chart afterwards, and for how many minutes: few
    /// enough that workers are taken away while others, and they themselves, are at work.
    trickle: (usize, usize),
    /// The grace period, in seconds of the chart.
    grace_s: f64,
    /// How long a claim holds without a sign of life.
    lease_ms: u64,
}

/// What came of it.
struct Played {
    fleet: Fleet,
    /// Until the last job of the flood had ended, in seconds of the chart.
    drained_s: f64,
    /// The same as it would be at best.
    ideal_s: f64,
    /// How often each job was begun.
    begun: BTreeMap<String, usize>,
    /// Jobs of which a message was delivered again after they had begun.
    redelivered: usize,
    jobs: usize,
}

struct Theatre {
    play: Play,
    numbers: Numbers,
    server: RabbitServer,
    cluster: Cluster,
    ports: Ports,
}

impl Theatre {
    async fn open(play: Play) -> Self {
        let numbers = Numbers::of("studio");
        let server = RabbitServer::start_with(Extras { management: true, ..Extras::default() }).await;
        depth::refresh_every(&server, (STATISTICS_S / play.pace * 1_000.0) as u64).await;
        let mut cluster = Cluster::on(Shop::empty(), &server.url(), crate::cluster::REDIS);
        cluster.set_scheduler("SWEEP__EVERY_MS", "200");
        cluster.set_worker("POOLS__STUDIO", &numbers.value.to_string());
        cluster.set_worker("POOLS__ASSEMBLE", "0");
        let drain_s = (numbers.settings.stop.drain_s / play.pace).ceil();
        cluster.set_worker("STOP__DRAIN_S", &drain_s.to_string());
        cluster.set_worker("STOP__GIVE_BACK_S", "1");
        cluster.set_script("LOG", STEPS);
        let lengths = LENGTHS_S.map(|length_s| ((length_s as f64 / play.pace) * 1_000.0).to_string());
        cluster.set_script("JOB_MS", &lengths.join(","));
        let ports = cluster.ports().await;
        Self { play, numbers, server, cluster, ports }
    }

    async fn fill(&self, name: &str, jobs: usize) -> Batch {
        let policy = Policy { lease_ms: self.play.lease_ms, ..Policy::STANDARD };
        fill::batch(&self.ports, sample::batch(name, policy), jobs, &[Role::Main]).await.unwrap()
    }

    async fn settled(&self, header: &Batch) -> u64 {
        self.ports.coordinator.tally(&header.batch).await.unwrap().settled()
    }

    /// Whether every set is made; those of the last images are, a moment after the last worker
    /// of the pool has gone.
    async fn all_settled(&self, flood: &Batch, trickle: &[Batch]) -> bool {
        for header in [flood].into_iter().chain(trickle) {
            let tally = self.ports.coordinator.tally(&header.batch).await.unwrap();
            if tally.settled() < tally.skus() {
                return false;
            }
        }
        true
    }

    /// From none to many to none.
    async fn play(self) -> Played {
        let flood = self.fill("flood", self.play.flood).await;
        let (each, times) = self.play.trickle;
        let mut trickle = Vec::new();
        for number in 0..times {
            trickle.push(self.fill(&format!("trickle-{number:02}"), each).await);
        }
        let _scheduler = self.cluster.serve();
        let _assembler = self.assembler();
        let grace = Duration::from_secs_f64(self.play.grace_s / self.play.pace);
        let (mut scaler, mut fleet) = (Scaler::new(self.numbers.clone()), Fleet::new(grace));
        let queue = self.cluster.queue("studio");
        fill::resume(&self.ports, &flood).await.unwrap();
        let begun = Instant::now();
        let now_s = || begun.elapsed().as_secs_f64() * self.play.pace;
        let (mut drained_s, mut next) = (None, 0);
        loop {
            if scaler.is_due(now_s()) {
                let replicas = scaler.look(now_s(), depth::messages(&self.server, &queue));
                fleet.scale(&self.cluster, replicas as usize);
            }
            fleet.tick();
            if drained_s.is_none() && self.settled(&flood).await == self.play.flood as u64 {
                drained_s = Some(now_s());
            }
            if let (Some(since_s), Some(header)) = (drained_s, trickle.get(next))
                && now_s() >= since_s + 60.0 * next as f64
            {
                fill::resume(&self.ports, header).await.unwrap();
                next += 1;
            }
            if next == times && fleet.is_gone() && self.all_settled(&flood, &trickle).await {
                break;
            }
            assert!(begun.elapsed() < PATIENCE * 3, "the queue does not drain: {drained_s:?}, {next}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for header in [&flood].into_iter().chain(&trickle) {
            let tally = self.ports.coordinator.tally(&header.batch).await.unwrap();
            assert_eq!(tally.jobs(None, "accepted"), tally.skus(), "no job is lost: {tally:?}");
        }
        self.played(fleet, drained_s.unwrap())
    }

    /// Sets are made by a worker that stays.
    fn assembler(&self) -> crate::cluster::Process {
        let pools = [("POOLS__STUDIO", "0"), ("POOLS__ASSEMBLE", "8")];
        self.cluster.scripted_worker_with(&pools)
    }

    fn played(self, fleet: Fleet, drained_s: f64) -> Played {
        let (mut begun, mut redelivered) = (BTreeMap::new(), 0);
        let text = std::fs::read_to_string(self.cluster.shop.path(STEPS)).unwrap();
        for line in text.lines() {
            let mut words = line.split(' ');
            let (point, about) = (words.next().unwrap(), words.next().unwrap());
            // Without the attempt's number, and without the store's life before it.
            let job = about.rsplit_once('/').unwrap().0;
            match point {
                "claimed" => {
                    let job = job.split_once('/').unwrap().1;
                    *begun.entry(job.to_owned()).or_insert(0) += 1;
                }
                "redelivered" if begun.contains_key(job) => redelivered += 1,
                _ => {}
            }
        }
        let lengths: Vec<f64> = (0..self.play.flood).map(|number| length_s("flood", number)).collect();
        let ideal_s = ideal::drained_s(&self.numbers, &lengths, WINDOW);
        let jobs = self.play.flood + self.play.trickle.0 * self.play.trickle.1;
        Played { fleet, drained_s, ideal_s, begun, redelivered, jobs }
    }
}

/// How long the scripted worker takes for this SKU's image, in seconds of the chart.
fn length_s(batch: &str, number: usize) -> f64 {
    let entry = sample::entry(&fill::sku_name(batch, number), &[Role::Main]);
    let key: &JobKey = &entry.jobs[&Role::Main].key;
    let digits = u64::from_str_radix(&key.to_string()[..8], 16).unwrap();
    LENGTHS_S[(digits % LENGTHS_S.len() as u64) as usize] as f64
}

/// With the chart's grace period nothing is done twice and nobody is killed.
fn check_graceful(played: &Played) {
    let most = Numbers::of("studio").replicas_max as usize;
    assert!((2..=most).contains(&played.fleet.peak), "{} replicas", played.fleet.peak);
    assert_eq!(played.begun.len(), played.jobs);
    let twice: Vec<_> = played.begun.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "begun more than once: {twice:?}");
    assert_eq!(played.redelivered, 0, "messages came again though their jobs were being done");
    let badly: Vec<_> = played.fleet.ended.iter().filter(|code| **code != Some(0)).collect();
    assert!(badly.is_empty(), "of {} workers: {badly:?}", played.fleet.ended.len());
    assert!(played.fleet.stopped_at_work > 0, "nobody was at work when it was told to stop");
}

fn report(what: &str, played: &Played) {
    let Played { fleet, drained_s, ideal_s, begun, redelivered, jobs } = played;
    let killed = fleet.ended.iter().filter(|code| code.is_none()).count();
    let again = begun.values().sum::<usize>() - begun.len();
    #[allow(clippy::print_stdout, reason = "the figures of SIZING.md")]
    {
        println!(
            "{what}: {jobs} jobs, {} workers at most, drained in {drained_s:.0} s of the chart (ideal {ideal_s:.0} s), \
             {} told to stop ({} at work), {killed} killed, {again} jobs begun again, {redelivered} redeliveries",
            fleet.peak,
            fleet.ended.len(),
            fleet.stopped_at_work,
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_follow_the_queue_and_lose_nothing() {
    let grace_s = Numbers::of("studio").grace_s;
    let play = Play { pace: 40.0, flood: 160, trickle: (24, 9), grace_s, lease_ms: 30_000 };
    let played = Theatre::open(play).await.play().await;
    report("short", &played);
    check_graceful(&played);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_night_of_two_thousand_jobs() {
    if std::env::var("PACKSHOT_SLOW").is_err() {
        return;
    }
    let grace_s = Numbers::of("studio").grace_s;
    let play = || Play { pace: 20.0, flood: 1_760, trickle: (20, 12), grace_s, lease_ms: 30_000 };
    let played = Theatre::open(play()).await.play().await;
    report("with the chart's grace period", &played);
    check_graceful(&played);
    let allowed_s = played.ideal_s * 1.15;
    assert!(played.drained_s <= allowed_s, "{} s, allowed are {allowed_s} s", played.drained_s);

    // A grace period shorter than the jobs costs work, but no job.
    let played = Theatre::open(Play { grace_s: 4.0, lease_ms: 3_000, ..play() }).await.play().await;
    report("with a grace period of 4 s", &played);
    assert!(played.fleet.ended.contains(&None), "nobody was killed");
    assert!(played.begun.values().any(|times| *times > 1), "nothing had to be done again");
    assert_eq!(played.begun.len(), played.jobs);
}
