//! The same over real servers: a submission, a scheduler and two workers, of which one makes
//! images and the other one sets, are four processes and one trace per SKU.

use std::collections::BTreeSet;

use super::check_parents;
use super::received::{Collector, Span};
use crate::cluster::Cluster;
use crate::shop::{Shop, mug};

/// Runs a batch of two SKUs to its end, and lets every process end.
fn run(variables: &[(&'static str, String)]) {
    let lines: Vec<String> = (0..2).map(|n| mug(&format!("t{n}"), &format!("Traced {n}"))).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let mut cluster = Cluster::new(Shop::new(&lines));
    for (name, value) in variables {
        cluster.set_variable(name, value);
    }
    let mut scheduler = cluster.serve();
    cluster.set_worker("POOLS__ASSEMBLE", "0");
    let mut images = cluster.scripted_worker();
    cluster.set_worker("POOLS__ASSEMBLE", "2");
    cluster.set_worker("POOLS__STUDIO", "0");
    let mut sets = cluster.scripted_worker();
    cluster.answer(&["submit", "catalog.csv", "--batch", "traced", "--roles", "main,detail"], 0);
    cluster.answer(&["watch", "traced"], 0);
    for process in [&mut images, &mut sets, &mut scheduler] {
        process.signal("TERM");
        assert_eq!(process.wait().code(), Some(0), "{}", process.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_jobs_of_a_sku_form_one_trace_through_rabbitmq() {
    let collector = Collector::grpc().await;
    let variables = collector.variables();
    tokio::task::spawn_blocking(move || run(&variables)).await.unwrap();
    let spans = collector.spans().await;
    let roots: Vec<&Span> = spans.iter().filter(|span| span.word() == "sku").collect();
    assert_eq!(roots.len(), 2);
    assert_ne!(roots[0].trace, roots[1].trace);
    for root in roots {
        let sku = root.says("sku").unwrap();
        let ours: Vec<&Span> = spans.iter().filter(|span| span.says("sku") == Some(sku)).collect();
        assert!(ours.iter().all(|span| span.trace == root.trace), "{sku} is in more than one trace");
        let trace: Vec<&Span> = spans.iter().filter(|span| span.trace == root.trace).collect();
        let processes = |word: &str| -> BTreeSet<(&str, &str)> {
            let of = trace.iter().filter(|span| span.word() == word);
            of.map(|span| (span.service.as_str(), span.instance.as_str())).collect()
        };
        let (attempts, published) = (processes("attempt"), processes("publish"));
        assert_eq!(attempts.len(), 2, "two workers were at {sku}: {attempts:?}");
        assert!(attempts.iter().all(|(service, _)| *service == "packshot-worker"), "{attempts:?}");
        assert!(published.is_disjoint(&attempts) && published.len() == 1, "{published:?}");
        // Main, detail and set: each was published, received and settled in the one trace.
        for word in ["publish", "process", "attempt"] {
            assert!(trace.iter().filter(|span| span.word() == word).count() >= 3, "{word} of {sku}");
        }
        check_parents(root, &spans);
    }
}
