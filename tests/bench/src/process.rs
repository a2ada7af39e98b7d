//! What the kernel says about a process: CPU, memory, descriptors (proc(5)). Reading it costs the process nothing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// A process, by its id.
#[derive(Clone, Copy)]
pub(crate) struct Process(pub(crate) u32);

impl Process {
    /// The CPU that all its threads have used, in user and kernel mode; in steps of one tick, usually 10 ms.
    pub(crate) fn cpu(self) -> io::Result<Duration> {
        cpu_in(&self.folder().join("stat"))
    }

    /// The resident memory, in KiB (`VmRSS`).
    pub(crate) fn rss_kib(self) -> io::Result<u64> {
        let status = fs::read_to_string(self.folder().join("status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok())
            .ok_or_else(|| io::Error::other("the kernel tells no VmRSS"))
    }

    /// How many descriptors it has open.
    pub(crate) fn descriptors(self) -> io::Result<usize> {
        Ok(fs::read_dir(self.folder().join("fd"))?.count())
    }

    fn folder(self) -> PathBuf {
        Path::new("/proc").join(self.0.to_string())
    }
}

/// The CPU that the doubles of this process have used: each runs in a thread that is named for it.
pub(crate) fn doubles_cpu() -> io::Result<Duration> {
    let mut sum = Duration::ZERO;
    for task in fs::read_dir("/proc/self/task")? {
        let task = task?.path();
        // A thread may end between the listing and the look at it.
        if fs::read_to_string(task.join("comm")).is_ok_and(|name| name.starts_with("upstream-")) {
            sum += cpu_in(&task.join("stat"))?;
        }
    }
    Ok(sum)
}

/// Raises the number of descriptors as far as it may go; children inherit it. Gives what is allowed then.
pub(crate) fn raise_descriptors() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let allowed = if setrlimit(Resource::Nofile, raised).is_ok() { limit.maximum } else { limit.current };
    allowed.unwrap_or(u64::MAX)
}

fn cpu_in(stat: &Path) -> io::Result<Duration> {
    let text = fs::read_to_string(stat)?;
    let ticks = ticks_of(&text).ok_or_else(|| io::Error::other("the kernel tells no CPU times"))?;
    Ok(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
}

/// `utime` and `stime`, fields 14 and 15; the name before them may hold spaces and parentheses.
fn ticks_of(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11);
    Some(times.next()?.parse::<u64>().ok()? + times.next()?.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_moves_no_field() {
        let stat = "7 (a) b c) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 9 9 20 0 8 0 1 1 1";
        assert_eq!(ticks_of(stat), Some(300));
        assert_eq!(ticks_of("7 (cut"), None);
    }
}
