//! A TCP proxy that does harm on demand: it stands between a client and a server and can be
//! told, at any time, to lose, hold up or cut what passes through it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// What the proxy does to every connection, old and new.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Mode {
    /// Nothing.
    Pass,
    /// Connections are accepted and reset at once; open ones are reset.
    Reset,
    /// Connections are accepted and stay open; all bytes vanish in both directions.
    BlackHole,
    /// Bytes reach the server; its answers vanish.
    HalfOpen,
    /// At most so many bytes per second pass in each direction of each connection.
    Drip(u32),
    /// Every byte arrives so much later, in each direction.
    Delay(Duration),
}

/// What is in force.
#[derive(Clone, Copy)]
struct Orders {
    mode: Mode,
    /// How often everything that was open has been cut.
    cuts: u64,
}

/// A running proxy; dropping it closes it and its connections.
pub(crate) struct Proxy {
    address: SocketAddr,
    orders: watch::Sender<Orders>,
    open: Arc<AtomicUsize>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port of the loopback and passes everything on to `upstream`.
    pub(crate) async fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let orders = watch::Sender::new(Orders { mode: Mode::Pass, cuts: 0 });
        let open = Arc::new(AtomicUsize::new(0));
        let (ordered, counted) = (orders.clone(), Arc::clone(&open));
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let connection = Connection { orders: ordered.subscribe(), upstream };
                let count = Count::new(&counted);
                tokio::spawn(async move {
                    connection.run(client).await;
                    drop(count);
                });
            }
        });
        Self { address, orders, open, accepting }
    }

    /// Where clients connect to.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on.
    pub(crate) fn set(&self, mode: Mode) {
        self.orders.send_modify(|orders| orders.mode = mode);
    }

    /// Resets the connections that are open; new ones are treated as before.
    pub(crate) fn cut(&self) {
        self.orders.send_modify(|orders| orders.cuts += 1);
    }

    /// Connections that are open.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.set(Mode::Reset);
        self.accepting.abort();
    }
}

/// Counts one connection while it lives.
struct Count(Arc<AtomicUsize>);

impl Count {
    fn new(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(open))
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Connection {
    orders: watch::Receiver<Orders>,
    upstream: SocketAddr,
}

/// Which way bytes go.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Up,
    Down,
}

impl Connection {
    async fn run(mut self, client: TcpStream) {
        let _ = client.set_nodelay(true);
        let Orders { mode, cuts } = *self.orders.borrow_and_update();
        if mode == Mode::Reset {
            let _ = client.set_zero_linger();
            return;
        }
        if mode == Mode::BlackHole {
            // Nobody answers, until the proxy is told otherwise; then the client is cut.
            let _ = self.orders.changed().await;
            let _ = client.set_zero_linger();
            return;
        }
        let Ok(server) = TcpStream::connect(self.upstream).await else {
            let _ = client.set_zero_linger();
            return;
        };
        let _ = server.set_nodelay(true);
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let up = pump(from_client, to_server, Way::Up, self.orders.clone());
        let down = pump(from_server, to_client, Way::Down, self.orders.clone());
        let cut = cut(self.orders.clone(), cuts);
        tokio::select! {
            biased;
            () = cut => {}
            _ = async { tokio::join!(up, down) } => {}
        }
    }
}

/// Waits until the connection has to be reset: now, or because bytes of it were lost.
async fn cut(mut orders: watch::Receiver<Orders>, cuts_before: u64) {
    let mut lost = false;
    loop {
        let Orders { mode, cuts } = *orders.borrow_and_update();
        if cuts != cuts_before {
            return;
        }
        match mode {
            Mode::Reset => return,
            Mode::BlackHole | Mode::HalfOpen => lost = true,
            Mode::Pass | Mode::Drip(_) | Mode::Delay(_) if lost => return,
            Mode::Pass | Mode::Drip(_) | Mode::Delay(_) => {}
        }
        if orders.changed().await.is_err() {
            return;
        }
    }
}

