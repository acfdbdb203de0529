//! The publishing side: one task with a connection and a channel of its own, which gathers
//! what callers hand in into rounds (see [`super::confirms`]), makes a new connection when
//! the old one is no longer to be trusted, and answers every caller within a limit.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use lapin::Channel;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use packshot_runtime::port::{BrokerError, BrokerFault};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tracing::{info, warn};

use super::backoff::Backoff;
use super::confirms::Round;
use super::fault::{plain, within};
use super::form::Post;
use super::health::{Connecting, Health};
use super::link::{Link, LinkState};
use super::settings::RabbitSettings;
use super::topology::{self, Names};

/// Publishes of one round: enough to keep the server's disk busy, few enough that a broken
/// round leaves few of unknown outcome.
const ROUND_MAX: usize = 1_000;
/// Callers that may queue before the task looks at them.
const CALLERS_MAX: usize = 64;

type Outcomes = Vec<Result<(), BrokerError>>;

/// The handle of the publishing task; the task ends when the last handle is dropped.
#[derive(Clone)]
pub(super) struct Publisher {
    requests: mpsc::Sender<Request>,
}

/// What one caller hands in.
struct Request {
    posts: Vec<Post>,
    since: Instant,
    answer: oneshot::Sender<Outcomes>,
}

impl Request {
    /// Answers all of it with the same error.
    fn refuse(self, kind: BrokerFault, what: &str) {
        let outcomes = self.posts.iter().map(|_| Err(plain(kind, what))).collect();
        let _ = self.answer.send(outcomes);
    }
}

impl Publisher {
    /// Connects, declares the topology and starts the task.
    pub(super) async fn open(
        settings: Arc<RabbitSettings>,
        names: Arc<Names>,
        health: Arc<Health>,
    ) -> Result<Self, BrokerError> {
        let session = Session::open(&settings, &names).await?;
        health.publisher.connected(session.link.watch());
        let (requests, received) = mpsc::channel(CALLERS_MAX);
        let task = Task {
            settings,
            names,
            health,
            requests: received,
            waiting: VecDeque::new(),
            last_error: String::new(),
        };
        tokio::spawn(task.run(session));
        Ok(Self { requests })
    }

    /// Publishes and waits for the confirmations; one outcome each, in order.
    pub(super) async fn publish(&self, posts: Vec<Post>) -> Outcomes {
        let count = posts.len();
        if count == 0 {
            return Vec::new();
        }
        let (answer, answered) = oneshot::channel();
        let request = Request { posts, since: Instant::now(), answer };
        let gone = |kind| (0..count).map(|_| Err(plain(kind, "the publisher has stopped"))).collect();
        if self.requests.send(request).await.is_err() {
            return gone(BrokerFault::Unavailable);
        }
        // The task answers within the limits of the settings whatever the server does.
        answered.await.unwrap_or_else(|_| gone(BrokerFault::Unconfirmed))
    }

    /// Publishes one.
    pub(super) async fn publish_one(&self, post: Post) -> Result<(), BrokerError> {
        let outcome = self.publish(vec![post]).await.pop();
        outcome.unwrap_or_else(|| Err(plain(BrokerFault::Unconfirmed, "the publisher has stopped")))
    }
}

/// A connection and a channel in confirm mode.
struct Session {
    link: Link,
    channel: Channel,
    state: watch::Receiver<LinkState>,
}

impl Session {
    async fn open(settings: &RabbitSettings, names: &Names) -> Result<Self, BrokerError> {
        let link = Link::open(settings, &format!("{} publisher", settings.prefix)).await?;
        let channel = link.channel().await?;
        topology::declare(&channel, names, settings).await?;
        let selecting = channel.confirm_select(ConfirmSelectOptions::default());
        within(settings.confirm_timeout(), "asking for confirmations", selecting).await?;
        let state = link.watch();
        Ok(Self { link, channel, state })
    }

    /// Declares the topology again on a channel of its own: a queue or binding is gone.
    async fn heal(&self, settings: &RabbitSettings, names: &Names) -> Result<(), BrokerError> {
        let channel = self.link.channel().await?;
        topology::declare(&channel, names, settings).await
    }

