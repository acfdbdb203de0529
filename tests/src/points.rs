//! Named points of the protocol: each is written down when it is reached, and some of them may
//! be where the process dies. The points inside of a job are reached by the script, the later
//! ones by ports that are wrapped.
//!
//! | point | what has just happened |
//! |---|---|
//! | `claimed` | the attempt is counted, nothing is done |
//! | `called` | the maker was called and paid, its answer is not saved |
//! | `saved` | the paid answer is saved |
//! | `blob` | the image is stored |
//! | `result` | the result is committed; `adopted`: another one stood; `unsure`: no answer came |
//! | `told` | the document has heard of it |
//! | `acking` | everything but the acknowledgement is done |
//! | `set-claimed`, `set-stored`, `set-pointed`, `set-told` | the same of a set |

use std::fs::OpenOptions;
use std::io::Write;

/// Every point at which a process may be made to die, in the order of the protocol.
pub const FATAL: [&str; 11] = [
    "claimed",
    "called",
    "saved",
    "blob",
    "result",
    "told",
    "acking",
    "set-claimed",
    "set-stored",
    "set-pointed",
    "set-told",
];

/// Where points are written down, and which of them kill.
#[derive(Debug, Default)]
pub struct Points {
    log: Option<String>,
    /// Point and marker file.
    crashes: Vec<(String, String)>,
}

impl Points {
    /// As `PACKSHOT_TEST_LOG` and `PACKSHOT_TEST_CRASH` say.
    pub fn from_environment() -> Self {
        let crash = |text: &str| {
            let (point, marker) = text.split_once('=').expect("PACKSHOT_TEST_CRASH is point=marker file,…");
            (point.to_owned(), marker.to_owned())
        };
        let crashes = std::env::var("PACKSHOT_TEST_CRASH").unwrap_or_default();
        let crashes = crashes.split(',').filter(|text| !text.is_empty()).map(crash).collect();
        Self { log: std::env::var("PACKSHOT_TEST_LOG").ok(), crashes }
    }

    fn write(&self, line: &str) {
        if let Some(log) = &self.log {
            let mut file = OpenOptions::new().create(true).append(true).open(log).unwrap();
            // One write, so that lines of several processes do not mix.
            file.write_all(format!("{line} {}\n", std::process::id()).as_bytes()).unwrap();
        }
    }

    /// Writes the point down, and dies there if that is wanted.
    pub fn reach(&self, point: &str, about: &str) {
        self.write(&format!("{point} {about}"));
        for (at, marker) in self.crashes.iter().filter(|(at, _)| at == point) {
            if OpenOptions::new().create_new(true).write(true).open(marker).is_ok() {
                self.write(&format!("died-at-{at} {about}"));
                // As abrupt as `kill -9`: nothing is flushed, dropped or told.
                std::process::abort();
            }
        }
    }
}
