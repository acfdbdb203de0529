//! What processes take, as the kernel counts it: processor time, which other work on the
//! machine stretches only a little, and resident memory.

use std::time::Duration;

use anyhow::{Context as _, Result};

/// User and system time of a process so far, all threads, in the kernel's steps of 10 ms
/// (`proc(5)`, fields 14 and 15 of `stat`, counted after the command's name).
pub(crate) fn processor_time(pid: u32) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    let stat = stat.with_context(|| format!("process {pid} is gone"))?;
    let fields = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let steps: u64 = fields.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(steps * 10))
}

/// Resident memory of a process now, in bytes.
pub(crate) fn resident_bytes(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
    let status = status.with_context(|| format!("process {pid} is gone"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    Ok(kib.context("the kernel tells no resident memory")? * 1024)
}

/// Processor time of several processes, each with a name.
pub(crate) struct Meter {
    names: Vec<(&'static str, u32)>,
    before: Vec<Duration>,
}

impl Meter {
    /// Begins now. Processes of the same name are counted together.
    pub(crate) fn start(names: Vec<(&'static str, u32)>) -> Result<Self> {
        let before = names.iter().map(|(_, pid)| processor_time(*pid)).collect::<Result<_>>()?;
        Ok(Self { names, before })
    }

    /// What each name took since the start, in the order of the names.
    pub(crate) fn taken(&self) -> Result<Vec<(&'static str, Duration)>> {
        let mut taken: Vec<(&'static str, Duration)> = Vec::new();
        for ((name, pid), before) in self.names.iter().zip(&self.before) {
            let own = processor_time(*pid)?.saturating_sub(*before);
            match taken.iter_mut().find(|(known, _)| known == name) {
                Some((_, sum)) => *sum += own,
                None => taken.push((name, own)),
            }
        }
        Ok(taken)
    }
}
