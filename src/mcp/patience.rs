//! How long a client waits for an answer, and so when it must get one: a table of known clients, the configuration over it, and
//! what a request itself says. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use exai_actors::error::{CallError, ErrorKind};
use serde::Deserialize;
use serde_json::Value;

/// Where a request says how soon it wants an answer, in `_meta`.
pub(super) const WITHIN_KEY: &str = "exai/answerWithinMs";
/// The known clients.
const TABLE: &str = include_str!("clients.toml");
/// What an answer needs on its way to a client whose limit is known.
const MARGIN: Duration = Duration::from_secs(5);
/// When a client that nobody knows, and that wants to hear no progress, is answered: the usual SDK gives up after 60 s.
const UNKNOWN_WITHIN: Duration = UNKNOWN_LIMIT.saturating_sub(MARGIN);
/// How long the usual SDK waits.
const UNKNOWN_LIMIT: Duration = Duration::from_secs(60);
/// How many tokens of one result a client takes of which nothing else is known: what Claude Code takes by default.
const OUTPUT_TOKENS: u32 = 25_000;

/// Who waits how long; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Patience {
    configured: Arc<[Known]>,
    table: Arc<[Known]>,
    deadline: Duration,
}

/// A client, or a family of clients whose names begin alike.
#[derive(Debug)]
struct Known {
    name: String,
    limit: Option<Duration>,
    progress_resets: bool,
    output_tokens: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    limit_s: Option<u64>,
    #[serde(default)]
    progress_resets: bool,
    output_tokens: Option<u32>,
}

/// What one request says of itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asker<'a> {
    /// Its client's name, where it gave one.
    pub(super) client: Option<&'a str>,
    /// Whether it wants to hear progress.
    pub(super) has_token: bool,
    /// [`WITHIN_KEY`] of its `_meta`.
    pub(super) within: Option<&'a Value>,
}

impl Patience {
    /// The known clients, with the limits of `configured` (names and how long they wait, zero for ever) before them; no call takes
    /// longer than `deadline`.
    pub(crate) fn new(configured: &BTreeMap<String, Duration>, deadline: Duration) -> Self {
        // The text is part of the program, and a test reads it.
        let rows =
            toml::from_str::<BTreeMap<String, Row>>(TABLE).expect("the table of clients is well-formed");
        let table = rows.into_iter().map(|(name, row)| Known {
            name: name.to_lowercase(),
            limit: Some(row.limit_s.map_or(UNKNOWN_LIMIT, Duration::from_secs)),
            progress_resets: row.progress_resets,
            output_tokens: row.output_tokens.unwrap_or(OUTPUT_TOKENS),
        });
        let configured = configured.iter().map(|(name, limit)| Known {
            name: name.to_lowercase(),
            limit: Some(*limit).filter(|limit| !limit.is_zero()),
            progress_resets: false,
            output_tokens: OUTPUT_TOKENS,
        });
        Self { configured: configured.collect(), table: table.collect(), deadline }
    }

    /// How long after it asked a request is answered at the latest, with what there is by then; none where it waits as long as the
    /// call takes.
    pub(super) fn answer_within(&self, asker: Asker<'_>) -> Result<Option<Duration>, CallError> {
        if let Some(within) = asker.within {
            return self.asked_within(within).map(Some);
        }
        let name = asker.client.map(str::to_lowercase);
        let known = name.and_then(|name| find(&self.configured, &name).or_else(|| find(&self.table, &name)));
        Ok(match known {
            None => (!asker.has_token).then_some(UNKNOWN_WITHIN),
            Some(known) if known.progress_resets && asker.has_token => None,
            Some(known) => known.limit.map(|limit| limit.saturating_sub(MARGIN).max(limit / 2)),
        })
    }

    /// How many tokens of one result a client takes; what is longer is given by pages.
    pub(super) fn output_tokens(&self, client: Option<&str>) -> u32 {
        let known = client.and_then(|name| find(&self.table, &name.to_lowercase()));
        known.map_or(OUTPUT_TOKENS, |known| known.output_tokens)
    }

    fn asked_within(&self, value: &Value) -> Result<Duration, CallError> {
        let within = value.as_u64().map(Duration::from_millis);
        within.filter(|within| !within.is_zero() && *within <= self.deadline).ok_or_else(|| {
            let most = self.deadline.as_millis();
            let message = format!("`{WITHIN_KEY}` must be a whole number of milliseconds from 1 to {most}.");
            CallError::new(ErrorKind::InvalidArguments, message)
        })
    }
}

/// The client of this name, else the one with the longest name that it begins with.
fn find<'a>(among: &'a [Known], name: &str) -> Option<&'a Known> {
    // The whole name is the longest beginning that there is.
    among.iter().filter(|known| name.starts_with(&known.name)).max_by_key(|known| known.name.len())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(900);

    fn seconds(patience: &Patience, client: &str, has_token: bool) -> Option<u64> {
        let asker = Asker { client: Some(client), has_token, within: None };
        patience.answer_within(asker).unwrap().map(|within| within.as_secs())
    }

    #[test]
    fn known_clients_are_answered_before_they_give_up() {
        let patience = Patience::new(&BTreeMap::new(), DEADLINE);
        let table = [
            ("claude-code", Some(295), None),
            ("claude-ai", Some(55), Some(55)),
            ("claude-ai (via mcp-remote 0.1.37)", Some(55), Some(55)),
            ("Visual Studio Code - Insiders", Some(295), Some(295)),
            ("cursor-vscode", Some(55), Some(55)),
            ("Windsurf", Some(55), Some(55)),
            ("windsurf-client", Some(55), Some(55)),
            ("codex-mcp-client", Some(55), Some(55)),
            ("gemini-cli-mcp-client", Some(595), Some(595)),
            ("exai", Some(55), None),
            ("", Some(55), None),
            ("claude", Some(55), None),
        ];
        for (client, without_token, with_token) in table {
            let found = (seconds(&patience, client, false), seconds(&patience, client, true));
            assert_eq!(found, (without_token, with_token), "{client}");
        }
        let nameless = Asker { client: None, has_token: false, within: None };
        assert_eq!(patience.answer_within(nameless), Ok(Some(UNKNOWN_WITHIN)));
    }

    #[test]
    fn the_configuration_stands_before_the_table() {
        let seconds_of = |seconds| Duration::from_secs(seconds);
        let configured = [("Cursor", 600), ("claude-ai", 0), ("mine", 20), ("mine-too", 4)];
        let configured = configured.map(|(name, limit)| (name.to_owned(), seconds_of(limit))).into();
        let patience = Patience::new(&configured, DEADLINE);
        let table =
            [("cursor-vscode", Some(595)), ("claude-ai", None), ("MINE", Some(15)), ("mine-too", Some(2))];
        for (client, within) in table {
            assert_eq!(seconds(&patience, client, true), within, "{client}");
            assert_eq!(seconds(&patience, client, false), within, "{client}");
        }
    }

    #[test]
    fn a_request_may_say_how_soon_it_wants_its_answer() {
        let patience = Patience::new(&BTreeMap::new(), DEADLINE);
        let ask = |within: &Value| {
            patience.answer_within(Asker { client: Some("claude-ai"), has_token: true, within: Some(within) })
        };
        for good in [1, 30_000, 900_000] {
            assert_eq!(ask(&json!(good)), Ok(Some(Duration::from_millis(good))));
        }
        for bad in [json!(0), json!(-1), json!(900_001), json!(1.5), json!("5"), json!(null), json!([5])] {
            assert_eq!(ask(&bad).map_err(|error| error.kind), Err(ErrorKind::InvalidArguments), "{bad}");
        }
    }
}
