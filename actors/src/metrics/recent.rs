//! The values of the last minutes and their percentiles, as exact as they were recorded. Pure.

use std::collections::{BTreeMap, VecDeque};

use hdrhistogram::Histogram;

use crate::clock::UtcMillis;
use crate::meter::Values;

/// How far back it looks: 30 slots of 10 s.
const SLOT_MS: i64 = 10_000;
const SLOTS: i64 = 30;
/// As the meter records them: up to an hour in microseconds, within 1 %.
const VALUE_MAX: u64 = 3_600_000_000;
const DIGITS: u8 = 2;

/// Percentiles of the values that came in the last five minutes, as recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percentiles {
    /// Half of the values are at most this.
    pub p50: u64,
    /// 95 of 100.
    pub p95: u64,
    /// 99 of 100.
    pub p99: u64,
}

/// Remembers them.
#[derive(Debug)]
pub(super) struct Recent {
    slots: VecDeque<(i64, BTreeMap<u64, u64>)>,
    all: Histogram<u64>,
}

impl Default for Recent {
    fn default() -> Self {
        let all = Histogram::new_with_max(VALUE_MAX, DIGITS);
        Self { slots: VecDeque::new(), all: all.expect("the bounds are constants that the library takes") }
    }
}

impl Recent {
    pub(super) fn merge(&mut self, values: &Values, now: UtcMillis) {
        self.forget(now);
        let slot = now.0.div_euclid(SLOT_MS);
        if self.slots.back().is_none_or(|(newest, _)| *newest != slot) {
            self.slots.push_back((slot, BTreeMap::new()));
        }
        let Some((_, counts)) = self.slots.back_mut() else { return };
        for (value, count) in &values.counts {
            *counts.entry(*value).or_default() += count;
            self.all.saturating_record_n(*value, *count);
        }
    }

    /// None where nothing came.
    pub(super) fn percentiles(&mut self, now: UtcMillis) -> Option<Percentiles> {
        self.forget(now);
        let at = |part: f64| self.all.value_at_quantile(part);
        (!self.all.is_empty()).then(|| Percentiles { p50: at(0.5), p95: at(0.95), p99: at(0.99) })
    }

    /// Forgets what is too old, and what a clock that was set back had put into the future.
    fn forget(&mut self, now: UtcMillis) {
        let slot = now.0.div_euclid(SLOT_MS);
        let before = self.slots.len();
        self.slots.retain(|(one, _)| (slot - SLOTS + 1..=slot).contains(one));
        if self.slots.len() == before {
            return;
        }
        self.all.reset();
        for (value, count) in self.slots.iter().flat_map(|(_, counts)| counts) {
            self.all.saturating_record_n(*value, *count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(counts: &[(u64, u64)]) -> Values {
        Values { counts: counts.to_vec(), sum: 0 }
    }

    fn near(got: u64, wanted: u64) -> bool {
        got >= wanted && got - wanted <= wanted / 64
    }

    #[test]
    fn a_value_between_two_buckets_is_told_as_it_was() {
        let mut recent = Recent::default();
        assert_eq!(recent.percentiles(UtcMillis(0)), None);
        recent.merge(&values(&[(4_000_000, 1), (20_000, 99)]), UtcMillis(0));
        recent.merge(&values(&[(4_000_000, 1)]), UtcMillis(9_999));
        let told = recent.percentiles(UtcMillis(20_000)).unwrap();
        assert!(near(told.p50, 20_000) && near(told.p95, 20_000) && near(told.p99, 4_000_000), "{told:?}");
    }

    #[test]
    fn five_minutes_later_it_is_forgotten() {
        let mut recent = Recent::default();
        recent.merge(&values(&[(7_000, 1)]), UtcMillis(0));
        recent.merge(&values(&[(90_000, 1)]), UtcMillis(200_000));
        assert!(near(recent.percentiles(UtcMillis(299_999)).unwrap().p50, 7_000));
        assert!(near(recent.percentiles(UtcMillis(300_000)).unwrap().p50, 90_000));
        assert_eq!(recent.percentiles(UtcMillis(500_000)), None);
    }

    #[test]
    fn a_clock_that_is_set_back_begins_anew() {
        let mut recent = Recent::default();
        recent.merge(&values(&[(7_000, 1)]), UtcMillis(1_000_000));
        recent.merge(&values(&[(90_000, 1)]), UtcMillis(0));
        assert!(near(recent.percentiles(UtcMillis(0)).unwrap().p50, 90_000));
        for slot in 0..1000 {
            recent.merge(&values(&[(1, 1)]), UtcMillis(slot * SLOT_MS));
        }
        assert_eq!(recent.slots.len(), 30);
    }
}
