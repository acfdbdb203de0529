//! Work that costs money and time and draws nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use packshot_pipeline::budget::MicroUsd;
use packshot_pipeline::ids::Digest;
use packshot_pipeline::result::{
    Artefact, Blob, JobResult, JobStatus, RESULT_SCHEMA, SavedCandidate, SetGap, SetMember, SetResult,
};
use packshot_pipeline::role::Role;
use packshot_pipeline::state::{JobState, Target};

use super::fate::Process;
use crate::clock::Clock;
use crate::port::Coordinator;
use crate::work::{ClaimedJob, Outcome, Work};

/// What a candidate costs.
pub(super) const PRICE: MicroUsd = MicroUsd(40);

pub(super) struct SimulatedWork {
    pub(super) process: Process,
    /// The coordinator as it really is, to see what is counted when money flows.
    pub(super) books: Arc<dyn Coordinator>,
}

/// How a job ends is written in its key, as it would be in its pixels.
pub(super) fn status(key: &packshot_pipeline::job_key::JobKey) -> JobStatus {
    let digit = key.to_string().as_bytes()[0];
    let why = || "simulated".to_owned();
    match digit {
        b'0' => JobStatus::WeakReference { reason: why() },
        b'1' | b'2' => JobStatus::Rejected { why: why() },
        b'3' | b'4' => JobStatus::NeedsHuman { why: why() },
        b'5' => JobStatus::Skipped { reason: why() },
        _ => JobStatus::Accepted,
    }
}

#[async_trait]
impl Work for SimulatedWork {
    async fn work(&self, job: &ClaimedJob) -> Outcome {
        let fate = &self.process.fate;
        let last_ms = fate.draw(0..4) * fate.draw(0..1_500);
        let stop = &job.stop;
        tokio::select! {
            biased;
            () = stop.cancelled() => return Outcome::Interrupted,
            () = fate.clock.sleep(last_ms) => {}
        }
        if !fate.is_kind() {
            match fate.draw(0..40) {
                0 => return Outcome::Transient { why: "simulated".into(), retry_after_ms: Some(700) },
                1 => return Outcome::Failed { why: "simulated".into() },
                2 => return Outcome::OverBudget { why: "simulated".into() },
                3 => return Outcome::Interrupted,
                _ => {}
            }
        }
        match job.target() {
            Target::Role(role) => self.image(job, role).await,
            Target::Set => self.set(job),
        }
    }
}

impl SimulatedWork {
    async fn image(&self, job: &ClaimedJob, role: Role) -> Outcome {
        let fate = &self.process.fate;
        for on in role.waits_for() {
            let accepted = job.state.jobs.get(on).is_some_and(|on| on.state == JobState::Accepted);
            if accepted && !job.results.contains_key(on) {
                fate.blame(format!("{}: {on} is accepted and has no result", job.name()));
            }
        }
        let key = job.state.jobs[&role].key;
        let cost = PRICE;
        if job.candidates.is_empty() {
            if !job.is_held().await {
                return Outcome::Interrupted;
            }
            self.pay(job, role).await;
            // The one window in which money can be lost: paid and not saved.
            self.process.under_fate(async {}).await;
            let candidate = SavedCandidate {
                schema: RESULT_SCHEMA,
                attempt: job.name(),
                cost,
                artefacts: Vec::new(),
                source_type: String::new(),
                notes: Vec::new(),
                maker_data: BTreeMap::new(),
            };
            if let Err(error) = job.save_candidate(1, &candidate).await {
                return Outcome::Transient { why: error.to_string(), retry_after_ms: None };
            }
        }
        let bytes = Bytes::from(format!("image of {key}"));
        let image = Blob { digest: Digest::of(&bytes), extension: "png".into() };
        if let Err(error) = job.objects.put(&image.object_key(), bytes).await {
            return Outcome::Transient { why: error.to_string(), retry_after_ms: None };
        }
        let artefact = Artefact {
            frame: String::new(),
            image,
            mask: None,
            heatmap: None,
            width: 1,
            height: 1,
            scale_factor: 1.0,
        };
        Outcome::Job(Box::new(JobResult {
            schema: RESULT_SCHEMA,
            key,
            batch: job.state.batch.clone(),
            sku: job.state.sku.clone(),
            role,
            status: status(&key),
            artefacts: vec![artefact],
            review: None,
            findings: Vec::new(),
            cost,
            candidates: 1,
            edits: 0,
            attempts: job.attempt.number,
            maker: "simulated".into(),
            source_type: String::new(),
            notes: vec![job.attempt.file_name()],
            trace_id: String::new(),
        }))
    }

    async fn pay(&self, job: &ClaimedJob, role: Role) {
        let fate = &self.process.fate;
        let name = format!("{} {}", job.name(), job.attempt.file_name());
        let calls = {
            let mut paid = fate.paid.lock().unwrap();
            let calls = paid.entry(name.clone()).or_insert(0);
            *calls += 1;
            *calls
        };
        if calls > 1 {
            fate.blame(format!("{name} paid {calls} times"));
        }
        let job_key = job.state.jobs[&role].key.to_string();
        let stored_ms = fate.stored.lock().unwrap().get(&job_key).copied();
        let leases = job.state.leases();
        let lease = leases.iter().find(|lease| lease.attempt == job.attempt);
        let claimed_ms = lease.map_or(0, |lease| lease.until_ms - job.batch.settings.policy.lease_ms);
        if stored_ms.is_some_and(|stored_ms| stored_ms < claimed_ms) {
            fate.blame(format!("{name} was paid though an answer was there before the claim"));
        }
        let books = self.books.load(&job.state.batch, &job.state.sku).await.unwrap();
        let counted = books.is_none_or(|books| {
            books.state.incarnation != job.attempt.incarnation
                || books.state.jobs[&role].attempts >= job.attempt.number
        });
        if !counted {
            fate.blame(format!("{name} was paid and not counted"));
        }
    }

    fn set(&self, job: &ClaimedJob) -> Outcome {
        let fate = &self.process.fate;
        let mut members = Vec::new();
        let mut gaps = Vec::new();
        for (role, own) in &job.state.jobs {
            if own.state == JobState::Accepted {
                if !job.results.contains_key(role) {
                    fate.blame(format!("{}: {role} is accepted and has no result", job.name()));
                }
                members.push(SetMember { role: *role, key: own.key });
            } else {
                let why = own.state.word().to_owned();
                gaps.push(SetGap { channel: String::new(), role: Some(*role), why });
            }
        }
        Outcome::Set(Box::new(SetResult {
            schema: RESULT_SCHEMA,
            batch: job.state.batch.clone(),
            sku: job.state.sku.clone(),
            set_key: job.state.set.key,
            basis: job.state.basis(),
            members,
            files: Vec::new(),
            gaps,
            findings: Vec::new(),
            notes: vec![job.attempt.file_name()],
            absent: BTreeMap::new(),
        }))
    }
}
