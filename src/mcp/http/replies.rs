//! What goes back over HTTP: one body, a stream, or a refusal that says what to do.

use std::time::Duration;

use actix_web::body::SizedStream;
use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse};
use exai_actors::error::{CallError, ErrorKind};
use rmcp::model::RequestId;
use tokio_util::sync::DropGuard;

use super::arrival::Attending;
use super::headers;
use super::stream::{First, Log};
use crate::mcp::connections::Place;
use crate::mcp::envelope::Fault;
use crate::mcp::refusals::refusal;

pub(super) const JSON: &str = "application/json";
pub(super) const EVENTS: &str = "text/event-stream";
/// How long an answer may take before its stream starts.
const WHOLE_WITHIN: Duration = Duration::from_millis(50);
/// When a client that found no place may come back.
pub(super) const FULL_RETRY: Duration = Duration::from_secs(10);

/// What a connection keeps while it is answered, given back in this order: its hold on the stream, its place and, where its end is a
/// cancel, what cancels.
pub(super) type Held = (Attending, Place, Option<DropGuard>);

/// How a client is answered.
pub(super) struct Wanted {
    /// It can come back to its stream.
    resumable: bool,
    /// Its errors have statuses of their own.
    modern: bool,
    /// It would rather have a stream than one body.
    stream: bool,
}

impl Wanted {
    pub(super) fn by(request: &HttpRequest, resumable: bool, modern: bool) -> Self {
        Self { resumable, modern, stream: headers::prefers(request.headers(), EVENTS, JSON) }
    }
}

/// The answer: as one body if it comes at once, else as a stream that starts now. An error has a status, and so never is a stream if
/// it comes at once.
pub(super) async fn respond(log: &Log, wanted: Wanted, held: Held) -> HttpResponse {
    match log.first(WHOLE_WITHIN).await {
        First::Nothing => HttpResponse::Accepted().finish(),
        First::Stream => streamed(log, 0, wanted.resumable, held),
        First::Whole(_, None) if wanted.stream => streamed(log, 0, wanted.resumable, held),
        First::Whole(text, code) => {
            let size = u64::try_from(text.len()).unwrap_or_default();
            let body = SizedStream::new(size, Box::pin(log.clone().body(text, held)));
            HttpResponse::build(headers::status_of(code, wanted.modern)).content_type(JSON).body(body)
        }
    }
}

pub(super) fn streamed(log: &Log, next: u64, resumable: bool, held: Held) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.content_type(EVENTS).insert_header((header::CACHE_CONTROL, "no-cache"));
    response.streaming(Box::pin(log.events(next, resumable, held)))
}

pub(super) fn refused_message(fault: &Fault, modern: bool) -> HttpResponse {
    let mut status = headers::status_of(Some(fault.error.code), modern);
    if modern && status == StatusCode::OK {
        status = StatusCode::BAD_REQUEST;
    }
    HttpResponse::build(status).content_type(JSON).body(fault.to_text())
}

pub(super) fn too_fast(id: RequestId, wait: Duration) -> HttpResponse {
    let message = "This client sends requests too fast; slow down.";
    let error = CallError::new(ErrorKind::RateLimited, message).retry_after(wait);
    HttpResponse::Ok().content_type(JSON).body(Fault::of_call(Some(id), &error).to_text())
}

/// Too much came that nobody could read.
pub(super) fn too_much_noise(wait: Duration) -> HttpResponse {
    let message = "This client sends too much that is no MCP message; slow down.";
    let error = CallError::new(ErrorKind::RateLimited, message).retry_after(wait);
    refusal(StatusCode::TOO_MANY_REQUESTS, &error)
}

pub(super) fn wrong(status: StatusCode, message: &'static str) -> HttpResponse {
    refusal(status, &CallError::new(ErrorKind::InvalidArguments, message))
}

/// A header that decides where a message belongs says two things, or none that is text.
pub(super) fn unclear() -> HttpResponse {
    let message = "Mcp-Session-Id, MCP-Protocol-Version and Last-Event-ID may each be there once, as text.";
    wrong(StatusCode::BAD_REQUEST, message)
}

/// Nothing is left to go on with. Not 404, which would say that the session is gone (MCP 2025-11-25, basic/transports).
pub(super) fn unknown_event() -> HttpResponse {
    let message = "Last-Event-ID names a stream that was left too long, or never was; the session goes on.";
    refusal(StatusCode::BAD_REQUEST, &CallError::new(ErrorKind::NotFound, message))
}

pub(super) fn unknown_session() -> HttpResponse {
    let error = CallError::new(ErrorKind::NotFound, "There is no such session; open one with `initialize`.");
    refusal(StatusCode::NOT_FOUND, &error)
}

pub(super) fn full() -> HttpResponse {
    let error = CallError::new(ErrorKind::OverCapacity, "Every session is taken; come back later.");
    refusal(StatusCode::SERVICE_UNAVAILABLE, &error.retry_after(FULL_RETRY))
}
