//! A circuit breaker: whether calls may go, told by how the last ones ended. Pure: outcomes, time and chance come in; leave or a
//! refusal comes out. It knows neither models nor providers, and it never grants what it has not counted as granted.

mod terms;
mod window;

use std::time::Duration;

use crate::clock::Instant;
use crate::metrics::messages::BreakerPosition;
pub(super) use terms::{Leave, Pass, Seen, Tally};
use window::Window;

/// The fewest calls in the window whose failures are a rate.
const CALLS_MIN: u32 = 10;
/// So many failures in a row open it whatever the rate: calls that take minutes are too few to make one.
const IN_A_ROW: u32 = 5;
/// How long it stays open the first time; it doubles with each further one.
const OPEN_FIRST: Duration = Duration::from_secs(5);
/// The longest it stays open, before jitter.
const OPEN_MAX: Duration = Duration::from_secs(300);
/// The jitter: the open time is this part of itself, up to as much above one, so that many breakers do not probe in step.
const JITTER_LEAST: f64 = 0.8;
/// Closed this long, it has recovered: it opens for the first time again.
const RECOVERED_AFTER: Duration = Duration::from_secs(60);
/// So many probes must succeed to close it.
const SUCCESSES: u32 = 3;
/// A probe that has been answering this long is success enough: a long answer does not hold everybody up.
const PROBE_ANSWERING: Duration = Duration::from_secs(10);
/// What a caller is told to wait while a probe is under way: most are settled within seconds.
const PROBE_LOOK: Duration = Duration::from_secs(1);

/// One breaker.
#[derive(Debug, Clone)]
pub(super) struct Breaker {
    state: State,
    since: Instant,
    /// Of the passes that count; it moves with every change of state, and with every probe.
    generation: u64,
    window: Window,
    failures_in_a_row: u32,
    open_next: Duration,
    /// The latest moment before which the upstream asked not to be called.
    stated_until: Option<Instant>,
    why: Option<&'static str>,
    probe_within: Duration,
    /// The probe that closed it by answering for long, while it is not settled: should it fail after all, nothing was proved.
    trusted: Option<Pass>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    Open { until: Instant },
    HalfOpen { successes: u32, probe: Option<Probe> },
    ForcedOpen,
    Disabled,
}

/// The one call that goes through to find out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Probe {
    taken: Instant,
    answering: Option<Instant>,
}

impl Breaker {
    /// A closed breaker. A probe that does not answer takes its place for `probe_within` at most.
    pub(super) fn new(probe_within: Duration, now: Instant) -> Self {
        Self {
            state: State::Closed,
            since: now,
            generation: 0,
            window: Window::new(now),
            failures_in_a_row: 0,
            open_next: OPEN_FIRST,
            stated_until: None,
            why: None,
            probe_within,
            trusted: None,
        }
    }

    /// Does what time alone brings about: an open time that is over, a probe that is lost, one that has answered long enough.
    pub(super) fn advance(&mut self, now: Instant) {
        match self.state {
            State::Open { until } if until <= now => {
                self.enter(State::HalfOpen { successes: 0, probe: None }, until);
            }
            State::HalfOpen { successes, probe: Some(probe) } => match probe.answering {
                Some(since) if now.duration_since(since) >= PROBE_ANSWERING => {
                    let probe = Pass(self.generation);
                    self.start_afresh(State::Closed, now);
                    self.trusted = Some(probe);
                }
                None if now.duration_since(probe.taken) >= self.probe_within => {
                    self.generation += 1;
                    self.state = State::HalfOpen { successes, probe: None };
                }
                Some(_) | None => {}
            },
            State::Open { .. } | State::HalfOpen { probe: None, .. } => {}
            State::Closed | State::ForcedOpen | State::Disabled => {}
        }
    }

    /// Whether a call may go now. It takes no place.
    pub(super) fn leave(&mut self, now: Instant) -> Leave {
        self.advance(now);
        match self.state {
            State::Closed | State::Disabled | State::HalfOpen { probe: None, .. } => Leave::Granted,
            State::Open { until } => Leave::refused(until, until.duration_since(now)),
            State::HalfOpen { probe: Some(probe), .. } => {
                let given_up = probe.taken + self.probe_within;
                let until =
                    probe.answering.map_or(given_up, |since| since + PROBE_ANSWERING).min(now + PROBE_LOOK);
                Leave::refused(until, until.duration_since(now))
            }
            State::ForcedOpen => Leave::Refused { until: None, wait: None },
        }
    }

    /// Lets a call go that has been granted leave at this same moment.
    pub(super) fn take(&mut self, now: Instant) -> Pass {
        debug_assert_eq!(self.leave(now), Leave::Granted, "a place was taken that is not free");
        if let State::HalfOpen { successes, .. } = self.state {
            self.generation += 1;
            self.state = State::HalfOpen { successes, probe: Some(Probe { taken: now, answering: None }) };
        }
        Pass(self.generation)
    }

