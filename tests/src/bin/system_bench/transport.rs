//! The RabbitMQ adapter alone: messages published with confirmations, consumed and
//! acknowledged.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use packshot_pipeline::ids::{BatchId, Sku};
use packshot_pipeline::pool::Pool;
use packshot_pipeline::role::Role;
use packshot_pipeline::state::Target;
use packshot_runtime::port::{Acked, Broker, Message};
use tokio::task::JoinSet;

use crate::Options;
use crate::stage::Stage;
use crate::table::{Goal, Line};

const JOBS: u32 = 15_000;
/// How jobs are handed in and how many deliveries are under way.
const WAYS: [(usize, u16); 2] = [(1_000, 200), (256, 16)];
const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

type Job = (Message, BTreeMap<String, String>);

fn job(number: u32) -> Result<Job> {
    let message = Message {
        schema: Message::SCHEMA,
        batch: BatchId::new("transport")?,
        sku: Sku::new(&format!("sku-{number:06}"))?,
        target: Target::Role(Role::Main),
        number: 1,
    };
    Ok((message, BTreeMap::from([("traceparent".to_owned(), TRACE.to_owned())])))
}

async fn publishing(broker: &dyn Broker, batch: usize) -> Result<Duration> {
    let jobs = (0..JOBS).map(job).collect::<Result<Vec<Job>>>()?;
    let begun = Instant::now();
    for some in jobs.chunks(batch) {
        for outcome in broker.publish(Pool::Studio, some).await {
            outcome?;
        }
    }
    Ok(begun.elapsed())
}

async fn consuming(broker: &dyn Broker, prefetch: u16) -> Result<Duration> {
    let mut consumer = broker.consume(Pool::Studio, prefetch).await?;
    let mut acks = JoinSet::new();
    let begun = Instant::now();
    for _ in 0..JOBS {
        let delivery = tokio::time::timeout(Duration::from_mins(1), consumer.next()).await??;
        acks.spawn(delivery.receipt.ack());
        while let Some(ended) = acks.try_join_next() {
            ensure!(ended?? == Acked::Done, "a delivery was not acknowledged");
        }
    }
    while let Some(ended) = acks.join_next().await {
        if ended?? != Acked::Done {
            bail!("a delivery was not acknowledged");
        }
    }
    Ok(begun.elapsed())
}

pub(crate) async fn run(options: &Options) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    for (batch, prefetch) in WAYS {
        let mut published =
            Line::new(format!("messages published with confirms, {batch} at a time"), Goal::None, "/s");
        let mut consumed =
            Line::new(format!("messages consumed and acknowledged, prefetch {prefetch}"), Goal::None, "/s");
        for _ in 0..options.rounds {
            let stage = Stage::open(&options.objects).await?;
            let broker = Arc::clone(&stage.ports().await?.broker);
            published.values.push(f64::from(JOBS) / publishing(&*broker, batch).await?.as_secs_f64());
            consumed.values.push(f64::from(JOBS) / consuming(&*broker, prefetch).await?.as_secs_f64());
        }
        lines.extend([published, consumed]);
    }
    Ok(lines)
}
