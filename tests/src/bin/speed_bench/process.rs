//! Running a command and watching what it takes.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// What a command took.
pub(crate) struct Taken {
    /// Wall time.
    pub(crate) wall: Duration,
    /// Processor time of all its threads, which other work on the machine does not stretch.
    pub(crate) cpu: Duration,
    /// Peak resident memory in bytes; 0 where the system does not tell.
    pub(crate) peak_bytes: u64,
    /// Exit code; -1 after a signal.
    pub(crate) code: i32,
}

/// Runs `command` to its end, silently.
pub(crate) fn watch(command: &mut Command) -> anyhow::Result<Taken> {
    let started = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {command:?}"))?;
    let (mut peak_bytes, mut cpu) = (0, Duration::ZERO);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Taken { wall: started.elapsed(), cpu, peak_bytes, code: status.code().unwrap_or(-1) });
        }
        peak_bytes = peak_bytes.max(high_water(child.id()));
        cpu = cpu.max(processor_time(child.id()));
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The kernel's own high-water mark, so that nothing is missed between two looks but what
/// the very last one brings.
fn high_water(pid: u32) -> u64 {
    let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) else { return 0 };
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.trim().strip_suffix("kB"))
        .and_then(|number| number.trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// User and system time so far, in the kernel's steps of 10 ms (`proc(5)`, fields 14 and 15 of
/// `stat`, counted after the command's name, which may hold spaces).
fn processor_time(pid: u32) -> Duration {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return Duration::ZERO };
    let fields = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let steps: u64 = fields.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(steps * 10)
}

/// The `packshot` command built beside this one.
pub(crate) fn packshot() -> anyhow::Result<Command> {
    let path = std::env::current_exe()?.with_file_name("packshot");
    anyhow::ensure!(
        path.is_file(),
        "{} is not built: run `cargo build --release --workspace --bins`",
        path.display()
    );
    Ok(Command::new(path))
}
