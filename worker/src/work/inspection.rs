//! Inspecting a SKU's references once: the answer is an object, found again by everybody
//! who asks about the same photos and the same catalog facts.

use std::sync::Arc;

use bytes::Bytes;
use packshot_imaging::cutout::Segmenter;
use packshot_imaging::decode::DecodeError;
use packshot_pipeline::catalog::{Product, Reference};
use packshot_pipeline::inspection::{Inspection, ReferenceReport};
use packshot_pipeline::job_key::catalog_facts;
use packshot_runtime::port::Objects;
use packshot_service::names;
use tracing::{Instrument, debug_span};

use super::{Fault, Workshop, store};
use crate::inspect::{choose, facts, inspect_reference, unreadable, without_cutout};
use crate::matting::MattingModel;
use crate::subject::Prepared;

/// Version of the measurements; a new one measures everything again.
pub const INSPECTION_VERSION: &str = "2";

/// Where the inspection of these references under these catalog facts is kept; `matting` is
/// the batch's [`super::OPTION_MATTING`].
pub fn inspection_key(product: &Product, references: &[Reference], matting: Option<&str>) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut part = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    part("packshot inspection");
    part(INSPECTION_VERSION);
    for reference in references {
        part(&reference.digest.to_hex());
    }
    for (name, values) in catalog_facts(product) {
        part(&name);
        for value in &values {
            part(value);
        }
    }
    if let Some(matting) = matting {
        part("matting");
        part(matting);
    }
    format!("inspections/{}.json", hasher.finalize().to_hex())
}

/// A reference as pixels, or why it cannot be read.
pub(super) type Opened = Result<Arc<Prepared>, DecodeError>;

impl Workshop {
    /// What is known of a SKU's references, seen with `model` if with any: read from the store,
    /// or measured and put there.
    ///
    /// # Errors
    /// When the object store fails, or when a reference is gone from it.
    pub async fn inspect(
        &self,
        objects: &dyn Objects,
        product: &Product,
        references: &[Reference],
        model: Option<&Arc<MattingModel>>,
    ) -> Result<Inspection, Fault> {
        let matting = model.map(|model| model.fingerprint().to_hex());
        let key = inspection_key(product, references, matting.as_deref());
        if let Some(bytes) = objects.get(&key, 16 << 20).await?
            && let Ok(known) = serde_json::from_slice(&bytes)
        {
            return Ok(known);
        }
        let span = debug_span!(names::INSPECT);
        let inspection = self.measure(objects, product, references, model).instrument(span).await?;
        let bytes = serde_json::to_vec(&inspection).map_err(|error| Fault::Broken(error.to_string()))?;
        objects.put(&key, Bytes::from(bytes)).await?;
        Ok(inspection)
    }

    /// Measures a SKU's references.
    async fn measure(
        &self,
        objects: &dyn Objects,
        product: &Product,
        references: &[Reference],
        model: Option<&Arc<MattingModel>>,
    ) -> Result<Inspection, Fault> {
        let mut reports = Vec::with_capacity(references.len());
        for reference in references {
            reports.push(match self.open(objects, reference, model).await? {
                Err(error) => unreadable(reference, &error),
                Ok(prepared) => self.report(objects, reference, prepared).await?,
            });
        }
        let (chosen, second_view) = choose(&reports);
        let mut inspection = Inspection { reports, chosen, second_view, facts: None };
        if let Some(chosen) = chosen.and_then(|index| references.get(index))
            && let Ok(prepared) = self.open(objects, chosen, model).await?
        {
            let (product, reference) = (product.clone(), chosen.clone());
            let known = move || {
                let cutout = prepared.cutout.as_ref().ok()?;
                Some(facts(&product, &reference, &prepared.photo, cutout))
            };
            inspection.facts = self.on_processor(known).await?;
        }
        Ok(inspection)
    }

    /// Measures one reference, and keeps a small picture of it for reports.
    async fn report(
        &self,
        objects: &dyn Objects,
        reference: &Reference,
        prepared: Arc<Prepared>,
    ) -> Result<ReferenceReport, Fault> {
        let named = reference.clone();
        let measured = move || {
            let photo = &prepared.photo;
            let report = match &prepared.cutout {
                Ok(cutout) => inspect_reference(&named, photo, cutout),
                Err(error) => without_cutout(&named, photo, error),
            };
            (report, store::thumbnail(&photo.rgb, photo.alpha.as_ref()))
        };
        let (report, thumbnail) = self.on_processor(measured).await?;
        let thumbnail = thumbnail.map_err(|error| Fault::Broken(error.to_string()))?;
        objects.put(&store::thumbnail_key(&reference.digest), thumbnail.into()).await?;
        Ok(report)
    }

    /// A reference as pixels and cut-out, from memory if it was here lately.
    pub(super) async fn open(
        &self,
        objects: &dyn Objects,
        reference: &Reference,
        model: Option<&Arc<MattingModel>>,
    ) -> Result<Opened, Fault> {
        let key = (reference.digest, model.map(|model| model.fingerprint()));
        let opened = self
            .cache
            .get(key, || async {
                let bytes = store::get(objects, &reference.object_key(), self.decode.bytes_max).await?;
                let (limits, model) = (self.decode, model.cloned());
                let prepare = move || {
                    let third = model.as_deref().map(|model| model as &dyn Segmenter);
                    Prepared::new(&bytes, &limits, third)
                };
                self.on_processor(prepare).await?.map_err(Unopened::Unreadable)
            })
            .await;
        match opened {
            Ok(prepared) => Ok(Ok(prepared)),
            Err(Unopened::Unreadable(error)) => Ok(Err(error)),
            Err(Unopened::Fault(fault)) => Err(fault),
        }
    }
}

enum Unopened {
    Unreadable(DecodeError),
    Fault(Fault),
}

impl From<Fault> for Unopened {
    fn from(fault: Fault) -> Self {
        Unopened::Fault(fault)
    }
}
