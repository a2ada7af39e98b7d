//! The sums of each minute and each hour, until they are in the database. Pure.
//!
//! A row always has the whole sum of its window, never an addition to it, and its labels name this life of the process: so writing it
//! again, because nobody knows whether the last time was heard, changes nothing, and neither another replica nor the life after a
//! restart writes the same row.

use std::collections::BTreeMap;

use super::snapshot::usd;
use crate::clock::UtcMillis;
use crate::meter::{Counter, Distribution, Labels, Values};
use crate::storage::rows::{LIFE_LABEL, Rollup, Span};

/// Windows that are kept while the database is away: three hours of minutes, two days of hours.
const MINUTES_MAX: usize = 180;
const HOURS_MAX: usize = 48;

/// Every window that is not yet wholly in the database.
#[derive(Debug, Default)]
pub(super) struct Windows {
    minutes: BTreeMap<i64, Window>,
    hours: BTreeMap<i64, Window>,
}

#[derive(Debug, Default)]
struct Window {
    counters: BTreeMap<(Counter, Labels), Written<u64>>,
    distributions: BTreeMap<Shaped, Written<Tally>>,
}

/// What has a shape in a window: a distribution, or a gauge that was looked at now and then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Shaped {
    Of(Distribution),
    /// How late the ticks of all threads came, in microseconds.
    Lag,
    /// Bytes that the process holds.
    Memory,
}

impl Shaped {
    fn name(self) -> &'static str {
        match self {
            Self::Of(distribution) => distribution.name(),
            Self::Lag => "exai_event_loop_lag_seconds",
            Self::Memory => "exai_process_resident_memory_bytes",
        }
    }

    fn steps(self) -> f64 {
        match self {
            Self::Of(distribution) => distribution.steps(),
            Self::Lag => 1e6,
            Self::Memory => 1.0,
        }
    }
}

/// A sum, with how much of it was sent to the database and how much is known to be there.
#[derive(Debug, Default)]
struct Written<T> {
    sum: T,
    count: u64,
    sent: u64,
    stands: u64,
}

#[derive(Debug, Default)]
struct Tally {
    counts: BTreeMap<u64, u64>,
    sum: u64,
}

impl Windows {
    pub(super) fn add(&mut self, counter: Counter, labels: Labels, n: u64, now: UtcMillis) {
        for window in self.at(now) {
            let series = window.counters.entry((counter, Labels::clone(&labels))).or_default();
            series.sum += n;
            series.count = series.sum;
        }
    }

    pub(super) fn merge(&mut self, distribution: Distribution, values: &Values, now: UtcMillis) {
        for window in self.at(now) {
            let series = window.distributions.entry(Shaped::Of(distribution)).or_default();
            for (value, count) in &values.counts {
                *series.sum.counts.entry(*value).or_default() += count;
                series.count += count;
            }
            series.sum.sum += values.sum;
        }
    }

    /// Notes what a gauge stands at.
    pub(super) fn note(&mut self, gauge: Shaped, value: u64, now: UtcMillis) {
        for window in self.at(now) {
            let series = window.distributions.entry(gauge).or_default();
            *series.sum.counts.entry(value).or_default() += 1;
            series.sum.sum += value;
            series.count += 1;
        }
    }

    fn at(&mut self, now: UtcMillis) -> [&mut Window; 2] {
        let start = |span: i64| now.0 - now.0.rem_euclid(span);
        let [minute, hour] = [Span::Minute, Span::Hour].map(|span| start(span.ms()));
        [self.minutes.entry(minute).or_default(), self.hours.entry(hour).or_default()]
    }

    /// Every row that is not known to stand as it is.
    pub(super) fn rows(&mut self, replica: &str) -> Vec<Rollup> {
        let mut rows = Vec::new();
        for (span, windows) in [(Span::Minute, &mut self.minutes), (Span::Hour, &mut self.hours)] {
            for (start, window) in windows {
                window.rows(&mut rows, span, UtcMillis(*start), replica);
            }
        }
        rows
    }

    /// What was sent last stands. Windows that are over and stand whole are forgotten.
    pub(super) fn confirm(&mut self, now: UtcMillis) {
        for (windows, span_ms) in [(&mut self.minutes, Span::Minute.ms()), (&mut self.hours, Span::Hour.ms())]
        {
            windows.retain(|start, window| !window.confirm() || start + span_ms > now.0);
        }
    }

    /// Forgets the oldest windows beyond the bound; how many rows that were not written went with them.
    pub(super) fn bound(&mut self) -> u64 {
        let mut gone = 0;
        for (windows, max) in [(&mut self.minutes, MINUTES_MAX), (&mut self.hours, HOURS_MAX)] {
            while windows.len() > max {
                gone += windows.pop_first().map_or(0, |(_, window)| window.unwritten());
            }
        }
        gone
    }
}

