//! One AMQP connection that cannot hang: it is made within a limit, its state can be
//! watched, and it can be cut off whatever the client believes.
//!
//! The client runs a thread of its own per connection, and that thread waits for ever for a
//! peer that accepts and then says nothing. So a second handle on the socket is kept: shutting
//! it down ends the thread, at login, in use, and when the peer does not answer the farewell.

use std::io;
use std::net::Shutdown;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{Stream, StreamExt};
use lapin::tcp::AsyncTcpStream;
use lapin::uri::AMQPScheme;
use lapin::{Channel, Connection, ConnectionProperties, ConnectionStatus, Event};
use packshot_runtime::port::{BrokerError, BrokerFault};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::fault::{fault, late, plain, within};
use super::settings::RabbitSettings;

/// How often the client's own opinion of the connection is looked at, besides its events.
const LOOK: Duration = Duration::from_secs(1);
/// How long the farewell may take before the socket is shut.
const FAREWELL: Duration = Duration::from_secs(2);

/// What a connection is at the moment.
#[derive(Clone, Debug)]
pub(super) enum LinkState {
    /// Usable.
    Open,
    /// The server takes no publishes: it is short of memory or disk.
    Blocked {
        /// Since when.
        since: Instant,
        /// The server's words.
        reason: String,
    },
    /// Gone for good.
    Dead {
        /// Why.
        reason: String,
    },
}

/// One connection.
pub(super) struct Link {
    connection: Connection,
    socket: Socket,
    state: watch::Receiver<LinkState>,
    answer_limit: Duration,
}

impl Link {
    /// Connects and logs in.
    pub(super) async fn open(settings: &RabbitSettings, name: &str) -> Result<Link, BrokerError> {
        let doing = format!("connecting to RabbitMQ at {}", settings.place());
        let uri = settings.uri().map_err(|problem| plain(BrokerFault::Refused, problem))?;
        let tls = settings.tls().await?;
        let runtime = lapin::runtime::default_runtime().map_err(|error| fault(&doing, error))?;
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let limit = settings.connect_timeout();
        let socket = Socket::default();
        let kept = socket.clone();
        let connecting = Connection::connector(
            uri,
            runtime,
            async move |uri, runtime| {
                let dial = async {
                    let place = (uri.authority.host.clone(), uri.authority.port);
                    let stream = AsyncTcpStream::connect(&runtime, runtime.to_socket_addrs(place)).await?;
                    if let AsyncTcpStream::Plain(stream) = &stream {
                        kept.keep(stream.get_ref())?;
                    }
                    match uri.scheme {
                        AMQPScheme::AMQP => Ok(stream),
                        AMQPScheme::AMQPS => stream.into_tls(&uri.authority.host, tls.as_ref()).await,
                    }
                };
                let dialled = tokio::time::timeout(limit, dial).await;
                dialled.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(lapin::Error::from)
            },
            properties,
        );
        let connected = tokio::time::timeout(limit, connecting).await;
        let connection = match connected {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => {
                socket.shut();
                return Err(fault(&doing, error));
            }
            Err(_) => {
                socket.shut();
                return Err(late(&doing, limit));
            }
        };
        let (tell, state) = watch::channel(LinkState::Open);
        let status = connection.status().clone();
        tokio::spawn(watch_over(status, connection.events_listener(), socket.clone(), tell));
        Ok(Link { connection, socket, state, answer_limit: settings.confirm_timeout() })
    }

    /// A new channel.
    pub(super) async fn channel(&self) -> Result<Channel, BrokerError> {
        within(self.answer_limit, "opening a channel", self.connection.create_channel()).await
    }

    /// What the connection is now.
    pub(super) fn state(&self) -> LinkState {
        self.state.borrow().clone()
    }

    /// The state, to be watched from elsewhere.
    pub(super) fn watch(&self) -> watch::Receiver<LinkState> {
        self.state.clone()
    }

    /// Whether it can still be used, blocked or not.
    pub(super) fn alive(&self) -> bool {
        !self.socket.is_shut()
            && !matches!(*self.state.borrow(), LinkState::Dead { .. })
            && self.connection.status().connected()
    }

    /// Cuts the connection off; everything that waits for it fails.
    pub(super) fn cut(&self) {
        self.socket.shut();
    }

    /// Says farewell to the server.
    pub(super) async fn close(&self) {
        let farewell = self.connection.close(200, "goodbye".into());
        if within(FAREWELL, "closing the connection", farewell).await.is_err() {
            self.cut();
        }
    }
}

/// A second handle on a connection's socket.
#[derive(Clone, Default)]
struct Socket(Arc<Mutex<Handle>>);

#[derive(Default)]
enum Handle {
    #[default]
    NotYet,
    Open(std::net::TcpStream),
    Shut,
}

impl Socket {
    /// Keeps a handle on `stream`, unless the connection has been given up already.
    fn keep(&self, stream: &tokio::net::TcpStream) -> io::Result<()> {
        let second = second_handle(stream)?;
        let mut handle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*handle, Handle::Shut) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        *handle = Handle::Open(second);
        Ok(())
    }

    fn is_shut(&self) -> bool {
        matches!(*self.0.lock().unwrap_or_else(PoisonError::into_inner), Handle::Shut)
    }

    /// Shuts the socket in both directions and lets go of it.
    fn shut(&self) {
        let mut handle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Handle::Open(stream) = std::mem::replace(&mut *handle, Handle::Shut) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

#[cfg(unix)]
fn second_handle(stream: &tokio::net::TcpStream) -> io::Result<std::net::TcpStream> {
    use std::os::fd::AsFd;
    stream.as_fd().try_clone_to_owned().map(std::net::TcpStream::from)
}

#[cfg(windows)]
fn second_handle(stream: &tokio::net::TcpStream) -> io::Result<std::net::TcpStream> {
    use std::os::windows::io::AsSocket;
    stream.as_socket().try_clone_to_owned().map(std::net::TcpStream::from)
}

/// Tells what becomes of a connection, and shuts its socket when it is over.
async fn watch_over(
    status: ConnectionStatus,
    events: impl Stream<Item = Event>,
    socket: Socket,
    tell: watch::Sender<LinkState>,
) {
    let mut events = std::pin::pin!(events);
    let mut look = tokio::time::interval(LOOK);
    let mut last_error = None;
    loop {
        tokio::select! {
            () = tell.closed() => {
                // The owner let go; the client is saying farewell.
                tokio::time::sleep(FAREWELL).await;
                break;
            }
            event = events.next() => match event {
                Some(Event::ConnectionBlocked(reason)) => {
                    warn!(reason, "RabbitMQ takes no publishes");
                    let _ = tell.send(LinkState::Blocked { since: Instant::now(), reason });
                }
                Some(Event::ConnectionUnblocked) => {
                    warn!("RabbitMQ takes publishes again");
                    let _ = tell.send(LinkState::Open);
                }
                Some(Event::Error(error)) => last_error = Some(error.to_string()),
                Some(_) => {}
                None => break,
            },
            _ = look.tick() => {}
        }
        if !status.connected() {
            break;
        }
    }
    let reason = last_error.unwrap_or_else(|| "the connection is closed".to_owned());
    debug!(reason, "a connection to RabbitMQ is over");
    let _ = tell.send(LinkState::Dead { reason });
    socket.shut();
}
