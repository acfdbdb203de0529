//! Many SKUs, several workers, dispatchers and sweepers on memory adapters under a seeded
//! fate: crashes before and after every effect, faults of unknown outcome, stalls past the
//! lease, duplicated, lost and reordered messages, a coordinator that forgets everything,
//! people who decide, cancel and retry. One thread, virtual time: a seed is a history.
//!
//! `PACKSHOT_SIM_SEEDS=n` runs n seeds, `PACKSHOT_SIM_SEED=s` replays one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "tests")]

mod check;
mod fate;
mod faulty;
mod maker;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

const SEEDS: u64 = 10_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number")))
}

/// The seed's history in short, and what went wrong in it.
fn run(seed: u64) -> world::History {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(world::live(seed))
}

#[test]
fn every_seed_ends_well() {
    if let Some(seed) = number("PACKSHOT_SIM_SEED") {
        let history = run(seed);
        eprintln!("{history:#?}");
        assert!(history.wrong.is_empty(), "seed {seed}");
        return;
    }
    let seeds = number("PACKSHOT_SIM_SEEDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(0);
    let totals = [const { AtomicU64::new(0) }; 4];
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        return;
                    }
                    let history = catch_unwind(AssertUnwindSafe(|| run(seed))).unwrap_or_else(|_| {
                        panic!("seed {seed} panicked: PACKSHOT_SIM_SEED={seed} replays it")
                    });
                    assert!(
                        history.wrong.is_empty(),
                        "seed {seed} (PACKSHOT_SIM_SEED={seed} replays it):\n{}",
                        history.wrong.join("\n")
                    );
                    let counts = [history.crashes, history.paid, history.resets, history.stalls];
                    for (total, count) in totals.iter().zip(counts) {
                        total.fetch_add(count, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let [crashes, paid, resets, stalls] = totals.map(|total| total.load(Ordering::Relaxed));
    eprintln!("{seeds} seeds: {crashes} crashes, {stalls} stalls, {resets} resets, {paid} paid calls");
    assert!(seeds < 1_000 || (crashes > seeds && paid > seeds && resets > seeds / 10 && stalls > seeds / 10));
}

#[test]
fn a_seed_is_a_history() {
    for seed in 0..20 {
        assert_eq!(run(seed), run(seed), "seed {seed} is not deterministic");
    }
}
