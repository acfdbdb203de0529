//! A real worker process whose work is a script: it draws nothing, takes as long as it is
//! told, pays if it is told to, and writes down every call. With `PACKSHOT_TEST_CRASH` it dies
//! at named points of the protocol, at each once.
//!
//! | variable | meaning |
//! |---|---|
//! | `PACKSHOT_TEST_LOG` | file to which every step is appended: point, attempt, process |
//! | `PACKSHOT_TEST_JOB_MS` | how long an image takes; of several numbers (`500,2000`) the job's key chooses |
//! | `PACKSHOT_TEST_IMAGES` | 0: an image leaves no bytes in the object store |
//! | `PACKSHOT_TEST_COST` | what a candidate costs, in millionths of a dollar; 0 = nothing is bought |
//! | `PACKSHOT_TEST_CRASH` | `point=marker file,…`: die there unless the marker file exists |

use std::process::ExitCode;
use std::sync::Arc;

use packshot_tests::points::Points;
use packshot_tests::script::Script;
use packshot_worker::process::{self, Crew};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let points = Arc::new(Points::from_environment());
    process::main(None, env!("CARGO_PKG_VERSION"), move |_settings| {
        Ok(move |ports| Crew {
            ports: packshot_tests::around(ports, &points),
            work: Arc::new(Script::from_environment(points)),
        })
    })
}
