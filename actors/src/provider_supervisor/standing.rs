//! Whether calls may go to a provider. Pure: the deaths of its connection come in, with the time; leave or a refusal comes out.

use std::time::Duration;

use crate::clock::Instant;

/// How long a provider that was given up is left alone; it doubles each time.
const PAUSE_FIRST: Duration = Duration::from_secs(5);
/// The longest it is left alone.
const PAUSE_MAX: Duration = Duration::from_secs(300);
/// A connection that lived this long has recovered: the next pause is the first again.
const RECOVERED_AFTER: Duration = Duration::from_secs(60);

/// What a caller is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leave {
    /// Go on.
    Granted,
    /// The connection is gone, and the pause is over: start it anew, then go on.
    AfterStart,
    /// Not before this much time has passed.
    Refused(Duration),
}

/// The record of one provider's connection.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    restarts: u32,
    pause: Duration,
    since: Instant,
    left_alone_until: Option<Instant>,
}

impl Standing {
    /// A connection that starts now.
    pub(super) fn new(now: Instant) -> Self {
        Self { restarts: 0, pause: PAUSE_FIRST, since: now, left_alone_until: None }
    }

    /// The connection died and lives again behind the same address.
    pub(super) fn restarted(&mut self) {
        self.restarts = self.restarts.saturating_add(1);
    }

    /// The connection died too often and is gone. How long it is left alone; told twice of one death, it counts once.
    pub(super) fn gave_up(&mut self, now: Instant) -> Duration {
        if let Some(until) = self.left_alone_until {
            return until.saturating_duration_since(now);
        }
        if now.duration_since(self.since) > RECOVERED_AFTER {
            self.pause = PAUSE_FIRST;
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(PAUSE_MAX);
        self.left_alone_until = Some(now + pause);
        pause
    }

    /// A new connection has been started in the place of the one that is gone.
    pub(super) fn started_anew(&mut self, now: Instant) {
        self.restarts = self.restarts.saturating_add(1);
        self.since = now;
        self.left_alone_until = None;
    }

    /// Whether a call may go now.
    pub(super) fn leave(&self, now: Instant) -> Leave {
        match self.left_alone_until {
            None => Leave::Granted,
            Some(until) if until <= now => Leave::AfterStart,
            Some(until) => Leave::Refused(until.duration_since(now)),
        }
    }

    /// Times that the connection has been restarted.
    pub(super) fn restarts(&self) -> u32 {
        self.restarts
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock;

    #[test]
    fn the_pause_doubles_and_is_forgotten_after_a_good_life() {
        let mut now = clock::now();
        let mut standing = Standing::new(now);
        let mut pauses = vec![];
        for _ in 0..8 {
            let pause = standing.gave_up(now);
            assert_eq!(standing.leave(now), Leave::Refused(pause));
            now += pause;
            assert_eq!(standing.leave(now), Leave::AfterStart);
            standing.started_anew(now);
            assert_eq!(standing.leave(now), Leave::Granted);
            pauses.push(pause.as_secs());
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(standing.restarts(), 8);
        now += RECOVERED_AFTER + Duration::from_secs(1);
        assert_eq!(standing.gave_up(now), PAUSE_FIRST);
    }

    #[test]
    fn one_death_told_twice_counts_once() {
        let now = clock::now();
        let mut standing = Standing::new(now);
        assert_eq!(standing.gave_up(now), PAUSE_FIRST);
        assert_eq!(standing.gave_up(now + Duration::from_secs(2)), Duration::from_secs(3));
    }

    proptest! {
        #[test]
        fn a_refusal_always_names_an_end(steps in prop::collection::vec((0u8..4, 0u64..400), 1..200)) {
            let mut now = clock::now();
            let mut standing = Standing::new(now);
            for (event, seconds) in steps {
                now += Duration::from_secs(seconds);
                match event {
                    0 => standing.restarted(),
                    1 => drop(standing.gave_up(now)),
                    2 if standing.leave(now) == Leave::AfterStart => standing.started_anew(now),
                    _ => {}
                }
                if let Leave::Refused(wait) = standing.leave(now) {
                    prop_assert!(!wait.is_zero() && wait <= PAUSE_MAX);
                    prop_assert_eq!(standing.leave(now + wait), Leave::AfterStart);
                }
            }
        }
    }
}
