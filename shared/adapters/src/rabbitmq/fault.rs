//! What RabbitMQ's and the client's errors mean to the port.

use std::future::Future;
use std::time::Duration;

use lapin::ErrorKind;
use packshot_runtime::port::{BrokerError, BrokerFault};

/// AMQP reply codes.
const ACCESS_REFUSED: u16 = 403;
const PRECONDITION_FAILED: u16 = 406;
const NOT_ALLOWED: u16 = 530;

/// An error without a cause behind it.
pub(super) fn plain(kind: BrokerFault, what: impl Into<String>) -> BrokerError {
    BrokerError { kind, what: what.into(), source: None, retry_after_ms: None }
}

/// The reply code, where the server sent one.
#[allow(clippy::wildcard_enum_match_arm, reason = "the client's enum is open")]
pub(super) fn reply_code(error: &lapin::Error) -> Option<u16> {
    match error.kind() {
        ErrorKind::ProtocolError(reply) => Some(reply.get_id()),
        _ => None,
    }
}

/// The error of the port for an error of the client met while `doing` something.
pub(super) fn fault(doing: &str, error: lapin::Error) -> BrokerError {
    let (kind, hint) = match reply_code(&error) {
        Some(ACCESS_REFUSED) => {
            (BrokerFault::Refused, ": check the user, the password and the user's permissions")
        }
        Some(NOT_ALLOWED) => (BrokerFault::Refused, ": check that the virtual host exists and is allowed"),
        Some(_) | None => (BrokerFault::Unavailable, ""),
    };
    BrokerError { kind, what: format!("{doing}{hint}"), source: Some(Box::new(error)), retry_after_ms: None }
}

/// The same for a declaration, where a failed precondition means other arguments.
pub(super) fn declaration_fault(name: &str, error: lapin::Error) -> BrokerError {
    if reply_code(&error) == Some(PRECONDITION_FAILED) {
        let what = format!(
            "{name} exists with other arguments than the settings ask for: \
             use the settings it was made with, or another prefix, or delete it once it is empty"
        );
        return BrokerError {
            kind: BrokerFault::Refused,
            what,
            source: Some(Box::new(error)),
            retry_after_ms: None,
        };
    }
    fault(&format!("declaring {name}"), error)
}

/// Waits for `answer` at most `limit`; nothing of the client may hang.
pub(super) async fn within<T>(
    limit: Duration,
    doing: &str,
    answer: impl Future<Output = lapin::Result<T>>,
) -> Result<T, BrokerError> {
    match tokio::time::timeout(limit, answer).await {
        Ok(ended) => ended.map_err(|error| fault(doing, error)),
        Err(_) => Err(late(doing, limit)),
    }
}

/// The error for an answer that did not come.
pub(super) fn late(doing: &str, limit: Duration) -> BrokerError {
    plain(BrokerFault::Unavailable, format!("{doing}: no answer within {} ms", limit.as_millis()))
}
