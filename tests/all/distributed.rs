//! The distributed system as an operator meets it: real commands and real processes on the
//! RabbitMQ and the Redis of this machine, with a folder as the object store.

use std::collections::BTreeMap;
use std::path::Path;

use packshot_pipeline::ids::Digest;

use crate::cluster::{Cluster, until};
use crate::shop::{Shop, files, mug, stderr, stdout};

/// Every file below `folder` with the digest of its bytes.
pub(crate) fn digests(folder: &Path) -> BTreeMap<String, Digest> {
    let digest = |name: &String| Digest::of(&std::fs::read(folder.join(name)).unwrap());
    files(folder).into_iter().map(|name| (name.clone(), digest(&name))).collect()
}

/// Columns of a results table that do not depend on when and where it was made.
fn table(path: &Path) -> Vec<Vec<String>> {
    let mut reader = csv::Reader::from_path(path).unwrap();
    let header: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    let rows = reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect());
    std::iter::once(header).chain(rows).collect()
}

/// A shop of `count` products that all show the same photo, for scripted work.
fn scripted(count: usize) -> Shop {
    let lines: Vec<String> = (0..count).map(|n| mug(&format!("s{n:03}"), &format!("Mug {n}"))).collect();
    Shop::new(&lines.iter().map(String::as_str).collect::<Vec<_>>())
}

const ROLES: [&str; 4] = ["--channels", "amazon,google", "--roles", "main,detail,lifestyle"];

#[test]
fn submitted_work_gives_what_run_gives() {
    let shop = Shop::with_skus(&["juice-apple", "dash-force"]);
    let with_bad_row =
        std::fs::read_to_string(shop.path("catalog.csv")).unwrap() + ",No SKU,x.png,,,,,,,,1,\n";
    std::fs::write(shop.path("catalog.csv"), with_bad_row).unwrap();
    shop.run(&ROLES, 2);
    let cluster = Cluster::new(shop);
    let (_scheduler, _one, _two) = (cluster.serve(), cluster.worker(), cluster.worker());

    let submit = ["submit", "catalog.csv", "--batch", "autumn"];
    let submit: Vec<&str> = submit.iter().chain(&ROLES).copied().collect();
    let submitted = cluster.answer(&submit, 2);
    assert_eq!(stdout(&submitted).trim(), "autumn");
    assert!(stderr(&submitted).contains("line 4"), "the bad row is named: {}", stderr(&submitted));
    let watched = cluster.answer(&["watch", "autumn"], 0);
    assert!(stderr(&watched).contains("6 images accepted"), "{}", stderr(&watched));
    let status = cluster.status("autumn");
    assert_eq!(
        (&status["skus"], &status["settled"], &status["phase"]),
        (&2.into(), &2.into(), &"ended".into())
    );

    cluster.answer(&["fetch", "autumn", "--out", "fetched"], 2);
    let (run, fetched) = (cluster.shop.path("out"), cluster.shop.path("fetched"));
    assert_eq!(digests(&fetched.join("sets")), digests(&run.join("sets")), "every file of every set");
    assert_eq!(table(&fetched.join("results.csv")), table(&run.join("results.csv")));
    for name in files(&fetched.join("store")) {
        assert!(run.join("store").join(&name).is_file(), "{name} is a master of the run too");
    }
    let page = std::fs::read_to_string(fetched.join("report.html")).unwrap();
    let linked = page.split("\"full\":\"store/").skip(1).map(|rest| rest.split('"').next().unwrap());
    let linked: Vec<&str> = linked.collect();
    assert!(linked.len() >= 8, "references and images are linked: {linked:?}");
    for key in linked {
        assert!(fetched.join("store").join(key).is_file(), "the page links to {key}");
    }

    // Again: the same name and content is the same batch, and nothing is made or fetched.
    let results = || files(&cluster.shop.path("objects/results"));
    let before = results();
    let again = cluster.answer(&submit, 2);
    assert!(stderr(&again).contains("stood already"), "{}", stderr(&again));
    assert_eq!(results(), before);
    let other = cluster.packshot(&["submit", "catalog.csv", "--batch", "autumn", "--roles", "main"]);
    assert_eq!(other.status.code(), Some(1));
    assert!(
        stderr(&other).contains("other content") && stderr(&other).contains("hint:"),
        "{}",
        stderr(&other)
    );

    // Another name finds everything, without making it again.
    let all: Vec<&str> =
        ["submit", "catalog.csv", "--batch", "winter"].iter().chain(&ROLES).copied().collect();
    cluster.answer(&all, 2);
    cluster.answer(&["watch", "winter"], 0);
    assert_eq!(cluster.status("winter")["cached"], 6);
    assert_eq!(results(), before);
    let listed = stdout(&cluster.answer(&["status"], 0));
    assert!(listed.contains("autumn") && listed.contains("winter"), "{listed}");
}

