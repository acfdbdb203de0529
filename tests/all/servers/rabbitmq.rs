//! A RabbitMQ server of one's own: its own node name, ports, data, cookie and port mapper, so
//! that it can be killed and alarmed without anybody else noticing.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use lapin::options::{BasicConsumeOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard, OnceCell};
use tokio::time::Instant;

use super::free_port;

/// How long a start or a stop may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// How long a server that serves may take to show it.
const SERVES: Duration = Duration::from_secs(20);

/// Starts the server and waits for it; ends it, and what it left, when the input closes,
/// which it does when the process that started it is gone, however it went.
const KEEPER: &str = r#"
bin=$1; dir=$2
"$bin/rabbitmq-server" </dev/null >"$dir/out" 2>&1 &
server=$!
exec 3<&0
(
    cat <&3 >/dev/null
    [ -s "$dir/pid" ] && kill -9 "$(cat "$dir/pid")"
    kill -9 $server
    # The port mapper stays as long as it believes that the node lives.
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        epmd -port "$ERL_EPMD_PORT" -kill && break
        sleep 0.2
    done
    rm -rf "$dir"
) >/dev/null 2>&1 &
wait $server
"#;

/// What a server has besides.
#[derive(Clone, Copy, Default)]
pub(crate) struct Extras<'a> {
    /// A listener for TLS, with the files `ca.pem`, `server.pem` and `server.key` of a folder.
    pub tls: Option<&'a Path>,
    /// The management plugin.
    pub management: bool,
}

/// A server that listens, or could be started again.
pub(crate) struct RabbitServer {
    dir: PathBuf,
    node: String,
    port: u16,
    tls_port: u16,
    management_port: u16,
    /// Those of them that it opens.
    ports: Vec<u16>,
    environment: Vec<(&'static str, String)>,
    keeper: Option<Child>,
    /// Whether a test left it in a state that the next one must not meet: a node that was killed
    /// or stopped may serve one queue and fail the next, so that it is not used again.
    pub disturbed: bool,
}

impl RabbitServer {
    /// Starts one.
    pub(crate) async fn start() -> Self {
        Self::start_with(Extras::default()).await
    }

    /// Starts one with extras.
    /// A free port may be taken by another before the server opens it: then it starts anew.
    pub(crate) async fn start_with(extras: Extras<'_>) -> Self {
        for _ in 0..2 {
            let mut server = Self::prepared(&extras);
            if server.comes_up().await {
                return server;
            }
        }
        let mut server = Self::prepared(&extras);
        server.start_again().await;
        server
    }

    fn prepared(extras: &Extras<'_>) -> Self {
        let dir = TempDir::with_prefix("packshot-rabbitmq-").unwrap().keep();
        let (port, distribution, mapper) = (free_port(), free_port(), free_port());
        let (tls_port, management_port) = (free_port(), free_port());
        let node = format!("packshot-{}-{port}@localhost", std::process::id());
        std::fs::create_dir(dir.join("log")).unwrap();
        let plugins = if extras.management { "[rabbitmq_management]." } else { "[]." };
        std::fs::write(dir.join("plugins"), plugins).unwrap();
        let cookie = dir.join(".erlang.cookie");
        std::fs::write(&cookie, "PACKSHOTTEST").unwrap();
        std::fs::set_permissions(&cookie, std::fs::Permissions::from_mode(0o400)).unwrap();
        let mut settings = format!(
            "listeners.tcp.1 = 127.0.0.1:{port}\nlog.file.level = warning\n\
             disk_free_limit.absolute = 1MB\n"
        );
        if extras.management {
            settings += &format!("management.tcp.port = {management_port}\nmanagement.tcp.ip = 127.0.0.1\n");
        }
        if let Some(tls) = extras.tls {
            let path = |name: &str| tls.join(name).display().to_string();
            settings += &format!(
                "listeners.ssl.1 = 127.0.0.1:{tls_port}\nssl_options.cacertfile = {}\n\
                 ssl_options.certfile = {}\nssl_options.keyfile = {}\nssl_options.verify = verify_none\n",
                path("ca.pem"),
                path("server.pem"),
                path("server.key"),
            );
        }
        std::fs::write(dir.join("rabbitmq.conf"), settings).unwrap();
        let path = |name: &str| dir.join(name).display().to_string();
        let loopback = "-kernel inet_dist_use_interface {127,0,0,1}";
        let environment = vec![
            ("HOME", dir.display().to_string()),
            ("RABBITMQ_NODENAME", node.clone()),
            ("RABBITMQ_DIST_PORT", distribution.to_string()),
            ("RABBITMQ_MNESIA_BASE", path("data")),
            ("RABBITMQ_LOG_BASE", path("log")),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", path("plugins")),
            ("RABBITMQ_CONFIG_FILE", path("rabbitmq.conf")),
            ("RABBITMQ_CONF_ENV_FILE", path("none")),
            ("RABBITMQ_PID_FILE", path("pid")),
            ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", loopback.to_owned()),
            ("ERL_EPMD_PORT", mapper.to_string()),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
            // A killed node, or a command that is cut short, leaves no dump where it was started.
            ("ERL_CRASH_DUMP", path("erl_crash.dump")),
        ];
        let mut ports = vec![port];
        ports.extend(extras.tls.map(|_| tls_port));
        ports.extend(extras.management.then_some(management_port));
        let (keeper, disturbed) = (None, false);
        Self { dir, node, port, tls_port, management_port, ports, environment, keeper, disturbed }
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port)
    }

