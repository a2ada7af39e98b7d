//! The one message of a post, bounded before it is read.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{ACCEPT_ENCODING, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use bytestring::ByteString;
use exai_actors::error::{CallError, ErrorKind};
use futures_util::StreamExt;

use super::headers::{self, only};
use super::replies::{EVENTS, JSON, wrong};
use crate::mcp::envelope::{self, Reading};
use crate::mcp::line::{PARSE_INLINE_BYTES_MAX, read_elsewhere};
use crate::mcp::refusals::refusal;
use crate::mcp::socket::Door;

/// How long a body may take.
const BODY_WITHIN: Duration = Duration::from_secs(30);

/// The message in a body that is bounded while it arrives.
pub(super) async fn read(
    request: &HttpRequest,
    mut payload: web::Payload,
    door: &Door,
) -> Result<(ByteString, Reading), HttpResponse> {
    let headers = request.headers();
    let kind = only(headers, "content-type").and_then(|kind| kind.split(';').next());
    if !kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case(JSON)) {
        return Err(wrong(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Post one JSON-RPC message as application/json.",
        ));
    }
    if !headers::is_plain(headers) {
        let message = "Post the message without a Content-Encoding; `identity` alone is taken.";
        let mut refused = wrong(StatusCode::UNSUPPORTED_MEDIA_TYPE, message);
        refused.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static(headers::IDENTITY));
        return Err(refused);
    }
    if !headers::takes(headers, JSON) || !headers::takes(headers, EVENTS) {
        let message = "Accept must name application/json and text/event-stream.";
        return Err(wrong(StatusCode::NOT_ACCEPTABLE, message));
    }
    let bytes_max = door.session.message_bytes_max;
    let too_large = || {
        let message = format!("A message is at most {bytes_max} bytes long.");
        refusal(StatusCode::PAYLOAD_TOO_LARGE, &CallError::new(ErrorKind::TooLarge, message))
    };
    let said = only(headers, "content-length").and_then(|length| length.parse::<usize>().ok());
    if said.is_some_and(|said| said > bytes_max) {
        return Err(too_large());
    }
    let mut body = web::BytesMut::new();
    let whole = async {
        while let Some(chunk) = payload.next().await {
            let broken = |_| wrong(StatusCode::BAD_REQUEST, "The body broke off.");
            let chunk = chunk.map_err(broken)?;
            if body.len() + chunk.len() > bytes_max {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(())
    };
    let late = |_| wrong(StatusCode::REQUEST_TIMEOUT, "The body took too long.");
    tokio::time::timeout(BODY_WITHIN, whole).await.map_err(late)??;
    let Ok(text) = ByteString::try_from(body.freeze()) else {
        return Err(wrong(StatusCode::BAD_REQUEST, "The body is not UTF-8."));
    };
    if text.len() < PARSE_INLINE_BYTES_MAX {
        let reading = envelope::read(&text);
        return Ok((text, reading));
    }
    let reading = read_elsewhere(text.clone()).await;
    Ok((text, reading))
}
