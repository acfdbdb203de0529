//! The Redis coordinator alone: documents made, and claimed and concluded by many callers at a
//! time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
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

use crate::Options;
use crate::fill::FIVE;
use crate::stage::Stage;
use crate::table::{Goal, Line};

/// SKUs of one round.
const SKUS: usize = 10_000;
const CALLERS: usize = 16;
const POLICY: Policy = Policy::STANDARD;
const MAIN: Target = Target::Role(Role::Main);

struct Bench {
    coordinator: RedisCoordinator,
    clock: MonotonicClock,
    batch: BatchId,
}

impl Bench {
    async fn create(&self, sku: usize) -> Result<()> {
        let life = self.coordinator.incarnation().await?;
        let state = SkuState::new(&self.batch, &sample::entry(&name(sku), &FIVE), life, &POLICY);
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

/// Does `step` for every SKU.
async fn all<F: Future<Output = Result<()>> + Send>(
    bench: &Arc<Bench>,
    step: impl Fn(Arc<Bench>, usize) -> F + Copy + Send + 'static,
) -> Result<Duration> {
    let next = Arc::new(AtomicUsize::new(0));
    let since = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..CALLERS {
        let (bench, next) = (Arc::clone(bench), Arc::clone(&next));
        tasks.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= SKUS {
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

pub(crate) async fn run(options: &Options) -> Result<Vec<Line>> {
    let mut created = Line::new(format!("documents made, {CALLERS} callers"), Goal::None, "/s");
    let mut worked = Line::new(format!("jobs claimed and concluded, {CALLERS} callers"), Goal::None, "/s");
    let stage = Stage::open(&options.objects).await?;
    for round in 0..options.rounds {
        let settings = RedisSettings { url: stage.redis.url().into(), ..RedisSettings::default() };
        let coordinator = RedisCoordinator::connect(&settings).await?;
        let batch = BatchId::new(&format!("round-{round}"))?;
        let bench = Arc::new(Bench { coordinator, clock: MonotonicClock::new(), batch });
        let per_second = |took: Duration| SKUS as f64 / took.as_secs_f64();
        created.values.push(per_second(all(&bench, |b, sku| async move { b.create(sku).await }).await?));
        worked.values.push(per_second(all(&bench, |b, sku| async move { b.work(sku).await }).await?));
        bench.coordinator.forget(&bench.batch).await?;
    }
    Ok(vec![created, worked])
}
