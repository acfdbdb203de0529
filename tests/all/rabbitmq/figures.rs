//! How fast: `cargo test -p packshot-tests -- --ignored --nocapture figures_of_rabbitmq`.

use std::sync::Arc;
use std::time::Duration;

use packshot_pipeline::pool::Pool;
use packshot_runtime::port::{Acked, Consumer};
use tokio::time::Instant;

use super::*;

const JOBS: u32 = 15_000;

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64()
}

/// Publishes all jobs in batches of `batch`, one after the other.
async fn publishing(broker: &RabbitBroker, batch: usize) -> Duration {
    let headers = BTreeMap::from([(
        "traceparent".to_owned(),
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned(),
    )]);
    let jobs: Vec<Job> = (0..JOBS).map(|number| (message(number), headers.clone())).collect();
    let begun = Instant::now();
    for batch in jobs.chunks(batch) {
        for outcome in publish(broker, Pool::Studio, batch).await {
            outcome.unwrap();
        }
    }
    begun.elapsed()
}

/// Takes and acknowledges all jobs; one after the other, or each in a task of its own.
async fn consuming(broker: &RabbitBroker, prefetch: u16, in_tasks: bool) -> Duration {
    let mut consumer: Box<dyn Consumer> = consume(broker, prefetch).await;
    let done = Arc::new(tokio::sync::Semaphore::new(0));
    let begun = Instant::now();
    for _ in 0..JOBS {
        let delivery = next(&mut *consumer).await;
        if in_tasks {
            let done = Arc::clone(&done);
            tokio::spawn(async move {
                assert_eq!(delivery.receipt.ack().await.unwrap(), Acked::Done);
                done.add_permits(1);
            });
        } else {
            ack(delivery).await;
        }
    }
    if in_tasks {
        done.acquire_many(JOBS).await.unwrap().forget();
    }
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute and says how fast, not whether"]
async fn figures_of_rabbitmq() {
    let mut lines = Vec::new();
    for (batch, prefetch, in_tasks) in [(15_000, 50, false), (1_000, 200, true), (256, 16, true)] {
        let (mut published, mut consumed) = (Vec::new(), Vec::new());
        for _ in 0..5 {
            let scratch = Scratch::on(SHARED);
            let broker = scratch.connect().await;
            published.push(publishing(&broker, batch).await);
            consumed.push(consuming(&broker, prefetch, in_tasks).await);
        }
        let (published, consumed) = (median(published), median(consumed));
        let how = if in_tasks { "in tasks" } else { "one by one" };
        lines.push(format!(
            "publish {JOBS} in batches of {batch}: {published:.2} s, {:.0}/s; \
             consume and ack, prefetch {prefetch}, {how}: {consumed:.2} s, {:.0}/s",
            f64::from(JOBS) / published,
            f64::from(JOBS) / consumed,
        ));
    }
    let table = lines.join("\n");
    #[allow(clippy::print_stdout, reason = "the figures are the result")]
    {
        println!("{table}");
    }
}
