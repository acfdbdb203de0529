//! Servers that cannot be relied on, and what an operator is told about them.

use packshot_adapters::redis::probe::{Finding, Severity, probe};
use packshot_adapters::redis::{RedisCoordinator, RedisSettings};
use packshot_runtime::clock::MonotonicClock;
use packshot_runtime::port::{Coordinator, CoordinatorError, CoordinatorFault};

use super::{connect, settings};
use crate::servers::redis::RedisServer;

const USER: [&str; 5] = ["ACL", "SETUSER", "app", "on", ">opensesame"];

async fn refused(settings: &RedisSettings) -> CoordinatorError {
    let error = RedisCoordinator::connect(settings).await.unwrap_err();
    assert_eq!(error.kind, CoordinatorFault::Refused, "{error:?}");
    error
}

fn as_user(server: &RedisServer) -> RedisSettings {
    let url = format!("redis://app:opensesame@127.0.0.1:{}", server.port());
    RedisSettings { url: url.into(), ..RedisSettings::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_evicts_is_refused() {
    let server = RedisServer::start(&["--maxmemory-policy", "allkeys-lru"]);
    let error = refused(&settings(&server)).await;
    assert!(error.what.contains("allkeys-lru") && error.what.contains("noeviction"), "{error:?}");
    // The policy is known also where one of the two ways to ask for it is closed.
    for (closed, is_refused) in [("-config", true), ("-info", true)] {
        let user = [&USER[..], &["~*", "&*", "+@all", closed]].concat();
        server.tell(&["ACL", "DELUSER", "app"]);
        server.tell(&user);
        assert_eq!(RedisCoordinator::connect(&as_user(&server)).await.is_err(), is_refused, "{closed}");
    }
    server.tell(&["ACL", "SETUSER", "app", "-config"]);
    RedisCoordinator::connect(&as_user(&server)).await.expect("nobody can know, so it is warned about");
    server.tell(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    connect(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn few_permissions_are_enough_and_too_few_are_named() {
    let server = RedisServer::start(&[]);
    let allowed =
        ["~packshot:*", "&packshot:*", "+@read", "+@write", "+@scripting", "+@pubsub", "+@connection"];
    let user = [&USER[..], &allowed, &["+info", "+time"]].concat();
    server.tell(&user);
    let coordinator = RedisCoordinator::connect(&as_user(&server)).await.unwrap();
    super::Desk::new(&coordinator).create("x").await;
    server.tell(&["ACL", "SETUSER", "app", "resetkeys", "~other:*"]);
    let error = coordinator.batches().await.unwrap_err();
    assert_eq!(error.kind, CoordinatorFault::Refused, "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_refused_and_never_shown() {
    let server = RedisServer::start(&["--requirepass", "opensesame"]);
    let right = connect(&server).await;
    let with = |password: &str| {
        let url = format!("redis://:{password}@127.0.0.1:{}", server.port());
        RedisSettings { url: url.into(), ..RedisSettings::default() }
    };
    for password in ["hunter2", "hunt%65r2"] {
        let settings = with(password);
        let error = refused(&settings).await;
        let shown = format!("{error} {error:?} {settings:?} {right:?}");
        assert!(error.what.contains("password"), "{error:?}");
        assert!(!shown.contains("hunt") && !shown.contains("opensesame"), "{shown}");
    }
    let none = RedisSettings { url: format!("redis://127.0.0.1:{}", server.port()).into(), ..with("") };
    refused(&none).await;
    for url in ["", "http://:hunter2@h", "redis://:hunter2@h:99999", "redis:hunter2"] {
        let error = refused(&RedisSettings { url: url.into(), ..RedisSettings::default() }).await;
        assert!(error.what.contains("redis.url") && !format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_refused() {
    let primary = RedisServer::start(&[]);
    let of = primary.port().to_string();
    let replica = RedisServer::start(&["--replicaof", "127.0.0.1", &of]);
    let error = refused(&settings(&replica)).await;
    assert!(error.what.contains("replica"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_at_home_is_told_soon() {
    let mut server = RedisServer::start(&[]);
    let settings = settings(&server);
    server.kill();
    let since = std::time::Instant::now();
    let error = RedisCoordinator::connect(&settings).await.unwrap_err();
    assert_eq!(error.kind, CoordinatorFault::Unavailable, "{error:?}");
    assert!(error.what.contains(&server.port().to_string()), "{error:?}");
    assert!(since.elapsed() < std::time::Duration::from_secs(3));
}

/// Makes an authority and a certificate of it for 127.0.0.1 in the current folder.
const CERTIFICATES: &str = "set -e
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.pem
openssl req -newkey rsa:2048 -nodes -subj /CN=redis -keyout server.key -out server.csr
printf 'subjectAltName=IP:127.0.0.1' > names
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.pem";

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_spoken_and_strangers_are_not_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let made =
        std::process::Command::new("sh").args(["-c", CERTIFICATES]).current_dir(&dir).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let tls_port = crate::servers::redis::free_port().to_string();
    let (certificate, key, authority) = (path("server.pem"), path("server.key"), path("ca.pem"));
    let _server = RedisServer::start(&[
        "--tls-port",
        &tls_port,
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &authority,
        "--tls-auth-clients",
        "no",
    ]);
    let url = format!("rediss://127.0.0.1:{tls_port}");
    let settings = RedisSettings { url: url.into(), ca_file: authority, ..RedisSettings::default() };
    let coordinator = RedisCoordinator::connect(&settings).await.unwrap();
    super::Desk::new(&coordinator).create("x").await;
    for unknown in [String::new(), path("names")] {
        let error = refused(&RedisSettings { ca_file: unknown, ..settings.clone() }).await;
        assert!(error.what.contains("redis.ca_file"), "{error:?}");
    }
    refused(&RedisSettings { ca_file: path("missing"), ..settings }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_finds_what_an_operator_should_know() {
    let clock = MonotonicClock::new();
    let found = |findings: &[Finding], text: &str| {
        let found = findings.iter().find(|finding| finding.what.contains(text));
        found.unwrap_or_else(|| panic!("no {text} in {findings:#?}")).severity
    };
    let bad = RedisServer::start(&["--maxmemory-policy", "volatile-ttl"]);
    let looked = probe(&settings(&bad), &clock).await.unwrap();
    assert!(looked.version.contains('.') && looked.nodes == 1 && !looked.run_id.is_empty(), "{looked:?}");
    assert_eq!(found(&looked.findings, "volatile-ttl"), Severity::Error);
    assert_eq!(found(&looked.findings, "AOF is off"), Severity::Warning);
    assert_eq!(found(&looked.findings, "no maxmemory"), Severity::Warning);
    assert_eq!(found(&looked.findings, "its clock"), Severity::Fine);
    for finding in &looked.findings {
        assert_eq!(finding.to_do.is_empty(), finding.severity == Severity::Fine, "{finding:?}");
    }
    let late = MonotonicClock::starting_at(1_700_000_000_000);
    let looked = probe(&settings(&bad), &late).await.unwrap();
    assert_eq!(found(&looked.findings, "its clock"), Severity::Error);
    let good = RedisServer::start(&["--appendonly", "yes", "--maxmemory", "100mb"]);
    let looked = probe(&settings(&good), &clock).await.unwrap();
    let all_fine = looked.findings.iter().all(|finding| finding.severity == Severity::Fine);
    assert!(all_fine, "{looked:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_sees_every_node_of_a_cluster() {
    let servers = RedisServer::start_cluster(3);
    let looked = probe(&settings(&servers[1]), &MonotonicClock::new()).await.unwrap();
    assert_eq!(looked.nodes, 3, "{looked:?}");
    servers[2].tell(&["CONFIG", "SET", "maxmemory-policy", "allkeys-random"]);
    let looked = probe(&settings(&servers[1]), &MonotonicClock::new()).await.unwrap();
    let policy = looked.findings.iter().find(|finding| finding.what.contains("allkeys-random"));
    assert_eq!(policy.map(|finding| finding.severity), Some(Severity::Error), "{looked:#?}");
    refused(&settings(&servers[0])).await;
}
