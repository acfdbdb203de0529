//! `packshot fetch`: the output folder of a batch, as `run` leaves it, from the object store
//! alone. Works without the coordinator, long after the batch has ended, and again: what the
//! folder holds already stays.

use std::path::Path;

use anyhow::{Context, anyhow};
use packshot_pipeline::ids::BatchId;
use packshot_runtime::clock::Clock;
use packshot_runtime::port::Objects;
use packshot_runtime::store::Store;

use crate::exit::{Exit, Failure};
use crate::output::{self, Masters, Source};
use crate::report::Summary;
use crate::run::{is_complete, lock, sentence};

/// What was fetched.
#[derive(Debug)]
pub struct Fetched {
    /// The batch in numbers.
    pub summary: Summary,
    /// The same for people.
    pub sentence: String,
    /// Whether everything is complete.
    pub exit: Exit,
}

/// Writes the output folder of `batch` to `out`.
pub async fn fetch(
    objects: &dyn Objects,
    clock: &dyn Clock,
    batch: &BatchId,
    out: &Path,
) -> Result<Fetched, Failure> {
    let store = Store::new(objects, clock);
    let header = store.batch(batch).await.map_err(Failure::environment)?.ok_or_else(|| {
        Failure::usage(anyhow!("there is no batch {batch}"))
            .hint("`packshot status` lists the batches of this object store")
    })?;
    std::fs::create_dir_all(out)
        .with_context(|| format!("cannot write to the output folder {}", out.display()))
        .map_err(|error| {
            Failure::environment(error).hint("choose a folder that can be written with --out")
        })?;
    let _only_one = lock(out)?;
    let closed = store.closed(batch).await.map_err(Failure::environment)?.filter(|closed| closed.closed);
    let until_ms = closed.as_ref().map_or_else(|| clock.now_ms(), |closed| closed.at_ms);
    let seconds = until_ms.saturating_sub(header.created_ms) as f64 / 1000.0;
    let source = Source { objects, clock, header: &header, documents: None, masters: Masters::Copy };
    let (summary, open) = output::write(out, source, seconds).await?;
    let mut sentence = sentence(&summary);
    if open > 0 {
        sentence = format!("{sentence}; {open} images are not finished yet: fetch again when they are");
    }
    let exit = if is_complete(&summary) && open == 0 { Exit::Complete } else { Exit::Attention };
    Ok(Fetched { summary, sentence, exit })
}
