//! How long a batch still takes: the rate of the last minutes, and a range in which the
//! answer lies most of the time. Pure: the time is an argument.

use std::collections::VecDeque;

/// How far back the rate looks, in milliseconds.
const WINDOW_MS: u64 = 5 * 60_000;
/// Steps and time without which nothing is said.
const STEPS_MIN: u64 = 5;
/// See [`STEPS_MIN`].
const WATCHED_MS_MIN: u64 = 5_000;
/// Observations kept; older ones are thinned out by time.
const SAMPLES_MAX: usize = 600;

/// What was seen of a batch's progress.
#[derive(Debug, Default)]
pub struct Estimate {
    samples: VecDeque<(u64, u64)>,
}

/// What is left of a batch.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize)]
pub struct Left {
    /// Steps a minute lately.
    pub per_minute: f64,
    /// Seconds, if it goes on like this.
    pub about_s: u64,
    /// Seconds, if it goes well.
    pub from_s: u64,
    /// Seconds, if it goes badly.
    pub to_s: u64,
}

impl Estimate {
    /// `done` steps had ended at `now_ms`.
    pub fn see(&mut self, now_ms: u64, done: u64) {
        // A batch that was opened again has fewer; what was seen before says nothing.
        if self.samples.back().is_some_and(|(_, before)| *before > done) {
            self.samples.clear();
        }
        let gap = WINDOW_MS / SAMPLES_MAX as u64;
        let previous = self.samples.len().checked_sub(2).and_then(|at| self.samples.get(at));
        if previous.is_some_and(|(at_ms, _)| now_ms.saturating_sub(*at_ms) < gap) {
            self.samples.pop_back();
        }
        self.samples.push_back((now_ms, done));
        while self.samples.len() > 2 && now_ms.saturating_sub(self.samples[1].0) >= WINDOW_MS {
            self.samples.pop_front();
        }
    }

    /// What `remaining` steps need; `None` until enough was seen.
    pub fn left(&self, remaining: u64) -> Option<Left> {
        let ((from_ms, before), (to_ms, done)) = (self.samples.front()?, self.samples.back()?);
        let (ms, steps) = (to_ms.saturating_sub(*from_ms), done - before);
        if ms < WATCHED_MS_MIN || steps < STEPS_MIN {
            return None;
        }
        let (seconds, steps, remaining) = (ms as f64 / 1000.0, steps as f64, remaining as f64);
        // Steps that end independently scatter by the root of their number, both those that
        // were counted and those to come; a fifth is for what the past does not know.
        let spread = 2.0 * (1.0 / steps + 1.0 / remaining.max(1.0)).sqrt() + 0.2;
        let about = remaining * seconds / steps;
        Some(Left {
            per_minute: steps * 60.0 / seconds,
            about_s: about.round() as u64,
            from_s: (about / (1.0 + spread)).round() as u64,
            to_s: (about * (1.0 + spread)).round() as u64,
        })
    }
}

/// Seconds as people say them: `40 s`, `12 min`, `3.5 h`.
pub fn duration(seconds: u64) -> String {
    match seconds {
        0..90 => format!("{seconds} s"),
        90..5_400 => format!("{} min", (seconds + 30) / 60),
        _ => format!("{:.1} h", seconds as f64 / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steady(per_second: u64, seconds: u64) -> Estimate {
        let mut estimate = Estimate::default();
        for second in 0..=seconds {
            estimate.see(second * 1000, second * per_second);
        }
        estimate
    }

    #[test]
    fn a_steady_batch_ends_when_it_says() {
        let left = steady(3, 60).left(300);
        let left = left.unwrap_or(Left { per_minute: 0.0, about_s: 0, from_s: 0, to_s: 0 });
        assert!((left.per_minute - 180.0).abs() < 1.0, "{left:?}");
        assert_eq!(left.about_s, 100);
        assert!((50..100).contains(&left.from_s) && (101..200).contains(&left.to_s), "{left:?}");
    }

    #[test]
    fn nothing_is_said_before_something_was_seen() {
        assert_eq!(Estimate::default().left(10), None);
        assert_eq!(steady(100, 3).left(10), None, "too short");
        assert_eq!(steady(0, 60).left(10), None, "no progress");
    }

    #[test]
    fn only_the_last_minutes_count() {
        let mut estimate = steady(10, 100);
        for second in 101..=500 {
            estimate.see(second * 1000, 1_000 + (second - 100));
        }
        let rate = estimate.left(60).map(|left| left.per_minute);
        assert!(rate.is_some_and(|rate| (55.0..65.0).contains(&rate)), "{rate:?}");
        assert!(estimate.samples.len() <= SAMPLES_MAX + 2);
    }

    #[test]
    fn a_batch_that_was_opened_again_begins_anew() {
        let mut estimate = steady(10, 100);
        estimate.see(101_000, 990);
        assert_eq!(estimate.left(10), None);
    }

    #[test]
    fn many_observations_a_second_take_no_room() {
        let mut estimate = Estimate::default();
        for ms in 0..200_000 {
            estimate.see(ms, ms / 10);
        }
        assert!(estimate.samples.len() < 2 * SAMPLES_MAX, "{}", estimate.samples.len());
        assert!(estimate.left(1_000).is_some_and(|left| left.about_s == 10));
    }

    #[test]
    fn durations_read_well() {
        assert_eq!([duration(9), duration(600), duration(9_000)], ["9 s", "10 min", "2.5 h"]);
    }
}
