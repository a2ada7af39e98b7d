//! One test for each transition, and for each outcome that must change nothing.

mod model;
mod trusted;

use super::*;
use crate::clock;

const PROBE_WITHIN: Duration = Duration::from_secs(330);
/// The jitter's middle: an open time as it is written down.
const EVEN: f64 = 0.5;
const FAILURE: Tally = Tally::Failure { why: "timeout", stated: None };

/// A breaker and its time.
struct Rig {
    breaker: Breaker,
    now: Instant,
}

impl Rig {
    fn new() -> Self {
        let now = clock::now();
        Self { breaker: Breaker::new(PROBE_WITHIN, now), now }
    }

    /// Opened by five failures in a row.
    fn opened() -> Self {
        let mut rig = Self::new();
        rig.fail(5);
        assert_eq!(rig.breaker.position(), BreakerPosition::Open);
        rig
    }

    /// Open time over.
    fn half_open() -> Self {
        let mut rig = Self::opened();
        rig.pass_time(5);
        assert_eq!(rig.breaker.position(), BreakerPosition::HalfOpen);
        rig
    }

    fn pass_time(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.breaker.advance(self.now);
    }

    fn take(&mut self) -> Pass {
        assert_eq!(self.breaker.leave(self.now), Leave::Granted);
        self.breaker.take(self.now)
    }

    fn settle(&mut self, pass: Pass, tally: Tally) {
        self.breaker.settle(pass, tally, EVEN, self.now);
    }

    fn call(&mut self, tally: Tally) {
        let pass = self.take();
        self.settle(pass, tally);
    }

    fn fail(&mut self, times: usize) {
        for _ in 0..times {
            self.call(FAILURE);
        }
    }

    /// The seconds for which it is open.
    fn open_for(&mut self) -> f64 {
        match self.breaker.leave(self.now) {
            Leave::Refused { until: Some(until), .. } => until.duration_since(self.now).as_secs_f64(),
            other @ (Leave::Refused { until: None, .. } | Leave::Granted) => panic!("{other:?}"),
        }
    }

    fn position(&self) -> BreakerPosition {
        self.breaker.position()
    }
}

#[test]
fn five_failures_in_a_row_open_it() {
    let mut rig = Rig::new();
    rig.fail(4);
    rig.call(Tally::Success);
    rig.fail(4);
    rig.call(Tally::Nothing);
    assert_eq!(rig.position(), BreakerPosition::Closed);
    rig.pass_time(3_600);
    rig.fail(1);
    let seen = rig.breaker.seen(rig.now);
    assert_eq!((seen.position, seen.since, seen.why), (BreakerPosition::Open, rig.now, Some("timeout")));
}

#[test]
fn half_of_ten_calls_opens_it_and_less_does_not() {
    let mut rig = Rig::new();
    for _ in 0..4 {
        rig.call(FAILURE);
        rig.call(Tally::Success);
    }
    assert_eq!(rig.position(), BreakerPosition::Closed, "eight calls are too few");
    rig.call(Tally::Success);
    rig.fail(1);
    assert_eq!(rig.position(), BreakerPosition::Open);

    let mut rig = Rig::new();
    for _ in 0..50 {
        rig.call(Tally::Success);
        rig.call(Tally::Success);
        rig.call(FAILURE);
    }
    assert_eq!(rig.position(), BreakerPosition::Closed, "a third is not half");
    for _ in 0..3 {
        rig.call(FAILURE);
        rig.call(Tally::Success);
    }
    rig.pass_time(31);
    rig.call(FAILURE);
    assert_eq!(rig.breaker.seen(rig.now).failures, 1, "what is older than the window is forgotten");
}

#[test]
fn an_open_one_refuses_until_its_time_is_over() {
    let mut rig = Rig::opened();
    assert_eq!(rig.open_for(), 5.0);
    rig.now += Duration::from_millis(4_999);
    let until = rig.now + Duration::from_millis(1);
    let wait = Some(Duration::from_millis(1));
    assert_eq!(rig.breaker.leave(rig.now), Leave::Refused { until: Some(until), wait });
    rig.now = until;
    assert_eq!(rig.breaker.leave(rig.now), Leave::Granted);
    assert_eq!(rig.breaker.seen(rig.now).since, until);
}

#[test]
fn the_open_time_doubles_to_five_minutes_and_is_jittered() {
    let mut rig = Rig::opened();
    let mut times = vec![rig.open_for()];
    for _ in 0..7 {
        rig.pass_time(400);
        rig.fail(1);
        times.push(rig.open_for());
    }
    assert_eq!(times, [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0]);

    for (chance, seconds) in [(0.0, 4.0), (0.25, 4.5), (0.75, 5.5)] {
        let mut rig = Rig::new();
        rig.fail(4);
        let pass = rig.take();
        rig.breaker.settle(pass, FAILURE, chance, rig.now);
        assert_eq!(rig.open_for(), seconds);
    }
}

#[test]
fn the_open_time_is_short_again_after_a_minute_closed() {
    for (closed_for, open_for) in [(59, 20.0), (60, 5.0)] {
        let mut rig = Rig::half_open();
        rig.fail(1);
        rig.pass_time(10);
        for _ in 0..3 {
            rig.call(Tally::Success);
        }
        rig.pass_time(closed_for);
        rig.fail(5);
        assert_eq!(rig.open_for(), open_for, "closed for {closed_for} s");
    }
}

