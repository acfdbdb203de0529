//! What every coordinator must do.

use std::collections::BTreeMap;
use std::sync::Arc;

use packshot_pipeline::budget::MicroUsd;
use packshot_pipeline::change::{Change, IndexOp, Slot};
use packshot_pipeline::ids::{BatchId, Sku};
use packshot_pipeline::policy::Policy;
use packshot_pipeline::pool::Pool;
use packshot_pipeline::result::JobStatus;
use packshot_pipeline::role::Role;
use packshot_pipeline::state::{Attempt, Event, Holder, SkuState, Target};
use packshot_pipeline::tally::Tally;

use super::sample;
use crate::port::{BatchControl, Commit, Coordinator, Created, Depth, Running, Version, Versioned};

const POLICY: Policy = Policy { lease_ms: 1_000, ..Policy::STANDARD };
const MAIN: Target = Target::Role(Role::Main);

/// Runs every check, each against an empty instance of its own.
pub async fn suite(mut make: impl FnMut() -> Arc<dyn Coordinator>) {
    keeps_its_incarnation(&*make()).await;
    creates_once(&*make()).await;
    takes_in_nothing_of_another_life(&*make()).await;
    commits_only_on_the_named_version(&*make()).await;
    one_of_many_commits_wins(make()).await;
    index_follows_the_document(&*make()).await;
    moves_only_what_still_stands_there(&*make()).await;
    orders_by_time_and_pages(&*make()).await;
    keeps_batches_apart(&*make()).await;
    totals_and_news(&*make()).await;
    lists_skus_in_pages(&*make()).await;
}

fn batch(name: &str) -> BatchId {
    BatchId::new(name).unwrap()
}

fn sku(name: &str) -> Sku {
    Sku::new(name).unwrap()
}

async fn document(coordinator: &dyn Coordinator, batch: &BatchId, sku: &str) -> SkuState {
    let incarnation = coordinator.incarnation().await.unwrap();
    SkuState::new(batch, &sample::entry(sku, &[Role::Main, Role::Detail]), incarnation, &POLICY)
}

async fn create(coordinator: &dyn Coordinator, batch: &BatchId, sku: &str) -> Versioned {
    let state = document(coordinator, batch, sku).await;
    let created = coordinator.create(&state, &Change::creating(&state, 5)).await.unwrap();
    assert_eq!(created, Created::Yes);
    coordinator.load(batch, &state.sku).await.unwrap().expect("just created")
}

async fn apply(coordinator: &dyn Coordinator, from: &Versioned, event: &Event, now_ms: u64) -> Versioned {
    let transition = from.state.apply(event, &POLICY, now_ms).unwrap();
    let committed = coordinator.commit(from.version, &transition.state, &transition.change).await.unwrap();
    let Commit::Done(version) = committed else { panic!("conflict without another writer") };
    assert_ne!(version, from.version);
    let loaded = coordinator.load(&from.state.batch, &from.state.sku).await.unwrap().expect("still there");
    assert_eq!(loaded, Versioned { version, state: transition.state });
    loaded
}

fn started(holder: u64) -> Event {
    Event::Started { target: MAIN, holder: Holder(holder) }
}

fn attempt(document: &Versioned, holder: u64) -> Attempt {
    let number = document.state.jobs[&Role::Main].attempts;
    Attempt { incarnation: document.state.incarnation, target: MAIN, number, holder: Holder(holder) }
}

fn slot(sku: &str, target: Target, number: u32) -> Slot {
    Slot { sku: self::sku(sku), target, number }
}

/// Commits, which must be refused; what is there comes with the refusal or not.
async fn refused(
    coordinator: &dyn Coordinator,
    expected: Version,
    state: &SkuState,
    change: &Change,
    there: Option<&Versioned>,
) {
    match coordinator.commit(expected, state, change).await.unwrap() {
        Commit::Conflict { present: Some(present) } => assert_eq!(Some(&*present), there),
        Commit::Conflict { present: None } => {}
        Commit::Done(_) => panic!("taken in"),
    }
}

