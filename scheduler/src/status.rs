//! How a batch stands, as people and scripts see it: from the coordinator while it has the
//! batch, afterwards from what was written down when the batch came to rest.

use std::collections::BTreeMap;

use anyhow::anyhow;
use packshot_pipeline::ids::BatchId;
use packshot_pipeline::manifest::Batch;
use packshot_pipeline::role::Role;
use packshot_pipeline::tally::Tally;
use packshot_runtime::batches::first_control;
use packshot_runtime::port::{BatchControl, Books, Running};
use packshot_runtime::ports::Ports;
use serde::Serialize;

use crate::exit::Failure;

/// Where a batch stands as a whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Not all of the catalog is taken in yet.
    Submitting,
    /// Being made.
    Running,
    /// Handed out no further until it is resumed.
    Paused,
    /// Stopped for good.
    Cancelled,
    /// Nothing more happens without a person.
    Ended,
}

impl Phase {
    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            Phase::Submitting => "submitting",
            Phase::Running => "running",
            Phase::Paused => "paused",
            Phase::Cancelled => "cancelled",
            Phase::Ended => "ended",
        }
    }
}

/// One batch in numbers. Field names are a contract.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct BatchView {
    /// Its name.
    pub batch: BatchId,
    /// Where it stands.
    pub phase: Phase,
    /// Weight among open batches.
    pub priority: u32,
    /// When it was submitted.
    pub created: String,
    /// SKUs of the submission; absent while it is not complete.
    pub skus_submitted: Option<u64>,
    /// SKUs that can be worked at.
    pub skus: u64,
    /// SKUs with which nothing more happens without a person.
    pub settled: u64,
    /// Jobs whose result stood already.
    pub cached: u64,
    /// Steps (images and sets) that have ended.
    pub steps_done: u64,
    /// All steps.
    pub steps: u64,
    /// Images by role and state.
    pub roles: BTreeMap<Role, BTreeMap<String, u64>>,
    /// Sets by state.
    pub sets: BTreeMap<String, u64>,
    /// What was paid, in US dollars.
    pub cost_usd: String,
    /// What is put aside for work that goes on, in US dollars.
    pub reserved_usd: String,
    /// What may be paid, in US dollars.
    pub cost_max_usd: Option<String>,
}

/// States of a job in the order in which they are shown.
pub const STATES: [&str; 10] = [
    "waiting",
    "ready",
    "running",
    "accepted",
    "needs-human",
    "rejected",
    "skipped",
    "failed",
    "over-budget",
    "cancelled",
];

impl BatchView {
    /// Reads how a batch stands.
    pub async fn load(ports: &Ports, batch: &BatchId) -> Result<Self, Failure> {
        let store = ports.store();
        let header = header(ports, batch).await?;
        let controls = ports.coordinator.batches().await.map_err(Failure::environment)?;
        let known = controls.into_iter().find(|control| control.batch == *batch);
        let mut tally = ports.coordinator.tally(batch).await.map_err(Failure::environment)?;
        let books = ports.ledger.books(batch).await.map_err(Failure::environment)?;
        let closed = store.closed(batch).await.map_err(Failure::environment)?.filter(|closed| closed.closed);
        if let Some(closed) = closed.as_ref().filter(|_| known.is_none()) {
            tally = closed.tally.clone();
        }
        let submitted = store.submitted(batch).await.map_err(Failure::environment)?;
        let control = match known {
            Some(control) => control,
            None => wanted(ports, &header).await?,
        };
        let skus = submitted.map(|submitted| submitted.skus);
        Ok(Self::of(&header, &control, skus, &tally, &books))
    }

