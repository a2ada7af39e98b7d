//! The actor: reads messages off the socket into one channel, writes the other channel to the socket, pings, and closes with the
//! right code. It spawns no futures of its own beside its timers, and what waits for a full channel is the stream of its messages
//! alone: anything else would stop its pings.

use std::any::Any;
use std::rc::Rc;
use std::time::Duration;

use actix::prelude::*;
use actix_http::ws::{CloseCode, CloseReason, Message, ProtocolError};
use actix_web::error::PayloadError;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use actix_web_actors::ws::{self, WebsocketContext};
use bytes::Bytes;
use bytestring::ByteString;
use futures_util::stream;
use tokio::sync::{mpsc, oneshot};

use super::delivery::Deliveries;
use super::frames::{Broken, Received};
use super::guard::{Guard, Shared};
use super::heartbeat::{Beat, Hearing, Heartbeat};
use super::inbound::{self, Place};
use super::messages::{Binary, Delivered, Ended, Link, Outbox, Outgoing, Settings};
use super::payload::{Arrived, Incoming};
use crate::clock;
use crate::faults::{self, Point};
use crate::meter::{self, Counter, Slot};

/// How long a peer may take to answer a close, or to stop sending what nobody reads, before the socket is closed anyway.
const CLOSE_WAIT: Duration = Duration::from_secs(1);

/// The request does not open a WebSocket as RFC 6455 4.2.1 asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAnUpgrade {
    /// It does not ask for one.
    #[error("this address takes WebSocket upgrades (GET with `Connection: Upgrade`, `Upgrade: websocket`)")]
    Plain,
    /// Not version 13.
    #[error("the WebSocket version must be 13")]
    Version,
    /// No good `Sec-WebSocket-Key`.
    #[error("`Sec-WebSocket-Key` must be 16 bytes in base64")]
    Key,
}

/// Answers an upgrade and starts its session on this thread. `hold` lives as long as the session does; a connection's permit
/// goes there.
pub fn start(
    request: &HttpRequest,
    payload: web::Payload,
    protocols: &[&str],
    settings: Settings,
    hold: Box<dyn Any>,
) -> Result<(HttpResponse, Link), NotAnUpgrade> {
    let mut response = handshake(request, protocols)?;
    let (gate, inbound) = inbound::queue();
    let (outbox, outgoing) = Outbox::new(settings.write_stall);
    let (ended, ended_end) = oneshot::channel();
    let shared = Rc::new(Shared::new(outbox.stall_flag()));
    let hearing = Rc::new(Hearing::new(clock::now()));
    let session = Session {
        streams: Some((Incoming::new(payload, &settings, gate, Rc::clone(&hearing)), outgoing)),
        ended: Some(ended),
        heartbeat: Heartbeat::new(settings.ping_every, settings.pong_within),
        hearing,
        shared: Rc::clone(&shared),
        settings,
        messages_in: 0,
        messages_out: 0,
        counted: ["in", "out"].map(|direction| meter::slot(Counter::Messages, &["websocket", direction])),
        deliveries: Deliveries::default(),
        _hold: hold,
    };
    // The library's own reading of the payload delivers a frame only when it is whole and confuses its errors, so it gets none.
    let nothing = stream::pending::<Result<Bytes, PayloadError>>();
    let life = WebsocketContext::create(session, nothing);
    let response = response.streaming(Guard::new(life, shared, settings.refuse));
    Ok((response, Link { inbound, outbox, ended: ended_end }))
}

fn handshake(
    request: &HttpRequest,
    protocols: &[&str],
) -> Result<actix_web::HttpResponseBuilder, NotAnUpgrade> {
    use ws::HandshakeError::{BadWebsocketKey, NoVersionHeader, UnsupportedVersion};
    let response = ws::handshake_with_protocols(request, protocols).map_err(|error| match error {
        NoVersionHeader | UnsupportedVersion => NotAnUpgrade::Version,
        BadWebsocketKey => NotAnUpgrade::Key,
        ws::HandshakeError::GetMethodRequired
        | ws::HandshakeError::NoWebsocketUpgrade
        | ws::HandshakeError::NoConnectionUpgrade => NotAnUpgrade::Plain,
    })?;
    let header = |name| request.headers().get(name).map(|value: &header::HeaderValue| value.as_bytes());
    // The library takes the drafts 7 and 8 too, and any key.
    if header(&header::SEC_WEBSOCKET_VERSION) != Some(b"13") {
        return Err(NotAnUpgrade::Version);
    }
    match header(&header::SEC_WEBSOCKET_KEY) {
        Some(key) if key.len() == 24 && key.ends_with(b"==") => Ok(response),
        Some(_) | None => Err(NotAnUpgrade::Key),
    }
}

/// One WebSocket.
struct Session {
    streams: Option<(Incoming<web::Payload>, mpsc::Receiver<Box<Outgoing>>)>,
    ended: Option<oneshot::Sender<Ended>>,
    heartbeat: Heartbeat,
    hearing: Rc<Hearing>,
    shared: Rc<Shared>,
    settings: Settings,
    messages_in: u64,
    messages_out: u64,
    /// Where its messages are counted, in and out.
    counted: [Slot; 2],
    deliveries: Deliveries,
    _hold: Box<dyn Any>,
}

