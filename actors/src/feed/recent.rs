//! What the last minutes were like: rates and percentiles of the calls that ended, and a sample every few seconds. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use serde::Serialize;

use crate::clock::UtcMillis;
use crate::dispatcher::CallSeen;

/// How long a call counts for rates and percentiles.
const WINDOW_MS: i64 = 5 * 60 * 1000;
/// How long a call counts for the throughput.
const MINUTE_MS: i64 = 60 * 1000;
/// Calls that count; the newest of more.
const CALLS_MAX: usize = 16 * 1024;
/// How often a sample is kept.
pub(super) const SAMPLE_EVERY: Duration = Duration::from_secs(5);
/// Samples that are kept: 15 minutes.
const SAMPLES_MAX: usize = 180;

/// How calls went lately.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Rates {
    /// Calls that ended, a second, over the last minute.
    pub per_second: f64,
    /// Calls that ended in the last five minutes.
    pub ended: usize,
    /// Those of them that failed; a cancel is no failure.
    pub failed: usize,
    /// Half of the answered ones took at most so many milliseconds.
    pub p50_ms: Option<u64>,
    /// 95 of 100 of them.
    pub p95_ms: Option<u64>,
    /// 99 of 100 of them.
    pub p99_ms: Option<u64>,
}

/// One point in time of the charts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sample {
    /// When.
    pub at: UtcMillis,
    /// Calls that hold permits.
    pub in_flight: usize,
    /// Calls that wait for permits.
    pub waiting: usize,
    /// How calls went.
    #[serde(flatten)]
    pub rates: Rates,
    /// Tokens since the start: of prompts, and of answers.
    pub tokens: [u64; 2],
    /// US dollars since the start.
    pub cost_usd: f64,
    /// Bytes of memory that the process holds.
    pub memory_bytes: u64,
    /// How late a timer of this thread came, in milliseconds.
    pub lag_ms: f64,
}

/// Remembers the last minutes.
#[derive(Debug, Default)]
pub(super) struct Recent {
    calls: VecDeque<(i64, u64, &'static str)>,
    pub(super) samples: VecDeque<Sample>,
}

impl Recent {
    pub(super) fn ended(&mut self, call: &CallSeen) {
        let ms = call.ms.unwrap_or(0);
        let at = call.asked_at.0.saturating_add_unsigned(ms);
        if self.calls.len() >= CALLS_MAX {
            self.calls.pop_front();
        }
        self.calls.push_back((at, ms, call.phase));
    }

    pub(super) fn rates(&mut self, now: UtcMillis) -> Rates {
        while self.calls.front().is_some_and(|(at, ..)| *at < now.0 - WINDOW_MS) {
            self.calls.pop_front();
        }
        let lately = self.calls.iter().filter(|(at, ..)| *at >= now.0 - MINUTE_MS).count();
        let failed =
            self.calls.iter().filter(|(_, _, end)| !["completed", "cancelled"].contains(end)).count();
        let answered = self.calls.iter().filter(|(_, _, end)| *end == "completed");
        let mut times = answered.map(|(_, ms, _)| *ms).collect::<Vec<_>>();
        times.sort_unstable();
        let at = |percent: usize| {
            let rank = (times.len() * percent).div_ceil(100).saturating_sub(1);
            times.get(rank).copied()
        };
        let per_second = f64::from(u32::try_from(lately).unwrap_or(u32::MAX)) / 60.0;
        Rates { per_second, ended: self.calls.len(), failed, p50_ms: at(50), p95_ms: at(95), p99_ms: at(99) }
    }

    pub(super) fn sample(&mut self, sample: Sample) {
        if self.samples.len() >= SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }
}
