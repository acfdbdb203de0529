//! Processes that are killed, stopped or doubled at every point of the protocol.

use packshot_tests::points::FATAL;

use super::chance::Chance;
use super::{Expected, Scene, UNNOTICED, check};
use crate::cluster::until;

#[test]
fn a_worker_may_die_at_every_point() {
    let mut scene = Scene::new();
    let marker = |point: &str| format!("died-{point}");
    let crashes = FATAL.map(|point| format!("{point}={}", scene.cluster.shop.path(&marker(point)).display()));
    scene.cluster.set_script("CRASH", &crashes.join(","));
    // Two schedulers at once, all the time.
    for _ in 0..2 {
        scene.start_scheduler();
        scene.start_worker();
    }
    scene.submit("killed", 30);
    scene.until_at_rest("killed");
    for point in FATAL {
        assert!(scene.cluster.shop.path(&marker(point)).is_file(), "nobody died at {point}");
    }
    scene.ends_well("killed", UNNOTICED);
    scene.end_workers();
    check(&scene.cluster, "killed", Expected { paid_twice_max: scene.lost_calls("killed"), ..UNNOTICED });
}

#[test]
fn workers_may_be_killed_at_any_moment() {
    let (mut scene, mut chance) = (Scene::new(), Chance::new());
    scene.start_scheduler();
    for _ in 0..2 {
        scene.start_worker();
    }
    scene.submit("random", 60);
    for round in 0..6 {
        scene.until_made("random", 6 * (round + 1));
        chance.wait(200);
        scene.kill_worker(round % 2);
    }
    scene.ends_well("random", UNNOTICED);
}

/// A cap that is reached while workers die: what is spent stays within it, and what others had
/// only put aside does not end anybody's job.
#[test]
fn a_cap_holds_while_workers_die() {
    let mut scene = Scene::new();
    // Twice what an image costs in the end is put aside for it.
    scene.cluster.set_scheduler("POLICY__ATTEMPTS_MAX", "2");
    scene.start_scheduler();
    for _ in 0..2 {
        scene.start_worker();
    }
    // 20 images of 0.04 would be 0.80; what is put aside for one is 0.08.
    scene.submit_with("capped", 20, "main", &["--cost-max", "0.40"]);
    scene.until_made("capped", 3);
    scene.kill_worker(0);
    scene.until_at_rest("capped");
    let lost = scene.lost_calls("capped");
    // The last 0.04 of the cap are less than an image may cost.
    scene.ends_well("capped", Expected { over_budget: 11, ..UNNOTICED });
    assert!(lost <= 4, "{lost} calls were lost with one worker");
}

#[test]
fn schedulers_and_submissions_may_be_killed_at_any_moment() {
    let (mut scene, mut chance) = (Scene::new(), Chance::new());
    // A small window, so that the scheduler dispatches all the time.
    scene.cluster.set_scheduler("DISPATCH__WINDOW__STUDIO", "6");
    scene.cluster.set_scheduler("SWEEP__EVERY_MS", "20");
    scene.start_worker();
    let arguments = scene.catalog("unruly", 120, super::ROLES);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    for _ in 0..4 {
        let submitting = scene.cluster.start_packshot(&arguments);
        scene.start_scheduler();
        chance.wait(400);
        submitting.kill();
        chance.wait(200);
        scene.schedulers.pop().unwrap().kill();
    }
    scene.cluster.answer(&arguments, 0);
    for round in 0..6 {
        scene.start_scheduler();
        scene.until_made("unruly", 20 * (round + 1));
        chance.wait(100);
        scene.schedulers.remove(0).kill();
    }
    // Two at once, one of which takes part in the end.
    scene.start_scheduler();
    scene.start_scheduler();
    scene.ends_well("unruly", UNNOTICED);
    scene.end_workers();
    check(&scene.cluster, "unruly", UNNOTICED);
}

#[test]
fn a_worker_that_stood_still_past_its_lease_does_no_harm() {
    let mut scene = Scene::new();
    scene.cluster.set_script("JOB_MS", "400");
    scene.start_scheduler();
    scene.start_worker();
    scene.submit("frozen", 12);
    scene.until_made("frozen", 2);
    until("a claim", || scene.reached("frozen", "claimed") > scene.reached("frozen", "called") + 1);
    scene.workers[0].signal("STOP");
    // What it was paying for as it stopped is as good as lost.
    scene.killed.insert(scene.workers[0].id());
    scene.start_worker();
    // The other one does what the frozen one had begun; then that one wakes up with it.
    let taken_over =
        |scene: &Scene| scene.cluster.reached(super::LOG, "claimed").iter().any(|line| line.contains("/2 "));
    until("the leases of a frozen worker to be taken over", || taken_over(&scene));
    scene.workers[0].signal("CONT");
    scene.ends_well("frozen", UNNOTICED);
    scene.end_workers();
    check(&scene.cluster, "frozen", UNNOTICED);
}

/// Where Debian's `libfaketime` lies, which lets a process see another time.
fn faketime() -> Option<std::path::PathBuf> {
    let folders = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib"];
    let files = folders.map(|folder| std::path::Path::new(folder).join("faketime/libfaketime.so.1"));
    files.into_iter().find(|file| file.is_file())
}

/// Machines whose clocks are an hour apart, and step while they work.
#[test]
fn clocks_that_are_wrong_do_no_harm() {
    let Some(library) = faketime() else {
        #[allow(clippy::print_stderr, reason = "a test that tests nothing says so")]
        {
            eprintln!("not tested: install Debian's package libfaketime");
        }
        return;
    };
    let mut scene = Scene::new();
    let library = library.display().to_string();
    // One worker an hour behind, one an hour ahead, the scheduler in the present.
    scene.start_scheduler();
    for (at, offset) in ["-3600", "+3600"].into_iter().enumerate() {
        let clock = scene.cluster.shop.path(&format!("clock-{at}"));
        std::fs::write(&clock, offset).unwrap();
        scene.cluster.set_worker_variable("LD_PRELOAD", &library);
        scene.cluster.set_worker_variable("FAKETIME_TIMESTAMP_FILE", &clock.display().to_string());
        scene.cluster.set_worker_variable("FAKETIME_CACHE_DURATION", "1");
        // A step moves the wall clock only.
        scene.cluster.set_worker_variable("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        scene.start_worker();
    }
    scene.submit("skewed", 40);
    scene.until_made("skewed", 10);
    // A step of two hours, the other way; then whoever is ahead dies with leases in its hands.
    for (at, offset) in ["+3600", "-3600"].into_iter().enumerate() {
        std::fs::write(scene.cluster.shop.path(&format!("clock-{at}")), offset).unwrap();
    }
    scene.until_made("skewed", 30);
    scene.kill_worker(0);
    scene.ends_well("skewed", UNNOTICED);
    let faults =
        scene.cluster.reached(super::LOG, "claimed").iter().filter(|line| line.contains("/2 ")).count();
    assert!(faults <= 8, "{faults} leases were taken for expired");
}
