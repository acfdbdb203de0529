//! How a command ends, as the shell sees it.

use std::process::ExitCode;

/// Every exit code of `packshot`; the table in the README is this list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// 0: everything asked for is complete.
    Complete,
    /// 1: wrong usage, or an input that cannot be read at all.
    Usage,
    /// 2: finished, and some SKUs, images or rows need attention.
    Attention,
    /// 3: stopped by a signal; the same command resumes.
    Interrupted,
    /// 4: the output cannot be written, or an outside system does not answer; the same
    /// command resumes once that is mended.
    Environment,
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Exit::Complete => 0,
            Exit::Usage => 1,
            Exit::Attention => 2,
            Exit::Interrupted => 3,
            Exit::Environment => 4,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}

/// An error that ends a command: what happened, what to do, and the code to end with.
#[derive(Debug)]
pub struct Failure {
    /// Code to end with.
    pub exit: Exit,
    /// What happened, with its chain of causes.
    pub error: anyhow::Error,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Failure {
    /// Wrong usage or unreadable input.
    pub fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self { exit: Exit::Usage, error: error.into(), hint: None }
    }

    /// The output or an outside system.
    pub fn environment(error: impl Into<anyhow::Error>) -> Self {
        Self { exit: Exit::Environment, error: error.into(), hint: None }
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
