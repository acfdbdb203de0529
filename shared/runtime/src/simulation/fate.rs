//! What happens when: every decision of a run comes from one generator.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, MonotonicClock};

/// What befalls one call of a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Blow {
    None,
    CrashBefore,
    CrashAfter,
    FailBefore,
    FailAfter,
    StallBefore(u64),
    StallAfter(u64),
}

#[derive(Default, Debug)]
pub(super) struct Counts {
    pub(super) crashes: u64,
    pub(super) stalls: u64,
    pub(super) draws: u64,
}

pub(super) struct Fate {
    pub(super) seed: u64,
    chance: Mutex<StdRng>,
    /// In how many of 1,000 calls something goes wrong.
    malice: u64,
    /// When the world becomes kind, so that everything can end.
    pub(super) kind_from_ms: u64,
    pub(super) clock: MonotonicClock,
    pub(super) counts: Mutex<Counts>,
    pub(super) wrong: Mutex<Vec<String>>,
    /// Paid calls by attempt and job.
    pub(super) paid: Mutex<BTreeMap<String, u64>>,
    /// When each result and candidate was first stored, by job.
    pub(super) stored: Mutex<BTreeMap<String, u64>>,
}

pub(super) const START_MS: u64 = 1_700_000_000_000;

impl Fate {
    pub(super) fn new(seed: u64) -> Arc<Self> {
        let mut chance = StdRng::seed_from_u64(seed);
        let malice = chance.random_range(0..60);
        // Now and then the world is kind from the start.
        let is_kind = chance.random_range(0..20) == 0;
        let kind_from_ms = START_MS + if is_kind { 0 } else { chance.random_range(1_000..40_000) };
        Arc::new(Self {
            seed,
            chance: Mutex::new(chance),
            malice,
            kind_from_ms,
            clock: MonotonicClock::starting_at(START_MS),
            counts: Mutex::default(),
            wrong: Mutex::default(),
            paid: Mutex::default(),
            stored: Mutex::default(),
        })
    }

    pub(super) fn draw(&self, range: std::ops::Range<u64>) -> u64 {
        self.counts.lock().unwrap().draws += 1;
        self.chance.lock().unwrap().random_range(range)
    }

    pub(super) fn is_kind(&self) -> bool {
        self.clock.now_ms() >= self.kind_from_ms
    }

    pub(super) fn blow(&self) -> Blow {
        if self.is_kind() || self.draw(0..1_000) >= self.malice {
            return Blow::None;
        }
        let blow = match self.draw(0..8) {
            0 | 1 => Blow::CrashBefore,
            2 | 3 => Blow::CrashAfter,
            4 => Blow::FailBefore,
            5 => Blow::FailAfter,
            6 => Blow::StallBefore(self.draw(1..9_000)),
            _ => Blow::StallAfter(self.draw(1..9_000)),
        };
        let mut counts = self.counts.lock().unwrap();
        match blow {
            Blow::CrashBefore | Blow::CrashAfter => counts.crashes += 1,
            Blow::StallBefore(_) | Blow::StallAfter(_) => counts.stalls += 1,
            Blow::None | Blow::FailBefore | Blow::FailAfter => {}
        }
        blow
    }

    /// Lets others run, for a moment or two.
    pub(super) async fn pause(&self) {
        if self.is_kind() {
            return;
        }
        match self.draw(0..4) {
            0 => {}
            1 => tokio::task::yield_now().await,
            _ => self.clock.sleep(self.draw(0..20)).await,
        }
    }

    pub(super) fn blame(&self, what: String) {
        self.wrong.lock().unwrap().push(what);
    }
}

/// A process that can be killed at any await.
#[derive(Clone)]
pub(super) struct Process {
    pub(super) fate: Arc<Fate>,
    pub(super) killed: CancellationToken,
}

impl Process {
    pub(super) async fn die<T>(&self) -> T {
        self.killed.cancel();
        std::future::pending().await
    }

    /// Calls `effect` under fate; `None`: the caller is told that it failed.
    pub(super) async fn under_fate<T>(&self, effect: impl Future<Output = T>) -> Option<T> {
        self.fate.pause().await;
        match self.fate.blow() {
            Blow::None => Some(effect.await),
            Blow::CrashBefore => self.die().await,
            Blow::CrashAfter => {
                effect.await;
                self.die().await
            }
            Blow::FailBefore => None,
            Blow::FailAfter => {
                effect.await;
                None
            }
            Blow::StallBefore(ms) => {
                self.fate.clock.sleep(ms).await;
                Some(effect.await)
            }
            Blow::StallAfter(ms) => {
                let done = effect.await;
                self.fate.clock.sleep(ms).await;
                Some(done)
            }
        }
    }
}
