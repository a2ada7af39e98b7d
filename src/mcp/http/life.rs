//! The life of a session over HTTP, of a visitor, and of one modern request: an engine each for the first and the last.

use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpRequest;
use exai_actors::clock;
use exai_actors::session::messages::Ended;
use exai_actors::storage::rows::EndedSession;
use rmcp::model::{ClientRequest, GetMeta};
use rmcp::service::{serve_directly_with_ct, serve_server_with_ct};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::sessions::{CLOSED, REVOKED, Session};
use super::transport::{HttpTransport, Incoming, Tells};
use crate::mcp::Served;
use crate::mcp::edge::Facts;
use crate::mcp::handler::Handler;
use crate::mcp::monitor::Monitor;
use crate::mcp::sessions::{Card, new_session};
use crate::mcp::socket::Door;
use crate::security::Pass;

/// How a session's row names this transport.
const TRANSPORT: &str = "http";
/// Messages on their way to one session's engine.
const INBOUND_MAX: usize = 64;
/// How long a close at shutdown waits for the answers of calls that have ended.
const GOODBYE_WAIT: Duration = Duration::from_secs(1);
/// The server left (RFC 6455 7.4.1).
const AWAY: u16 = 1001;
/// The longest name of a client that is kept.
const CLIENT_CHARS_MAX: usize = 120;

/// Opens a session under this name, if it finds a place.
pub(super) fn open(door: &Arc<Door>, pass: Pass, request: &HttpRequest, key: &str) -> Option<Arc<Session>> {
    let principal = pass.principal.clone();
    let (inbound, posted) = mpsc::channel(INBOUND_MAX);
    let monitor = Monitor::opened_over_http(request);
    let make = |kept| Session::new(principal.clone(), monitor, Some(inbound), kept);
    let session = door.http.open(key, &principal, make)?;
    let (name, here, tracked) = (key.to_owned(), Arc::clone(&session), door.sessions.clone());
    let door = Arc::clone(door);
    actix_web::rt::spawn(tracked.track_future(async move {
        let (gone, service) = (CancellationToken::new(), CancellationToken::new());
        let opened = watch::Sender::new(false);
        let transport = {
            let (to, who, opened) = (Arc::clone(&door), Arc::clone(&here), opened.clone());
            let on_open = Box::new(move |facts| {
                opened.send_replace(true);
                introduce(&to, &who, facts);
            });
            let tells = Tells { on_open, ..tells(&door, &here) };
            HttpTransport::new(posted, door.limits, here.log(0).unwrap_or_else(|| here.passing()), tells)
        };
        let handler = handler(&door, &here, gone.clone());
        let live = async {
            if let Ok(running) = Box::pin(serve_server_with_ct(handler, transport, service.clone())).await {
                running.waiting().await.ok();
            }
        };
        tokio::select! {
            () = live => {}
            () = pass.revoked() => here.end_as(REVOKED),
            () = door.http.outlive(&here) => {}
            () = goodbye(&door, &here) => {}
        }
        // Who is gone did not cancel: its calls go on.
        gone.cancel();
        service.cancel();
        here.end_as(CLOSED);
        door.http.known.lock().by_key.remove(&name);
        let opened = *opened.borrow();
        ended(&door, &here, opened);
    }));
    Some(session)
}

/// What is known of a client between its modern requests.
pub(super) fn visitor(
    door: &Arc<Door>,
    pass: Pass,
    message: &ClientRequest,
    request: &HttpRequest,
) -> Option<Arc<Session>> {
    let meta = message.get_meta();
    let who = meta.client_info();
    let tame = |text: &str| text.chars().filter(|char| !char.is_control()).take(CLIENT_CHARS_MAX).collect();
    let client: String =
        who.as_ref().map(|who| tame(&format!("{} {}", who.name, who.version))).unwrap_or_default();
    let name = who.as_ref().map(|who| tame(&who.name)).unwrap_or_default();
    let principal = pass.principal.clone();
    let key = (principal.clone(), client.clone());
    let (session, is_new) = door
        .http
        .visit(&key, |kept| Session::new(principal, Monitor::opened_over_http(request), None, kept))?;
    if !is_new {
        return Some(session);
    }
    let protocol = meta.protocol_version().map(|version| version.as_str().to_owned()).unwrap_or_default();
    introduce(door, &session, Facts { client, name, protocol });
    let (here, tracked, door) = (Arc::clone(&session), door.sessions.clone(), Arc::clone(door));
    actix_web::rt::spawn(tracked.track_future(async move {
        tokio::select! {
            () = pass.revoked() => here.end_as(REVOKED),
            () = door.http.outlive(&here) => {}
            () = goodbye(&door, &here) => {}
        }
        here.end_as(CLOSED);
        let mut known = door.http.known.lock();
        if known.visitors.get(&key).is_some_and(|one| Arc::ptr_eq(one, &here)) {
            known.visitors.remove(&key);
        }
        drop(known);
        ended(&door, &here, true);
    }));
    Some(session)
}

