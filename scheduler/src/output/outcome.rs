//! What became of one SKU: its entry, its document, its committed results and its set, read
//! for the report and the results table.

use std::collections::BTreeMap;

use packshot_pipeline::budget::MicroUsd;
use packshot_pipeline::finding::Finding;
use packshot_pipeline::ids::Sku;
use packshot_pipeline::layout;
use packshot_pipeline::manifest::ManifestSku;
use packshot_pipeline::result::{JobResult, JobStatus, SetPointer, SetResult};
use packshot_pipeline::role::Role;
use packshot_pipeline::state::{Incarnation, JobState, SetState, SkuState};
use packshot_runtime::port::{BatchControl, Running};
use packshot_runtime::store::Store;
use packshot_runtime::submit::committed_state;

use super::{Source, environment};
use crate::exit::Failure;
use crate::report::{ReportStatus, ResultRow};

/// Everything known of a finished SKU.
#[derive(Clone, Debug)]
pub(super) struct SkuOutcome {
    pub(super) entry: ManifestSku,
    pub(super) state: SkuState,
    pub(super) results: BTreeMap<Role, JobResult>,
    pub(super) set: Option<SetResult>,
}

impl SkuOutcome {
    /// Reads it; `None` when the batch has no such SKU.
    pub(super) async fn load(
        from: Source<'_>,
        control: Option<&BatchControl>,
        sku: &Sku,
    ) -> Result<Option<Self>, Failure> {
        let (store, header) = (Store::new(from.objects, from.clock), from.header);
        let entry = store.entry(&header.batch, sku).await.map_err(environment)?;
        let Some(entry) = entry else { return Ok(None) };
        let mut results = BTreeMap::new();
        for (role, spec) in &entry.jobs {
            if let Some(result) = store.result(&spec.key).await.map_err(environment)? {
                results.insert(*role, result);
            }
        }
        // The set that this batch made last, whatever other batches made since.
        let ours = layout::set_pointers(sku, header.created_ms, &header.batch);
        let pointer: Option<SetPointer> = match store.last_pointer(sku, &ours).await.map_err(environment)? {
            Some(name) => store.read(&name).await.map_err(environment)?,
            None => None,
        };
        let set = match &pointer {
            Some(pointer) => store.set(sku, pointer).await.map_err(environment)?,
            None => None,
        };
        let document = match from.documents {
            Some(documents) => documents.load(&header.batch, sku).await.map_err(Failure::environment)?,
            None => None,
        };
        let state = match document {
            Some(document) => document.state,
            None => {
                let state = committed_state(&store, header, &entry, Incarnation(0), 0).await;
                as_assembled(state.map_err(environment)?, set.as_ref(), control)
            }
        };
        Ok(Some(Self { entry, state, results, set }))
    }

    /// How the job of `role` stands, and why.
    pub(super) fn job(&self, role: Role) -> (ReportStatus, String) {
        let weak = match self.results.get(&role).map(|result| &result.status) {
            Some(JobStatus::WeakReference { reason }) => Some(reason.clone()),
            _ => None,
        };
        if let Some(reason) = weak {
            return (ReportStatus::WeakReference, reason);
        }
        let said = || match self.results.get(&role).map(|result| result.status.clone()) {
            Some(JobStatus::NeedsHuman { why } | JobStatus::Rejected { why }) => why,
            Some(JobStatus::Skipped { reason } | JobStatus::WeakReference { reason }) => reason,
            Some(JobStatus::Accepted) | None => String::new(),
        };
        let Some(job) = self.state.jobs.get(&role) else { return (ReportStatus::Pending, String::new()) };
        match &job.state {
            JobState::Waiting { .. } | JobState::Ready { .. } | JobState::Running { .. } => {
                (ReportStatus::Pending, String::new())
            }
            JobState::Accepted => (ReportStatus::Accepted, String::new()),
            JobState::NeedsHuman => (ReportStatus::NeedsHuman, said()),
            JobState::Rejected => (ReportStatus::Rejected, said()),
            JobState::Skipped { reason, .. } => (ReportStatus::Skipped, reason.clone()),
            JobState::Failed { why } => (ReportStatus::Failed, why.clone()),
            JobState::OverBudget { why } => (ReportStatus::OverBudget, why.clone()),
            JobState::Cancelled => (ReportStatus::Cancelled, String::new()),
        }
    }

