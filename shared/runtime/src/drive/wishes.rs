//! What the operators want of a batch, looked at before a claim: messages that were sent
//! before a pause or a cancel must not start afterwards.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use packshot_pipeline::ids::BatchId;
use packshot_pipeline::manifest::Batch;
use packshot_pipeline::pool::Pool;
use packshot_pipeline::state::Event;
use tracing::warn;

use super::Driver;
use crate::port::{CoordinatorError, Message, Running};
use crate::tell::tell;

/// For how long what was seen is believed, in milliseconds: a pause acts within this time.
const BELIEVED_MS: u64 = 1_000;

/// How long a dispatcher may take to note that it sent a message, in milliseconds.
const NOTED_MS: u64 = 500;

/// What was last seen, and when.
#[derive(Debug, Default)]
pub(super) struct Wishes(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    at_ms: Option<u64>,
    running: BTreeMap<BatchId, Running>,
}

impl Driver {
    /// Why the message's job is not to be started now, once everything that follows from
    /// that is done; `None` when it is.
    pub(super) async fn held_back(
        &self,
        header: &Batch,
        message: &Message,
    ) -> Result<Option<&'static str>, CoordinatorError> {
        let mut wish = self.wish(&message.batch, BELIEVED_MS).await;
        if wish == Running::Paused {
            // Not believed without a look: after a resume, a message that is given back before
            // the dispatcher has noted that it was sent would be taken for waiting in the queue.
            wish = self.wish(&message.batch, 0).await;
        }
        match wish {
            Running::Yes => Ok(None),
            Running::Paused => {
                let loaded = self.ports.coordinator.load(&message.batch, &message.sku).await?;
                if let Some(pool) = loaded.and_then(|loaded| loaded.state.pool(message.target)) {
                    self.give_back(message, pool).await?;
                }
                Ok(Some("the batch is paused"))
            }
            Running::Cancelled => {
                let policy = &header.settings.policy;
                let (batch, sku) = (&message.batch, &message.sku);
                tell(&*self.ports.coordinator, &*self.ports.clock, policy, batch, sku, &Event::Cancel)
                    .await?;
                Ok(Some("the batch is cancelled"))
            }
        }
    }

    /// Makes the slot of a message that is not kept ready again. A message may be here before
    /// its dispatcher has noted that it was sent, which would take the slot away once more
    /// until the sweep; so it is done again when that is over. Sent twice does no harm.
    async fn give_back(&self, message: &Message, pool: Pool) -> Result<(), CoordinatorError> {
        let (batch, slot) = (&message.batch, [message.slot()]);
        let now_ms = self.ports.clock.now_ms();
        self.ports.coordinator.mark_ready(batch, pool, &slot, now_ms).await?;
        self.ports.clock.sleep(NOTED_MS).await;
        self.ports.coordinator.mark_ready(batch, pool, &slot, now_ms).await
    }

    /// What is wanted of `batch`, as seen at most so many milliseconds ago.
    async fn wish(&self, batch: &BatchId, believed_ms: u64) -> Running {
        let now_ms = self.ports.clock.now_ms();
        let seen = || self.wishes.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = {
            let mut seen = seen();
            let due = seen.at_ms.is_none_or(|at_ms| now_ms.saturating_sub(at_ms) >= believed_ms);
            // One asks, the others go by what was seen before.
            seen.at_ms = if due { Some(now_ms) } else { seen.at_ms };
            due
        };
        if due {
            match self.ports.coordinator.batches().await {
                Ok(controls) => {
                    let running = controls.into_iter().map(|control| (control.batch, control.running));
                    seen().running = running.collect();
                }
                Err(error) => warn!(%error, "could not see which batches are paused"),
            }
        }
        // A batch that the coordinator has lost was open when the message was sent.
        seen().running.get(batch).copied().unwrap_or(Running::Yes)
    }
}
