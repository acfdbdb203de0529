//! A RabbitMQ that restarts, cuts everybody off, loses a queue or takes no messages, in the
//! middle of a batch. One cluster bears all of it, one batch after the other.

use std::time::Duration;

use lapin::options::QueueDeleteOptions;

use super::{Scene, UNNOTICED, check};
use crate::cluster::Cluster;
use crate::servers::rabbitmq::{RabbitServer, private};
use crate::shop::Shop;

/// Products of one batch.
const SKUS: usize = 20;
/// Images that are made before the fault.
const MADE: usize = 8;
const REDIS: &str = "redis://127.0.0.1:6379";

/// A batch in the middle of which `disturb` is called.
async fn bears(
    scene: &mut Scene,
    server: &mut RabbitServer,
    batch: &str,
    disturb: impl AsyncFnOnce(&mut RabbitServer),
) {
    scene.submit(batch, SKUS);
    scene.until_made(batch, MADE);
    disturb(server).await;
    tokio::task::block_in_place(|| scene.ends_well(batch, UNNOTICED));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_broker_may_be_disturbed() {
    if !super::slow_is_wanted() {
        return;
    }
    let mut server = private().await;
    let cluster = Cluster::on(Shop::new(&[]), &server.url(), REDIS);
    let prefix = cluster.prefix().to_owned();
    let mut scene = Scene::on(cluster);
    scene.start_scheduler();
    for _ in 0..2 {
        scene.start_worker();
    }
    bears(&mut scene, &mut server, "closed", async |server| {
        server.ctl(&["close_all_connections", "maintenance"]).await;
    })
    .await;
    bears(&mut scene, &mut server, "deleted", async |server| {
        let properties = lapin::ConnectionProperties::default();
        let connection = lapin::Connection::connect(&server.url(), properties).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        for queue in ["jobs.studio", "jobs.assemble"] {
            let name = format!("{prefix}.{queue}").into();
            channel.queue_delete(name, QueueDeleteOptions::default()).await.unwrap();
        }
        connection.close(200, "done".into()).await.unwrap();
    })
    .await;
    bears(&mut scene, &mut server, "alarmed", async |server| {
        server.disturbed = true;
        server.ctl(&["set_vm_memory_high_watermark", "0"]).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        server.ctl(&["set_vm_memory_high_watermark", "0.4"]).await;
        server.disturbed = false;
    })
    .await;
    bears(&mut scene, &mut server, "stopped", async |server| {
        server.stop().await;
        server.start_again().await;
    })
    .await;
    bears(&mut scene, &mut server, "killed", async |server| {
        server.kill().await;
        server.start_again().await;
    })
    .await;
    tokio::task::block_in_place(|| {
        scene.end_workers();
        check(&scene.cluster, "killed", UNNOTICED);
    });
}
