//! The ledger: money promised before an effect and counted after it.

use async_trait::async_trait;
use packshot_pipeline::budget::MicroUsd;
use packshot_pipeline::ids::BatchId;

use super::CoordinatorError;

/// What became of a reservation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Reserved {
    /// The money is put aside, by this call or by an earlier one of the same name.
    Yes,
    /// The cap would be exceeded; nothing was put aside.
    OverCap {
        /// What could still be reserved.
        free: MicroUsd,
    },
    /// The name was settled before: its effect has been paid. Look for the answer that it
    /// gave; an effect that is wanted once more needs a name of its own.
    Settled {
        /// What it cost.
        actual: MicroUsd,
    },
}

/// A batch's totals.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Books {
    /// Settled.
    pub spent: MicroUsd,
    /// Put aside and neither settled nor released.
    pub reserved: MicroUsd,
}

/// Money that is put aside.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reservation {
    /// What for.
    pub name: String,
    /// How much.
    pub amount: MicroUsd,
    /// Since when, in milliseconds since 1970.
    pub at_ms: u64,
}

/// Reservations and spending per batch.
///
/// **Contract.** Each call is atomic. A reservation is granted only if everything spent and
/// reserved, itself included, stays within `cap`; so spending exceeds a cap at most by what
/// effects cost beyond their reservations. A name (the attempt's, with a number where an
/// attempt pays more than once) names one effect: `reserve`, `settle` and `release` may be
/// repeated under it after a lost answer and count once. `settle` counts without a
/// reservation too, because the money is gone. A settled name cannot be released. Everything
/// may be lost at once; then whoever rebuilds says by [`Ledger::set_spent`] what the object
/// store knows to be paid, or settles each paid answer again under its name.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Puts aside `amount`, the most that the effect may cost. `cap`: the most that the
    /// batch may cost, `None` for no limit.
    async fn reserve(
        &self,
        batch: &BatchId,
        cap: Option<MicroUsd>,
        name: &str,
        amount: MicroUsd,
        now_ms: u64,
    ) -> Result<Reserved, CoordinatorError>;

    /// Turns the reservation into what the effect did cost.
    async fn settle(&self, batch: &BatchId, name: &str, actual: MicroUsd) -> Result<(), CoordinatorError>;

    /// Gives the reservation back: the effect did not happen.
    async fn release(&self, batch: &BatchId, name: &str) -> Result<(), CoordinatorError>;

    /// The batch's totals; zero when nothing is known of it.
    async fn books(&self, batch: &BatchId) -> Result<Books, CoordinatorError>;

    /// Up to `limit` reservations made before `before_ms`, oldest first: for a sweeper that
    /// looks what became of their effects.
    async fn reservations(
        &self,
        batch: &BatchId,
        before_ms: u64,
        limit: usize,
    ) -> Result<Vec<Reservation>, CoordinatorError>;

    /// Says what has been spent, after the ledger was lost. Reservations and the names
    /// that were settled stay as they are.
    async fn set_spent(&self, batch: &BatchId, spent: MicroUsd) -> Result<(), CoordinatorError>;

    /// Forgets the batch.
    async fn forget_books(&self, batch: &BatchId) -> Result<(), CoordinatorError>;
}
