//! Telemetry as a collector, a log reader and a process list see it: real OTLP from real
//! processes, one trace per SKU across them, and nothing at all while it is off.

mod cluster;
mod received;
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use packshot_pipeline::role::Role;
use packshot_service::names;

use crate::shop::{Shop, stderr};
use received::{Collector, Span};
use worker::{process, run};

#[test]
fn the_page_of_names_is_the_table_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("deploy/TELEMETRY.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once("<!-- names -->\n").unwrap();
    let (table, after) = rest.split_once("<!-- end of names -->").unwrap();
    if std::env::var_os("PACKSHOT_BLESS").is_some() {
        let page = format!("{before}<!-- names -->\n{}<!-- end of names -->{after}", names::page());
        std::fs::write(&path, page).unwrap();
        return;
    }
    assert_eq!(table, names::page(), "PACKSHOT_BLESS=1 writes the page anew");
}

#[test]
fn labels_have_the_words_of_the_domain() {
    let roles: Vec<&str> = Role::ALL.into_iter().map(Role::word).chain(["set"]).collect();
    assert_eq!(names::ROLES, roles);
}

/// Every name that was received is in the table, with the attributes it may have.
fn check_names(spans: &[Span], metrics: &BTreeMap<String, BTreeSet<String>>) {
    for span in spans {
        let known = names::SPANS.iter().find(|known| known.name == span.word());
        let known = known.unwrap_or_else(|| panic!("the span {} is not in the table", span.name));
        let kinds = ["", "internal", "server", "client", "producer", "consumer"];
        assert_eq!(kinds[span.kind as usize], known.kind, "{}", span.name);
        for name in span.attributes.keys() {
            assert!(known.attributes.contains(&name.as_str()), "{} has the attribute {name}", span.name);
        }
    }
    for (name, labels) in metrics {
        let known = names::METRICS.iter().find(|metric| metric.name == name);
        let known = known.unwrap_or_else(|| panic!("the metric {name} is not in the table"));
        for label in labels {
            assert!(known.labels.contains(&label.as_str()), "{name} has the label {label}");
        }
    }
}

/// Runs a small catalog with everything sent to `collector`.
async fn run_and_send(collector: Collector) -> (Vec<Span>, BTreeMap<String, BTreeSet<String>>, String) {
    let variables = collector.variables();
    let said = tokio::task::spawn_blocking(move || {
        let shop = Shop::with_skus(&["mighty-mug"]);
        let mut command = shop.command(&[
            "run",
            "catalog.csv",
            "--out",
            "out",
            "--channels",
            "amazon",
            "--roles",
            "main,detail",
        ]);
        command.envs(variables).env("PACKSHOT_LOG", "debug").env("PACKSHOT__LOG__FORMAT", "json");
        command.env("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test");
        let out = command.output().unwrap();
        assert_eq!(out.status.code(), Some(0), "{}", stderr(&out));
        stderr(&out)
    });
    let said = said.await.unwrap();
    (collector.spans().await, collector.metrics().await, said)
}

