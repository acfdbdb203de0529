//! The ports: what the runtime needs of the world, as narrow traits with their contracts.
//!
//! Every adapter passes the suite in [`crate::conformance`]. Policy (timeouts, retries,
//! limits) is added by wrapping an adapter, never by flags in it.

mod broker;
mod coordinator;
mod ledger;
mod limits;
mod objects;
mod observer;

pub use broker::{Acked, Broker, BrokerError, BrokerFault, Consumer, Delivery, Message, Receipt};
pub use coordinator::{
    BatchControl, Commit, Coordinator, CoordinatorError, CoordinatorFault, Created, Depth, Running, Version,
    Versioned,
};
pub use ledger::{Books, Ledger, Reservation, Reserved};
pub use limits::{Admission, Bound, Limit, Limits, Occupancy, PLACE_WAIT_MS_MAX, Rate, Renewal, SKEW_MS_MAX};
pub use objects::{BadKey, ObjectInfo, Objects, ObjectsError, ObjectsFault, Put, check_key};
pub use observer::{Observer, Sight, Step, Unobserved};

/// Whatever lies behind a port's error.
pub type Source = Box<dyn std::error::Error + Send + Sync + 'static>;
