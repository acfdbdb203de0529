//! Hints that something changed: published at most so often per process however much
//! changes, and heard on a connection of its own. A hint saves waiting and nothing else,
//! so a lost one does no harm.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use redis::{Cmd, RedisResult};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::link::{Link, Request};

/// After how much silence the listening connection is tried.
const PING_AFTER: Duration = Duration::from_secs(10);
/// The wait before the listening connection is made again; doubles.
const AGAIN_MIN: Duration = Duration::from_millis(100);
/// The longest such wait.
const AGAIN_MAX: Duration = Duration::from_secs(5);

/// Says and hears that something changed. Its tasks end when it is dropped.
pub(super) struct Hints {
    shared: Arc<Shared>,
    saying: Task,
    hearing: OnceLock<Task>,
}

struct Shared {
    link: Arc<Link>,
    channel: String,
    every: Duration,
    to_say: Notify,
    count: AtomicU64,
    heard: Notify,
}

struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn task(work: impl Future<Output = ()> + Send + 'static) -> Task {
    Task(tokio::spawn(work).abort_handle())
}

impl Hints {
    /// Hints on `channel`, said at most once in `every`.
    pub(super) fn new(link: Arc<Link>, channel: String, every: Duration) -> Self {
        let (to_say, heard) = (Notify::new(), Notify::new());
        let shared = Arc::new(Shared { link, channel, every, to_say, count: AtomicU64::new(1), heard });
        let saying = task(say(Arc::clone(&shared)));
        Self { shared, saying, hearing: OnceLock::new() }
    }

    /// Lets everybody know, soon.
    pub(super) fn say(&self) {
        self.shared.to_say.notify_one();
    }

    /// Returns when something may have changed since the call that returned `seen`.
    pub(super) async fn changed(&self, seen: u64) -> u64 {
        self.hearing.get_or_init(|| task(hear(Arc::clone(&self.shared))));
        loop {
            // Created before the look, so that a change in between is not missed.
            let heard = self.shared.heard.notified();
            let now = self.shared.count.load(Ordering::SeqCst);
            if now != seen {
                return now;
            }
            heard.await;
        }
    }
}

impl std::fmt::Debug for Hints {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hints").field("saying", &self.saying.0.id()).finish_non_exhaustive()
    }
}

impl Shared {
    fn bump(&self) {
        self.count.fetch_add(1, Ordering::SeqCst);
        self.heard.notify_waiters();
    }
}

async fn say(shared: Arc<Shared>) {
    let mut publish = Cmd::new();
    publish.arg("PUBLISH").arg(&shared.channel).arg("");
    loop {
        shared.to_say.notified().await;
        if let Err(error) = shared.link.once(Request::One(&publish)).await {
            debug!(%error, "a hint could not be published");
        }
        tokio::time::sleep(shared.every).await;
    }
}

async fn hear(shared: Arc<Shared>) {
    let mut again = AGAIN_MIN;
    let mut told = false;
    loop {
        match subscribed(&shared, &mut again).await {
            Ok(()) => told = false,
            // Once for each time that it stops working.
            Err(error) if !told => {
                told = true;
                let error = shared.link.named.error("listening for changes", &error);
                warn!(%error, "changes are noticed later until this works again");
            }
            Err(error) => debug!(%error, "still not listening for changes"),
        }
        tokio::time::sleep(again).await;
        again = (again * 2).min(AGAIN_MAX);
    }
}

/// One subscription, until its connection is gone; an error when it did not come about.
async fn subscribed(shared: &Shared, again: &mut Duration) -> RedisResult<()> {
    let link = &shared.link;
    let connecting = link.client().get_async_pubsub();
    let (mut sink, mut stream) = within(link.connect_timeout(), connecting).await?.split();
    within(link.response_timeout(), sink.subscribe(&shared.channel)).await?;
    *again = AGAIN_MIN;
    // Whatever was said while nobody listened.
    shared.bump();
    loop {
        match timeout(PING_AFTER, stream.next()).await {
            Ok(Some(_)) => {
                shared.bump();
                // Many processes say it many times: once in a while is enough to hear it.
                tokio::time::sleep(shared.every).await;
                let mut more = false;
                while let Some(Some(_)) = stream.next().now_or_never() {
                    more = true;
                }
                if more {
                    shared.bump();
                }
            }
            Ok(None) => return Ok(()),
            Err(_) => {
                if within(link.response_timeout(), sink.ping::<redis::Value>()).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
}

async fn within<T>(limit: Duration, work: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    let timed_out = || std::io::Error::from(std::io::ErrorKind::TimedOut).into();
    timeout(limit, work).await.unwrap_or_else(|_| Err(timed_out()))
}
