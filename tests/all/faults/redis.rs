//! A Redis that restarts, forgets, stops answering, is full or falls back, in the middle of a
//! batch. One cluster bears all of it, one batch after the other.

use std::time::Duration;

use super::{Expected, Scene, UNNOTICED, check};
use crate::cluster::Cluster;
use crate::servers::redis::RedisServer;
use crate::shop::Shop;

/// Products of one batch.
const SKUS: usize = 20;
/// Images that are made before the fault.
const MADE: usize = 8;
const RABBITMQ: &str = "amqp://guest:guest@127.0.0.1:5672/%2f";

fn scene(server: &RedisServer) -> Scene {
    let mut scene = Scene::on(Cluster::on(Shop::new(&[]), RABBITMQ, &server.url()));
    scene.start_scheduler();
    for _ in 0..2 {
        scene.start_worker();
    }
    scene
}

/// A batch in the middle of which `disturb` is called.
fn bears(scene: &mut Scene, batch: &str, expected: Expected, disturb: impl FnOnce()) {
    scene.submit(batch, SKUS);
    scene.until_made(batch, MADE);
    disturb();
    scene.ends_well(batch, expected);
}

#[test]
fn redis_may_be_disturbed() {
    let mut server = RedisServer::start(&[]);
    let mut scene = scene(&server);
    bears(&mut scene, "scripts", UNNOTICED, || {
        for _ in 0..20 {
            server.tell(&["SCRIPT", "FLUSH"]);
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    bears(&mut scene, "pause", UNNOTICED, || server.tell(&["CLIENT", "PAUSE", "2500"]));
    bears(&mut scene, "frozen", UNNOTICED, || {
        server.freeze(true);
        // Longer than an answer is waited for, and than a lease.
        std::thread::sleep(Duration::from_secs(5));
        server.freeze(false);
    });
    bears(&mut scene, "full", UNNOTICED, || {
        server.tell(&["CONFIG", "SET", "maxmemory", "1"]);
        std::thread::sleep(Duration::from_secs(3));
        server.tell(&["CONFIG", "SET", "maxmemory", "0"]);
    });
    bears(&mut scene, "cut", UNNOTICED, || server.tell(&["CLIENT", "KILL", "TYPE", "normal"]));
    bears(&mut scene, "restart", UNNOTICED, || {
        // The answer to a shutdown is the end of the connection.
        let _ = server.ask::<redis::Value>(&["SHUTDOWN", "SAVE"]);
        server.run_again();
    });
    scene.end_workers();
    check(&scene.cluster, "restart", Expected { paid_twice_max: scene.lost_calls("restart"), ..UNNOTICED });
}

#[test]
fn redis_may_lose_its_memory() {
    let mut server = RedisServer::start(&[]);
    let mut scene = scene(&server);
    // Whoever works as the memory goes is not known to whoever begins anew.
    let in_flight = Expected { paid_twice_max: 2 * 4, ..UNNOTICED };
    bears(&mut scene, "flushed", in_flight, || server.tell(&["FLUSHALL"]));
    bears(&mut scene, "flushed-often", in_flight, || {
        for _ in 0..5 {
            server.tell(&["FLUSHALL"]);
            std::thread::sleep(Duration::from_millis(300));
        }
    });
    bears(&mut scene, "emptied", in_flight, || server.run_again());
    bears(&mut scene, "rolled-back", in_flight, || {
        server.tell(&["SAVE"]);
        std::thread::sleep(Duration::from_secs(2));
        server.run_again();
    });
    scene.end_workers();
    check(&scene.cluster, "rolled-back", in_flight);
}