    /// Notes that an answer has begun to arrive.
    pub(super) fn answering(&mut self, pass: Pass, now: Instant) {
        self.advance(now);
        if let State::HalfOpen { probe: Some(probe), .. } = &mut self.state
            && pass == Pass(self.generation)
        {
            probe.answering.get_or_insert(now);
        }
    }

    /// Takes a pass back with what became of its call. `chance` in `0.0..1.0` is the jitter of an open time.
    pub(super) fn settle(&mut self, pass: Pass, tally: Tally, chance: f64, now: Instant) {
        self.advance(now);
        if self.trusted == Some(pass) {
            self.settle_trusted(tally, chance, now);
            return;
        }
        if pass != Pass(self.generation) {
            return;
        }
        match self.state {
            State::Closed => {
                self.count(tally, now);
                if let Tally::Failure { why, .. } = tally
                    && self.has_failed_enough(now)
                {
                    if self.trusted.is_none() && now.duration_since(self.since) >= RECOVERED_AFTER {
                        self.open_next = OPEN_FIRST;
                    }
                    self.open(why, chance, now);
                }
            }
            State::Disabled => self.count(tally, now),
            State::HalfOpen { probe: None, .. } | State::Open { .. } | State::ForcedOpen => {}
            State::HalfOpen { successes, probe: Some(_) } => {
                self.count(tally, now);
                match tally {
                    Tally::Failure { why, .. } => self.open(why, chance, now),
                    Tally::Success if successes + 1 >= SUCCESSES => self.start_afresh(State::Closed, now),
                    Tally::Success => {
                        self.state = State::HalfOpen { successes: successes + 1, probe: None };
                    }
                    Tally::Nothing => self.state = State::HalfOpen { successes, probe: None },
                }
            }
        }
    }

    /// Opens it until the operator says otherwise.
    pub(super) fn force_open(&mut self, now: Instant) {
        self.why = Some("operator");
        self.enter(State::ForcedOpen, now);
    }

    /// Lets everything through, whatever becomes of it, until the operator says otherwise.
    pub(super) fn disable(&mut self, now: Instant) {
        self.start_afresh(State::Disabled, now);
    }

    /// Closes it and forgets what was; passes of its earlier life count for nothing.
    pub(super) fn reset(&mut self, now: Instant) {
        self.open_next = OPEN_FIRST;
        self.start_afresh(State::Closed, now);
    }

    /// Its state, as of the last thing that it was told.
    pub(super) fn position(&self) -> BreakerPosition {
        match self.state {
            State::Closed => BreakerPosition::Closed,
            State::Open { .. } => BreakerPosition::Open,
            State::HalfOpen { .. } => BreakerPosition::HalfOpen,
            State::ForcedOpen => BreakerPosition::ForcedOpen,
            State::Disabled => BreakerPosition::Disabled,
        }
    }

    /// Its state in full, as of the last thing that it was told.
    pub(super) fn seen(&self, now: Instant) -> Seen {
        let until = match self.state {
            State::Open { until } => Some(until),
            State::Closed | State::HalfOpen { .. } | State::ForcedOpen | State::Disabled => None,
        };
        let failures = self.window.counts(now).failures;
        Seen { position: self.position(), since: self.since, until, why: self.why, failures }
    }

    /// The probe that was trusted has ended. Where it failed, the breaker opens for longer than before, as if it had not closed.
    fn settle_trusted(&mut self, tally: Tally, chance: f64, now: Instant) {
        self.trusted = None;
        if let (Tally::Failure { why, .. }, State::Closed) = (tally, self.state) {
            self.count(tally, now);
            self.open(why, chance, now);
        }
    }

    fn count(&mut self, tally: Tally, now: Instant) {
        match tally {
            Tally::Success => {
                self.window.add(false, now);
                self.failures_in_a_row = 0;
            }
            Tally::Failure { stated, .. } => {
                self.window.add(true, now);
                self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
                self.stated_until = self.stated_until.max(stated.map(|wait| now + wait));
            }
            Tally::Nothing => {}
        }
    }

    fn has_failed_enough(&self, now: Instant) -> bool {
        let counts = self.window.counts(now);
        self.failures_in_a_row >= IN_A_ROW
            || (counts.calls >= CALLS_MIN && counts.failures.saturating_mul(2) >= counts.calls)
    }

    fn open(&mut self, why: &'static str, chance: f64, now: Instant) {
        let jittered = self.open_next.mul_f64(JITTER_LEAST + 2.0 * (1.0 - JITTER_LEAST) * chance);
        self.open_next = (self.open_next * 2).min(OPEN_MAX);
        let until = (now + jittered).max(self.stated_until.unwrap_or(now));
        self.why = Some(why);
        self.trusted = None;
        self.enter(State::Open { until }, now);
    }

    fn start_afresh(&mut self, state: State, now: Instant) {
        self.window = Window::new(now);
        self.failures_in_a_row = 0;
        self.stated_until = None;
        self.why = None;
        self.trusted = None;
        self.enter(state, now);
    }

    fn enter(&mut self, state: State, since: Instant) {
        self.generation += 1;
        self.state = state;
        self.since = since;
    }
}

#[cfg(test)]
mod tests;
