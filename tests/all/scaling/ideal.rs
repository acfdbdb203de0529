//! What the same decisions would give with workers that start at once and lose no time between
//! two jobs: the measure of how well the real ones drain the queue.

use std::collections::BTreeMap;

use super::scaler::{Numbers, Scaler};

/// The step of the model, in seconds of the chart.
const STEP_S: f64 = 0.25;

/// When the last of these jobs ends, in seconds of the chart. At most `window` of them wait in
/// the queue at a time, as the dispatcher lets them; the rest is not seen by the scaler.
pub(super) fn drained_s(numbers: &Numbers, lengths_s: &[f64], window: u64) -> f64 {
    let mut scaler = Scaler::new(numbers.clone());
    let mut waiting = lengths_s.iter();
    // Jobs that are worked at, by the number of the step in which they end.
    let mut ends: BTreeMap<u64, u64> = BTreeMap::new();
    let mut running = 0;
    for step in 0.. {
        let now_s = step as f64 * STEP_S;
        running -= ends.remove(&step).unwrap_or(0);
        if running == 0 && waiting.len() == 0 {
            return now_s;
        }
        let messages = (waiting.len() as u64).min(window) + running;
        let replicas = scaler.look(now_s, Some(messages));
        let places = u64::from(replicas * numbers.value);
        while running < places {
            let Some(length_s) = waiting.next() else { break };
            *ends.entry(step + ((length_s / STEP_S).ceil() as u64).max(1)).or_insert(0) += 1;
            running += 1;
        }
    }
    unreachable!("the steps do not end")
}

#[test]
fn the_ideal_is_the_work_over_the_places_and_the_time_to_get_them() {
    let numbers = Numbers::of("studio");
    let lengths = vec![40.0; 2_000];
    let places = f64::from(numbers.replicas_max * numbers.value);
    let least = 2_000.0 * 40.0 / places;
    let ideal = drained_s(&numbers, &lengths, 128);
    assert!(ideal >= least && ideal <= least + 90.0, "{ideal} s, and {least} s with all places at once");
}
