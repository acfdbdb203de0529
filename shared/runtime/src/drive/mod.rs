//! The life of one job message: claim → look → work → commit → tell. Every step may be the
//! last one before a crash; whoever comes next finds what the last one left.

mod commit;
pub(crate) use commit::committed;
mod entries;
mod gather;
mod wishes;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use packshot_pipeline::ids::BatchId;
use packshot_pipeline::manifest::Batch;
use packshot_pipeline::state::{Attempt, Event, Holder, JobState, SetState, SkuState, Stale, Target};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, warn};

use crate::pay::{self, Pay, Purse};
use crate::port::{Message, Observer, Sight, Step, Unobserved, Versioned};
use crate::ports::Ports;
use crate::store::Store;
use crate::submit::{PortError, rebuild_sku};
use crate::tell::{Told, tell, tell_known};
use crate::work::{ClaimedJob, Outcome, Work};

/// Batches whose header is kept in memory.
const HEADERS_MAX: usize = 64;
/// The wait before a message is looked at again whose claim the world prevented.
const AGAIN_MS: u64 = 2_000;

/// What shall become of the message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Driven {
    /// Done with: acknowledge it. The text says what happened, for logs.
    Done(&'static str),
    /// The world prevented even the claim: let it come again.
    Again {
        /// Not sooner than this, in milliseconds.
        delay_ms: u64,
    },
    /// It can never be done: a dead letter.
    Dead {
        /// Why.
        reason: String,
    },
}

/// Drives jobs: the ports, the work and what is remembered between jobs.
pub struct Driver {
    ports: Ports,
    work: Arc<dyn Work>,
    observer: Arc<dyn Observer>,
    chance: Mutex<StdRng>,
    headers: Mutex<BTreeMap<BatchId, Arc<Batch>>>,
    wishes: wishes::Wishes,
    entries: entries::Entries,
}

impl Driver {
    /// A driver of `work`. `seed` must differ between processes: it tells their claims apart.
    pub fn new(ports: Ports, work: Arc<dyn Work>, seed: u64) -> Self {
        let chance = Mutex::new(StdRng::seed_from_u64(seed));
        let observer = Arc::new(Unobserved);
        let (wishes, entries) = (wishes::Wishes::default(), entries::Entries::default());
        Self { ports, work, observer, chance, headers: Mutex::default(), wishes, entries }
    }

    /// The same, looked at by `observer`.
    #[must_use]
    pub fn observed_by(self, observer: Arc<dyn Observer>) -> Self {
        Self { observer, ..self }
    }

    /// Who looks on.
    pub(crate) fn observer(&self) -> &dyn Observer {
        &*self.observer
    }

