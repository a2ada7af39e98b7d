//! What the vital signs mean. Busy is not sick: permits that are all taken, a queue, a large answer in memory are work. It decides
//! and does nothing.

use std::collections::VecDeque;
use std::time::Duration;

use exai_actors::clock::{Instant, Moment, UtcMillis};
use exai_actors::health::Status;

/// From here on a thread that is late is worth a word, and from there on it counts as standing still.
const LATE: Duration = Duration::from_secs(3);
const STANDING: Duration = Duration::from_secs(10);
/// How long a restarted actor and a clock that jumped are told of.
const TOLD_FOR: Duration = Duration::from_secs(60);
/// A jump of the wall clock against the monotonic one, in milliseconds, that is more than a correction.
const JUMP_MS: i64 = 2_000;
/// Looks in a row that must find calls waiting with nothing running.
const STUCK_LOOKS: u32 = 5;
/// A disk is low when less than this is free, in bytes, and less than this part of it.
const FREE_BYTES_MIN: u64 = 256 << 20;
const FREE_PART_MIN: u64 = 20;
/// Memory is sampled by its lowest mark in each of so many minutes: what a burst takes and gives back is no growth.
const MARK_EVERY: Duration = Duration::from_secs(60);
const MARKS: usize = 60;
const MARKS_COMPARED: usize = 10;
/// Growth that is worth a word: half as much again, and at least so many bytes.
const GROWN_BYTES: u64 = 128 << 20;
const MIB: u64 = 1 << 20;

/// What was seen.
#[derive(Debug, Clone)]
pub(super) struct Signs {
    pub(super) threads: Vec<Thread>,
    /// Restarts of actors since the start.
    pub(super) restarts: u64,
    /// Records that wait for the next commit.
    pub(super) records_waiting: usize,
    pub(super) in_flight: usize,
    pub(super) waiting: usize,
    /// The global limit.
    pub(super) permits: usize,
    /// None where there is no spool.
    pub(super) spool: Option<SpoolSigns>,
    pub(super) disk: Disk,
    /// None where the system does not say.
    pub(super) resident_bytes: Option<u64>,
}

/// How late a thread is with saying that it turns.
#[derive(Debug, Clone, Copy)]
pub(super) struct Thread {
    pub(super) name: &'static str,
    pub(super) late: Duration,
}

/// What the spool holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct SpoolSigns {
    pub(super) rows: u64,
    pub(super) bytes: u64,
    pub(super) bytes_max: u64,
    /// Whether a damaged one is kept aside.
    pub(super) damaged: bool,
}

/// The disk of the data, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Disk {
    /// Nothing lies on this machine.
    None,
    /// It did not answer.
    Silent,
    Room {
        free: u64,
        size: u64,
    },
}

/// How one part is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) part: &'static str,
    pub(super) status: Status,
    pub(super) detail: String,
}

/// What must be remembered between two looks.
#[derive(Debug, Default)]
pub(super) struct Judge {
    restarts: u64,
    restarted: VecDeque<(Instant, u64)>,
    stuck_looks: u32,
    before: Option<(Instant, UtcMillis)>,
    jumped: Option<(Instant, i64)>,
    marks: VecDeque<u64>,
    mark_since: Option<Instant>,
}

impl Judge {
    /// How every part is.
    pub(super) fn judge(&mut self, signs: &Signs, moment: Moment) -> [Finding; 6] {
        let finding = |part, (status, detail)| Finding { part, status, detail };
        [
            finding(super::ACTORS, self.actors(signs, moment.now)),
            finding("permits", self.permits(signs)),
            finding("spool", spool(signs.spool)),
            finding("disk", disk(signs.disk)),
            finding("memory", self.memory(signs.resident_bytes, moment.now)),
            finding("clock", self.clock(moment)),
        ]
    }

