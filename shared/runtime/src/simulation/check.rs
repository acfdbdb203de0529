//! What must be true when everything has ended: manifest, objects, documents, index,
//! queues and the books agree.

use std::collections::BTreeSet;

use packshot_pipeline::budget::MicroUsd;
use packshot_pipeline::job_key::JobKey;
use packshot_pipeline::layout;
use packshot_pipeline::manifest::{Batch, ManifestSku};
use packshot_pipeline::pool::Pool;
use packshot_pipeline::result::{JobStatus, SetPointer};
use packshot_pipeline::role::Role;
use packshot_pipeline::state::{JobState, SetState, SkuState};
use packshot_pipeline::tally::{Tally, TallyDelta};

use super::maker;
use super::world::World;
use crate::port::{Coordinator, Depth, Ledger, Objects};
use crate::store::Store;

pub(super) async fn check(world: &World) {
    let fate = &world.fate;
    for pool in Pool::ALL {
        let waiting = world.broker.waiting(pool);
        if waiting > 0 {
            fate.blame(format!("{waiting} messages are left in the queue of {pool}"));
        }
        for (_, reason) in world.broker.dead_letters(pool) {
            // Before a submission is written down, a message about it cannot exist.
            fate.blame(format!("a dead letter: {reason}"));
        }
    }
    // A kind world is the only one in which money cannot be lost between paying and saving.
    let kind = fate.kind_from_ms == super::fate::START_MS && world.batches.len() == 1;
    let (paid, keys) = (fate.paid.lock().unwrap().len(), world.keys().len());
    if kind && paid > keys {
        fate.blame(format!("{paid} calls were paid for {keys} jobs though nothing went wrong"));
    }
    for (header, entries) in &world.batches {
        let mut recount = Tally::default();
        for entry in entries {
            let found = world.coordinator.load(&header.batch, &entry.product.sku).await.unwrap();
            let Some(document) = found else {
                fate.blame(format!("{} has no document", entry.product.sku));
                continue;
            };
            let counts = TallyDelta(Tally::of(&document.state).0);
            recount.add(&counts);
            jobs(world, header, &document.state).await;
            set(world, header, entry, &document.state).await;
        }
        money(world, header, entries).await;
        let tally = world.coordinator.tally(&header.batch).await.unwrap();
        if tally != recount {
            fate.blame(format!("the totals say {tally:?}, the documents {recount:?}"));
        }
        for pool in Pool::ALL {
            let depth = world.coordinator.depth(&header.batch, pool).await.unwrap();
            if depth != Depth::default() {
                fate.blame(format!("the index of {} still holds {depth:?}", header.batch));
            }
        }
    }
}

/// The books agree with the paid answers, and nothing is left put aside.
async fn money(world: &World, header: &Batch, entries: &[ManifestSku]) {
    let (fate, ports) = (&world.fate, world.true_ports());
    let books = world.ledger.books(&header.batch).await.unwrap();
    let keys: BTreeSet<JobKey> =
        entries.iter().flat_map(|entry| entry.jobs.values().map(|spec| spec.key)).collect();
    let mut paid = MicroUsd::ZERO;
    for key in keys {
        for candidate in ports.store().candidates(&key).await.unwrap() {
            let ours = candidate.attempt.split('/').nth(1) == Some(header.batch.as_str());
            paid = paid + if ours { candidate.cost } else { MicroUsd::ZERO };
        }
    }
    if books.reserved > MicroUsd::ZERO {
        fate.blame(format!("{} of {} are still put aside", books.reserved, header.batch));
    }
    // What a dead worker paid after it was given up may be known to the objects only.
    let exact = fate.kind_from_ms == super::fate::START_MS;
    if books.spent > paid || exact && books.spent < paid {
        fate.blame(format!("{}: the books say {} and {paid} were paid", header.batch, books.spent));
    }
    // Attempts that count as dead pay what was put aside for them and then released.
    let cap = header.settings.cost_max.filter(|_| exact);
    if cap.is_some_and(|cap| paid > cap) {
        fate.blame(format!("{} paid {paid}, its cap is {cap:?}", header.batch));
    }
}

