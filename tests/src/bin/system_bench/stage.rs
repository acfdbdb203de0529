//! Where the figures are taken: a RabbitMQ and a Redis of one's own, a folder as the object
//! store, and the real programs as processes.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use packshot_runtime::ports::Ports;
use packshot_worker::system::{self, SystemSettings};

use crate::servers::rabbitmq::RabbitServer;
use crate::servers::redis::RedisServer;

/// The longest that anything may take.
const PATIENCE: Duration = Duration::from_mins(10);

/// Servers, folder and settings.
pub(crate) struct Stage {
    pub(crate) rabbitmq: RabbitServer,
    pub(crate) redis: RedisServer,
    folder: tempfile::TempDir,
    /// Names the logs apart.
    started: AtomicU32,
}

impl Stage {
    /// Starts the servers. Redis writes its log once a second and RabbitMQ syncs its queues to
    /// the disk, as in production; the object store is a folder below `objects`.
    pub(crate) async fn open(objects: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("packshot-bench-").tempdir_in(objects)?;
        let redis = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "everysec"]);
        Ok(Self { rabbitmq: RabbitServer::start().await, redis, folder, started: AtomicU32::new(0) })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn settings(&self) -> SystemSettings {
        let mut settings = SystemSettings::standard();
        settings.rabbitmq.url = self.rabbitmq.url().into();
        settings.redis.url = self.redis.url().into();
        settings.objects.directory = self.path("objects").display().to_string();
        settings
    }

    /// Everything opened in this process.
    pub(crate) async fn ports(&self) -> Result<Ports> {
        Ok(system::connect(&self.settings()).await?.ports)
    }

    /// One of our programs, with the settings of the stage, not yet started.
    pub(crate) fn command(&self, program: &str) -> Result<Command> {
        let path = std::env::current_exe()?.with_file_name(program);
        ensure!(
            path.is_file(),
            "{} is not built: run `cargo build --release --workspace --bins`",
            path.display()
        );
        let mut command = Command::new(path);
        command.current_dir(self.folder.path());
        for (name, value) in [
            ("RABBITMQ__URL", self.rabbitmq.url()),
            ("REDIS__URL", self.redis.url()),
            ("OBJECTS__DIRECTORY", self.path("objects").display().to_string()),
            ("HEALTH__LISTEN", String::new()),
        ] {
            command.env(format!("PACKSHOT__{name}"), value);
        }
        Ok(command)
    }

    /// Starts a program that stays, and waits until its log says `ready`.
    pub(crate) fn start(&self, mut command: Command, ready: &str) -> Result<Process> {
        let log = self.path(&format!("log-{}", self.started.fetch_add(1, Ordering::Relaxed)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(std::fs::File::create(&log)?);
        let process = Process { child: command.spawn()?, log };
        let begun = Instant::now();
        while !process.log().contains(ready) {
            ensure!(begun.elapsed() < Duration::from_mins(1), "it does not get ready: {}", process.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(process)
    }

    /// `packshot serve` with these settings (`SECTION__FIELD`).
    pub(crate) fn serve(&self, settings: &[(&str, &str)]) -> Result<Process> {
        let mut command = self.command("packshot")?;
        command.arg("serve").env("PACKSHOT__LOG__LEVEL", "info");
        command.envs(settings.iter().map(|(name, value)| (format!("PACKSHOT__{name}"), value)));
        self.start(command, "serving")
    }

    /// A worker that draws nothing, with these settings and as long per image.
    pub(crate) fn worker(&self, settings: &[(&str, &str)], job_ms: u64) -> Result<Process> {
        let mut command = self.command("scripted_worker")?;
        command.env("PACKSHOT_TEST_JOB_MS", job_ms.to_string()).env("PACKSHOT_TEST_IMAGES", "0");
        command.envs(settings.iter().map(|(name, value)| (format!("PACKSHOT__{name}"), value)));
        self.start(command, "consuming")
    }

    /// Process number of the server of Redis.
    pub(crate) fn redis_pid(&self) -> Result<u32> {
        self.redis_info("server", "process_id:")?.parse().context("Redis tells no process number")
    }

    /// Bytes that Redis uses for what it holds.
    pub(crate) fn redis_bytes(&self) -> Result<u64> {
        self.redis_info("memory", "used_memory:")?.parse().context("Redis tells no memory")
    }

    fn redis_info(&self, section: &str, field: &str) -> Result<String> {
        let info: String = self.redis.ask(&["INFO", section])?;
        let line = info.lines().find_map(|line| line.strip_prefix(field));
        Ok(line.with_context(|| format!("Redis tells no {field}"))?.trim().to_owned())
    }

    /// Scripts that Redis ran so far, and all commands, those of the scripts among them.
    pub(crate) fn redis_calls(&self) -> Result<(u64, u64)> {
        let info: String = self.redis.ask(&["INFO", "commandstats"])?;
        let calls =
            |line: &str| -> Option<u64> { line.split_once(":calls=")?.1.split(',').next()?.parse().ok() };
        let of = |name: &str| {
            let line = info.lines().find(|line| line.starts_with(&format!("cmdstat_{name}:")));
            line.and_then(calls).unwrap_or(0)
        };
        Ok((of("evalsha") + of("eval"), info.lines().filter_map(calls).sum()))
    }

    /// Process number of the server of RabbitMQ.
    pub(crate) async fn rabbitmq_pid(&self) -> Result<u32> {
        let said = self.rabbitmq.ctl(&["eval", "os:getpid()."]).await;
        said.trim().trim_matches('"').parse().context("RabbitMQ tells no process number")
    }
}

/// A process that is killed when it is let go of.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to standard error so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until `is`; returns how long that took.
pub(crate) async fn until(what: &str, mut is: impl AsyncFnMut() -> Result<bool>) -> Result<Duration> {
    let begun = Instant::now();
    while !is().await? {
        ensure!(begun.elapsed() < PATIENCE, "{what} did not come within {} s", PATIENCE.as_secs());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(begun.elapsed())
}
