//! MCP over WebSocket: the upgrade on `GET /mcp`, and the life of each connection. Everything is refused before it costs anything:
//! first by who asks, then by how, then by how many there are.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_http::ws::CloseCode;
use actix_web::http::StatusCode;
use actix_web::rt::net::TcpStream;
use actix_web::{HttpRequest, HttpResponse, guard, web};
use exai_actors::clock;
use exai_actors::error::{CallError, ErrorKind};
use exai_actors::ids::{CallId, Principal, SessionId};
use exai_actors::session;
use exai_actors::session::messages::{Ended, Link, Outbox, Settings};
use exai_actors::storage::rows::{EndedSession, NewSession};
use exai_actors::tools::Toolbox;
use exai_actors::trail::Trail;
use socket2::SockRef;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connections::Connections;
use super::edge::Limits;
use super::engine;
use super::envelope::{self, Fault};
use super::handler::{Draining, Handler};
use super::http::{self, Sessions};
use super::line::{Line, Pending, Tells};
use super::monitor::{self, Monitor};
use super::patience::Patience;
use super::refusals::{refusal, refused_for_place, refused_for_rate, refused_upgrade};
use super::sessions::{Card, OpenSessions, new_session};
use crate::security::Pass;

/// The subprotocol that the usual clients offer.
const SUBPROTOCOL: &str = "mcp";
/// How a session's row names this transport.
const TRANSPORT: &str = "websocket";
/// How long a close at shutdown waits for the answers of calls that have ended.
const GOODBYE_WAIT: Duration = Duration::from_secs(1);
/// The end of a session that could not even say how it ended.
const ABNORMAL_END: Ended = Ended { close_code: 1006, write_stall: false, messages_in: 0, messages_out: 0 };
/// Bytes that the kernel takes beyond what it can send: with more, a session could not tell how slowly its client reads.
const UNSENT_BYTES_MAX: u32 = 32 * 1024;

/// Who asks, or the answer that refuses: Host, Origin, token.
pub(crate) type Check = dyn Fn(&HttpRequest) -> Result<Pass, HttpResponse> + Send + Sync;

/// Where MCP clients come in over WebSocket. One for all worker threads.
pub(crate) struct Door {
    /// Looked at before anything else.
    pub check: Arc<Check>,
    /// What clients call.
    pub toolbox: Toolbox,
    /// How many there may be.
    pub connections: Connections,
    /// The limits of the socket; [`session_settings`] has the defaults.
    pub session: Settings,
    /// The limits of the requests on it.
    pub limits: Limits,
    /// How long clients wait for their answers.
    pub patience: Patience,
    /// Who is connected.
    pub open: OpenSessions,
    /// Told of sessions.
    pub hooks: Hooks,
    /// The sessions of clients that come over HTTP.
    pub http: Sessions,
    /// The drain, which comes before the end: followers of running calls are told.
    pub draining: Draining,
    /// Cancelled when the server leaves, after the drain: every session gets its answers and then Close 1001.
    pub leaving: CancellationToken,
    /// The life of every session, to be waited for: it has ended when its end has been told.
    pub sessions: TaskTracker,
    /// The engines that are awake: at most one for every session, and none for an idle one.
    pub engines: TaskTracker,
}

