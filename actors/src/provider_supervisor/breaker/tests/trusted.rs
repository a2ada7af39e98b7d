//! A probe that answers for long is trusted, and what that costs when it fails after all.

use std::time::Duration;

use super::super::{Breaker, Leave, Tally};
use crate::clock;

#[test]
fn streams_that_always_break_keep_it_open_longer_and_longer() {
    let mut now = clock::now();
    let mut breaker = Breaker::new(Duration::from_secs(40), now);
    let broken = Tally::Failure { why: "broken_stream", stated: None };
    for _ in 0..5 {
        let pass = breaker.take(now);
        breaker.settle(pass, broken, 0.5, now);
    }
    let mut waits = vec![];
    for _ in 0..4 {
        let Leave::Refused { wait: Some(wait), .. } = breaker.leave(now) else { panic!("it is closed") };
        waits.push(wait.as_secs());
        now += wait;
        let probe = breaker.take(now);
        breaker.answering(probe, now + Duration::from_secs(1));
        now += Duration::from_secs(90);
        assert_eq!(breaker.leave(now), Leave::Granted, "it answers for long, and holds nobody up");
        breaker.settle(probe, broken, 0.5, now);
    }
    assert_eq!(waits, [5, 10, 20, 40]);
}
