//! What goes to the terminal: data to standard output, everything else to standard error.

use std::io::{self, IsTerminal, Write};

use packshot_runtime::causes::chain;

use crate::exit::Failure;

/// Writes data to standard output with a final line break. A reader that has gone away
/// (`| head`) ends the process quietly, as it does other tools.
pub fn data(text: impl AsRef<str>) {
    let mut out = io::stdout().lock();
    if writeln!(out, "{}", text.as_ref()).and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

/// Writes one line for people to standard error.
pub fn note(text: impl AsRef<str>) {
    // Nobody is left to tell when standard error itself is closed.
    let _closed = writeln!(io::stderr().lock(), "{}", text.as_ref()).is_err();
}

/// Whether progress may redraw lines.
pub fn is_interactive() -> bool {
    io::stderr().is_terminal()
}

/// Shows a failure with its causes and its hint.
pub fn failure(failure: &Failure) {
    note(format!("error: {}", chain(failure.error.as_ref())));
    if let Some(hint) = &failure.hint {
        note(format!("hint: {hint}"));
    }
}