    /// Publishes one round; says what broke when not every confirmation came.
    async fn round(&self, settings: &RabbitSettings, posts: &[Post]) -> (Round, String) {
        let mut round = Round::new(posts.len());
        let mut why = format!("no answer within {} ms", settings.confirm_timeout_ms);
        let sending = |(index, post): (usize, &Post)| {
            let channel = &self.channel;
            let post = post.clone();
            async move {
                let options = BasicPublishOptions { mandatory: true, immediate: false };
                let publishing = channel.basic_publish(
                    post.exchange,
                    post.routing_key,
                    options,
                    &post.body,
                    post.properties,
                );
                let confirmed = match publishing.await {
                    Ok(confirm) => confirm.await,
                    Err(error) => Err(error),
                };
                (index, confirmed)
            }
        };
        let mut pending: FuturesUnordered<_> = posts.iter().enumerate().map(sending).collect();
        let deadline = Instant::now() + settings.confirm_timeout();
        while let Ok(Some((index, confirmed))) = tokio::time::timeout_at(deadline, pending.next()).await {
            match confirmed {
                Ok(confirmation) => round.came(index, confirmation),
                Err(error) => why = error.to_string(),
            }
        }
        (round, why)
    }
}

/// Why the task stopped using a session.
enum Ended {
    /// Every handle is dropped.
    Stopped,
    /// The session is not to be trusted any more.
    Broken,
}

struct Task {
    settings: Arc<RabbitSettings>,
    names: Arc<Names>,
    health: Arc<Health>,
    requests: mpsc::Receiver<Request>,
    waiting: VecDeque<Request>,
    /// What the last try to connect failed with, for the callers that wait.
    last_error: String,
}

impl Task {
    async fn run(mut self, mut session: Session) {
        loop {
            match self.serve(&mut session).await {
                Ended::Stopped => return session.link.close().await,
                Ended::Broken => session.link.cut(),
            }
            session = match self.connect().await {
                Some(session) => session,
                None => return,
            };
        }
    }

    /// Connects until it succeeds; `None` when every handle is dropped.
    async fn connect(&mut self) -> Option<Session> {
        let mut backoff = Backoff::new();
        loop {
            let wait = backoff.next();
            self.meanwhile(tokio::time::sleep(wait)).await?;
            let (settings, names) = (Arc::clone(&self.settings), Arc::clone(&self.names));
            match self.meanwhile(Session::open(&settings, &names)).await? {
                Ok(session) => {
                    info!("the publisher is connected to RabbitMQ again");
                    self.health.publisher.connected(session.link.watch());
                    return Some(session);
                }
                Err(error) => {
                    warn!(error = Connecting(&error).to_string(), "the publisher cannot connect to RabbitMQ");
                    self.health.publisher.failed(&error);
                    self.last_error = Connecting(&error).to_string();
                    if error.kind == BrokerFault::Refused {
                        let what = self.last_error.clone();
                        self.waiting.drain(..).for_each(|request| request.refuse(error.kind, &what));
                    }
                }
            }
        }
    }

    /// Drives `what`, while taking requests in and giving those up that waited too long.
    /// `None` when every handle is dropped and nobody waits for an answer.
    async fn meanwhile<T>(&mut self, what: impl Future<Output = T>) -> Option<T> {
        let mut what = std::pin::pin!(what);
        loop {
            let oldest = self.waiting.front().map(|request| request.since + self.settings.confirm_timeout());
            let expiry = tokio::time::sleep_until(oldest.unwrap_or_else(Instant::now));
            tokio::select! {
                done = &mut what => return Some(done),
                () = expiry, if oldest.is_some() => {
                    let text = format!("not connected to RabbitMQ: {}", self.last_error);
                    if let Some(request) = self.waiting.pop_front() {
                        request.refuse(BrokerFault::Unavailable, &text);
                    }
                }
                request = self.requests.recv() => match request {
                    Some(request) => self.waiting.push_back(request),
                    None => return None,
                },
            }
        }
    }

