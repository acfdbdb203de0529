//! A SKU's set: the committed images compared with each other, exported for every channel,
//! and each exported file stored under the set's revision.

use std::collections::BTreeMap;

use bytes::Bytes;
use packshot_imaging::metadata::DigitalSourceType;
use packshot_pipeline::catalog::Product;
use packshot_pipeline::ids::Digest;
use packshot_pipeline::layout;
use packshot_pipeline::result::{
    JobResult, JobStatus, RESULT_SCHEMA, SetFile, SetGap, SetMember, SetRemark, SetResult,
};
use packshot_pipeline::role::Role;
use packshot_pipeline::state::JobState;
use packshot_runtime::clock::MonotonicClock;
use packshot_runtime::port::Objects;
use packshot_runtime::store::Store;
use packshot_runtime::work::{ClaimedJob, Outcome};
use packshot_service::names;
use tracing::debug_span;

use super::{Fault, Workshop, store};
use crate::assemble::export::ExportFile;
use crate::assemble::{
    AssembledSet, Channel, Compared, ExportRequest, Member, NameClaims, SetDocument, assemble, mend,
};
use crate::refine::Truth;

/// Name, in the set's folder, of the document that users find as `set.json`: every check of
/// every file. (`set.json` itself is the commit marker of the set.)
pub const SET_DOCUMENT: &str = "document.json";

/// A code by which a submission marks a product that wants a file name which another
/// product of the catalog wants too.
pub const CODE_SHARED_NAME: &str = "shared_name";

impl Workshop {
    /// Assembles the set of the claimed SKU from committed results only.
    pub(super) async fn set(&self, job: &ClaimedJob) -> Result<Outcome, Fault> {
        let objects = job.objects.as_ref();
        let in_set: Vec<(Role, &JobResult)> = job
            .results
            .iter()
            .filter(|(role, result)| job.is_accepted(**role) && !result.artefacts.is_empty())
            .map(|(role, result)| (*role, result))
            .collect();
        let members: Vec<SetMember> =
            in_set.iter().map(|(role, result)| SetMember { role: *role, key: result.key }).collect();
        if let Some(standing) = standing(job, &members).await? {
            return Ok(Outcome::Set(Box::new(standing)));
        }
        let mut pictures = Vec::new();
        for (role, result) in &in_set {
            for artefact in &result.artefacts {
                pictures.push(self.member(objects, *role, result, artefact).await?);
            }
        }
        let compared = self.compared(job, pictures).await?;
        let product = job.entry.product.clone();
        let channels: Vec<&'static Channel> =
            job.batch.settings.channels.iter().filter_map(|name| Channel::by_name(name)).collect();
        let absent = absent(job);
        let why_absent = absent.clone();
        let assembled = self
            .on_processor(move || {
                let _step = debug_span!(names::ASSEMBLE).entered();
                let request = ExportRequest {
                    product: &product,
                    members: &compared.members.iter().collect::<Vec<_>>(),
                    absent: &absent,
                    claims: &claims(&product, &channels),
                };
                assemble(&channels, &request, compared.findings, compared.edits)
            })
            .await?;
        let set = SetResult { absent: why_absent, ..result_of(job, members, &assembled) };
        let folder = layout::set_folder(&set.sku, &set.revision());
        objects.put(&format!("{folder}{SET_DOCUMENT}"), assembled.document.to_json().into()).await?;
        for file in assembled.files {
            objects.put(&format!("{folder}{}", file.path), file.bytes).await?;
        }
        Ok(Outcome::Set(Box::new(set)))
    }

    /// The images compared with each other, and those that stand out edited as far as an edit
    /// can cure them. The references are read only where there is something to cure.
    async fn compared(&self, job: &ClaimedJob, members: Vec<Member>) -> Result<Compared, Fault> {
        let compared = self.on_processor(move || Compared::as_they_are(members)).await?;
        if !compared.is_curable() {
            return Ok(compared);
        }
        let objects = job.objects.as_ref();
        let references = &job.entry.references;
        let model = self.model_of(&job.batch.settings)?;
        let inspection = self.inspect(objects, &job.entry.product, references, model).await?;
        let (Some(chosen), Some(facts)) =
            (inspection.chosen.and_then(|index| references.get(index)), inspection.facts)
        else {
            return Ok(compared);
        };
        let first = self.open(objects, chosen, model).await?.ok();
        let second = match inspection.second_view.and_then(|index| references.get(index)) {
            Some(second) => self.open(objects, second, model).await?.ok(),
            None => None,
        };
        let mended = move || {
            let _step = debug_span!(names::ASSEMBLE).entered();
            mend(compared, |role| {
                // An angle shows the second reference, so that is what it must be true to.
                let shown =
                    if role == Role::Angle { second.as_ref().or(first.as_ref()) } else { first.as_ref() };
                let shown = shown?;
                let cutout = shown.cutout.as_ref().ok()?;
                Some(Truth { photo: &shown.photo, cutout, facts: &facts })
            })
        };
        self.on_processor(mended).await
    }

