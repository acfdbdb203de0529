//! A cluster of real processes on the servers of this machine: a scheduler, workers and the
//! commands of an operator, with names of their own, and everything gone afterwards.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use lapin::options::{ExchangeDeleteOptions, QueueDeleteOptions};
use packshot_adapters::directory::DirectoryObjects;
use packshot_adapters::rabbitmq::{RabbitBroker, RabbitSettings};
use packshot_adapters::redis::{RedisCoordinator, RedisSettings};
use packshot_adapters::s3::{S3Objects, S3Settings};
use packshot_pipeline::pool::Pool;
use packshot_runtime::clock::MonotonicClock;
use packshot_runtime::port::Objects;
use packshot_runtime::ports::Ports;
use packshot_worker::system::SystemSettings;

use crate::servers::s3::S3Server;
use crate::shop::{Shop, packshot};

/// The longest that anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);
/// The servers of this machine.
pub(crate) const RABBITMQ: &str = "amqp://guest:guest@127.0.0.1:5672/%2f";
pub(crate) const REDIS: &str = "redis://127.0.0.1:6379";

/// Processes with settings of their own.
pub(crate) struct Cluster {
    pub(crate) shop: Shop,
    prefix: String,
    settings: BTreeMap<String, String>,
    /// Where the servers are, to clean up.
    rabbitmq: String,
    redis: String,
    /// The bucket that is the object store, where it is one.
    bucket: Option<S3Settings>,
}

/// The outside systems themselves, past whatever stands between them and the processes.
pub(crate) struct Truth {
    pub(crate) objects: Arc<dyn Objects>,
    pub(crate) coordinator: RedisCoordinator,
    pub(crate) broker: RabbitBroker,
    pub(crate) clock: MonotonicClock,
}

/// A process that is killed when the test lets go of it.
pub(crate) struct Process {
    child: Option<Child>,
    log: PathBuf,
}

impl Cluster {
    /// A cluster for the products of `shop`, with a folder of the shop as the object store.
    pub(crate) fn new(shop: Shop) -> Self {
        Self::on(shop, RABBITMQ, REDIS)
    }

    /// The same on other servers.
    pub(crate) fn on(shop: Shop, rabbitmq: &str, redis: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        // No prefix is the beginning of another one.
        let prefix = format!("cluster-{}-{number}-x", std::process::id());
        let mut cluster = Self {
            settings: BTreeMap::new(),
            rabbitmq: rabbitmq.to_owned(),
            redis: redis.to_owned(),
            bucket: None,
            shop,
            prefix,
        };
        let directory = cluster.shop.path("objects").display().to_string();
        let prefix = cluster.prefix.clone();
        for (name, value) in [
            ("RABBITMQ__URL", rabbitmq),
            ("RABBITMQ__PREFIX", &prefix),
            ("REDIS__URL", redis),
            ("REDIS__PREFIX", &prefix),
            ("OBJECTS__DIRECTORY", &directory),
            // Tests run beside each other, so health is asked for only where it is looked at.
            ("HEALTH__LISTEN", ""),
        ] {
            cluster.set(name, value);
        }
        cluster
    }

    /// The same with the bucket of `server` as the object store.
    pub(crate) fn in_bucket(mut self, server: &S3Server) -> Self {
        self.settings.remove("PACKSHOT__OBJECTS__DIRECTORY");
        self.settings.extend(server.env().into_iter().map(|(name, value)| (name.to_owned(), value)));
        self.bucket = Some(server.settings());
        self
    }

    /// What the names of everything of this cluster begin with.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Where its RabbitMQ is.
    pub(crate) fn rabbitmq(&self) -> &str {
        &self.rabbitmq
    }

    /// Opens the outside systems.
    pub(crate) async fn truth(&self) -> Truth {
        let objects: Arc<dyn Objects> = match &self.bucket {
            Some(bucket) => Arc::new(S3Objects::connect(bucket.clone()).await.unwrap()),
            None => Arc::new(DirectoryObjects::open(&self.shop.path("objects")).unwrap()),
        };
        let (url, prefix) = (self.redis.as_str().into(), self.prefix.clone());
        let redis = RedisSettings { url, prefix, ..RedisSettings::default() };
        let (url, prefix) = (self.rabbitmq.as_str().into(), self.prefix.clone());
        let rabbitmq = RabbitSettings { url, prefix, ..RabbitSettings::standard() };
        Truth {
            objects,
            coordinator: RedisCoordinator::connect(&redis).await.unwrap(),
            broker: RabbitBroker::connect(&rabbitmq).await.unwrap(),
            clock: MonotonicClock::new(),
        }
    }