type Socket = WebsocketContext<Session>;

impl Actor for Session {
    type Context = Socket;

    fn started(&mut self, socket: &mut Socket) {
        if let Some((incoming, mut outgoing)) = self.streams.take() {
            socket.add_stream(incoming);
            socket.add_stream(stream::poll_fn(move |task| outgoing.poll_recv(task)));
        }
        socket.run_later(self.settings.ping_every, Self::beat_due);
    }

    fn stopped(&mut self, _: &mut Socket) {
        if let Some(ended) = self.ended.take() {
            let close_code = self.shared.close_code.get().unwrap_or(CloseCode::Abnormal).into();
            let write_stall = self.shared.is_stalled(clock::now(), self.settings.write_stall);
            let Self { messages_in, messages_out, .. } = *self;
            // Nobody has to be there to hear it.
            ended.send(Ended { close_code, write_stall, messages_in, messages_out }).ok();
        }
    }
}

impl Session {
    fn beat_due(&mut self, socket: &mut Socket) {
        let now = clock::now();
        let next = match self.heartbeat.beat(self.hearing.at(now), now) {
            Beat::Ping(next) => {
                socket.ping(b"");
                next
            }
            Beat::Wait(next) => next,
            Beat::Dead => return self.close(CloseCode::Policy, "no answer to a ping", socket),
        };
        socket.run_later(next, Self::beat_due);
    }

    fn is_closing(&self) -> bool {
        self.shared.close_code.get().is_some()
    }

    /// Starts the closing handshake, once; the peer's answer or [`CLOSE_WAIT`] ends the session.
    fn close(&mut self, code: CloseCode, reason: &str, socket: &mut Socket) {
        if self.is_closing() {
            return;
        }
        self.shared.close_code.set(Some(code));
        socket
            .close(Some(CloseReason { code, description: (!reason.is_empty()).then(|| reason.to_owned()) }));
        socket.run_later(CLOSE_WAIT, |_, socket| socket.stop());
    }

    fn closed_by_peer(&mut self, reason: Option<CloseReason>, socket: &mut Socket) {
        if !self.is_closing() {
            // 1005 says that the peer's close had no code (RFC 6455 7.1.5); the answer has none either.
            let code = reason.as_ref().map_or(CloseCode::Other(1005), |reason| reason.code);
            self.shared.close_code.set(Some(code));
            socket.close(reason.map(|reason| reason.code.into()));
        }
        socket.stop();
    }

    fn broken_by_peer(&mut self, broken: Broken, socket: &mut Socket) {
        self.close(broken.code, broken.reason, socket);
        // A peer in the middle of something too large gets a moment to read why; any other has sent all it has.
        if broken.code != CloseCode::Size {
            socket.stop();
        }
    }

    fn text_received(&mut self, text: ByteString, place: Option<Place>) {
        self.messages_in += 1;
        self.counted[0].add(1);
        self.shared.in_hand.replace(Some(text.clone()));
        faults::point(Point::Session);
        // Without a place, whoever handled messages has ended, and a close is on its way.
        if let Some(place) = place {
            place.fill(text);
        }
        self.shared.in_hand.replace(None);
    }

    fn write(&mut self, text: ByteString, delivered: Option<Delivered>, socket: &mut Socket) {
        self.messages_out += 1;
        self.counted[1].add(1);
        socket.text(text);
        if let Some(delivered) = delivered {
            socket.ping(&self.deliveries.written(delivered));
        }
    }
}

impl StreamHandler<Result<Arrived, Broken>> for Session {
    fn handle(&mut self, incoming: Result<Arrived, Broken>, socket: &mut Socket) {
        match incoming {
            Ok((Received::Close(reason), _)) => self.closed_by_peer(reason, socket),
            Ok(_) | Err(_) if self.is_closing() => {}
            Ok((Received::Text(text), place)) => self.text_received(text, place),
            Ok((Received::Binary(bytes), _)) => match self.settings.binary {
                Binary::Echoed => socket.binary(bytes),
                Binary::Refused => {}
            },
            Ok((Received::Ping(bytes), _)) => socket.pong(&bytes),
            Ok((Received::Pong(payload), _)) => {
                self.deliveries.ponged(&payload).for_each(|delivered| delivered());
            }
            Err(broken) => self.broken_by_peer(broken, socket),
        }
    }
}

impl StreamHandler<Box<Outgoing>> for Session {
    fn handle(&mut self, outgoing: Box<Outgoing>, socket: &mut Socket) {
        match *outgoing {
            Outgoing::Text(..) if self.is_closing() => {}
            Outgoing::Text(text, _share, delivered) => self.write(text, delivered, socket),
            Outgoing::Close(code) => self.close(code, "", socket),
        }
    }

    /// Whoever handled messages has ended without saying why.
    fn finished(&mut self, socket: &mut Socket) {
        self.close(CloseCode::Error, "", socket);
    }
}

/// Asked for by the library's signature; its stream never gives anything.
impl StreamHandler<Result<Message, ProtocolError>> for Session {
    fn handle(&mut self, _: Result<Message, ProtocolError>, _: &mut Socket) {}
}
