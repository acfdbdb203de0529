//! How long a job that became ready waits for its work to begin while there is room for it:
//! hint, dispatch with confirmation, delivery, claim and reading what it needs. Scheduler and
//! worker run in this process, so that both ends are seen by one clock.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use async_trait::async_trait;
use packshot_pipeline::policy::Policy;
use packshot_pipeline::pool::Pool;
use packshot_pipeline::role::Role;
use packshot_runtime::conformance::sample;
use packshot_runtime::consume::{Stop, consume};
use packshot_runtime::dispatch::{DispatchSettings, Dispatcher};
use packshot_runtime::drive::Driver;
use packshot_runtime::port::{Observer, Sight};
use packshot_runtime::work::{ClaimedJob, Outcome, Work};
use tokio_util::sync::CancellationToken;

use crate::stage::{Stage, until};
use crate::table::{Goal, Line, quantile};
use crate::{Options, fill};

/// Jobs of one round.
const JOBS: usize = 500;
/// The time between two of them.
const EVERY: Duration = Duration::from_millis(10);

/// When which SKU's job was claimed and when its work began.
#[derive(Default)]
struct Begun {
    claimed: Mutex<Vec<Instant>>,
    begun: Mutex<BTreeMap<String, Instant>>,
}

#[async_trait]
impl Work for Begun {
    async fn work(&self, job: &ClaimedJob) -> Outcome {
        let now = Instant::now();
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        begun.insert(job.state.sku.to_string(), now);
        Outcome::Failed { why: "only its beginning is of interest".to_owned() }
    }
}

impl Observer for Begun {
    fn saw(&self, sight: Sight<'_>) {
        if let Sight::Claimed { claim: Ok(_), .. } = sight {
            self.claimed.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
        }
    }
}

pub(crate) async fn run(options: &Options) -> Result<Vec<Line>> {
    let line =
        |what: &str, goal| Line::new(format!("{what}, one job every {} ms", EVERY.as_millis()), goal, "ms");
    let mut half = line("ready to begun, half of the jobs", Goal::None);
    let mut most = line("ready to begun, 99 of 100 jobs", Goal::AtMost(50.0));
    let mut claimed = line("claimed to begun, 99 of 100 jobs", Goal::AtMost(50.0));
    for _ in 0..options.rounds {
        let (ready, from_claim) = round(options).await?;
        half.values.push(quantile(&ready, 0.5));
        most.values.push(quantile(&ready, 0.99));
        claimed.values.push(quantile(&from_claim, 0.99));
    }
    Ok(vec![half, most, claimed])
}

/// Milliseconds from ready to begun and from claimed to begun, of each job.
async fn round(options: &Options) -> Result<(Vec<f64>, Vec<f64>)> {
    let stage = Stage::open(&options.objects).await?;
    let (ports, others) = (stage.ports().await?, stage.ports().await?);
    let header = fill::batch(&ports, sample::batch("start", Policy::STANDARD), 0, &[]).await?;
    fill::resume(&ports, &header).await?;
    let seen = Arc::new(Begun::default());
    let stop = CancellationToken::new();
    let windows = BTreeMap::from([(Pool::Studio, 128)]);
    let dispatcher = Dispatcher::new(ports.clone(), DispatchSettings { windows, idle_ms: 200 });
    let dispatching = tokio::spawn(dispatcher.run(stop.clone()));
    let driver = Driver::new(others.clone(), Arc::clone(&seen) as _, 1);
    let driver = Arc::new(driver.observed_by(Arc::clone(&seen) as _));
    let stops = Stop { soft: stop.clone(), hard: CancellationToken::new() };
    let consuming = tokio::spawn(async move {
        consume(&*others.broker, &driver, &*others.clock, Pool::Studio, 16, &stops).await;
    });
    let mut ready = Vec::with_capacity(JOBS);
    for number in 0..JOBS {
        fill::sku(&ports, &header, number, &[Role::Main]).await?;
        ready.push(Instant::now());
        tokio::time::sleep(EVERY).await;
    }
    until("the last job", async || {
        Ok(seen.begun.lock().unwrap_or_else(PoisonError::into_inner).len() == JOBS)
    })
    .await?;
    stop.cancel();
    dispatching.await?;
    consuming.await?;
    let begun = seen.begun.lock().unwrap_or_else(PoisonError::into_inner);
    let claimed = seen.claimed.lock().unwrap_or_else(PoisonError::into_inner);
    ensure!(claimed.len() == JOBS, "{} claims for {JOBS} jobs", claimed.len());
    let ms = |from: &Instant, to: &Instant| to.saturating_duration_since(*from).as_secs_f64() * 1000.0;
    let mut from_ready = Vec::with_capacity(JOBS);
    for (number, since) in ready.iter().enumerate() {
        let name = fill::sku_name(header.batch.as_str(), number);
        from_ready.push(ms(since, begun.get(&name).context("a job did not begin")?));
    }
    // Jobs come far apart, so the nth claim is that of the nth beginning.
    let mut order: Vec<&Instant> = begun.values().collect();
    order.sort();
    let from_claim = claimed.iter().zip(order).map(|(claimed, begun)| ms(claimed, begun)).collect();
    Ok((from_ready, from_claim))
}