    fn store(&self) -> Store<'_> {
        self.ports.store()
    }

    /// Drives the job that `message` points at. `stop` is the hard stop: work leaves as
    /// soon as it can, without having failed.
    pub async fn drive(&self, message: &Message, stop: &CancellationToken) -> Driven {
        let header = match self.header(&message.batch).await {
            Ok(Some(header)) => header,
            Ok(None) => return Driven::Dead { reason: format!("there is no batch {}", message.batch) },
            Err(error) => return again(&error),
        };
        match self.held_back(&header, message).await {
            Ok(None) => {}
            Ok(Some(why)) => return Driven::Done(why),
            Err(error) => return again(&error.into()),
        }
        let claim = self.claim(&header, message).instrument(self.observer.begin(Step::Claim)).await;
        let target = message.target;
        let (attempt, claimed) = match claim {
            Ok(Claim::Held(attempt, claimed)) => {
                self.observer.saw(Sight::Claimed { target, claim: Ok(attempt.number) });
                (attempt, *claimed)
            }
            Ok(Claim::Dropped(why)) => {
                self.observer.saw(Sight::Claimed { target, claim: Err(why) });
                return Driven::Done(why);
            }
            Ok(Claim::NoSuchSku) => {
                return Driven::Dead {
                    reason: format!("batch {} has no SKU {}", message.batch, message.sku),
                };
            }
            Err(error) => return again(&error),
        };
        // From here on the attempt is counted, and the message is not needed any more:
        // whatever happens, the document says what comes next.
        let span = self.observer.begin(Step::Attempt { header: &header, sku: &message.sku, attempt });
        self.carry_out(&header, attempt, claimed, stop).instrument(span).await
    }

    /// Everything between a claim and its end.
    async fn carry_out(
        &self,
        header: &Arc<Batch>,
        attempt: Attempt,
        claimed: Versioned,
        stop: &CancellationToken,
    ) -> Driven {
        let since_ms = self.ports.clock.now_ms();
        let mut purse = None;
        let state = claimed.state.clone();
        let event = match self.attempted(header, attempt, state, stop, &mut purse).await {
            Ok(event) => event,
            Err(error) => fault(attempt, &error),
        };
        let span = self.observer.begin(Step::Conclude);
        let (heard, done) = self.conclude(header, claimed, &event).instrument(span).await;
        let took_ms = self.ports.clock.now_ms().saturating_sub(since_ms);
        self.observer.saw(Sight::Concluded { target: attempt.target, event: &event, heard, took_ms });
        if let Some(purse) = purse {
            self.settle(header, &purse, heard).await;
        }
        done
    }

    async fn header(&self, batch: &BatchId) -> Result<Option<Arc<Batch>>, PortError> {
        let headers = || self.headers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(header) = headers().get(batch) {
            return Ok(Some(Arc::clone(header)));
        }
        let Some(header) = self.store().batch(batch).await? else { return Ok(None) };
        let header = Arc::new(header);
        let mut headers = headers();
        if headers.len() >= HEADERS_MAX {
            headers.clear();
        }
        headers.insert(batch.clone(), Arc::clone(&header));
        Ok(Some(header))
    }

    /// Counts an attempt, before anything is done or paid.
    async fn claim(&self, header: &Batch, message: &Message) -> Result<Claim, PortError> {
        let number = self.chance.lock().unwrap_or_else(PoisonError::into_inner).random();
        let holder = Holder(number);
        let started = Event::Started { target: message.target, holder };
        let policy = &header.settings.policy;
        let mut rebuilt = false;
        loop {
            let told = tell(
                &*self.ports.coordinator,
                &*self.ports.clock,
                policy,
                &message.batch,
                &message.sku,
                &started,
            )
            .await?;
            return Ok(match told {
                Told::Applied(now) => match held(&now.state, message.target, holder) {
                    Some(attempt) => Claim::Held(attempt, now),
                    None => Claim::Dropped("not held"),
                },
                Told::Stale(stale, now) => match (held(&now.state, message.target, holder), stale) {
                    // The answer to the commit was lost, but it had happened.
                    (Some(attempt), _) => Claim::Held(attempt, now),
                    (None, Stale::Terminal) => Claim::Dropped("ended already"),
                    // The lease is in the index: if it runs out, the sweeper makes the job
                    // ready again, so this message is not needed.
                    (None, Stale::Held { .. }) => Claim::Dropped("held by another worker"),
                    (None, Stale::NotReady) => Claim::Dropped("not ready"),
                    (None, Stale::Unknown | Stale::Attempt | Stale::Nothing) => Claim::Dropped("stale"),
                },
                Told::Missing if rebuilt => Claim::Dropped("forgotten"),
                Told::Missing => {
                    let made = rebuild_sku(&self.ports, header, &message.sku).await?;
                    if made.is_none() {
                        return Ok(Claim::NoSuchSku);
                    }
                    rebuilt = true;
                    continue;
                }
            });
        }
    }

    /// Does the claimed job, or finds it done; returns what to tell the document.
    async fn attempted(
        &self,
        header: &Arc<Batch>,
        attempt: Attempt,
        state: SkuState,
        stop: &CancellationToken,
        purse: &mut Option<Purse>,
    ) -> Result<Event, PortError> {
        let span = self.observer.begin(Step::Look);
        if let Some(event) = self.found(header, attempt, &state).instrument(span).await? {
            self.observer.saw(Sight::Found { target: attempt.target });
            pay::count_found_of(&self.ports, header, &state, attempt.target).await?;
            return Ok(event);
        }
        let span = self.observer.begin(Step::Gather);
        let Some(mut job) = self.gather(header, attempt, state, stop).instrument(span).await? else {
            let why = "the manifest has no entry for this SKU".to_owned();
            return Ok(Event::Failed { attempt, why });
        };
        match pay::reserve(&self.ports, header, &job).await? {
            Pay::Free => {}
            Pay::Refused(why) => return Ok(Event::OverBudget { attempt, why }),
            Pay::Later => {
                let wait_ms = header.settings.policy.backoff_ms(1, attempt.holder.0);
                return Ok(Event::PutOff { attempt, wait_ms });
            }
            Pay::Granted(granted) => {
                let key = granted.key;
                *purse = Some(granted);
                // Somebody who counts as dead may have paid while the money was put aside.
                if let Some(event) = self.found(header, attempt, &job.state).await? {
                    return Ok(event);
                }
                job.candidates = self.store().candidates(&key).await?;
            }
        }
        let outcome = self.worked(&job).await;
        match (outcome, attempt.target) {
            (Outcome::Job(result), Target::Role(role)) => {
                self.commit_job(&job, role, &result).instrument(self.observer.begin(Step::Commit)).await
            }
            (Outcome::Set(set), Target::Set) => {
                self.commit_set(&job, &set).instrument(self.observer.begin(Step::Commit)).await
            }
            (Outcome::Job(_), Target::Set) | (Outcome::Set(_), Target::Role(_)) => {
                Ok(Event::Failed { attempt, why: "the work answered another question".to_owned() })
            }
            (Outcome::Transient { why, retry_after_ms }, _) => {
                Ok(Event::Transient { attempt, why, retry_after_ms })
            }
            (Outcome::Failed { why }, _) => Ok(Event::Failed { attempt, why }),
            (Outcome::OverBudget { why }, _) => Ok(Event::OverBudget { attempt, why }),
            (Outcome::Interrupted, _) => Ok(Event::Interrupted { attempt }),
        }
    }

    /// Works under a lease that is renewed, and stops the work when the lease is lost. Work
    /// that ends all the same may still commit: the result is put only if there is none.
    async fn worked(&self, job: &ClaimedJob) -> Outcome {
        let working = AssertUnwindSafe(self.work.work(job)).catch_unwind();
        tokio::pin!(working);
        let ended = tokio::select! {
            biased;
            ended = &mut working => ended,
            () = self.keep_lease(job) => {
                job.stop.cancel();
                working.await
            }
        };
        ended.unwrap_or_else(|_| {
            warn!("work panicked; the job fails, other jobs go on");
            Outcome::Failed { why: "the work panicked, which is a bug: see the worker's log".to_owned() }
        })
    }

    /// Renews the lease three times in its length; returns when it is lost.
    async fn keep_lease(&self, job: &ClaimedJob) {
        let policy = &job.batch.settings.policy;
        let renewed = Event::Renewed { attempt: job.attempt };
        let (batch, sku) = (&job.state.batch, &job.state.sku);
        loop {
            self.ports.clock.sleep((policy.lease_ms / 3).max(1)).await;
            match tell(&*self.ports.coordinator, &*self.ports.clock, policy, batch, sku, &renewed).await {
                Ok(Told::Applied(_)) => {}
                Ok(Told::Stale(..) | Told::Missing) => {
                    debug!("the claim is gone; stopping the work");
                    return;
                }
                // Not knowing is not losing: the work goes on and the next renewal tells.
                Err(error) => warn!(%error, "could not renew the lease"),
            }
        }
    }

    /// Tells the document, `claimed` when it was last seen, the end of the attempt, and says
    /// whether it heard. If that cannot be told, the lease runs out and the sweeper finds what
    /// was committed.
    async fn conclude(&self, header: &Batch, claimed: Versioned, event: &Event) -> (bool, Driven) {
        let policy = &header.settings.policy;
        match tell_known(&*self.ports.coordinator, &*self.ports.clock, policy, claimed, event).await {
            Ok(Told::Applied(_)) => (true, Driven::Done("concluded")),
            Ok(Told::Stale(..)) => (false, Driven::Done("stale at the end")),
            Ok(Told::Missing) => (false, Driven::Done("forgotten meanwhile")),
            Err(error) => {
                warn!(%error, "could not conclude the job; its lease will run out");
                (false, Driven::Done("not concluded"))
            }
        }
    }
}

