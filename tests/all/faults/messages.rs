//! A queue that holds what it should not: messages twice, in another order, about nothing that
//! exists, and bytes that are no messages.

use std::collections::BTreeSet;

use lapin::BasicProperties;
use lapin::options::BasicPublishOptions;
use packshot_pipeline::ids::{BatchId, Sku};
use packshot_pipeline::pool::Pool;
use packshot_pipeline::role::Role;
use packshot_pipeline::state::Target;
use packshot_runtime::port::Message;
use rand::seq::SliceRandom;

use super::{Expected, Scene, UNNOTICED, check};

/// Bodies that can never be done, each for another reason.
fn hopeless(batch: &str) -> Vec<Vec<u8>> {
    let no_such = |batch: &str, sku: &str| message(batch, sku, Target::Set, 1).to_bytes().to_vec();
    let text = |text: &str| text.as_bytes().to_vec();
    let newer = Message { schema: 99, ..message(batch, "x", Target::Set, 1) };
    vec![
        text(""),
        text("{"),
        text("[1, 2, 3]"),
        vec![0xff; 100],
        vec![b' '; Message::BYTES_MAX + 1],
        text(r#"{"schema":1,"batch":"../x","sku":"s","target":"main","number":1}"#),
        text(&format!(r#"{{"schema":1,"batch":"{batch}","sku":"s","target":"nothing","number":1}}"#)),
        newer.to_bytes().to_vec(),
        no_such("nobody-submitted-it", "x"),
        no_such(batch, "nobody-sells-it"),
    ]
}

fn message(batch: &str, sku: &str, target: Target, number: u32) -> Message {
    let (batch, sku) = (BatchId::new(batch).unwrap(), Sku::new(sku).unwrap());
    Message { schema: Message::SCHEMA, batch, sku, target, number }
}

/// Every job and set of a batch three times, of several attempts, in any order.
fn again(batch: &str, skus: usize) -> Vec<(Pool, Vec<u8>)> {
    let mut bodies = Vec::new();
    for n in 0..skus {
        let sku = format!("{batch}-{n:04}");
        for (target, pool) in [
            (Target::Role(Role::Main), Pool::Studio),
            (Target::Role(Role::Detail), Pool::Studio),
            (Target::Set, Pool::Assemble),
            // A queue that it does not belong to.
            (Target::Set, Pool::Studio),
        ] {
            for number in 1..=3 {
                bodies.push((pool, message(batch, &sku, target, number).to_bytes().to_vec()));
            }
        }
    }
    bodies.shuffle(&mut rand::rng());
    bodies
}

/// Publishes bodies as anybody could who knows the exchange.
fn publish(scene: &Scene, bodies: Vec<(Pool, Vec<u8>)>) {
    let (server, exchange) =
        (scene.cluster.rabbitmq().to_owned(), format!("{}.jobs", scene.cluster.prefix()));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let connection = lapin::Connection::connect(&server, lapin::ConnectionProperties::default());
        let connection = connection.await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        for (pool, body) in bodies {
            let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
            let key = pool.word().into();
            channel.basic_publish(exchange.as_str().into(), key, options, &body, properties).await.unwrap();
        }
        connection.close(200, "done".into()).await.unwrap();
    });
}

#[test]
fn duplicated_reordered_and_malformed_messages_do_no_harm() {
    let mut scene = Scene::new();
    scene.start_scheduler();
    for _ in 0..2 {
        scene.start_worker();
    }
    scene.submit("messy", 16);
    publish(&scene, again("messy", 16));
    scene.until_made("messy", 6);
    let hopeless = hopeless("messy");
    let reasons: BTreeSet<&Vec<u8>> = hopeless.iter().collect();
    assert_eq!(reasons.len(), hopeless.len());
    let dead_letters = hopeless.len() as u32;
    publish(&scene, hopeless.into_iter().map(|body| (Pool::Studio, body)).collect());
    publish(&scene, again("messy", 16));
    let expected = Expected { dead_letters, ..UNNOTICED };
    scene.ends_well("messy", expected);
    // Also about what has ended.
    publish(&scene, again("messy", 16));
    scene.ends_well("messy", expected);
    scene.end_workers();
    check(&scene.cluster, "messy", expected);
}
