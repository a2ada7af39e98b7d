//! What a storm tells: counts by outcome, recoveries with their times, how long answers took, and every violation with the seed.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use crate::book::{Answer, Ask, Kind};
use crate::oracle::Violation;

/// Violations of one rule that are shown one by one; more are counted.
const SHOWN_MAX: usize = 6;

/// The outcome of a storm.
pub struct Report {
    say: Box<dyn FnMut(&str)>,
    outcomes: BTreeMap<String, usize>,
    answer_times: Vec<Duration>,
    recoveries: Vec<Duration>,
    facts: Vec<String>,
    violations: Vec<Violation>,
}

impl Report {
    /// A report that tells how far it is by `say`.
    pub(crate) fn new(say: impl FnMut(&str) + 'static) -> Self {
        Self {
            say: Box::new(say),
            outcomes: BTreeMap::new(),
            answer_times: Vec::new(),
            recoveries: Vec::new(),
            facts: Vec::new(),
            violations: Vec::new(),
        }
    }

    /// Tells how far it is.
    pub(crate) fn say(&mut self, line: &str) {
        (self.say)(line);
    }

    /// Adds a line to the summary.
    pub(crate) fn fact(&mut self, line: String) {
        self.facts.push(line);
    }

    /// Counts what clients got.
    pub(crate) fn count(&mut self, asks: &[Ask]) {
        for ask in asks.iter().filter(|ask| ask.kind != Kind::Fence) {
            let outcome = match ask.answers.first() {
                Some((at, Answer::Text { .. })) => {
                    self.answer_times.push(*at - ask.sent);
                    "answered"
                }
                Some((_, Answer::Failed { kind, .. })) => kind,
                Some((_, Answer::Other)) => "strange",
                None if ask.cancelled.is_some() => "cancelled without a word",
                None if ask.lost => "connection gone",
                None => "no answer",
            };
            *self.outcomes.entry(outcome.to_owned()).or_default() += 1;
        }
    }

    /// Notes how long after it listened nothing was open any more.
    pub(crate) fn recovered(&mut self, after: Duration) {
        self.recoveries.push(after);
    }

    /// Notes broken promises; where there are some, the last lines of the daemon's log help.
    pub(crate) fn broken(&mut self, found: Vec<Violation>, log: impl FnOnce() -> Vec<String>) {
        if found.is_empty() {
            return;
        }
        if self.violations.is_empty() {
            for line in log() {
                (self.say)(&format!("  exai | {line}"));
            }
        }
        for violation in found {
            if self.violations.iter().filter(|known| known.rule == violation.rule).count() < SHOWN_MAX {
                (self.say)(&format!("VIOLATION {violation}"));
            }
            self.violations.push(violation);
        }
    }

    /// Whether every promise was kept.
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }

    /// The broken promises.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// The summary; `replay` is the command line that storms the same again.
    pub fn summary(&mut self, seed: u64, replay: &str) -> String {
        let mut text = String::new();
        let total: usize = self.outcomes.values().sum();
        let _ = writeln!(text, "requests: {total}");
        for (outcome, count) in &self.outcomes {
            let _ = writeln!(text, "  {outcome}: {count}");
        }
        if let Some(line) = spread(&mut self.answer_times) {
            let _ = writeln!(text, "answers after: {line}");
        }
        if let Some(line) = spread(&mut self.recoveries) {
            let _ = writeln!(text, "starts: {}, nothing open after: {line}", self.recoveries.len());
        }
        for fact in &self.facts {
            let _ = writeln!(text, "{fact}");
        }
        if self.violations.is_empty() {
            let _ = write!(text, "seed {seed}: every promise was kept");
        } else {
            let mut by_rule: BTreeMap<_, usize> = BTreeMap::new();
            for violation in &self.violations {
                *by_rule.entry(violation.rule).or_default() += 1;
            }
            let _ = writeln!(text, "VIOLATIONS: {} {by_rule:?}", self.violations.len());
            let _ = write!(text, "seed {seed}; again with: {replay}");
        }
        text
    }
}

/// Median, 99th percentile and the longest of some times.
pub(crate) fn spread(times: &mut [Duration]) -> Option<String> {
    times.sort_unstable();
    let at = |share: usize| times.get((times.len() * share / 100).min(times.len().saturating_sub(1)));
    let ms = |time: &Duration| time.as_secs_f64() * 1000.0;
    let (median, high, longest) = (at(50)?, at(99)?, times.last()?);
    Some(format!("p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms", ms(median), ms(high), ms(longest)))
}
