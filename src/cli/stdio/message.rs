//! What a line on either side is, read as far as the bridge has to: who asks what, under which id. It changes a line only by putting
//! something in, byte for byte, so that nothing that it does not know gets lost. Pure.

use std::borrow::Cow;
use std::ops::Range;

use exai_actors::error::CallError;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// The longest id that is given back.
const ID_BYTES_MAX: usize = 1024;
/// JSON-RPC 2.0, section 5.1.
pub(super) const PARSE_ERROR: i64 = -32700;
/// JSON-RPC 2.0, section 5.1.
pub(super) const INVALID_REQUEST: i64 = -32600;
const INTERNAL_ERROR: i64 = -32603;
/// Where a call's own name stands.
const KEY: &str = "exai/idempotencyKey";

/// An id, as JSON, always written the same way.
pub(super) type Id = String;

/// A line of the client's.
#[derive(Debug, PartialEq)]
pub(super) enum Said<'a> {
    /// It wants an answer.
    Request {
        id: Id,
        method: Cow<'a, str>,
        /// The progress token, as JSON, where it gave one.
        progress_token: Option<String>,
    },
    /// The client wants no answer to this request any more.
    Cancelled(Id),
    /// It wants no answer.
    Notification(Cow<'a, str>),
    /// An answer to what the server asked under this id; one without an id answers nothing.
    Response(Id),
    /// The answer to a line that is no message.
    Refused(String),
}

/// A line of the server's.
#[derive(Debug, PartialEq)]
pub(super) enum Told {
    /// The answer to a request.
    Answer {
        id: Id,
        /// Whether it is a result.
        is_result: bool,
    },
    /// How far a call is: its token, as JSON, its number, and where in the line that stands.
    Progress { token: String, number: f64, place: Range<usize> },
    /// It wants an answer.
    Request(Id),
    /// Anything else, the client's alone.
    Other,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    result: Option<IgnoredAny>,
    error: Option<IgnoredAny>,
}

#[derive(Deserialize, Default)]
struct Params<'a> {
    #[serde(borrow, rename = "_meta")]
    meta: Option<&'a RawValue>,
    #[serde(borrow, rename = "requestId")]
    request_id: Option<&'a RawValue>,
    #[serde(borrow, rename = "progressToken")]
    progress_token: Option<&'a RawValue>,
    #[serde(borrow)]
    progress: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
struct Meta<'a> {
    #[serde(borrow, rename = "progressToken")]
    progress_token: Option<&'a RawValue>,
    #[serde(borrow, rename = "exai/idempotencyKey", default, deserialize_with = "present")]
    key: Option<&'a RawValue>,
}

/// A key that is there, null included.
fn present<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// Reads a line of the client's.
pub(super) fn said(line: &str) -> Said<'_> {
    let envelope = match serde_json::from_str::<Envelope<'_>>(line) {
        Ok(envelope) if line.trim_ascii_start().starts_with('{') => envelope,
        Err(error) if !error.is_data() => {
            return refused(PARSE_ERROR, "the line is not valid JSON; one JSON-RPC message a line");
        }
        Ok(_) | Err(_) => {
            return refused(INVALID_REQUEST, "the line is no JSON-RPC 2.0 message; batches are not taken");
        }
    };
    let params = envelope.params.map(RawValue::get).unwrap_or("{}");
    let params = serde_json::from_str::<Params<'_>>(params).unwrap_or_default();
    match (envelope.method, envelope.id) {
        (Some(method), Some(id)) => {
            let Some(id) = canonical(id) else {
                return refused(INVALID_REQUEST, "an id is text or an integer of 64 bits");
            };
            let meta = params.meta.map(RawValue::get).unwrap_or("{}");
            let meta = serde_json::from_str::<Meta<'_>>(meta).unwrap_or_default();
            Said::Request { id, method, progress_token: meta.progress_token.and_then(canonical) }
        }
        (Some(method), None) if method == "notifications/cancelled" => {
            params.request_id.and_then(canonical).map_or(Said::Notification(method), Said::Cancelled)
        }
        (Some(method), None) => Said::Notification(method),
        (None, id) if envelope.result.is_some() || envelope.error.is_some() => {
            Said::Response(id.and_then(canonical).unwrap_or_default())
        }
        (None, _) => refused(INVALID_REQUEST, "a message has a method, a result or an error"),
    }
}

