//! `packshot plan`: what a run would do. Photos are looked at in a temporary folder that is
//! gone afterwards; nothing is made and nothing is written.

use packshot_adapters::directory::DirectoryObjects;
use packshot_pipeline::layout;
use packshot_runtime::port::Objects;
use packshot_worker::work::Workshop;
use serde_json::json;

use super::PlanArgs;
use crate::exit::{Exit, Failure};
use crate::intake::fetch::Fetcher;
use crate::prepare::{PreparedSku, Surroundings, prepare};
use crate::{session, terminal};

/// Answers the command.
pub async fn plan(arguments: &PlanArgs) -> Result<Exit, Failure> {
    let settings =
        session::settings(arguments.catalog.config.as_deref(), session::flags(&arguments.catalog))?;
    let model = session::matting(&settings.matting)?;
    let wanted = session::wanted(&settings, model.as_deref())?;
    let mut catalog = session::open_catalog(&arguments.catalog.catalog, arguments.catalog.images.as_deref())?;
    let scratch = tempfile::tempdir().map_err(Failure::environment)?;
    let objects = DirectoryObjects::open(scratch.path()).map_err(Failure::environment)?;
    let standing = match arguments.out.as_ref().map(|out| out.join("store")).filter(|store| store.is_dir()) {
        Some(store) => Some(DirectoryObjects::open(&store).map_err(Failure::environment)?),
        None => None,
    };
    let workshop = Workshop::new(session::workshop_limits(&settings), model);
    let fetcher = Fetcher::new(session::fetch_limits(&settings));
    let images = catalog.images_root().to_owned();
    let around = Surroundings {
        objects: &objects,
        fetcher: &fetcher,
        images: &images,
        settings: &wanted,
        references_max: settings.limits.references_max,
    };
    terminal::note(format!("catalog: {}", catalog.describe()));
    let mut plan = Plan { json: arguments.catalog.json, ..Plan::default() };
    let mut skus = 0;
    while arguments.catalog.limit.is_none_or(|limit| skus < limit) {
        let Some(entry) = catalog.next() else { break };
        for warning in entry.warnings {
            terminal::note(format!("warning: {warning}"));
        }
        match entry.product {
            Err(bad) => plan.bad_row(&bad),
            Ok(product) => {
                skus += 1;
                let sku = prepare(around, &workshop, product).await.map_err(Failure::environment)?;
                let cached = cached(standing.as_ref(), &sku).await?;
                plan.sku(&sku, &cached);
            }
        }
    }
    plan.end(&catalog.unmatched_files().iter().map(|file| file.display().to_string()).collect::<Vec<_>>())
}

/// Words of the roles whose result stands already.
async fn cached(standing: Option<&DirectoryObjects>, sku: &PreparedSku) -> Result<Vec<String>, Failure> {
    let mut cached = Vec::new();
    let Some(standing) = standing else { return Ok(cached) };
    for (role, job) in &sku.entry.jobs {
        if standing.head(&layout::result(&job.key)).await.map_err(Failure::environment)?.is_some() {
            cached.push(role.to_string());
        }
    }
    Ok(cached)
}

/// What is printed, and the totals.
#[derive(Default)]
struct Plan {
    json: bool,
    lines: Vec<serde_json::Value>,
    jobs: usize,
    cached: usize,
    bad_rows: Vec<String>,
    weak: usize,
}

impl Plan {
    fn bad_row(&mut self, bad: &crate::intake::RowError) {
        terminal::note(format!("bad row: {bad}"));
        self.bad_rows.push(bad.to_string());
    }

    fn sku(&mut self, sku: &PreparedSku, cached: &[String]) {
        let roles: Vec<String> = sku.entry.jobs.keys().map(ToString::to_string).collect();
        let chosen = sku.inspection.chosen.and_then(|index| sku.inspection.reports.get(index));
        let from = chosen.map(|report| report.reference.name.clone());
        if from.is_some() {
            self.jobs += roles.len();
            self.cached += cached.len();
        } else {
            self.weak += 1;
        }
        if self.json {
            self.lines.push(json!({
                "sku": sku.entry.product.sku, "line": sku.entry.product.line, "reference": from,
                "roles": roles, "cached": cached, "warnings": sku.warnings,
            }));
            return;
        }
        let made: Vec<&String> = roles.iter().filter(|role| !cached.contains(role)).collect();
        let what = match (&from, made.is_empty()) {
            (None, _) => "nothing: no photo can be trusted".to_owned(),
            (Some(_), true) => "nothing: everything stands already".to_owned(),
            (Some(_), false) => made.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(", "),
        };
        terminal::data(format!("{}  from {}: {what}", sku.entry.product.sku, from.as_deref().unwrap_or("-")));
        for warning in &sku.warnings {
            terminal::data(format!("    ! {warning}"));
        }
    }

    fn end(self, unmatched: &[String]) -> Result<Exit, Failure> {
        if self.json {
            let plan = json!({
                "skus": self.lines, "jobs": self.jobs, "cached": self.cached,
                "bad_rows": self.bad_rows, "unmatched_files": unmatched,
            });
            terminal::data(serde_json::to_string_pretty(&plan).map_err(Failure::environment)?);
        }
        terminal::note(format!(
            "{} images planned, {} of them stand already; {} bad rows, {} SKUs without a usable photo, {} photos that no row uses",
            self.jobs,
            self.cached,
            self.bad_rows.len(),
            self.weak,
            unmatched.len()
        ));
        let attention = self.weak > 0 || !self.bad_rows.is_empty();
        Ok(if attention { Exit::Attention } else { Exit::Complete })
    }
}
