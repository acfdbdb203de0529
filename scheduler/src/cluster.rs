//! What commands that speak with the servers need: the outside systems opened, with a hint
//! where that fails. A command opens only what it uses, so that `fetch` works without Redis
//! and `status` without RabbitMQ.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use packshot_pipeline::ids::BatchId;
use packshot_pipeline::pool::Pool;
use packshot_runtime::port::{Broker, BrokerError, BrokerFault, Consumer, Message, Objects};
use packshot_runtime::ports::Ports;
use packshot_worker::system::{self, SystemError};

use crate::exit::Failure;
use crate::session;
use crate::settings::Settings;

/// Reads settings for a command that speaks with the servers.
pub fn settings(config: Option<&Path>) -> Result<Settings, Failure> {
    session::settings(config, Vec::new())
}

/// Object store and coordinator; nothing can be published with these ports.
pub async fn ports(settings: &Settings) -> Result<Ports, Failure> {
    let objects = objects(settings).await?;
    let coordinator = system::coordinator(&settings.system).await.map_err(failure)?;
    let clock = system::shared_clock(&coordinator).await.map_err(failure)?;
    Ok(Ports {
        ledger: Arc::clone(&coordinator) as _,
        coordinator,
        objects,
        broker: Arc::new(NoBroker),
        clock,
    })
}

/// The object store alone.
pub async fn objects(settings: &Settings) -> Result<Arc<dyn Objects>, Failure> {
    system::objects(&settings.system).await.map_err(failure)
}

/// A batch's name as typed.
pub fn batch(name: &str) -> Result<BatchId, Failure> {
    BatchId::new(name).map_err(|bad| Failure::usage(bad).hint("`packshot status` lists the batches"))
}

/// An outside system that cannot be opened, as the end of a command.
pub fn failure(error: SystemError) -> Failure {
    match error {
        SystemError::Settings(_) => Failure::usage(error).hint(
            "set it in a file given with --config, or in the environment (PACKSHOT__OBJECTS__DIRECTORY=…); \
             deploy/scheduler.toml lists every setting",
        ),
        SystemError::Broker(_) | SystemError::Coordinator(_) | SystemError::Objects(_) => {
            Failure::environment(error).hint(
                "`packshot doctor` looks at every outside system; deploy/TROUBLESHOOTING.md explains every message",
            )
        }
    }
}

/// A command that publishes nothing has no broker.
struct NoBroker;

fn refused() -> BrokerError {
    BrokerError {
        kind: BrokerFault::Refused,
        what: "this command speaks with no broker".to_owned(),
        source: None,
        retry_after_ms: None,
    }
}

#[async_trait]
impl Broker for NoBroker {
    async fn publish(
        &self,
        _pool: Pool,
        messages: &[(Message, BTreeMap<String, String>)],
    ) -> Vec<Result<(), BrokerError>> {
        messages.iter().map(|_| Err(refused())).collect()
    }

    async fn consume(&self, _pool: Pool, _prefetch: u16) -> Result<Box<dyn Consumer>, BrokerError> {
        Err(refused())
    }
}
