//! `exai events`: what happened on the running daemon's connections lately, and what happens on.

use std::process::ExitCode;
use std::time::Duration;

use exai_actors::events::PAGE_MAX;
use jiff::Timestamp;
use serde_json::Value;
use url::form_urlencoded::Serializer;

use super::args::Events;
use super::{Failure, block_on, output, target};
use crate::config::{Config, Inputs};
use crate::security::Token;

/// How often a follower asks; the daemon itself gathers events once a second.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// The daemon refused the question.
#[derive(Debug, thiserror::Error)]
#[error("the daemon refused this: {0}")]
struct Refused(String);

/// Prints every event that is held and wanted, oldest first; with `--follow` those to come, until Ctrl-C.
pub(super) fn run(inputs: &Inputs, events: &Events) -> Result<ExitCode, Failure> {
    let config = Config::load(inputs)?;
    let token = Token::of(&config)?;
    block_on(print(&config, &token, events))
}

async fn print(config: &Config, token: &Token, wanted: &Events) -> Result<ExitCode, Failure> {
    let mut since = wanted.since.clone();
    loop {
        let path = path(wanted.kind.as_deref(), since.as_deref());
        let (done, page) = target::get(&config.listen, &path, Some(token)).await.map_err(Failure::of)?;
        if !done {
            let why = page["error"]["message"].as_str().unwrap_or("no reason given");
            return Err(Failure::of(Refused(output::harmless(why))));
        }
        let missed = page["missed"].as_u64().unwrap_or(0);
        if since.is_some() && missed > 0 {
            output::note(format!("{missed} events had gone before they were read"));
        }
        let events = page["events"].as_array().map(Vec::as_slice).unwrap_or_default();
        for event in events {
            output::say(if wanted.json { event.to_string() } else { line(event) })?;
        }
        since = page["next"].as_u64().map(|next| next.to_string());
        if events.len() < PAGE_MAX {
            if !wanted.follow {
                return Ok(ExitCode::SUCCESS);
            }
            tokio::select! {
                _ = tokio::signal::ctrl_c() => return Ok(ExitCode::from(super::INTERRUPTED)),
                () = tokio::time::sleep(ASK_EVERY) => {}
            }
        }
    }
}

fn path(kind: Option<&str>, since: Option<&str>) -> String {
    let mut query = Serializer::new(String::new());
    query.append_pair("limit", &PAGE_MAX.to_string());
    for (name, value) in [("kind", kind), ("since", since)] {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    format!("/api/events?{}", query.finish())
}

/// One event for people.
fn line(event: &Value) -> String {
    let word = |name: &str| output::harmless(event[name].as_str().unwrap_or_default());
    let number = |name: &str| event[name].as_u64().unwrap_or(0);
    let at = event["at"].as_i64().and_then(|at| Timestamp::from_millisecond(at).ok());
    let at = at.map(|at| format!("{at:.3}")).unwrap_or_default();
    let mut line = format!(
        "{:<8} {at:<24} {:<10} {:<5} {:<20} {}",
        number("seq"),
        word("kind"),
        word("direction"),
        word("outcome"),
        word("peer")
    );
    for (unit, value) in [("B", number("bytes")), ("ms", number("ms"))] {
        if value > 0 {
            line.push_str(&format!(" {value} {unit}"));
        }
    }
    if let Some(call) = event["call_id"].as_str() {
        line.push_str(&format!(" call={}", output::harmless(call)));
    }
    if number("sampled") > 1 {
        line.push_str(&format!(" (stands for {})", number("sampled")));
    }
    line
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_says_everything_and_steers_no_terminal() {
        let event = json!({
            "seq": 7, "at": 1500, "kind": "kimi", "direction": "out", "outcome": "completed",
            "peer": "api.example\u{1b}[2J", "bytes": 0, "ms": 12, "call_id": "c1", "sampled": 3,
        });
        assert_eq!(
            line(&event),
            "7        1970-01-01T00:00:01.500Z kimi       out   completed            api.example[2J 12 ms call=c1 (stands for 3)"
        );
    }

    #[test]
    fn what_is_asked_for_is_written_as_a_query() {
        let path = path(Some("a b"), Some("2026-11-24T12:00:00+01:00"));
        assert_eq!(path, "/api/events?limit=1000&kind=a+b&since=2026-11-24T12%3A00%3A00%2B01%3A00");
    }
}
