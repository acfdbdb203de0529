//! The trace of a submission, and the beginning of each SKU's trace.

use std::sync::Arc;
use std::time::SystemTime;

use packshot_pipeline::ids::Sku;
use packshot_pipeline::manifest::Batch;
use packshot_runtime::port::Created;
use packshot_service::names;
use packshot_service::telemetry::RootSpan;
use tracing::field::Empty;
use tracing::{Span, info_span};

use super::{Instruments, On, batch_ids, sku_ids};

/// A submission that is going on; its span ends when this is dropped.
pub struct Submission {
    on: Option<Arc<On>>,
    header: Batch,
    span: Span,
}

/// One SKU being taken in; its span ends when this is dropped.
pub struct Intake {
    root: Option<(Arc<On>, RootSpan)>,
    span: Span,
}

impl Instruments {
    /// Begins the submission of a batch. One that is resumed is another span of the same
    /// trace.
    pub fn submission(&self, header: &Batch) -> Submission {
        let (on, header) = (self.on.clone(), header.clone());
        let Some(traces) = on.as_ref().and_then(|on| on.traces.as_ref()) else {
            return Submission { on: None, header, span: Span::none() };
        };
        let span = info_span!(
            parent: None,
            names::SUBMIT,
            { names::BATCH } = %header.batch,
            { names::SKUS } = Empty,
        );
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let run = format!("{}-{}", since.as_nanos(), std::process::id());
        let ids = batch_ids(&header.batch, header.created_ms).span(&["submit", &run]);
        traces.name(&span, ids);
        Submission { on, header, span }
    }
}

impl Submission {
    /// Begins to take a SKU in.
    pub fn sku(&self, sku: &Sku) -> Intake {
        let Some((on, traces)) = self.on.as_ref().and_then(|on| Some((on, on.traces.as_ref()?))) else {
            return Intake { root: None, span: Span::none() };
        };
        let batch = &self.header.batch;
        let ids = sku_ids(batch, self.header.created_ms, sku);
        let span = info_span!(
            parent: None,
            names::INTAKE,
            { names::BATCH } = %batch,
            { names::SKU } = %sku,
        );
        traces.adopt(&span, &traces.parent(ids));
        let root = RootSpan {
            ids,
            name: names::SKU_ROOT,
            started: SystemTime::now(),
            links: traces.context(&self.span).into_iter().collect(),
            attributes: vec![(names::BATCH, batch.to_string()), (names::SKU, sku.to_string())],
        };
        Intake { root: Some((Arc::clone(on), root)), span }
    }

    /// The submission has come to its end, with so many SKUs.
    pub fn ended(self, skus: u64) {
        self.span.record(names::SKUS, skus);
    }
}

impl Intake {
    /// The span in which the SKU is taken in.
    pub fn span(&self) -> Span {
        self.span.clone()
    }

    /// The document was created, or was there: the root of the trace is written by
    /// whoever created it, once.
    pub fn created(self, created: Created) {
        let Some((on, root)) = self.root else { return };
        match (created, &on.traces) {
            (Created::Yes, Some(traces)) => traces.root(root),
            (Created::Yes, None) | (Created::Exists | Created::Outlived, _) => {}
        }
    }
}
