//! `result`: the answer of a call that was asked before, while it is kept.

use serde_json::{Map, Value, json};

use super::Definition;
use super::arguments::Arguments;
use crate::error::CallError;
use crate::ids::CallId;

pub(super) const NAME: &str = "result";

pub(super) fn definition() -> Definition {
    let schema = json!({
        "type": "object",
        "properties": {
            "call_id": { "type": "string", "description": "The call_id of an earlier call, from its receipt or error." }
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

pub(super) fn parse(arguments: Map<String, Value>) -> Result<CallId, CallError> {
    let mut given = Arguments::new(NAME, arguments);
    let call = given.id("call_id")?;
    let call = given.required("call_id", call)?;
    given.finish(&["call_id"])?;
    Ok(call)
}
