//! MCP over Streamable HTTP on the path of the WebSocket: sessions for 2025-06-18 and 2025-11-25, single requests for 2026-07-28. A
//! lost connection leaves the call of a session going on, and cancels a modern one.

mod arrival;
mod body;
mod headers;
mod kept;
mod life;
mod replies;
mod sessions;
pub(super) mod stream;
mod streams;
#[cfg(test)]
mod tests;
mod transport;

use std::sync::Arc;

use actix_web::guard::GuardContext;
use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use exai_actors::error::{CallError, ErrorKind};
use exai_actors::ids::Principal;
use rmcp::model::{ClientJsonRpcMessage, ClientRequest, GetExtensions, GetMeta, JsonRpcMessage};
use tokio_util::sync::CancellationToken;

pub(super) use self::arrival::Readers;
use self::body::read;
use self::headers::{SESSION, VERSION, once, only};
use self::replies::{
    EVENTS, FULL_RETRY, Wanted, full, refused_message, respond, streamed, too_fast, too_much_noise, unclear,
    unknown_event, unknown_session, wrong,
};
use self::sessions::Session;
pub(crate) use self::sessions::Sessions;
use self::transport::Incoming;
use super::connections::Place;
use super::edge::VERSIONS;
use super::envelope::{Fault, Reading};
use super::monitor;
use super::refusals::{refusal, refused_for_place};
use super::socket::Door;
use crate::security::Pass;

/// Whether a GET is for a stream and not for a WebSocket.
pub(super) fn is_stream(context: &GuardContext<'_>) -> bool {
    let headers = context.head().headers();
    !headers.contains_key(header::UPGRADE)
        && (headers.contains_key(SESSION) || headers::takes(headers, EVENTS))
}

/// `POST`: one message.
pub(super) async fn post(request: HttpRequest, payload: web::Payload, door: web::Data<Door>) -> HttpResponse {
    let door = door.into_inner();
    let (pass, place) = match enter(&request, &door) {
        Ok(entered) => entered,
        Err(refused) => return monitor::refused(&request, refused),
    };
    let (text, reading) = match read(&request, payload, &door).await {
        Ok(read) => read,
        Err(refused) => return monitor::refused(&request, refused),
    };
    let modern_header = only(request.headers(), VERSION).is_some_and(headers::is_modern);
    let mut message = match reading {
        Reading::Refused(fault) => {
            return match door.http.rate(&pass.principal, door.limits, false) {
                Ok(()) => refused_message(&fault, modern_header),
                Err(wait) => monitor::refused(&request, too_much_noise(wait)),
            };
        }
        Reading::Nothing => return HttpResponse::Accepted().finish(),
        Reading::Message(message) => message,
    };
    if let JsonRpcMessage::Request(asked) = &mut *message
        && let Some(traceparent) = monitor::traceparent_of(&request)
    {
        asked.request.extensions_mut().insert(traceparent);
    }
    let post = Post { request, door, pass, place, bytes: text.len() };
    let JsonRpcMessage::Request(asked) = &*message else {
        return if modern_header { HttpResponse::Accepted().finish() } else { post.belongs(message).await };
    };
    let opens = matches!(asked.request, ClientRequest::InitializeRequest(_));
    if opens && let Err(wait) = post.door.http.may_open(&post.pass.principal, post.door.limits) {
        return monitor::refused(&post.request, too_fast(asked.id.clone(), wait));
    }
    let modern_meta = asked.request.get_meta().protocol_version();
    let modern_meta = modern_meta.is_some_and(|version| headers::is_modern(version.as_str()));
    if !opens && (modern_header || modern_meta) {
        return post.alone(message).await;
    }
    if opens { post.open(message).await } else { post.belongs(message).await }
}

/// `GET`: the stream of what belongs to no request, or the rest of a stream that broke.
pub(super) async fn listen(request: HttpRequest, door: web::Data<Door>) -> HttpResponse {
    let (pass, place) = match enter(&request, &door) {
        Ok(entered) => entered,
        Err(refused) => return monitor::refused(&request, refused),
    };
    if !headers::takes(request.headers(), EVENTS) {
        return wrong(StatusCode::NOT_ACCEPTABLE, "Accept must name text/event-stream.");
    }
    let session = match session_of(&request, &door, &pass.principal) {
        Ok((_, session)) => session,
        Err(refused) => return refused,
    };
    let (id, next) = match once(request.headers(), headers::LAST_EVENT) {
        Err(_) => return unclear(),
        Ok(None) => (0, 0),
        Ok(Some(last)) => match last.split_once('-').map(|(id, next)| (id.parse(), next.parse::<u64>())) {
            // The event that opens a stream carries the number of the first message, every other one the one behind it.
            Some((Ok(id), Ok(next))) => (id, next),
            _ => return wrong(StatusCode::BAD_REQUEST, "Last-Event-ID is none of this server's."),
        },
    };
    match session.log(id) {
        Some(log) => streamed(&log, next, true, (log.attend(), place, None)),
        None => unknown_event(),
    }
}

/// `DELETE`: the end of a session. Its calls go on.
pub(super) async fn end(request: HttpRequest, door: web::Data<Door>) -> HttpResponse {
    let principal = match enter(&request, &door) {
        Ok((pass, _)) => pass.principal,
        Err(refused) => return monitor::refused(&request, refused),
    };
    match session_of(&request, &door, &principal) {
        Ok((_, session)) => {
            session.end_as(sessions::CLOSED);
            HttpResponse::NoContent().finish()
        }
        Err(refused) => monitor::refused(&request, refused),
    }
}

