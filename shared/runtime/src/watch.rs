//! Watching a batch until nothing more happens in it without a person.

use packshot_pipeline::change::Progress;
use packshot_pipeline::ids::BatchId;
use packshot_pipeline::tally::Tally;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::port::{Coordinator, CoordinatorError};

/// News read in one go.
const PAGE: usize = 1_000;
/// The longest wait between two looks, in milliseconds.
const LOOK_MS: u64 = 500;
/// The shortest, so that a busy batch is not watched more than worked at.
const REST_MS: u64 = 50;

/// How watching ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Watched {
    /// All of the expected SKUs are settled; the totals.
    Settled(Tally),
    /// `stop` was cancelled before; the totals until then.
    Stopped(Tally),
}

/// Calls `see` with totals and news as they come, until `skus` SKUs are settled.
pub async fn until_settled(
    coordinator: &dyn Coordinator,
    clock: &dyn Clock,
    batch: &BatchId,
    skus: u64,
    stop: &CancellationToken,
    mut see: impl FnMut(&Tally, &[Progress]) + Send,
) -> Result<Watched, CoordinatorError> {
    let (mut seen, mut last) = (0, 0);
    loop {
        let tally = coordinator.tally(batch).await?;
        let page = coordinator.news(batch, last, PAGE).await?;
        let full = page.len() == PAGE;
        if let Some((number, _)) = page.last() {
            last = *number;
        }
        let news: Vec<Progress> = page.into_iter().map(|(_, news)| news).collect();
        see(&tally, &news);
        if tally.settled() >= skus && !full {
            return Ok(Watched::Settled(tally));
        }
        if stop.is_cancelled() {
            return Ok(Watched::Stopped(tally));
        }
        if full {
            continue;
        }
        clock.sleep(REST_MS).await;
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            now = coordinator.changed(seen) => seen = now,
            () = clock.sleep(LOOK_MS) => {}
        }
    }
}
