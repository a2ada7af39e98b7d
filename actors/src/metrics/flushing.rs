//! When the sums go to the database, and what is told of failures. Pure but for the write itself, which it hands to the writer.

use std::time::Duration;

use actix::Addr;

use crate::clock::{Instant, UtcMillis};
use crate::storage::rows::{FailedFlushes, Life, MetricsBatch, Rollup};
use crate::storage_writer::StorageWriter;

/// The longest wait after failures.
const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// Where the sums are stored, and how often.
#[derive(Debug, Clone)]
pub struct Flushing {
    /// Who writes.
    pub writer: Addr<StorageWriter>,
    /// How often.
    pub every: Duration,
    /// This life of the process.
    pub life: Life,
    /// Bytes of memory that the process holds.
    pub memory_bytes: fn() -> u64,
}

/// When the next flush is due.
#[derive(Debug, Default)]
pub(super) struct Pace {
    next: Option<Instant>,
    in_flight: bool,
    failed: Option<FailedFlushes>,
}

impl Pace {
    /// Whether to flush now. One is under way at a time.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        !self.in_flight && self.next.is_some_and(|next| now >= next)
    }

    pub(super) fn is_in_flight(&self) -> bool {
        self.in_flight
    }

    /// The first flush is due one period from the start.
    pub(super) fn begin(&mut self, now: Instant, every: Duration) {
        self.next.get_or_insert(now + every);
    }

    /// What the failures before it add to a batch.
    pub(super) fn batch(&mut self, life: Life, rows: Vec<Rollup>, at: UtcMillis) -> MetricsBatch {
        self.in_flight = true;
        MetricsBatch { id: uuid::Uuid::now_v7(), life, at, rows, failed: self.failed.clone() }
    }

    /// The flush ended. After failures the wait doubles, to a minute.
    pub(super) fn ended(
        &mut self,
        outcome: Result<(), String>,
        now: Instant,
        at: UtcMillis,
        every: Duration,
    ) {
        self.in_flight = false;
        let wait = match outcome {
            Ok(()) => {
                self.failed = None;
                every
            }
            Err(error) => {
                let failed =
                    self.failed.get_or_insert(FailedFlushes { since: at, times: 0, error: String::new() });
                failed.times += 1;
                failed.error = error;
                every.saturating_mul(1 << (failed.times - 1).min(8)).min(BACKOFF_MAX.max(every))
            }
        };
        self.next = Some(now + wait);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn failures_are_waited_out_longer_and_longer_and_told_with_the_next_success() {
        let (now, every) = (clock::now(), Duration::from_secs(10));
        let life = || Life { replica: "r".to_owned(), id: "l".to_owned() };
        let mut pace = Pace::default();
        pace.begin(now, every);
        assert!(!pace.is_due(now) && pace.is_due(now + every));
        for wait in [10, 20, 40, 60, 60] {
            pace.batch(life(), Vec::new(), UtcMillis(0));
            assert!(!pace.is_due(now + every * 100), "one at a time");
            pace.ended(Err("away".to_owned()), now, UtcMillis(7), every);
            assert!(
                !pace.is_due(now + Duration::from_secs(wait - 1))
                    && pace.is_due(now + Duration::from_secs(wait))
            );
        }
        let failed = pace.batch(life(), Vec::new(), UtcMillis(0)).failed.unwrap();
        assert_eq!((failed.times, failed.since, failed.error.as_str()), (5, UtcMillis(7), "away"));
        pace.ended(Ok(()), now, UtcMillis(8), every);
        assert_eq!(pace.batch(life(), Vec::new(), UtcMillis(0)).failed, None);
    }
}