#[test]
fn pause_resume_and_cancel_act_at_once() {
    let mut cluster = Cluster::new(scripted(40));
    cluster.set_script("JOB_MS", "300");
    cluster.set_script("LOG", "steps");
    cluster.set_worker("POOLS__STUDIO", "2");
    let (_scheduler, _worker) = (cluster.serve(), cluster.scripted_worker());
    cluster.answer(&["submit", "catalog.csv", "--batch", "b", "--roles", "main"], 0);
    let begun = || cluster.reached("steps", "claimed").len();
    until("some work", || begun() >= 3);
    cluster.answer(&["pause", "b"], 0);
    // What was claimed within the second in which workers believe what they saw goes on.
    std::thread::sleep(std::time::Duration::from_millis(2_500));
    let paused = begun();
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    assert_eq!(begun(), paused, "nothing begins while the batch is paused");
    assert!(paused < 30, "{paused} of 40 had begun");
    let status = cluster.status("b");
    assert_eq!(status["phase"], "paused");
    assert_eq!(status["roles"]["main"]["running"], serde_json::Value::Null, "{status}");

    cluster.answer(&["resume", "b"], 0);
    until("more work", || begun() > paused + 2);
    cluster.answer(&["cancel", "b"], 0);
    let status = cluster.wait_for("b", "the end", |status| status["settled"] == 40);
    assert_eq!(status["phase"], "cancelled");
    let cancelled = status["roles"]["main"]["cancelled"].as_u64().unwrap();
    assert!(cancelled >= 5, "{status}");
    let refused = cluster.packshot(&["resume", "b"]);
    assert!(refused.status.code() == Some(1) && stderr(&refused).contains("retry --failed b"));

    cluster.answer(&["retry", "--failed", "b"], 0);
    cluster.answer(&["watch", "b"], 0);
    assert_eq!(cluster.status("b")["roles"]["main"]["accepted"], 40);
}

#[test]
fn a_worker_that_is_told_to_stop_finishes_what_it_began() {
    let mut cluster = Cluster::new(scripted(12));
    cluster.set_script("JOB_MS", "800");
    cluster.set_script("LOG", "steps");
    cluster.set_worker("POOLS__STUDIO", "3");
    let (_scheduler, mut worker) = (cluster.serve(), cluster.scripted_worker());
    cluster.answer(&["submit", "catalog.csv", "--batch", "b", "--roles", "main"], 0);
    until("some work", || cluster.reached("steps", "claimed").len() >= 3);
    worker.signal("TERM");
    let ended = worker.wait();
    assert_eq!(ended.code(), Some(0), "{}", worker.log());
    let (claimed, acking) = (cluster.reached("steps", "claimed"), cluster.reached("steps", "blob"));
    assert_eq!(claimed.len(), acking.len(), "everything that had begun was finished");
    assert!(cluster.reached("steps", "interrupted").is_empty());
    let status = cluster.status("b");
    assert_eq!(status["roles"]["main"]["running"], serde_json::Value::Null, "no lease is left: {status}");
    let left = 12 - claimed.len() as u64;
    assert!(left > 0, "it was stopped in the middle");

    // A second signal insists: what has begun is given back, and did not fail.
    cluster.set_script("JOB_MS", "60000");
    let mut insisted = cluster.scripted_worker();
    until("more work", || cluster.reached("steps", "claimed").len() > claimed.len());
    insisted.signal("TERM");
    until("the drain", || insisted.log().contains("stopping"));
    insisted.signal("TERM");
    assert_eq!(insisted.wait().code(), Some(0), "{}", insisted.log());
    let status = cluster.status("b");
    assert_eq!(status["roles"]["main"]["ready"], left, "{status}");

    cluster.set_script("JOB_MS", "0");
    let _last = cluster.scripted_worker();
    cluster.answer(&["watch", "b"], 0);
}

