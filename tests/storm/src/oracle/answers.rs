//! What clients got: how often, of which kind, and whether it stands.

use std::collections::HashMap;
use std::time::Duration;

use super::{Evidence, Rule, Story, Violation};
use crate::book::{Answer, Ask, Expect, Kind};
use crate::database::CallRow;

/// How long after a cancel an answer may still arrive: it was on its way.
const CROSSING_MAX: Duration = Duration::from_secs(2);
/// How long after a planted panic a defect may be heard of.
const PANIC_HEARD: Duration = Duration::from_secs(10);
/// Calls that one panic may cost: the one in hand, and whoever asks while the actor is restarted.
const COST_OF_PANIC_MAX: usize = 4;
/// Kinds that say "not now".
const NOT_NOW: [&str; 6] =
    ["over_capacity", "rate_limited", "breaker_open", "storage_unavailable", "draining", "cancelled"];
/// Kinds that tell of an upstream or of the time that is up.
const UPSTREAM: [&str; 4] = ["upstream_error", "upstream_timeout", "upstream_rejected", "deadline_exceeded"];

pub(super) fn one_answer(ask: &Ask, found: &mut Vec<Violation>) {
    let mut broken = |what: String| found.push(Violation::new(Rule::OneAnswer, &ask.tag, what));
    if ask.answers.len() > 1 {
        broken(format!("{} answers to one request: {:?}", ask.answers.len(), ask.answers));
    }
    if ask.answers.is_empty() && !ask.lost && ask.cancelled.is_none() {
        broken(format!("no answer on connection {}, which stayed up", ask.connection));
    }
    if let Some(cancelled) = ask.cancelled
        && let Some((at, _)) = ask.answers.iter().find(|(at, _)| *at > cancelled + CROSSING_MAX)
    {
        broken(format!("an answer {:?} after its cancel", *at - cancelled));
    }
}

pub(super) fn typed(ask: &Ask, evidence: &Evidence, found: &mut Vec<Violation>) {
    for (at, answer) in &ask.answers {
        let Answer::Failed { kind, .. } = answer else { continue };
        let kind = kind.as_str();
        let fits = match kind {
            "internal" => evidence.panics.iter().any(|panic| (*panic..*panic + PANIC_HEARD).contains(at)),
            // Whoever asks while the database is troubled may meet a row that nobody could close yet.
            "conflict" => ask.keyed && (evidence.troubled || evidence.unknown.contains_key(&ask.tag)),
            kind => NOT_NOW.contains(&kind) || UPSTREAM.contains(&kind),
        };
        if !fits {
            found.push(Violation::new(Rule::Typed, &ask.tag, format!("answered `{kind}` ({:?})", ask.kind)));
        }
    }
}

/// Planted panics excuse a defect each, not every one.
pub(super) fn defects(evidence: &Evidence, found: &mut Vec<Violation>) {
    let answers = evidence.asks.iter().flat_map(|ask| &ask.answers);
    let told =
        answers.filter(|(_, answer)| matches!(answer, Answer::Failed { kind, .. } if kind == "internal"));
    let (told, panics) = (told.count(), evidence.panics.len());
    if panics > 0 && told > panics * COST_OF_PANIC_MAX {
        let what = format!("{told} calls answered `internal` for {panics} planted panics");
        found.push(Violation::new(Rule::Typed, "the daemon", what));
    }
}

pub(super) fn durable(
    tag: &str,
    story: &Story<'_>,
    rows: &HashMap<&str, &CallRow>,
    troubled: bool,
    found: &mut Vec<Violation>,
) {
    let mut broken = |what: String| found.push(Violation::new(Rule::Durable, tag, what));
    let mut first: Option<&str> = None;
    for (_, answer) in story.asks.iter().flat_map(|ask| &ask.answers) {
        let (text, call) = match answer {
            Answer::Text { text, call: Some(call) } => (text, call),
            Answer::Text { call: None, .. } => {
                broken("an answer without a receipt".to_owned());
                continue;
            }
            Answer::Failed { kind, call: Some(call), .. } => {
                let may_be_missing = troubled || kind == "storage_unavailable" || kind == "internal";
                if !may_be_missing && !rows.contains_key(call.as_str()) {
                    broken(format!("call {call} was told of and is not in the database"));
                }
                continue;
            }
            Answer::Failed { call: None, .. } | Answer::Other => continue,
        };
        if !text.contains(tag) {
            broken(format!("the answer of call {call} is to another question"));
        }
        // Sent again with leave, it is answered again.
        if story.leaves() == 0 && first.is_some_and(|first| first != text) {
            broken(format!("two answers to one question; call {call} gave the other one"));
        }
        first.get_or_insert(text);
        match rows.get(call.as_str()) {
            None => broken(format!("call {call} was answered and is not in the database")),
            Some(row) if row.state != "completed" => {
                broken(format!("call {call} was answered and is {} in the database", row.state));
            }
            Some(row) if row.result.as_deref() != Some(text) => {
                broken(format!("call {call} was answered with another text than the database has"));
            }
            Some(_) => {}
        }
    }
}

/// What had to come of a question did.
pub(super) fn as_expected(tag: &str, story: &Story<'_>, found: &mut Vec<Violation>) {
    let heard = |ask: &&&Ask| !ask.answers.is_empty();
    let wanted = story.asks.iter().filter(|ask| ask.expect == Expect::Text).filter(heard).collect::<Vec<_>>();
    let is_text = |ask: &&&Ask| ask.answers.iter().any(|(_, answer)| matches!(answer, Answer::Text { .. }));
    if !wanted.is_empty() && !wanted.iter().any(is_text) {
        let last = wanted.last().map(|ask| &ask.answers);
        let what = format!("asked again it was not answered: {last:?}");
        found.push(Violation::new(Rule::Recovered, tag, what));
    }
    for ask in
        story.asks.iter().filter(|ask| ask.expect == Expect::Conflict).filter(|ask| !ask.answers.is_empty())
    {
        let refused = ask
            .answers
            .iter()
            .any(|(_, answer)| matches!(answer, Answer::Failed { kind, .. } if kind == "conflict"));
        if !refused {
            let what = format!(
                "of unknown outcome, asked again as {:?}, it was not refused: {:?}",
                ask.kind, ask.answers
            );
            found.push(Violation::new(Rule::Recovered, tag, what));
        }
    }
    // An answer that was given stays to be had.
    let had = story.asks.iter().any(|ask| ask.kind == Kind::Chat && is_text(&ask));
    for ask in story.asks.iter().filter(|ask| matches!(ask.kind, Kind::Result(_))) {
        if had && ask.answers.iter().any(|(_, answer)| matches!(answer, Answer::Failed { .. })) {
            let what = format!("`result` did not give it again: {:?}", ask.answers);
            found.push(Violation::new(Rule::Durable, tag, what));
        }
    }
}
