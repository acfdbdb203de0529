//! Results as they leave the work: counted, and marked with their trace.

use std::sync::Arc;

use async_trait::async_trait;
use packshot_pipeline::finding::Severity;
use packshot_pipeline::result::JobResult;
use packshot_runtime::work::{ClaimedJob, Outcome, Work};
use packshot_service::names;
use tracing::Span;

use super::On;

/// Work that is looked at.
pub(super) struct Watched {
    pub(super) inner: Arc<dyn Work>,
    pub(super) on: Arc<On>,
}

#[async_trait]
impl Work for Watched {
    async fn work(&self, job: &ClaimedJob) -> Outcome {
        let mut outcome = self.inner.work(job).await;
        if let Outcome::Job(result) = &mut outcome {
            let trace_id = self.on.traces.as_ref().and_then(|traces| traces.trace_id(&Span::current()));
            if let Some(trace_id) = trace_id {
                result.trace_id = trace_id;
            }
            self.on.made(result);
        }
        outcome
    }
}

impl On {
    fn made(&self, result: &JobResult) {
        let role = (names::ROLE, result.role.word());
        self.count(&names::RESULTS, 1, &[role, (names::STATUS, result.status.word())]);
        if result.cost.0 > 0 {
            self.record(&names::COST, result.cost.0 as f64 / 1e6, &[role]);
        }
        let Some(review) = &result.review else { return };
        self.count(&names::VERDICTS, 1, &[role, (names::VERDICT, review.verdict.word())]);
        for finding in &review.findings {
            let severity = match finding.severity {
                Severity::Note => "note",
                Severity::Warning => "warning",
                Severity::Drift => "drift",
            };
            let labels = [(names::AXIS, finding.axis.word()), (names::SEVERITY, severity)];
            self.count(&names::FINDINGS, 1, &labels);
        }
    }
}
