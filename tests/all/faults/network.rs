//! A network between the processes and their servers that resets, swallows, halves, drips and
//! delays, in the middle of a batch. The servers themselves are not disturbed.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Scene, UNNOTICED, check};
use crate::proxy::{Mode, Proxy};

/// Products of one batch.
const SKUS: usize = 10;
/// Images that are made before the fault.
const MADE: usize = 4;

/// What happens to the connections, and for how long; `None`: until the batch is at rest.
const FAULTS: [(&str, Mode, Option<Duration>); 5] = [
    ("reset", Mode::Reset, Some(Duration::from_secs(2))),
    ("hole", Mode::BlackHole, Some(Duration::from_secs(5))),
    ("half", Mode::HalfOpen, Some(Duration::from_secs(5))),
    ("drip", Mode::Drip(6_000), None),
    ("late", Mode::Delay(Duration::from_millis(500)), None),
];

/// One batch for each fault of the network to the server on `port`.
async fn bears(server: &str, port: u16, setting: &str, url: impl Fn(SocketAddr) -> String) {
    let proxy = Proxy::start(([127, 0, 0, 1], port).into()).await;
    let mut scene = Scene::new();
    scene.cluster.set(setting, &url(proxy.address()));
    scene.start_scheduler();
    for _ in 0..2 {
        scene.start_worker();
    }
    for (name, mode, lasts) in FAULTS {
        let batch = format!("{server}-{name}");
        // A lease must be longer than the round trips of a claimed job.
        let lease = if lasts.is_none() { "30" } else { "3" };
        scene.cluster.set_scheduler("POLICY__LEASE_S", lease);
        tokio::task::block_in_place(|| {
            scene.submit(&batch, SKUS);
            scene.until_made(&batch, MADE);
        });
        proxy.set(mode);
        match lasts {
            Some(lasts) => tokio::time::sleep(lasts).await,
            None => tokio::task::block_in_place(|| scene.until_at_rest(&batch)),
        }
        proxy.set(Mode::Pass);
        tokio::task::block_in_place(|| scene.ends_well(&batch, UNNOTICED));
    }
    tokio::task::block_in_place(|| {
        scene.end_workers();
        check(&scene.cluster, &format!("{server}-late"), UNNOTICED);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn the_network_to_rabbitmq_may_be_disturbed() {
    if !super::slow_is_wanted() {
        return;
    }
    let url = |address| format!("amqp://guest:guest@{address}/%2f");
    bears("rabbitmq", 5672, "RABBITMQ__URL", url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_network_to_redis_may_be_disturbed() {
    if !super::slow_is_wanted() {
        return;
    }
    bears("redis", 6379, "REDIS__URL", |address| format!("redis://{address}")).await;
}
