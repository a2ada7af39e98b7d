//! How many second and third attempts a provider is sent: a part of its first attempts and a trickle, so that retries cannot become
//! the storm that keeps it down. Pure.

use std::time::Duration;

use crate::clock::Instant;

/// Thousandths of a retry that each first attempt deposits: 20 %.
const DEPOSIT: u64 = 200;
/// Thousandths of a retry that a retry costs; as many milliseconds bring them, which is the trickle of one a second.
const RETRY: u64 = 1000;
/// The most that is kept: ten seconds' worth of the trickle.
const KEPT_MAX: u64 = 10 * RETRY;

/// What is left for retries.
#[derive(Debug, Clone)]
pub(super) struct RetryBudget {
    kept: u64,
    at: Instant,
}

impl RetryBudget {
    /// A full budget.
    pub(super) fn new(now: Instant) -> Self {
        Self { kept: KEPT_MAX, at: now }
    }

    /// A first attempt goes.
    pub(super) fn deposit(&mut self, now: Instant) {
        self.advance(now);
        self.kept = (self.kept + DEPOSIT).min(KEPT_MAX);
    }

    /// How long until there is enough for one retry; zero when there is.
    pub(super) fn wait(&mut self, now: Instant) -> Duration {
        self.advance(now);
        Duration::from_millis(RETRY.saturating_sub(self.kept))
    }

    /// A retry goes, for which there was enough at this same moment.
    pub(super) fn withdraw(&mut self, now: Instant) {
        self.advance(now);
        debug_assert!(self.kept >= RETRY, "a retry went for which there was no budget");
        self.kept = self.kept.saturating_sub(RETRY);
    }

    /// Whole retries that are left.
    pub(super) fn left(&mut self, now: Instant) -> u32 {
        self.advance(now);
        u32::try_from(self.kept / RETRY).unwrap_or(u32::MAX)
    }

    fn advance(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at);
        let whole = u64::try_from(passed.as_millis()).unwrap_or(KEPT_MAX);
        self.kept = self.kept.saturating_add(whole).min(KEPT_MAX);
        // What is less than a millisecond counts next time.
        self.at += Duration::from_millis(whole);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    /// Retries that go at this moment.
    fn spend(budget: &mut RetryBudget, now: Instant) -> u32 {
        let mut spent = 0;
        while budget.wait(now).is_zero() {
            budget.withdraw(now);
            spent += 1;
        }
        spent
    }

    #[test]
    fn a_fifth_of_the_first_attempts_and_one_a_second() {
        let mut now = clock::now();
        let mut budget = RetryBudget::new(now);
        assert_eq!((budget.left(now), spend(&mut budget, now)), (10, 10));
        assert_eq!(budget.wait(now), Duration::from_secs(1));
        for _ in 0..20 {
            budget.deposit(now);
        }
        assert_eq!(spend(&mut budget, now), 4);
        now += Duration::from_millis(2_700);
        assert_eq!(spend(&mut budget, now), 2);
        assert_eq!(budget.wait(now), Duration::from_millis(300));
        now += Duration::from_secs(3_600);
        assert_eq!(spend(&mut budget, now), 10);
    }

    #[test]
    fn no_time_is_lost_between_two_looks() {
        let mut now = clock::now();
        let mut budget = RetryBudget::new(now);
        spend(&mut budget, now);
        for _ in 0..10_000 {
            now += Duration::from_micros(300);
            budget.wait(now);
        }
        assert_eq!(budget.left(now), 3);
    }
}