#[test]
fn a_killed_worker_is_followed_by_another() {
    let mut cluster = Cluster::new(scripted(4));
    cluster.set_scheduler("POLICY__LEASE_S", "2");
    cluster.set_scheduler("SWEEP__EVERY_MS", "200");
    cluster.set_script("JOB_MS", "60000");
    cluster.set_script("LOG", "steps");
    let (_scheduler, worker) = (cluster.serve(), cluster.scripted_worker());
    cluster.answer(&["submit", "catalog.csv", "--batch", "b", "--roles", "main"], 0);
    until("a claim", || !cluster.reached("steps", "claimed").is_empty());
    worker.kill();
    cluster.set_script("JOB_MS", "0");
    let _other = cluster.scripted_worker();
    cluster.answer(&["watch", "b"], 0);
    assert_eq!(cluster.status("b")["roles"]["main"]["accepted"], 4);
}

#[test]
fn money_is_put_aside_before_it_is_spent_and_a_paid_answer_survives_a_crash() {
    let mut cluster = Cluster::new(scripted(6));
    cluster.set_scheduler("POLICY__LEASE_S", "2");
    cluster.set_scheduler("POLICY__ATTEMPTS_MAX", "1");
    cluster.set_scheduler("SWEEP__EVERY_MS", "200");
    cluster.set_scheduler("BUDGET__PRICES_USD", "studio=0.04");
    cluster.set_script("COST", "40000");
    cluster.set_script("LOG", "steps");
    let marker = cluster.shop.path("crashed").display().to_string();
    cluster.set_script("CRASH", &format!("saved={marker}"));
    // One call at a time: what is under way when a process dies may be paid again.
    cluster.set_worker("POOLS__STUDIO", "1");
    let (_scheduler, mut first) = (cluster.serve(), cluster.scripted_worker());
    cluster.answer(&["submit", "catalog.csv", "--batch", "b", "--roles", "main", "--cost-max", "0.17"], 0);
    assert!(first.wait().code().is_none(), "it died by its own hand");
    let _second = cluster.scripted_worker();
    cluster.answer(&["watch", "b"], 2);
    let status = cluster.status("b");
    assert_eq!(status["roles"]["main"]["accepted"], 4, "{status}");
    assert_eq!(status["roles"]["main"]["over-budget"], 2, "{status}");
    assert_eq!(status["cost_usd"], "0.160000");
    assert_eq!(status["reserved_usd"], "0.000000");
    let called = cluster.reached("steps", "called");
    assert_eq!(called.len(), 4, "nothing was bought twice: {called:?}");
}

#[test]
fn a_coordinator_that_lost_its_memory_is_rebuilt() {
    let mut cluster = Cluster::new(scripted(10));
    cluster.set_scheduler("KEEP__EVERY_MS", "200");
    cluster.set_scheduler("SWEEP__EVERY_MS", "200");
    cluster.set_script("JOB_MS", "150");
    cluster.set_script("LOG", "steps");
    cluster.set_worker("POOLS__STUDIO", "1");
    let (_scheduler, _worker) = (cluster.serve(), cluster.scripted_worker());
    cluster.answer(&["submit", "catalog.csv", "--batch", "b", "--roles", "main,detail"], 0);
    until("some results", || cluster.reached("steps", "result").len() >= 3);
    cluster.forget_redis();
    cluster.answer(&["watch", "b"], 0);
    let status = cluster.status("b");
    assert_eq!((&status["skus"], &status["roles"]["main"]["accepted"]), (&10.into(), &10.into()), "{status}");
    assert_eq!(status["cached"], 0, "what this batch made is not from elsewhere: {status}");
    let rebuilt = cluster.answer(&["rebuild", "b"], 0);
    assert!(stderr(&rebuilt).contains("0 documents made anew"), "{}", stderr(&rebuilt));
}

