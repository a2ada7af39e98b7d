//! When an alert begins and when it is over. Pure: what was seen comes in with the time, notices come out, each once.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use exai_actors::clock::{Instant, Moment, UtcMillis};

/// The alerts, by the names that they have in the log, in the webhook and in the runbook.
pub(super) const BREAKER_OPEN: &str = "breaker_open";
pub(super) const ERROR_RATE: &str = "error_rate";
pub(super) const SPOOL_GROWING: &str = "spool_growing";
pub(super) const BUDGET_NEAR: &str = "budget_near";
pub(super) const DISK_LOW: &str = "disk_low";
pub(super) const STORAGE_AWAY: &str = "storage_away";

/// How long the disk may be low and the database away: a restart of the database is no alert.
const DISK_AFTER: Duration = Duration::from_secs(10);
const STORAGE_AFTER: Duration = Duration::from_secs(5);
/// How long outcomes may come in faster than the database takes them.
const SPOOL_AFTER: Duration = Duration::from_secs(10);
/// The window of the error rate, and how many calls must have ended in it, how many of a hundred badly.
const RATE_WITHIN: Duration = Duration::from_secs(60);
const RATE_CALLS_MIN: u64 = 10;
const RATE_PERCENT: u64 = 50;
/// The part of the day's budget that is worth a word.
const BUDGET_PART: f64 = 0.8;
/// How long a sign must be away before its alert is over: what flaps is one alert.
const OVER_AFTER: Duration = Duration::from_secs(10);

/// What the rules look at.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// Breakers through which calls do not go freely: `provider` or `provider/model`.
    pub(super) shut_breakers: Vec<String>,
    /// Calls since the start that ended well.
    pub(super) completed: u64,
    /// And those that did not; cancelled and refused ones are neither.
    pub(super) failed: u64,
    /// What the day has cost, where there is a budget and the bill could be read.
    pub(super) spent: Option<Spent>,
    pub(super) spool_rows: u64,
    /// What is wrong with the disk, if anything is.
    pub(super) disk: Option<String>,
    /// Why the database is away, if it is.
    pub(super) storage: Option<String>,
}

/// A day's bill beside its budget.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spent {
    pub(super) today_usd: f64,
    pub(super) budget_usd: f64,
}

/// An alert begins, or is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Notice {
    pub(super) alert: &'static str,
    /// What it is about: a breaker's name; empty where there is one of it alone.
    pub(super) subject: String,
    pub(super) is_over: bool,
    /// One sentence for the operator; no content, no secret.
    pub(super) detail: String,
    /// When the sign was first seen.
    pub(super) since: UtcMillis,
    pub(super) at: UtcMillis,
}

/// What must be remembered between two looks.
#[derive(Debug)]
pub(super) struct Rules {
    /// How long a breaker may be open or half-open.
    breaker_after: Duration,
    watched: BTreeMap<(&'static str, String), Watched>,
    /// Calls ended well and badly, with when that was seen; the newest before the window comes first.
    calls: VecDeque<(Instant, u64, u64)>,
    spool_before: u64,
    spool_grew: bool,
}

/// A sign that has been seen and is not over.
#[derive(Debug)]
struct Watched {
    since: Moment,
    last: Instant,
    is_told: bool,
}

impl Rules {
    pub(super) fn new(breaker_after: Duration) -> Self {
        let (watched, calls) = (BTreeMap::new(), VecDeque::new());
        Self { breaker_after, watched, calls, spool_before: 0, spool_grew: false }
    }

    /// What is to be told.
    pub(super) fn look(&mut self, seen: &Seen, moment: Moment) -> Vec<Notice> {
        let mut notices = Vec::new();
        for (alert, subject, after, detail) in self.signs(seen, moment.now) {
            let watched = self.watched.entry((alert, subject.clone())).or_insert(Watched {
                since: moment,
                last: moment.now,
                is_told: false,
            });
            watched.last = moment.now;
            if !watched.is_told && moment.now.saturating_duration_since(watched.since.now) >= after {
                watched.is_told = true;
                let (since, at) = (watched.since.utc, moment.utc);
                notices.push(Notice { alert, subject, is_over: false, detail, since, at });
            }
        }
        self.watched.retain(|(alert, subject), watched| {
            let away = moment.now.saturating_duration_since(watched.last);
            if !watched.is_told {
                return away.is_zero();
            }
            let is_over = away >= OVER_AFTER;
            if is_over {
                let (since, at, detail) = (watched.since.utc, moment.utc, String::new());
                notices.push(Notice { alert, subject: subject.clone(), is_over, detail, since, at });
            }
            !is_over
        });
        notices
    }

    /// The signs that are there: alert, subject, how long it may be there, and the words.
    fn signs(&mut self, seen: &Seen, now: Instant) -> Vec<(&'static str, String, Duration, String)> {
        let mut signs = Vec::new();
        for breaker in &seen.shut_breakers {
            let seconds = self.breaker_after.as_secs();
            let detail = format!("the circuit breaker of {breaker} has not been closed for {seconds} s");
            signs.push((BREAKER_OPEN, breaker.clone(), self.breaker_after, detail));
        }
        let alone = |alert, after, detail| (alert, String::new(), after, detail);
        let (failed, ended) = self.rate(seen, now);
        if ended >= RATE_CALLS_MIN && failed * 100 >= ended * RATE_PERCENT {
            let detail = format!("{failed} of the {ended} calls of the last minute failed");
            signs.push(alone(ERROR_RATE, Duration::ZERO, detail));
        }
        if let Some(Spent { today_usd, budget_usd }) = seen.spent.filter(Spent::is_near) {
            let detail =
                format!("{today_usd:.2} of the {budget_usd:.2} US dollars of the day (UTC) are spent");
            signs.push(alone(BUDGET_NEAR, Duration::ZERO, detail));
        }
        // Between two outcomes it stands still; it has ceased to grow when it shrinks.
        self.spool_grew = match seen.spool_rows.cmp(&self.spool_before) {
            std::cmp::Ordering::Greater => true,
            std::cmp::Ordering::Equal => self.spool_grew && seen.spool_rows > 0,
            std::cmp::Ordering::Less => false,
        };
        self.spool_before = seen.spool_rows;
        if self.spool_grew {
            let detail = format!("{} outcomes wait in the spool for the database", seen.spool_rows);
            signs.push(alone(SPOOL_GROWING, SPOOL_AFTER, detail));
        }
        if let Some(detail) = &seen.disk {
            signs.push(alone(DISK_LOW, DISK_AFTER, detail.clone()));
        }
        if let Some(detail) = &seen.storage {
            signs.push(alone(STORAGE_AWAY, STORAGE_AFTER, detail.clone()));
        }
        signs
    }

    /// Calls that ended in the window: badly, and in all.
    fn rate(&mut self, seen: &Seen, now: Instant) -> (u64, u64) {
        if self.calls.is_empty() {
            // Both began with the process.
            self.calls.push_back((now, 0, 0));
        }
        self.calls.push_back((now, seen.completed, seen.failed));
        while self.calls.get(1).is_some_and(|(at, ..)| now.saturating_duration_since(*at) >= RATE_WITHIN) {
            self.calls.pop_front();
        }
        let (completed, failed) = self.calls.front().map_or((0, 0), |(_, well, badly)| (*well, *badly));
        let (completed, failed) =
            (seen.completed.saturating_sub(completed), seen.failed.saturating_sub(failed));
        (failed, completed + failed)
    }
}

impl Spent {
    fn is_near(&self) -> bool {
        self.today_usd >= self.budget_usd * BUDGET_PART
    }
}
