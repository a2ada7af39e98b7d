//! `result`: the answer of a call that was asked before, while it is kept.

use serde_json::{Map, Value, json};

use super::Definition;
use super::arguments::Arguments;
use crate::error::CallError;
use crate::ids::CallId;

pub(super) const NAME: &str = "result";
const PAGE: &str = "page";
/// More pages than an answer can have: a page has half a thousand bytes at the least, and an answer some megabytes at the most.
const PAGES_MAX: u32 = 100_000;

pub(super) fn definition() -> Definition {
    let schema = json!({
        "type": "object",
        "properties": {
            "call_id": { "type": "string", "description": "The call_id of an earlier call, from its receipt or error." },
            "page": { "type": "integer", "minimum": 1, "description": "Which page of a long answer. Default: 1." }
        },
        "required": ["call_id"],
        "additionalProperties": false
    });
    Definition {
        name: NAME,
        title: "Fetch an answer",
        description: "Fetch the answer of an earlier call by its call_id; waits while the call still runs. Answers are kept 24 h.",
        input_schema: super::about::object(schema),
        read_only: true,
        open_world: false,
    }
}

/// The page that the arguments of a call ask for: the first, wherever they ask for none. Whether they are good arguments is for the
/// tool to say.
pub fn page_wanted(tool: &str, arguments: &Map<String, Value>) -> usize {
    let page = arguments.get(PAGE).filter(|_| tool == NAME).and_then(Value::as_u64);
    page.and_then(|page| usize::try_from(page).ok()).unwrap_or(1)
}

/// Which call, and which page of its answer.
pub(super) fn parse(arguments: Map<String, Value>) -> Result<(CallId, u32), CallError> {
    let mut given = Arguments::new(NAME, arguments);
    let call = given.id("call_id")?;
    let call = given.required("call_id", call)?;
    let page = given.whole(PAGE, 1, PAGES_MAX)?.unwrap_or(1);
    given.finish(&["call_id", PAGE])?;
    Ok((call, page))
}
