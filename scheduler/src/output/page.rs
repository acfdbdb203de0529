//! One SKU as the report shows it: pictures small, paths relative to the output folder.

use packshot_pipeline::finding::{Finding, Severity};
use packshot_pipeline::manifest::Settings;
use packshot_pipeline::result::{Artefact, Blob};
use packshot_pipeline::role::Role;
use packshot_runtime::port::Objects;
use packshot_worker::work::{OPTION_MATTING, inspection_key, thumbnail_key};

use super::environment;
use super::outcome::SkuOutcome;
use crate::exit::Failure;
use crate::prepare::said_by;
use crate::report::sku::facts_list;
use crate::report::{ReportExport, ReportFact, ReportFrame, ReportReference, ReportRole, ReportSku};
use packshot_pipeline::inspection::Inspection;

/// The largest small picture or document that is read, in bytes.
const SMALL_BYTES_MAX: u64 = 32 << 20;

/// Gathers what the report shows of one SKU.
pub(super) async fn report_sku(
    objects: &dyn Objects,
    wanted: &Settings,
    outcome: &SkuOutcome,
) -> Result<ReportSku, Failure> {
    let product = &outcome.entry.product;
    let (status, reason) = outcome.status();
    let inspection = inspection(objects, wanted, outcome).await?;
    let mut roles = Vec::new();
    for role in outcome.entry.jobs.keys() {
        roles.push(report_role(objects, outcome, *role).await?);
    }
    Ok(ReportSku {
        sku: product.sku.to_string(),
        title: product.title.clone(),
        brand: product.brand.clone(),
        category: product.category.clone(),
        line: product.line,
        status,
        reason,
        warnings: outcome
            .entry
            .warnings
            .iter()
            .cloned()
            .chain(inspection.iter().flat_map(said_by))
            .chain(outliers(outcome))
            .collect(),
        facts: facts(inspection.as_ref()),
        references: references(objects, inspection.as_ref()).await?,
        roles,
        exports: exports(outcome),
    })
}

/// Images that stand out of the set, by name.
fn outliers(outcome: &SkuOutcome) -> impl Iterator<Item = String> {
    let remarks = outcome.set.iter().flat_map(|set| &set.findings);
    remarks.filter(|remark| remark.finding.severity > Severity::Note).map(|remark| {
        let image = remark.role.map_or("an", Role::word);
        format!("{image} image stands out of the set: {}", remark.finding.evidence)
    })
}

