//! The output folder, written from what is committed: sets first, then the tables and the
//! page that speak of them. `run` and `fetch` leave the same tree, because both write it
//! here and from the same objects.

mod outcome;
mod page;

use std::path::Path;

use anyhow::{Context, anyhow};
use futures::StreamExt;
use packshot_pipeline::budget::MicroUsd;
use packshot_pipeline::layout;
use packshot_pipeline::manifest::{Batch, CatalogEntry};
use packshot_pipeline::result::SetResult;
use packshot_runtime::clock::Clock;
use packshot_runtime::port::{BatchControl, Coordinator, Objects};
use packshot_runtime::store::Store;
use packshot_worker::work::SET_DOCUMENT;

use crate::exit::Failure;
use crate::report::{
    HtmlReport, Notice, NoticeKind, ReportHead, ReportSku, ReportStatus, ResultRow, ResultsTable, Summary,
};
use outcome::SkuOutcome;
use page::report_sku;

/// The largest exported file that is copied, in bytes.
const FILE_BYTES_MAX: u64 = 200_000_000;
/// The largest master or reference that is copied, in bytes.
const MASTER_BYTES_MAX: u64 = 400_000_000;
/// SKUs read and copied at the same time.
const TOGETHER: usize = 8;

/// Where the images that the report links to are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Masters {
    /// Below the output folder, which holds the object store.
    Stand,
    /// Elsewhere: they are copied.
    Copy,
}

/// What an output folder is written from.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// The object store.
    pub objects: &'a dyn Objects,
    /// Time.
    pub clock: &'a dyn Clock,
    /// The batch.
    pub header: &'a Batch,
    /// Knows more than the objects while it has the batch: why a job failed, what is still
    /// being made.
    pub documents: Option<&'a dyn Coordinator>,
    /// Where masters are.
    pub masters: Masters,
}

/// Writes sets, `results.csv`, `summary.json` and `report.html` into `out`. `seconds` is how
/// long the batch took. Returns the summary, and how many images are not finished.
pub async fn write(out: &Path, from: Source<'_>, seconds: f64) -> Result<(Summary, u64), Failure> {
    let store = Store::new(from.objects, from.clock);
    let batch = &from.header.batch;
    let catalog = store
        .catalog(batch)
        .await
        .map_err(environment)?
        .ok_or_else(|| environment(anyhow!("the rows of batch {batch} are not in the object store")))?;
    let submitted = store.submitted(batch).await.map_err(environment)?;
    let control = store.control(batch).await.map_err(environment)?;
    let head = ReportHead {
        batch: batch.to_string(),
        catalog: catalog.name.clone(),
        when: jiff::Timestamp::from_millisecond(from.header.created_ms as i64)
            .unwrap_or_default()
            .to_string(),
        skus: submitted.map_or(u64::MAX, |submitted| submitted.skus),
    };
    let mut report = HtmlReport::create(out, &head).map_err(environment)?;
    let mut counts = Counts::default();
    for number in 0.. {
        let Some(page) = store.catalog_page(batch, number).await.map_err(environment)? else { break };
        for notice in page.entries.iter().flat_map(notices) {
            counts.bad_rows += u64::from(notice.kind == NoticeKind::BadRow);
            report.push_notice(&notice).map_err(environment)?;
        }
    }
    let roles = &from.header.settings.roles;
    let mut table = ResultsTable::create(out, &catalog.columns, roles).map_err(environment)?;
    for number in 0.. {
        let Some(page) = store.catalog_page(batch, number).await.map_err(environment)? else { break };
        let mut entries = futures::stream::iter(page.entries)
            .map(|entry| one(out, from, control.as_ref(), entry))
            .buffered(TOGETHER);
        while let Some(entry) = entries.next().await {
            let (entry, shown) = entry?;
            let row = match &shown {
                Some((outcome, shown)) => {
                    counts.add(outcome);
                    report.push(shown).map_err(environment)?;
                    outcome.row()
                }
                None if entry.sku.is_none() => ResultRow::bad(&entry.problem),
                None => ResultRow::not_run(),
            };
            table.push(&entry.rows, &row).map_err(environment)?;
        }
    }
    table.finish().map_err(environment)?;
    let summary = counts.summary(from.header, seconds);
    summary.write(out).map_err(environment)?;
    report.finish(&summary).map_err(environment)?;
    Ok((summary, counts.open))
}