impl Driver {
    /// Counts what the attempt paid. What cannot be counted now, a sweeper counts later. Only
    /// an attempt that the document still knew at its end was certainly not counted before.
    async fn settle(&self, header: &Batch, purse: &Purse, heard: bool) {
        if let Err(error) = pay::settle(&self.ports, &header.batch, purse, heard).await {
            warn!(%error, "what the attempt paid could not be counted; a sweeper does it later");
        }
    }
}

enum Claim {
    Held(Attempt, Box<Versioned>),
    Dropped(&'static str),
    NoSuchSku,
}

/// The attempt by which `holder` holds `target`, if it does.
fn held(state: &SkuState, target: Target, holder: Holder) -> Option<Attempt> {
    let (number, present) = match target {
        Target::Role(role) => {
            let job = state.jobs.get(&role)?;
            let JobState::Running { holder, .. } = job.state else { return None };
            (job.attempts, holder)
        }
        Target::Set => {
            let SetState::Running { holder, .. } = state.set.state else { return None };
            (state.set.attempts, holder)
        }
    };
    let attempt = Attempt { incarnation: state.incarnation, target, number, holder };
    (present == holder).then_some(attempt)
}

fn again(error: &PortError) -> Driven {
    warn!(%error, "the job could not be claimed; its message comes again");
    Driven::Again { delay_ms: AGAIN_MS }
}

/// What a fault of a port means for the attempt: another try, because everything that can
/// be repeated harmlessly has been.
fn fault(attempt: Attempt, error: &PortError) -> Event {
    let retry_after_ms = match error {
        PortError::Coordinator(error) => error.retry_after_ms,
        PortError::Objects(error) => error.retry_after_ms,
    };
    warn!(%error, "the attempt failed on the world around it");
    Event::Transient { attempt, why: error.to_string(), retry_after_ms }
}
