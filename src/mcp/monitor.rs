//! One connection as the connection monitor sees it: what went over it, who is behind it, and how it ended. Never what was said.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse};
use exai_actors::clock::{self, UtcMillis};
use exai_actors::events::{self, Client, Direction, Facts, Kind, Lot, Weight};
use exai_actors::ids::Principal;
use exai_actors::meter::{self, Counter};
use exai_actors::session::messages::Ended;
use exai_actors::trail::Traceparent;
use rmcp::service::{RequestContext, RoleServer};
use serde_json::Value;

/// Where a client says to which trace of its own this belongs (W3C Trace Context): a header, and a key of `_meta`.
const TRACEPARENT: &str = "traceparent";

/// Tells what happens on one connection; clones tell of the same one.
#[derive(Debug, Clone, Default)]
pub(super) struct Monitor(Arc<Line>);

#[derive(Debug, Default)]
struct Line {
    http: bool,
    peer: Arc<str>,
    client: OnceLock<Client>,
    traceparent: Option<Traceparent>,
    /// Messages that came before anybody knew from whom.
    early: AtomicU64,
    messages: [AtomicU64; 2],
    active_at: AtomicI64,
}

impl Monitor {
    /// A connection was opened by this request.
    pub(super) fn opened(request: &HttpRequest) -> Self {
        Self::begun(request, false)
    }

    /// A session over HTTP was opened by this request.
    pub(super) fn opened_over_http(request: &HttpRequest) -> Self {
        Self::begun(request, true)
    }

    fn begun(request: &HttpRequest, http: bool) -> Self {
        // Over HTTP each request has its own.
        let traceparent = if http { None } else { traceparent_of(request) };
        let monitor = Self(Arc::new(Line { http, peer: peer_of(request), traceparent, ..Line::default() }));
        let lot = Lot { kind: monitor.kind(), ..lot(Direction::Open, "opened", Weight::Lasting) };
        events::note(lot, || Facts { peer: Arc::clone(&monitor.0.peer), ..Facts::default() });
        monitor
    }

    /// Where a request stands in its client's trace, by what its `_meta` says, else by the header that it came with, or that the
    /// connection was opened with. What is no traceparent is ignored, as the recommendation wants.
    pub(super) fn traceparent(&self, context: &RequestContext<RoleServer>) -> Option<Traceparent> {
        let said = context.meta.get(TRACEPARENT).and_then(Value::as_str).and_then(Traceparent::read);
        said.or_else(|| context.extensions.get().copied()).or(self.0.traceparent)
    }

    fn kind(&self) -> Kind {
        if self.0.http { Kind::Http } else { Kind::Websocket }
    }

    /// The client said who it is; once.
    pub(super) fn introduced(&self, name: &str, principal: &Principal, since: UtcMillis) {
        let client = self.0.client.get_or_init(|| events::connected(name, principal, since));
        for _ in 0..self.0.early.swap(0, Ordering::Relaxed) {
            client.message_in();
        }
    }

    /// The client sent a message of so many bytes.
    pub(super) fn message_in(&self, bytes: usize) {
        match self.0.client.get() {
            Some(client) => client.message_in(),
            None => drop(self.0.early.fetch_add(1, Ordering::Relaxed)),
        }
        self.note_message(Direction::In, bytes);
    }

    /// A message of so many bytes is on its way to the client.
    pub(super) fn message_out(&self, bytes: usize) {
        if let Some(client) = self.0.client.get() {
            client.message_out();
        }
        self.note_message(Direction::Out, bytes);
    }

    /// From where it came.
    pub(super) fn peer(&self) -> &str {
        &self.0.peer
    }

    /// Messages from and to the client, and when the last of them went.
    pub(super) fn activity(&self) -> (u64, u64, UtcMillis) {
        let [messages_in, messages_out] = &self.0.messages;
        let active_at = UtcMillis(self.0.active_at.load(Ordering::Relaxed));
        (messages_in.load(Ordering::Relaxed), messages_out.load(Ordering::Relaxed), active_at)
    }

    /// Messages that went out to the client.
    pub(super) fn messages_out(&self) -> u64 {
        self.activity().1
    }

    /// A request was answered with an error.
    pub(super) fn error(&self) {
        if let Some(client) = self.0.client.get() {
            client.error();
        }
    }

    /// A call was answered by another one.
    pub(super) fn deduplicated(&self) {
        if let Some(client) = self.0.client.get() {
            client.deduplicated();
        }
    }

    /// The connection ended after this long.
    pub(super) fn closed(&self, end: &Ended, took: Duration) {
        let outcome =
            if end.write_stall { "write_stall".into() } else { format!("closed_{}", end.close_code).into() };
        let lot = Lot { outcome, kind: self.kind(), ..lot(Direction::Close, "", Weight::Lasting) };
        events::note(lot, || Facts { peer: Arc::clone(&self.0.peer), took, ..Facts::default() });
    }

    fn note_message(&self, direction: Direction, bytes: usize) {
        let way = usize::from(direction == Direction::Out);
        self.0.messages[way].fetch_add(1, Ordering::Relaxed);
        self.0.active_at.store(clock::utc_now().0, Ordering::Relaxed);
        // A WebSocket's session counts its own.
        if self.0.http {
            meter::add(Counter::Messages, &["http", ["in", "out"][way]], 1);
        }
        let lot = Lot { kind: self.kind(), ..lot(direction, "message", Weight::Frequent) };
        events::note(lot, || Facts { peer: Arc::clone(&self.0.peer), bytes, ..Facts::default() });
    }
}

/// A request at the clients' port was refused, before it was a connection; gives the answer on.
pub(super) fn refused(request: &HttpRequest, answer: HttpResponse) -> HttpResponse {
    let outcome = format!("refused_{}", answer.status().as_u16()).into();
    let lot = Lot { outcome, ..lot(Direction::In, "", Weight::Lasting) };
    events::note(lot, || Facts { peer: peer_of(request), ..Facts::default() });
    answer
}

fn lot(direction: Direction, outcome: &'static str, weight: Weight) -> Lot {
    Lot { kind: Kind::Websocket, direction, outcome: outcome.into(), weight }
}

/// Where a request stands in its client's trace, by its header.
pub(super) fn traceparent_of(request: &HttpRequest) -> Option<Traceparent> {
    let header = request.headers().get(TRACEPARENT).and_then(|value| value.to_str().ok());
    header.and_then(Traceparent::read)
}

fn peer_of(request: &HttpRequest) -> Arc<str> {
    request.peer_addr().map(|peer| peer.to_string()).unwrap_or_default().into()
}
