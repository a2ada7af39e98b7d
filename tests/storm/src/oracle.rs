//! The oracle: holds what clients sent and got, what the doubles received and what the database holds against each other. It knows no
//! clock, no socket and no file, so that hand-made journals can show that it fails when it must.

mod answers;
mod counted;
mod upstream;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Display};
use std::time::Duration;

use exai_upstream::Entry;

use crate::book::{Answer, Ask, Kind};
use crate::database::{AttemptRow, CallRow};

pub(crate) use counted::{UpstreamCounts, counted};

/// Three journals at rest, and what is known beside them.
#[derive(Debug, Default)]
pub struct Evidence {
    /// What clients sent and got.
    pub asks: Vec<Ask>,
    /// What clients saw that must never happen.
    pub oddities: Vec<String>,
    /// The chat requests that reached the doubles.
    pub entries: Vec<Entry>,
    /// The calls.
    pub calls: Vec<CallRow>,
    /// The upstream requests, as the database has them.
    pub attempts: Vec<AttemptRow>,
    /// Completed calls whose question and answer do not stand in their conversation, once each.
    pub torn: Vec<String>,
    /// Which call is which question's, as keys and answers told at any time: a key may name another call later.
    pub tags: HashMap<String, String>,
    /// Questions whose outcome was unknown after a start, and how many upstream requests each had had by then.
    pub unknown: HashMap<String, usize>,
    /// When panics were planted: a defect may be heard of for a moment.
    pub panics: Vec<Duration>,
    /// Whether the database was troubled: what was not acknowledged may stand or not.
    pub troubled: bool,
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which rule.
    pub rule: Rule,
    /// The key, the call or the connection.
    pub about: String,
    /// What was seen.
    pub what: String,
}

/// What the oracle holds true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// A request on a connection that stays up gets exactly one answer, or, cancelled, none.
    OneAnswer,
    /// A key reaches an upstream at most once, but for retries that the rules allow.
    OneRequest,
    /// What reached an upstream stands in `attempts`, and the reverse.
    Journalled,
    /// An answer that was given stands in the database, byte for byte, and can be had again.
    Durable,
    /// After a start nothing is open, and what was is resolved as it was.
    Recovered,
    /// At rest nothing is held.
    AtRest,
    /// Refusals are of the closed list, and fit what happened.
    Typed,
    /// Sockets end, and the process does, as promised.
    Ended,
    /// A cancel closes the upstream's socket in time.
    Cancelled,
    /// Counters, journal, rollups and the doubles' own journals agree to the last call.
    Counted,
}

impl Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}: {}", self.rule, self.about, self.what)
    }
}

impl Violation {
    pub(crate) fn new(rule: Rule, about: impl Into<String>, what: impl Into<String>) -> Self {
        Self { rule, about: about.into(), what: what.into() }
    }
}

/// Everything about one question.
#[derive(Default)]
struct Story<'a> {
    asks: Vec<&'a Ask>,
    entries: Vec<&'a Entry>,
    calls: Vec<&'a CallRow>,
    attempts: Vec<&'a AttemptRow>,
}

impl Story<'_> {
    /// How often leave was given to send again what may have been sent.
    fn leaves(&self) -> usize {
        self.asks.iter().filter(|ask| ask.kind == Kind::RetryUnknown).count()
    }
}

/// Everything, by question; and what nobody's question explains.
struct Stories<'a> {
    by_tag: BTreeMap<&'a str, Story<'a>>,
    nameless: Vec<&'a AttemptRow>,
}

/// The question that an upstream request carries.
pub(crate) fn tag_of(entry: &Entry) -> &str {
    entry.last_user.split(' ').next().unwrap_or_default()
}

impl Evidence {
    /// Adds what answers and rows tell of whose a call is.
    pub(crate) fn name_calls(&mut self) {
        for row in &self.calls {
            if let Some(key) = &row.key {
                self.tags.insert(row.id.clone(), key.clone());
            }
        }
        for ask in &self.asks {
            for (_, answer) in &ask.answers {
                let (Answer::Text { call, .. } | Answer::Failed { call, .. }) = answer else { continue };
                if let Some(call) = call {
                    self.tags.entry(call.clone()).or_insert_with(|| ask.tag.clone());
                }
            }
        }
    }

    fn stories(&self) -> Stories<'_> {
        let mut by_tag: BTreeMap<&str, Story<'_>> = BTreeMap::new();
        for ask in self.asks.iter().filter(|ask| ask.kind != Kind::Fence) {
            by_tag.entry(&ask.tag).or_default().asks.push(ask);
        }
        for entry in &self.entries {
            by_tag.entry(tag_of(entry)).or_default().entries.push(entry);
        }
        for call in &self.calls {
            if let Some(tag) = self.tags.get(&call.id) {
                by_tag.entry(tag).or_default().calls.push(call);
            }
        }
        let mut nameless = Vec::new();
        for attempt in &self.attempts {
            match self.tags.get(&attempt.call) {
                Some(tag) => by_tag.entry(tag).or_default().attempts.push(attempt),
                None => nameless.push(attempt),
            }
        }
        Stories { by_tag, nameless }
    }
}

/// Every promise that the evidence shows broken.
pub fn judge(evidence: &Evidence) -> Vec<Violation> {
    let stories = evidence.stories();
    let mut found = Vec::new();
    found.extend(evidence.oddities.iter().map(|what| Violation::new(Rule::OneAnswer, "a client", what)));
    let torn = |call: &String| {
        Violation::new(Rule::Durable, call, "its conversation has not exactly two turns of it")
    };
    found.extend(evidence.torn.iter().map(torn));
    for ask in &evidence.asks {
        answers::one_answer(ask, &mut found);
        answers::typed(ask, evidence, &mut found);
    }
    answers::defects(evidence, &mut found);
    let rows: HashMap<&str, &CallRow> = evidence.calls.iter().map(|row| (row.id.as_str(), row)).collect();
    for (tag, story) in &stories.by_tag {
        answers::durable(tag, story, &rows, evidence.troubled, &mut found);
        answers::as_expected(tag, story, &mut found);
        upstream::one_request(tag, story, evidence.unknown.get(*tag).copied(), &mut found);
    }
    upstream::journalled(&stories, &mut found);
    for row in &evidence.calls {
        if matches!(row.state.as_str(), "accepted" | "dispatched" | "streaming") {
            found.push(Violation::new(Rule::Recovered, &row.id, format!("its call is still {}", row.state)));
        }
    }
    for row in evidence.attempts.iter().filter(|row| row.state == "dispatched") {
        let what = format!("its attempt {} is still open", row.n);
        found.push(Violation::new(Rule::Recovered, &row.call, what));
    }
    found
}
