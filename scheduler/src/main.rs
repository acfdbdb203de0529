//! The `packshot` command: parses, answers, and ends with the right code.

use std::process::ExitCode;

use clap::Parser;
use packshot_scheduler::cli::{
    Cli, Command, compare, control, doctor, edit, fetch, inspect, plan, rebuild, retry, run, serve, status,
    submit, watch,
};
use packshot_scheduler::exit::{Exit, Failure};
use packshot_scheduler::terminal;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let wrong = error.use_stderr();
            // Printing help to a closed pipe is not worth an error of its own.
            let _printed = error.print().is_ok();
            return if wrong { Exit::Usage.into() } else { Exit::Complete.into() };
        }
    };
    match answer(&cli.command) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            terminal::failure(&failure);
            failure.exit.into()
        }
    }
}

fn answer(command: &Command) -> Result<Exit, Failure> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::environment)?;
    match command {
        Command::Run(arguments) => runtime.block_on(run::run(arguments)),
        Command::Plan(arguments) => runtime.block_on(plan::plan(arguments)),
        Command::Inspect(arguments) => runtime.block_on(inspect::inspect(arguments)),
        Command::Compare(arguments) => compare::compare(arguments),
        Command::Edit(arguments) => edit::edit(arguments),
        Command::Submit(arguments) => runtime.block_on(submit::submit(arguments)),
        Command::Status(arguments) => runtime.block_on(status::status(arguments)),
        Command::Watch(arguments) => runtime.block_on(watch::watch(arguments)),
        Command::Pause(arguments) => runtime.block_on(control::pause(arguments)),
        Command::Resume(arguments) => runtime.block_on(control::resume(arguments)),
        Command::Cancel(arguments) => runtime.block_on(control::cancel(arguments)),
        Command::Priority(arguments) => runtime.block_on(control::priority(arguments)),
        Command::Retry(arguments) => runtime.block_on(retry::retry(arguments)),
        Command::Fetch(arguments) => runtime.block_on(fetch::fetch(arguments)),
        Command::Rebuild(arguments) => runtime.block_on(rebuild::rebuild(arguments)),
        Command::Doctor(arguments) => runtime.block_on(doctor::doctor(arguments)),
        Command::Serve(arguments) => runtime.block_on(serve::serve(arguments)),
    }
}
