//! The S3 adapter against a real server over HTTP: the suite of every object store, and
//! what S3 does on bad days.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use packshot_adapters::s3::{Checksums, ConditionalPut, S3Objects, S3Settings, Severity};
use packshot_adapters::secret::Secret;
use packshot_runtime::conformance;
use packshot_runtime::port::{Objects, ObjectsFault, Put};
use serde_json::json;

use crate::servers::s3::{BUCKET, S3Server, http};

async fn connect(settings: S3Settings) -> S3Objects {
    S3Objects::connect(settings).await.unwrap()
}

fn answer(status: u16, code: &str) -> serde_json::Value {
    json!({ "kind": "answer", "status": status, "code": code, "retry_after_s": null })
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_an_object_store() {
    let server = S3Server::start();
    for (checksums, name) in [(Checksums::WhenRequired, "required"), (Checksums::WhenSupported, "supported")]
    {
        let store =
            |made: usize| S3Settings { prefix: format!("{name}/{made}"), checksums, ..server.settings() };
        let mut stores = Vec::new();
        for made in 0..8 {
            stores.push(connect(store(made)).await);
        }
        conformance::objects::suite(move || Arc::new(stores.pop().unwrap()) as Arc<dyn Objects>).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn storms_of_500_and_503_are_waited_out() {
    let server = S3Server::start();
    let store = connect(server.settings()).await;
    for (status, code) in [(500, "InternalError"), (503, "SlowDown")] {
        let storm = server.fault("a/", json!({ "times": 3, "fault": answer(status, code) }));
        store.put("a/x", Bytes::from_static(b"1")).await.unwrap();
        assert_eq!(server.hits(storm), 3);
        for method in ["GET", "HEAD"] {
            server.fault("a/", json!({ "method": method, "times": 2, "fault": answer(status, code) }));
        }
        assert_eq!(store.get("a/x", 9).await.unwrap().unwrap(), "1");
        assert!(store.head("a/x").await.unwrap().is_some());
        server.heal();
    }
    let listing =
        server.fault("", json!({ "query": "list-type", "times": 2, "fault": answer(503, "SlowDown") }));
    assert_eq!(store.list("a/", None, 9).await.unwrap(), ["a/x"]);
    assert_eq!(server.hits(listing), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_without_end_is_unavailable_and_says_how_long_to_wait() {
    let server = S3Server::start();
    let store = connect(S3Settings { attempts_max: 3, ..server.settings() }).await;
    let fault = json!({ "kind": "answer", "status": 503, "code": "SlowDown", "retry_after_s": 7 });
    let storm = server.fault("a/", json!({ "fault": fault }));
    let error = store.put("a/x", Bytes::new()).await.unwrap_err();
    assert_eq!((error.kind, error.retry_after_ms), (ObjectsFault::Unavailable, Some(7_000)));
    assert!(error.what.contains(&format!("s3://{BUCKET}/a/x")), "{}", error.what);
    assert_eq!(server.hits(storm), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_is_tried_again_until_it_is_decided() {
    let server = S3Server::start();
    let store = connect(server.settings()).await;
    let conflict = answer(409, "ConditionalRequestConflict");
    let id = server.fault("r/", json!({ "method": "PUT", "times": 3, "fault": conflict }));
    assert_eq!(store.put_if_absent("r/x", Bytes::from_static(b"1")).await.unwrap(), Put::Stored);
    assert_eq!(server.hits(id), 3);
    server.fault("r/", json!({ "method": "PUT", "times": 1, "fault": conflict }));
    assert_eq!(store.put_if_absent("r/x", Bytes::from_static(b"2")).await.unwrap(), Put::Exists);
    assert_eq!(store.get("r/x", 9).await.unwrap().unwrap(), "1");
    server.heal();
    let id = server.fault("r/", json!({ "method": "PUT", "fault": conflict }));
    let error = store.put_if_absent("r/y", Bytes::new()).await.unwrap_err();
    assert_eq!(error.kind, ObjectsFault::Unavailable);
    assert_eq!(server.hits(id), u64::from(server.settings().attempts_max), "{}", error.what);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_lost_after_the_object_was_stored_loses_nothing() {
    let server = S3Server::start();
    let settings = S3Settings { answer_timeout_ms: 400, ..server.settings() };
    let store = connect(settings.clone()).await;
    for (name, fault) in [
        ("timeout", json!({ "kind": "delay_after", "ms": 5_000 })),
        ("closed", json!({ "kind": "drop_after" })),
        ("error", json!({ "kind": "answer_after", "status": 500, "code": "InternalError" })),
    ] {
        let key = format!("lost/{name}");
        // Tried again inside: the second try finds the first one's object.
        let id = server.fault(&key, json!({ "method": "PUT", "times": 1, "fault": fault }));
        let put = store.put_if_absent(&key, Bytes::from_static(b"mine")).await.unwrap();
        assert_eq!(put, Put::Exists, "{name}: it must not be reported as stored by the second try");
        assert_eq!(server.hits(id), 1);
        assert_eq!(store.get(&key, 9).await.unwrap().unwrap(), "mine", "{name}");

        // Never answered: unknown, and the object is there for whoever looks.
        let key = format!("{key}-always");
        server.fault(&key, json!({ "method": "PUT", "fault": fault }));
        let once = connect(S3Settings { attempts_max: 1, ..settings.clone() }).await;
        let error = once.put_if_absent(&key, Bytes::from_static(b"mine")).await.unwrap_err();
        assert_eq!(error.kind, ObjectsFault::Unavailable, "{name}: {}", error.what);
        assert_eq!(store.get(&key, 9).await.unwrap().unwrap(), "mine", "{name}");
        server.heal();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_body_has_a_limit_and_a_broken_one_is_read_again() {
    let server = S3Server::start();
    let settings = S3Settings {
        answer_timeout_ms: 700,
        operation_timeout_ms: 1_000,
        attempts_max: 2,
        ..server.settings()
    };
    let store = connect(S3Settings { kb_per_s_min: 1_000, ..settings }).await;
    let body = Bytes::from((0..200_000_u32).map(|n| n as u8).collect::<Vec<u8>>());
    store.put("slow/a", body.clone()).await.unwrap();

    // Slow, but within the limit.
    let fine = server.fault(
        "slow/",
        json!({ "method": "GET", "fault": { "kind": "drip", "bytes": 20_000, "pause_ms": 10 } }),
    );
    assert_eq!(store.get("slow/a", 200_000).await.unwrap().unwrap(), body);
    assert_eq!(server.hits(fine), 1);
    server.heal();

    // A byte now and then keeps no reader for ever.
    server
        .fault("slow/", json!({ "method": "GET", "fault": { "kind": "drip", "bytes": 1, "pause_ms": 20 } }));
    let begun = Instant::now();
    let error = store.get("slow/a", 200_000).await.unwrap_err();
    assert_eq!(error.kind, ObjectsFault::Unavailable);
    assert!(error.what.contains("of 200000"), "{}", error.what);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    server.heal();

    // A body that breaks off is asked for again.
    let cut = server
        .fault("slow/", json!({ "method": "GET", "times": 1, "fault": { "kind": "cut", "bytes": 70_000 } }));
    assert_eq!(store.get("slow/a", 200_000).await.unwrap().unwrap(), body);
    assert_eq!(server.hits(cut), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_larger_than_asked_for_is_not_read() {
    let server = S3Server::start();
    let store = connect(server.settings()).await;
    store.put("big", Bytes::from(vec![7; 3_000_000])).await.unwrap();
    // Read to its end it would take minutes.
    server.fault(
        "big",
        json!({ "method": "GET", "fault": { "kind": "drip", "bytes": 1_000, "pause_ms": 100 } }),
    );
    let begun = Instant::now();
    let error = store.get("big", 2_999_999).await.unwrap_err();
    assert_eq!(error.kind, ObjectsFault::TooLarge);
    assert!(error.what.contains("3000000"), "{}", error.what);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_megabytes_go_in_parts_and_come_back() {
    let server = S3Server::start();
    let store = connect(S3Settings { multipart_from_mb: 5, ..server.settings() }).await;
    let body: Vec<u8> = (0..40_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let body = Bytes::from(body);
    // A part that fails is sent again alone.
    let part = server.fault(
        "parts/",
        json!({ "query": "partNumber=3", "times": 1, "fault": answer(500, "InternalError") }),
    );
    store.put("parts/a", body.clone()).await.unwrap();
    assert_eq!(server.hits(part), 1);
    let parts = server.requests("PUT", "parts/a");
    assert_eq!(parts, 5 + 1, "five parts of 8 MiB and one repeated");
    assert!(store.get("parts/a", 50_000_000).await.unwrap().unwrap() == body, "other bytes came back");

    // Conditional as well: the first of two wins, the other leaves nothing behind.
    let other = Bytes::from(vec![1; 6_000_000]);
    assert_eq!(store.put_if_absent("parts/b", other.clone()).await.unwrap(), Put::Stored);
    assert_eq!(store.put_if_absent("parts/b", body.slice(..7_000_000)).await.unwrap(), Put::Exists);
    assert!(
        store.get("parts/b", 50_000_000).await.unwrap().unwrap() == other,
        "the loser replaced the winner"
    );
    assert_eq!(server.unfinished_uploads(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_whose_end_is_not_answered_is_not_lost() {
    let server = S3Server::start();
    let store = connect(S3Settings { multipart_from_mb: 5, ..server.settings() }).await;
    let body = Bytes::from(vec![9; 12_000_000]);
    // Completed, the answer lost: the second try finds no upload, and begins anew.
    let complete =
        json!({ "method": "POST", "query": "uploadId=", "times": 1, "fault": { "kind": "drop_after" } });
    let id = server.fault("end/", complete.clone());
    store.put("end/a", body.clone()).await.unwrap();
    assert_eq!(server.hits(id), 1);
    assert!(store.get("end/a", 20_000_000).await.unwrap().unwrap() == body);
    // `put_if_absent` then finds its own object.
    server.fault("end/", complete);
    assert_eq!(store.put_if_absent("end/b", body.clone()).await.unwrap(), Put::Exists);
    assert!(store.get("end/b", 20_000_000).await.unwrap().unwrap() == body);
    assert_eq!(server.unfinished_uploads(), 0);
    // Parts that cannot be sent at all leave nothing behind.
    server.fault("end/", json!({ "query": "partNumber=2", "fault": answer(500, "InternalError") }));
    let error = store.put("end/c", body).await.unwrap_err();
    assert_eq!(error.kind, ObjectsFault::Unavailable);
    assert!(error.what.contains("part 2"), "{}", error.what);
    assert_eq!(server.unfinished_uploads(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_address_opens_one_object_for_a_while() {
    let server = S3Server::start();
    let store = connect(S3Settings { prefix: "shop".into(), ..server.settings() }).await;
    store.put("a/b.png", Bytes::from_static(b"picture")).await.unwrap();
    let url = store.url("a/b.png", 60_000).await.unwrap().unwrap();
    let (status, head, body) = http("GET", &url, "");
    assert_eq!((status, body.as_slice()), (200, b"picture".as_slice()), "{head}");
    assert!(head.contains("content-type: image/png"), "{head}");
    let unsigned = url.split('?').next().unwrap();
    assert_eq!(http("GET", unsigned, "").0, 403);
    assert_eq!(http("GET", &url.replace("b.png", "c.png"), "").0, 403);
    assert_eq!(http("PUT", &url, "x").0, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said_at_the_start() {
    let server = S3Server::start();
    let wrong_secret = S3Settings { secret_access_key: Secret::new("tiger"), ..server.settings() };
    let wrong_key = S3Settings { access_key_id: "nobody".into(), ..server.settings() };
    let no_bucket = S3Settings { bucket: "nowhere".into(), ..server.settings() };
    let nobody_there =
        S3Settings { endpoint: "http://127.0.0.1:9".into(), attempts_max: 1, ..server.settings() };
    for (settings, kind, parts) in [
        (wrong_secret, ObjectsFault::Denied, ["s3.secret_access_key", "SignatureDoesNotMatch"]),
        (wrong_key, ObjectsFault::Denied, ["s3.access_key_id", "403"]),
        (no_bucket, ObjectsFault::Broken, ["nowhere", "s3.bucket"]),
        (nobody_there, ObjectsFault::Unavailable, ["127.0.0.1:9", "s3.endpoint"]),
    ] {
        let error = S3Objects::connect(settings).await.unwrap_err();
        assert_eq!(error.kind, kind, "{}", error.what);
        assert!(!format!("{error:?}").contains("tiger"));
        for part in parts {
            assert!(error.what.contains(part), "{part} in {}", error.what);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_ignores_conditions_is_refused_or_said_to_be_emulated() {
    let server = S3Server::start();
    let ignores = json!({ "header": "if-none-match", "fault": { "kind": "ignore_conditions" } });
    let knows_not = json!({ "header": "if-none-match", "fault": answer(501, "NotImplemented") });
    for fault in [ignores, knows_not] {
        server.fault("", fault);
        let error = S3Objects::connect(server.settings()).await.unwrap_err();
        assert_eq!(error.kind, ObjectsFault::Broken);
        assert!(error.what.contains("emulate") && error.what.contains("If-None-Match"), "{}", error.what);

        let emulate = S3Settings { conditional_put: ConditionalPut::Emulate, ..server.settings() };
        let store = connect(emulate.clone()).await;
        assert!(!store.is_conditional());
        store.put("e/x", Bytes::from_static(b"0")).await.unwrap();
        assert_eq!(store.put_if_absent("e/x", Bytes::from_static(b"1")).await.unwrap(), Put::Exists);
        assert_eq!(store.get("e/x", 9).await.unwrap().unwrap(), "0");
        let findings = S3Objects::probe(emulate).await;
        assert!(findings.iter().any(|finding| finding.severity == Severity::Warning), "{findings:#?}");
        server.heal();
    }
    let emulate = S3Settings { conditional_put: ConditionalPut::Emulate, ..server.settings() };
    assert!(connect(emulate).await.is_conditional(), "it can, so nothing is emulated");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thorough_look_finds_what_is_wrong() {
    let server = S3Server::start();
    let findings = S3Objects::probe(server.settings()).await;
    assert!(findings.iter().all(|finding| finding.severity == Severity::Fine), "{findings:#?}");
    assert!(findings.len() >= 7, "{findings:#?}");
    let store = connect(server.settings()).await;
    assert_eq!(store.list("doctor/", None, 100).await.unwrap(), Vec::<String>::new(), "left over");

    for (fault, severity, word) in [
        (json!({ "fault": { "kind": "clock", "ahead_s": 60 } }), Severity::Warning, "clock"),
        (
            json!({ "header": "if-none-match", "fault": { "kind": "ignore_conditions" } }),
            Severity::Error,
            "ignored",
        ),
        (
            json!({ "query": "list-type", "fault": { "kind": "unordered" } }),
            Severity::Error,
            "listing failed",
        ),
        (
            json!({ "method": "GET", "prefix": format!("{BUCKET}/doctor/"), "fault": answer(404, "NoSuchKey") }),
            Severity::Error,
            "just put",
        ),
        (json!({ "fault": answer(403, "RequestTimeTooSkewed") }), Severity::Error, "reaching"),
    ] {
        server.fault("", fault.clone());
        let findings = S3Objects::probe(server.settings()).await;
        let found = findings.iter().find(|f| f.severity == severity && f.what.contains(word));
        assert!(found.is_some_and(|found| !found.what_to_do.is_empty()), "{fault}: {findings:#?}");
        server.heal();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_survives_a_killed_server() {
    let folder = tempfile::tempdir().unwrap();
    let server = S3Server::start_in(folder.path());
    let store = connect(server.settings()).await;
    assert_eq!(store.put_if_absent("kept/a", Bytes::from_static(b"1")).await.unwrap(), Put::Stored);
    server.kill();
    let server = S3Server::start_in(folder.path());
    let store = connect(server.settings()).await;
    assert_eq!(store.put_if_absent("kept/a", Bytes::from_static(b"2")).await.unwrap(), Put::Exists);
    assert_eq!(store.get("kept/a", 9).await.unwrap().unwrap(), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_others_in_the_bucket_are_not_ours() {
    let server = S3Server::start();
    let ours = connect(S3Settings { prefix: "ours".into(), ..server.settings() }).await;
    let whole = connect(server.settings()).await;
    ours.put("a/1", Bytes::new()).await.unwrap();
    whole.put("ours/a/2", Bytes::new()).await.unwrap();
    whole.put("oursa/3", Bytes::new()).await.unwrap();
    assert_eq!(ours.list("a/", None, 9).await.unwrap(), ["a/1", "a/2"]);
    assert_eq!(whole.list("ours/", None, 9).await.unwrap(), ["ours/a/1", "ours/a/2"]);
}