/// Reads a line of the server's.
pub(super) fn told(line: &str) -> Told {
    let Ok(envelope) = serde_json::from_str::<Envelope<'_>>(line) else { return Told::Other };
    if envelope.method.as_deref() == Some("notifications/progress") {
        return envelope.params.and_then(|params| progress(line, params)).unwrap_or(Told::Other);
    }
    match (envelope.method, envelope.id.and_then(canonical)) {
        (None, Some(id)) => Told::Answer { id, is_result: envelope.result.is_some() },
        (Some(_), Some(id)) => Told::Request(id),
        (_, None) => Told::Other,
    }
}

fn progress(line: &str, params: &RawValue) -> Option<Told> {
    let params = serde_json::from_str::<Params<'_>>(params.get()).ok()?;
    let number = params.progress?;
    let token = canonical(params.progress_token?)?;
    Some(Told::Progress { token, number: number.get().parse().ok()?, place: place(line, number) })
}

/// Whether an answer says that the server is shutting down and takes no calls.
pub(super) fn says_draining(line: &str) -> bool {
    if !line.contains("\"draining\"") {
        return false;
    }
    let Ok(answer) = serde_json::from_str::<Value>(line) else { return false };
    let kind = [&answer["result"]["_meta"]["exai/error"]["kind"], &answer["error"]["data"]["kind"]];
    kind.iter().any(|kind| **kind == "draining")
}

/// A tool call under this name, if it has none of its own. One that is not as it should be is left to the server.
pub(super) fn keyed(line: &str, key: &str) -> Option<String> {
    let params = serde_json::from_str::<Envelope<'_>>(line).ok()?.params?;
    let Params { meta, .. } = serde_json::from_str(params.get()).ok()?;
    let (inside, text) = match meta {
        Some(meta) => {
            let known = serde_json::from_str::<Meta<'_>>(meta.get()).ok()?;
            if known.key.is_some() {
                return None;
            }
            (meta, format!("\"{KEY}\":\"{key}\""))
        }
        None => (params, format!("\"_meta\":{{\"{KEY}\":\"{key}\"}}")),
    };
    let rest = inside.get().strip_prefix('{')?.trim_ascii_start();
    let comma = if rest.starts_with('}') { "" } else { "," };
    let at = place(line, inside).start + 1;
    Some(format!("{}{text}{comma}{}", &line[..at], &line[at..]))
}

/// The line with another id.
pub(super) fn under_id(line: &str, id: &str) -> Option<String> {
    let known = serde_json::from_str::<Envelope<'_>>(line).ok()?.id?;
    let place = place(line, known);
    Some(format!("{}{id}{}", &line[..place.start], &line[place.end..]))
}

/// An error without data.
pub(super) fn refusal(id: Option<&Id>, code: i64, message: &str) -> String {
    error(id, &json!({ "code": code, "message": message }))
}

/// A typed error, in the shape of the daemon's own.
pub(super) fn failure(id: Option<&Id>, failed: &CallError) -> String {
    let data = CallError { message: String::new(), ..failed.clone() };
    error(id, &json!({ "code": INTERNAL_ERROR, "message": failed.message, "data": data }))
}

fn error(id: Option<&Id>, error: &Value) -> String {
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{},\"error\":{error}}}", id.map_or("null", String::as_str))
}

fn refused(code: i64, message: &str) -> Said<'static> {
    Said::Refused(refusal(None, code, message))
}

/// Where in the line, which holds it, a value stands.
fn place(line: &str, value: &RawValue) -> Range<usize> {
    let start = (value.get().as_ptr() as usize).saturating_sub(line.as_ptr() as usize);
    start..start + value.get().len()
}