async fn depth(coordinator: &dyn Coordinator, batch: &BatchId) -> Depth {
    coordinator.depth(batch, Pool::Studio).await.unwrap()
}

async fn keeps_its_incarnation(coordinator: &dyn Coordinator) {
    let first = coordinator.incarnation().await.unwrap();
    assert_eq!(coordinator.incarnation().await.unwrap(), first);
}

async fn creates_once(coordinator: &dyn Coordinator) {
    let b = batch("once");
    assert!(coordinator.load(&b, &sku("x")).await.unwrap().is_none());
    let first = create(coordinator, &b, "x").await;
    let mut other = first.state.clone();
    other.set.generation = 9;
    assert_eq!(coordinator.create(&other, &Change::creating(&other, 6)).await.unwrap(), Created::Exists);
    assert_eq!(coordinator.load(&b, &sku("x")).await.unwrap(), Some(first));
    assert_eq!(coordinator.tally(&b).await.unwrap().skus(), 1, "the second create counted");
}

async fn takes_in_nothing_of_another_life(coordinator: &dyn Coordinator) {
    let b = batch("lives");
    let mut other = document(coordinator, &b, "x").await;
    other.incarnation.0 ^= 1;
    assert_eq!(coordinator.create(&other, &Change::creating(&other, 5)).await.unwrap(), Created::Outlived);
    assert!(coordinator.load(&b, &other.sku).await.unwrap().is_none());
    let ours = create(coordinator, &b, "x").await;
    let late = other.apply(&started(1), &POLICY, 6).unwrap();
    refused(coordinator, ours.version, &late.state, &late.change, Some(&ours)).await;
    assert_eq!(coordinator.load(&b, &sku("x")).await.unwrap(), Some(ours));
}

async fn commits_only_on_the_named_version(coordinator: &dyn Coordinator) {
    let b = batch("cas");
    let first = create(coordinator, &b, "x").await;
    let second = apply(coordinator, &first, &started(1), 10).await;
    let late = first.state.apply(&started(2), &POLICY, 11).unwrap();
    refused(coordinator, first.version, &late.state, &late.change, Some(&second)).await;
    let unknown = Version(u64::MAX / 2);
    refused(coordinator, unknown, &late.state, &late.change, Some(&second)).await;
    assert_eq!(coordinator.load(&b, &sku("x")).await.unwrap(), Some(second.clone()));
    assert_eq!(coordinator.tally(&b).await.unwrap(), Tally::of(&second.state), "a refused commit counted");
    assert_eq!(depth(coordinator, &b).await, Depth { ready: 0, dispatched: 0, leased: 1 });
    let never = document(coordinator, &b, "never").await;
    let change = Change::creating(&never, 1);
    refused(coordinator, first.version, &never, &change, None).await;
    assert!(coordinator.load(&b, &sku("never")).await.unwrap().is_none());
}

async fn one_of_many_commits_wins(coordinator: Arc<dyn Coordinator>) {
    let b = batch("race");
    let first = create(&*coordinator, &b, "x").await;
    let racers = (0..16).map(|holder| {
        let (coordinator, first) = (Arc::clone(&coordinator), first.clone());
        tokio::spawn(async move {
            let mine = first.state.apply(&started(holder), &POLICY, 10).unwrap();
            coordinator.commit(first.version, &mine.state, &mine.change).await.unwrap()
        })
    });
    let racers: Vec<_> = racers.collect();
    let mut winners = 0;
    for racer in racers {
        winners += usize::from(matches!(racer.await.unwrap(), Commit::Done(_)));
    }
    assert_eq!(winners, 1);
    assert_eq!(coordinator.tally(&b).await.unwrap().get("attempts"), 1);
}

