//! The scripted work: an image is the text of its job key, and a set lists them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use packshot_pipeline::budget::MicroUsd;
use packshot_pipeline::ids::Digest;
use packshot_pipeline::job_key::JobKey;
use packshot_pipeline::result::{
    Artefact, Blob, JobResult, JobStatus, RESULT_SCHEMA, SavedCandidate, SetMember, SetResult,
};
use packshot_pipeline::role::Role;
use packshot_pipeline::state::Target;
use packshot_runtime::port::ObjectsError;
use packshot_runtime::work::{ClaimedJob, Outcome, Work};

use crate::points::Points;

/// Work that draws nothing, takes its time and may cost something.
#[derive(Debug)]
pub struct Script {
    points: Arc<Points>,
    /// One of them is taken, by the job's key.
    lasts: Vec<Duration>,
    cost: MicroUsd,
    /// Whether an image has bytes.
    drawn: bool,
}

fn number(name: &str) -> u64 {
    std::env::var(name).ok().map_or(0, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

impl Script {
    /// An image takes `lasts` and costs `cost`.
    pub fn new(points: Arc<Points>, lasts: Duration, cost: MicroUsd) -> Self {
        Self { points, lasts: vec![lasts], cost, drawn: true }
    }

    /// As the variables of the environment say.
    pub fn from_environment(points: Arc<Points>) -> Self {
        let lasts = std::env::var("PACKSHOT_TEST_JOB_MS").unwrap_or_else(|_| "0".to_owned());
        let lasts = lasts.split(',').map(|ms| Duration::from_secs_f64(ms.parse::<f64>().unwrap() / 1_000.0));
        let lasts = lasts.collect();
        let drawn = std::env::var("PACKSHOT_TEST_IMAGES").map_or(true, |text| text != "0");
        Self { points, lasts, cost: MicroUsd(number("PACKSHOT_TEST_COST")), drawn }
    }

    fn lasts(&self, key: &JobKey) -> Duration {
        let digits = u64::from_str_radix(&key.to_string()[..8], 16).unwrap();
        self.lasts[(digits % self.lasts.len() as u64) as usize]
    }

    async fn image(&self, job: &ClaimedJob, role: Role) -> Outcome {
        let key = job.state.jobs[&role].key;
        let name = job.name();
        self.points.reach("claimed", &name);
        tokio::select! {
            () = tokio::time::sleep(self.lasts(&key)) => {}
            () = job.stop.cancelled() => {
                self.points.reach("interrupted", &name);
                return Outcome::Interrupted;
            }
        }
        if let Some(ended) = self.pay(job, &name).await {
            return ended;
        }
        let artefacts = match self.artefacts(job, &key).await {
            Ok(artefacts) => artefacts,
            Err(error) => return Outcome::Transient { why: error.to_string(), retry_after_ms: None },
        };
        self.points.reach("blob", &name);
        Outcome::Job(Box::new(JobResult {
            schema: RESULT_SCHEMA,
            key,
            batch: job.state.batch.clone(),
            sku: job.state.sku.clone(),
            role,
            status: JobStatus::Accepted,
            artefacts,
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

    /// What was made: the text of the job key as an image, or nothing.
    async fn artefacts(&self, job: &ClaimedJob, key: &JobKey) -> Result<Vec<Artefact>, ObjectsError> {
        if !self.drawn {
            return Ok(Vec::new());
        }
        let bytes = Bytes::from(format!("image of {key}"));
        let image = Blob { digest: Digest::of(&bytes), extension: "png".into() };
        job.objects.put(&image.object_key(), bytes).await?;
        let frame = String::new();
        Ok(vec![Artefact { frame, image, mask: None, heatmap: None, width: 1, height: 1, scale_factor: 1.0 }])
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
