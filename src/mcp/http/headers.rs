//! What the headers of a posted message must say (MCP 2026-07-28, basic/transports, Streamable HTTP): the same as its body. Pure.

#[cfg(test)]
mod tests;

use std::cmp::Reverse;

use actix_web::http::StatusCode;
use actix_web::http::header::HeaderMap;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use exai_actors::tools::Toolbox;
use rmcp::model::{ClientRequest, ErrorCode, ErrorData, GetMeta, JsonObject, ProtocolVersion};
use serde_json::Value;

use crate::mcp::Served;

/// The session of the eras that have one.
pub(super) const SESSION: &str = "mcp-session-id";
/// The last event that a client has.
pub(super) const LAST_EVENT: &str = "last-event-id";
/// The protocol version in use.
pub(super) const VERSION: &str = "mcp-protocol-version";
/// The one content coding that is taken: none.
pub(super) const IDENTITY: &str = "identity";
const METHOD: &str = "mcp-method";
const NAME: &str = "mcp-name";
/// Stands before the name of an argument's header.
const ARGUMENT: &str = "Mcp-Param-";

/// A header is there more than once, or is no text.
pub(super) struct Unclear;

/// A header's value, if it is there.
pub(super) fn once<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Unclear> {
    let mut values = headers.get_all(name);
    let Some(value) = values.next() else { return Ok(None) };
    let value = value.to_str().map_err(|_| Unclear)?;
    if values.next().is_none() { Ok(Some(value.trim())) } else { Err(Unclear) }
}

/// A header's value, if it is there once and is text.
pub(super) fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    once(headers, name).unwrap_or_default()
}

/// Whether a client takes this type: what names it most exactly decides, and may give it no weight (RFC 9110, section 12.5.1).
pub(super) fn takes(headers: &HeaderMap, wanted: &str) -> bool {
    let family = wanted.split('/').next();
    let named = accepted(headers).filter_map(|(name, weight)| {
        let exactness = if name.eq_ignore_ascii_case(wanted) {
            2
        } else if name.strip_suffix("/*").is_some_and(|named| Some(named) == family) {
            1
        } else if name == "*/*" {
            0
        } else {
            return None;
        };
        Some((exactness, weight))
    });
    named.max().is_some_and(|(_, weight)| weight > 0)
}

/// Whether a body comes as it is: nothing here decodes any.
pub(super) fn is_plain(headers: &HeaderMap) -> bool {
    let named = headers.get_all("content-encoding");
    named.flat_map(|value| value.to_str().unwrap_or("unreadable").split(',')).all(|coding| {
        let coding = coding.trim();
        coding.is_empty() || coding.eq_ignore_ascii_case(IDENTITY)
    })
}

/// Whether a client would rather have the first type than the second: it gives it more weight, or as much and names it first.
pub(super) fn prefers(headers: &HeaderMap, first: &str, second: &str) -> bool {
    let weight_of = |wanted: &str| {
        let named = accepted(headers).enumerate().filter(|(_, (name, _))| name.eq_ignore_ascii_case(wanted));
        named.map(|(at, (_, weight))| (weight, Reverse(at))).max()
    };
    weight_of(first) > weight_of(second)
}

/// The types that a client takes, and how much it wants each, in thousandths (RFC 9110, section 12.5.1).
fn accepted(headers: &HeaderMap) -> impl Iterator<Item = (&str, u16)> {
    let accepted = headers.get_all("accept").filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).map(|one| {
        let mut parts = one.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
        // More than three digits behind the point are none of a weight's.
        let thousandths = |weight: &str| {
            let (whole, part) = weight.split_once('.').unwrap_or((weight, ""));
            format!("{whole}{part:0<3.3}").parse().ok()
        };
        (name, weight.and_then(thousandths).unwrap_or(1000))
    })
}

/// Whether a version has no sessions.
pub(super) fn is_modern(version: &str) -> bool {
    version >= ProtocolVersion::V_2026_07_28.as_str()
}