/// One posted message.
struct Post {
    request: HttpRequest,
    door: Arc<Door>,
    pass: Pass,
    place: Place,
    bytes: usize,
}

impl Post {
    /// `initialize` opens a session.
    async fn open(self, message: Box<ClientJsonRpcMessage>) -> HttpResponse {
        if self.door.draining.begun.is_cancelled() {
            let error = CallError::new(ErrorKind::Draining, "The server is shutting down; come back later.");
            return refusal(StatusCode::SERVICE_UNAVAILABLE, &error.retry_after(FULL_RETRY));
        }
        let Some(key) = sessions::mint_key() else {
            let error = CallError::new(ErrorKind::Internal, "The system has no random numbers.");
            return refusal(StatusCode::INTERNAL_SERVER_ERROR, &error);
        };
        let opened = life::open(&self.door, self.pass.clone(), &self.request, &key);
        let Some(session) = opened else { return full() };
        let mut response = self.hand_over(&session, message, false).await;
        if let Ok(key) = header::HeaderValue::from_str(&key) {
            response.headers_mut().insert(header::HeaderName::from_static(SESSION), key);
        }
        response
    }

    /// Everything else of the eras with sessions belongs to one.
    async fn belongs(self, message: Box<ClientJsonRpcMessage>) -> HttpResponse {
        match session_of(&self.request, &self.door, &self.pass.principal) {
            // An empty event is no message to clients of 2025-06-18, which knew none.
            Ok((version, session)) => {
                let resumable = version >= "2025-11-25";
                self.hand_over(&session, message, resumable).await
            }
            Err(refused) => monitor::refused(&self.request, refused),
        }
    }

    async fn hand_over(
        self,
        session: &Arc<Session>,
        message: Box<ClientJsonRpcMessage>,
        resumable: bool,
    ) -> HttpResponse {
        session.heard(self.bytes);
        let wants_answer = matches!(*message, JsonRpcMessage::Request(_));
        let log = if wants_answer { session.stream() } else { session.passing() };
        let attending = log.attend();
        let incoming = Incoming { reading: Reading::Message(message), log: log.clone() };
        let sent = match &session.inbound {
            Some(inbound) => inbound.send(incoming).await.is_ok(),
            None => false,
        };
        if !sent {
            return unknown_session();
        }
        if !wants_answer {
            return HttpResponse::Accepted().finish();
        }
        respond(&log, Wanted::by(&self.request, resumable, false), (attending, self.place, None)).await
    }

    /// A request of the era without sessions.
    async fn alone(self, message: Box<ClientJsonRpcMessage>) -> HttpResponse {
        let JsonRpcMessage::Request(asked) = &*message else { return HttpResponse::Accepted().finish() };
        let id = asked.id.clone();
        if let Err(error) = headers::agree(self.request.headers(), &asked.request, &self.door.toolbox) {
            return refused_message(&Fault { id: Some(id), error }, true);
        }
        let is_call = matches!(asked.request, ClientRequest::CallToolRequest(_));
        // Before anything is kept of a client that may call itself something else each time.
        if let Err(wait) = self.door.http.rate(&self.pass.principal, self.door.limits, is_call) {
            return monitor::refused(&self.request, too_fast(id, wait));
        }
        let visitor = life::visitor(&self.door, self.pass.clone(), &asked.request, &self.request);
        let Some(visitor) = visitor else { return full() };
        visitor.heard(self.bytes);
        let (log, service) = (visitor.passing(), CancellationToken::new());
        let attending = log.attend();
        let incoming = Incoming { reading: Reading::Message(message), log: log.clone() };
        life::answer(&self.door, &visitor, incoming, (service.clone(), self.pass));
        let held = (attending, self.place, Some(service.drop_guard()));
        respond(&log, Wanted::by(&self.request, false, true), held).await
    }
}

/// Host, Origin and token, and then a place among the connections.
#[expect(clippy::result_large_err, reason = "the door's own signature, once per request")]
fn enter(request: &HttpRequest, door: &Door) -> Result<(Pass, Place), HttpResponse> {
    let pass = (door.check)(request)?;
    let ip = request.peer_addr().map(|peer| peer.ip());
    let place = door.connections.enter(ip).map_err(refused_for_place)?;
    Ok((pass, place))
}

/// The session that a request names, and the version that it speaks.
#[expect(clippy::result_large_err, reason = "as the door's own checks, once per request")]
fn session_of<'a>(
    request: &'a HttpRequest,
    door: &Door,
    principal: &Principal,
) -> Result<(&'a str, Arc<Session>), HttpResponse> {
    let (Ok(version), Ok(key)) = (once(request.headers(), VERSION), once(request.headers(), SESSION)) else {
        return Err(unclear());
    };
    // A client that does not say has none of the eras that must (MCP 2025-06-18, basic/transports).
    let version = version.unwrap_or("2025-03-26");
    let served = version == "2025-03-26" || VERSIONS.iter().any(|served| served.as_str() == version);
    if !served {
        return Err(wrong(StatusCode::BAD_REQUEST, "That MCP-Protocol-Version is not served."));
    }
    let Some(key) = key else {
        let message = "Name the session with Mcp-Session-Id; `initialize` opens one.";
        return Err(wrong(StatusCode::BAD_REQUEST, message));
    };
    door.http.find(key, principal).map(|session| (version, session)).ok_or_else(unknown_session)
}
