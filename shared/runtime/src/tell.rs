//! Telling a document what happened: load, apply, compare-and-set, and again while others
//! are faster.

use packshot_pipeline::ids::{BatchId, Sku};
use packshot_pipeline::policy::Policy;
use packshot_pipeline::state::{Event, Stale};

use crate::clock::Clock;
use crate::port::{Commit, Coordinator, CoordinatorError, CoordinatorFault, Versioned};

/// How often a coordinator that is not reachable is asked again.
const TRIES: u32 = 4;
/// The wait before the second try, in milliseconds; doubles.
const TRY_MS: u64 = 100;

/// What became of an event.
#[derive(Clone, PartialEq, Debug)]
pub enum Told {
    /// It is in; the document afterwards.
    Applied(Box<Versioned>),
    /// It is of another time; the document as it stands.
    Stale(Stale, Box<Versioned>),
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
    persist(coordinator, clock, policy, (batch, sku), Seen::Never, event).await
}

/// As [`tell`], to a document as it was seen last: if nobody moved it on since, it need not
/// be loaded again.
pub async fn tell_known(
    coordinator: &dyn Coordinator,
    clock: &dyn Clock,
    policy: &Policy,
    known: Versioned,
    event: &Event,
) -> Result<Told, CoordinatorError> {
    let (batch, sku) = (known.state.batch.clone(), known.state.sku.clone());
    persist(coordinator, clock, policy, (&batch, &sku), Seen::Before(known), event).await
}

/// What is known of the document.
enum Seen {
    Never,
    /// It may have been moved on since.
    Before(Versioned),
    /// It was the answer to a commit.
    JustNow(Versioned),
}

async fn persist(
    coordinator: &dyn Coordinator,
    clock: &dyn Clock,
    policy: &Policy,
    whose: (&BatchId, &Sku),
    mut seen: Seen,
    event: &Event,
) -> Result<Told, CoordinatorError> {
    let mut tries = 1;
    loop {
        let now = std::mem::replace(&mut seen, Seen::Never);
        match once(coordinator, clock, policy, whose, now, event).await {
            Ok(Once::Told(told)) => return Ok(told),
            // Somebody else committed in between, so there was progress: decide again.
            Ok(Once::Overtaken(present)) => {
                seen = present.map_or(Seen::Never, |present| Seen::JustNow(*present));
            }
            Err(error) if error.kind == CoordinatorFault::Unavailable && tries < TRIES => {
                let wait_ms = TRY_MS << (tries - 1);
                clock.sleep(wait_ms.max(error.retry_after_ms.unwrap_or(0)).min(5_000)).await;
                tries += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

enum Once {
    Told(Told),
    Overtaken(Option<Box<Versioned>>),
}

async fn once(
    coordinator: &dyn Coordinator,
    clock: &dyn Clock,
    policy: &Policy,
    (batch, sku): (&BatchId, &Sku),
    seen: Seen,
    event: &Event,
) -> Result<Once, CoordinatorError> {
    let (loaded, is_outdated) = match seen {
        Seen::Before(known) => (known, true),
        Seen::JustNow(present) => (present, false),
        Seen::Never => match coordinator.load(batch, sku).await? {
            Some(loaded) => (loaded, false),
            None => return Ok(Once::Told(Told::Missing)),
        },
    };
    match loaded.state.apply(event, policy, clock.now_ms()) {
        // What an outdated document takes for stale may not be.
        Err(_) if is_outdated => Ok(Once::Overtaken(None)),
        Err(stale) => Ok(Once::Told(Told::Stale(stale, Box::new(loaded)))),
        Ok(transition) => {
            let committed = coordinator.commit(loaded.version, &transition.state, &transition.change).await?;
            Ok(match committed {
                Commit::Done(version) => {
                    Once::Told(Told::Applied(Box::new(Versioned { version, state: transition.state })))
                }
                Commit::Conflict { present } => Once::Overtaken(present),
            })
        }
    }
}
