//! The outside world in one process: what embedded mode runs on, and by what the
//! conformance suites and the simulation know how a port behaves.

mod broker;
mod coordinator;
mod ledger;
mod limits;
mod objects;

pub use broker::{BrokerLimits, MemoryBroker};
pub use coordinator::MemoryCoordinator;
pub use ledger::MemoryLedger;
pub use limits::MemoryLimits;
pub use objects::MemoryObjects;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks; a panic elsewhere leaves state that is still whole, because every change below
/// is made by code that does not panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use packshot_pipeline::state::Incarnation;

    use super::*;
    use crate::conformance;

    #[tokio::test]
    async fn memory_objects_conform() {
        conformance::objects::suite(|| Arc::new(MemoryObjects::new(1 << 20))).await;
    }

    #[tokio::test]
    async fn memory_coordinator_conforms() {
        conformance::coordinator::suite(|| Arc::new(MemoryCoordinator::new(Incarnation(7)))).await;
    }

    #[tokio::test]
    async fn memory_limits_conform() {
        conformance::limits::suite(|| Arc::new(MemoryLimits::new())).await;
    }

    #[tokio::test]
    async fn memory_ledger_conforms() {
        conformance::ledger::suite(|| Arc::new(MemoryLedger::new())).await;
    }

    #[tokio::test]
    async fn memory_broker_conforms() {
        conformance::broker::suite(|| Arc::new(MemoryBroker::new(BrokerLimits::STANDARD))).await;
    }
}