    fn actors(&mut self, signs: &Signs, now: Instant) -> (Status, String) {
        let new = signs.restarts.saturating_sub(self.restarts);
        self.restarts = signs.restarts;
        if new > 0 {
            self.restarted.push_back((now, new));
        }
        while self.restarted.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) >= TOLD_FOR) {
            self.restarted.pop_front();
        }
        let slowest = signs.threads.iter().max_by_key(|thread| thread.late);
        if let Some(thread) = slowest.filter(|thread| thread.late >= LATE) {
            let detail =
                format!("the thread `{}` has not turned for {} s", thread.name, thread.late.as_secs());
            return (if thread.late >= STANDING { Status::Down } else { Status::Degraded }, detail);
        }
        let recent = self.restarted.iter().map(|(_, count)| count).sum::<u64>();
        if recent > 0 {
            return (Status::Degraded, format!("{recent} restarted in the last minute; see the log"));
        }
        let late = slowest.map_or(0, |thread| thread.late.as_millis());
        let (restarts, waiting) = (signs.restarts, signs.records_waiting);
        (Status::Ok, format!("{restarts} restarts, {late} ms behind, {waiting} records wait for a commit"))
    }

    fn permits(&mut self, signs: &Signs) -> (Status, String) {
        let Signs { in_flight, waiting, permits, .. } = signs;
        self.stuck_looks = if *in_flight == 0 && *waiting > 0 { self.stuck_looks + 1 } else { 0 };
        if self.stuck_looks >= STUCK_LOOKS {
            return (Status::Degraded, format!("{waiting} calls wait though none runs"));
        }
        (Status::Ok, format!("{in_flight} of {permits} in use, {waiting} calls wait"))
    }

    fn memory(&mut self, resident: Option<u64>, now: Instant) -> (Status, String) {
        let Some(resident) = resident else { return (Status::Ok, "the system does not say".to_owned()) };
        match (self.mark_since, self.marks.back_mut()) {
            (Some(since), Some(mark)) if now.saturating_duration_since(since) < MARK_EVERY => {
                *mark = resident.min(*mark);
            }
            (Some(_) | None, Some(_) | None) => {
                self.mark_since = Some(now);
                self.marks.push_back(resident);
            }
        }
        if self.marks.len() > MARKS {
            self.marks.pop_front();
        }
        let lowest = |marks: &mut dyn Iterator<Item = &u64>| marks.take(MARKS_COMPARED).min().copied();
        let first = lowest(&mut self.marks.iter()).unwrap_or(resident);
        let last = lowest(&mut self.marks.iter().rev()).unwrap_or(resident);
        let full = self.marks.len() == MARKS;
        if full && last > first.saturating_add(GROWN_BYTES.max(first / 2)) {
            let detail = format!("grew from {} to {} MiB in an hour", first / MIB, last / MIB);
            return (Status::Degraded, detail);
        }
        (Status::Ok, format!("{} MiB", resident / MIB))
    }

    fn clock(&mut self, moment: Moment) -> (Status, String) {
        if let Some((now, utc)) = self.before.replace((moment.now, moment.utc)) {
            let passed = moment.now.saturating_duration_since(now).as_millis();
            let jump = moment.utc.0 - utc.0 - i64::try_from(passed).unwrap_or(i64::MAX);
            if jump.abs() >= JUMP_MS {
                self.jumped = Some((moment.now, jump));
            }
        }
        match self.jumped {
            Some((at, jump)) if moment.now.saturating_duration_since(at) < TOLD_FOR => {
                (Status::Degraded, format!("the wall clock jumped by {} s; look at NTP", jump / 1000))
            }
            Some(_) | None => (Status::Ok, "steady".to_owned()),
        }
    }
}

fn spool(signs: Option<SpoolSigns>) -> (Status, String) {
    let Some(SpoolSigns { rows, bytes, bytes_max, damaged }) = signs else {
        return (
            Status::Degraded,
            "none: outcomes have nowhere to wait while the database is away".to_owned(),
        );
    };
    let held = format!("{rows} outcomes, {} KiB of {} MiB", bytes.div_ceil(1024), bytes_max / MIB);
    if damaged {
        let detail = format!("{held}; a damaged one lies beside it as `spool.damaged`: look, then remove it");
        return (Status::Degraded, detail);
    }
    (if rows > 0 { Status::Degraded } else { Status::Ok }, held)
}

fn disk(disk: Disk) -> (Status, String) {
    match disk {
        Disk::None => (Status::Ok, "no data on this machine".to_owned()),
        Disk::Silent => (Status::Degraded, "the disk of the data folder does not answer".to_owned()),
        Disk::Room { free, size } => {
            let low = free < FREE_BYTES_MIN && free < size / FREE_PART_MIN;
            let words = format!("{} of {} MiB free", free / MIB, size / MIB);
            (if low { Status::Degraded } else { Status::Ok }, words)
        }
    }
}
