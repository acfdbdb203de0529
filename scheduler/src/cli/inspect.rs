//! `packshot inspect`: what a photo is worth as a reference, and what it says of the product.

use std::io::Read;
use std::path::Path;

use anyhow::Context;
use packshot_pipeline::catalog::{Dimensions, Product, ReferenceSource};
use packshot_pipeline::ids::Sku;
use packshot_pipeline::inspection::{Inspection, ReferenceReport};
use packshot_runtime::memory::MemoryObjects;
use packshot_worker::work::Workshop;
use serde_json::json;

use super::InspectArgs;
use crate::exit::{Exit, Failure};
use crate::intake::fetch::Fetcher;
use crate::intake::references::put_references;
use crate::{session, terminal};

/// The photos of one SKU, held in memory while it is looked at, in bytes.
const STORE_BYTES_MAX: u64 = 4 << 30;

/// Answers the command.
pub async fn inspect(arguments: &InspectArgs) -> Result<Exit, Failure> {
    let settings = session::settings(arguments.config.as_deref(), Vec::new())?;
    let model = session::matting(&settings.matting)?;
    let workshop = Workshop::new(session::workshop_limits(&settings), model);
    let fetcher = Fetcher::new(session::fetch_limits(&settings));
    if is_image(&arguments.input)? {
        let (images, product) = lone_photo(&arguments.input)?;
        let seen = look(&workshop, &fetcher, &images, &product).await?;
        let exit = if seen.1.chosen.is_some() { Exit::Complete } else { Exit::Attention };
        terminal::data(if arguments.json { pretty(&json!(seen.1))? } else { text(&product, &seen) });
        return Ok(exit);
    }
    let mut exit = Exit::Complete;
    let catalog = session::open_catalog(&arguments.input, arguments.images.as_deref())?;
    let images = catalog.images_root().to_owned();
    for entry in catalog {
        match entry.product {
            Err(bad) => {
                exit = Exit::Attention;
                terminal::note(bad.to_string());
            }
            Ok(product) => {
                let seen = look(&workshop, &fetcher, &images, &product).await?;
                if seen.1.chosen.is_none() {
                    exit = Exit::Attention;
                }
                // One object a line: a catalog of any size stays readable as a stream.
                let line = json!({ "sku": product.sku, "inspection": seen.1, "problems": seen.0 });
                terminal::data(if arguments.json { line.to_string() } else { text(&product, &seen) });
            }
        }
    }
    Ok(exit)
}

/// References that cannot be used, and what is known of the others.
type Seen = (Vec<String>, Inspection);

async fn look(
    workshop: &Workshop,
    fetcher: &Fetcher,
    images: &Path,
    product: &Product,
) -> Result<Seen, Failure> {
    let objects = MemoryObjects::new(STORE_BYTES_MAX);
    let put = put_references(&objects, fetcher, images, product).await.map_err(Failure::environment)?;
    let inspection = workshop.inspect(&objects, product, &put.stored, workshop.model()).await;
    let inspection = inspection.map_err(Failure::environment)?;
    Ok((put.problems.iter().map(ToString::to_string).collect(), inspection))
}

fn is_image(path: &Path) -> Result<bool, Failure> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut head = Vec::new();
        std::fs::File::open(path)?.take(32).read_to_end(&mut head)?;
        Ok(head)
    };
    let head = read().with_context(|| format!("cannot read {}", path.display())).map_err(Failure::usage)?;
    Ok(image::guess_format(&head).is_ok())
}

/// A photo without a catalog: a product of which nothing is known but its picture.
fn lone_photo(path: &Path) -> Result<(std::path::PathBuf, Product), Failure> {
    let whole = path.canonicalize().with_context(|| path.display().to_string()).map_err(Failure::usage)?;
    let (Some(folder), Some(name)) = (whole.parent(), whole.file_name()) else {
        return Err(Failure::usage(anyhow::anyhow!("{} is not a file", path.display())));
    };
    let product = Product {
        sku: Sku::new("photo").map_err(Failure::usage)?,
        title: String::new(),
        description: String::new(),
        category: String::new(),
        brand: String::new(),
        colour: String::new(),
        material: String::new(),
        dimensions: Dimensions::default(),
        accessories: Vec::new(),
        group: None,
        references: vec![ReferenceSource::File(name.into())],
        codes: std::collections::BTreeMap::new(),
        line: 1,
    };
    Ok((folder.to_owned(), product))
}

fn pretty(value: &serde_json::Value) -> Result<String, Failure> {
    serde_json::to_string_pretty(value).map_err(Failure::environment)
}

fn text(product: &Product, (problems, inspection): &Seen) -> String {
    let mut lines = Vec::new();
    if product.title.is_empty() {
        lines.push(format!("{}", product.sku));
    } else {
        lines.push(format!("{}  {}", product.sku, product.title));
    }
    lines.extend(problems.iter().map(|problem| format!("  ! {problem}")));
    for (index, report) in inspection.reports.iter().enumerate() {
        lines.extend(report_text(
            report,
            inspection.chosen == Some(index),
            inspection.second_view == Some(index),
        ));
    }
    if let Some(facts) = &inspection.facts {
        let colours = facts.colours.iter().map(|c| format!("{} {} {:.0} %", c.word, c.hex, c.share * 100.0));
        lines.push(format!("  colours    {}", colours.collect::<Vec<_>>().join(", ")));
        let outline = &facts.silhouette;
        lines.push(format!(
            "  outline    {} x {} px, {} part(s), {} hole(s)",
            outline.bounds.w, outline.bounds.h, outline.parts, outline.holes
        ));
        lines.push(format!("  surface    {}", facts.texture.word));
        lines.push(format!("  protected  {} region(s) with labels or fine detail", facts.protected.len()));
        lines.extend(
            facts.stated.iter().map(|stated| format!("  {:<10} {} (catalog)", stated.name, stated.value)),
        );
        lines.extend(facts.contradictions.iter().map(|finding| format!("  ! {}", finding.evidence)));
    }
    lines.join("\n")
}

fn report_text(report: &ReferenceReport, chosen: bool, second: bool) -> Vec<String> {
    let rank = if chosen {
        "clearest"
    } else if second {
        "second view"
    } else {
        "not used"
    };
    let mut lines = vec![format!(
        "  {}  {} x {} px, {rank}, score {:.2}: {}",
        report.reference.name,
        report.width,
        report.height,
        report.score,
        report.reasons.join("; ")
    )];
    lines.extend(report.weaknesses.iter().map(|weak| format!("    ! {}; {}", weak.seen, weak.reshoot)));
    lines
}