    /// Its URL for TLS.
    pub(crate) fn tls_url(&self) -> String {
        format!("amqps://guest:guest@localhost:{}/%2f", self.tls_port)
    }

    /// The URL of its management plugin.
    pub(crate) fn management_url(&self) -> String {
        format!("http://guest:guest@127.0.0.1:{}", self.management_port)
    }

    /// Starts it after a stop or a kill, with the data that it had.
    pub(crate) async fn start_again(&mut self) {
        assert!(self.comes_up().await, "rabbitmq-server did not start:\n{}", self.output());
    }

    /// Starts it and says whether all its ports are open in time.
    async fn comes_up(&mut self) -> bool {
        assert!(self.keeper.is_none(), "the server runs");
        let _ = std::fs::remove_file(self.dir.join("pid"));
        let mut command = Command::new("sh");
        command.arg("-c").arg(KEEPER).arg("keeper").arg(programs()).arg(&self.dir);
        command.envs(self.environment.iter().map(|(name, value)| (name, value.as_str())));
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        self.keeper = Some(command.spawn().unwrap());
        let deadline = Instant::now() + PATIENCE;
        for port in self.ports.clone() {
            while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                let ended = self.keeper.as_mut().and_then(|keeper| keeper.try_wait().unwrap());
                if ended.is_some() || Instant::now() > deadline {
                    return false;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        true
    }

    /// `kill -9`.
    pub(crate) async fn kill(&mut self) {
        self.signal("-KILL").await;
    }

    /// An orderly stop.
    pub(crate) async fn stop(&mut self) {
        self.signal("-TERM").await;
    }

    async fn signal(&mut self, signal: &str) {
        self.disturbed = true;
        let pid = std::fs::read_to_string(self.dir.join("pid")).unwrap();
        let sent = Command::new("kill").arg(signal).arg(pid.trim()).status().unwrap();
        assert!(sent.success(), "no process {pid}");
        let deadline = Instant::now() + PATIENCE;
        let process = Path::new("/proc").join(pid.trim());
        while process.exists() {
            assert!(Instant::now() < deadline, "process {pid} does not end");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // The keeper's own end must not take the data along.
        if let Some(mut keeper) = self.keeper.take() {
            kill_group(keeper.id());
            let _ = keeper.wait();
        }
    }

    /// Runs `rabbitmqctl` and returns what it prints.
    pub(crate) async fn ctl(&self, arguments: &[&str]) -> String {
        let mut command = tokio::process::Command::new(programs().join("rabbitmqctl"));
        command.args(["-q", "-n", &self.node]).args(arguments).stdin(Stdio::null()).kill_on_drop(true);
        command.envs(self.environment.iter().map(|(name, value)| (name, value.as_str())));
        let out = tokio::time::timeout(PATIENCE, command.output()).await.unwrap().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(
            out.status.success(),
            "rabbitmqctl {arguments:?}: {} {}",
            text(&out.stdout),
            text(&out.stderr)
        );
        text(&out.stdout)
    }

    /// Whether it takes a quorum queue and a consumer. On a busy machine a node that was killed
    /// may come back with its ports open and its quorum queues broken, and stay so.
    async fn serves(&self) -> bool {
        let trying = async {
            let properties = lapin::ConnectionProperties::default();
            let connection = lapin::Connection::connect(&self.url(), properties).await?;
            let channel = connection.create_channel().await?;
            let mut quorum = FieldTable::default();
            quorum.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
            let durable = QueueDeclareOptions::durable();
            let name = "does-it-serve";
            channel.queue_declare(name.into(), durable, quorum).await?;
            let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
            channel.basic_consume(name.into(), "trying".into(), options, none).await?;
            channel.queue_delete(name.into(), QueueDeleteOptions::default()).await?;
            connection.close(200, "done".into()).await
        };
        matches!(tokio::time::timeout(SERVES, trying).await, Ok(Ok(())))
    }

    fn output(&self) -> String {
        std::fs::read_to_string(self.dir.join("out")).unwrap_or_default()
    }
}

impl Drop for RabbitServer {
    fn drop(&mut self) {
        // Closing the keeper's input ends everything.
        if let Some(mut keeper) = self.keeper.take() {
            drop(keeper.stdin.take());
            let _ = keeper.wait();
        } else {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}

fn kill_group(leader: u32) {
    let _ = Command::new("kill").args(["-KILL", "--", &format!("-{leader}")]).status();
}

/// The server's own programs; the ones on the path of Debian insist on another user.
fn programs() -> PathBuf {
    let known = PathBuf::from("/usr/lib/rabbitmq/bin");
    if known.join("rabbitmq-server").exists() {
        return known;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).find(|folder| folder.join("rabbitmq-server").exists());
    found.expect("rabbitmq-server is not installed; these tests need it")
}

/// The server that tests which disturb it take turns on.
pub(crate) async fn private() -> MutexGuard<'static, RabbitServer> {
    static SERVER: OnceCell<Mutex<RabbitServer>> = OnceCell::const_new();
    let server = SERVER.get_or_init(|| async { Mutex::new(RabbitServer::start().await) }).await;
    let mut server = server.lock().await;
    if server.disturbed || !server.serves().await {
        *server = RabbitServer::start().await;
    }
    server
}
