//! One image: inspect, make, review, edit, and say how it ended.

use std::sync::Arc;

use packshot_imaging::encode;
use packshot_imaging::photo::Cutout;
use packshot_pipeline::budget::MicroUsd;
use packshot_pipeline::facts::Facts;
use packshot_pipeline::finding::{Review, Verdict};
use packshot_pipeline::inspection::Inspection;
use packshot_pipeline::result::{Artefact, JobResult, JobStatus, RESULT_SCHEMA};
use packshot_pipeline::role::Role;
use packshot_runtime::work::{ClaimedJob, Outcome};
use packshot_service::names;
use tracing::{Instrument, debug_span};

use super::{Fault, OPTION_CONTRADICTION, Workshop, store};
use crate::generate::{Candidate, Made, MakeRequest, studio};
use crate::matting::MattingModel;
use crate::refine::{self, ReviewedFrame, Truth};
use crate::subject::Prepared;

/// Everything a role is made from, ready for the processor pool.
struct Materials {
    reference: Arc<Prepared>,
    second_view: Option<Arc<Prepared>>,
    facts: Facts,
    accepted_main: Option<image::RgbImage>,
}

/// The best candidate of a job and what it took.
struct Best {
    frames: Vec<ReviewedFrame>,
    source_type: String,
    notes: Vec<String>,
    candidates: u32,
    edits: u32,
}

impl Workshop {
    /// Makes the image of `role`.
    pub(super) async fn image(&self, job: &ClaimedJob, role: Role) -> Result<Outcome, Fault> {
        let entry = &job.entry;
        let model = self.model_of(&job.batch.settings)?;
        let inspection = self.inspect(job.objects.as_ref(), &entry.product, &entry.references, model).await?;
        let Some(materials) = self.materials(job, role, &inspection, model).await? else {
            let reason = weak_reason(&inspection);
            return Ok(finish(job, role, JobStatus::WeakReference { reason }, None));
        };
        if let Some(why) = held(job, &materials.facts) {
            return Ok(finish(job, role, JobStatus::NeedsHuman { why }, None));
        }
        let (product, policy) = (entry.product.clone(), job.batch.settings.policy.clone());
        let made = self
            .on_processor(move || {
                make(&product, role, &materials, policy.candidates_max.max(1), policy.edits_max)
            })
            .await?;
        let best = match made {
            Err(reason) => return Ok(finish(job, role, JobStatus::Skipped { reason }, None)),
            Ok(best) => best,
        };
        let status = match refine::verdict(&best.frames) {
            Verdict::Accept => JobStatus::Accepted,
            Verdict::Human { why } | Verdict::Regenerate { why } | Verdict::Edit { why, .. } => {
                JobStatus::NeedsHuman { why }
            }
        };
        let artefacts = self.put(job, &best.frames).instrument(debug_span!(names::STORE)).await?;
        Ok(finish(job, role, status, Some((best, artefacts))))
    }

    async fn materials(
        &self,
        job: &ClaimedJob,
        role: Role,
        inspection: &Inspection,
        model: Option<&Arc<MattingModel>>,
    ) -> Result<Option<Materials>, Fault> {
        let objects = job.objects.as_ref();
        let references = &job.entry.references;
        let (Some(chosen), Some(facts)) =
            (inspection.chosen.and_then(|index| references.get(index)), inspection.facts.clone())
        else {
            return Ok(None);
        };
        let Ok(reference) = self.open(objects, chosen, model).await? else { return Ok(None) };
        let second =
            inspection.second_view.filter(|_| role == Role::Angle).and_then(|index| references.get(index));
        let second_view = match second {
            Some(second) => self.open(objects, second, model).await?.ok(),
            None => None,
        };
        let accepted_main = match job.results.get(&Role::Main).and_then(|result| result.artefacts.first()) {
            Some(main) if role == Role::Ad => {
                Some(store::decode_rgb(&store::get_blob(objects, &main.image).await?)?)
            }
            Some(_) | None => None,
        };
        Ok(Some(Materials { reference, second_view, facts, accepted_main }))
    }

    /// Puts every frame with its mask and its heat map.
    async fn put(&self, job: &ClaimedJob, frames: &[ReviewedFrame]) -> Result<Vec<Artefact>, Fault> {
        let mut artefacts = Vec::with_capacity(frames.len());
        for reviewed in frames {
            let frame = reviewed.frame.clone();
            let heatmap = reviewed.heatmap.clone();
            let encoded = self
                .on_processor(move || {
                    Ok::<_, encode::EncodeError>((
                        encode::png_rgb_fast(&frame.image)?,
                        encode::png_gray_fast(&frame.product_mask)?,
                        encode::jpeg(&heatmap, 82, encode::Chroma::Half)?,
                        store::thumbnail(&frame.image, frame.alpha.as_ref())?,
                    ))
                })
                .await?;
            let (image, mask, heatmap, thumbnail) =
                encoded.map_err(|error| Fault::Broken(error.to_string()))?;
            let objects = job.objects.as_ref();
            let image = store::put_blob(objects, image, "png").await?;
            objects.put(&store::thumbnail_key(&image.digest), thumbnail.into()).await?;
            artefacts.push(Artefact {
                frame: reviewed.frame.name.clone(),
                image,
                mask: Some(store::put_blob(objects, mask, "png").await?),
                heatmap: Some(store::put_blob(objects, heatmap, "jpg").await?),
                width: reviewed.frame.image.width(),
                height: reviewed.frame.image.height(),
                scale_factor: reviewed.frame.scale_factor,
            });
        }
        Ok(artefacts)
    }
}

