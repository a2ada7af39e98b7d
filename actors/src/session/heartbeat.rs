//! When a session pings, and when silence means that its peer is gone (RFC 6455 5.5.2). Pure: time is an argument.

use std::cell::Cell;
use std::time::Duration;

use crate::clock::Instant;

/// When the peer was heard last.
#[derive(Debug)]
pub(super) struct Hearing {
    at: Cell<Instant>,
    is_held_back: Cell<bool>,
}

impl Hearing {
    /// Heard when it connected.
    pub(super) fn new(now: Instant) -> Self {
        Self { at: Cell::new(now), is_held_back: Cell::new(false) }
    }

    /// Bytes came.
    pub(super) fn heard(&self, now: Instant) {
        self.at.set(now);
    }

    /// Nothing is read until there is a place for what was read last: the peer's silence is ours.
    pub(super) fn hold_back(&self) {
        self.is_held_back.set(true);
    }

    /// Reading goes on.
    pub(super) fn let_go(&self, now: Instant) {
        if self.is_held_back.replace(false) {
            self.at.set(now);
        }
    }

    /// When the peer was heard last, as far as anybody listened.
    pub(super) fn at(&self, now: Instant) -> Instant {
        if self.is_held_back.get() { now } else { self.at.get() }
    }
}

/// The pings of one session.
#[derive(Debug)]
pub(super) struct Heartbeat {
    every: Duration,
    within: Duration,
    asked_at: Option<Instant>,
}

/// What is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Beat {
    /// A ping now, and the next look after this long.
    Ping(Duration),
    /// Nothing; the next look after this long.
    Wait(Duration),
    /// The peer has been silent for too long after a ping.
    Dead,
}

impl Heartbeat {
    /// Pings `every` so often, and wants to hear something `within` this of each ping.
    pub(super) fn new(every: Duration, within: Duration) -> Self {
        debug_assert!(within < every, "a ping must be answered before the next one");
        Self { every, within, asked_at: None }
    }

    /// What is due now. Any bytes count as life, not pongs alone: a peer that is sending one large message over a slow line
    /// cannot put a pong into the middle of it.
    pub(super) fn beat(&mut self, heard_at: Instant, now: Instant) -> Beat {
        let Some(asked_at) = self.asked_at else {
            self.asked_at = Some(now);
            return Beat::Ping(self.within);
        };
        if heard_at >= asked_at {
            self.asked_at = None;
            return Beat::Wait((asked_at + self.every).duration_since(now));
        }
        let left = (asked_at + self.within).duration_since(now);
        if left.is_zero() { Beat::Dead } else { Beat::Wait(left) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const EVERY: Duration = Duration::from_secs(30);
    const WITHIN: Duration = Duration::from_secs(10);

    #[test]
    fn an_answered_ping_is_followed_by_the_next_one_in_step() {
        let start = clock::now();
        let mut heartbeat = Heartbeat::new(EVERY, WITHIN);
        assert_eq!(heartbeat.beat(start, start), Beat::Ping(WITHIN));
        let heard_at = start + Duration::from_secs(1);
        assert_eq!(heartbeat.beat(heard_at, start + WITHIN), Beat::Wait(EVERY - WITHIN));
        assert_eq!(heartbeat.beat(heard_at, start + EVERY), Beat::Ping(WITHIN));
    }

    #[test]
    fn silence_after_a_ping_is_death() {
        let start = clock::now();
        let mut heartbeat = Heartbeat::new(EVERY, WITHIN);
        assert_eq!(heartbeat.beat(start - WITHIN, start), Beat::Ping(WITHIN));
        let early = start + WITHIN / 2;
        assert_eq!(heartbeat.beat(start - WITHIN, early), Beat::Wait(WITHIN / 2));
        assert_eq!(heartbeat.beat(start - WITHIN, start + WITHIN), Beat::Dead);
    }

    #[test]
    fn a_peer_that_is_not_read_counts_as_alive_and_then_has_its_time() {
        let start = clock::now();
        let mut heartbeat = Heartbeat::new(EVERY, WITHIN);
        let hearing = Hearing::new(start - WITHIN);
        hearing.hold_back();
        heartbeat.beat(hearing.at(start), start);
        let late = start + WITHIN;
        assert_eq!(heartbeat.beat(hearing.at(late), late), Beat::Wait(EVERY - WITHIN));
        let next = start + EVERY;
        assert_eq!(heartbeat.beat(hearing.at(next), next), Beat::Ping(WITHIN));
        hearing.let_go(next + WITHIN / 2);
        let late = next + WITHIN;
        assert_eq!(heartbeat.beat(hearing.at(late), late), Beat::Wait(EVERY - WITHIN));
        assert_eq!(heartbeat.beat(hearing.at(next + EVERY), next + EVERY), Beat::Ping(WITHIN));
        assert_eq!(heartbeat.beat(hearing.at(next + EVERY + WITHIN), next + EVERY + WITHIN), Beat::Dead);
    }

    #[test]
    fn any_byte_after_the_ping_is_life() {
        let start = clock::now();
        let mut heartbeat = Heartbeat::new(EVERY, WITHIN);
        heartbeat.beat(start, start);
        assert_eq!(heartbeat.beat(start + WITHIN, start + WITHIN), Beat::Wait(EVERY - WITHIN));
    }
}
