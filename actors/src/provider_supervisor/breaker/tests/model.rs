//! The breaker against a naive model of itself: every event is kept in a list, every question is answered by reading the list, and
//! a pass counts while it stands in a set. Millions of random events, seeded; a disagreement names its seed and step.

use std::collections::HashSet;
use std::time::Duration;

use super::super::{Breaker, Leave, Pass, Tally};
use crate::clock::{self, Instant};
use crate::metrics::messages::BreakerPosition as Position;

const PROBE_MS: u64 = 40_000;
const RUNS: u64 = 300;
const STEPS: usize = 4_000;

/// What the breaker should be, in milliseconds and lists.
struct Naive {
    position: Position,
    since: u64,
    until: u64,
    /// Outcomes since this life began: when, and whether it failed.
    log: Vec<(u64, bool)>,
    /// The passes that count.
    alive: HashSet<usize>,
    probe: Option<(usize, u64, Option<u64>)>,
    successes: u32,
    open_next: u64,
    stated: u64,
    /// The probe that closed it by answering for long.
    trusted: Option<usize>,
}

impl Naive {
    fn new() -> Self {
        Self {
            position: Position::Closed,
            since: 0,
            until: 0,
            log: vec![],
            alive: HashSet::new(),
            probe: None,
            successes: 0,
            open_next: 5_000,
            stated: 0,
            trusted: None,
        }
    }

    fn go(&mut self, position: Position, since: u64) {
        self.position = position;
        self.since = since;
        self.alive.clear();
        self.probe = None;
        self.trusted = None;
        self.successes = 0;
        if matches!(position, Position::Closed | Position::Disabled) {
            self.log.clear();
            self.stated = 0;
        }
    }

    fn advance(&mut self, now: u64) {
        if self.position == Position::Open && now >= self.until {
            self.go(Position::HalfOpen, self.until);
        }
        match self.probe {
            Some((ticket, _, Some(answering))) if now - answering >= 10_000 => {
                self.go(Position::Closed, now);
                self.trusted = Some(ticket);
            }
            Some((ticket, taken, None)) if now - taken >= PROBE_MS => {
                self.alive.remove(&ticket);
                self.probe = None;
            }
            _ => {}
        }
    }

    fn grants(&self) -> bool {
        match self.position {
            Position::Closed | Position::Disabled => true,
            Position::HalfOpen => self.probe.is_none(),
            Position::Open | Position::ForcedOpen | Position::Parked => false,
        }
    }

    fn take(&mut self, ticket: usize, now: u64) {
        self.alive.insert(ticket);
        if self.position == Position::HalfOpen {
            self.probe = Some((ticket, now, None));
        }
    }

    fn settle(&mut self, ticket: usize, tally: Tally, chance: f64, now: u64) {
        if self.trusted == Some(ticket) {
            self.trusted = None;
            if let (Tally::Failure { stated, .. }, Position::Closed) = (tally, self.position) {
                self.log.push((now, true));
                self.stated = self.stated.max(stated.map_or(0, |wait| now + wait.as_millis() as u64));
                self.open(chance, now);
            }
            return;
        }
        if !self.alive.remove(&ticket) {
            return;
        }
        let was_probe = self.probe.take().is_some();
        match tally {
            Tally::Nothing => return,
            Tally::Success => self.log.push((now, false)),
            Tally::Failure { stated, .. } => {
                self.log.push((now, true));
                self.stated = self.stated.max(stated.map_or(0, |wait| now + wait.as_millis() as u64));
            }
        }
        let failed = tally != Tally::Success;
        if was_probe {
            self.successes += 1;
            if failed {
                self.open(chance, now);
            } else if self.successes == 3 {
                self.go(Position::Closed, now);
            }
        } else if self.position == Position::Closed && failed && self.trips(now) {
            if self.trusted.is_none() && now - self.since >= 60_000 {
                self.open_next = 5_000;
            }
            self.open(chance, now);
        }
    }