impl Window {
    fn rows(&mut self, rows: &mut Vec<Rollup>, span: Span, start: UtcMillis, replica: &str) {
        for ((counter, labels), series) in &mut self.counters {
            if series.is_news() {
                let names = counter.labels().iter().copied().zip(labels.iter().map(|label| &**label));
                rows.push(Rollup {
                    span,
                    start,
                    metric: format!("{}_total", counter.name()),
                    labels: in_json(names, replica),
                    count: i64::try_from(series.count).unwrap_or(i64::MAX),
                    sum: in_unit(*counter, series.sum),
                    shape: None,
                });
            }
        }
        for (shaped, series) in &mut self.distributions {
            if series.is_news() {
                let scaled = |value: u64| approximate(value) / shaped.steps();
                rows.push(Rollup {
                    span,
                    start,
                    metric: shaped.name().to_owned(),
                    labels: in_json(std::iter::empty(), replica),
                    count: i64::try_from(series.count).unwrap_or(i64::MAX),
                    sum: scaled(series.sum.sum),
                    shape: Some(
                        [0.0, 0.5, 0.95, 0.99, 1.0]
                            .map(|part| scaled(series.sum.quantile(part, series.count))),
                    ),
                });
            }
        }
    }

    /// Whether all of it stands.
    fn confirm(&mut self) -> bool {
        let mut whole = true;
        for series in self.counters.values_mut() {
            series.stands = series.sent;
            whole &= series.stands == series.count;
        }
        for series in self.distributions.values_mut() {
            series.stands = series.sent;
            whole &= series.stands == series.count;
        }
        whole
    }

    fn unwritten(&self) -> u64 {
        let counters = self.counters.values().filter(|series| series.stands < series.count).count();
        let distributions = self.distributions.values().filter(|series| series.stands < series.count).count();
        u64::try_from(counters + distributions).unwrap_or(u64::MAX)
    }
}

impl<T> Written<T> {
    fn is_news(&mut self) -> bool {
        self.sent = self.count;
        self.stands < self.count
    }
}

impl Tally {
    /// The value below or at which this part of all values is.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a part of a count is a count"
    )]
    fn quantile(&self, part: f64, count: u64) -> u64 {
        let wanted = ((approximate(count) * part).ceil() as u64).max(1);
        let mut seen = 0;
        let found = self.counts.iter().find(|(_, count)| {
            seen += **count;
            seen >= wanted
        });
        found.or(self.counts.last_key_value()).map_or(0, |(value, _)| *value)
    }
}

fn in_unit(counter: Counter, n: u64) -> f64 {
    if counter == Counter::Cost { usd(n) } else { approximate(n) }
}

#[expect(clippy::cast_precision_loss, reason = "the column is a float; the count beside it is exact")]
fn approximate(n: u64) -> f64 {
    n as f64
}

fn in_json<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>, replica: &'a str) -> String {
    let all = labels.chain([(LIFE_LABEL, replica)]).collect::<BTreeMap<_, _>>();
    // A map of texts has no reason not to be JSON.
    serde_json::to_string(&all).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(windows: &mut Windows, n: u64, at: i64) {
        windows.add(Counter::Files, [Box::from("kept")].into(), n, UtcMillis(at));
    }

    #[test]
    fn a_row_has_the_whole_sum_and_comes_again_until_it_stands() {
        let mut windows = Windows::default();
        add(&mut windows, 2, 60_001);
        let minute = |rows: &[Rollup]| {
            rows.iter().find(|row| row.span == Span::Minute).map(|row| (row.start.0, row.count))
        };
        assert_eq!(minute(&windows.rows("r")), Some((60_000, 2)));
        add(&mut windows, 3, 60_002);
        assert_eq!(minute(&windows.rows("r")), Some((60_000, 5)));
        add(&mut windows, 1, 60_003);
        windows.confirm(UtcMillis(60_004));
        assert_eq!(minute(&windows.rows("r")), Some((60_000, 6)));
        windows.confirm(UtcMillis(130_000));
        assert!(windows.minutes.is_empty() && windows.rows("r").is_empty());
        assert_eq!(windows.hours.len(), 1, "the hour goes on");
    }

    #[test]
    fn percentiles_are_those_of_the_window() {
        let mut windows = Windows::default();
        let values = Values { counts: (1..=100).map(|n| (n * 10_000, 1)).collect(), sum: 50_500_000 };
        windows.merge(Distribution::Call, &values, UtcMillis(0));
        let rows = windows.rows("r");
        let shape = rows[0].shape.unwrap();
        assert!((rows[0].sum - 50.5).abs() < 1e-9);
        for (got, wanted) in shape.into_iter().zip([0.01, 0.5, 0.95, 0.99, 1.0]) {
            assert!((got - wanted).abs() < 1e-9, "{shape:?}");
        }
    }

    #[test]
    fn a_gauge_has_the_shape_of_its_window() {
        let mut windows = Windows::default();
        for (value, at) in [(7, 0), (9, 1), (8, 59_999)] {
            windows.note(Shaped::Memory, value, UtcMillis(at));
        }
        let row = &windows.rows("r")[0];
        assert_eq!((row.metric.as_str(), row.count), ("exai_process_resident_memory_bytes", 3));
        assert_eq!(row.shape, Some([7.0, 8.0, 9.0, 9.0, 9.0]));
    }

    #[test]
    fn a_database_that_stays_away_costs_the_oldest_minutes_and_they_are_counted() {
        let mut windows = Windows::default();
        for minute in 0..200 {
            add(&mut windows, 1, minute * Span::Minute.ms());
        }
        assert_eq!(windows.bound(), 20);
        let hours = windows.rows("r").into_iter().filter(|row| row.span == Span::Hour);
        assert_eq!(hours.map(|row| row.count).sum::<i64>(), 200);
    }
}
