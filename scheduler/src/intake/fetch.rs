//! Brings reference photos from http and https addresses, which come from a catalog and
//! are hostile: limits on size, time and redirects, and no address of a private network,
//! neither named nor resolved nor redirected to.
//!
//! Names are resolved here and only public addresses are handed to the connection, so what
//! was checked is what is connected to. Proxies of the environment are not used, because
//! they would resolve for themselves.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{LOCATION, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};
use url::{Host, Url};

use super::address::is_public;

/// The longest wait that a server's `Retry-After` can ask for.
const RETRY_AFTER_MS_MAX: u64 = 30_000;

/// What a fetch may cost.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FetchLimits {
    /// Bytes of one photo.
    pub bytes_max: u64,
    /// Until a connection stands.
    pub connect_ms_max: u64,
    /// One attempt from the first hop to the last byte: ends a server that drips.
    pub attempt_ms_max: u64,
    /// Hops after the first address.
    pub redirects_max: u32,
    /// Attempts in all, at least 1.
    pub attempts_max: u32,
    /// Wait before the second attempt; doubles each time.
    pub backoff_ms: u64,
    /// Hosts, as written in the address and without port, that may lie in a private
    /// network, for example the shop's own image server.
    pub private_hosts: Vec<String>,
}

impl FetchLimits {
    /// 64 MiB, 10 s to connect, a minute in all, 5 redirects, 3 attempts, nothing private.
    pub const DEFAULT: Self = Self {
        bytes_max: 64 * 1024 * 1024,
        connect_ms_max: 10_000,
        attempt_ms_max: 60_000,
        redirects_max: 5,
        attempts_max: 3,
        backoff_ms: 500,
        private_hosts: Vec::new(),
    };
}

/// What went wrong, for code that branches on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FetchFault {
    /// Another scheme, a private address, too many redirects. Never worth a retry.
    Refused,
    /// More bytes than allowed.
    TooLarge,
    /// Slower than allowed.
    TimedOut,
    /// No connection, or it broke.
    Unreachable,
    /// The server answered with this status.
    Status(u16),
}

/// A photo could not be fetched.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct FetchError {
    /// For code.
    pub kind: FetchFault,
    /// For people, with the address but without its query, which may hold a secret.
    pub what: String,
    /// The server's wish, bounded.
    retry_after_ms: Option<u64>,
}

impl FetchError {
    fn new(kind: FetchFault, what: String) -> Self {
        Self { kind, what, retry_after_ms: None }
    }

    /// Whether another attempt can help.
    fn is_passing(&self) -> bool {
        match self.kind {
            FetchFault::Refused | FetchFault::TooLarge => false,
            FetchFault::TimedOut | FetchFault::Unreachable => true,
            FetchFault::Status(code) => matches!(code, 408 | 425 | 429) || code >= 500,
        }
    }
}

/// Fetches photos. Cheap until the first address is asked for.
#[derive(Debug)]
pub struct Fetcher {
    limits: FetchLimits,
    client: OnceLock<Client>,
}

impl Fetcher {
    /// A fetcher under `limits`.
    pub fn new(limits: FetchLimits) -> Self {
        Self { limits, client: OnceLock::new() }
    }

    /// The bytes behind `address`, whatever the server says that they are.
    pub async fn get(&self, address: &str) -> Result<Bytes, FetchError> {
        let url = Url::parse(address)
            .map_err(|e| FetchError::new(FetchFault::Refused, format!("not an address: {e}")))?;
        let mut attempt = 1;
        loop {
            let limit = Duration::from_millis(self.limits.attempt_ms_max);
            let outcome = tokio::time::timeout(limit, self.attempt(url.clone())).await;
            let error = match outcome {
                Ok(Ok(bytes)) => return Ok(bytes),
                Ok(Err(error)) => error,
                Err(_) => FetchError::new(
                    FetchFault::TimedOut,
                    format!("{} took longer than {} s", shown(&url), limit.as_secs_f32()),
                ),
            };
            if !error.is_passing() || attempt >= self.limits.attempts_max {
                return Err(error);
            }
            let backoff_ms = self.limits.backoff_ms.saturating_mul(1 << (attempt - 1).min(16));
            let wait_ms = error.retry_after_ms.unwrap_or(0).max(backoff_ms).min(RETRY_AFTER_MS_MAX);
            tracing::debug!(attempt, wait_ms, error = %error, "reference not fetched, trying again");
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
            attempt += 1;
        }
    }

