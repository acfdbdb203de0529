//! The scripted work: an image is the text of its job key, and a set lists them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use packshot_pipeline::budget::MicroUsd;
use packshot_pipeline::ids::Digest;
use packshot_pipeline::result::{
    Artefact, Blob, JobResult, JobStatus, RESULT_SCHEMA, SavedCandidate, SetMember, SetResult,
};
use packshot_pipeline::role::Role;
use packshot_pipeline::state::Target;
use packshot_runtime::work::{ClaimedJob, Outcome, Work};

use crate::points::Points;

/// Work that draws nothing, takes its time and may cost something.
#[derive(Debug)]
pub struct Script {
    points: Arc<Points>,
    lasts: Duration,
    cost: MicroUsd,
}

fn number(name: &str) -> u64 {
    std::env::var(name).ok().map_or(0, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

impl Script {
    /// An image takes `lasts` and costs `cost`.
    pub fn new(points: Arc<Points>, lasts: Duration, cost: MicroUsd) -> Self {
        Self { points, lasts, cost }
    }

    /// As `PACKSHOT_TEST_JOB_MS` and `PACKSHOT_TEST_COST` say.
    pub fn from_environment(points: Arc<Points>) -> Self {
        let lasts = Duration::from_millis(number("PACKSHOT_TEST_JOB_MS"));
        Self::new(points, lasts, MicroUsd(number("PACKSHOT_TEST_COST")))
    }

    async fn image(&self, job: &ClaimedJob, role: Role) -> Outcome {
        let key = job.state.jobs[&role].key;
        let name = job.name();
        self.points.reach("claimed", &name);
        tokio::select! {
            () = tokio::time::sleep(self.lasts) => {}
            () = job.stop.cancelled() => {
                self.points.reach("interrupted", &name);
                return Outcome::Interrupted;
            }
        }
        if let Some(ended) = self.pay(job, &name).await {
            return ended;
        }
        let bytes = Bytes::from(format!("image of {key}"));
        let image = Blob { digest: Digest::of(&bytes), extension: "png".into() };
        if let Err(error) = job.objects.put(&image.object_key(), bytes).await {
            return Outcome::Transient { why: error.to_string(), retry_after_ms: None };
        }
        self.points.reach("blob", &name);
        Outcome::Job(Box::new(JobResult {
            schema: RESULT_SCHEMA,
            key,
            batch: job.state.batch.clone(),
            sku: job.state.sku.clone(),
            role,
            status: JobStatus::Accepted,
            artefacts: vec![Artefact {
                frame: String::new(),
                image,
                mask: None,
                heatmap: None,
                width: 1,
                height: 1,
                scale_factor: 1.0,
            }],
            review: None,
            findings: Vec::new(),
            cost: self.cost,
            candidates: 1,
            edits: 0,
            attempts: job.attempt.number,
            maker: job.entry.jobs[&role].maker.clone(),
            source_type: String::new(),
            notes: Vec::new(),
            trace_id: String::new(),
        }))
    }

    /// Buys a candidate where one is missing; `Some`: the attempt is over.
    async fn pay(&self, job: &ClaimedJob, name: &str) -> Option<Outcome> {
        if self.cost == MicroUsd::ZERO || !job.candidates.is_empty() {
            return None;
        }
        if !job.is_held().await {
            self.points.reach("interrupted", name);
            return Some(Outcome::Interrupted);
        }
        // The call itself: whoever counts these lines counts what was paid.
        self.points.reach("called", name);
        let candidate = SavedCandidate {
            schema: RESULT_SCHEMA,
            attempt: name.to_owned(),
            cost: self.cost,
            artefacts: Vec::new(),
            source_type: String::new(),
            notes: Vec::new(),
            maker_data: BTreeMap::new(),
        };
        if let Err(error) = job.save_candidate(1, &candidate).await {
            return Some(Outcome::Transient { why: error.to_string(), retry_after_ms: None });
        }
        self.points.reach("saved", name);
        None
    }

    fn set(&self, job: &ClaimedJob) -> Outcome {
        self.points.reach("set-claimed", &job.name());
        let accepted = job.state.jobs.iter().filter(|(role, _)| job.is_accepted(**role));
        let members = accepted.map(|(role, own)| SetMember { role: *role, key: own.key }).collect();
        Outcome::Set(Box::new(SetResult {
            schema: RESULT_SCHEMA,
            batch: job.state.batch.clone(),
            sku: job.state.sku.clone(),
            set_key: job.state.set.key,
            basis: job.state.basis(),
            members,
            files: Vec::new(),
            gaps: Vec::new(),
            findings: Vec::new(),
            notes: Vec::new(),
            absent: BTreeMap::new(),
        }))
    }
}

#[async_trait]
impl Work for Script {
    async fn work(&self, job: &ClaimedJob) -> Outcome {
        match job.target() {
            Target::Role(role) => self.image(job, role).await,
            Target::Set => self.set(job),
        }
    }
}
