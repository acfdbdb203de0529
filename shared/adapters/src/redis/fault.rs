//! What an answer of the server, or its absence, means for the caller, and what people can
//! do about it.

use packshot_runtime::port::{CoordinatorError, CoordinatorFault};
use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::secret::Secret;

/// How the server is named in errors, and what must never be in them.
#[derive(Clone, Debug)]
pub(super) struct Named {
    /// Host and port, without user or password.
    pub(super) address: String,
    /// Texts that others may have repeated in their messages.
    pub(super) secrets: Vec<Secret>,
}

/// Somebody else's error as text, without secrets.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Cause(String);

impl Named {
    /// An error of this server while `doing` something.
    pub(super) fn error(&self, doing: &str, error: &RedisError) -> CoordinatorError {
        let (kind, advice) = meaning(error);
        let cause = self.secrets.iter().fold(error.to_string(), |text, secret| secret.scrub(&text));
        CoordinatorError {
            kind,
            what: format!("{doing} in redis at {}: {advice}", self.address),
            source: Some(Box::new(Cause(cause))),
            retry_after_ms: None,
        }
    }

    /// Something the server must not be like.
    pub(super) fn refusal(&self, what: &str) -> CoordinatorError {
        CoordinatorError {
            kind: CoordinatorFault::Refused,
            what: format!("redis at {} cannot be used: {what}", self.address),
            source: None,
            retry_after_ms: None,
        }
    }

    /// Something stored that cannot be understood.
    pub(super) fn unreadable(&self, what: &str, error: &serde_json::Error) -> CoordinatorError {
        CoordinatorError {
            kind: CoordinatorFault::Unreadable,
            what: format!(
                "reading {what} from redis at {}: it was written by another version or by \
                 somebody else; use the newest version everywhere, or another `redis.prefix`",
                self.address
            ),
            source: Some(Box::new(Cause(error.to_string()))),
            retry_after_ms: None,
        }
    }
}

const UNREACHABLE: &str = "it cannot be reached or does not answer in time; check `redis.url`, the \
                           network and the server's load";
const FULL: &str = "its memory is full; raise `maxmemory` or forget finished batches (everything \
                    goes on by itself then)";
const CERTIFICATE: &str = "its certificate is not trusted; name the authority's PEM file in \
                           `redis.ca_file`, and the host in `redis.url` as the certificate does";
const PASSWORD: &str = "it does not accept the user or the password; check `redis.url`";

/// The kind, and what to do.
#[allow(clippy::wildcard_enum_match_arm, reason = "the client's enums are open")]
fn meaning(error: &RedisError) -> (CoordinatorFault, &'static str) {
    use CoordinatorFault::{Full, Refused, Unavailable, Unreadable};
    match error.kind() {
        ErrorKind::Io if error.to_string().contains("certificate") => (Refused, CERTIFICATE),
        ErrorKind::Io | ErrorKind::ClusterConnectionNotFound | ErrorKind::Parse | ErrorKind::Client => {
            (Unavailable, UNREACHABLE)
        }
        ErrorKind::AuthenticationFailed => (Refused, PASSWORD),
        ErrorKind::InvalidClientConfig => (Refused, "the settings contradict each other; check `redis.url`"),
        ErrorKind::UnexpectedReturnType => {
            (Unreadable, "it answers what was not asked; is it Redis 7 or Valkey, and not a proxy?")
        }
        ErrorKind::Server(kind) => server(kind, error.detail().unwrap_or_default()),
        _ => match error.code().unwrap_or_default() {
            "OOM" => (Full, FULL),
            "MISCONF" => (Full, "it cannot write its data to disk; make room there, see its log"),
            "NOAUTH" | "WRONGPASS" => (Refused, PASSWORD),
            "WRONGTYPE" => {
                (Unreadable, "a key is used by another application; use another `redis.prefix` or database")
            }
            "NOREPLICAS" => (Unavailable, "too few of its replicas are there (min-replicas-to-write)"),
            "BUSY" => (Unavailable, "it is busy with a script; see SCRIPT KILL if that does not end"),
            _ => (Refused, "it refuses the command; see its answer"),
        },
    }
}

#[allow(clippy::wildcard_enum_match_arm, reason = "the client's enums are open")]
fn server(kind: ServerErrorKind, detail: &str) -> (CoordinatorFault, &'static str) {
    use CoordinatorFault::{Refused, Unavailable};
    match kind {
        ServerErrorKind::BusyLoading => (Unavailable, "it is still loading its data; wait"),
        ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown => {
            (Unavailable, "it is a replica; a failover is going on, or `redis.url` names the wrong server")
        }
        ServerErrorKind::TryAgain
        | ServerErrorKind::ClusterDown
        | ServerErrorKind::Moved
        | ServerErrorKind::Ask => {
            (Unavailable, "its cluster is being changed or incomplete; see CLUSTER INFO")
        }
        ServerErrorKind::NoScript | ServerErrorKind::ExecAbort => {
            (Unavailable, "its scripts were flushed meanwhile")
        }
        ServerErrorKind::NoPerm => (
            Refused,
            "its user may not do that; allow the prefix's keys and channels and the commands of \
             @read, @write, @scripting, @pubsub, info and time",
        ),
        _ if detail.contains("max number of clients") => {
            (Unavailable, "it has too many clients; raise `maxclients`")
        }
        _ => (Refused, "it refuses the command; see its answer"),
    }
}

/// Whether the connection should be given up: it is broken, or leads to the wrong server.
pub(super) fn spoils_connection(error: &RedisError) -> bool {
    let wrong_server =
        matches!(error.kind(), ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown));
    wrong_server || error.is_unrecoverable_error()
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn named() -> Named {
        Named { address: "h:1".into(), secrets: vec!["hunter2".into()] }
    }

    fn server_error(code: &str) -> RedisError {
        redis::make_extension_error(code.to_owned(), Some("hunter2 is wrong".to_owned()))
    }

    #[test]
    fn every_answer_has_a_kind_and_no_secret() {
        let table = [
            (RedisError::from(io::Error::from(io::ErrorKind::TimedOut)), CoordinatorFault::Unavailable),
            (RedisError::from((ErrorKind::AuthenticationFailed, "x")), CoordinatorFault::Refused),
            (server_error("OOM"), CoordinatorFault::Full),
            (server_error("MISCONF"), CoordinatorFault::Full),
            (server_error("WRONGPASS"), CoordinatorFault::Refused),
            (server_error("WRONGTYPE"), CoordinatorFault::Unreadable),
            (server_error("NOREPLICAS"), CoordinatorFault::Unavailable),
            (server_error("XYZ"), CoordinatorFault::Refused),
        ];
        for (error, kind) in table {
            let told = named().error("doing", &error);
            assert_eq!(told.kind, kind, "{error}");
            let all = format!(
                "{told} {told:?} {}",
                told.source.as_ref().map_or(String::new(), std::string::ToString::to_string)
            );
            assert!(!all.contains("hunter2"), "{all}");
            assert!(told.to_string().starts_with("coordinator: doing in redis at h:1: "), "{told}");
        }
    }
}
