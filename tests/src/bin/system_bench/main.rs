//! The bench of the distributed system: every figure that was promised, taken with the real
//! programs on a RabbitMQ and a Redis of its own, on this machine.
//!
//! ```text
//! cargo build --release --workspace --bins
//! target/release/system_bench [FIGURE …] [--rounds N] [--workers N] [--objects FOLDER]
//! ```
//!
//! Without names all are taken. The table shows medians over the rounds beside the goals. The
//! object store is a folder below `--objects`; by default one in memory, because a disk that
//! syncs every result is another figure than the protocol.

mod dispatch;
mod documents;
mod fill;
mod idle;
mod intake;
mod outage;
#[path = "../speed_bench/process.rs"]
#[allow(dead_code, reason = "shared with the speed bench, which uses all of it")]
mod process;
mod protocol;
mod servers;
mod stage;
mod start;
mod table;
mod transport;
mod usage;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;

use crate::table::{Line, table};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What can be measured, in the order of the table.
const FIGURES: [&str; 9] =
    ["protocol", "dispatch", "start", "broker", "memory", "submit", "idle", "documents", "transport"];

struct Options {
    figures: Vec<String>,
    rounds: usize,
    workers: usize,
    objects: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(text) => {
            print(&text);
            ExitCode::SUCCESS
        }
        Err(error) => {
            say(&format!("system_bench: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<String> {
    let options = options()?;
    let mut lines: Vec<Line> = Vec::new();
    for figure in FIGURES {
        if !options.figures.is_empty() && !options.figures.iter().any(|wanted| wanted == figure) {
            continue;
        }
        say(&format!("measuring {figure}"));
        let measured = match figure {
            "protocol" => protocol::run(&options).await,
            "dispatch" => dispatch::run(&options).await,
            "start" => start::run(&options).await,
            "broker" => outage::broker(&options).await,
            "memory" => outage::memory(&options).await,
            "submit" => intake::run(&options).await,
            "idle" => idle::run(&options).await,
            "documents" => documents::run(&options).await,
            _ => transport::run(&options).await,
        };
        lines.extend(measured.with_context(|| format!("measuring {figure}"))?);
    }
    Ok(table(&lines))
}

fn options() -> anyhow::Result<Options> {
    let memory = Path::new("/dev/shm");
    let objects = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let mut options = Options { figures: Vec::new(), rounds: 3, workers: 1, objects };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--rounds" => options.rounds = value()?.parse().context("--rounds is a whole number")?,
            "--workers" => options.workers = value()?.parse().context("--workers is a whole number")?,
            "--objects" => options.objects = value()?.into(),
            known if FIGURES.contains(&known) => options.figures.push(argument),
            other => anyhow::bail!("there is no figure {other:?}; figures are {}", FIGURES.join(", ")),
        }
    }
    anyhow::ensure!(options.rounds > 0 && options.workers > 0, "at least one round and one worker");
    Ok(options)
}

#[allow(clippy::print_stdout, reason = "the table is the output")]
fn print(text: &str) {
    println!("{text}");
}

#[allow(clippy::print_stderr, reason = "progress and errors, beside the table")]
fn say(text: &str) {
    eprintln!("{text}");
}
