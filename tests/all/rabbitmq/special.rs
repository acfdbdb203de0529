//! On a server set up in a special way: `amqps` with a certificate authority of one's own, and
//! the management plugin.

use std::path::Path;
use std::process::Command;

use packshot_adapters::rabbitmq::{Severity, probe};
use packshot_runtime::port::BrokerFault;

use super::*;
use crate::servers::rabbitmq::{Extras, RabbitServer};

fn openssl(folder: &Path, arguments: &str) {
    let mut command = Command::new("openssl");
    let ran = command.args(arguments.split(' ')).current_dir(folder).output().unwrap();
    assert!(ran.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&ran.stderr));
}

/// An authority, and a certificate for `localhost` that it signed.
fn certificates(folder: &Path) {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(folder, &format!("req -x509 {key} -days 2 -subj /CN=authority -keyout ca.key -out ca.pem"));
    openssl(folder, &format!("req {key} -subj /CN=localhost -keyout server.key -out server.csr"));
    std::fs::write(folder.join("names"), "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n")
        .unwrap();
    openssl(
        folder,
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.pem",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_tls_and_management() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let extras = Extras { tls: Some(folder.path()), management: true };
    let server = RabbitServer::start_with(extras).await;
    amqps_works_with_a_known_authority_only(&server, folder.path()).await;
    the_probe_sees_what_policies_change(&server).await;
}

async fn amqps_works_with_a_known_authority_only(server: &RabbitServer, folder: &Path) {
    let mut scratch = Scratch::on(&server.url());
    scratch.settings.url = Secret::new(server.tls_url());
    let unknown = RabbitBroker::connect(&scratch.settings).await.unwrap_err();
    assert_eq!(unknown.kind, BrokerFault::Unavailable, "{unknown}");

    scratch.settings.ca_file = Some(folder.join("ca.pem"));
    let broker = scratch.connect().await;
    let mut consumer = consume(&broker, 1).await;
    send(&broker, 0..1).await;
    ack(next(&mut *consumer).await).await;

    scratch.settings.ca_file = Some(folder.join("missing.pem"));
    let missing = RabbitBroker::connect(&scratch.settings).await.unwrap_err();
    assert_eq!(missing.kind, BrokerFault::Refused, "{missing}");
}

async fn the_probe_sees_what_policies_change(server: &RabbitServer) {
    let mut scratch = Scratch::on(&server.url());
    scratch.settings.management_url = Some(Secret::new(server.management_url()));
    let findings = probe(&scratch.settings).await;
    assert!(findings.iter().any(|finding| finding.what == "no policy changes the queues"), "{findings:#?}");
    assert!(findings.iter().all(|finding| finding.severity != Severity::Broken), "{findings:#?}");

    let pattern = format!("^{}[.]jobs[.]studio$", scratch.settings.prefix);
    server.ctl(&["set_policy", "short", &pattern, r#"{"max-length":5}"#, "--apply-to", "queues"]).await;
    let seen = async |what: &str| {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let findings = probe(&scratch.settings).await;
            if findings.iter().any(|finding| finding.what.contains(what)) {
                return findings;
            }
            assert!(Instant::now() < deadline, "{what} is not seen: {findings:#?}");
        }
    };
    let findings = seen("a policy sets max-length to 5").await;
    assert!(findings.iter().all(|finding| finding.severity != Severity::Broken), "{findings:#?}");

    scratch.settings.management_url = Some(Secret::new("http://guest:hunter2@127.0.0.1:1"));
    let findings = probe(&scratch.settings).await;
    let text = format!("{findings:?}");
    assert!(text.contains("could not be asked") && !text.contains("hunter2"), "{text}");
}
