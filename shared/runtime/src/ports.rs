//! The ports of one process, together.

use std::sync::Arc;

use crate::clock::Clock;
use crate::port::{Broker, Coordinator, Ledger, Objects};
use crate::store::Store;

/// Everything outside of a process that the runtime speaks with.
#[derive(Clone)]
pub struct Ports {
    /// Who may work at what, now.
    pub coordinator: Arc<dyn Coordinator>,
    /// Money put aside and spent.
    pub ledger: Arc<dyn Ledger>,
    /// The truth.
    pub objects: Arc<dyn Objects>,
    /// Transport.
    pub broker: Arc<dyn Broker>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

impl Ports {
    /// The object store's documents.
    pub fn store(&self) -> Store<'_> {
        Store::new(&*self.objects, &*self.clock)
    }
}

impl std::fmt::Debug for Ports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ports").finish_non_exhaustive()
    }
}
