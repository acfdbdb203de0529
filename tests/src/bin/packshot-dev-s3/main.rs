//! An S3-compatible server for development and tests: a folder, on loopback only, with
//! faults on demand.
//!
//! It keeps what Packshot relies on (atomic, durable and conditional puts, reads after
//! writes, listings in byte order, uploads in parts, signed addresses) and refuses the
//! rest. It is no store for production.

mod arrive;
mod control;
mod faults;
mod names;
mod record;
mod serve;
mod service;
mod store;
mod uploads;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Parser;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::faults::Faults;
use crate::service::Service;
use crate::store::Store;

/// Connections at once; further ones wait.
const CONNECTIONS_MAX: usize = 512;
const ACCESS_KEY: &str = "PACKSHOT__S3__ACCESS_KEY_ID";
const SECRET_KEY: &str = "PACKSHOT__S3__SECRET_ACCESS_KEY";

/// An S3-compatible server over a folder, for development and tests.
#[derive(Parser)]
#[command(name = serve::NAME)]
struct Arguments {
    /// Folder of the objects; made when it is not there
    #[arg(long)]
    root: PathBuf,
    /// Loopback address to serve on; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:9460")]
    listen: SocketAddr,
    /// Loopback address for faults on demand; without it there are none
    #[arg(long)]
    control: Option<SocketAddr>,
    /// Access key [default: the environment's `PACKSHOT__S3__ACCESS_KEY_ID`]
    #[arg(long)]
    access_key: Option<String>,
    /// Its secret [default: the environment's `PACKSHOT__S3__SECRET_ACCESS_KEY`]
    #[arg(long)]
    secret_key: Option<String>,
    /// Bucket to make; can be given several times
    #[arg(long)]
    bucket: Vec<String>,
    /// Answer before the disk has the bytes: faster, and not safe against a power cut
    #[arg(long)]
    no_sync: bool,
    /// End when standard input ends, so that a killed test leaves no server behind
    #[arg(long)]
    exit_with_stdin: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if arguments.exit_with_stdin {
        std::thread::spawn(|| {
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            std::process::exit(0);
        });
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(32)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(run(arguments))
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let root = &arguments.root;
    let store = Store::open(root, !arguments.no_sync)
        .with_context(|| format!("cannot use the folder {}", root.display()))?;
    for bucket in &arguments.bucket {
        if !s3s::path::check_bucket_name(bucket) {
            bail!("{bucket:?} is no bucket's name: 3 to 63 lower-case letters, digits, `.` and `-`");
        }
        store.create_bucket(bucket).with_context(|| format!("cannot make the bucket {bucket}"))?;
    }
    let access_key = arguments.access_key.or_else(|| std::env::var(ACCESS_KEY).ok());
    let secret_key = arguments.secret_key.or_else(|| std::env::var(SECRET_KEY).ok());
    let (Some(access_key), Some(secret_key)) = (access_key, secret_key) else {
        bail!("no keys: give --access-key and --secret-key, or set {ACCESS_KEY} and {SECRET_KEY}");
    };
    let mut builder = S3ServiceBuilder::new(Service { store });
    builder.set_auth(SimpleAuth::from_single(access_key, secret_key));
    let service = builder.build();
    let faults = Arc::new(Faults::default());

    let listener = listen(arguments.listen).await?;
    let control = match arguments.control {
        Some(address) => Some(listen(address).await?),
        None => None,
    };
    let address = |listener: &TcpListener| anyhow::Ok(format!("http://{}", listener.local_addr()?));
    let said = serde_json::json!({
        "endpoint": address(&listener)?,
        "control": control.as_ref().map(address).transpose()?,
    });
    let mut out = std::io::stdout();
    writeln!(out, "{said}").and_then(|()| out.flush()).context("cannot write to standard output")?;

    if let Some(control) = control {
        tokio::spawn(serve_control(control, Arc::clone(&faults)));
    }
    tokio::select! {
        () = serve(listener, service, faults) => {}
        () = stopped() => {}
    }
    Ok(())
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    if !address.ip().is_loopback() {
        bail!("{address} is not a loopback address: this server is for development only");
    }
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}; another server may be there"))
}

async fn serve(listener: TcpListener, service: S3Service, faults: Arc<Faults>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Some(connection) = accept(&listener).await else { continue };
        let (service, faults) = (service.clone(), Arc::clone(&faults));
        tokio::spawn(async move {
            let _place = place;
            let each =
                service_fn(move |request| serve::answer(service.clone(), Arc::clone(&faults), request));
            // A broken connection is the client's to notice.
            let _ = http1::Builder::new().timer(TokioTimer::new()).serve_connection(connection, each).await;
        });
    }
}

async fn serve_control(listener: TcpListener, faults: Arc<Faults>) {
    loop {
        let Some(connection) = accept(&listener).await else { continue };
        let faults = Arc::clone(&faults);
        tokio::spawn(async move {
            let each = service_fn(move |request| control::answer(Arc::clone(&faults), request));
            let _ = http1::Builder::new().timer(TokioTimer::new()).serve_connection(connection, each).await;
        });
    }
}

async fn accept(listener: &TcpListener) -> Option<TokioIo<TcpStream>> {
    match listener.accept().await {
        Ok((connection, _)) => {
            let _ = connection.set_nodelay(true);
            Some(TokioIo::new(connection))
        }
        Err(_) => {
            // Out of file descriptors, most likely: others must end first.
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            None
        }
    }
}

async fn stopped() {
    let Ok(mut term) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
