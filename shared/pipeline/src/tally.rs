//! A batch's totals. They decide nothing: each is the sum over the documents of what one
//! document says, kept up by the difference that each transition makes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::budget::MicroUsd;
use crate::role::Role;
use crate::state::SkuState;

/// Totals by name. Names are `skus`, `settled`, `cached`, `cost`, `attempts`,
/// `job.<role>.<state>` and `set.<state>`; absent = 0.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tally(pub BTreeMap<String, i64>);

/// Differences by name; a zero is left out.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TallyDelta(pub BTreeMap<String, i64>);

impl Tally {
    /// What one document counts for.
    pub fn of(state: &SkuState) -> Tally {
        let mut counts = BTreeMap::new();
        let mut add = |name: String, by: i64| {
            if by != 0 {
                *counts.entry(name).or_insert(0) += by;
            }
        };
        add("skus".into(), 1);
        add("settled".into(), i64::from(state.is_settled()));
        for (role, job) in &state.jobs {
            add(format!("job.{role}.{}", job.state.word()), 1);
            add("cached".into(), i64::from(job.cached));
            add("cost".into(), i64::try_from(job.cost.0).unwrap_or(i64::MAX));
            add("attempts".into(), i64::from(job.attempts));
        }
        add(format!("set.{}", state.set.state.word()), 1);
        Tally(counts)
    }

    /// Adds a difference; what becomes zero is dropped.
    pub fn add(&mut self, delta: &TallyDelta) {
        for (name, by) in &delta.0 {
            let value = self.0.entry(name.clone()).or_insert(0);
            *value = value.saturating_add(*by);
            if *value == 0 {
                self.0.remove(name);
            }
        }
    }

    /// One total.
    pub fn get(&self, name: &str) -> u64 {
        self.0.get(name).map_or(0, |count| u64::try_from(*count).unwrap_or(0))
    }

    /// SKUs with a document.
    pub fn skus(&self) -> u64 {
        self.get("skus")
    }

    /// SKUs with which nothing more happens without a person.
    pub fn settled(&self) -> u64 {
        self.get("settled")
    }

    /// Jobs whose result stood already.
    pub fn cached(&self) -> u64 {
        self.get("cached")
    }

    /// What was paid.
    pub fn cost(&self) -> MicroUsd {
        MicroUsd(self.get("cost"))
    }

    /// Jobs of `role` (or of every role) in the state with this word.
    pub fn jobs(&self, role: Option<Role>, state: &str) -> u64 {
        let of = |role: Role| self.get(&format!("job.{role}.{state}"));
        role.map_or_else(|| Role::ALL.into_iter().map(of).sum(), of)
    }

    /// All jobs, sets not counted.
    pub fn jobs_all(&self) -> u64 {
        self.0.iter().filter(|(name, _)| name.starts_with("job.")).map(|(_, n)| (*n).max(0) as u64).sum()
    }

    /// Sets in the state with this word.
    pub fn sets(&self, state: &str) -> u64 {
        self.get(&format!("set.{state}"))
    }
}

impl TallyDelta {
    /// The difference that leads from `before` to `after`.
    pub fn between(before: &Tally, after: &Tally) -> TallyDelta {
        let names = before.0.keys().chain(after.0.keys());
        let of = |tally: &Tally, name: &String| tally.0.get(name).copied().unwrap_or(0);
        let mut delta = BTreeMap::new();
        for name in names {
            let by = of(after, name).saturating_sub(of(before, name));
            if by != 0 {
                delta.insert(name.clone(), by);
            }
        }
        TallyDelta(delta)
    }
}
