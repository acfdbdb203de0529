//! Workers that really draw are killed in the middle of it, and the sets are those of
//! `packshot run`, byte for byte.

use super::chance::Chance;
use crate::cluster::{Cluster, until};
use crate::distributed::digests;
use crate::shop::Shop;

const WANTED: [&str; 4] = ["--channels", "amazon,google", "--roles", "main,detail"];

#[test]
fn killed_workers_give_what_run_gives() {
    let mut chance = Chance::new();
    let shop = Shop::with_skus(&["juice-apple", "mighty-mug"]);
    let mut run = vec!["run", "catalog.csv", "--out", "out"];
    run.extend(WANTED);
    let ran = shop.packshot(&run);
    let mut cluster = Cluster::new(shop);
    cluster.set_scheduler("POLICY__LEASE_S", "2");
    cluster.set_scheduler("POLICY__FAULTS_MAX", "100");
    cluster.set_scheduler("SWEEP__EVERY_MS", "200");
    let _scheduler = cluster.serve();
    let mut submit = vec!["submit", "catalog.csv", "--batch", "real"];
    submit.extend(WANTED);
    cluster.answer(&submit, 0);
    for _ in 0..4 {
        let worker = cluster.worker();
        until("a worker that consumes", || worker.log().contains("consuming"));
        chance.wait(1_500);
        worker.kill();
    }
    let _worker = cluster.worker();
    let code = ran.status.code().unwrap();
    cluster.answer(&["watch", "real"], code);
    cluster.answer(&["fetch", "real", "--out", "fetched"], code);
    let sets = |folder: &str| digests(&cluster.shop.path(folder).join("sets"));
    assert!(sets("out").len() > 4, "nothing was exported");
    assert_eq!(sets("fetched"), sets("out"));
}