/// Whether the headers of a modern request say what its body says; what a tool wants in headers its schema names.
pub(super) fn agree(
    headers: &HeaderMap,
    request: &ClientRequest,
    toolbox: &Toolbox,
) -> Result<(), ErrorData> {
    let meta = request.get_meta();
    let Some(version) = only(headers, VERSION) else { return differ("MCP-Protocol-Version") };
    let missing = meta.missing_required_keys(&ProtocolVersion::V_2026_07_28);
    if !missing.is_empty() {
        let missing = missing.join(", ");
        return Err(ErrorData::invalid_params(format!("`_meta` lacks or garbles {missing}"), None));
    }
    if meta.protocol_version().is_none_or(|said| said.as_str() != version) {
        return differ("MCP-Protocol-Version");
    }
    if only(headers, METHOD).and_then(plain).is_none_or(|said| said != request.method()) {
        return differ("Mcp-Method");
    }
    let name = if let ClientRequest::CallToolRequest(call) = request {
        if let Some(schema) = Served::input_schema(toolbox, &call.params.name) {
            arguments_agree(headers, &schema, call.params.arguments.as_ref())?;
        }
        &*call.params.name
    } else if let ClientRequest::GetPromptRequest(get) = request {
        &*get.params.name
    } else if let ClientRequest::ReadResourceRequest(read) = request {
        &*read.params.uri
    } else if let ClientRequest::GetTaskRequest(get) = request {
        &*get.params.task_id
    } else if let ClientRequest::UpdateTaskRequest(update) = request {
        &*update.params.task_id
    } else if let ClientRequest::CancelTaskRequest(cancel) = request {
        &*cancel.params.task_id
    } else {
        return Ok(());
    };
    if only(headers, NAME).and_then(plain).is_none_or(|said| said != name) {
        return differ("Mcp-Name");
    }
    Ok(())
}

/// Whether the arguments that a schema wants in headers too (`x-mcp-header`) stand there, and nothing else does.
fn arguments_agree(
    headers: &HeaderMap,
    schema: &JsonObject,
    arguments: Option<&JsonObject>,
) -> Result<(), ErrorData> {
    let Some(Value::Object(properties)) = schema.get("properties") else { return Ok(()) };
    for (name, property) in properties {
        let argument = arguments.and_then(|arguments| arguments.get(name));
        if let (Some(Value::Object(_)), Value::Object(property)) = (property.get("properties"), property) {
            arguments_agree(headers, property, argument.and_then(Value::as_object))?;
        }
        let Some(header) = property.get("x-mcp-header").and_then(Value::as_str) else { continue };
        let header = format!("{ARGUMENT}{header}");
        let wanted = match argument {
            Some(Value::String(text)) => Some(text.clone()),
            Some(value @ (Value::Bool(_) | Value::Number(_))) => Some(value.to_string()),
            Some(Value::Null | Value::Array(_) | Value::Object(_)) | None => None,
        };
        let agrees = match wanted {
            Some(wanted) => only(headers, &header).and_then(plain).is_some_and(|said| said == wanted),
            None => !headers.contains_key(&header),
        };
        if !agrees {
            return differ(&header);
        }
    }
    Ok(())
}

fn differ<T>(what: &str) -> Result<T, ErrorData> {
    let message = format!("the header {what} must be there once and say what the body says");
    Err(ErrorData::new(ErrorCode::HEADER_MISMATCH, message, None))
}

/// A value as it was meant: text that a header cannot carry comes as `=?base64?..?=`.
fn plain(value: &str) -> Option<String> {
    let encoded = value.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?="));
    match encoded {
        Some(encoded) => String::from_utf8(BASE64_STANDARD.decode(encoded).ok()?).ok(),
        None => Some(value.to_owned()),
    }
}

/// The status of an answer that is an error with this code.
pub(super) fn status_of(code: Option<ErrorCode>, modern: bool) -> StatusCode {
    match code {
        Some(ErrorCode::PARSE_ERROR | ErrorCode::INVALID_REQUEST) => StatusCode::BAD_REQUEST,
        Some(ErrorCode::METHOD_NOT_FOUND) if modern => StatusCode::NOT_FOUND,
        Some(ErrorCode(-32022..=-32020)) if modern => StatusCode::BAD_REQUEST,
        Some(_) | None => StatusCode::OK,
    }
}
