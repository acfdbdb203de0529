//! From a catalog entry to what is submitted: references in the object store and a job key
//! per role; and, where it is wanted at once, the references inspected.

use std::collections::BTreeMap;
use std::path::Path;

use packshot_pipeline::catalog::Product;
use packshot_pipeline::inspection::Inspection;
use packshot_pipeline::job_key::{JobInputs, JobKey, SetInputs, catalog_facts};
use packshot_pipeline::manifest::{JobSpec, MANIFEST_SCHEMA, ManifestSku, Settings};
use packshot_pipeline::pool::Pool;
use packshot_pipeline::role::Role;
use packshot_runtime::port::{Objects, ObjectsError};
use packshot_worker::work::{Fault, OPTION_CONTRADICTION, OPTION_MATTING, Workshop};

use crate::intake::fetch::Fetcher;
use crate::intake::references::put_references;

/// A SKU ready to be made, and what a person should know of it before.
#[derive(Clone, Debug)]
pub struct PreparedSku {
    /// The manifest's entry.
    pub entry: ManifestSku,
    /// What is known of its references.
    pub inspection: Inspection,
    /// What to say now: references that cannot be used, contradictions, weaknesses.
    pub warnings: Vec<String>,
}

/// Where a SKU's photos come from and go to.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The object store.
    pub objects: &'a dyn Objects,
    /// Gets URLs.
    pub fetcher: &'a Fetcher,
    /// Folder of local photos.
    pub images: &'a Path,
    /// What is wanted.
    pub settings: &'a Settings,
    /// References of one SKU that are looked at.
    pub references_max: usize,
}

/// Stores the references of `product` and names its jobs. Nothing is decoded, so the entry
/// depends on bytes and settings only and is the same wherever it is made.
///
/// # Errors
/// When the object store fails; everything else is a warning of the entry.
pub async fn enter(around: Surroundings<'_>, mut product: Product) -> Result<ManifestSku, ObjectsError> {
    let mut warnings = Vec::new();
    if product.references.len() > around.references_max {
        warnings.push(format!(
            "{} references, only the first {} are looked at",
            product.references.len(),
            around.references_max
        ));
        product.references.truncate(around.references_max);
    }
    let put = put_references(around.objects, around.fetcher, around.images, &product).await?;
    warnings.extend(put.problems.iter().map(ToString::to_string));
    let entry = ManifestSku {
        schema: MANIFEST_SCHEMA,
        jobs: jobs(&product, &put.stored, around.settings),
        set_key: JobKey::from_digest(packshot_pipeline::ids::Digest::of(b"")),
        references: put.stored,
        warnings,
        product,
    };
    Ok(ManifestSku { set_key: set_key(&entry, around.settings), ..entry })
}

/// Enters `product` and inspects its references, here and now.
///
/// # Errors
/// When the object store fails; everything else is a warning.
pub async fn prepare(
    around: Surroundings<'_>,
    workshop: &Workshop,
    product: Product,
) -> Result<PreparedSku, Fault> {
    let entry = enter(around, product).await?;
    let model = workshop.model_of(around.settings)?;
    let inspection = workshop.inspect(around.objects, &entry.product, &entry.references, model).await?;
    let mut warnings = entry.warnings.clone();
    warnings.extend(said_by(&inspection));
    Ok(PreparedSku { entry, inspection, warnings })
}

/// What a person should know of a SKU's references: where the catalog contradicts them, and
/// why none can be trusted if none can.
pub fn said_by(inspection: &Inspection) -> Vec<String> {
    let weak = |report: &packshot_pipeline::inspection::ReferenceReport| -> Vec<String> {
        let name = &report.reference.name;
        report.weaknesses.iter().map(|weak| format!("{name}: {}; {}", weak.seen, weak.reshoot)).collect()
    };
    let contradictions = inspection
        .facts
        .iter()
        .flat_map(|facts| &facts.contradictions)
        .map(|finding| finding.evidence.clone());
    // Weaknesses of a reference that was not needed are in the report, not in the way.
    let weaknesses = inspection.reports.iter().filter(|_| inspection.chosen.is_none()).flat_map(weak);
    contradictions.chain(weaknesses).collect()
}

fn jobs(
    product: &Product,
    references: &[packshot_pipeline::catalog::Reference],
    settings: &Settings,
) -> BTreeMap<Role, JobSpec> {
    let mut jobs: BTreeMap<Role, JobSpec> = BTreeMap::new();
    // Without a model nothing is added, so that the keys of before go on to hold.
    let matting = settings.options.get(OPTION_MATTING);
    let matting = matting.map(|model| (OPTION_MATTING.to_owned(), model.clone()));
    for &role in &settings.roles {
        let upstream = match role {
            // An ad is composed anew from what was accepted.
            Role::Ad => {
                role.waits_for().iter().filter_map(|role| jobs.get(role)).map(|job| job.key).collect()
            }
            Role::Main
            | Role::Cleanup
            | Role::Detail
            | Role::Angle
            | Role::Lifestyle
            | Role::Feature
            | Role::Comparison
            | Role::OnModel => Vec::new(),
        };
        let policy = &settings.policy;
        let contradiction = settings.options.get(OPTION_CONTRADICTION).cloned().unwrap_or_default();
        let inputs = JobInputs {
            references: references.iter().map(|reference| reference.digest).collect(),
            facts: catalog_facts(product),
            role,
            role_settings: BTreeMap::new(),
            upstream,
            maker: packshot_worker::generate::studio::NAME.to_owned(),
            model: String::new(),
            params: [
                ("candidates_max".to_owned(), policy.candidates_max.to_string()),
                ("edits_max".to_owned(), policy.edits_max.to_string()),
                (OPTION_CONTRADICTION.to_owned(), contradiction),
            ]
            .into_iter()
            .chain(matting.clone())
            .collect(),
            template_version: packshot_worker::generate::studio::VERSION.to_owned(),
            review_version: packshot_worker::review::thresholds::shipped().version.to_string(),
            code_version: packshot_worker::work::VERSION.to_owned(),
        };
        jobs.insert(
            role,
            JobSpec {
                key: inputs.key(),
                pool: Pool::Studio,
                maker: packshot_worker::generate::studio::NAME.to_owned(),
            },
        );
    }
    jobs
}

fn set_key(entry: &ManifestSku, settings: &Settings) -> JobKey {
    SetInputs {
        jobs: entry.jobs.iter().map(|(role, job)| (*role, job.key)).collect(),
        channels: settings
            .channels
            .iter()
            .map(|name| (name.clone(), packshot_worker::assemble::VERSION.to_owned()))
            .collect(),
        codes: entry.product.codes.clone(),
        code_version: packshot_worker::work::VERSION.to_owned(),
    }
    .key()
}