async fn decided(store: &Store<'_>, state: &SkuState, role: Role, accept: bool) -> bool {
    let decisions = store.decisions(&state.jobs[&role].key).await.unwrap();
    decisions.iter().any(|decision| decision.accept == accept)
}

/// Every end agrees with what is committed.
async fn jobs(world: &World, header: &Batch, state: &SkuState) {
    let store = Store::new(&*world.objects, &world.fate.clock);
    for (role, job) in &state.jobs {
        let result = store.result(&job.key).await.unwrap();
        let status = result.as_ref().map(|result| &result.status);
        let agrees = match &job.state {
            JobState::Accepted => {
                status == Some(&JobStatus::Accepted)
                    || status.is_some() && decided(&store, state, *role, true).await
            }
            JobState::Rejected => {
                matches!(status, Some(JobStatus::Rejected { .. }))
                    || status.is_some() && decided(&store, state, *role, false).await
            }
            JobState::NeedsHuman => matches!(status, Some(JobStatus::NeedsHuman { .. })),
            JobState::Waiting { on } => {
                state.jobs[on].state == JobState::NeedsHuman
                    || matches!(state.jobs[on].state, JobState::Waiting { .. })
            }
            JobState::Skipped { .. }
            | JobState::Failed { .. }
            | JobState::OverBudget { .. }
            | JobState::Cancelled => true,
            JobState::Ready { .. } | JobState::Running { .. } => false,
        };
        if !agrees {
            let batch = &header.batch;
            world.fate.blame(format!("{batch} {role} is {:?}, its result is {status:?}", job.state));
        }
        // The first committed result stays, and is what the maker makes.
        if let Some(status) = status
            && *status != maker::status(&job.key)
        {
            world.fate.blame(format!("the result of {role} was changed to {status:?}"));
        }
    }
}

/// The set is what the document says, made from what is committed, and the current one.
async fn set(world: &World, header: &Batch, entry: &ManifestSku, state: &SkuState) {
    let fate = &world.fate;
    let store = Store::new(&*world.objects, &fate.clock);
    let (revision, complete) = match &state.set.state {
        SetState::Published { revision } => (*revision, true),
        SetState::Partial { revision } => (*revision, false),
        SetState::Failed { .. } | SetState::Cancelled => return,
        SetState::Open => {
            let held = state.jobs.values().any(|job| job.state == JobState::NeedsHuman);
            if !held {
                fate.blame(format!("the set of {} is open and nobody is asked", state.sku));
            }
            return;
        }
        SetState::Due { .. } | SetState::Running { .. } => {
            fate.blame(format!("the set of {} did not end", state.sku));
            return;
        }
    };
    let pointer = SetPointer { revision, complete };
    let Some(set) = store.set(&state.sku, &pointer).await.unwrap() else {
        fate.blame(format!("set {revision} is not there"));
        return;
    };
    if set.basis != state.basis() || set.set_key != entry.set_key || set.is_complete() != complete {
        fate.blame(format!("set {revision} has basis {:?}, the document {:?}", set.basis, state.basis()));
    }
    let accepted: Vec<Role> =
        state.jobs.iter().filter(|(_, job)| job.state == JobState::Accepted).map(|(role, _)| *role).collect();
    let members: Vec<Role> = set.members.iter().map(|member| member.role).collect();
    if members != accepted {
        fate.blame(format!("the set shows {members:?}, accepted are {accepted:?}"));
    }
    for member in &set.members {
        if store.result(&member.key).await.unwrap().is_none() {
            fate.blame(format!("the set shows {} without a committed result", member.role));
        }
    }
    let folder = layout::set_current(&state.sku);
    let ours = format!("{folder}{:015}-{}-", header.created_ms, header.batch);
    let names = world.objects.list(&folder, None, 99_999).await.unwrap();
    let Some(last) = names.iter().rfind(|name| name.starts_with(&ours)) else {
        fate.blame(format!("no pointer of {} to a set of {}", header.batch, state.sku));
        return;
    };
    let current: SetPointer = store.read(last).await.unwrap().unwrap();
    if current != pointer {
        fate.blame(format!("{last} points at {current:?}, the document at {pointer:?}"));
    }
}
