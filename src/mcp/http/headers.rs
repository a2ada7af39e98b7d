//! What the headers of a posted message must say (MCP 2026-07-28, basic/transports, Streamable HTTP): the same as its body. Pure.

use actix_web::http::StatusCode;
use actix_web::http::header::HeaderMap;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rmcp::model::{ClientRequest, ErrorCode, ErrorData, GetMeta, ProtocolVersion};

/// The session of the eras that have one.
pub(super) const SESSION: &str = "mcp-session-id";
/// The last event that a client has.
pub(super) const LAST_EVENT: &str = "last-event-id";
/// The protocol version in use.
pub(super) const VERSION: &str = "mcp-protocol-version";
const METHOD: &str = "mcp-method";
const NAME: &str = "mcp-name";

/// A header's value, if it is there once and is text.
pub(super) fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name);
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value.trim())
}

/// Whether a client takes this type.
pub(super) fn takes(headers: &HeaderMap, wanted: &str) -> bool {
    let accepted = headers.get_all("accept").filter_map(|value| value.to_str().ok());
    let mut types = accepted.flat_map(|value| value.split(','));
    let family = wanted.split('/').next().unwrap_or_default();
    types.any(|one| {
        let name = one.split(';').next().unwrap_or_default().trim();
        name.eq_ignore_ascii_case(wanted) || name == "*/*" || name.strip_suffix("/*") == Some(family)
    })
}

/// Whether a version has no sessions.
pub(super) fn is_modern(version: &str) -> bool {
    version >= ProtocolVersion::V_2026_07_28.as_str()
}

/// Whether the headers of a modern request say what its body says.
pub(super) fn agree(headers: &HeaderMap, request: &ClientRequest) -> Result<(), ErrorData> {
    let differ = |what: &str| {
        let message = format!("the header {what} must be there once and say what the body says");
        Err(ErrorData::new(ErrorCode::HEADER_MISMATCH, message, None))
    };
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
        Some(&*call.params.name)
    } else if let ClientRequest::GetPromptRequest(get) = request {
        Some(&*get.params.name)
    } else if let ClientRequest::ReadResourceRequest(read) = request {
        Some(&*read.params.uri)
    } else {
        None
    };
    match name {
        Some(name) if only(headers, NAME).and_then(plain).is_none_or(|said| said != name) => {
            differ("Mcp-Name")
        }
        Some(_) | None => Ok(()),
    }
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
