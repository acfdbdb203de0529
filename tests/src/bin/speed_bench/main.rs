//! The speed and memory bench: the whole pipeline on large references, one resize beside
//! libvips in the same run, and the peak memory of long catalogs.
//!
//! ```text
//! cargo build --release --workspace --bins
//! target/release/speed_bench [pipeline] [resize] [memory] [--photos FOLDER] [--skus N] [--rows N]
//! ```
//!
//! Without a name all three run. Figures are medians or totals of this machine; a figure
//! without its peer in the same run means little elsewhere.

mod memory;
mod pipeline;
mod process;
mod resize;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

struct Options {
    benches: Vec<String>,
    photos: PathBuf,
    skus: usize,
    rows: usize,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint(&format!("speed_bench: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let options = options()?;
    let wanted = |name: &str| options.benches.is_empty() || options.benches.iter().any(|bench| bench == name);
    if wanted("resize") {
        print(&resize::run(&options.photos)?);
    }
    if wanted("pipeline") {
        print(&pipeline::run(&options.photos, options.skus)?);
    }
    if wanted("memory") {
        print(&memory::run(&options.photos, options.rows)?);
    }
    Ok(())
}

fn options() -> anyhow::Result<Options> {
    let sample = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../deploy/sample/images");
    let mut options = Options { benches: Vec::new(), photos: sample, skus: 24, rows: 10_000 };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--photos" => options.photos = value()?.into(),
            "--skus" => options.skus = value()?.parse().context("--skus is a whole number")?,
            "--rows" => options.rows = value()?.parse().context("--rows is a whole number")?,
            "pipeline" | "resize" | "memory" => options.benches.push(argument),
            other => anyhow::bail!("there is no bench {other:?}; benches are pipeline, resize and memory"),
        }
    }
    Ok(options)
}

/// The photos of a folder, by name.
fn photos(folder: &std::path::Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut found: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    found.retain(|path| path.is_file());
    found.sort();
    anyhow::ensure!(!found.is_empty(), "{} holds no photos", folder.display());
    Ok(found)
}

#[allow(clippy::print_stdout, reason = "a command-line tool prints its table")]
fn print(text: &str) {
    println!("{text}");
}

#[allow(clippy::print_stderr, reason = "a command-line tool prints its errors")]
fn eprint(text: &str) {
    eprintln!("{text}");
}
