//! Growing waits between tries, with jitter so that many processes do not return at once.

use std::time::Duration;

/// The first wait, in milliseconds; doubles.
const WAIT_MS_MIN: u64 = 200;
/// The longest wait, in milliseconds: a server that is back is found within it.
const WAIT_MS_MAX: u64 = 5_000;

/// The waits of one series of tries.
#[derive(Debug)]
pub(super) struct Backoff {
    next_ms: u64,
}

impl Backoff {
    /// Starts short.
    pub(super) fn new() -> Self {
        Self { next_ms: WAIT_MS_MIN }
    }

    /// The next wait: between half of the step and the whole of it.
    pub(super) fn next(&mut self) -> Duration {
        let step_ms = self.next_ms;
        self.next_ms = (step_ms * 2).min(WAIT_MS_MAX);
        Duration::from_millis(rand::random_range(step_ms / 2..=step_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_limit() {
        let mut backoff = Backoff::new();
        let waits: Vec<u128> = (0..10).map(|_| backoff.next().as_millis()).collect();
        assert!((100..=200).contains(&waits[0]), "{waits:?}");
        assert!((2_500..=5_000).contains(&waits[9]), "{waits:?}");
    }
}