    /// How the SKU as a whole stands, and why: its jobs, then its set.
    pub(super) fn status(&self) -> (ReportStatus, String) {
        let jobs: Vec<(ReportStatus, String)> = self.entry.jobs.keys().map(|role| self.job(*role)).collect();
        let worst = ReportStatus::of_set(jobs.iter().map(|(status, _)| *status));
        let why =
            jobs.into_iter().find(|(status, _)| *status == worst).map(|(_, why)| why).unwrap_or_default();
        if worst != ReportStatus::Accepted {
            return (worst, why);
        }
        match &self.state.set.state {
            SetState::Failed { why } => (ReportStatus::Failed, why.clone()),
            SetState::Partial { .. } => {
                let gaps = self.set.iter().flat_map(|set| &set.gaps).map(|gap| gap.why.as_str());
                (ReportStatus::NeedsHuman, gaps.collect::<Vec<_>>().join("; "))
            }
            SetState::Open
            | SetState::Due { .. }
            | SetState::Running { .. }
            | SetState::Published { .. }
            | SetState::Cancelled => (ReportStatus::Accepted, String::new()),
        }
    }

    /// Every finding of the results and of the set, with its role.
    pub(super) fn findings(&self) -> Vec<(Role, Finding)> {
        let mut findings: Vec<(Role, Finding)> = self
            .results
            .iter()
            .flat_map(|(role, result)| {
                let review = result.review.iter().flat_map(|review| &review.findings);
                review.chain(&result.findings).map(|finding| (*role, finding.clone()))
            })
            .collect();
        let of_set = self.set.iter().flat_map(|set| &set.findings);
        findings.extend(of_set.filter_map(|remark| Some((remark.role?, remark.finding.clone()))));
        findings.sort_by_key(|(_, finding)| std::cmp::Reverse(finding.severity));
        findings
    }

    /// Where the file of `role` is, relative to the output folder: the first exported one,
    /// else the master.
    pub(super) fn file(&self, role: Role) -> Option<String> {
        let slug = self.entry.product.sku.slug();
        let exported = self.set.iter().flat_map(|set| &set.files).find(|file| file.role == role);
        let master = || {
            self.results
                .get(&role)?
                .artefacts
                .first()
                .map(|first| format!("store/{}", first.image.object_key()))
        };
        exported.map(|file| format!("sets/{slug}/{}", file.path)).or_else(master)
    }

    /// The row of the results table.
    pub(super) fn row(&self) -> ResultRow {
        let (status, reason) = self.status();
        let reviews = self.results.values().filter_map(|result| result.review.as_ref());
        let verdict = reviews.max_by(|a, b| a.badness().total_cmp(&b.badness()));
        let mut source_types: Vec<String> =
            self.results.values().map(|result| result.source_type.clone()).collect();
        source_types.retain(|word| !word.is_empty());
        source_types.sort();
        source_types.dedup();
        ResultRow {
            status: Some(status),
            reason,
            files: self.entry.jobs.keys().filter_map(|role| Some((*role, self.file(*role)?))).collect(),
            verdict: verdict.map(|review| review.verdict.word().to_owned()).unwrap_or_default(),
            findings: self.findings(),
            cost: MicroUsd(self.results.values().map(|result| result.cost.0).sum()),
            attempts: self.results.values().map(|result| result.attempts).sum(),
            source_types,
        }
    }
}

/// Completes what the objects tell by what the last set was assembled from, which names the
/// jobs that ended without a result, and by what the operators want.
fn as_assembled(mut state: SkuState, set: Option<&SetResult>, control: Option<&BatchControl>) -> SkuState {
    let cancelled = control.is_some_and(|control| control.running == Running::Cancelled);
    for (role, job) in &mut state.jobs {
        if job.state.is_terminal() {
            continue;
        }
        let word = set.and_then(|set| set.basis.get(role)).map_or("", String::as_str);
        let why = set.and_then(|set| set.absent.get(role)).cloned().unwrap_or_default();
        job.state = match word {
            "failed" => JobState::Failed { why },
            "over-budget" => JobState::OverBudget { why },
            "skipped" => JobState::Skipped { reason: why, blocked_on: None },
            "cancelled" => JobState::Cancelled,
            _ if cancelled => JobState::Cancelled,
            _ => continue,
        };
    }
    if let Some(set) = set {
        let revision = set.revision();
        state.set.state =
            if set.is_complete() { SetState::Published { revision } } else { SetState::Partial { revision } };
    }
    state
}
