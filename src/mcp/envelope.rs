//! Reads one JSON-RPC message off a text frame, and refuses by the book what the engine would mistake for something else: broken
//! JSON, batches, ids that are neither text nor integer, doubled keys, bottomless nesting, too many values, wrong parameters of a
//! known method. Pure, and slow for large messages: those are read off the arbiter.

mod shape;

use exai_actors::error::{CallError, ErrorKind};
use rmcp::model::{
    ClientJsonRpcMessage, ClientRequest, ErrorCode, ErrorData, GetMeta, JsonRpcMessage, JsonRpcRequest,
    ProtocolVersion, RequestId, ServerJsonRpcMessage,
};
use serde::{Deserialize, Deserializer, de::IgnoredAny};
use serde_json::error::Category;
use serde_json::value::RawValue;

use self::shape::{Shape, Unique};

/// The deepest nesting that is read; `serde_json` refuses one level more.
const DEPTH_MAX: usize = 127;
/// Values in one message. The engine keeps over a hundred bytes for the smallest of them, so eight megabytes of zeros would become a
/// gigabyte; no tool takes a hundred.
const VALUES_MAX: usize = 20_000;
/// The longest id that is given back.
const ID_BYTES_MAX: usize = 1024;
/// The methods whose parameters have a shape (MCP 2025-11-25 and 2026-07-28). The engine takes a malformed one for an unknown
/// method, but it is -32602.
const METHODS: [&str; 18] = [
    "completion/complete",
    "initialize",
    "logging/setLevel",
    "ping",
    "prompts/get",
    "prompts/list",
    "resources/list",
    "resources/read",
    "resources/subscribe",
    "resources/templates/list",
    "resources/unsubscribe",
    "server/discover",
    "subscriptions/listen",
    "tasks/cancel",
    "tasks/get",
    "tasks/update",
    "tools/call",
    "tools/list",
];

/// Those of them that 2026-07-28 has no more.
const REMOVED: [&str; 5] =
    ["initialize", "logging/setLevel", "ping", "resources/subscribe", "resources/unsubscribe"];

/// What a text frame holds.
#[derive(Debug)]
pub(super) enum Reading {
    /// A request, a notification or a response.
    Message(Box<ClientJsonRpcMessage>),
    /// Something that wants no answer and gets none: a notification or a response that cannot be read.
    Nothing,
    /// Not a request of this protocol.
    Refused(Fault),
}

/// Why a message is refused, and whose it is.
#[derive(Debug)]
pub(super) struct Fault {
    /// The request's id, where it can be read.
    pub(super) id: Option<RequestId>,
    /// What is wrong.
    pub(super) error: ErrorData,
}

impl Fault {
    fn new(id: Option<RequestId>, code: ErrorCode, message: &'static str) -> Self {
        Self { id, error: ErrorData::new(code, message, None) }
    }

    /// A refusal for our own reasons: code -32603, and the kind in `data`.
    pub(super) fn of_call(id: Option<RequestId>, error: &CallError) -> Self {
        let shape = CallError { message: String::new(), ..error.clone() };
        let data = serde_json::to_value(shape).ok();
        Self { id, error: ErrorData::internal_error(error.message.clone(), data) }
    }

    /// The error as it goes onto the wire. An id that could not be read is null (JSON-RPC 2.0, section 5).
    pub(super) fn to_text(&self) -> String {
        let Some(id) = &self.id else {
            return serde_json::json!({ "jsonrpc": "2.0", "id": null, "error": self.error }).to_string();
        };
        let message = ServerJsonRpcMessage::error(self.error.clone(), Some(id.clone()));
        // Text, numbers and maps with text keys: nothing here can fail to serialize.
        serde_json::to_string(&message).unwrap_or_default()
    }
}

/// Reads one message.
pub(super) fn read(text: &str) -> Reading {
    read_or_refuse(text).unwrap_or_else(Reading::Refused)
}

/// The id of a request, for an answer that needs nothing else of it; none for anything but a request.
pub(super) fn request_id(text: &str) -> Option<RequestId> {
    let envelope = serde_json::from_str::<Envelope<'_>>(text).ok()?;
    envelope.method.as_ref()?;
    envelope.id.and_then(|id| read_id(id).ok())
}

