//! What is known of a SKU before anything is made: how good each reference photo is, which
//! one is the clearest, and the facts that no image may change.
//!
//! Nothing here refuses a photo for being ugly; only for not carrying enough true
//! information. Each refusal says what was seen, with its number, and what to reshoot.

mod colours;
mod facts;
mod measure;
mod protected;
mod surface;
mod verdict;

use packshot_imaging::cutout::CutoutError;
use packshot_imaging::decode::DecodeError;
use packshot_imaging::photo::{Cutout, Photo};
use packshot_pipeline::catalog::Reference;
use packshot_pipeline::inspection::{ReferenceReport, Weakness};

pub use facts::facts;

/// Measures one reference and says whether it can be trusted.
pub fn inspect_reference(reference: &Reference, photo: &Photo, cutout: &Cutout) -> ReferenceReport {
    let measured = measure::measure(photo, cutout);
    verdict::report(reference, photo, cutout, &measured)
}

/// The report of a photo in which no product could be told apart.
pub fn without_cutout(reference: &Reference, photo: &Photo, error: &CutoutError) -> ReferenceReport {
    let mut report = empty_report(reference);
    (report.width, report.height) = photo.rgb.dimensions();
    let (kind, reshoot) = match error {
        CutoutError::NoProduct => {
            ("no-product", "reshoot on a plain background that differs in colour from the product")
        }
        CutoutError::NoAnswer { .. } => {
            ("uncertain-outline", "use another matting model or none, or supply a cut-out with transparency")
        }
        CutoutError::Uncertain { .. } => (
            "uncertain-outline",
            "reshoot on a plain, evenly lit background without other objects, or supply a cut-out with transparency",
        ),
    };
    report.weaknesses.push(Weakness { kind: kind.into(), seen: error.to_string(), reshoot: reshoot.into() });
    report
}

/// The report of a file that is no photo.
pub fn unreadable(reference: &Reference, error: &DecodeError) -> ReferenceReport {
    let mut report = empty_report(reference);
    report.weaknesses.push(Weakness {
        kind: "unreadable".into(),
        seen: error.to_string(),
        reshoot: "supply a complete jpeg, png or webp file".into(),
    });
    report
}

fn empty_report(reference: &Reference) -> ReferenceReport {
    ReferenceReport {
        reference: reference.clone(),
        width: 0,
        height: 0,
        product_px: 0,
        edge_width_px: 0.0,
        clipped: 0.0,
        clutter: 0.0,
        cast: 0.0,
        border_contact: 0.0,
        parts: 0,
        agreement: 0.0,
        score: 0.0,
        reasons: Vec::new(),
        weaknesses: Vec::new(),
    }
}

/// Indices of the clearest usable reference and of the next best one that is another
/// photo, for the angle role. Equal scores keep the catalog's order.
pub fn choose(reports: &[ReferenceReport]) -> (Option<usize>, Option<usize>) {
    let mut usable: Vec<usize> = (0..reports.len()).filter(|&i| reports[i].weaknesses.is_empty()).collect();
    usable.sort_by(|&i, &j| reports[j].score.total_cmp(&reports[i].score));
    let first = usable.first().copied();
    let second = first.and_then(|chosen| {
        let digest = &reports[chosen].reference.digest;
        usable.iter().copied().find(|&i| reports[i].reference.digest != *digest)
    });
    (first, second)
}

#[cfg(test)]
mod tests;