    /// Serves callers until the session breaks.
    async fn serve(&mut self, session: &mut Session) -> Ended {
        loop {
            match session.link.state() {
                LinkState::Open => {}
                LinkState::Blocked { since, reason } => {
                    let seconds = since.elapsed().as_secs();
                    let text = format!("RabbitMQ takes no publishes since {seconds} s: {reason}");
                    let waiting = self.waiting.drain(..);
                    waiting.for_each(|request| request.refuse(BrokerFault::Unavailable, &text));
                }
                LinkState::Dead { reason } => {
                    self.lost(&reason);
                    return Ended::Broken;
                }
            }
            if let Some(request) = self.waiting.pop_front() {
                let requests = self.gather(request);
                if !self.publish(session, requests).await {
                    return self.give_up(session).await;
                }
                continue;
            }
            tokio::select! {
                biased;
                changed = session.state.changed() => if changed.is_err() { return Ended::Broken },
                request = self.requests.recv() => match request {
                    Some(request) => self.waiting.push_back(request),
                    None => return Ended::Stopped,
                },
            }
        }
    }

    /// `first` and whatever else is there already, about a round of it.
    fn gather(&mut self, first: Request) -> Vec<Request> {
        let mut count = first.posts.len();
        let mut requests = vec![first];
        while count < ROUND_MAX {
            let next = self.waiting.pop_front().or_else(|| self.requests.try_recv().ok());
            let Some(next) = next else { break };
            count += next.posts.len();
            requests.push(next);
        }
        requests
    }

    /// Publishes all of `requests` and answers them; `false` when the session broke.
    async fn publish(&mut self, session: &Session, mut requests: Vec<Request>) -> bool {
        let counts: Vec<usize> = requests.iter().map(|request| request.posts.len()).collect();
        let posts: Vec<Post> =
            requests.iter_mut().flat_map(|request| std::mem::take(&mut request.posts)).collect();
        let mut outcomes: Outcomes = Vec::with_capacity(posts.len());
        let mut whole = true;
        let mut returned = false;
        for chunk in posts.chunks(ROUND_MAX) {
            let (round, why) = session.round(&self.settings, chunk).await;
            returned |= round.has_returns();
            outcomes.extend(round.outcomes(chunk, &why));
            if !round.is_complete() {
                whole = false;
                self.lost(&why);
                break;
            }
        }
        let rest = outcomes.len()..posts.len();
        let not_sent = "not published: the connection to RabbitMQ broke before";
        outcomes.extend(rest.map(|_| Err(plain(BrokerFault::Unavailable, not_sent))));
        let mut outcomes = outcomes.into_iter();
        for (request, count) in requests.into_iter().zip(counts) {
            let own = outcomes.by_ref().take(count).collect();
            // A caller that no longer waits needs no answer.
            let _ = request.answer.send(own);
        }
        if returned && whole {
            warn!("RabbitMQ returned a publish that no queue takes; declaring the queues again");
            if let Err(error) = session.heal(&self.settings, &self.names).await {
                warn!(error = Connecting(&error).to_string(), "the queues cannot be declared again");
            }
        }
        whole
    }

    /// A round stayed without answers. The channel is not used again, because late
    /// confirmations would mix with those of the next round. A blocked connection is kept
    /// until it is unblocked or gone: a new one would not know that it is blocked.
    async fn give_up(&mut self, session: &mut Session) -> Ended {
        while let LinkState::Blocked { since, reason } = session.link.state() {
            let text = format!("RabbitMQ takes no publishes since {} s: {reason}", since.elapsed().as_secs());
            self.waiting.drain(..).for_each(|request| request.refuse(BrokerFault::Unavailable, &text));
            tokio::select! {
                changed = session.state.changed() => if changed.is_err() { break },
                request = self.requests.recv() => match request {
                    Some(request) => self.waiting.push_back(request),
                    None => return Ended::Stopped,
                },
            }
        }
        Ended::Broken
    }

    fn lost(&mut self, reason: &str) {
        warn!(reason, "the publisher's connection to RabbitMQ is lost");
        reason.clone_into(&mut self.last_error);
        let error = plain(BrokerFault::Unavailable, reason);
        self.health.publisher.failed(&error);
    }
}
