//! A SKU's set: the committed images compared with each other, exported for every channel,
//! and each exported file stored under the set's revision.

use bytes::Bytes;
use packshot_pipeline::catalog::Product;
use packshot_pipeline::finding::Severity;
use packshot_pipeline::ids::Digest;
use packshot_pipeline::layout;
use packshot_pipeline::result::{JobResult, RESULT_SCHEMA, SetFile, SetGap, SetMember, SetResult};
use packshot_pipeline::role::Role;
use packshot_runtime::clock::MonotonicClock;
use packshot_runtime::port::Objects;
use packshot_runtime::store::Store;
use packshot_runtime::work::{ClaimedJob, Outcome};
use packshot_imaging::metadata::DigitalSourceType;

use super::{Fault, Workshop, store};
use crate::assemble::channel::Channel;
use crate::assemble::{Encoded, Export, ExportFile, Member, NameClaims, SetFinding, consistency, export};

/// A set before it is stored.
struct Assembled {
    exports: Vec<(String, Export)>,
    findings: Vec<SetFinding>,
}

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
        let product = job.entry.product.clone();
        let channels: Vec<&'static Channel> =
            job.batch.settings.channels.iter().filter_map(|name| Channel::by_name(name)).collect();
        let assembled = self.on_processor(move || assemble(&product, &channels, &pictures)).await?;
        let mut set = result_of(job, members, &assembled);
        let folder = layout::set_folder(&set.sku, &set.revision());
        for (_, export) in assembled.exports {
            for file in export.files {
                objects.put(&format!("{folder}{}", file.path), file.bytes).await?;
            }
        }
        set.notes.sort();
        Ok(Outcome::Set(Box::new(set)))
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
        let source_type = DigitalSourceType::parse(&result.source_type)
            .ok_or_else(|| Fault::Broken(format!("a result names the unknown source type {:?}", result.source_type)))?;
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
    let Some((_, pointer)) = store.current_set(sku).await? else { return Ok(None) };
    let set = store.set(sku, &pointer).await?;
    Ok(set.filter(|set| set.set_key == job.entry.set_key && set.members == members))
}

fn assemble(product: &Product, channels: &[&'static Channel], pictures: &[Member]) -> Assembled {
    let findings = consistency(pictures);
    let mut encoded = Encoded::default();
    let claims = NameClaims::default();
    let exports = channels
        .iter()
        .map(|channel| (channel.name.clone(), export(channel, product, pictures, &claims, &mut encoded)))
        .collect();
    Assembled { exports, findings }
}

fn result_of(job: &ClaimedJob, members: Vec<SetMember>, assembled: &Assembled) -> SetResult {
    let mut files = Vec::new();
    let mut gaps = Vec::new();
    let mut notes = Vec::new();
    for (channel, export) in &assembled.exports {
        files.extend(export.files.iter().map(|file| set_file(channel, file)));
        for missing in export.missing.iter().filter(|missing| missing.required) {
            gaps.push(SetGap {
                channel: channel.clone(),
                role: None,
                why: format!("{channel} {}: {}", missing.slot, missing.reason),
            });
        }
        for refused in &export.refused {
            let broken: Vec<String> =
                refused.broken.iter().map(|check| format!("{}: {}", check.rule, check.seen)).collect();
            gaps.push(SetGap {
                channel: channel.clone(),
                role: Some(refused.role),
                why: format!("{channel} {}: the {} image was refused: {}", refused.slot, refused.role, broken.join("; ")),
            });
        }
        notes.extend(export.files.iter().flat_map(|file| file.notes.iter().map(|note| format!("{}: {note}", file.path))));
    }
    let findings = assembled.findings.iter().map(|found| found.finding.clone()).collect::<Vec<_>>();
    for found in assembled.findings.iter().filter(|found| found.finding.severity >= Severity::Warning) {
        notes.push(format!("{}: {}", found.role, found.finding.evidence));
    }
    SetResult {
        schema: RESULT_SCHEMA,
        batch: job.state.batch.clone(),
        sku: job.state.sku.clone(),
        set_key: job.entry.set_key,
        members,
        files,
        gaps,
        findings,
        notes,
    }
}

fn set_file(channel: &str, file: &ExportFile) -> SetFile {
    SetFile {
        channel: channel.to_owned(),
        path: file.path.clone(),
        digest: Digest::of(&file.bytes),
        size_bytes: file.bytes.len() as u64,
        role: file.role,
        slot: file.slot.clone(),
        width: file.width,
        height: file.height,
    }
}
