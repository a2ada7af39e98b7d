//! Turns an answer into the JSON each make sends. Key order, absent keys and doubled fields are the make's own: they are what this crate is for.

use serde_json::Value;

use crate::Make;
use crate::answer::{Answer, Call};
use crate::text;

mod glm;
mod kimi;
mod openai;

/// One thing a stream says.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// The first chunk.
    Role,
    Think(&'static str),
    /// The empty reasoning delta that closes the phase.
    ThinkEnd,
    Text(String),
    /// Piece `i` of the call; 0 names it.
    Call(usize),
    Finish,
    /// The extra chunk without choices.
    Usage,
}

/// Characters of one piece of arguments: few enough to cut through escapes.
const ARGUMENT_PIECE_CHARS: usize = 3;

/// A JSON string.
pub(crate) fn quote(text: &str) -> String {
    Value::from(text).to_string()
}

/// The payload of an event; none where the make has no such chunk.
pub(crate) fn chunk(answer: &Answer, event: &Event) -> Option<String> {
    match answer.make {
        Make::Kimi => kimi::chunk(answer, event),
        Make::Glm => glm::chunk(answer, event),
        Make::OpenAi => openai::chunk(answer, event),
    }
}

/// The body of a completion that was not streamed.
pub(crate) fn completion(answer: &Answer) -> String {
    match answer.make {
        Make::Kimi => kimi::completion(answer),
        Make::Glm => glm::completion(answer),
        Make::OpenAi => openai::completion(answer),
    }
}

/// The payload of a failure inside a stream.
pub(crate) fn error(make: Make) -> &'static str {
    match make {
        Make::Kimi => r#"{"error":{"message":"the engine failed in mid-stream","type":"server_error"}}"#,
        Make::Glm => {
            r#"{"error":{"code":"1234","message":"Network error, please contact customer service"}}"#
        }
        Make::OpenAi => {
            r#"{"error":{"message":"The server had an error","type":"server_error","param":null,"code":null}}"#
        }
    }
}

/// The Content-Type of a stream.
pub(crate) fn content_type(make: Make) -> &'static str {
    match make {
        Make::Kimi => "text/event-stream",
        Make::Glm => "text/event-stream;charset=UTF-8",
        Make::OpenAi => "text/event-stream; charset=utf-8",
    }
}

/// How many events the call takes.
pub(crate) fn call_events(call: &Call) -> usize {
    if call.pieces { 1 + call.arguments.chars().count().div_ceil(ARGUMENT_PIECE_CHARS) } else { 1 }
}

/// Piece `i` of a call as a delta's `tool_calls`.
fn call_delta(answer: &Answer, call: &Call, i: usize) -> String {
    let index = if answer.bare { "" } else { r#""index":0,"# };
    let kind = if call.name.starts_with('$') { "builtin_function" } else { "function" };
    let arguments = if call.pieces { String::new() } else { call.arguments.clone() };
    if i == 0 {
        return format!(
            r#"[{{{index}"id":{},"type":"{kind}","function":{{"name":{},"arguments":{}}}}}]"#,
            quote(&call.id),
            quote(&call.name),
            quote(&arguments)
        );
    }
    let piece: String =
        call.arguments.chars().skip((i - 1) * ARGUMENT_PIECE_CHARS).take(ARGUMENT_PIECE_CHARS).collect();
    format!(r#"[{{{index}"function":{{"arguments":{}}}}}]"#, quote(&piece))
}

/// The call as a message's `tool_calls`.
fn call_whole(answer: &Answer, call: &Call) -> String {
    call_delta(answer, &Call { pieces: false, ..call.clone() }, 0)
}

/// The usage member of a completion. It comes without asking; where to put it is a stream's question.
fn billed(answer: &Answer, usage: &str) -> String {
    if answer.billed { format!(r#","usage":{usage}"#) } else { String::new() }
}

/// The whole reasoning, quoted.
fn reasoning(answer: &Answer) -> String {
    quote(&text::thoughts(answer.think))
}