    async fn member(
        &self,
        objects: &dyn Objects,
        role: Role,
        result: &JobResult,
        artefact: &packshot_pipeline::result::Artefact,
    ) -> Result<Member, Fault> {
        let image = store::get_blob(objects, &artefact.image).await?;
        let mask = match &artefact.mask {
            Some(mask) => store::get_blob(objects, mask).await?,
            None => Bytes::new(),
        };
        let (frame, scale_factor) = (artefact.frame.clone(), artefact.scale_factor);
        let source_type = DigitalSourceType::parse(&result.source_type).ok_or_else(|| {
            Fault::Broken(format!("a result names the unknown source type {:?}", result.source_type))
        })?;
        let decoded = move || {
            let image = store::decode_rgb(&image)?;
            let product_mask = store::decode_mask(&mask)?;
            Ok(Member { role, frame, image, product_mask, scale_factor, source_type, accepted: true })
        };
        self.on_processor(decoded).await?
    }
}

/// The set that stands, if it was assembled from the very same inputs.
async fn standing(job: &ClaimedJob, members: &[SetMember]) -> Result<Option<SetResult>, Fault> {
    let clock = MonotonicClock::new();
    let store = Store::new(job.objects.as_ref(), &clock);
    let sku = &job.entry.product.sku;
    let Some(pointer) = store.current_set(sku).await? else { return Ok(None) };
    let set = store.set(sku, &pointer).await?;
    Ok(set.filter(|set| {
        set.set_key == job.entry.set_key && set.basis == job.state.basis() && set.members == members
    }))
}

/// Why roles of the batch have no image in this set.
fn absent(job: &ClaimedJob) -> BTreeMap<Role, String> {
    let said = |role: Role| match job.results.get(&role).map(|result| &result.status) {
        Some(JobStatus::NeedsHuman { why }) => format!("needs a human eye: {why}"),
        Some(JobStatus::Rejected { why }) => format!("rejected: {why}"),
        Some(JobStatus::Skipped { reason } | JobStatus::WeakReference { reason }) => reason.clone(),
        Some(JobStatus::Accepted) => String::new(),
        None => match job.state.jobs.get(&role).map(|job| &job.state) {
            Some(JobState::Skipped { reason, .. }) => reason.clone(),
            Some(JobState::Failed { why } | JobState::OverBudget { why }) => why.clone(),
            _ => "not made".to_owned(),
        },
    };
    job.entry.jobs.keys().filter(|role| !job.is_accepted(**role)).map(|role| (*role, said(*role))).collect()
}

/// The submission has seen the whole catalog and marked products that want a name which
/// another one wants too.
fn claims(product: &Product, channels: &[&Channel]) -> NameClaims {
    let mut claims = NameClaims::default();
    let times = if product.codes.contains_key(CODE_SHARED_NAME) { 2 } else { 1 };
    for _ in 0..times {
        claims.add(product, channels);
    }
    claims
}

fn result_of(job: &ClaimedJob, members: Vec<SetMember>, assembled: &AssembledSet) -> SetResult {
    let document = &assembled.document;
    let mut gaps = Vec::new();
    for channel in &document.channels {
        let name = &channel.channel;
        for missing in channel.missing.iter().filter(|missing| missing.required) {
            let why = format!("{name} {}: {}", missing.slot, missing.reason);
            gaps.push(SetGap { channel: name.clone(), role: None, why });
        }
        for refused in &channel.refused {
            let broken: Vec<String> =
                refused.broken.iter().map(|check| format!("{}: {}", check.rule, check.seen)).collect();
            let why = format!(
                "{name} {}: the {} image was refused: {}",
                refused.slot,
                refused.role,
                broken.join("; ")
            );
            gaps.push(SetGap { channel: name.clone(), role: Some(refused.role), why });
        }
    }
    let noted = document.channels.iter().flat_map(|channel| &channel.files);
    let notes =
        noted.flat_map(|file| file.notes.iter().map(|note| format!("{}: {note}", file.path))).collect();
    SetResult {
        schema: RESULT_SCHEMA,
        batch: job.state.batch.clone(),
        sku: job.state.sku.clone(),
        set_key: job.entry.set_key,
        basis: job.state.basis(),
        members,
        files: assembled.files.iter().map(set_file).collect(),
        gaps,
        findings: remarks(document),
        notes,
        absent: BTreeMap::new(),
    }
}

/// What stands out still, and what did until it was edited.
fn remarks(document: &SetDocument) -> Vec<SetRemark> {
    let left = document
        .consistency
        .iter()
        .map(|found| SetRemark { role: Some(found.role), finding: found.finding.clone() });
    let cured = document
        .edits
        .iter()
        .filter(|edit| edit.used)
        .map(|edit| SetRemark { role: Some(edit.role), finding: edit.remark() });
    left.chain(cured).collect()
}

fn set_file(file: &ExportFile) -> SetFile {
    SetFile {
        channel: file.path.split('/').next().unwrap_or_default().to_owned(),
        path: file.path.clone(),
        digest: Digest::of(&file.bytes),
        size_bytes: file.bytes.len() as u64,
        role: file.role,
        slot: file.slot.clone(),
        width: file.width,
        height: file.height,
    }
}
