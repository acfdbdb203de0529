//! What holds under any order, duplication and loss of events.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use proptest::prelude::*;

use super::walk::{POLICY, document, events, invariants, is_by_a_person, step_invariants};
use super::*;
use crate::policy::NeedsHuman;
use crate::tally::Tally;

fn roles() -> impl Strategy<Value = Vec<Role>> {
    prop::sample::subsequence(Role::ALL.to_vec(), 0..=9)
}

fn policies() -> impl Strategy<Value = Policy> {
    (prop::bool::ANY, 1u32..4).prop_map(|(hold, faults_max)| Policy {
        needs_human: if hold { NeedsHuman::Hold } else { NeedsHuman::Partial },
        faults_max,
        backoff_ms_min: 5,
        backoff_ms_max: 40,
        ..POLICY
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Events are drawn from all that were ever possible, so they come twice, late, out of
    /// order or never.
    #[test]
    fn any_history_keeps_the_invariants(roles in roles(), policy in policies(),
                                        draws in prop::collection::vec((any::<u32>(), 0u64..20), 1..150)) {
        let mut state = document(&roles, &policy);
        let mut tally = Tally::of(&state);
        let mut history: Vec<Event> = Vec::new();
        let mut now_ms = 0;
        for (draw, passed_ms) in draws {
            now_ms += passed_ms;
            let possible = events(&state);
            let pick = draw as usize;
            // Half of the events are old ones; of the others, claims are drawn often.
            let event = if draw & 1 == 1 && !history.is_empty() {
                history[pick / 2 % history.len()].clone()
            } else if draw & 6 == 6 && !state.due(now_ms).is_empty() {
                let due = state.due(now_ms);
                Event::Started { target: due[pick / 8 % due.len()].target, holder: Holder(1) }
            } else {
                possible[pick / 8 % possible.len()].clone()
            };
            history.push(event.clone());
            if let Ok(step) = state.apply(&event, &policy, now_ms) {
                step_invariants(&state, &event, &step, now_ms);
                tally.add(&step.change.tally);
                state = step.state;
                invariants(&state, &policy);
                prop_assert_eq!(&tally, &Tally::of(&state));
            }
        }
    }

    /// Without people, every document ends after a bounded number of attempts, whatever
    /// comes out of them.
    #[test]
    fn every_document_ends(roles in roles(), policy in policies(),
                           draws in prop::collection::vec(any::<u32>(), 200)) {
        let mut state = document(&roles, &policy);
        let mut now_ms = 0;
        let mut draws = draws.into_iter().cycle();
        let mut steps = 0;
        while !state.is_settled() {
            steps += 1;
            prop_assert!(steps < 2_000, "does not end: {:?}", state);
            now_ms += 50;
            let draw = draws.next().unwrap() as usize;
            if let Some(due) = state.due(now_ms).first() {
                let event = Event::Started { target: due.target, holder: Holder(1) };
                state = state.apply(&event, &policy, now_ms).unwrap().state;
                continue;
            }
            let ends: Vec<Event> = events(&state)
                .into_iter()
                .filter(|event| !is_by_a_person(event))
                .filter(|event| !matches!(event, Event::Interrupted { .. } | Event::PutOff { .. } | Event::Renewed { .. } | Event::Cached { .. }))
                .filter(|event| state.apply(event, &policy, now_ms).is_ok())
                .collect();
            prop_assert!(!ends.is_empty(), "stuck: {:?}", state);
            state = state.apply(&ends[draw % ends.len()], &policy, now_ms).unwrap().state;
        }
        for job in state.jobs.values() {
            prop_assert!(job.attempts <= policy.faults_max, "too many attempts: {:?}", job);
        }
        prop_assert!(state.set.attempts <= policy.faults_max);
        prop_assert!(state.expired(u64::MAX).is_empty());
    }
}