/// A half that says no farewell when it is dropped, so that a reset is the first thing the
/// other side sees.
struct Quiet(Option<OwnedWriteHalf>);

impl Drop for Quiet {
    fn drop(&mut self) {
        if let Some(half) = self.0.take() {
            half.forget();
        }
    }
}

/// Carries bytes one way until either side ends; the sockets are reset when this is dropped
/// before.
async fn pump(mut from: OwnedReadHalf, to: OwnedWriteHalf, way: Way, orders: watch::Receiver<Orders>) {
    let mut to = Quiet(Some(to));
    let _ = from.as_ref().set_zero_linger();
    let (queue, mut queued) = mpsc::channel::<(Instant, Vec<u8>)>(64);
    let reading = orders.clone();
    let read = async move {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(count) = from.read(&mut buffer).await {
            let lost = match reading.borrow().mode {
                Mode::BlackHole => true,
                Mode::HalfOpen => way == Way::Down,
                Mode::Pass | Mode::Reset | Mode::Drip(_) | Mode::Delay(_) => false,
            };
            if count == 0 {
                return;
            }
            if !lost && queue.send((Instant::now(), buffer[..count].to_vec())).await.is_err() {
                return;
            }
        }
    };
    let write = async move {
        while let Some((came, bytes)) = queued.recv().await {
            let now = orders.borrow().mode;
            if let Mode::Delay(delay) = now {
                tokio::time::sleep_until(came + delay).await;
            }
            let Some(to) = to.0.as_mut() else { return };
            if write(to, &bytes, now).await.is_err() {
                return;
            }
        }
        if let Some(to) = to.0.as_mut() {
            let _ = to.shutdown().await;
        }
    };
    tokio::join!(read, write);
}

async fn write(to: &mut OwnedWriteHalf, bytes: &[u8], mode: Mode) -> std::io::Result<()> {
    let Mode::Drip(per_second) = mode else { return to.write_all(bytes).await };
    let each = (per_second / 10).max(1) as usize;
    for slice in bytes.chunks(each) {
        to.write_all(slice).await?;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// A server that sends back what it gets.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    address
}

async fn ask(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"hello").await?;
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).await?;
    assert_eq!(&answer, b"hello");
    Ok(())
}

#[tokio::test]
async fn the_proxy_does_what_it_is_told() {
    let proxy = Proxy::start(echo().await).await;
    let connect = || TcpStream::connect(proxy.address());
    let mut stream = connect().await.unwrap();
    ask(&mut stream).await.unwrap();
    assert_eq!(proxy.open(), 1);

    proxy.set(Mode::Delay(Duration::from_millis(100)));
    let asked = Instant::now();
    ask(&mut stream).await.unwrap();
    assert!(asked.elapsed() >= Duration::from_millis(200), "{:?}", asked.elapsed());

    proxy.set(Mode::Drip(10));
    let asked = Instant::now();
    ask(&mut stream).await.unwrap();
    assert!(asked.elapsed() >= Duration::from_millis(400), "{:?}", asked.elapsed());

    for mode in [Mode::BlackHole, Mode::HalfOpen] {
        proxy.set(Mode::Pass);
        let mut stream = connect().await.unwrap();
        ask(&mut stream).await.unwrap();
        proxy.set(mode);
        let silent = tokio::time::timeout(Duration::from_millis(200), ask(&mut stream)).await;
        assert!(silent.is_err(), "{mode:?}: {silent:?}");
        // What was lost cannot be made good: the connection is reset.
        proxy.set(Mode::Pass);
        let ended = tokio::time::timeout(Duration::from_secs(5), stream.read_u8()).await;
        assert!(ended.unwrap().is_err(), "{mode:?}");
    }

    let mut stream = connect().await.unwrap();
    ask(&mut stream).await.unwrap();
    proxy.cut();
    let ended = tokio::time::timeout(Duration::from_secs(5), stream.read_u8()).await;
    let error = ended.unwrap().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    ask(&mut connect().await.unwrap()).await.unwrap();
}