fn check_run(spans: &[Span], metrics: &BTreeMap<String, BTreeSet<String>>, said: &str) {
    check_names(spans, metrics);
    assert!(spans.iter().all(|span| span.service == "packshot"));
    let of = |word: &str| -> Vec<&Span> { spans.iter().filter(|span| span.word() == word).collect() };
    let root = of("sku")[0];
    assert_eq!((root.says("sku"), root.parent.as_str()), (Some("mighty-mug"), ""));
    let submit = of("submit")[0];
    assert_eq!(submit.says("skus"), Some("1"));
    assert_eq!(root.links, [(submit.trace.clone(), submit.id.clone())]);
    let whole = [
        "intake", "inspect", "publish", "process", "claim", "attempt", "look", "gather", "generate",
        "review", "store", "commit", "conclude", "assemble", "settle",
    ];
    for word in whole {
        let found = of(word);
        assert!(!found.is_empty(), "there is no span {word}");
        assert!(found.iter().all(|span| span.trace == root.trace), "{word} is in another trace");
    }
    let review = of("review")[0];
    assert!(review.says("verdict").is_some() && review.says("review.score.colour").is_some(), "{review:?}");
    for (word, name) in [
        ("publish", "publish packshot.jobs:studio"),
        ("process", "process packshot.jobs:studio:packshot.jobs.studio"),
    ] {
        assert!(
            of(word).iter().any(|span| span.name == name && span.says("messaging.system") == Some("memory"))
        );
    }
    for metric in [
        "packshot.claims",
        "packshot.job.duration",
        "packshot.step.duration",
        "packshot.verdicts",
        "packshot.results",
        "packshot.jobs",
        "packshot.ready",
        "messaging.process.duration",
        "packshot.objects.duration",
        "packshot.coordinator.duration",
    ] {
        assert!(metrics.contains_key(metric), "{metric} is not among {:?}", metrics.keys());
    }
    let mut with_trace = 0;
    for line in said.lines().filter(|line| line.starts_with('{')) {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        if line["trace_id"] == root.trace.as_str() {
            with_trace += 1;
            assert!(spans.iter().any(|span| line["span_id"] == span.id.as_str()), "{line}");
            assert_eq!(line["sku"], "mighty-mug", "{line}");
        }
    }
    assert!(with_trace > 0, "no log line carries the trace\n{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_received_over_grpc() {
    let (spans, metrics, said) = run_and_send(Collector::grpc().await).await;
    check_run(&spans, &metrics, &said);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_received_over_http() {
    let (spans, metrics, said) = run_and_send(Collector::http().await).await;
    check_run(&spans, &metrics, &said);
}

/// Both processes of a night shift, one after the other.
async fn night(skus: usize, more: &[(&'static str, String)]) -> (Vec<Span>, Collector, tempfile::TempDir) {
    let collector = Collector::grpc().await;
    let store = tempfile::tempdir().unwrap();
    let mut variables = collector.variables();
    variables.extend(more.iter().cloned());
    let folder = store.path().to_owned();
    tokio::task::spawn_blocking(move || {
        for part in ["submit-and-main", "the-rest"] {
            run(process(part, &folder, skus, &variables));
        }
    })
    .await
    .unwrap();
    (collector.spans().await, collector, store)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_jobs_of_a_sku_form_one_trace_through_two_processes() {
    let (spans, collector, store) = night(3, &[]).await;
    check_names(&spans, &collector.metrics().await);
    let roots: Vec<&Span> = spans.iter().filter(|span| span.word() == "sku").collect();
    assert_eq!(roots.len(), 3);
    assert_eq!(roots.iter().map(|root| &root.trace).collect::<BTreeSet<_>>().len(), 3);
    for root in &roots {
        assert_eq!(root.links.len(), 1, "linked to the submission");
        let sku = root.says("sku").unwrap();
        let ours: Vec<&Span> = spans.iter().filter(|span| span.says("sku") == Some(sku)).collect();
        assert!(ours.iter().all(|span| span.trace == root.trace), "{sku} is in more than one trace");
        let attempts: Vec<&&Span> = ours.iter().filter(|span| span.word() == "attempt").collect();
        let instances: BTreeSet<&str> = attempts.iter().map(|span| span.instance.as_str()).collect();
        assert_eq!(instances.len(), 2, "both processes worked at {sku}");
        let done = |role: &str, number: &str| -> &Span {
            let found = attempts
                .iter()
                .find(|span| span.says("role") == Some(role) && span.says("attempt") == Some(number));
            found.unwrap_or_else(|| panic!("no attempt {number} at {role} of {sku}"))
        };
        let (first, second) = (done("detail", "1"), done("detail", "2"));
        assert!(first.is_error && first.links.is_empty());
        assert_eq!(second.links, [(first.trace.clone(), first.id.clone())], "linked to the attempt before");
        assert_eq!(done("main", "1").says("outcome"), Some("accepted"));
        assert_eq!(done("set", "1").says("outcome"), Some("published"));
        check_parents(root, &spans);
    }
    for result in std::fs::read_dir(store.path().join("results")).unwrap() {
        let bytes = std::fs::read(result.unwrap().path()).unwrap();
        let result: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        let trace = spans.iter().find(|span| Some(span.says("sku")) == Some(result["sku"].as_str())).unwrap();
        assert_eq!(result["trace_id"], trace.trace.as_str());
    }
}

/// Every span of the trace leads to its root.
fn check_parents(root: &Span, spans: &[Span]) {
    let trace: BTreeMap<&str, &Span> =
        spans.iter().filter(|span| span.trace == root.trace).map(|span| (span.id.as_str(), span)).collect();
    for span in trace.values() {
        let mut at = *span;
        let mut steps = 0;
        while at.id != root.id {
            at = trace
                .get(at.parent.as_str())
                .unwrap_or_else(|| panic!("{} has a parent that nobody sent", at.name));
            steps += 1;
            assert!(steps < 20, "{} goes round in circles", span.name);
        }
    }
    let parent = |word: &str| {
        let span = trace.values().find(|span| span.word() == word).unwrap();
        trace[span.parent.as_str()].word()
    };
    assert_eq!(parent("process"), "publish");
    assert_eq!(parent("attempt"), "process");
    assert_eq!(parent("commit"), "attempt");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sku_is_kept_whole_or_not_at_all() {
    let sampler = [
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio".to_owned()),
        ("OTEL_TRACES_SAMPLER_ARG", "0.5".to_owned()),
    ];
    let (spans, _, store) = night(24, &sampler).await;
    let mut words: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    for span in &spans {
        if let Some(sku) = span.says("sku") {
            *words.entry(sku).or_default().entry(span.word()).or_default() += 1;
        }
    }
    assert!((4..=20).contains(&words.len()), "{} of 24 SKUs are kept", words.len());
    for (sku, words) in &words {
        assert_eq!((words["sku"], words["attempt"]), (1, 4), "{sku}: {words:?}");
    }
    let marked = std::fs::read_dir(store.path().join("results")).unwrap().filter(|result| {
        let bytes = std::fs::read(result.as_ref().unwrap().path()).unwrap();
        let result: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        result["trace_id"] != ""
    });
    assert_eq!(marked.count(), words.len() * 2, "only results of kept traces name their trace");
}

#[test]
fn off_means_no_thread_no_file_and_no_connection() {
    let store = tempfile::tempdir().unwrap();
    run(process("off", store.path(), 0, &[]));
    let endpoint = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1".to_owned())];
    let mut disabled = endpoint.to_vec();
    disabled.push(("OTEL_SDK_DISABLED", "true".to_owned()));
    run(process("off", store.path(), 0, &disabled));
}

#[test]
fn the_end_does_not_wait_for_a_collector_that_is_silent() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let store = tempfile::tempdir().unwrap();
    for protocol in ["grpc", "http/protobuf"] {
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", silent.local_addr().unwrap())),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol.to_owned()),
        ];
        let out = run(process("end", store.path(), 0, &variables));
        assert!(String::from_utf8_lossy(&out.stdout).contains("ended"), "{protocol}");
        assert!(stderr(&out).contains("not flushed in time"), "{protocol}: {}", stderr(&out));
    }
}

#[test]
fn secrets_of_the_exporter_are_not_logged() {
    let store = tempfile::tempdir().unwrap();
    for protocol in ["grpc", "http/protobuf"] {
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1".to_owned()),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol.to_owned()),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20s3cret".to_owned()),
            ("PACKSHOT_LOG", "debug".to_owned()),
        ];
        let out = run(process("end", store.path(), 0, &variables));
        assert!(!stderr(&out).contains("s3cret"), "{protocol}: {}", stderr(&out));
    }
}