async fn inspection(
    objects: &dyn Objects,
    wanted: &Settings,
    outcome: &SkuOutcome,
) -> Result<Option<Inspection>, Failure> {
    let matting = wanted.options.get(OPTION_MATTING).map(String::as_str);
    let key = inspection_key(&outcome.entry.product, &outcome.entry.references, matting);
    let bytes = objects.get(&key, SMALL_BYTES_MAX).await.map_err(environment)?;
    Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

fn facts(inspection: Option<&Inspection>) -> Vec<ReportFact> {
    inspection.and_then(|known| known.facts.as_ref()).map(facts_list).unwrap_or_default()
}

async fn references(
    objects: &dyn Objects,
    inspection: Option<&Inspection>,
) -> Result<Vec<ReportReference>, Failure> {
    let mut shown = Vec::new();
    let Some(inspection) = inspection else { return Ok(shown) };
    for (index, report) in inspection.reports.iter().enumerate() {
        let chosen = inspection.chosen == Some(index);
        let bounds = inspection.facts.as_ref().filter(|_| chosen).map(|facts| facts.silhouette.bounds);
        let frame = ReportFrame {
            name: String::new(),
            thumb: small(objects, &thumbnail_key(&report.reference.digest)).await?,
            full: format!("store/{}", report.reference.object_key()),
            width: report.width,
            height: report.height,
            product: bounds,
            heatmap: Vec::new(),
        };
        let weak = report.weaknesses.iter().map(|weak| format!("{}; {}", weak.seen, weak.reshoot));
        let shown_reference = ReportReference {
            name: report.reference.name.clone(),
            frame,
            reasons: report.reasons.iter().cloned().chain(weak).collect(),
        };
        // The chosen reference is what every result is compared with, so it comes first.
        if chosen { shown.insert(0, shown_reference) } else { shown.push(shown_reference) }
    }
    Ok(shown)
}

async fn report_role(objects: &dyn Objects, outcome: &SkuOutcome, role: Role) -> Result<ReportRole, Failure> {
    let (status, reason) = outcome.job(role);
    let result = outcome.results.get(&role);
    let mut frames = Vec::new();
    for artefact in result.iter().flat_map(|result| &result.artefacts) {
        frames.push(frame(objects, artefact).await?);
    }
    let review = result.and_then(|result| result.review.as_ref());
    Ok(ReportRole {
        role,
        status,
        reason,
        cached: outcome.state.jobs.get(&role).is_some_and(|job| job.cached),
        verdict: review.map(|review| review.verdict.word().to_owned()).unwrap_or_default(),
        frames,
        findings: review
            .iter()
            .flat_map(|review| review.findings.clone())
            .chain(of_set(outcome, role))
            .collect(),
        axes: review.map(|review| review.axes.clone()).unwrap_or_default(),
        maker: result.map(|result| result.maker.clone()).unwrap_or_default(),
        source_type: result.map(|result| result.source_type.clone()).unwrap_or_default(),
        cost: result.map(|result| result.cost).unwrap_or_default(),
        attempts: result.map(|result| result.attempts).unwrap_or_default(),
        notes: result.map(|result| result.notes.clone()).unwrap_or_default(),
    })
}

/// What the set says of the image of `role`: where it stands out, and what was edited for it.
fn of_set(outcome: &SkuOutcome, role: Role) -> impl Iterator<Item = Finding> {
    let remarks = outcome.set.iter().flat_map(|set| &set.findings);
    remarks.filter(move |remark| remark.role == Some(role)).map(|remark| remark.finding.clone())
}

async fn frame(objects: &dyn Objects, artefact: &Artefact) -> Result<ReportFrame, Failure> {
    Ok(ReportFrame {
        name: artefact.frame.clone(),
        thumb: small(objects, &thumbnail_key(&artefact.image.digest)).await?,
        full: format!("store/{}", artefact.image.object_key()),
        width: artefact.width,
        height: artefact.height,
        product: None,
        heatmap: match &artefact.heatmap {
            Some(heatmap) => small(objects, &Blob::object_key(heatmap)).await?,
            None => Vec::new(),
        },
    })
}

/// A small picture, or nothing: a report without one is better than no report.
async fn small(objects: &dyn Objects, key: &str) -> Result<Vec<u8>, Failure> {
    let bytes = objects.get(key, SMALL_BYTES_MAX).await.map_err(environment)?;
    Ok(bytes.map(Vec::from).unwrap_or_default())
}

fn exports(outcome: &SkuOutcome) -> Vec<ReportExport> {
    let Some(set) = &outcome.set else { return Vec::new() };
    let slug = outcome.entry.product.sku.slug();
    let mut channels: Vec<String> = set.files.iter().map(|file| file.channel.clone()).collect();
    channels.extend(set.gaps.iter().filter(|gap| !gap.channel.is_empty()).map(|gap| gap.channel.clone()));
    channels.sort();
    channels.dedup();
    channels
        .into_iter()
        .map(|channel| {
            let files = set.files.iter().filter(|file| file.channel == channel);
            let gaps = set.gaps.iter().filter(|gap| gap.channel == channel || gap.channel.is_empty());
            ReportExport {
                files: files
                    .map(|file| (format!("sets/{slug}/{}", file.path), file.role, file.slot.clone()))
                    .collect(),
                gaps: gaps.map(|gap| gap.why.clone()).collect(),
                channel,
            }
        })
        .collect()
}