    /// The view of what was read.
    pub fn of(
        header: &Batch,
        control: &BatchControl,
        skus_submitted: Option<u64>,
        tally: &Tally,
        books: &Books,
    ) -> Self {
        let at_rest = skus_submitted.is_some_and(|skus| tally.settled() >= skus && tally.skus() >= skus);
        let phase = match (control.running, skus_submitted) {
            (Running::Cancelled, _) => Phase::Cancelled,
            (Running::Yes | Running::Paused, _) if at_rest => Phase::Ended,
            (Running::Paused, _) => Phase::Paused,
            (Running::Yes, None) => Phase::Submitting,
            (Running::Yes, Some(_)) => Phase::Running,
        };
        let of_role = |role: Role| {
            let counts = STATES.map(|state| (state.to_owned(), tally.jobs(Some(role), state)));
            counts.into_iter().filter(|(_, count)| *count > 0).collect::<BTreeMap<_, _>>()
        };
        let roles = Role::ALL.map(|role| (role, of_role(role)));
        let sets = ["open", "due", "running", "published", "partial", "failed", "cancelled"]
            .map(|state| (state.to_owned(), tally.sets(state)));
        let (steps_done, steps) = steps(tally);
        Self {
            batch: header.batch.clone(),
            phase,
            priority: control.priority,
            created: jiff::Timestamp::from_millisecond(header.created_ms as i64)
                .unwrap_or_default()
                .to_string(),
            skus_submitted,
            skus: tally.skus(),
            settled: tally.settled(),
            cached: tally.cached(),
            steps_done,
            steps,
            roles: roles.into_iter().filter(|(_, counts)| !counts.is_empty()).collect(),
            sets: sets.into_iter().filter(|(_, count)| *count > 0).collect(),
            cost_usd: books.spent.max(tally.cost()).to_string(),
            reserved_usd: books.reserved.to_string(),
            cost_max_usd: header.settings.cost_max.map(|cap| cap.to_string()),
        }
    }

    /// Images in this state, of all roles.
    pub fn images(&self, state: &str) -> u64 {
        self.roles.values().filter_map(|counts| counts.get(state)).sum()
    }

    /// Images or sets that need a person.
    pub fn needs_attention(&self) -> bool {
        let images = ["needs-human", "rejected", "failed", "over-budget", "cancelled"];
        images.iter().any(|state| self.images(state) > 0)
            || ["partial", "failed", "cancelled"].iter().any(|state| self.sets.contains_key(*state))
    }

    /// Whether nothing more happens in it without a person.
    pub fn is_at_rest(&self) -> bool {
        match self.phase {
            Phase::Ended => true,
            Phase::Cancelled => self.settled >= self.skus,
            Phase::Submitting | Phase::Running | Phase::Paused => false,
        }
    }

    /// The table that people read: one line per role, one column per state that occurs.
    pub fn table(&self) -> String {
        let states: Vec<&str> = STATES.into_iter().filter(|state| self.images(state) > 0).collect();
        let mut lines = vec![
            std::iter::once(format!("{:<12}", "role"))
                .chain(states.iter().map(|state| format!("{state:>12}")))
                .collect::<String>(),
        ];
        for (role, counts) in &self.roles {
            let cells = states.iter().map(|state| match counts.get(*state) {
                Some(count) => format!("{count:>12}"),
                None => format!("{:>12}", "-"),
            });
            lines.push(std::iter::once(format!("{:<12}", role.word())).chain(cells).collect());
        }
        let sets: Vec<String> = self.sets.iter().map(|(state, count)| format!("{count} {state}")).collect();
        lines.push(format!("sets: {}", if sets.is_empty() { "none".to_owned() } else { sets.join(", ") }));
        lines.join("\n")
    }

    /// One line about the whole.
    pub fn line(&self) -> String {
        let mut parts = vec![
            format!("{} of {} steps", self.steps_done, self.steps),
            format!("{} images accepted", self.images("accepted")),
        ];
        let more = [
            (self.images("needs-human"), "need a human eye"),
            (self.images("rejected") + self.images("failed"), "failed"),
            (self.images("over-budget"), "over budget"),
            (self.images("skipped"), "skipped with a reason"),
            (self.images("cancelled"), "cancelled"),
        ];
        parts.extend(
            more.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")),
        );
        if self.cost_usd != "0.000000" {
            parts.push(format!("{} USD", self.cost_usd));
        }
        format!("{} ({}): {}", self.batch, self.phase.word(), parts.join(", "))
    }
}