#[test]
fn doctor_looks_at_every_system() {
    let cluster = Cluster::new(scripted(1));
    let out = cluster.packshot(&["doctor", "--json"]);
    let findings: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let findings = findings.as_array().unwrap();
    for system in ["settings", "rabbitmq", "redis", "objects"] {
        assert!(findings.iter().any(|finding| finding["system"] == system), "{system}: {findings:#?}");
    }
    let problems = findings.iter().any(|finding| finding["weight"] == "problem");
    assert_eq!(out.status.code(), Some(if problems { 2 } else { 0 }), "{findings:#?}");

    let mut nowhere = Cluster::new(scripted(1));
    nowhere.set("REDIS__URL", "redis://127.0.0.1:1");
    let out = nowhere.packshot(&["doctor"]);
    let said = stdout(&out);
    assert_eq!(out.status.code(), Some(2), "{said}");
    assert!(said.contains("PROBLEM  redis") && said.contains("->"), "{said}");
    let status = nowhere.packshot(&["status"]);
    assert_eq!(status.status.code(), Some(4));
    assert!(stderr(&status).contains("packshot doctor"), "{}", stderr(&status));
    nowhere.set("REDIS__URL", "redis://127.0.0.1:6379");
}

#[test]
fn settings_are_refused_all_at_once_and_without_their_secrets() {
    let mut cluster = Cluster::new(scripted(1));
    cluster.set("RABBITMQ__URL", "http://guest:tiger@nowhere");
    cluster.set_worker("POOLS__STUDOI", "1");
    let mut worker = cluster.worker();
    assert_eq!(worker.wait().code(), Some(1));
    assert!(worker.log().contains("did you mean `pools.studio`"), "{}", worker.log());
    let mut cluster = Cluster::new(scripted(1));
    cluster.set("RABBITMQ__URL", "http://guest:tiger@nowhere");
    cluster.set("OBJECTS__DIRECTORY", "");
    let mut worker = cluster.worker();
    assert_eq!(worker.wait().code(), Some(1));
    let said = worker.log();
    assert!(said.contains("rabbitmq.url") && said.contains("objects.directory"), "{said}");
    assert!(!said.contains("tiger") && said.contains("hint:"), "{said}");
}

/// Status and body of one health page.
fn health(addr: &str, page: &str) -> Option<(u16, String)> {
    std::net::TcpStream::connect(addr).ok()?;
    let (status, _, body) = crate::servers::s3::http("GET", &format!("http://{addr}/{page}"), "");
    Some((status, String::from_utf8_lossy(&body).into_owned()))
}

#[test]
fn a_worker_is_ready_once_everything_is_open() {
    let mut redis = crate::servers::redis::RedisServer::start(&[]);
    let mut cluster = Cluster::on(scripted(1), "amqp://guest:guest@127.0.0.1:5672/%2f", &redis.url());
    let addr = format!("127.0.0.1:{}", crate::servers::free_port());
    cluster.set("HEALTH__LISTEN", &addr);
    redis.kill();
    let worker = cluster.scripted_worker();
    until("the health page", || health(&addr, "readyz").is_some());
    until("a try that failed", || worker.log().contains("does not answer"));
    let (status, body) = health(&addr, "readyz").unwrap();
    assert!(status == 503 && body.contains("not all open"), "{status} {body}");
    assert_eq!(health(&addr, "livez").unwrap().0, 200, "a worker that waits is alive");
    redis.run_again();
    until("readiness", || health(&addr, "readyz").is_some_and(|(status, _)| status == 200));
}
