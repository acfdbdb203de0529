//! The drift benchmark: measures every pair of a benchmark folder (made by `drift_bench.py` of the
//! shared data folder), prints how well each axis separates drift from harmless
//! change, and with `--fit` writes the calibration that the reviewer ships.
//!
//! ```text
//! cargo run --release -p packshot-tests --bin drift_bench -- BENCH [--metrics FILE] [--share S]
//!     [--only TEXT] [--evidence FOLDER] [--given-masks]
//!     [--fit THRESHOLDS.json --date YYYY-MM-DD [--anew METRIC,METRIC]]
//! ```
//!
//! `BENCH` holds `labels.csv` and the pictures it names. Measurements are kept in `--metrics`
//! (JSON lines) and reused by the next run, so that a fit costs no measuring. `--share` takes
//! a part of the pairs, spread evenly; `--only` the pairs with a text in their name.
//! `--evidence` writes the evidence picture of every pair measured. `--given-masks` uses the benchmark's product masks
//! instead of our own cut-out of the reference. `--anew` fits the scales of the named metrics and
//! leaves the rest of the calibration as it ships: for metrics added to it, on fewer pairs.

mod fit;
mod pairs;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

struct Options {
    bench: PathBuf,
    metrics: Option<PathBuf>,
    share: f64,
    only: String,
    evidence: Option<PathBuf>,
    given_masks: bool,
    fit: Option<PathBuf>,
    date: String,
    anew: Vec<String>,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint(&format!("drift_bench: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let options = options()?;
    let mut labels = pairs::labels(&options.bench, options.share)?;
    labels.retain(|l| l.pair.contains(&options.only));
    let how = pairs::How {
        bench: &options.bench,
        kept: options.metrics.as_deref(),
        given_masks: options.given_masks,
        evidence: options.evidence.as_deref(),
    };
    let measured = pairs::measure_all(&how, &labels)?;
    let folds = fit::cross_validated(&measured);
    print(&table::render(&measured, &folds));
    if let Some(path) = &options.fit {
        let fitted = fit::shipped(&measured, &folds, &options.date);
        let thresholds = if options.anew.is_empty() { fitted } else { fit::anew(&fitted, &options.anew)? };
        let text = serde_json::to_string_pretty(&thresholds).context("writing the calibration")?;
        std::fs::write(path, text + "\n").with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(())
}

fn options() -> anyhow::Result<Options> {
    let mut options = Options {
        bench: PathBuf::new(),
        metrics: None,
        share: 1.0,
        only: String::new(),
        evidence: None,
        given_masks: false,
        fit: None,
        date: String::new(),
        anew: Vec::new(),
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--metrics" => options.metrics = Some(value()?.into()),
            "--share" => options.share = value()?.parse().context("--share is a number from 0 to 1")?,
            "--only" => options.only = value()?,
            "--evidence" => options.evidence = Some(value()?.into()),
            "--given-masks" => options.given_masks = true,
            "--fit" => options.fit = Some(value()?.into()),
            "--date" => options.date = value()?,
            "--anew" => options.anew = value()?.split(',').map(str::to_owned).collect(),
            path => options.bench = path.into(),
        }
    }
    anyhow::ensure!(!options.bench.as_os_str().is_empty(), "name the benchmark's folder");
    anyhow::ensure!(options.fit.is_none() || !options.date.is_empty(), "--fit needs --date YYYY-MM-DD");
    Ok(options)
}

#[allow(clippy::print_stdout, reason = "a command-line tool prints its table")]
fn print(text: &str) {
    println!("{text}");
}

#[allow(clippy::print_stderr, reason = "a command-line tool prints its errors and progress")]
fn eprint(text: &str) {
    eprintln!("{text}");
}
