//! A development S3 server of a test's own, and the port by which the test tells it what
//! shall go wrong.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use packshot_adapters::s3::S3Settings;
use packshot_adapters::secret::Secret;
use serde_json::{Value, json};

/// The bucket that every such server has.
pub(crate) const BUCKET: &str = "packshot-test";
const ACCESS_KEY: &str = "test-access";
const SECRET_KEY: &str = "test-secret";
const WAIT: Duration = Duration::from_secs(30);

/// A running server; it ends with this value, and also when the test is killed.
pub(crate) struct S3Server {
    child: Child,
    folder: PathBuf,
    /// Removed with the server, unless the folder was given.
    own_folder: Option<tempfile::TempDir>,
    /// `http://127.0.0.1:port`.
    pub(crate) endpoint: String,
    control: String,
}

impl S3Server {
    /// A server on a free port, over a folder of its own.
    pub(crate) fn start() -> Self {
        let own = tempfile::tempdir().unwrap();
        let folder = own.path().to_owned();
        let mut server = Self::start_in(&folder);
        server.own_folder = Some(own);
        server
    }

    /// A server on a free port, over `folder`, with what an earlier one left there.
    pub(crate) fn start_in(folder: &Path) -> Self {
        let mut child = Command::new(binary())
            .arg("--root")
            .arg(folder)
            .args(["--listen", "127.0.0.1:0", "--control", "127.0.0.1:0", "--bucket", BUCKET])
            .args(["--access-key", ACCESS_KEY, "--secret-key", SECRET_KEY, "--exit-with-stdin"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line)
            .unwrap_or_else(|_| panic!("the S3 server did not start: {line:?}, {:?}", child.wait()));
        let text = |name: &str| said[name].as_str().unwrap().to_owned();
        let (endpoint, control) = (text("endpoint"), text("control"));
        Self { child, folder: folder.to_owned(), own_folder: None, endpoint, control }
    }

    /// What reaches it, with waits that suit a test.
    pub(crate) fn settings(&self) -> S3Settings {
        S3Settings {
            bucket: BUCKET.to_owned(),
            endpoint: self.endpoint.clone(),
            region: "us-east-1".to_owned(),
            access_key_id: ACCESS_KEY.to_owned(),
            secret_access_key: Secret::new(SECRET_KEY),
            answer_timeout_ms: 5_000,
            operation_timeout_ms: 20_000,
            backoff_ms_max: 200,
            ..S3Settings::default()
        }
    }

    /// The same as environment variables, for a process.
    pub(crate) fn env(&self) -> Vec<(&'static str, String)> {
        vec![
            ("PACKSHOT__S3__ENDPOINT", self.endpoint.clone()),
            ("PACKSHOT__S3__REGION", "us-east-1".to_owned()),
            ("PACKSHOT__S3__BUCKET", BUCKET.to_owned()),
            ("PACKSHOT__S3__ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("PACKSHOT__S3__SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
        ]
    }

    /// Adds a fault for requests whose `bucket/key` begins with the bucket and `prefix`;
    /// `more` holds the further fields of the rule, `fault` among them.
    pub(crate) fn fault(&self, prefix: &str, more: Value) -> u64 {
        let prefix = if prefix.is_empty() { BUCKET.to_owned() } else { format!("{BUCKET}/{prefix}") };
        let mut rule = json!({ "prefix": prefix });
        rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let (status, body) = self.ask("POST", "/faults", &rule.to_string());
        assert_eq!(status, 201, "{rule}: {body}");
        serde_json::from_str::<Value>(&body).unwrap()["id"].as_u64().unwrap()
    }

    /// How often the fault has hit.
    pub(crate) fn hits(&self, id: u64) -> u64 {
        let rules: Value = serde_json::from_str(&self.ask("GET", "/faults", "").1).unwrap();
        let rule = rules.as_array().unwrap().iter().find(|rule| rule["id"] == id).unwrap();
        rule["hits"].as_u64().unwrap()
    }

    /// Removes all faults.
    pub(crate) fn heal(&self) {
        assert_eq!(self.ask("DELETE", "/faults", "").0, 200);
    }

    /// How many requests of this method came for keys that begin with `prefix`.
    pub(crate) fn requests(&self, method: &str, prefix: &str) -> usize {
        let requests: Value = serde_json::from_str(&self.ask("GET", "/requests", "").1).unwrap();
        let prefix = format!("{BUCKET}/{prefix}");
        let ours = |request: &&Value| {
            request["method"] == method && request["path"].as_str().unwrap().starts_with(&prefix)
        };
        requests.as_array().unwrap().iter().filter(ours).count()
    }

    /// Uploads in parts that were begun and neither completed nor given up.
    pub(crate) fn unfinished_uploads(&self) -> usize {
        std::fs::read_dir(self.folder.join("uploads")).unwrap().count()
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let (status, _, body) = http(method, &format!("{}{path}", self.control), body);
        (status, String::from_utf8(body).unwrap())
    }

    /// Kills it, as a power cut would; what it has answered is on the disk.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One plain HTTP request, as any tool would send it: status, headers in lower case, body.
pub(crate) fn http(method: &str, url: &str, body: &str) -> (u16, String, Vec<u8>) {
    let rest = url.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let path = if path.is_empty() { "/" } else { path };
    let mut stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(WAIT)).unwrap();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("no end of the headers");
    let head = String::from_utf8(answer[..end].to_vec()).unwrap().to_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head, answer[end + 4..].to_vec())
}

/// The built server: it lies beside this test binary's folder.
fn binary() -> PathBuf {
    let binary = crate::shop::packshot().with_file_name("packshot-dev-s3");
    assert!(binary.is_file(), "{} is not built: run `cargo build --workspace --bins`", binary.display());
    binary
}
