//! A kind of worker; every pool has one queue.

use serde::{Deserialize, Serialize};

/// A kind of worker.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pool {
    /// Processor-bound: the built-in maker.
    Studio,
    /// Waiting-bound: generation providers.
    Remote,
    /// Local models on a graphics card.
    Gpu,
    /// Set consistency and export.
    Assemble,
}

impl Pool {
    /// Every pool.
    pub const ALL: [Pool; 4] = [Pool::Studio, Pool::Remote, Pool::Gpu, Pool::Assemble];

    /// The word used in queue names, flags, logs and metrics.
    pub fn word(self) -> &'static str {
        match self {
            Pool::Studio => "studio",
            Pool::Remote => "remote",
            Pool::Gpu => "gpu",
            Pool::Assemble => "assemble",
        }
    }

    /// The pool with this word, if any.
    pub fn parse(word: &str) -> Option<Pool> {
        Pool::ALL.into_iter().find(|pool| pool.word() == word)
    }
}

impl std::fmt::Display for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}