    /// One attempt: follows redirects by hand, each hop checked like the first.
    async fn attempt(&self, mut url: Url) -> Result<Bytes, FetchError> {
        for _ in 0..=self.limits.redirects_max {
            self.check(&url)?;
            let request = self.client()?.get(url.clone()).header("accept", "image/*,*/*;q=0.5");
            let response = request.send().await.map_err(|error| explain(&url, &error))?;
            let status = response.status();
            if status.is_success() {
                return self.body(&url, response).await;
            }
            let target = response.headers().get(LOCATION).and_then(|to| to.to_str().ok());
            match target {
                Some(target) if status.is_redirection() => {
                    url = url.join(target).map_err(|e| {
                        let what = format!("{} redirects to what is not an address: {e}", shown(&url));
                        FetchError::new(FetchFault::Refused, what)
                    })?;
                }
                _ => return Err(refused_by_status(&url, status, &response)),
            }
        }
        let what = format!("more than {} redirects, the last to {}", self.limits.redirects_max, shown(&url));
        Err(FetchError::new(FetchFault::Refused, what))
    }

    /// Refuses what no hop may be: another scheme, or an address of a private network.
    fn check(&self, url: &Url) -> Result<(), FetchError> {
        let refuse = |why: &str| Err(FetchError::new(FetchFault::Refused, format!("{} {why}", shown(url))));
        if !matches!(url.scheme(), "http" | "https") {
            return refuse("is not an http or https address");
        }
        let Some(host) = url.host() else { return refuse("names no host") };
        let literal = match host {
            Host::Ipv4(v4) => Some(IpAddr::V4(v4)),
            Host::Ipv6(v6) => Some(IpAddr::V6(v6)),
            Host::Domain(_) => None,
        };
        match literal {
            Some(ip) if !is_public(ip) && !allows(&self.limits.private_hosts, &host.to_string()) => {
                refuse("is an address of a private network")
            }
            _ => Ok(()),
        }
    }

    async fn body(&self, url: &Url, mut response: Response) -> Result<Bytes, FetchError> {
        let too_large = || {
            let mib = self.limits.bytes_max / 1024 / 1024;
            let what = format!("{} has more than {} bytes ({mib} MiB)", shown(url), self.limits.bytes_max);
            FetchError::new(FetchFault::TooLarge, what)
        };
        if response.content_length().is_some_and(|length| length > self.limits.bytes_max) {
            return Err(too_large());
        }
        let mut bytes = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| explain(url, &error))? {
            if (bytes.len() + chunk.len()) as u64 > self.limits.bytes_max {
                return Err(too_large());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.freeze())
    }

    fn client(&self) -> Result<&Client, FetchError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        // An error means that a provider is installed already, which is as good.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .user_agent(concat!("packshot/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(Duration::from_millis(self.limits.connect_ms_max))
            .dns_resolver(Arc::new(PublicOnly { private_hosts: self.limits.private_hosts.clone() }))
            .build()
            .map_err(|error| {
                let what =
                    format!("cannot prepare https: {error}; are the system's root certificates installed?");
                FetchError::new(FetchFault::Refused, what)
            })?;
        Ok(self.client.get_or_init(|| client))
    }
}

/// The address without credentials and query, at most 200 characters.
fn shown(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let text = format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path());
    text.chars().take(200).collect()
}

fn refused_by_status(url: &Url, status: StatusCode, response: &Response) -> FetchError {
    let wait =
        response.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<u64>().ok());
    let mut error =
        FetchError::new(FetchFault::Status(status.as_u16()), format!("{} answers {status}", shown(url)));
    error.retry_after_ms = wait.map(|seconds| seconds.saturating_mul(1000).min(RETRY_AFTER_MS_MAX));
    error
}

/// Turns the client's error into ours; the deepest cause says most.
fn explain(url: &Url, error: &reqwest::Error) -> FetchError {
    let mut cause: &dyn std::error::Error = error;
    loop {
        if cause.downcast_ref::<NotPublic>().is_some() {
            let what = format!("{} resolves to an address of a private network", shown(url));
            return FetchError::new(FetchFault::Refused, what);
        }
        match cause.source() {
            Some(deeper) => cause = deeper,
            None => break,
        }
    }
    let kind = if error.is_timeout() { FetchFault::TimedOut } else { FetchFault::Unreachable };
    FetchError::new(kind, format!("cannot fetch {}: {cause}", shown(url)))
}

/// Every address of the name is of a private network.
#[derive(Debug, thiserror::Error)]
#[error("no public address")]
struct NotPublic;

/// Resolves names to public addresses only.
#[derive(Debug)]
struct PublicOnly {
    private_hosts: Vec<String>,
}

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let anything = allows(&self.private_hosts, name.as_str());
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let good: Vec<SocketAddr> = found.filter(|a| anything || is_public(a.ip())).collect();
            if good.is_empty() {
                return Err(NotPublic.into());
            }
            Ok(Box::new(good.into_iter()) as Addrs)
        })
    }
}

