//! An object store that fails, refuses, contradicts itself, or stores and does not say so, in
//! the middle of a batch. One cluster bears all of it, one batch after the other.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Scene, UNNOTICED, check};
use crate::cluster::Cluster;
use crate::servers::s3::S3Server;
use crate::shop::Shop;

/// Products of one batch.
const SKUS: usize = 12;
/// Images that are made before the fault.
const MADE: usize = 5;

fn answer(status: u16, code: &str) -> Value {
    json!({ "kind": "answer", "status": status, "code": code, "retry_after_s": null })
}

/// A batch in the middle of which requests fail in these ways; returns once each has been hit.
fn bears(scene: &mut Scene, server: &S3Server, batch: &str, faults: &[(&str, Value)], lasts: Duration) {
    scene.submit(batch, SKUS);
    scene.until_made(batch, MADE);
    let ids: Vec<u64> = faults.iter().map(|(prefix, more)| server.fault(prefix, more.clone())).collect();
    std::thread::sleep(lasts);
    crate::cluster::until("requests that are hit", || ids.iter().all(|id| server.hits(*id) > 0));
    if lasts > Duration::ZERO {
        server.heal();
    }
    scene.ends_well(batch, UNNOTICED);
    server.heal();
}

#[test]
fn the_object_store_may_be_disturbed() {
    let server = S3Server::start();
    let mut cluster = Cluster::new(Shop::new(&[])).in_bucket(&server);
    cluster.set("S3__ANSWER_TIMEOUT_MS", "1000");
    cluster.set("S3__OPERATION_TIMEOUT_MS", "8000");
    let mut scene = Scene::on(cluster);
    scene.start_scheduler();
    for _ in 0..2 {
        scene.start_worker();
    }
    let some = |prefix: &'static str, times: u64, fault: Value| {
        (prefix, json!({ "method": "PUT", "times": times, "fault": fault }))
    };
    let at_once = Duration::ZERO;
    // Now and then, everywhere.
    let slow_down = [
        ("", json!({ "skip": 3, "times": 10, "fault": answer(503, "SlowDown") })),
        ("", json!({ "times": 10, "fault": answer(500, "InternalError") })),
    ];
    bears(&mut scene, &server, "busy", &slow_down, at_once);
    // Everything, for longer than requests are repeated.
    let down = [("", json!({ "fault": answer(503, "ServiceUnavailable") }))];
    bears(&mut scene, &server, "down", &down, Duration::from_secs(6));
    // Conditional writes that collide, and that lie about it.
    let conflicts = [
        some("results/", 5, answer(409, "ConditionalRequestConflict")),
        some("candidates/", 3, answer(409, "ConditionalRequestConflict")),
    ];
    bears(&mut scene, &server, "conflict", &conflicts, at_once);
    let lies = [some("results/", 3, answer(412, "PreconditionFailed"))];
    bears(&mut scene, &server, "lie", &lies, at_once);
    // Stored, and not said: no answer, a late one, a wrong one.
    let silent = ["candidates/", "blobs/", "results/", "sets/"]
        .map(|prefix| some(prefix, 2, json!({ "kind": "drop_after" })));
    bears(&mut scene, &server, "silent", &silent, at_once);
    let late = ["candidates/", "results/", "sets/"]
        .map(|prefix| some(prefix, 2, json!({ "kind": "delay_after", "ms": 2500 })));
    bears(&mut scene, &server, "late", &late, at_once);
    let denied = ["candidates/", "results/", "sets/"].map(|prefix| {
        some(prefix, 2, json!({ "kind": "answer_after", "status": 500, "code": "InternalError" }))
    });
    bears(&mut scene, &server, "denied", &denied, at_once);
    scene.end_workers();
    check(&scene.cluster, "denied", UNNOTICED);
}
