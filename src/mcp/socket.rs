//! MCP over WebSocket: the upgrade on `GET /mcp`, and the life of each connection. Everything is refused before it costs anything:
//! first by who asks, then by how, then by how many there are.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use actix_http::ws::CloseCode;
use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, dev, web};
use exai_actors::clock;
use exai_actors::error::{CallError, ErrorKind};
use exai_actors::ids::{CallId, Principal, SessionId};
use exai_actors::session::messages::{Ended, Link, Outbox, Settings};
use exai_actors::session::{self, NotAnUpgrade};
use exai_actors::storage::rows::{EndedSession, NewSession};
use exai_actors::tools::Toolbox;
use rmcp::service::serve_server_with_ct;
use socket2::SockRef;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connections::{Connections, NoPlace};
use super::edge::Limits;
use super::envelope::{self, Fault};
use super::handler::{Draining, Handler};
use super::monitor::{self, Monitor};
use super::patience::Patience;
use super::sessions::{Card, Sessions, new_session};
use super::transport::{Ends, SocketTransport, Tells};

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
/// When a client that found no place may come back.
const NO_PLACE_RETRY: Duration = Duration::from_secs(10);

/// Who asks, or the answer that refuses: Host, Origin, token.
pub(crate) type Check = dyn Fn(&HttpRequest) -> Result<Principal, HttpResponse> + Send + Sync;

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
    pub open: Sessions,
    /// Told of sessions.
    pub hooks: Hooks,
    /// The drain, which comes before the end: followers of running calls are told.
    pub draining: Draining,
    /// Cancelled when the server leaves, after the drain: every session gets its answers and then Close 1001.
    pub leaving: CancellationToken,
    /// The life of every session, to be waited for: it has ended when its end has been told.
    pub sessions: TaskTracker,
}

/// Told when a client has introduced itself, and when its connection ends. Called on worker threads; must be quick.
#[derive(Clone)]
pub(crate) struct Hooks {
    /// The handshake (or the first modern request) told who it is.
    pub on_open: Arc<dyn Fn(NewSession) + Send + Sync>,
    /// The same session's end.
    pub on_close: Arc<dyn Fn(EndedSession) + Send + Sync>,
    /// A client has the outcome of a call.
    pub on_delivered: Arc<dyn Fn(CallId) + Send + Sync>,
}

/// The default limits of a socket, with MCP's way of refusing a message.
pub(crate) fn session_settings() -> Settings {
    Settings::new(refuse)
}

/// Tells the kernel to drop a peer that has not acknowledged what was sent for this long: the one thing that ends a client that
/// stopped reading; and not to queue much for one that reads slowly. For `HttpServer::on_connect`.
pub(crate) fn on_connect(
    user_timeout: Duration,
) -> impl Fn(&dyn Any, &mut dev::Extensions) + Send + Clone + 'static {
    move |connection, _| {
        let Some(stream) = connection.downcast_ref::<actix_web::rt::net::TcpStream>() else { return };
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
}

/// The routes of the door.
pub(crate) fn routes(door: Arc<Door>) -> impl FnOnce(&mut web::ServiceConfig) {
    move |config| {
        let resource = web::resource("/mcp").app_data(web::Data::from(door)).route(web::get().to(upgrade));
        config.service(resource.default_service(web::to(not_allowed)));
    }
}

async fn not_allowed(request: HttpRequest, door: web::Data<Door>) -> HttpResponse {
    if let Err(refused) = (door.check)(&request) {
        return monitor::refused(&request, refused);
    }
    let message = "This address takes WebSocket upgrades; Streamable HTTP is not served yet.";
    refusal(StatusCode::METHOD_NOT_ALLOWED, &CallError::new(ErrorKind::InvalidArguments, message))
}

async fn upgrade(request: HttpRequest, payload: web::Payload, door: web::Data<Door>) -> HttpResponse {
    let principal = match (door.check)(&request) {
        Ok(principal) => principal,
        Err(refused) => return monitor::refused(&request, refused),
    };
    let ip = request.peer_addr().map(|peer| peer.ip());
    let place = match door.connections.enter(ip) {
        Ok(place) => place,
        Err(no_place) => return monitor::refused(&request, refused_for_place(no_place)),
    };
    let started = session::start(&request, payload, &[SUBPROTOCOL], door.session, Box::new(place));
    let (response, link) = match started {
        Ok(started) => started,
        Err(not_an_upgrade) => return monitor::refused(&request, refused_upgrade(not_an_upgrade)),
    };
    let door = door.into_inner();
    let (sessions, monitor) = (door.sessions.clone(), Monitor::opened(&request));
    actix_web::rt::spawn(sessions.track_future(serve(door, principal, link, monitor)));
    response
}

fn refused_for_place(no_place: NoPlace) -> HttpResponse {
    let (status, kind, message) = match no_place {
        NoPlace::InAll => (
            StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::OverCapacity,
            "Every connection is taken; come back later.",
        ),
        NoPlace::FromHere => {
            let message = "Your address has too many connections; close some of them.";
            (StatusCode::TOO_MANY_REQUESTS, ErrorKind::RateLimited, message)
        }
    };
    refusal(status, &CallError::new(kind, message).retry_after(NO_PLACE_RETRY))
}