/// Text or an integer, written in one way.
fn canonical(raw: &RawValue) -> Option<Id> {
    if raw.get().len() > ID_BYTES_MAX {
        return None;
    }
    let value = serde_json::from_str::<Value>(raw.get()).ok()?;
    (value.is_string() || value.is_i64()).then(|| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_known_by_their_ids() {
        let request = |id: &str, token: Option<&str>| Said::Request {
            id: id.to_owned(),
            method: "tools/call".into(),
            progress_token: token.map(str::to_owned),
        };
        assert_eq!(said(r#"{"id":1,"method":"tools/call"}"#), request("1", None));
        let line = r#" {"method":"tools/call","params":{"_meta":{"progressToken":7}},"id":"\u0061"}"#;
        assert_eq!(said(line), request("\"a\"", Some("7")));
        let cancel = r#"{"method":"notifications/cancelled","params":{"requestId":"a"}}"#;
        assert_eq!(said(cancel), Said::Cancelled("\"a\"".to_owned()));
        assert_eq!(said(r#"{"id":1,"result":{}}"#), Said::Response("1".to_owned()));
    }

    #[test]
    fn what_is_no_message_is_refused_by_the_book() {
        let code = |line: &str| {
            let Said::Refused(text) = said(line) else { panic!("{line} is taken") };
            let error = serde_json::from_str::<Value>(&text).unwrap();
            assert_eq!((&error["jsonrpc"], &error["id"]), (&json!("2.0"), &Value::Null));
            error["error"]["code"].as_i64().unwrap()
        };
        for line in ["{", "hello", "{\"id\":1,", "\u{1}"] {
            assert_eq!(code(line), PARSE_ERROR, "{line}");
        }
        for line in ["[]", "7", "{}", r#"{"id":1.5,"method":"a"}"#, r#"{"id":null,"method":"a"}"#] {
            assert_eq!(code(line), INVALID_REQUEST, "{line}");
        }
        assert_eq!(code(r#"{"id":1,"id":2,"method":"a"}"#), INVALID_REQUEST);
    }

    #[test]
    fn a_call_gets_a_name_and_keeps_every_byte() {
        let with = |params: &str| keyed(&format!(r#"{{"id":1,"params": {params}}}"#), "k");
        let expect = |params: &str| Some(format!(r#"{{"id":1,"params": {params}}}"#));
        assert_eq!(with("{ }"), expect(r#"{"_meta":{"exai/idempotencyKey":"k"} }"#));
        let plain = r#"{"name":"chat","x":1,"x":1.0}"#;
        let named = r#"{"_meta":{"exai/idempotencyKey":"k"},"name":"chat","x":1,"x":1.0}"#;
        assert_eq!(with(plain), expect(named));
        assert_eq!(with(r#"{"_meta":{}}"#), expect(r#"{"_meta":{"exai/idempotencyKey":"k"}}"#));
        let token = r#"{"_meta":{"exai/idempotencyKey":"k","progressToken":7}}"#;
        assert_eq!(with(r#"{"_meta":{"progressToken":7}}"#), expect(token));
        for left_alone in [
            r#"{"_meta":{"exai/idempotencyKey":"mine"}}"#,
            r#"{"_meta":{"exai/idempotencyKey":null}}"#,
            r#"{"_meta":7}"#,
            r#"{"_meta":{},"_meta":{}}"#,
            "[]",
        ] {
            assert_eq!(with(left_alone), None, "{left_alone}");
        }
    }

    #[test]
    fn the_server_is_understood() {
        let answer = |is_result| Told::Answer { id: "1".to_owned(), is_result };
        assert_eq!(told(r#"{"id":1,"result":{}}"#), answer(true));
        assert_eq!(told(r#"{"id":1,"error":{}}"#), answer(false));
        let line = r#"{"method":"notifications/progress","params":{"progressToken":"t","progress":12}}"#;
        let Told::Progress { token, number, place } = told(line) else { panic!("no progress") };
        assert_eq!((token.as_str(), number, &line[place]), ("\"t\"", 12.0, "12"));
        assert_eq!(told(r#"{"method":"notifications/tools/list_changed"}"#), Told::Other);
        assert_eq!(under_id(r#"{"a":[1],"id": 1}"#, "\"x\"").unwrap(), r#"{"a":[1],"id": "x"}"#);
        assert!(says_draining(r#"{"result":{"_meta":{"exai/error":{"kind":"draining"}}}}"#));
        assert!(says_draining(r#"{"error":{"data":{"kind":"draining"}}}"#));
        assert!(!says_draining(r#"{"result":{"content":[{"text":"\"draining\""}]}}"#));
    }
}
