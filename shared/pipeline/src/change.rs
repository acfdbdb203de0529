//! What must be committed together with a document: its places in the index of ready and
//! leased work, the batch's totals, and the news for whoever watches. Derived from the
//! document before and after, so it cannot disagree with it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::Sku;
use crate::pool::Pool;
use crate::state::{SkuState, Target};
use crate::tally::{Tally, TallyDelta};

/// One readiness or claim of one target: the attempt it is about. A slot never returns
/// once its attempt has been started, so moving a slot twice is harmless.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Slot {
    /// Whose.
    pub sku: Sku,
    /// What.
    pub target: Target,
    /// The number of the attempt that is ready or running.
    pub number: u32,
}

/// One change of the index. Each names the place where the slot shall be; the coordinator
/// takes it out of every other.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum IndexOp {
    /// To be dispatched, not before the time given.
    Ready {
        /// Which slot.
        slot: Slot,
        /// For which pool.
        pool: Pool,
        /// In milliseconds since 1970.
        not_before_ms: u64,
    },
    /// Being worked at.
    Leased {
        /// Which slot.
        slot: Slot,
        /// In which pool.
        pool: Pool,
        /// In milliseconds since 1970.
        until_ms: u64,
    },
    /// Gone.
    Gone {
        /// Which slot.
        slot: Slot,
        /// Of which pool.
        pool: Pool,
    },
}

/// One piece of news.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Progress {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Whose.
    pub sku: Sku,
    /// What.
    pub target: Target,
    /// The state it is in now, as [`crate::state::JobState::word`] or
    /// [`crate::state::SetState::word`].
    pub state: String,
    /// Attempts started.
    pub attempts: u32,
    /// Whether the result stood already.
    pub cached: bool,
}

/// Everything that changes beside the document.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Change {
    /// Index.
    pub index: Vec<IndexOp>,
    /// Totals.
    pub tally: TallyDelta,
    /// News.
    pub progress: Vec<Progress>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Ready(Pool, u64),
    Leased(Pool, u64),
}

fn places(state: &SkuState) -> BTreeMap<(Target, u32), Place> {
    let ready =
        state.ready().into_iter().map(|d| ((d.target, d.number), Place::Ready(d.pool, d.not_before_ms)));
    let leased = state
        .leases()
        .into_iter()
        .map(|l| ((l.attempt.target, l.attempt.number), Place::Leased(l.pool, l.until_ms)));
    ready.chain(leased).collect()
}

fn words(state: &SkuState) -> BTreeMap<Target, (&'static str, u32, bool)> {
    let jobs = state
        .jobs
        .iter()
        .map(|(role, job)| (Target::Role(*role), (job.state.word(), job.attempts, job.cached)));
    let set = (Target::Set, (state.set.state.word(), state.set.attempts, false));
    jobs.chain([set]).collect()
}

fn op(state: &SkuState, (target, number): (Target, u32), place: Place) -> IndexOp {
    let slot = Slot { sku: state.sku.clone(), target, number };
    match place {
        Place::Ready(pool, not_before_ms) => IndexOp::Ready { slot, pool, not_before_ms },
        Place::Leased(pool, until_ms) => IndexOp::Leased { slot, pool, until_ms },
    }
}

impl Change {
    /// What follows from moving a document from `before` to `after`.
    pub fn between(before: &SkuState, after: &SkuState, now_ms: u64) -> Change {
        let (old, new) = (places(before), places(after));
        let mut index = Vec::new();
        for (name, place) in &old {
            if !new.contains_key(name) {
                let (Place::Ready(pool, _) | Place::Leased(pool, _)) = *place;
                let slot = Slot { sku: before.sku.clone(), target: name.0, number: name.1 };
                index.push(IndexOp::Gone { slot, pool });
            }
        }
        for (name, place) in &new {
            if old.get(name) != Some(place) {
                index.push(op(after, *name, *place));
            }
        }
        let (old, new) = (words(before), words(after));
        let moved = new.iter().filter(|(target, now)| old.get(target).map(|old| old.0) != Some(now.0));
        let progress = moved.map(|(target, (word, attempts, cached))| Progress {
            at_ms: now_ms,
            sku: after.sku.clone(),
            target: *target,
            state: (*word).to_owned(),
            attempts: *attempts,
            cached: *cached,
        });
        Change {
            index,
            progress: progress.collect(),
            tally: TallyDelta::between(&Tally::of(before), &Tally::of(after)),
        }
    }

    /// Where `slot` belongs by the document as it stands: mends an index that says
    /// otherwise, and changes nothing in one that does not.
    pub fn mending(state: &SkuState, slot: &Slot) -> Change {
        let name = (slot.target, slot.number);
        let index = match places(state).get(&name) {
            Some(place) => vec![op(state, name, *place)],
            None => Pool::ALL.into_iter().map(|pool| IndexOp::Gone { slot: slot.clone(), pool }).collect(),
        };
        Change { index, ..Change::default() }
    }

    /// What follows from creating a document.
    pub fn creating(state: &SkuState, now_ms: u64) -> Change {
        let index = places(state).into_iter().map(|(name, place)| op(state, name, place)).collect();
        let progress = words(state).into_iter().map(|(target, (word, attempts, cached))| Progress {
            at_ms: now_ms,
            sku: state.sku.clone(),
            target,
            state: word.to_owned(),
            attempts,
            cached,
        });
        Change {
            index,
            progress: progress.filter(|news| news.cached).collect(),
            tally: TallyDelta::between(&Tally::default(), &Tally::of(state)),
        }
    }
}