/// Images and sets that have ended, and all of them.
pub(crate) fn steps(tally: &Tally) -> (u64, u64) {
    let total = tally.jobs_all() + tally.skus();
    let jobs = ["waiting", "ready", "running"].map(|state| tally.jobs(None, state));
    let sets = ["open", "due", "running"].map(|state| tally.sets(state));
    let open: u64 = jobs.iter().chain(&sets).sum();
    (total.saturating_sub(open), total)
}

/// The header of a batch that must be there.
pub async fn header(ports: &Ports, batch: &BatchId) -> Result<Batch, Failure> {
    let header = ports.store().batch(batch).await.map_err(Failure::environment)?;
    header.ok_or_else(|| {
        Failure::usage(anyhow!("there is no batch {batch}"))
            .hint("`packshot status` lists the batches of this object store")
    })
}

/// How the operators want a batch to be handed out.
pub async fn wanted(ports: &Ports, header: &Batch) -> Result<BatchControl, Failure> {
    let control = ports.store().control(&header.batch).await.map_err(Failure::environment)?;
    Ok(control.unwrap_or_else(|| first_control(header)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use packshot_pipeline::budget::MicroUsd;
    use packshot_pipeline::policy::Policy;
    use packshot_runtime::conformance::sample;

    use super::*;

    fn view(running: Running, submitted: Option<u64>, counts: &[(&str, i64)]) -> BatchView {
        let header = sample::batch("b", Policy::STANDARD);
        let control = BatchControl { running, ..first_control(&header) };
        let tally = Tally(counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect());
        BatchView::of(&header, &control, submitted, &tally, &Books::default())
    }

    #[test]
    fn the_phase_follows_operators_and_totals() {
        let half = [("skus", 2), ("settled", 1)];
        let all = [("skus", 2), ("settled", 2)];
        for (running, submitted, counts, phase) in [
            (Running::Yes, None, half, Phase::Submitting),
            (Running::Yes, None, all, Phase::Submitting),
            (Running::Yes, Some(2), half, Phase::Running),
            (Running::Yes, Some(3), all, Phase::Running),
            (Running::Paused, Some(2), half, Phase::Paused),
            (Running::Paused, None, half, Phase::Paused),
            (Running::Yes, Some(2), all, Phase::Ended),
            (Running::Paused, Some(2), all, Phase::Ended),
            (Running::Cancelled, Some(2), half, Phase::Cancelled),
        ] {
            assert_eq!(view(running, submitted, &counts).phase, phase, "{running:?} {submitted:?}");
        }
        assert!(!view(Running::Cancelled, Some(2), &half).is_at_rest());
        assert!(view(Running::Cancelled, Some(2), &all).is_at_rest());
    }

    #[test]
    fn people_read_a_table_and_a_line() {
        let seen = view(
            Running::Yes,
            Some(3),
            &[
                ("skus", 3),
                ("settled", 1),
                ("job.main.accepted", 2),
                ("job.main.running", 1),
                ("job.detail.failed", 1),
                ("job.detail.waiting", 2),
                ("set.open", 2),
                ("set.partial", 1),
            ],
        );
        assert_eq!((seen.steps_done, seen.steps), (4, 9));
        assert!(seen.needs_attention());
        let table = seen.table();
        assert_eq!(table.lines().count(), 4, "{table}");
        assert!(table.contains("accepted") && !table.contains("cancelled"), "{table}");
        assert_eq!(seen.line(), "b (running): 4 of 9 steps, 2 images accepted, 1 failed");
        let paid = Books { spent: MicroUsd(40_000), reserved: MicroUsd(0) };
        let header = sample::batch("b", Policy::STANDARD);
        let paid = BatchView::of(&header, &first_control(&header), None, &Tally::default(), &paid);
        assert!(paid.line().ends_with("0.040000 USD"), "{}", paid.line());
    }
}
