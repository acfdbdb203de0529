//! The outside systems, opened in one place for every process: RabbitMQ, Redis, and a bucket
//! or a folder that all machines see. What is opened here is handed on as [`Ports`], so
//! nothing else knows which systems they are.

use std::path::Path;
use std::sync::Arc;

use packshot_adapters::directory::DirectoryObjects;
use packshot_adapters::rabbitmq::{RabbitBroker, RabbitSettings};
use packshot_adapters::redis::{RedisCoordinator, RedisSettings};
use packshot_adapters::s3::{S3Objects, S3Settings};
use packshot_runtime::causes::chain;
use packshot_runtime::clock::{Clock, MonotonicClock};
use packshot_runtime::port::{
    BrokerError, BrokerFault, CoordinatorError, CoordinatorFault, Limits, Objects, ObjectsError, ObjectsFault,
};
use packshot_runtime::ports::Ports;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// The wait before a system that does not answer is tried again, in milliseconds; doubles.
const AGAIN_MS_MIN: u64 = 250;
/// The longest such wait, in milliseconds.
const AGAIN_MS_MAX: u64 = 15_000;

/// Where the outside systems are: sections of every process's settings.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SystemSettings {
    /// The broker.
    pub rabbitmq: RabbitSettings,
    /// The coordinator.
    pub redis: RedisSettings,
    /// The object store.
    pub objects: ObjectsSettings,
    /// The bucket, when the object store is one.
    pub s3: S3Settings,
}

/// Which object store.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectsSettings {
    /// A folder that every process sees under this path, on one machine or on a shared file
    /// system with hard links and fsync. Empty: the bucket of section `s3`.
    pub directory: String,
}

impl SystemSettings {
    /// Servers on this machine as their packages install them, and no object store yet.
    pub fn standard() -> Self {
        Self {
            rabbitmq: RabbitSettings::standard(),
            redis: RedisSettings::default(),
            objects: ObjectsSettings { directory: String::new() },
            s3: S3Settings::default(),
        }
    }

    /// What is wrong with where the objects are, one sentence each.
    fn object_problems(&self) -> Vec<String> {
        match (self.objects.directory.is_empty(), self.s3.bucket.is_empty()) {
            (false, true) => Vec::new(),
            (true, false) => self.s3.problems(),
            (true, true) => {
                vec!["no object store is named: set `objects.directory` or `s3.bucket`".to_owned()]
            }
            (false, false) => {
                vec![
                    "`objects.directory` and `s3.bucket` are both set; the object store is one of them"
                        .to_owned(),
                ]
            }
        }
    }

    /// Everything that is wrong with the settings, one sentence each, without secrets.
    pub fn problems(&self) -> Vec<String> {
        let rabbitmq = self.rabbitmq.problems().into_iter().map(|problem| format!("rabbitmq.{problem}"));
        rabbitmq.chain(self.redis.problems()).chain(self.object_problems()).collect()
    }
}

/// An outside system could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum SystemError {
    /// The settings cannot be right.
    #[error("{}", .0.join("\n"))]
    Settings(Vec<String>),
    /// RabbitMQ.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// Redis.
    #[error(transparent)]
    Coordinator(#[from] CoordinatorError),
    /// The object store.
    #[error(transparent)]
    Objects(#[from] ObjectsError),
}

impl SystemError {
    /// Whether another try may go better.
    pub fn may_pass(&self) -> bool {
        match self {
            SystemError::Settings(_) => false,
            SystemError::Broker(error) => match error.kind {
                BrokerFault::Unavailable | BrokerFault::Unconfirmed | BrokerFault::Unroutable => true,
                BrokerFault::Refused => false,
            },
            SystemError::Coordinator(error) => match error.kind {
                CoordinatorFault::Unavailable | CoordinatorFault::Full => true,
                CoordinatorFault::Refused | CoordinatorFault::Unreadable => false,
            },
            SystemError::Objects(error) => match error.kind {
                ObjectsFault::Unavailable | ObjectsFault::Full => true,
                ObjectsFault::Denied
                | ObjectsFault::TooLarge
                | ObjectsFault::BadKey
                | ObjectsFault::Broken => false,
            },
        }
    }
}

/// Every outside system, open.
pub struct System {
    /// What the runtime speaks with.
    pub ports: Ports,
    /// Shared limits of providers.
    pub limits: Arc<dyn Limits>,
    /// The broker itself, for health.
    pub rabbit: RabbitBroker,
}

impl std::fmt::Debug for System {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("System").finish_non_exhaustive()
    }
}

