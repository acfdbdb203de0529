//! Every reachable state of a small document, walked to the end.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeSet;

use super::gate::has_ended;
use super::*;
use crate::budget::MicroUsd;
use crate::catalog::{Dimensions, Product};
use crate::change::{Change, IndexOp, Slot};
use crate::manifest::{JobSpec, MANIFEST_SCHEMA};
use crate::policy::{NeedsHuman, WeakReference};
use crate::result::JobStatus;
use crate::tally::Tally;

/// Waits of no length, so that the walk needs one moment only.
pub(super) const POLICY: Policy = Policy {
    candidates_max: 2,
    edits_max: 2,
    faults_max: 2,
    lease_ms: 10,
    backoff_ms_min: 0,
    backoff_ms_max: 0,
    needs_human: NeedsHuman::Partial,
    weak_reference: WeakReference::Stop,
};

pub(super) fn document(roles: &[Role], policy: &Policy) -> SkuState {
    let key = |text: &str| JobKey::from_digest(Digest::of(text.as_bytes()));
    let entry = ManifestSku {
        schema: MANIFEST_SCHEMA,
        product: Product {
            sku: Sku::new("s").unwrap(),
            title: String::new(),
            description: String::new(),
            category: String::new(),
            brand: String::new(),
            colour: String::new(),
            material: String::new(),
            dimensions: Dimensions::default(),
            accessories: Vec::new(),
            group: None,
            references: Vec::new(),
            codes: BTreeMap::new(),
            line: 2,
        },
        references: Vec::new(),
        jobs: roles
            .iter()
            .map(|r| (*r, JobSpec { key: key(r.word()), pool: Pool::Studio, maker: "studio".into() }))
            .collect(),
        set_key: key("set"),
        warnings: Vec::new(),
    };
    SkuState::new(&BatchId::new("b").unwrap(), &entry, Incarnation(1), policy)
}

/// Every event the world could send to this document, sensible or not.
pub(super) fn events(state: &SkuState) -> Vec<Event> {
    let mut events = vec![Event::Cancel, Event::Retry];
    let why = || "w".to_owned();
    let statuses = || {
        [
            JobStatus::Accepted,
            JobStatus::NeedsHuman { why: why() },
            JobStatus::Rejected { why: why() },
            JobStatus::Skipped { reason: why() },
            JobStatus::WeakReference { reason: why() },
        ]
    };
    let targets = Role::ALL.map(Target::Role).into_iter().chain([Target::Set]);
    for target in
        targets.filter(|t| *t == Target::Set || matches!(t, Target::Role(r) if state.jobs.contains_key(r)))
    {
        events.push(Event::Started { target, holder: Holder(1) });
        let number = match target {
            Target::Role(role) => state.jobs[&role].attempts,
            Target::Set => state.set.attempts,
        };
        let current = Attempt { incarnation: Incarnation(1), target, number, holder: Holder(1) };
        let stale = [
            Attempt { number: number.wrapping_sub(1), ..current },
            Attempt { incarnation: Incarnation(2), ..current },
            Attempt { holder: Holder(2), ..current },
        ];
        for attempt in stale.into_iter().chain([current]) {
            events.push(Event::Renewed { attempt });
            events.push(Event::Interrupted { attempt });
            events.push(Event::PutOff { attempt, wait_ms: 0 });
            events.push(Event::LeaseLost { attempt });
            events.push(Event::Transient { attempt, why: why(), retry_after_ms: None });
            events.push(Event::Failed { attempt, why: why() });
            events.push(Event::OverBudget { attempt, why: why() });
            for complete in [true, false] {
                events.push(Event::Assembled { attempt, revision: Digest::of(b"r"), complete });
            }
            events.extend(statuses().map(|status| Event::Finished { attempt, status, cost: MicroUsd(1) }));
        }
        if let Target::Role(role) = target {
            events.extend(statuses().map(|status| Event::Cached { role, status }));
            events.extend([true, false].map(|accept| Event::Decided { role, accept }));
        }
    }
    events
}

/// Who may move what has ended.
pub(super) fn is_by_a_person(event: &Event) -> bool {
    matches!(event, Event::Cancel | Event::Retry | Event::Decided { .. })
}

