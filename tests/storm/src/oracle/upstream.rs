//! What the doubles received: not more than the rules allow, and nothing that the database does not know.

use exai_upstream::{Ended, Entry};

use super::{Rule, Stories, Story, Violation};
use crate::database::AttemptRow;
use crate::weather::answers_whole;

/// Upstream requests of one call (DESIGN.md section 9, retries).
const ATTEMPTS_MAX: usize = 3;

/// Upstream requests that are shown.
const SHOWN_MAX: usize = 3;

/// Whether the double gave its answer whole.
pub(super) fn answered(entry: &Entry) -> bool {
    entry.status == 200 && entry.ended == Ended::Complete && answers_whole(&entry.script)
}

pub(super) fn one_request(tag: &str, story: &Story<'_>, unknown: Option<usize>, found: &mut Vec<Violation>) {
    let mut broken = |what: String| found.push(Violation::new(Rule::OneRequest, tag, what));
    let leaves = story.leaves();
    let whole = story.entries.iter().filter(|entry| answered(entry)).count();
    if whole > 1 + leaves {
        broken(format!("answered {whole} times upstream, with {leaves} leaves to send again"));
    }
    let requests_max = ATTEMPTS_MAX * (1 + leaves);
    if story.entries.len() > requests_max {
        broken(format!("{} upstream requests, where {requests_max} are allowed", story.entries.len()));
    }
    if leaves == 0 {
        let end =
            story.entries.iter().filter(|entry| answered(entry)).filter_map(|entry| entry.ended_at_ms).min();
        let later = story.entries.iter().filter(|entry| end.is_some_and(|end| entry.at_ms > end)).count();
        if later > 0 {
            broken(format!("{later} upstream requests after it was answered"));
        }
        if let Some(before) = unknown
            && story.entries.len() > before
        {
            broken(format!("sent again unasked: {before} requests before, {} after", story.entries.len()));
        }
    }
}

/// Whether its request must have reached the double: it brought something back.
fn surely_sent(attempt: &AttemptRow) -> bool {
    attempt.state == "completed" || attempt.status.is_some()
}

pub(super) fn journalled(stories: &Stories<'_>, found: &mut Vec<Violation>) {
    let mut unexplained = Vec::new();
    let mut one_of = String::new();
    for (tag, story) in &stories.by_tag {
        for call in &story.calls {
            let mut of_call =
                story.attempts.iter().filter(|row| row.call == call.id).map(|row| row.n).collect::<Vec<_>>();
            of_call.sort_unstable();
            if of_call.len() > ATTEMPTS_MAX || !is_count(&of_call) {
                let what = format!("call {} has the attempts {of_call:?}", call.id);
                found.push(Violation::new(Rule::Journalled, *tag, what));
            }
        }
        if story.calls.is_empty() {
            // A call without a key that nobody heard of cannot be told from others like it: they are counted together.
            let keyed = story.asks.first().is_none_or(|ask| ask.keyed);
            if keyed && !story.entries.is_empty() {
                let what = format!("{} upstream requests, and no call in the database", story.entries.len());
                found.push(Violation::new(Rule::Journalled, *tag, what));
            } else if !story.entries.is_empty() {
                unexplained.extend(story.entries.iter().copied());
                (*tag).clone_into(&mut one_of);
            }
            continue;
        }
        compare(tag, &story.entries, &story.attempts, found);
        let whole = story.entries.iter().filter(|entry| answered(entry)).count();
        let completed = story.attempts.iter().filter(|row| row.state == "completed").count();
        if completed > whole {
            let what = format!("{completed} attempts completed, where the double answered {whole}");
            found.push(Violation::new(Rule::Journalled, *tag, what));
        }
    }
    compare(&format!("calls without a key, such as {one_of}"), &unexplained, &stories.nameless, found);
}

fn is_count(numbers: &[i32]) -> bool {
    numbers.iter().zip(1..).all(|(number, count)| *number == count)
}

fn compare(about: &str, entries: &[&Entry], attempts: &[&AttemptRow], found: &mut Vec<Violation>) {
    let sent = attempts.iter().filter(|row| surely_sent(row)).count();
    if entries.len() > attempts.len() {
        let seen = entries.iter().take(SHOWN_MAX).map(|entry| {
            format!("{} {:?} {} ms {}", entry.script, entry.ended, entry.at_ms, entry.connection)
        });
        let seen = seen.collect::<Vec<_>>().join(", ");
        let what = format!(
            "{} upstream requests [{seen}], {} attempts in the database",
            entries.len(),
            attempts.len()
        );
        found.push(Violation::new(Rule::Journalled, about, what));
    } else if sent > entries.len() {
        let what = format!("{sent} attempts brought something back, and the double saw {}", entries.len());
        found.push(Violation::new(Rule::Journalled, about, what));
    }
}
