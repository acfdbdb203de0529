//! Waits of chance, which a failed test can be told again.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// A sequence of waits from a seed.
pub(super) struct Chance(StdRng);

impl Chance {
    /// From `PACKSHOT_TEST_SEED`, else from a seed that is printed.
    pub(super) fn new() -> Self {
        let seed: u64 = std::env::var("PACKSHOT_TEST_SEED")
            .map_or_else(|_| rand::random(), |seed| seed.parse().expect("PACKSHOT_TEST_SEED is a number"));
        #[allow(clippy::print_stderr, reason = "a failed test says how it can be repeated")]
        {
            eprintln!("PACKSHOT_TEST_SEED={seed}");
        }
        Self(StdRng::seed_from_u64(seed))
    }

    /// Waits for less than `ms_max`.
    pub(super) fn wait(&mut self, ms_max: u64) {
        std::thread::sleep(Duration::from_millis(self.0.random_range(0..ms_max)));
    }
}