/// Whether the event belongs to a claim that is not the document's present one.
fn is_of_another_claim(state: &SkuState, event: &Event) -> bool {
    let (Event::Renewed { attempt }
    | Event::Interrupted { attempt }
    | Event::PutOff { attempt, .. }
    | Event::LeaseLost { attempt }
    | Event::Transient { attempt, .. }
    | Event::Failed { attempt, .. }
    | Event::OverBudget { attempt, .. }
    | Event::Assembled { attempt, .. }
    | Event::Finished { attempt, .. }) = event
    else {
        return false;
    };
    !state.leases().iter().any(|lease| lease.attempt == *attempt)
}

/// What is true of every document.
pub(super) fn invariants(state: &SkuState, policy: &Policy) {
    let ended = state.jobs.values().all(|job| has_ended(&job.state, policy));
    if matches!(state.set.state, SetState::Open) {
        assert!(!ended, "every job has ended and the set is not due: {state:?}");
    } else if state.set.state != SetState::Cancelled {
        assert!(ended, "the set went ahead of its jobs: {state:?}");
    }
    for (role, job) in &state.jobs {
        assert!(job.faults <= policy.faults_max, "too many faults: {state:?}");
        let may_run = matches!(state.gate(*role, policy), JobState::Ready { .. });
        match &job.state {
            JobState::Ready { .. } => assert!(may_run, "{role} is ready before its time: {state:?}"),
            JobState::Waiting { on } => {
                assert!(role.waits_for().contains(on) && state.jobs.contains_key(on));
                assert!(!may_run, "{role} waits for nothing: {state:?}");
            }
            JobState::Skipped { blocked_on: Some(on), .. } => {
                assert!(!may_run && role.waits_for().contains(on), "{role} is blocked by nothing: {state:?}");
            }
            JobState::Running { .. }
            | JobState::Accepted
            | JobState::NeedsHuman
            | JobState::Rejected
            | JobState::Skipped { .. }
            | JobState::Failed { .. }
            | JobState::OverBudget { .. }
            | JobState::Cancelled => {}
        }
    }
    let text = serde_json::to_string(state).unwrap();
    assert_eq!(serde_json::from_str::<SkuState>(&text).unwrap(), *state, "does not survive storage");
}

/// What is true of every step.
pub(super) fn step_invariants(before: &SkuState, event: &Event, step: &Transition, now_ms: u64) {
    let after = &step.state;
    assert!(!is_of_another_claim(before, event), "a stale claim moved something: {event:?} {before:?}");
    for (role, job) in &before.jobs {
        let moved = after.jobs[role].state.word() != job.state.word();
        // An adopted result may end what was only blocked.
        let adopted = matches!(event, Event::Cached { .. });
        if job.state.is_terminal() && moved && !is_by_a_person(event) {
            let was_blocked = matches!(job.state, JobState::Skipped { blocked_on: Some(_), .. });
            assert!(adopted && was_blocked, "{role} left its end by {event:?}: {before:?}");
        }
        assert!(after.jobs[role].attempts >= job.attempts);
        assert!(after.jobs[role].attempts - job.attempts <= 1);
    }
    if before.set.state.is_terminal() && after.set.state != before.set.state {
        assert!(is_by_a_person(event), "the set left its end by {event:?}: {before:?}");
    }
    // Totals and index follow the document.
    let mut tally = Tally::of(before);
    tally.add(&step.change.tally);
    assert_eq!(tally, Tally::of(after));
    assert_eq!(indexed(places(before), &step.change), places(after));
    assert_eq!(indexed(BTreeSet::new(), &Change::creating(after, now_ms)), places(after));
}

type Places = BTreeSet<(Target, u32, bool, u64)>;

fn places(state: &SkuState) -> Places {
    let ready = state.ready().into_iter().map(|d| (d.target, d.number, true, d.not_before_ms));
    let leased = state.leases().into_iter().map(|l| (l.attempt.target, l.attempt.number, false, l.until_ms));
    ready.chain(leased).collect()
}

