//! Phase 3 of a run: the output folder, written from what is committed. Sets first, then
//! the tables and the page that speak of them.

use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use packshot_pipeline::ids::Sku;
use packshot_pipeline::layout;
use packshot_pipeline::manifest::Batch;
use packshot_pipeline::result::SetResult;
use packshot_pipeline::tally::Tally;
use packshot_runtime::port::Objects;
use packshot_runtime::store::Store;

use super::intake::Taken;
use super::outcome::SkuOutcome;
use super::page::report_sku;
use super::{Parts, RunRequest, environment};
use packshot_worker::work::SET_DOCUMENT;

use crate::exit::Failure;
use crate::report::{HtmlReport, Notice, ReportHead, ReportStatus, Summary, write_results};
use crate::session;

/// The largest exported file that is copied, in bytes.
const FILE_BYTES_MAX: u64 = 200_000_000;

/// Writes sets, `results.csv`, `summary.json` and `report.html`.
pub(super) async fn write(
    request: &RunRequest,
    parts: &Parts,
    header: &Batch,
    taken: &Taken,
    started: Instant,
) -> Result<Summary, Failure> {
    let out = &request.out;
    let store = Store::new(&*parts.objects, &*parts.clock);
    let tally = parts.coordinator.tally(&header.batch).await.map_err(Failure::environment)?;
    let head = ReportHead {
        batch: header.batch.to_string(),
        catalog: request.catalog.display().to_string(),
        when: jiff::Timestamp::from_millisecond(header.created_ms as i64).unwrap_or_default().to_string(),
        skus: taken.skus,
    };
    let mut page = HtmlReport::create(out, &head).map_err(environment)?;
    for (kind, text) in &taken.notices {
        let notice = Notice { kind: *kind, text: text.clone(), hint: String::new() };
        page.push_notice(&notice).map_err(environment)?;
    }
    let mut counts = Counts::default();
    let mut after: Option<Sku> = None;
    loop {
        let skus =
            parts.coordinator.skus(&header.batch, after.as_ref(), 256).await.map_err(Failure::environment)?;
        let Some(last) = skus.last() else { break };
        after = Some(last.clone());
        for sku in &skus {
            let Some(outcome) = SkuOutcome::load(&store, &*parts.coordinator, header, sku).await? else {
                continue;
            };
            if let Some(set) = &outcome.set {
                publish(out, &*parts.objects, set).await?;
            }
            counts.add(&outcome);
            page.push(&report_sku(&*parts.objects, &outcome).await?).map_err(environment)?;
        }
    }
    write_table(request, parts, header)?;
    let summary = counts.summary(header, taken, &tally, started);
    summary.write(out).map_err(environment)?;
    page.finish(&summary).map_err(environment)?;
    Ok(summary)
}

fn write_table(request: &RunRequest, parts: &Parts, header: &Batch) -> Result<(), Failure> {
    let catalog = session::open_catalog(&request.catalog, request.images.as_deref())?;
    let store = Store::new(&*parts.objects, &*parts.clock);
    let runtime = tokio::runtime::Handle::current();
    let mut failure = None;
    // The table is written row by row on this thread; each row is looked up when it comes.
    let written = tokio::task::block_in_place(|| {
        write_results(&request.out, catalog, &request.wanted.roles, |sku| {
            match runtime.block_on(SkuOutcome::load(&store, &*parts.coordinator, header, sku)) {
                Ok(outcome) => outcome.map(|outcome| outcome.row()),
                Err(error) => {
                    failure.get_or_insert(error);
                    None
                }
            }
        })
    });
    written.map_err(environment)?;
    failure.map_or(Ok(()), Err)
}

/// Copies a committed set to `out/sets/<sku>/`, whole or not at all: it is written beside
/// and then takes the old one's place.
pub(super) async fn publish(out: &Path, objects: &dyn Objects, set: &SetResult) -> Result<(), Failure> {
    let folder = layout::set_folder(&set.sku, &set.revision());
    let sets = out.join("sets");
    let (target, fresh) = (sets.join(set.sku.slug()), sets.join(format!(".{}.new", set.sku.slug())));
    let document =
        objects.get(&format!("{folder}{SET_DOCUMENT}"), FILE_BYTES_MAX).await.map_err(environment)?;
    let document = document.ok_or_else(|| {
        environment(anyhow::anyhow!("the document of a set, {folder}{SET_DOCUMENT}, is gone from the store"))
    })?;
    if std::fs::read(target.join("set.json")).is_ok_and(|standing| standing == document) {
        return Ok(());
    }
    let failed = |what: &Path| format!("cannot write {}", what.display());
    let _nothing_left_over = std::fs::remove_dir_all(&fresh);
    for file in &set.files {
        let path = fresh.join(&file.path);
        let bytes =
            objects.get(&format!("{folder}{}", file.path), FILE_BYTES_MAX).await.map_err(environment)?;
        let Some(bytes) = bytes else {
            return Err(environment(anyhow::anyhow!(
                "the exported file {}{} is gone from the store",
                folder,
                file.path
            )));
        };
        let parent = path.parent().unwrap_or(&fresh);
        std::fs::create_dir_all(parent).with_context(|| failed(parent)).map_err(environment)?;
        std::fs::write(&path, &bytes).with_context(|| failed(&path)).map_err(environment)?;
    }
    std::fs::create_dir_all(&fresh).with_context(|| failed(&fresh)).map_err(environment)?;
    std::fs::write(fresh.join("set.json"), &document).with_context(|| failed(&fresh)).map_err(environment)?;
    if target.exists() {
        std::fs::remove_dir_all(&target).with_context(|| failed(&target)).map_err(environment)?;
    }
    std::fs::rename(&fresh, &target).with_context(|| failed(&target)).map_err(environment)
}

#[derive(Default)]
struct Counts {
    jobs: u64,
    accepted: u64,
    needs_human: u64,
    failed: u64,
    skipped: u64,
    weak: u64,
}

impl Counts {
    fn add(&mut self, outcome: &SkuOutcome) {
        let mut weak = false;
        for role in outcome.entry.jobs.keys() {
            self.jobs += 1;
            match outcome.job(*role).0 {
                ReportStatus::Accepted => self.accepted += 1,
                ReportStatus::NeedsHuman => self.needs_human += 1,
                ReportStatus::Skipped => self.skipped += 1,
                ReportStatus::WeakReference => {
                    weak = true;
                    self.skipped += 1;
                }
                ReportStatus::BadRow
                | ReportStatus::Failed
                | ReportStatus::Rejected
                | ReportStatus::OverBudget
                | ReportStatus::Cancelled
                | ReportStatus::Pending => self.failed += 1,
            }
        }
        self.weak += u64::from(weak);
    }

    fn summary(&self, header: &Batch, taken: &Taken, tally: &Tally, started: Instant) -> Summary {
        let seconds = started.elapsed().as_secs_f64();
        let made = self.accepted + self.needs_human;
        let fresh = made.saturating_sub(tally.cached());
        Summary {
            batch: header.batch.to_string(),
            skus: taken.skus,
            jobs: self.jobs,
            accepted: self.accepted,
            cached: tally.cached(),
            needs_human: self.needs_human,
            failed: self.failed,
            skipped: self.skipped,
            weak_references: self.weak,
            bad_rows: taken.bad_rows,
            seconds: (seconds * 10.0).round() / 10.0,
            images_per_minute: (fresh as f64 * 600.0 / seconds.max(0.001)).round() / 10.0,
            cost: tally.cost(),
        }
    }
}