/// The clock of a process that speaks with no coordinator.
pub fn clock() -> Arc<dyn Clock> {
    Arc::new(MonotonicClock::new())
}

/// The clock of a process that does: the coordinator's time, moved on by this machine's
/// monotonic clock. Leases and waits are times that processes tell each other, so a machine
/// whose own clock is wrong, or is set while it works, must not matter.
pub async fn shared_clock(coordinator: &RedisCoordinator) -> Result<Arc<dyn Clock>, SystemError> {
    Ok(Arc::new(MonotonicClock::starting_at(coordinator.now_ms().await?)))
}

/// Opens the object store; one try.
pub async fn objects(settings: &SystemSettings) -> Result<Arc<dyn Objects>, SystemError> {
    let problems = settings.object_problems();
    if !problems.is_empty() {
        return Err(SystemError::Settings(problems));
    }
    if settings.objects.directory.is_empty() {
        Ok(Arc::new(S3Objects::connect(settings.s3.clone()).await?))
    } else {
        Ok(Arc::new(DirectoryObjects::open(Path::new(&settings.objects.directory))?))
    }
}

/// Opens the coordinator, which keeps the ledger and the limits too; one try.
pub async fn coordinator(settings: &SystemSettings) -> Result<Arc<RedisCoordinator>, SystemError> {
    Ok(Arc::new(RedisCoordinator::connect(&settings.redis).await?))
}

/// Opens everything; one try each.
pub async fn connect(settings: &SystemSettings) -> Result<System, SystemError> {
    let problems = settings.problems();
    if !problems.is_empty() {
        return Err(SystemError::Settings(problems));
    }
    let objects = objects(settings).await?;
    let coordinator = coordinator(settings).await?;
    let rabbit = RabbitBroker::connect(&settings.rabbitmq).await?;
    let clock = shared_clock(&coordinator).await?;
    Ok(System {
        limits: Arc::clone(&coordinator) as Arc<dyn Limits>,
        ports: Ports {
            ledger: Arc::clone(&coordinator) as _,
            coordinator,
            objects,
            broker: Arc::new(rabbit.clone()),
            clock,
        },
        rabbit,
    })
}

/// Opens everything, for a process that stays: what does not answer is tried again until it
/// does, because the machines of a cluster start in any order. `None` when `stop` came first.
///
/// # Errors
/// What no further try can mend.
pub async fn connect_patiently(
    settings: &SystemSettings,
    stop: &CancellationToken,
) -> Result<Option<System>, SystemError> {
    let clock = clock();
    let mut again_ms = AGAIN_MS_MIN;
    loop {
        let connected = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(None),
            connected = connect(settings) => connected,
        };
        match connected {
            Ok(system) => return Ok(Some(system)),
            Err(error) if error.may_pass() => {
                warn!(error = %chain(&error), again_ms, "an outside system does not answer; trying again");
            }
            Err(error) => return Err(error),
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(None),
            () = clock.sleep(again_ms) => {}
        }
        again_ms = (again_ms * 2).min(AGAIN_MS_MAX);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use super::*;

    fn problems(directory: &str, bucket: &str) -> String {
        let mut settings = SystemSettings::standard();
        settings.objects.directory = directory.to_owned();
        settings.s3.bucket = bucket.to_owned();
        settings.problems().join("\n")
    }

    #[test]
    fn the_object_store_is_one_of_two() {
        assert_eq!(problems("/shared", ""), "");
        assert_eq!(problems("", "bucket"), "");
        assert!(problems("", "").contains("objects.directory"));
        assert!(problems("/shared", "bucket").contains("both"));
    }

    #[test]
    fn secrets_are_not_shown() {
        let mut settings = SystemSettings::standard();
        for (at, secret) in [&mut settings.rabbitmq.url, &mut settings.redis.url].into_iter().enumerate() {
            *secret = packshot_adapters::secret::Secret::new(format!("scheme://user:tiger{at}@host"));
        }
        let shown = format!("{settings:?}");
        assert!(!shown.contains("tiger"), "{shown}");
    }
}
