//! Telling a document what happened: load, apply, compare-and-set, and again while others
//! are faster.

use packshot_pipeline::ids::{BatchId, Sku};
use packshot_pipeline::policy::Policy;
use packshot_pipeline::state::{Event, SkuState, Stale};

use crate::clock::Clock;
use crate::port::{Commit, Coordinator, CoordinatorError, CoordinatorFault};

/// How often a coordinator that is not reachable is asked again.
const TRIES: u32 = 4;
/// The wait before the second try, in milliseconds; doubles.
const TRY_MS: u64 = 100;

/// What became of an event.
#[derive(Clone, PartialEq, Debug)]
pub enum Told {
    /// It is in; the document afterwards.
    Applied(Box<SkuState>),
    /// It is of another time; the document as it stands.
    Stale(Stale, Box<SkuState>),
    /// There is no document.
    Missing,
}

/// Applies `event` to the document of `sku` with as many compare-and-sets as it takes.
///
/// A commit of unknown outcome is decided by looking again: what was committed makes the
/// event stale, so the answer [`Told::Stale`] can mean "applied before"; the caller sees
/// it in the document.
pub async fn tell(
    coordinator: &dyn Coordinator,
    clock: &dyn Clock,
    policy: &Policy,
    batch: &BatchId,
    sku: &Sku,
    event: &Event,
) -> Result<Told, CoordinatorError> {
    let mut tries = 1;
    loop {
        match once(coordinator, clock, policy, batch, sku, event).await {
            Ok(Some(told)) => return Ok(told),
            // Somebody else committed in between, so there was progress: look again.
            Ok(None) => {}
            Err(error) if error.kind == CoordinatorFault::Unavailable && tries < TRIES => {
                let wait_ms = TRY_MS << (tries - 1);
                clock.sleep(wait_ms.max(error.retry_after_ms.unwrap_or(0)).min(5_000)).await;
                tries += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

async fn once(
    coordinator: &dyn Coordinator,
    clock: &dyn Clock,
    policy: &Policy,
    batch: &BatchId,
    sku: &Sku,
    event: &Event,
) -> Result<Option<Told>, CoordinatorError> {
    let Some(loaded) = coordinator.load(batch, sku).await? else { return Ok(Some(Told::Missing)) };
    match loaded.state.apply(event, policy, clock.now_ms()) {
        Err(stale) => Ok(Some(Told::Stale(stale, Box::new(loaded.state)))),
        Ok(transition) => {
            let committed = coordinator.commit(loaded.version, &transition.state, &transition.change).await?;
            Ok(match committed {
                Commit::Done(_) => Some(Told::Applied(Box::new(transition.state))),
                Commit::Conflict => None,
            })
        }
    }
}
