//! Whether calls to one model go too fast for its provider: closed for as long as the provider said, or for a wait that grows while
//! it says nothing. Not a breaker: a provider that is busy is not broken. Pure.

use std::time::Duration;

use crate::clock::Instant;

/// The wait where the provider names none; it doubles with each refusal that follows the last.
const WAIT_FIRST: Duration = Duration::from_secs(1);
/// The longest wait that we choose ourselves.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// When a call went, so that a crowd that is refused together counts as one refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GatePass(u64);

/// A closed gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Closed {
    pub(super) since: Instant,
    pub(super) until: Instant,
}

/// One gate.
#[derive(Debug, Clone)]
pub(super) struct RateGate {
    closed: Option<Closed>,
    wait_next: Duration,
    /// Moves each time that it closes or is reset.
    generation: u64,
}

impl RateGate {
    /// An open gate.
    pub(super) fn new() -> Self {
        Self { closed: None, wait_next: WAIT_FIRST, generation: 0 }
    }

    /// Whether it is closed, and until when.
    pub(super) fn closed(&self, now: Instant) -> Option<Closed> {
        self.closed.filter(|closed| closed.until > now)
    }

    /// What a call that goes now carries.
    pub(super) fn pass(&self) -> GatePass {
        GatePass(self.generation)
    }

    /// The provider was too busy for the call, and the gate is closed now, unless it named no wait at all. A stated wait can only
    /// lengthen another; where none is stated, the calls that went before the gate last closed say nothing that is not known while it
    /// is, and once it is open again, that it was too soon for that.
    pub(super) fn busy(&mut self, pass: GatePass, stated: Option<Duration>, now: Instant) {
        let is_first = pass == self.pass();
        let wait = match stated {
            Some(wait) => wait,
            None if is_first => {
                let wait = self.wait_next;
                self.wait_next = (wait * 2).min(WAIT_MAX);
                wait
            }
            None if self.closed(now).is_none() => (self.wait_next / 2).max(WAIT_FIRST),
            None => return,
        };
        let before = self.closed(now);
        let until = (now + wait).max(before.map_or(now, |closed| closed.until));
        self.closed = Some(Closed { since: before.map_or(now, |closed| closed.since), until });
        if is_first {
            self.generation += 1;
        }
    }

    /// The provider answered. Of a call that went before the gate last closed, this says nothing.
    pub(super) fn answered(&mut self, pass: GatePass) {
        if pass == self.pass() {
            self.wait_next = WAIT_FIRST;
        }
    }

    /// Opens it and forgets what was.
    pub(super) fn reset(&mut self) {
        *self = Self { generation: self.generation + 1, ..Self::new() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    /// A call that goes when the gate next opens, and is refused without a word of how long to wait. The wait, in seconds.
    fn refused_again(gate: &mut RateGate, now: &mut Instant) -> u64 {
        let pass = gate.pass();
        gate.busy(pass, None, *now);
        let until = gate.closed(*now).map(|closed| closed.until).unwrap();
        let wait = until.duration_since(*now);
        assert_eq!(gate.closed(until), None);
        *now = until;
        wait.as_secs()
    }

    #[test]
    fn an_unstated_wait_doubles_until_a_call_is_answered() {
        let (mut gate, mut now) = (RateGate::new(), clock::now());
        let waits = (0..8).map(|_| refused_again(&mut gate, &mut now)).collect::<Vec<_>>();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        gate.answered(gate.pass());
        assert_eq!(refused_again(&mut gate, &mut now), 1);
    }

    #[test]
    fn a_crowd_that_is_refused_together_counts_once() {
        let (mut gate, now) = (RateGate::new(), clock::now());
        let crowd = [gate.pass(); 8];
        for pass in crowd {
            gate.busy(pass, None, now);
        }
        let second = now + Duration::from_secs(1);
        assert_eq!(gate.closed(now), Some(Closed { since: now, until: second }));
        // One of the crowd that is answered after all does not say that the provider has room again.
        gate.answered(crowd[0]);
        gate.busy(gate.pass(), None, second);
        assert_eq!(gate.closed(second).map(|closed| closed.until), Some(second + Duration::from_secs(2)));
        // One that is refused when the gate is open again has it closed again, and no longer than before.
        let late = second + Duration::from_secs(5);
        gate.busy(crowd[1], None, late);
        assert_eq!(gate.closed(late).map(|closed| closed.until), Some(late + Duration::from_secs(2)));
    }

    #[test]
    fn a_stated_wait_is_kept_and_only_lengthened() {
        let (mut gate, now) = (RateGate::new(), clock::now());
        let crowd = gate.pass();
        gate.busy(crowd, Some(Duration::from_secs(30)), now);
        gate.busy(crowd, Some(Duration::from_secs(10)), now);
        gate.busy(crowd, None, now);
        let until = now + Duration::from_secs(30);
        assert_eq!(gate.closed(now), Some(Closed { since: now, until }));
        gate.busy(crowd, Some(Duration::from_secs(90)), now);
        assert_eq!(gate.closed(now).map(|closed| closed.until), Some(now + Duration::from_secs(90)));
        gate.reset();
        assert_eq!(gate.closed(now), None);
    }
}