fn refused_upgrade(not_an_upgrade: NotAnUpgrade) -> HttpResponse {
    let status = match not_an_upgrade {
        NotAnUpgrade::Plain | NotAnUpgrade::Version => StatusCode::UPGRADE_REQUIRED,
        NotAnUpgrade::Key => StatusCode::BAD_REQUEST,
    };
    refusal(status, &CallError::new(ErrorKind::InvalidArguments, not_an_upgrade.to_string()))
}

fn refusal(status: StatusCode, error: &CallError) -> HttpResponse {
    let mut response = HttpResponse::build(status);
    if status == StatusCode::UPGRADE_REQUIRED {
        // RFC 9110 15.5.22 and RFC 6455 4.4 ask for these.
        response.insert_header((header::UPGRADE, "websocket"));
        response.insert_header((header::SEC_WEBSOCKET_VERSION, "13"));
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.insert_header((header::ALLOW, "GET"));
    }
    if let Some(wait) = error.retry_after_ms {
        response.insert_header((header::RETRY_AFTER, wait.div_ceil(1000).to_string()));
    }
    response.json(serde_json::json!({ "error": error }))
}

/// Answers a message that the session held when it panicked.
fn refuse(text: &str) -> Option<String> {
    let id = Some(envelope::request_id(text)?);
    let message = "EXAI failed while it took this request; the failure is logged.";
    Some(Fault::of_call(id, &CallError::new(ErrorKind::Internal, message)).to_text())
}

/// The life of one connection.
async fn serve(door: Arc<Door>, principal: Principal, link: Link, monitor: Monitor) {
    let Link { inbound, outbox, ended } = link;
    let id = SessionId::mint();
    let (in_flight, running) = watch::channel(0);
    let ends = Ends { gone: CancellationToken::new(), service: CancellationToken::new(), in_flight };
    let handler = Handler {
        toolbox: door.toolbox.clone(),
        principal: principal.clone(),
        session: id,
        gone: ends.gone.clone(),
        leaving: door.leaving.clone(),
        draining: door.draining.clone(),
        patience: door.patience.clone(),
        monitor: monitor.clone(),
    };
    let (introduced, was_introduced) = watch::channel(false);
    let (connected, connected_at) = (clock::now(), clock::utc_now());
    let (on_open, who) = (Arc::clone(&door.hooks.on_open), monitor.clone());
    let (open, told_to_go) = (door.open.clone(), CancellationToken::new());
    let leaves = told_to_go.clone();
    let tells = Tells {
        on_open: Box::new(move |facts| {
            introduced.send_replace(true);
            who.introduced(&facts.name, &principal, connected_at);
            let session = new_session(id, principal.clone(), facts, (TRANSPORT, connected_at));
            open.enter(Card { session: session.clone(), monitor: who.clone(), leaves: leaves.clone() });
            on_open(session);
        }),
        on_delivered: Arc::clone(&door.hooks.on_delivered),
    };
    let transport =
        SocketTransport::new((inbound, outbox.clone()), door.limits, ends.clone(), tells, monitor.clone());
    let service = async {
        // Boxed, so that the handshake's ten kilobytes are given back when it is over and not kept for the connection's life.
        let handshake = Box::pin(serve_server_with_ct(handler, transport, ends.service.clone()));
        // Its errors are ends of connections before any handshake: nothing that anybody could act on.
        if let Ok(running) = handshake.await {
            running.waiting().await.ok();
        }
    };
    tokio::join!(
        async {
            service.await;
            // The engine has ended; what it wrote last is written, and then the socket goes too.
            outbox.close(CloseCode::Normal).await;
        },
        say_goodbye(&door.leaving, &told_to_go, running, &outbox),
    );
    door.open.leave(id);
    // An end without a word is 1006 (RFC 6455 7.1.5).
    let end = ended.await.unwrap_or(ABNORMAL_END);
    log_end(id, end, outbox.messages_taken());
    monitor.closed(&end, clock::now() - connected);
    if *was_introduced.borrow() {
        (door.hooks.on_close)(EndedSession {
            id,
            close_code: i32::from(end.close_code),
            messages_in: i64::try_from(end.messages_in).unwrap_or(i64::MAX),
            messages_out: i64::try_from(end.messages_out).unwrap_or(i64::MAX),
            closed_at: clock::utc_now(),
        });
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

/// Closes with 1001 (RFC 6455 7.4.1) when the server leaves, behind the answers of calls that have ended.
async fn say_goodbye(
    leaving: &CancellationToken,
    told_to_go: &CancellationToken,
    mut in_flight: watch::Receiver<usize>,
    outbox: &Outbox,
) {
    tokio::select! {
        () = leaving.cancelled() => {}
        () = told_to_go.cancelled() => return outbox.close(CloseCode::Policy).await,
        () = outbox.gone() => return,
    }
    tokio::time::timeout(GOODBYE_WAIT, in_flight.wait_for(|running| *running == 0)).await.ok();
    outbox.close(CloseCode::Away).await;
}