/// Makes candidates until one is accepted, keeping the best. `Err` is the reason why the
/// role is skipped.
fn make(
    product: &packshot_pipeline::catalog::Product,
    role: Role,
    materials: &Materials,
    candidates_max: u32,
    edits_max: u32,
) -> Result<Best, String> {
    let cutout = cutout_of(&materials.reference)?;
    let second_view = match &materials.second_view {
        Some(second) => Some((&second.photo, cutout_of(second)?)),
        None => None,
    };
    let style = studio::style::style_for(product);
    let mut best: Option<Best> = None;
    let mut edits = 0;
    for attempt in 1..=candidates_max {
        let request = MakeRequest {
            product,
            facts: &materials.facts,
            photo: &materials.reference.photo,
            cutout,
            second_view,
            role,
            style,
            accepted_main: materials.accepted_main.as_ref(),
            accepted_lifestyle: None,
            attempt,
        };
        let made =
            debug_span!(names::GENERATE, { names::MAKER } = studio::NAME, { names::CANDIDATE } = attempt)
                .in_scope(|| studio::make(&request));
        let candidate = match made {
            Made::Candidate(candidate) => candidate,
            Made::Skipped { reason } => return Err(reason),
        };
        // An angle shows the second reference, so that is what it must be true to.
        let truth = match (role, second_view) {
            (Role::Angle, Some((photo, cutout))) => Truth { photo, cutout, facts: &materials.facts },
            _ => Truth { photo: &materials.reference.photo, cutout, facts: &materials.facts },
        };
        let Candidate { frames, source_type, notes } = candidate;
        let frames: Vec<ReviewedFrame> =
            frames.into_iter().map(|frame| refine::refine(truth, role, frame, edits_max)).collect();
        edits += frames.iter().map(|frame| frame.edits.len() as u32).sum::<u32>();
        let better =
            best.as_ref().is_none_or(|best| refine::badness(&frames) < refine::badness(&best.frames));
        let accepted = refine::verdict(&frames) == Verdict::Accept;
        if better {
            best = Some(Best {
                frames,
                source_type: source_type.term().to_owned(),
                notes,
                candidates: 0,
                edits: 0,
            });
        }
        if accepted {
            return best.map(|best| Best { candidates: attempt, edits, ..best }).ok_or_else(String::new);
        }
    }
    best.map(|best| Best { candidates: candidates_max, edits, ..best })
        .ok_or_else(|| "the policy allows no candidate".to_owned())
}

fn cutout_of(prepared: &Prepared) -> Result<&Cutout, String> {
    prepared.cutout.as_ref().map_err(|error| format!("the reference could not be cut out: {error}"))
}

fn weak_reason(inspection: &Inspection) -> String {
    let mut reasons: Vec<String> = inspection
        .reports
        .iter()
        .flat_map(|report| {
            report
                .weaknesses
                .iter()
                .map(|weak| format!("{}: {}; {}", report.reference.name, weak.seen, weak.reshoot))
        })
        .collect();
    reasons.dedup();
    if reasons.is_empty() { "no reference photo".to_owned() } else { reasons.join(" | ") }
}

/// Why the policy holds this SKU back, if it does.
fn held(job: &ClaimedJob, facts: &Facts) -> Option<String> {
    let hold = job.batch.settings.options.get(OPTION_CONTRADICTION).is_some_and(|option| option == "hold");
    let first = facts.contradictions.first().filter(|_| hold)?;
    Some(format!("catalog and photo disagree: {}", first.evidence))
}

fn finish(job: &ClaimedJob, role: Role, status: JobStatus, made: Option<(Best, Vec<Artefact>)>) -> Outcome {
    let spec = &job.entry.jobs[&role];
    let (best, artefacts) = match made {
        Some((best, artefacts)) => (Some(best), artefacts),
        None => (None, Vec::new()),
    };
    let review: Option<Review> = best.as_ref().and_then(|best| {
        let heaviest = best.frames.iter().max_by(|a, b| a.review.badness().total_cmp(&b.review.badness()));
        heaviest.map(|frame| frame.review.clone())
    });
    let mut notes = best.as_ref().map(|best| best.notes.clone()).unwrap_or_default();
    for frame in best.iter().flat_map(|best| &best.frames) {
        notes.extend(frame.edits.iter().map(|(op, why)| format!("edited ({}): {why}", op.word())));
    }
    Outcome::Job(Box::new(JobResult {
        schema: RESULT_SCHEMA,
        key: spec.key,
        batch: job.state.batch.clone(),
        sku: job.state.sku.clone(),
        role,
        status,
        artefacts,
        review,
        findings: Vec::new(),
        cost: MicroUsd::ZERO,
        candidates: best.as_ref().map_or(0, |best| best.candidates),
        edits: best.as_ref().map_or(0, |best| best.edits),
        attempts: job.attempt.number,
        maker: spec.maker.clone(),
        source_type: best.map(|best| best.source_type).unwrap_or_default(),
        notes,
        trace_id: String::new(),
    }))
}