async fn index_follows_the_document(coordinator: &dyn Coordinator) {
    let b = batch("index");
    let ready = |now| async move { coordinator.ready(&batch("index"), Pool::Studio, now, 9).await.unwrap() };
    let created = create(coordinator, &b, "x").await;
    assert_eq!(ready(0).await, [slot("x", MAIN, 1)]);
    assert_eq!(depth(coordinator, &b).await, Depth { ready: 1, dispatched: 0, leased: 0 });
    let running = apply(coordinator, &created, &started(1), 100).await;
    assert_eq!(ready(9_999).await, []);
    assert_eq!(coordinator.expired(&b, 1_099, 9).await.unwrap(), []);
    assert_eq!(coordinator.expired(&b, 1_100, 9).await.unwrap(), [slot("x", MAIN, 1)]);
    let renewed = apply(coordinator, &running, &Event::Renewed { attempt: attempt(&running, 1) }, 600).await;
    assert_eq!(coordinator.expired(&b, 1_599, 9).await.unwrap(), []);
    assert_eq!(coordinator.expired(&b, 1_600, 9).await.unwrap(), [slot("x", MAIN, 1)]);
    let fault =
        Event::Transient { attempt: attempt(&renewed, 1), why: "test".into(), retry_after_ms: Some(500_000) };
    let later = apply(coordinator, &renewed, &fault, 1_000).await;
    assert_eq!(coordinator.expired(&b, u64::MAX / 4, 9).await.unwrap(), []);
    assert_eq!(ready(500_999).await, []);
    assert_eq!(ready(501_000).await, [slot("x", MAIN, 2)]);
    let again = apply(coordinator, &later, &started(2), 501_000).await;
    let done =
        Event::Finished { attempt: attempt(&again, 2), status: JobStatus::Accepted, cost: MicroUsd(40) };
    apply(coordinator, &again, &done, 501_001).await;
    assert_eq!(ready(501_001).await, [slot("x", Target::Role(Role::Detail), 1)], "what waited is ready");
    assert_eq!(depth(coordinator, &b).await, Depth { ready: 1, dispatched: 0, leased: 0 });
}

async fn moves_only_what_still_stands_there(coordinator: &dyn Coordinator) {
    let b = batch("moves");
    let pool = Pool::Studio;
    let created = create(coordinator, &b, "x").await;
    let one = [slot("x", MAIN, 1)];
    coordinator.mark_ready(&b, pool, &one, 1).await.unwrap();
    coordinator.mark_dispatched(&b, pool, &one, 50).await.unwrap();
    assert_eq!(depth(coordinator, &b).await, Depth { ready: 0, dispatched: 1, leased: 0 });
    assert_eq!(coordinator.ready(&b, pool, 999, 9).await.unwrap(), []);
    assert_eq!(coordinator.silent(&b, pool, 50, 9).await.unwrap(), []);
    assert_eq!(coordinator.silent(&b, pool, 51, 9).await.unwrap(), one);
    coordinator.mark_ready(&b, pool, &one, 60).await.unwrap();
    assert_eq!(coordinator.ready(&b, pool, 60, 9).await.unwrap(), one);
    coordinator.mark_dispatched(&b, pool, &one, 70).await.unwrap();
    // Claimed out of "dispatched"; a dispatcher or sweeper that is late changes nothing.
    apply(coordinator, &created, &started(1), 80).await;
    assert_eq!(depth(coordinator, &b).await, Depth { ready: 0, dispatched: 0, leased: 1 });
    coordinator.mark_dispatched(&b, pool, &one, 90).await.unwrap();
    coordinator.mark_ready(&b, pool, &one, 90).await.unwrap();
    assert_eq!(depth(coordinator, &b).await, Depth { ready: 0, dispatched: 0, leased: 1 });
    let unknown = [slot("unknown", MAIN, 1)];
    coordinator.mark_dispatched(&b, pool, &unknown, 90).await.unwrap();
    coordinator.mark_ready(&b, pool, &unknown, 90).await.unwrap();
    assert_eq!(depth(coordinator, &b).await, Depth { ready: 0, dispatched: 0, leased: 1 });
}

