//! What the last minutes were like, from the sums as they were then and as they are: rates and percentiles, and a sample every few
//! seconds. It counts nothing itself. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use serde::Serialize;

use crate::clock::{Instant, UtcMillis};
use crate::meter::{Counter, Distribution};
use crate::metrics::Snapshot;

/// How far back rates and percentiles look.
const WINDOW: Duration = Duration::from_secs(5 * 60);
/// How far back the throughput looks.
const MINUTE: Duration = Duration::from_secs(60);
/// How often a sample is kept.
pub(super) const SAMPLE_EVERY: Duration = Duration::from_secs(5);
/// Samples that are kept: 15 minutes.
const SAMPLES_MAX: usize = 180;
/// Ends of calls that are no failure: answered, ended by whoever asked, or answered with what another call got.
const NO_FAILURE: [&str; 3] = ["completed", "cancelled", "replayed"];

/// How calls went lately.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Rates {
    /// Calls that ended, a second, over the last minute.
    pub per_second: f64,
    /// Calls that ended in the last five minutes.
    pub ended: u64,
    /// Those of them that failed; a cancel is no failure.
    pub failed: u64,
    /// Half of them took at most so many milliseconds, within 1 %.
    pub p50_ms: Option<f64>,
    /// 95 of 100 of them.
    pub p95_ms: Option<f64>,
    /// 99 of 100 of them.
    pub p99_ms: Option<f64>,
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
    /// How late the latest of the threads was woken, in milliseconds.
    pub lag_ms: f64,
}

/// Remembers the last minutes.
#[derive(Debug, Default)]
pub(super) struct Recent {
    pasts: VecDeque<(Instant, Past)>,
    pub(super) samples: VecDeque<Sample>,
}

/// The sums of calls at one moment.
#[derive(Debug, Clone, Default)]
struct Past {
    ended: u64,
    failed: u64,
}

impl Past {
    fn of(sums: &Snapshot) -> Self {
        let mut past = Self::default();
        for (labels, n) in sums.of(Counter::Calls) {
            past.ended += n;
            past.failed += if NO_FAILURE.contains(&&*labels[3]) { 0 } else { n };
        }
        past
    }
}

impl Recent {
    /// How calls went until now, when the sums are these.
    pub(super) fn rates(&self, now: Instant, sums: &Snapshot) -> Rates {
        let (is, nothing) = (Past::of(sums), Past::default());
        let before = |ago: Duration| {
            let old = self.pasts.iter().rev().find(|(at, _)| now.duration_since(*at) >= ago);
            old.map_or(&nothing, |(_, past)| past)
        };
        let (minute, window) = (before(MINUTE), before(WINDOW));
        let ended = is.ended.saturating_sub(minute.ended);
        let times = sums.recent.get(&Distribution::Call);
        // An hour at most: more than that is not recorded.
        let in_ms = |micros: u64| f64::from(u32::try_from(micros).unwrap_or(u32::MAX)) / 1000.0;
        Rates {
            per_second: f64::from(u32::try_from(ended).unwrap_or(u32::MAX)) / MINUTE.as_secs_f64(),
            ended: is.ended.saturating_sub(window.ended),
            failed: is.failed.saturating_sub(window.failed),
            p50_ms: times.map(|times| in_ms(times.p50)),
            p95_ms: times.map(|times| in_ms(times.p95)),
            p99_ms: times.map(|times| in_ms(times.p99)),
        }
    }

    pub(super) fn sample(&mut self, now: Instant, sums: &Snapshot, sample: Sample) {
        // One beyond the window stays: it is what the window begins with.
        while self.pasts.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= WINDOW) {
            self.pasts.pop_front();
        }
        self.pasts.push_back((now, Past::of(sums)));
        if self.samples.len() >= SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::metrics::Percentiles;

    fn sums(completed: u64, failed: u64, p50: u64) -> Snapshot {
        let mut sums = Snapshot::default();
        for (outcome, n) in [("completed", completed), ("upstream_error", failed)] {
            let labels = ["chat", "kimi", "k2", outcome].map(Box::from);
            sums.counters.insert((Counter::Calls, labels.into_iter().collect()), n);
        }
        if p50 > 0 {
            sums.recent.insert(Distribution::Call, Percentiles { p50, p95: 2 * p50, p99: 3 * p50 });
        }
        sums
    }

    fn sample() -> Sample {
        let rates = Rates::default();
        let (at, tokens) = (UtcMillis(0), [0, 0]);
        Sample { at, in_flight: 0, waiting: 0, rates, tokens, cost_usd: 0.0, memory_bytes: 0, lag_ms: 0.0 }
    }

    #[test]
    fn rates_are_what_came_in_the_window() {
        let (mut recent, start) = (Recent::default(), clock::now());
        let first = sums(90, 10, 4_000_500);
        let rates = recent.rates(start, &first);
        assert_eq!((rates.ended, rates.failed), (100, 10));
        assert_eq!((rates.p50_ms, rates.p95_ms), (Some(4000.5), Some(8001.0)));
        recent.sample(start, &first, sample());
        let (second, later) = (sums(95, 15, 0), start + WINDOW);
        let rates = recent.rates(later, &second);
        assert_eq!((rates.ended, rates.failed, rates.p99_ms), (10, 5, None));
        assert!((rates.per_second - 10.0 / 60.0).abs() < 1e-9);
        let quiet = recent.rates(later + WINDOW, &first);
        assert_eq!((quiet.ended, quiet.failed), (0, 0));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (mut recent, start) = (Recent::default(), clock::now());
        for n in 0..1000 {
            recent.sample(start + SAMPLE_EVERY * n, &Snapshot::default(), sample());
        }
        assert_eq!(recent.samples.len(), SAMPLES_MAX);
        assert!(recent.pasts.len() <= 62, "{}", recent.pasts.len());
    }
}