/// Told when a client has introduced itself, and when its connection ends. Called on worker threads; must be quick.
#[derive(Clone)]
pub(crate) struct Hooks {
    /// The handshake (or the first modern request) told who it is.
    pub on_open: Arc<dyn Fn(NewSession) + Send + Sync>,
    /// The same session's end.
    pub on_close: Arc<dyn Fn(&'static str, EndedSession) + Send + Sync>,
    /// A client has the outcome of a call.
    pub on_delivered: Arc<dyn Fn(CallId) + Send + Sync>,
}

/// The default limits of a socket, with MCP's way of refusing a message.
pub(crate) fn session_settings() -> Settings {
    Settings::new(refuse)
}

/// Tells the kernel to drop a peer that has not acknowledged what was sent for this long: the one thing that ends a client that
/// stopped reading; and not to queue much for one that reads slowly. For every new connection.
pub(crate) fn prepare(stream: &TcpStream, user_timeout: Duration) {
    if let Err(error) = SockRef::from(stream).set_tcp_user_timeout(Some(user_timeout)) {
        log::warn!(error:%; "cannot set TCP_USER_TIMEOUT; a client that does not read keeps its connection");
    }
    if let Err(error) = SockRef::from(stream).set_tcp_notsent_lowat(UNSENT_BYTES_MAX) {
        log::warn!(error:%; "cannot set TCP_NOTSENT_LOWAT; a client that reads slowly is noticed late");
    }
    // Or a message would wait, up to 40 ms, for the client's acknowledgement of the one before it.
    if let Err(error) = stream.set_nodelay(true) {
        log::warn!(error:%; "cannot set TCP_NODELAY; small messages are slow");
    }
}

/// The routes of the door.
pub(crate) fn routes(door: Arc<Door>) -> impl FnOnce(&mut web::ServiceConfig) {
    move |config| {
        let resource = web::resource("/mcp")
            .app_data(web::Data::from(door))
            .route(web::get().guard(guard::fn_guard(http::is_stream)).to(http::listen))
            .route(web::get().to(upgrade))
            .route(web::post().to(http::post))
            .route(web::delete().to(http::end));
        config.service(resource.default_service(web::to(not_allowed)));
    }
}

async fn not_allowed(request: HttpRequest, door: web::Data<Door>) -> HttpResponse {
    if let Err(refused) = (door.check)(&request) {
        return monitor::refused(&request, refused);
    }
    let message = "This address takes WebSocket upgrades (GET) and Streamable HTTP (POST, GET, DELETE).";
    refusal(StatusCode::METHOD_NOT_ALLOWED, &CallError::new(ErrorKind::InvalidArguments, message))
}

async fn upgrade(request: HttpRequest, payload: web::Payload, door: web::Data<Door>) -> HttpResponse {
    let pass = match (door.check)(&request) {
        Ok(pass) => pass,
        Err(refused) => return monitor::refused(&request, refused),
    };
    if let Err(wait) = door.http.may_upgrade(&pass.principal, door.limits) {
        return monitor::refused(&request, refused_for_rate(wait));
    }
    let ip = request.peer_addr().map(|peer| peer.ip());
    let place = match door.connections.enter(ip) {
        Ok(place) => place,
        Err(no_place) => return monitor::refused(&request, refused_for_place(no_place)),
    };
    let id = SessionId::mint();
    let trail = Trail { session: Some(id), ..Trail::default() };
    let start = || session::start(&request, payload, &[SUBPROTOCOL], door.session, Box::new(place));
    let started = trail.within(start);
    let (response, link) = match started {
        Ok(started) => started,
        Err(not_an_upgrade) => return monitor::refused(&request, refused_upgrade(not_an_upgrade)),
    };
    let door = door.into_inner();
    let (sessions, monitor) = (door.sessions.clone(), Monitor::opened(&request));
    actix_web::rt::spawn(sessions.track_future(serve(door, pass, (id, link), monitor)));
    response
}

/// Answers a message that the session held when it panicked.
fn refuse(text: &str) -> Option<String> {
    let id = Some(envelope::request_id(text)?);
    let message = "EXAI failed while it took this request; the failure is logged.";
    Some(Fault::of_call(id, &CallError::new(ErrorKind::Internal, message)).to_text())
}

/// The life of one connection.
async fn serve(door: Arc<Door>, pass: Pass, (id, link): (SessionId, Link), monitor: Monitor) {
    let principal = pass.principal.clone();
    let Link { inbound, outbox, ended } = link;
    let (pending, still_pending) = watch::channel(Pending::default());
    let gone = CancellationToken::new();
    let introduced = Arc::new(AtomicBool::new(false));
    let connected = clock::now();
    let told_to_go = CancellationToken::new();
    let card = (monitor.clone(), told_to_go.clone());
    let tells = tells(&door, id, principal.clone(), card, Arc::clone(&introduced));
    let line = Line::new((inbound, outbox.clone()), door.limits, pending, tells, monitor.clone());
    let handler = || Handler {
        toolbox: door.toolbox.clone(),
        principal: principal.clone(),
        session: id,
        gone: gone.clone(),
        leaving: door.leaving.clone(),
        draining: door.draining.clone(),
        patience: door.patience.clone(),
        monitor: monitor.clone(),
    };
    tokio::join!(
        async {
            engine::attend(line, handler, &door.engines, door.limits.sleep_after).await;
            // Nobody reads any more; what was written last is written, and then the socket goes too.
            outbox.close(CloseCode::Normal).await;
        },
        say_goodbye(&door.leaving, (&told_to_go, &pass), still_pending, &outbox),
    );
    door.open.leave(id);
    // An end without a word is 1006 (RFC 6455 7.1.5).
    let end = ended.await.unwrap_or(ABNORMAL_END);
    log_end(id, end, outbox.messages_taken());
    monitor.closed(&end, clock::now() - connected);
    if introduced.load(Ordering::Relaxed) {
        let ended = EndedSession {
            id,
            close_code: i32::from(end.close_code),
            messages_in: i64::try_from(end.messages_in).unwrap_or(i64::MAX),
            messages_out: i64::try_from(end.messages_out).unwrap_or(i64::MAX),
            closed_at: clock::utc_now(),
        };
        (door.hooks.on_close)(TRANSPORT, ended);
    }
}

/// Tells the hooks of one session.
fn tells(
    door: &Door,
    id: SessionId,
    principal: Principal,
    (monitor, leaves): (Monitor, CancellationToken),
    introduced: Arc<AtomicBool>,
) -> Tells {
    let connected_at = clock::utc_now();
    let (on_open, open) = (Arc::clone(&door.hooks.on_open), door.open.clone());
    Tells {
        on_open: Box::new(move |facts| {
            introduced.store(true, Ordering::Relaxed);
            monitor.introduced(&facts.name, &principal, connected_at);
            let session = new_session(id, principal.clone(), facts, (TRANSPORT, connected_at));
            open.enter(Card { session: session.clone(), monitor: monitor.clone(), leaves: leaves.clone() });
            on_open(session);
        }),
        on_delivered: Arc::clone(&door.hooks.on_delivered),
    }
}

/// One line for a session's end, however many messages found nobody there.
fn log_end(session: SessionId, end: Ended, messages_taken: u64) {
    let Ended { close_code, write_stall, messages_in, messages_out } = end;
    let messages_dropped = messages_taken.saturating_sub(messages_out);
    if write_stall {
        log::warn!(
            session:% , close_code, reason = "write_stall", messages_in, messages_out, messages_dropped;
            "a client took too little of what it was sent, and is dropped; its calls go on"
        );
    } else if messages_dropped > 0 {
        log::info!(
            session:%, close_code, messages_in, messages_out, messages_dropped;
            "a session ended before it had everything"
        );
    } else {
        log::debug!(session:%, close_code, messages_in, messages_out; "a session ended");
    }
}

/// Closes with 1001 (RFC 6455 7.4.1) when the server leaves, behind the answers of calls that have ended; with 1008 when an operator
/// wants it gone or its token is revoked.
async fn say_goodbye(
    leaving: &CancellationToken,
    (told_to_go, pass): (&CancellationToken, &Pass),
    mut pending: watch::Receiver<Pending>,
    outbox: &Outbox,
) {
    tokio::select! {
        () = leaving.cancelled() => {}
        () = told_to_go.cancelled() => return outbox.close(CloseCode::Policy).await,
        () = pass.revoked() => return outbox.close(CloseCode::Policy).await,
        () = outbox.gone() => return,
    }
    // Boxed: it is waited for once, at the end.
    Box::pin(tokio::time::timeout(GOODBYE_WAIT, pending.wait_for(|pending| pending.requests == 0)))
        .await
        .ok();
    outbox.close(CloseCode::Away).await;
}
