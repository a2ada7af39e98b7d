//! The sums. Pure: deltas and facts go in, a snapshot and rows for the database come out.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::messages::BreakerMoved;
use super::recent::Recent;
use super::snapshot::{Buckets, Snapshot};
use super::windows::{Shaped, Windows};
use crate::clock::UtcMillis;
use crate::meter::{Counter, Delta, Distribution, Labels};

/// Series of one family, over all threads; what comes beyond is counted as `other`.
const SERIES_MAX: usize = 256;
/// Breakers whose positions are kept: positions cannot be summed under a common label.
const BREAKERS_MAX: usize = 256;
/// What stands in each label of the series for everything else.
const OTHER: &str = "other";

/// Keeps the sums.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    sums: Snapshot,
    series: [usize; Counter::ALL.len()],
    recent: BTreeMap<Distribution, Recent>,
    pub(super) windows: Windows,
}

impl Ledger {
    /// Adds what a thread counted.
    pub(super) fn merge(&mut self, delta: Delta, now: UtcMillis) {
        self.sums.lags.insert(delta.thread, delta.lag);
        self.sums.mailboxes.extend(delta.mailboxes);
        // In tenths of a millisecond, so that an hour of them is few values.
        let lag = u64::try_from(delta.lag.as_micros()).unwrap_or(u64::MAX) / 100 * 100;
        self.windows.note(Shaped::Lag, lag, now);
        for (counter, labels, n) in delta.counters {
            self.add(counter, labels, n, now);
        }
        for (distribution, values) in delta.distributions {
            let sums = self.sums.distributions.entry(distribution);
            sums.or_insert_with(|| Buckets::of(distribution)).merge(&values);
            self.recent.entry(distribution).or_default().merge(&values, now);
            self.windows.merge(distribution, &values, now);
        }
    }

    fn add(&mut self, counter: Counter, labels: Labels, n: u64, now: UtcMillis) {
        let labels = self.bounded(counter, labels);
        *self.sums.counters.entry((counter, Labels::clone(&labels))).or_default() += n;
        self.windows.add(counter, labels, n, now);
    }

    fn bounded(&mut self, counter: Counter, labels: Labels) -> Labels {
        let key = (counter, labels);
        if self.sums.counters.contains_key(&key) {
            return key.1;
        }
        let series = &mut self.series[counter as usize];
        if *series == SERIES_MAX - 1 {
            return counter.labels().iter().map(|_| Box::from(OTHER)).collect();
        }
        *series += 1;
        key.1
    }

    /// Counts what was given up.
    pub(super) fn dropped(&mut self, what: &str, n: u64, now: UtcMillis) {
        if n > 0 {
            self.add(Counter::Dropped, [Box::from(what)].into(), n, now);
        }
    }

    pub(super) fn breaker_moved(&mut self, fact: &BreakerMoved, now: UtcMillis) {
        let (provider, to) = (fact.provider.as_str(), fact.to.as_str());
        let model = fact.model.as_ref().map_or("", |model| model.as_str());
        self.add(Counter::BreakerTransitions, [provider.into(), model.into(), to.into()].into(), 1, now);
        let breaker = (provider.to_owned(), model.to_owned());
        if self.sums.breakers.len() < BREAKERS_MAX || self.sums.breakers.contains_key(&breaker) {
            self.sums.breakers.insert(breaker, fact.to);
        }
    }

    pub(super) fn snapshot(&mut self, now: UtcMillis) -> Arc<Snapshot> {
        let recent =
            self.recent.iter_mut().filter_map(|(one, values)| Some((*one, values.percentiles(now)?)));
        self.sums.recent = recent.collect();
        Arc::new(self.sums.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ids::ModelId;
    use crate::meter::Values;
    use crate::metrics::messages::BreakerPosition;

    const NOW: UtcMillis = UtcMillis(120_000);

    fn delta(thread: &'static str, counters: &[(Counter, &[&str], u64)]) -> Delta {
        let counters = counters.iter().map(|(counter, labels, n)| {
            (*counter, labels.iter().map(|label| Box::from(*label)).collect(), *n)
        });
        let values = Values { counts: vec![(2_000, 1), (20_000, 2)], sum: 42_000 };
        Delta {
            thread,
            lag: Duration::from_millis(1),
            counters: counters.collect(),
            distributions: vec![(Distribution::Call, values)],
            mailboxes: [("dispatcher", Duration::from_millis(2))].into(),
        }
    }

    #[test]
    fn sums_what_the_threads_hand_in() {
        let mut ledger = Ledger::default();
        let done: &[&str] = &["chat", "kimi", "kimi-k2.6", "completed"];
        let counted: [(Counter, &[&str], u64); 4] = [
            (Counter::Calls, done, 2),
            (Counter::SessionsOpened, &["websocket"], 3),
            (Counter::SessionsClosed, &["websocket"], 1),
            (Counter::Tokens, &["kimi", "kimi-k2.6", "completion"], 7),
        ];
        ledger.merge(delta("core", &counted), NOW);
        ledger.merge(
            delta("worker", &[(Counter::Calls, done, 5), (Counter::Cost, &["kimi", "k"], 500_000_000)]),
            NOW,
        );
        let snapshot = ledger.snapshot(NOW);
        let sums = snapshot.sums();
        assert_eq!((sums.calls["completed"], sums.calls_by_tool["chat"]), (7, 7));
        assert_eq!((sums.sessions_active, sums.sessions_total), (2, 3));
        assert_eq!((sums.tokens["kimi:kimi-k2.6"].completion, sums.cost_usd, sums.call_ms), (7, 0.5, 84));
        let calls = &snapshot.distributions[&Distribution::Call];
        assert_eq!((calls.count, calls.buckets[1], calls.buckets[4]), (6, (2_500, 2), (25_000, 4)));
        assert!(
            (20_000..20_400).contains(&snapshot.recent[&Distribution::Call].p99),
            "{:?}",
            snapshot.recent
        );
        assert_eq!(snapshot.lags.len(), 2);
        assert_eq!(snapshot.mailboxes["dispatcher"], Duration::from_millis(2));
    }

    #[test]
    fn breakers_stand_where_they_last_moved() {
        let mut ledger = Ledger::default();
        let model = Some(ModelId::from("kimi-k2.6"));
        for to in [BreakerPosition::Open, BreakerPosition::HalfOpen, BreakerPosition::Open] {
            ledger.breaker_moved(&BreakerMoved { provider: "kimi".into(), model: model.clone(), to }, NOW);
        }
        ledger.breaker_moved(
            &BreakerMoved { provider: "glm".into(), model: None, to: BreakerPosition::Parked },
            NOW,
        );
        let sums = ledger.snapshot(NOW).sums();
        assert_eq!(
            (sums.breakers["glm"], sums.breakers["kimi:kimi-k2.6"]),
            (BreakerPosition::Parked, BreakerPosition::Open)
        );
        assert_eq!(
            (sums.breaker_transitions["kimi:kimi-k2.6:open"], sums.breaker_transitions["glm:parked"]),
            (2, 1)
        );
    }

    #[test]
    fn series_are_bounded_and_nothing_is_lost() {
        let mut ledger = Ledger::default();
        for n in 0..10_000 {
            let tool = format!("tool-{n}");
            ledger.merge(delta("core", &[(Counter::Calls, &[&tool, "kimi", "k", "completed"], 1)]), NOW);
        }
        let snapshot = ledger.snapshot(NOW);
        assert_eq!(snapshot.of(Counter::Calls).count(), SERIES_MAX);
        assert_eq!(snapshot.of(Counter::Calls).map(|(_, n)| n).sum::<u64>(), 10_000);
    }
}