/// Answers one modern request; cancelling `service` cancels it, and so does revoking the token that it came with.
pub(super) fn answer(
    door: &Arc<Door>,
    session: &Arc<Session>,
    incoming: Incoming,
    (service, pass): (CancellationToken, Pass),
) {
    let (inbound, posted) = mpsc::channel(1);
    let log = incoming.log.clone();
    // There is room for one.
    inbound.try_send(incoming).ok();
    let tells = Tells { in_flight: watch::Sender::new(0), ..tells(door, session) };
    let transport = HttpTransport::new(posted, door.limits, log.clone(), tells);
    let handler = handler(door, session, CancellationToken::new());
    session.in_flight.send_modify(|count| *count += 1);
    let engine = serve_directly_with_ct(handler, transport, None, service.clone());
    let session = Arc::clone(session);
    tokio::spawn(async move {
        tokio::select! {
            () = log.ended() => {}
            () = service.cancelled() => {}
            () = pass.revoked() => {}
        }
        service.cancel();
        drop(inbound);
        session.in_flight.send_modify(|count| *count = count.saturating_sub(1));
        engine.waiting().await.ok();
    });
}

fn tells(door: &Door, session: &Session) -> Tells {
    Tells {
        on_delivered: Arc::clone(&door.hooks.on_delivered),
        monitor: session.monitor.clone(),
        on_open: Box::new(|_| {}),
        in_flight: session.in_flight.clone(),
    }
}

fn handler(door: &Door, session: &Session, gone: CancellationToken) -> Served {
    let handler = Handler {
        toolbox: door.toolbox.clone(),
        principal: session.principal.clone(),
        session: session.id,
        gone,
        leaving: door.leaving.clone(),
        draining: door.draining.clone(),
        patience: door.patience.clone(),
        monitor: session.monitor.clone(),
    };
    Served::from(handler)
}

fn introduce(door: &Door, session: &Session, facts: Facts) {
    let connected_at = clock::utc_now();
    session.monitor.introduced(&facts.name, &session.principal, connected_at);
    let row = new_session(session.id, session.principal.clone(), facts, (TRANSPORT, connected_at));
    let (monitor, leaves) = (session.monitor.clone(), session.end.clone());
    door.open.enter(Card { session: row.clone(), monitor, leaves });
    (door.hooks.on_open)(row);
}

/// Ends when the server leaves and the answers of calls that have ended are on their way.
async fn goodbye(door: &Door, session: &Session) {
    door.leaving.cancelled().await;
    let mut in_flight = session.in_flight.subscribe();
    tokio::time::timeout(GOODBYE_WAIT, in_flight.wait_for(|count| *count == 0)).await.ok();
    session.end_as(AWAY);
}

fn ended(door: &Door, session: &Session, opened: bool) {
    door.open.leave(session.id);
    let (messages_in, since) = {
        let seen = session.seen.lock();
        (seen.messages_in, seen.since)
    };
    let messages = u64::try_from(messages_in).unwrap_or_default();
    let messages_out = session.monitor.messages_out();
    let end = Ended { close_code: session.code(), write_stall: false, messages_in: messages, messages_out };
    session.monitor.closed(&end, clock::now() - since);
    if opened {
        let ended = EndedSession {
            id: session.id,
            close_code: i32::from(session.code()),
            messages_in,
            messages_out: i64::try_from(messages_out).unwrap_or(i64::MAX),
            closed_at: clock::utc_now(),
        };
        (door.hooks.on_close)(TRANSPORT, ended);
    }
}