fn read_or_refuse(text: &str) -> Result<Reading, Fault> {
    if !text.trim_ascii_start().starts_with('{') {
        return Err(not_an_object(text));
    }
    let envelope = serde_json::from_str::<Envelope<'_>>(text).map_err(|error| match error.classify() {
        Category::Data => {
            let id = serde_json::from_str::<OnlyId<'_>>(text)
                .ok()
                .and_then(|only| only.id.and_then(|id| read_id(id).ok()));
            Fault::new(id, ErrorCode::INVALID_REQUEST, "not a JSON-RPC 2.0 message")
        }
        Category::Syntax | Category::Eof | Category::Io => unparsable(),
    })?;
    let id = envelope.id.map(read_id).transpose();
    let id = id.map_err(|problem| Fault::new(None, ErrorCode::INVALID_REQUEST, problem))?;
    let is_response = envelope.result.is_some() || envelope.error.is_some();
    if envelope.method.is_none() && !is_response {
        let problem = "a message has a method, a result or an error";
        return Err(Fault::new(id, ErrorCode::INVALID_REQUEST, problem));
    }
    let well_formed = envelope.jsonrpc.is_some_and(|version| version.get() == "\"2.0\"");
    // Before anything is parsed that keeps what it reads.
    let Shape { depth, values } = Shape::of(text);
    let (Some(method), true) = (&envelope.method, id.is_some()) else {
        let is_one = envelope.method.is_some() != is_response;
        let fits = well_formed && is_one && depth <= DEPTH_MAX && values <= VALUES_MAX;
        let message = fits.then(|| serde_json::from_str(text).ok()).flatten();
        return Ok(message.map_or(Reading::Nothing, |message| Reading::Message(Box::new(message))));
    };
    if !well_formed || is_response {
        return Err(Fault::new(id, ErrorCode::INVALID_REQUEST, "not a JSON-RPC 2.0 request"));
    }
    if depth > DEPTH_MAX {
        return Err(Fault::new(id, ErrorCode::INVALID_REQUEST, "the message is nested too deeply"));
    }
    if values > VALUES_MAX {
        return Err(too_many_values(id));
    }
    if envelope.params.is_some_and(|params| {
        serde_json::from_str::<Unique>(params.get()).is_err_and(|error| error.is_data())
    }) {
        return Err(Fault::new(id, ErrorCode::INVALID_PARAMS, "a key stands in the parameters twice"));
    }
    let Ok(message) = serde_json::from_str::<ClientJsonRpcMessage>(text) else {
        return Err(Fault::new(id, ErrorCode::INVALID_PARAMS, "the parameters are malformed"));
    };
    if let JsonRpcMessage::Request(JsonRpcRequest { request, .. }) = &message {
        let misfit = matches!(request, ClientRequest::CustomRequest(_)) && METHODS.contains(&method.as_str());
        // The engine knows that of well-formed ones, but for a ping before any handshake.
        let is_ping = matches!(request, ClientRequest::PingRequest(_));
        let is_modern = request.get_meta().protocol_version() == Some(ProtocolVersion::V_2026_07_28);
        if (misfit || is_ping) && is_modern && REMOVED.contains(&method.as_str()) {
            let problem = "this protocol version has no such method";
            return Err(Fault::new(id, ErrorCode::METHOD_NOT_FOUND, problem));
        }
        if misfit {
            let problem = "the parameters do not fit the method";
            return Err(Fault::new(id, ErrorCode::INVALID_PARAMS, problem));
        }
    }
    Ok(Reading::Message(Box::new(message)))
}

fn too_many_values(id: Option<RequestId>) -> Fault {
    let message = format!("A message holds at most {VALUES_MAX} values; put long material into one text.");
    let mut fault = Fault::of_call(id, &CallError::new(ErrorKind::TooLarge, message));
    fault.error.code = ErrorCode::INVALID_REQUEST;
    fault
}

fn unparsable() -> Fault {
    Fault::new(None, ErrorCode::PARSE_ERROR, "not valid JSON")
}

fn not_an_object(text: &str) -> Fault {
    if serde_json::from_str::<IgnoredAny>(text).is_err() {
        return unparsable();
    }
    let is_batch = text.trim_ascii_start().starts_with('[');
    let message =
        if is_batch { "batches are not part of this protocol" } else { "not a JSON-RPC 2.0 message" };
    Fault::new(None, ErrorCode::INVALID_REQUEST, message)
}

/// The top level of a message. A derived struct refuses doubled keys, where a `Value` would take the last one.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(default, deserialize_with = "present")]
    method: Option<String>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    #[serde(default, deserialize_with = "present")]
    result: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "present")]
    error: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct OnlyId<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
}

/// A key that is there, null included.
fn present<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// MCP allows text and integers (2025-11-25, basic); the engine would also take 1.0 for 1, and answer something else than was sent.
fn read_id(raw: &RawValue) -> Result<RequestId, &'static str> {
    const WRONG: &str = "an id is text or an integer";
    let raw = raw.get();
    if raw.len() > ID_BYTES_MAX {
        return Err("an id is at most 1024 bytes long");
    }
    if raw.starts_with('"') {
        return serde_json::from_str::<String>(raw)
            .map(|text| RequestId::String(text.into()))
            .map_err(|_| WRONG);
    }
    let is_integer = raw.trim_start_matches('-').bytes().all(|byte| byte.is_ascii_digit());
    let wrong = if is_integer { "an integer id fits into 64 bits with a sign" } else { WRONG };
    raw.parse().map(RequestId::Number).map_err(|_| wrong)
}
