//! A Redis server of one's own: it can be paused, killed, started again on its data, and
//! asked directly what is in it.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The longest that a server may take to start.
const START: Duration = Duration::from_secs(20);

/// A running server; killed when dropped.
pub(crate) struct RedisServer {
    child: Option<Child>,
    port: u16,
    options: Vec<String>,
    password: Option<String>,
    dir: tempfile::TempDir,
}

impl RedisServer {
    /// Starts a server that keeps nothing on disk, with further `options` as on the
    /// command line of `redis-server`.
    pub(crate) fn start(options: &[&str]) -> Self {
        // A port can be taken between being found free and being used.
        for _ in 0..10 {
            let mut server = Self {
                child: None,
                port: free_port(),
                options: options.iter().map(|option| (*option).to_owned()).collect(),
                password: None,
                dir: tempfile::tempdir().unwrap(),
            };
            let password = options.iter().position(|option| *option == "--requirepass");
            server.password = password.map(|at| options[at + 1].to_owned());
            if server.run() {
                return server;
            }
        }
        panic!("redis-server does not start");
    }

    /// The primaries of a cluster, every slot served.
    pub(crate) fn start_cluster(nodes: u16) -> Vec<Self> {
        let servers: Vec<Self> = (0..nodes)
            .map(|_| {
                let bus = free_port().to_string();
                Self::start(&["--cluster-enabled", "yes", "--cluster-port", &bus])
            })
            .collect();
        let addresses: Vec<String> =
            servers.iter().map(|server| format!("127.0.0.1:{}", server.port)).collect();
        let made = Command::new("redis-cli")
            .args(["--cluster", "create"])
            .args(addresses)
            .args(["--cluster-replicas", "0", "--cluster-yes"])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stdout));
        for server in &servers {
            server.wait("the cluster's slots", |server| {
                server.ask::<String>(&["CLUSTER", "INFO"]).is_ok_and(|info| info.contains("cluster_state:ok"))
            });
        }
        servers
    }

    /// How it is reached.
    pub(crate) fn url(&self) -> String {
        let password = self.password.as_ref().map(|password| format!(":{password}@")).unwrap_or_default();
        format!("redis://{password}127.0.0.1:{}", self.port)
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Sends one command on a connection of its own.
    pub(crate) fn ask<T: redis::FromRedisValue>(&self, command: &[&str]) -> redis::RedisResult<T> {
        let patience = Duration::from_secs(10);
        let mut connection = redis::Client::open(self.url())?.get_connection_with_timeout(patience)?;
        connection.set_read_timeout(Some(patience))?;
        let (name, args) = command.split_first().unwrap();
        redis::cmd(name).arg(args).query(&mut connection)
    }

    /// As [`RedisServer::ask`], for commands whose answer does not matter.
    pub(crate) fn tell(&self, command: &[&str]) {
        self.ask::<redis::Value>(command).unwrap_or_else(|error| panic!("{command:?}: {error}"));
    }

    /// Ends the process at once, as a power cut would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it again on its data and its port.
    pub(crate) fn run_again(&mut self) {
        self.kill();
        assert!(self.run(), "redis-server does not start again on port {}", self.port);
    }

    /// Stops the process without ending it (SIGSTOP), or lets it go on (SIGCONT).
    pub(crate) fn freeze(&self, frozen: bool) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        let signal = if frozen { "-STOP" } else { "-CONT" };
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// Waits until `is_so`.
    pub(crate) fn wait(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let since = Instant::now();
        while !is_so(self) {
            assert!(since.elapsed() < START, "waited in vain for {what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn run(&mut self) -> bool {
        let child = Command::new("redis-server")
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--daemonize", "no"])
            .args(["--save", "", "--appendonly", "no", "--loglevel", "warning"])
            .args(&self.options)
            .arg("--dir")
            .arg(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start redis-server ({error}); install redis-server"));
        self.child = Some(child);
        let since = Instant::now();
        while since.elapsed() < START {
            let ended = self.child.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)));
            if ended {
                return false;
            }
            if self.ask::<String>(&["PING"]).is_ok_and(|answer| answer == "PONG") {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