    /// Sets `PACKSHOT__<name>` for every process started from now on. Settings that only the
    /// scheduler and its commands know go to [`Cluster::set_scheduler`].
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.settings.insert(format!("PACKSHOT__{name}"), value.to_owned());
    }

    /// The same for the scheduler and the commands only.
    pub(crate) fn set_scheduler(&mut self, name: &str, value: &str) {
        self.settings.insert(format!("scheduler PACKSHOT__{name}"), value.to_owned());
    }

    /// The same for workers only.
    pub(crate) fn set_worker(&mut self, name: &str, value: &str) {
        self.settings.insert(format!("worker PACKSHOT__{name}"), value.to_owned());
    }

    /// Sets a variable of the scripted worker.
    pub(crate) fn set_script(&mut self, name: &str, value: &str) {
        self.settings.insert(format!("worker PACKSHOT_TEST_{name}"), value.to_owned());
    }

    /// Sets any other variable of every process.
    pub(crate) fn set_variable(&mut self, name: &str, value: &str) {
        self.settings.insert(name.to_owned(), value.to_owned());
    }

    /// The same of workers only.
    pub(crate) fn set_worker_variable(&mut self, name: &str, value: &str) {
        self.settings.insert(format!("worker {name}"), value.to_owned());
    }

    fn environment(&self, who: &str) -> BTreeMap<&str, &str> {
        let of = |name: &'_ String| match name.split_once(' ') {
            None => true,
            Some((whose, _)) => whose == who,
        };
        let settings = self.settings.iter().filter(|(name, _)| of(name));
        settings.map(|(name, value)| (name.rsplit(' ').next().unwrap(), value.as_str())).collect()
    }

    /// `packshot` with these arguments, in the shop's folder.
    pub(crate) fn packshot(&self, arguments: &[&str]) -> Output {
        let mut command = self.shop.command(arguments);
        command.envs(self.environment("scheduler")).output().unwrap()
    }

    /// The same; it must end with `code`.
    pub(crate) fn answer(&self, arguments: &[&str], code: i32) -> Output {
        let out = self.packshot(arguments);
        assert_eq!(
            out.status.code(),
            Some(code),
            "packshot {arguments:?}\n{}\n{}",
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr)
        );
        out
    }

    /// `packshot status BATCH --json`.
    pub(crate) fn status(&self, batch: &str) -> serde_json::Value {
        let out = self.packshot(&["status", batch, "--json"]);
        serde_json::from_slice(&out.stdout)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&out.stderr)))
    }

    /// Waits until `is` is true of a batch's status.
    pub(crate) fn wait_for(
        &self,
        batch: &str,
        what: &str,
        is: impl Fn(&serde_json::Value) -> bool,
    ) -> serde_json::Value {
        let mut last = serde_json::Value::Null;
        until(&format!("{what} of {batch}"), || {
            last = self.status(batch);
            is(&last)
        });
        last
    }

    /// Starts `packshot` and leaves it running.
    pub(crate) fn start_packshot(&self, arguments: &[&str]) -> Process {
        self.start(&packshot(), arguments, "scheduler")
    }

    /// Starts a scheduler.
    pub(crate) fn serve(&self) -> Process {
        self.start_packshot(&["serve"])
    }

    /// Starts a worker with the built-in studio.
    pub(crate) fn worker(&self) -> Process {
        self.start(&packshot().with_file_name("packshot-worker"), &[], "worker")
    }

    /// Starts a worker whose work is a script.
    pub(crate) fn scripted_worker(&self) -> Process {
        self.scripted_worker_with(&[])
    }

    /// The same, with settings of its own (`SECTION__FIELD`) over those of the cluster.
    pub(crate) fn scripted_worker_with(&self, settings: &[(&str, &str)]) -> Process {
        self.start_with(&packshot().with_file_name("scripted_worker"), &[], "worker", settings)
    }

    /// Everything opened in this process.
    pub(crate) async fn ports(&self) -> Ports {
        let mut settings = SystemSettings::standard();
        settings.rabbitmq.url = self.rabbitmq.as_str().into();
        settings.rabbitmq.prefix.clone_from(&self.prefix);
        settings.redis.url = self.redis.as_str().into();
        settings.redis.prefix.clone_from(&self.prefix);
        settings.objects.directory = self.shop.path("objects").display().to_string();
        packshot_worker::system::connect(&settings).await.unwrap().ports
    }

    /// The name of a pool's queue.
    pub(crate) fn queue(&self, pool: &str) -> String {
        format!("{}.jobs.{pool}", self.prefix)
    }

    fn start(&self, binary: &Path, arguments: &[&str], who: &str) -> Process {
        self.start_with(binary, arguments, who, &[])
    }

    fn start_with(&self, binary: &Path, arguments: &[&str], who: &str, own: &[(&str, &str)]) -> Process {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let log = self.shop.path(&format!("{who}-{number}.log"));
        assert!(binary.is_file(), "{} is not built: run `cargo build --workspace --bins`", binary.display());
        let child = Command::new(binary)
            .args(arguments)
            .current_dir(self.shop.path("."))
            .envs(self.environment(who))
            .envs(own.iter().map(|(name, value)| (format!("PACKSHOT__{name}"), value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Process { child: Some(child), log }
    }

    /// Lines of the scripted workers' log that begin with `point`.
    pub(crate) fn reached(&self, log: &str, point: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.shop.path(log)).unwrap_or_default();
        let begins = format!("{point} ");
        text.lines().filter(|line| line.starts_with(&begins)).map(str::to_owned).collect()
    }

    /// Keys of this cluster that are left in Redis.
    pub(crate) fn redis_keys(&self) -> Vec<String> {
        let mut connection = redis::Client::open(self.redis.as_str()).unwrap().get_connection().unwrap();
        let pattern = format!("{}*", self.prefix);
        redis::cmd("KEYS").arg(pattern).query(&mut connection).unwrap()
    }

    /// Deletes them: a coordinator that has lost its memory.
    pub(crate) fn forget_redis(&self) {
        let keys = self.redis_keys();
        if !keys.is_empty() {
            let mut connection = redis::Client::open(self.redis.as_str()).unwrap().get_connection().unwrap();
            redis::cmd("DEL").arg(&keys).query::<()>(&mut connection).unwrap();
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let (server, prefix) = (self.rabbitmq.clone(), self.prefix.clone());
        let clean = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let cleaning =
                async { tokio::time::timeout(Duration::from_secs(20), remove(&server, &prefix)).await };
            let _ = runtime.block_on(cleaning);
        };
        let _ = std::thread::spawn(clean).join();
        if redis::Client::open(self.redis.as_str()).and_then(|client| client.get_connection()).is_ok() {
            self.forget_redis();
        }
    }
}

/// Deletes the queues and exchanges under `prefix`, if the server is there.
async fn remove(server: &str, prefix: &str) {
    let properties = lapin::ConnectionProperties::default();
    let Ok(connection) = lapin::Connection::connect(server, properties).await else { return };
    let Ok(channel) = connection.create_channel().await else { return };
    let jobs = Pool::ALL.map(|pool| format!("jobs.{pool}"));
    let others = ["delay.2s", "delay.15s", "delay.2m", "dead", "unroutable"].map(str::to_owned);
    for queue in jobs.into_iter().chain(others) {
        let _ = channel.queue_delete(format!("{prefix}.{queue}").into(), QueueDeleteOptions::default()).await;
    }
    for exchange in ["jobs", "delay", "back", "dead", "unroutable"] {
        let name = format!("{prefix}.{exchange}").into();
        let _ = channel.exchange_delete(name, ExchangeDeleteOptions::default()).await;
    }
    let _ = connection.close(200, "done".into()).await;
}

impl Process {
    pub(crate) fn id(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Sends a signal: `TERM`, `STOP`, `CONT`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.id().to_string()]).status().unwrap();
        assert!(sent.success(), "kill -{name}");
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut().unwrap().try_wait().unwrap()
    }

    /// Kills it as `kill -9` does.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_some())
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut ended = None;
        let log = self.log.clone();
        let child = self.child.as_mut().unwrap();
        until(&format!("the end of a process; its log is {}", log.display()), || {
            ended = child.try_wait().unwrap();
            ended.is_some()
        });
        ended.unwrap()
    }

    /// What it wrote to standard error so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            #[allow(clippy::print_stderr, reason = "a failed test shows what its process said")]
            {
                eprintln!("--- {}\n{}", self.log.display(), self.log());
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// Waits for a state, not for a time.
pub(crate) fn until(what: &str, mut is: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < PATIENCE, "{what} did not come within {} s", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(50));
    }
}