fn indexed(mut places: Places, change: &Change) -> Places {
    let without = |places: &mut Places, slot: &Slot| {
        places.retain(|(target, number, ..)| (*target, *number) != (slot.target, slot.number));
    };
    for op in &change.index {
        match op {
            IndexOp::Ready { slot, not_before_ms, .. } => {
                without(&mut places, slot);
                places.insert((slot.target, slot.number, true, *not_before_ms));
            }
            IndexOp::Leased { slot, until_ms, .. } => {
                without(&mut places, slot);
                places.insert((slot.target, slot.number, false, *until_ms));
            }
            IndexOp::Gone { slot, .. } => without(&mut places, slot),
        }
    }
    places
}

/// The document without its counters that grow for ever, by which the walk knows where it
/// has been.
fn shape(state: &SkuState) -> SkuState {
    let mut shape = state.clone();
    for job in shape.jobs.values_mut() {
        job.attempts = job.attempts.min(1);
        job.cost = MicroUsd::ZERO;
    }
    shape.set.attempts = shape.set.attempts.min(1);
    shape.set.generation = 0;
    shape
}

fn walk(roles: &[Role], policy: &Policy, expected_min: usize) {
    let first = document(roles, policy);
    let mut seen = BTreeSet::from([shape(&first)]);
    let mut open = vec![first];
    let mut words = BTreeSet::new();
    while let Some(state) = open.pop() {
        invariants(&state, policy);
        words.insert(state.set.state.word());
        let mut can_move = false;
        for event in events(&state) {
            let Ok(step) = state.apply(&event, policy, 0) else { continue };
            step_invariants(&state, &event, &step, 0);
            can_move |= !is_by_a_person(&event) && !matches!(event, Event::Cached { .. });
            if seen.insert(shape(&step.state)) {
                open.push(step.state);
            }
        }
        assert_eq!(can_move, !state.is_settled(), "settled and moving, or stuck: {state:?}");
    }
    for word in ["due", "running", "published", "partial", "failed", "cancelled"] {
        assert!(words.contains(word), "no path to a set that is {word}");
    }
    assert!(seen.len() >= expected_min, "only {} states were reached", seen.len());
}

#[test]
fn every_state_of_a_set_without_roles() {
    walk(&[], &POLICY, 7);
}

#[test]
fn every_state_of_main_and_detail() {
    walk(&[Role::Main, Role::Detail], &POLICY, 300);
}

#[test]
fn every_state_of_main_lifestyle_and_ad() {
    walk(&[Role::Main, Role::Lifestyle, Role::Ad], &POLICY, 2_000);
}

#[test]
fn every_state_when_undecided_images_hold_the_set() {
    let hold = Policy { needs_human: NeedsHuman::Hold, faults_max: 1, ..POLICY };
    walk(&[Role::Main, Role::Lifestyle, Role::Ad], &hold, 1_000);
}

#[test]
fn an_ad_is_made_from_the_lifestyle_image_or_else_from_main() {
    let run = |mut state: SkuState, role: Role, status: JobStatus| {
        let target = Target::Role(role);
        state = state.apply(&Event::Started { target, holder: Holder(1) }, &POLICY, 0).unwrap().state;
        let attempt = state.leases()[0].attempt;
        state.apply(&Event::Finished { attempt, status, cost: MicroUsd::ZERO }, &POLICY, 0).unwrap().state
    };
    let state = document(&[Role::Main, Role::Lifestyle, Role::Ad], &POLICY);
    assert_eq!(state.jobs[&Role::Ad].state, JobState::Waiting { on: Role::Lifestyle });
    let state = run(state, Role::Main, JobStatus::Accepted);
    assert_eq!(state.jobs[&Role::Ad].state, JobState::Waiting { on: Role::Lifestyle });
    let state = run(state, Role::Lifestyle, JobStatus::Rejected { why: "w".into() });
    assert_eq!(state.jobs[&Role::Ad].state, JobState::Ready { not_before_ms: 0 });
    let alone = document(&[Role::Ad], &POLICY);
    assert_eq!(alone.jobs[&Role::Ad].state, JobState::Ready { not_before_ms: 0 });
}
