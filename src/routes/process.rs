//! What the system says of this process, from `/proc`. Where it says nothing, nothing is told.

use std::fs;

/// What the process uses.
pub(crate) struct Usage {
    /// Processor time, user and system, in seconds.
    pub(crate) cpu_seconds: f64,
    /// Memory that is in RAM, in bytes.
    pub(crate) resident_bytes: u64,
    /// Open file descriptors.
    pub(crate) open_fds: u64,
}

impl Usage {
    /// Reads it (proc(5): `stat` fields 14 and 15, `statm` field 2). These files are no files and do not block.
    #[expect(
        clippy::cast_precision_loss,
        reason = "ticks of a processor: 2^53 of them take millions of years"
    )]
    pub(crate) fn read() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let ticks = ticks(&stat)? as f64;
        Some(Self {
            cpu_seconds: ticks / rustix::param::clock_ticks_per_second() as f64,
            resident_bytes: resident_bytes()?,
            open_fds: open_fds()?,
        })
    }
}

/// Memory that is in RAM, in bytes; none where the system does not say.
pub(crate) fn resident_bytes() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages = statm.split_whitespace().nth(1)?.parse::<u64>().ok()?;
    Some(pages * u64::try_from(rustix::param::page_size()).ok()?)
}

/// The folder's size, which is their number since Linux 6.2. Before it they are counted, and ten thousand take milliseconds.
fn open_fds() -> Option<u64> {
    let folder = "/proc/self/fd";
    match fs::metadata(folder).ok()?.len() {
        // The folder itself is open while it is read.
        0 => u64::try_from(fs::read_dir(folder).ok()?.count()).ok()?.checked_sub(1),
        number => Some(number),
    }
}

/// The name of the program may hold spaces and parentheses; the fields begin behind the last one.
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system) = (fields.next()?, fields.next()?);
    Some(user.parse::<u64>().ok()? + system.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strange_name_does_not_shift_the_fields() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 100 0 0 0 11 22 0 0 20 0 5 0 1 1 1";
        assert_eq!(ticks(stat), Some(33));
        assert!(Usage::read().is_some_and(|usage| usage.resident_bytes > 0 && usage.open_fds > 2));
    }
}
