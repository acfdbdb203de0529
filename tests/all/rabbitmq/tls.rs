//! `amqps` with a certificate authority of one's own.

use std::path::Path;
use std::process::Command;

use packshot_runtime::port::BrokerFault;

use super::*;
use crate::servers::rabbitmq::RabbitServer;

fn openssl(folder: &Path, arguments: &str) {
    let mut command = Command::new("openssl");
    let ran = command.args(arguments.split(' ')).current_dir(folder).output().unwrap();
    assert!(ran.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&ran.stderr));
}

/// An authority, and a certificate for `localhost` that it signed.
fn certificates(folder: &Path) {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(
        folder,
        &format!("req -x509 {key} -days 2 -subj /CN=authority -keyout ca.key -out ca.pem"),
    );
    openssl(folder, &format!("req {key} -subj /CN=localhost -keyout server.key -out server.csr"));
    std::fs::write(folder.join("names"), "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n").unwrap();
    openssl(
        folder,
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.pem",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn amqps_works_with_a_known_authority_only() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let server = RabbitServer::start_with(Some(folder.path())).await;
    let mut scratch = Scratch::on(&server.url());
    scratch.settings.url = Secret::new(server.tls_url());
    let unknown = RabbitBroker::connect(&scratch.settings).await.unwrap_err();
    assert_eq!(unknown.kind, BrokerFault::Unavailable, "{unknown}");

    scratch.settings.ca_file = Some(folder.path().join("ca.pem"));
    let broker = scratch.connect().await;
    let mut consumer = consume(&broker, 1).await;
    send(&broker, 0..1).await;
    ack(next(&mut *consumer).await).await;

    scratch.settings.ca_file = Some(folder.path().join("missing.pem"));
    let missing = RabbitBroker::connect(&scratch.settings).await.unwrap_err();
    assert_eq!(missing.kind, BrokerFault::Refused, "{missing}");
}