/// Copies what belongs to one entry of the catalog, and gathers what is said of it.
async fn one(
    out: &Path,
    from: Source<'_>,
    control: Option<&BatchControl>,
    entry: CatalogEntry,
) -> Result<(CatalogEntry, Option<(SkuOutcome, ReportSku)>), Failure> {
    let Some(sku) = &entry.sku else { return Ok((entry, None)) };
    let Some(outcome) = SkuOutcome::load(from, control, sku).await? else { return Ok((entry, None)) };
    if let Some(set) = &outcome.set {
        publish(out, from.objects, set).await?;
    }
    let shown = report_sku(from.objects, &from.header.settings, &outcome).await?;
    if from.masters == Masters::Copy {
        for key in linked(&shown) {
            copy_master(out, from.objects, key).await?;
        }
    }
    Ok((entry, Some((outcome, shown))))
}

fn notices(entry: &CatalogEntry) -> Vec<Notice> {
    let notice = |kind, text: &String| Notice { kind, text: text.clone(), hint: String::new() };
    let warnings = entry.warnings.iter().map(|text| notice(NoticeKind::Warning, text));
    let bad = entry.sku.is_none().then(|| notice(NoticeKind::BadRow, &entry.problem));
    warnings.chain(bad).collect()
}

/// Object keys of the full-size images that the report links to.
fn linked(sku: &ReportSku) -> impl Iterator<Item = &str> {
    let references = sku.references.iter().map(|reference| &reference.frame);
    let frames = sku.roles.iter().flat_map(|role| &role.frames);
    references.chain(frames).filter_map(|frame| frame.full.strip_prefix("store/"))
}

/// Copies an object to `out/store/`, unless it is there already. Masters are named by their
/// content, so one of the same size is the same one.
async fn copy_master(out: &Path, objects: &dyn Objects, key: &str) -> Result<(), Failure> {
    let target = out.join("store").join(key);
    let Some(info) = objects.head(key).await.map_err(environment)? else { return Ok(()) };
    if target.metadata().is_ok_and(|standing| standing.len() == info.size_bytes) {
        return Ok(());
    }
    let Some(bytes) = objects.get(key, MASTER_BYTES_MAX).await.map_err(environment)? else { return Ok(()) };
    let write = || {
        std::fs::create_dir_all(target.parent().unwrap_or(out))?;
        std::fs::write(&target, &bytes)
    };
    write().with_context(|| format!("cannot write {}", target.display())).map_err(environment)
}

fn environment(error: impl Into<anyhow::Error>) -> Failure {
    Failure::environment(error)
        .hint("make room or permissions right, then run the same command: it goes on from here")
}

/// Copies a committed set to `out/sets/<sku>/`, whole or not at all: it is written beside
/// and then takes the old one's place.
async fn publish(out: &Path, objects: &dyn Objects, set: &SetResult) -> Result<(), Failure> {
    let folder = layout::set_folder(&set.sku, &set.revision());
    let sets = out.join("sets");
    let (target, fresh) = (sets.join(set.sku.slug()), sets.join(format!(".{}.new", set.sku.slug())));
    let document =
        objects.get(&format!("{folder}{SET_DOCUMENT}"), FILE_BYTES_MAX).await.map_err(environment)?;
    let document = document.ok_or_else(|| {
        environment(anyhow!("the document of a set, {folder}{SET_DOCUMENT}, is gone from the store"))
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
            return Err(environment(anyhow!(
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
    skus: u64,
    jobs: u64,
    accepted: u64,
    cached: u64,
    needs_human: u64,
    failed: u64,
    skipped: u64,
    open: u64,
    weak: u64,
    bad_rows: u64,
    cost: MicroUsd,
}

impl Counts {
    fn add(&mut self, outcome: &SkuOutcome) {
        let mut weak = false;
        self.skus += 1;
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
                ReportStatus::Pending => self.open += 1,
                ReportStatus::BadRow
                | ReportStatus::Failed
                | ReportStatus::Rejected
                | ReportStatus::OverBudget
                | ReportStatus::Cancelled => self.failed += 1,
            }
        }
        for job in outcome.state.jobs.values() {
            self.cached += u64::from(job.cached);
            self.cost = self.cost + job.cost;
        }
        self.weak += u64::from(weak);
    }

    fn summary(&self, header: &Batch, seconds: f64) -> Summary {
        let made = self.accepted + self.needs_human;
        let fresh = made.saturating_sub(self.cached);
        Summary {
            batch: header.batch.to_string(),
            skus: self.skus,
            jobs: self.jobs,
            accepted: self.accepted,
            cached: self.cached,
            needs_human: self.needs_human,
            failed: self.failed,
            skipped: self.skipped,
            weak_references: self.weak,
            bad_rows: self.bad_rows,
            seconds: (seconds * 10.0).round() / 10.0,
            images_per_minute: (fresh as f64 * 600.0 / seconds.max(0.001)).round() / 10.0,
            cost: self.cost,
        }
    }
}