    fn trips(&self, now: u64) -> bool {
        let in_a_row = self.log.iter().rev().take_while(|(_, failed)| *failed).count();
        // Buckets are counted from the beginning of the life, as a list of outcomes would be cut into them.
        let span = |at: u64| (at - self.since) / 3_000;
        let recent = self.log.iter().filter(|(at, _)| span(*at) + 10 > span(now));
        let recent = recent.map(|(_, failed)| *failed).collect::<Vec<_>>();
        let failures = recent.iter().filter(|failed| **failed).count();
        in_a_row >= 5 || (recent.len() >= 10 && failures * 2 >= recent.len())
    }

    fn open(&mut self, chance: f64, now: u64) {
        let jittered = (self.open_next as f64 * (0.8 + 0.4 * chance)).round() as u64;
        self.until = (now + jittered).max(self.stated);
        self.open_next = (self.open_next * 2).min(300_000);
        self.go(Position::Open, now);
    }
}

/// One run: both are told the same, and must be the same at every step.
fn run(seed: u64, start: Instant) -> usize {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut breaker = Breaker::new(Duration::from_millis(PROBE_MS), start);
    let mut naive = Naive::new();
    let mut out: Vec<(usize, Pass)> = vec![];
    let mut now_ms = 0;
    // Some runs fail nearly always, some nearly never.
    let failing = random.f64();
    let mut moves = 0;
    for step in 0..STEPS {
        now_ms += match random.u32(0..20) {
            0..14 => random.u64(0..800),
            14..19 => random.u64(0..8_000),
            _ => random.u64(0..90_000),
        };
        let now = start + Duration::from_millis(now_ms);
        naive.advance(now_ms);
        let before = naive.position;
        let of = format!("seed {seed}, step {step}");
        match random.u32(0..1_000) {
            0..450 => {
                let granted = breaker.leave(now) == Leave::Granted;
                assert_eq!(granted, naive.grants(), "{of}");
                if granted && out.len() < 40 {
                    out.push((step, breaker.take(now)));
                    naive.take(step, now_ms);
                }
            }
            450..900 if !out.is_empty() => {
                let (ticket, pass) = out.swap_remove(random.usize(0..out.len()));
                // A multiple of a quarter keeps the naive model's sums exact in milliseconds.
                let chance = f64::from(random.u32(0..4)) / 4.0;
                let stated = random.bool().then(|| Duration::from_secs(random.u64(0..30)));
                let tally = match random.f64() {
                    at if at < 0.1 => Tally::Nothing,
                    at if (at - 0.1) / 0.9 < failing => Tally::Failure { why: "timeout", stated },
                    _ => Tally::Success,
                };
                breaker.settle(pass, tally, chance, now);
                naive.settle(ticket, tally, chance, now_ms);
            }
            900..995 if !out.is_empty() => {
                let (ticket, pass) = out[random.usize(0..out.len())];
                breaker.answering(pass, now);
                match &mut naive.probe {
                    Some((probe, _, answering)) if *probe == ticket => {
                        answering.get_or_insert(now_ms);
                    }
                    _ => {}
                }
            }
            995 => {
                breaker.force_open(now);
                naive.go(Position::ForcedOpen, now_ms);
            }
            996 => {
                breaker.disable(now);
                naive.go(Position::Disabled, now_ms);
            }
            997..1_000 if matches!(before, Position::ForcedOpen | Position::Disabled) => {
                breaker.reset(now);
                naive.open_next = 5_000;
                naive.go(Position::Closed, now_ms);
            }
            _ => {}
        }
        breaker.advance(now);
        let seen = breaker.seen(now);
        let since = seen.since.duration_since(start).as_millis() as u64;
        assert_eq!((seen.position, since), (naive.position, naive.since), "{of}");
        let until = seen.until.map(|until| until.duration_since(start).as_millis() as u64);
        assert_eq!(until, (naive.position == Position::Open).then_some(naive.until), "{of}");
        moves += usize::from(naive.position != before);
    }
    moves
}

#[test]
fn agrees_with_a_naive_model_over_a_million_events() {
    let start = clock::now();
    let moves = (0..RUNS).map(|seed| run(seed, start)).sum::<usize>();
    assert!(moves > 10_000, "the events were too tame: {moves} moves in {} events", RUNS as usize * STEPS);
}
