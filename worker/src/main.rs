//! The `packshot-worker` command: a worker with the built-in studio and the assembly of sets.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use packshot_runtime::causes::chain;
use packshot_worker::matting::MattingModel;
use packshot_worker::process::{self, Crew};
use packshot_worker::work::Workshop;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Makes, reviews, edits and assembles the images of submitted batches.
///
/// Takes jobs from RabbitMQ until it is told to stop. The first SIGTERM or SIGINT drains it:
/// it takes nothing new and finishes what has begun; a second one, or the deadline, interrupts
/// what has begun and gives it back.
#[derive(Parser, Debug)]
#[command(name = "packshot-worker", version, max_term_width = 100, after_help = AFTER)]
struct Cli {
    /// Settings file (TOML, YAML or JSON); the environment (`PACKSHOT__SECTION__FIELD`) wins over it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

const AFTER: &str = "Exit codes:
  0  told to stop, and everything that had begun was finished or given back
  1  wrong usage or settings
  3  had to leave while jobs were going on; others take them over when their leases run out
  4  an outside system refuses this worker

deploy/worker.toml lists every setting with its default.";

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let wrong = error.use_stderr();
            // Printing help to a closed pipe is not worth an error of its own.
            let _printed = error.print().is_ok();
            return if wrong { process::Ended::Usage.into() } else { ExitCode::SUCCESS };
        }
    };
    process::main(cli.config, env!("CARGO_PKG_VERSION"), |settings| {
        let model = MattingModel::ready(&settings.matting).map_err(|error| chain(&error))?;
        let work = Arc::new(Workshop::new(settings.workshop(), model));
        Ok(|ports| Crew { ports, work })
    })
}