#[test]
fn a_stated_wait_is_never_cut_short() {
    let mut rig = Rig::new();
    rig.call(Tally::Failure { why: "server", stated: Some(Duration::from_secs(90)) });
    rig.pass_time(10);
    rig.fail(4);
    assert_eq!(rig.open_for(), 80.0, "whichever failure stated it");
    let mut rig = Rig::half_open();
    rig.call(Tally::Failure { why: "server", stated: Some(Duration::from_secs(2)) });
    assert_eq!(rig.open_for(), 10.0, "and never makes it shorter");
}

#[test]
fn half_open_lets_one_call_at_a_time_through_and_three_close_it() {
    let mut rig = Rig::half_open();
    for round in 1..=3 {
        let probe = rig.take();
        for _ in 0..1_000 {
            assert!(matches!(rig.breaker.leave(rig.now), Leave::Refused { .. }), "round {round}");
        }
        assert_eq!(rig.position(), BreakerPosition::HalfOpen);
        rig.settle(probe, Tally::Success);
    }
    let seen = rig.breaker.seen(rig.now);
    assert_eq!((seen.position, seen.why, seen.failures), (BreakerPosition::Closed, None, 0));
}

#[test]
fn any_failure_opens_a_half_open_one_again() {
    let mut rig = Rig::half_open();
    rig.call(Tally::Success);
    rig.call(Tally::Success);
    rig.fail(1);
    assert_eq!((rig.position(), rig.open_for()), (BreakerPosition::Open, 10.0));
    rig.pass_time(10);
    rig.call(Tally::Success);
    assert_eq!(rig.position(), BreakerPosition::HalfOpen, "successes of an earlier life do not count");
}

#[test]
fn a_probe_without_an_outcome_frees_its_place_and_counts_nothing() {
    let mut rig = Rig::half_open();
    rig.call(Tally::Success);
    rig.call(Tally::Success);
    for _ in 0..10 {
        rig.call(Tally::Nothing);
    }
    assert_eq!(rig.position(), BreakerPosition::HalfOpen);
    rig.call(Tally::Success);
    assert_eq!(rig.position(), BreakerPosition::Closed);
}

#[test]
fn a_lost_probe_gives_its_place_back_in_time() {
    let mut rig = Rig::half_open();
    let lost = rig.take();
    rig.now += PROBE_WITHIN - Duration::from_millis(1);
    assert!(matches!(rig.breaker.leave(rig.now), Leave::Refused { .. }));
    rig.now += Duration::from_millis(1);
    let probe = rig.take();
    rig.settle(lost, FAILURE);
    assert_eq!(rig.position(), BreakerPosition::HalfOpen, "its outcome comes too late");
    assert!(matches!(rig.breaker.leave(rig.now), Leave::Refused { .. }), "and frees nothing");
    rig.settle(probe, Tally::Success);
    rig.take();
}

#[test]
fn a_probe_that_answers_for_long_closes_it() {
    let mut rig = Rig::half_open();
    let probe = rig.take();
    rig.pass_time(200);
    rig.breaker.answering(probe, rig.now);
    rig.pass_time(5);
    rig.breaker.answering(probe, rig.now);
    rig.now += Duration::from_millis(4_999);
    assert!(matches!(rig.breaker.leave(rig.now), Leave::Refused { .. }));
    rig.now += Duration::from_millis(1);
    rig.take();
    assert_eq!(rig.position(), BreakerPosition::Closed);
    rig.settle(probe, Tally::Success);
    assert_eq!(rig.position(), BreakerPosition::Closed);
    assert_eq!(rig.breaker.seen(rig.now).failures, 0);
}

#[test]
fn outcomes_of_an_earlier_life_change_nothing() {
    let mut rig = Rig::new();
    let early = (0..10).map(|_| rig.take()).collect::<Vec<_>>();
    rig.fail(5);
    rig.settle(early[0], Tally::Success);
    assert_eq!(rig.position(), BreakerPosition::Open);
    rig.pass_time(5);
    rig.settle(early[1], FAILURE);
    rig.settle(early[2], Tally::Success);
    rig.breaker.answering(early[3], rig.now);
    assert_eq!(rig.position(), BreakerPosition::HalfOpen);
    for _ in 0..3 {
        rig.call(Tally::Success);
    }
    for pass in &early[4..] {
        rig.settle(*pass, FAILURE);
    }
    let seen = rig.breaker.seen(rig.now);
    assert_eq!((seen.position, seen.failures), (BreakerPosition::Closed, 0));
}

#[test]
fn the_operator_opens_disables_and_resets_it() {
    let mut rig = Rig::new();
    let early = rig.take();
    rig.breaker.force_open(rig.now);
    rig.pass_time(100_000);
    assert_eq!(rig.breaker.leave(rig.now), Leave::Refused { until: None, wait: None });
    rig.settle(early, Tally::Success);
    assert_eq!(rig.breaker.seen(rig.now).why, Some("operator"));

    rig.breaker.disable(rig.now);
    rig.fail(100);
    let seen = rig.breaker.seen(rig.now);
    assert_eq!((seen.position, seen.failures), (BreakerPosition::Disabled, 100));

    rig.breaker.reset(rig.now);
    assert_eq!(rig.position(), BreakerPosition::Closed);
    rig.fail(5);
    assert_eq!(rig.open_for(), 5.0);
    rig.breaker.reset(rig.now);
    rig.take();
}