async fn orders_by_time_and_pages(coordinator: &dyn Coordinator) {
    let b = batch("order");
    for (name, not_before_ms) in [("c", 10), ("a", 30), ("b", 20), ("d", 40)] {
        let mut state = document(coordinator, &b, name).await;
        state.jobs.remove(&Role::Detail);
        let mut change = Change::creating(&state, 1);
        let slot = slot(name, MAIN, 1);
        change.index = vec![IndexOp::Ready { slot, pool: Pool::Studio, not_before_ms }];
        coordinator.create(&state, &change).await.unwrap();
    }
    let names = |now, limit| async move {
        let slots = coordinator.ready(&batch("order"), Pool::Studio, now, limit).await.unwrap();
        slots.into_iter().map(|slot| slot.sku.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(30, 9).await, ["c", "b", "a"]);
    assert_eq!(names(99, 2).await, ["c", "b"]);
    assert_eq!(names(9, 9).await, Vec::<String>::new());
}

async fn keeps_batches_apart(coordinator: &dyn Coordinator) {
    let (one, two) = (batch("one"), batch("two"));
    let control =
        |batch: &BatchId, priority, running| BatchControl { batch: batch.clone(), priority, running };
    coordinator.control(&control(&two, 1, Running::Yes)).await.unwrap();
    coordinator.control(&control(&one, 5, Running::Yes)).await.unwrap();
    coordinator.control(&control(&one, 7, Running::Paused)).await.unwrap();
    let expected = [control(&one, 7, Running::Paused), control(&two, 1, Running::Yes)];
    assert_eq!(coordinator.batches().await.unwrap(), expected);
    create(coordinator, &one, "x").await;
    create(coordinator, &two, "x").await;
    coordinator.forget(&one).await.unwrap();
    assert_eq!(coordinator.batches().await.unwrap(), expected[1..]);
    assert!(coordinator.load(&one, &sku("x")).await.unwrap().is_none());
    assert_eq!(coordinator.tally(&one).await.unwrap(), Tally::default());
    assert_eq!(depth(coordinator, &one).await, Depth::default());
    assert!(coordinator.load(&two, &sku("x")).await.unwrap().is_some());
    assert_eq!(depth(coordinator, &two).await.ready, 1);
}

async fn totals_and_news(coordinator: &dyn Coordinator) {
    let b = batch("totals");
    let created = create(coordinator, &b, "x").await;
    create(coordinator, &b, "y").await;
    let running = apply(coordinator, &created, &started(1), 10).await;
    let done =
        Event::Finished { attempt: attempt(&running, 1), status: JobStatus::Accepted, cost: MicroUsd(40) };
    let done = apply(coordinator, &running, &done, 20).await;
    let mut expected = BTreeMap::new();
    for state in [&done.state, &document(coordinator, &b, "y").await] {
        for (name, count) in Tally::of(state).0 {
            *expected.entry(name).or_insert(0) += count;
        }
    }
    assert_eq!(coordinator.tally(&b).await.unwrap(), Tally(expected));
    let news = coordinator.news(&b, 0, 99).await.unwrap();
    let words: Vec<&str> =
        news.iter().filter(|(_, n)| n.target == MAIN).map(|(_, n)| n.state.as_str()).collect();
    assert_eq!(words, ["running", "accepted"]);
    assert!(news.is_sorted_by(|a, b| a.0 < b.0));
    let after = news[0].0;
    assert_eq!(coordinator.news(&b, after, 99).await.unwrap(), news[1..]);
    assert_eq!(coordinator.news(&b, 0, 1).await.unwrap(), news[..1]);
}

async fn lists_skus_in_pages(coordinator: &dyn Coordinator) {
    let b = batch("pages");
    let names = ["a", "A", "b/c", "b", "ä"];
    for name in names {
        create(coordinator, &b, name).await;
    }
    let mut sorted = names.to_vec();
    sorted.sort_unstable();
    for limit in [1, 2, 5, 9] {
        let mut all: Vec<Sku> = Vec::new();
        loop {
            let page = coordinator.skus(&b, all.last(), limit).await.unwrap();
            let last = page.len() < limit;
            all.extend(page);
            if last {
                break;
            }
        }
        assert_eq!(all.iter().map(Sku::as_str).collect::<Vec<_>>(), sorted, "in pages of {limit}");
    }
}
