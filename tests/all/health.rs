//! The health server as probes and Prometheus see it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use packshot_service::health::{Checks, Pulse, serve};
use packshot_service::lifecycle::Shutdown;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Status and body of a GET.
async fn get(addr: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: health\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let reading = stream.read_to_string(&mut answer);
    tokio::time::timeout(Duration::from_secs(10), reading).await.unwrap().unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

fn json(body: &str) -> serde_json::Value {
    serde_json::from_str(body).unwrap()
}

const ANY: &str = "127.0.0.1:0";

#[tokio::test]
async fn checks_decide_and_say_why() {
    let checks = Checks::new();
    let fine = Arc::new(AtomicBool::new(false));
    let broker = Arc::clone(&fine);
    checks.ready("broker", move || {
        if broker.load(Ordering::Relaxed) { Ok(()) } else { Err("no connection; check broker.url".into()) }
    });
    let pulse = Pulse::new();
    checks.live("consumer", pulse.probe(Duration::from_mins(1)));
    let shutdown = Shutdown::default();
    let serving = serve(ANY.parse().unwrap(), checks.clone(), &shutdown).await.unwrap();

    assert_eq!(get(serving.addr(), "/livez").await.0, 200);
    let (status, body) = get(serving.addr(), "/readyz").await;
    assert_eq!(status, 503);
    assert_eq!(json(&body)["checks"]["broker"]["reason"], "no connection; check broker.url");
    assert_eq!(json(&body)["status"], "failing");
    fine.store(true, Ordering::Relaxed);
    let (status, body) = get(serving.addr(), "/readyz").await;
    assert_eq!((status, json(&body)["checks"]["broker"]["ok"].as_bool()), (200, Some(true)));
    assert_eq!(get(serving.addr(), "/elsewhere").await.0, 404);
    let (status, body) = get(serving.addr(), "/metrics").await;
    assert_eq!(status, 404);
    assert!(body.contains("OTEL_METRICS_EXPORTER"), "{body}");

    shutdown.soft.cancel();
    let (status, body) = get(serving.addr(), "/readyz").await;
    assert_eq!((status, json(&body)["checks"]["stopping"]["ok"].as_bool()), (503, Some(false)));
    assert_eq!(get(serving.addr(), "/livez").await.0, 200, "a process that drains is alive");
}

#[test]
fn a_pulse_that_stops_is_noticed() {
    let pulse = Pulse::new();
    let probe = pulse.probe(Duration::ZERO);
    let said = probe().unwrap_err();
    assert!(said.contains("no sign of life"), "{said}");
    let patient = pulse.probe(Duration::from_hours(1));
    pulse.beat();
    assert!(patient().is_ok());
}

#[tokio::test]
async fn an_address_that_is_taken_is_an_error() {
    let taken = tokio::net::TcpListener::bind(ANY).await.unwrap();
    let error = serve(taken.local_addr().unwrap(), Checks::new(), &Shutdown::default()).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
}
