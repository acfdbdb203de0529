//! How fast the Redis coordinator is: documents created, and claimed and concluded by many
//! callers at a time, against the server at `PACKSHOT_REDIS_URL` or on this machine.
//!
//! `redis_bench [SKUS] [CALLERS] [ROUNDS]` prints medians over the rounds.

#![allow(clippy::print_stdout, reason = "the table is the output")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use packshot_adapters::redis::{RedisCoordinator, RedisSettings};
use packshot_pipeline::budget::MicroUsd;
use packshot_pipeline::change::Change;
use packshot_pipeline::ids::{BatchId, Sku};
use packshot_pipeline::policy::Policy;
use packshot_pipeline::result::JobStatus;
use packshot_pipeline::role::Role;
use packshot_pipeline::state::{Attempt, Event, Holder, SkuState, Target};
use packshot_runtime::clock::{Clock, MonotonicClock};
use packshot_runtime::conformance::sample;
use packshot_runtime::port::{Coordinator, Created};
use packshot_runtime::tell::{Told, tell, tell_known};

const POLICY: Policy = Policy::STANDARD;
const MAIN: Target = Target::Role(Role::Main);
const ROLES: [Role; 5] = [Role::Main, Role::Cleanup, Role::Detail, Role::Lifestyle, Role::Feature];

struct Bench {
    coordinator: RedisCoordinator,
    clock: MonotonicClock,
    batch: BatchId,
}

impl Bench {
    async fn create(&self, sku: usize) -> Result<()> {
        let life = self.coordinator.incarnation().await?;
        let state = SkuState::new(&self.batch, &sample::entry(&name(sku), &ROLES), life, &POLICY);
        let change = Change::creating(&state, self.clock.now_ms());
        ensure!(self.coordinator.create(&state, &change).await? == Created::Yes);
        Ok(())
    }

    /// Claims a SKU's main image and concludes it, as a worker does.
    async fn work(&self, sku: usize) -> Result<()> {
        let (coordinator, clock) = (&self.coordinator, &self.clock);
        let holder = Holder(sku as u64);
        let started = Event::Started { target: MAIN, holder };
        let told = tell(coordinator, clock, &POLICY, &self.batch, &Sku::new(&name(sku))?, &started).await?;
        let Told::Applied(claimed) = told else { anyhow::bail!("{sku} could not be claimed") };
        let attempt = Attempt { incarnation: claimed.state.incarnation, target: MAIN, number: 1, holder };
        let done = Event::Finished { attempt, status: JobStatus::Accepted, cost: MicroUsd::ZERO };
        let told = tell_known(coordinator, clock, &POLICY, *claimed, &done).await?;
        ensure!(matches!(told, Told::Applied(_)), "{sku} could not be concluded");
        Ok(())
    }
}

fn name(sku: usize) -> String {
    format!("sku-{sku:06}")
}

/// Does `step` for every number below `count`, by so many callers at a time.
async fn all<F: Future<Output = Result<()>> + Send>(
    bench: &Arc<Bench>,
    (count, callers): (usize, usize),
    step: impl Fn(Arc<Bench>, usize) -> F + Copy + Send + 'static,
) -> Result<Duration> {
    let next = Arc::new(AtomicUsize::new(0));
    let since = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..callers {
        let (bench, next) = (Arc::clone(bench), Arc::clone(&next));
        tasks.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return anyhow::Ok(());
                }
                step(Arc::clone(&bench), number).await?;
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(since.elapsed())
}

fn argument(at: usize, otherwise: usize) -> Result<usize> {
    std::env::args().nth(at).map_or(Ok(otherwise), |text| text.parse().context("a number is wanted"))
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

#[tokio::main]
async fn main() -> Result<()> {
    let (skus, callers, rounds) = (argument(1, 10_000)?, argument(2, 16)?, argument(3, 3)?);
    let url = std::env::var("PACKSHOT_REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned());
    let prefix = format!("bench-{}", std::process::id());
    let settings = RedisSettings { url: url.into(), prefix, ..RedisSettings::default() };
    let (mut created, mut worked) = (Vec::new(), Vec::new());
    for round in 0..rounds.max(1) {
        let coordinator = RedisCoordinator::connect(&settings).await?;
        let batch = BatchId::new(&format!("round-{round}"))?;
        let bench = Arc::new(Bench { coordinator, clock: MonotonicClock::new(), batch });
        let per_second = |took: Duration| skus as f64 / took.as_secs_f64();
        let size = (skus, callers);
        created.push(per_second(all(&bench, size, |b, sku| async move { b.create(sku).await }).await?));
        worked.push(per_second(all(&bench, size, |b, sku| async move { b.work(sku).await }).await?));
        bench.coordinator.forget(&bench.batch).await?;
    }
    println!("{skus} SKUs of {} roles, {callers} callers, median of {rounds}", ROLES.len());
    println!("documents created     {:>8.0} /s", median(created));
    let pairs = median(worked);
    println!("claimed and concluded {pairs:>8.0} jobs/s, {:.0} commits/s", pairs * 2.0);
    Ok(())
}