fn allows(hosts: &[String], host: &str) -> bool {
    hosts.iter().any(|known| known.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    /// A server that gives each connection to `answer` with the request's path and a count.
    async fn serve<F, Fut>(answer: F) -> SocketAddr
    where
        F: Fn(TcpStream, String, u32) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let count = AtomicU32::new(0);
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = vec![0; 4096];
                let read = stream.read(&mut head).await.unwrap_or(0);
                let text = String::from_utf8_lossy(&head[..read]).into_owned();
                let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
                answer(stream, path, count.fetch_add(1, Ordering::SeqCst)).await;
            }
        });
        address
    }

    async fn say(mut stream: TcpStream, text: String) {
        let _ = stream.write_all(text.as_bytes()).await;
        let _ = stream.shutdown().await;
    }

    fn ok(body: &str) -> String {
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
    }

    fn to(location: &str) -> String {
        format!(
            "HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        )
    }

    fn fetcher() -> Fetcher {
        Fetcher::new(FetchLimits {
            bytes_max: 1000,
            attempt_ms_max: 700,
            backoff_ms: 1,
            private_hosts: vec!["127.0.0.1".to_owned()],
            ..FetchLimits::DEFAULT
        })
    }

    #[tokio::test]
    async fn private_addresses_are_refused_however_written() {
        let closed = Fetcher::new(FetchLimits::DEFAULT);
        let addresses = [
            "http://127.0.0.1/x",
            "http://0x7f.1/",
            "http://2130706433/",
            "http://017700000001/",
            "http://[::1]/",
            "http://[::ffff:10.0.0.1]/",
            "http://169.254.169.254/latest/meta-data",
            "http://localhost:1/",
            "ftp://example.com/x",
            "file:///etc/passwd",
            "http://user:pw@127.0.0.1/",
        ];
        for address in addresses {
            let error = closed.get(address).await.unwrap_err();
            assert_eq!(error.kind, FetchFault::Refused, "{address}: {error}");
            assert!(!error.what.contains("pw"), "{error}");
        }
    }

    #[tokio::test]
    async fn redirects_are_followed_and_each_hop_is_checked() {
        let server = serve(|stream, path, _| async move {
            let answer = match path.as_str() {
                "/start" => to("/next?token=1"),
                "/next?token=1" => ok("photo"),
                "/loop" => to("/loop"),
                "/inside" => to("http://localhost:9/secret?key=hidden"),
                "/literal" => to("http://[::1]:9/"),
                "/file" => to("file:///etc/passwd"),
                _ => to("http://10.0.0.1/"),
            };
            say(stream, answer).await;
        })
        .await;
        let at = |path: &str| format!("http://{server}{path}");
        assert_eq!(fetcher().get(&at("/start")).await.unwrap(), "photo");
        for path in ["/loop", "/inside", "/literal", "/file", "/ten"] {
            let error = fetcher().get(&at(path)).await.unwrap_err();
            assert_eq!(error.kind, FetchFault::Refused, "{path}: {error}");
            assert!(!error.what.contains("hidden"), "{error}");
        }
    }

    #[tokio::test]
    async fn size_is_limited_with_and_without_a_stated_length() {
        let server = serve(|stream, path, _| async move {
            if path == "/stated" {
                say(stream, ok(&"x".repeat(1001))).await;
            } else {
                say(stream, format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{}", "x".repeat(100_000)))
                    .await;
            }
        })
        .await;
        for path in ["/stated", "/endless"] {
            let error = fetcher().get(&format!("http://{server}{path}")).await.unwrap_err();
            assert_eq!(error.kind, FetchFault::TooLarge, "{path}: {error}");
        }
    }

    #[tokio::test]
    async fn a_dripping_server_is_left() {
        let server = serve(|mut stream, _, _| async move {
            tokio::spawn(async move {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n").await;
                while stream.write_all(b"x").await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            });
        })
        .await;
        let mut patient = fetcher();
        patient.limits.attempts_max = 1;
        let error = patient.get(&format!("http://{server}/")).await.unwrap_err();
        assert_eq!(error.kind, FetchFault::TimedOut, "{error}");
    }

    #[tokio::test]
    async fn passing_faults_are_tried_again_and_others_are_not() {
        let server = serve(|stream, path, count| async move {
            match (path.as_str(), count) {
                ("/gone", _) => {
                    say(stream, "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned()).await;
                }
                (_, 0) => say(
                    stream,
                    "HTTP/1.1 503 Busy\r\nretry-after: 0\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                        .to_owned(),
                )
                .await,
                (_, 1) => drop(stream),
                _ => say(stream, ok("photo")).await,
            }
        })
        .await;
        assert_eq!(fetcher().get(&format!("http://{server}/")).await.unwrap(), "photo");
        let error = fetcher().get(&format!("http://{server}/gone")).await.unwrap_err();
        assert_eq!(error.kind, FetchFault::Status(404));
    }
}
