//! Phase 1 of a run: every product of the catalog becomes an entry of the manifest and a
//! document. A few products are looked at at the same time; the order stays the catalog's.

use futures::StreamExt;
use futures::stream::FuturesOrdered;
use packshot_pipeline::manifest::Batch;
use packshot_runtime::store::{Store, Written};
use packshot_runtime::submit::{Occasion, create_document};
use packshot_service::lifecycle::Shutdown;

use packshot_worker::assemble::{Channel, NameClaims};
use packshot_worker::telemetry::Intake;
use packshot_worker::work::CODE_SHARED_NAME;
use tracing::Instrument;

use super::progress::Progress;
use super::{Parts, RunRequest, environment};
use crate::exit::Failure;
use crate::intake::Catalog;
use crate::intake::fetch::Fetcher;
use crate::prepare::{PreparedSku, Surroundings, prepare};
use crate::report::NoticeKind;
use crate::session;

/// What the phase leaves behind.
#[derive(Clone, Debug, Default)]
pub(super) struct Taken {
    /// Products.
    pub(super) skus: u64,
    /// Their jobs.
    pub(super) jobs: u64,
    /// Rows that are no product.
    pub(super) bad_rows: u64,
    /// What the report says about the catalog as a whole, the first few hundred.
    pub(super) notices: Vec<(NoticeKind, String)>,
}

/// Notices kept for the report; all of them are said on the terminal.
const NOTICES_MAX: usize = 500;

impl Taken {
    fn notice(&mut self, kind: NoticeKind, text: String) {
        if self.notices.len() < NOTICES_MAX {
            self.notices.push((kind, text));
        }
    }
}

/// Takes the catalog in, until its end or a signal.
pub(super) async fn take_in(
    request: &RunRequest,
    parts: &Parts,
    header: &Batch,
    catalog: Catalog,
    shutdown: &Shutdown,
    progress: &mut Progress,
) -> Result<Taken, Failure> {
    let fetcher = Fetcher::new(request.fetch.clone());
    let images = catalog.images_root().to_owned();
    let around = Surroundings {
        objects: &*parts.objects,
        fetcher: &fetcher,
        images: &images,
        workshop: &parts.workshop,
        settings: &request.wanted,
        references_max: request.references_max,
    };
    let channels: Vec<&'static Channel> =
        request.wanted.channels.iter().filter_map(|name| Channel::by_name(name)).collect();
    let claims = claims(request, &channels)?;
    let together = request.workshop.jobs.max(1) + 1;
    let submission = parts.instruments.submission(header);
    let mut taken = Taken::default();
    let mut started = 0;
    let mut looking = FuturesOrdered::new();
    for entry in catalog {
        if shutdown.soft.is_cancelled() || request.limit.is_some_and(|limit| started >= limit) {
            break;
        }
        for warning in &entry.warnings {
            progress.say(&format!("warning: {warning}"));
            taken.notice(NoticeKind::Warning, warning.to_string());
        }
        match entry.product {
            Err(bad) => {
                taken.bad_rows += 1;
                progress.say(&format!("bad row: {bad}"));
                taken.notice(NoticeKind::BadRow, bad.to_string());
            }
            Ok(mut product) => {
                started += 1;
                if claims.any_shared(&product, &channels) {
                    product.codes.insert(CODE_SHARED_NAME.to_owned(), "yes".to_owned());
                }
                let intake = submission.sku(&product.sku);
                looking.push_back(async move {
                    let prepared = prepare(around, product).instrument(intake.span()).await;
                    prepared.map(|sku| (sku, intake))
                });
            }
        }
        if looking.len() >= together
            && let Some(sku) = looking.next().await
        {
            let (sku, intake) = sku.map_err(environment)?;
            submit(parts, header, sku, intake, &mut taken, progress).await?;
        }
    }
    while let Some(sku) = looking.next().await {
        let (sku, intake) = sku.map_err(environment)?;
        submit(parts, header, sku, intake, &mut taken, progress).await?;
    }
    drop(looking);
    submission.ended(taken.skus);
    Ok(taken)
}

/// Which file names the whole catalog wants, so that two products never get the same one.
fn claims(request: &RunRequest, channels: &[&Channel]) -> Result<NameClaims, Failure> {
    let mut claims = NameClaims::default();
    for entry in session::open_catalog(&request.catalog, request.images.as_deref())? {
        if let Ok(product) = &entry.product {
            claims.add(product, channels);
        }
    }
    Ok(claims)
}

async fn submit(
    parts: &Parts,
    header: &Batch,
    sku: PreparedSku,
    intake: Intake,
    taken: &mut Taken,
    progress: &mut Progress,
) -> Result<(), Failure> {
    let name = &sku.entry.product.sku;
    for warning in &sku.warnings {
        progress.say(&format!("{name} (line {}): {warning}", sku.entry.product.line));
    }
    let store = Store::new(&*parts.objects, &*parts.clock);
    match store.write_entry(&header.batch, &sku.entry).await.map_err(environment)? {
        Written::New | Written::Same | Written::Differs => {}
    }
    let created = create_document(
        &*parts.coordinator,
        &*parts.objects,
        &*parts.clock,
        header,
        &sku.entry,
        Occasion::Submit,
    )
    .instrument(intake.span())
    .await
    .map_err(environment)?;
    intake.created(created);
    taken.skus += 1;
    taken.jobs += sku.entry.jobs.len() as u64;
    progress.taken(taken.skus);
    Ok(())
}
