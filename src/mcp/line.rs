//! One session's channels, with the [`Edge`] that everything passes, both ways and in order. It lives as long as its connection does,
//! and is lent to one engine after the other; between two of them it reads on by itself.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use actix_http::ws::CloseCode;
use bytestring::ByteString;
use exai_actors::clock::{self, Instant};
use exai_actors::ids::CallId;
use exai_actors::session::messages::{Delivered, Inbound, Outbox};
use rmcp::model::{ClientJsonRpcMessage, ServerJsonRpcMessage};
use tokio::sync::{Semaphore, watch};

use super::delivery::Outcome;
use super::edge::{Edge, Facts, Greeting, Limits, Passage, Verdict};
use super::envelope::{self, Reading};
use super::monitor::Monitor;

/// Messages from this size on are parsed off the arbiter: 256 KiB take half a millisecond, 2 MiB five.
pub(super) const PARSE_INLINE_BYTES_MAX: usize = 256 * 1024;
/// Such messages that are parsed at the same time, of all connections together: the parser keeps several copies of what it reads.
const PARSES_MAX: usize = 2;

/// Answers that may wait for a place at the session; a client that takes so few of them is not read on.
const UNQUEUED_MAX: usize = 64;

/// One place for each parse of [`PARSES_MAX`].
static PARSES: Semaphore = Semaphore::const_new(PARSES_MAX);

/// The server's end of a session.
pub(super) struct Line {
    inbound: Inbound,
    outbox: Outbox,
    edge: Edge,
    /// An answer of the edge's own that still waits for room. Everything that [`Line::next`] waits for is kept here, because the
    /// engine drops that future whenever something else happens.
    answer: Option<ByteString>,
    parsing: Option<Pin<Box<dyn Future<Output = Reading> + Send>>>,
    hello_by: Instant,
    /// What is on its way out; the goodbye at shutdown looks at it too.
    pending: watch::Sender<Pending>,
    tells: Tells,
    monitor: Monitor,
}

/// What a client waits for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pending {
    /// Requests whose answers are not queued yet.
    pub(super) requests: usize,
    /// Messages of the engine's that wait for a place at the session.
    unqueued: usize,
}

/// Whom the transport tells what happens on a connection.
pub(super) struct Tells {
    /// Who is on the other side; once.
    pub(super) on_open: Box<dyn Fn(Facts) + Send>,
    /// The client has a call's answer.
    pub(super) on_delivered: Arc<dyn Fn(CallId) + Send + Sync>,
}

impl Line {
    pub(super) fn new(
        (inbound, outbox): (Inbound, Outbox),
        limits: Limits,
        pending: watch::Sender<Pending>,
        tells: Tells,
        monitor: Monitor,
    ) -> Self {
        let now = clock::now();
        Self {
            inbound,
            outbox,
            edge: Edge::new(limits, now),
            answer: None,
            parsing: None,
            hello_by: now + limits.hello_within,
            pending,
            tells,
            monitor,
        }
    }

    /// The next message for an engine; none when the socket is gone, takes too little or said nothing for too long. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Box<ClientJsonRpcMessage>> {
        loop {
            if let Some(answer) = &self.answer {
                // Boxed, as everything that a connection rarely waits for: it waits here all its life.
                let bytes = answer.len();
                Box::pin(self.outbox.send(answer.clone(), None)).await;
                self.answer = None;
                self.monitor.message_out(bytes);
                // What the edge says of its own accord is a refusal.
                self.monitor.error();
            }
            let reading = self.next_reading().await?;
            let before = self.edge.in_flight();
            let verdict = self.edge.admit(reading, clock::now());
            count(&self.pending, before, self.edge.in_flight());
            self.introduce();
            match verdict {
                Verdict::Forward(message) => return Some(message),
                Verdict::Answer(text) => self.answer = Some(text.into()),
                Verdict::Drop => {}
            }
        }
    }

    /// Sends what an engine says, if anybody waits for it.
    pub(super) fn send(&mut self, mut item: ServerJsonRpcMessage) -> impl Future<Output = ()> + Send + use<> {
        let before = self.edge.in_flight();
        let message = match self.edge.let_out(&mut item) {
            Passage::Out(outcome) => {
                // Nothing in a message can fail to serialize: its maps have text keys.
                let text = serde_json::to_string(&item).unwrap_or_default();
                self.monitor.message_out(text.len());
                Some((text, outcome.map(|outcome| self.sent(outcome))))
            }
            Passage::Dropped => None,
        };
        let after = self.edge.in_flight();
        self.introduce();
        self.pending.send_modify(|pending| pending.unqueued += 1);
        let (outbox, pending) = (self.outbox.clone(), self.pending.clone());
        async move {
            if let Some((text, delivered)) = message {
                outbox.send(text.into(), delivered).await;
            }
            pending.send_modify(|pending| pending.unqueued -= 1);
            // Only once the answer is queued, so that a close at shutdown queues behind it.
            count(&pending, before, after);
        }
    }

    /// Whether an engine has nothing left to do: no request runs, cancelled or not, and nothing waits to go out.
    pub(super) fn is_quiet(&mut self) -> bool {
        self.edge.is_quiet() && self.pending.borrow().unqueued == 0
    }

    /// What the next engine must know of the ones before it; none before the handshake.
    pub(super) fn greeting(&self) -> Option<&Greeting> {
        self.edge.greeting()
    }

    /// The next message, read.
    async fn next_reading(&mut self) -> Option<Reading> {
        loop {
            let mut pending = self.pending.subscribe();
            tokio::select! {
                _ = pending.wait_for(|pending| pending.unqueued < UNQUEUED_MAX) => {}
                () = self.outbox.stalled() => return None,
            }
            if let Some(parsing) = &mut self.parsing {
                let reading = parsing.await;
                self.parsing = None;
                return Some(reading);
            }
            let left = (!self.edge.is_greeted()).then(|| self.hello_by.duration_since(clock::now()));
            let text = tokio::select! {
                text = self.inbound.recv() => text?,
                () = self.outbox.stalled() => return None,
                () = elapsed(left) => {
                    self.outbox.close(CloseCode::Policy).await;
                    return None;
                }
            };
            self.monitor.message_in(text.len());
            if text.len() < PARSE_INLINE_BYTES_MAX {
                return Some(envelope::read(&text));
            }
            self.parsing = Some(Box::pin(read_elsewhere(text)));
        }
    }

    fn introduce(&mut self) {
        if let Some(facts) = self.edge.take_facts() {
            (self.tells.on_open)(facts);
        }
    }

    /// Notes that a call's answer goes out; gives what is to happen when the client has it.
    fn sent(&self, outcome: Outcome) -> Delivered {
        let on_delivered = Arc::clone(&self.tells.on_delivered);
        Box::new(move || {
            let Outcome { call, seat } = outcome;
            // In this order: who asks the same again from here on must find the answer delivered.
            on_delivered(call);
            drop(seat);
        })
    }
}

/// Notes how many requests one event started or ended.
fn count(pending: &watch::Sender<Pending>, before: usize, after: usize) {
    if before != after {
        pending.send_modify(|pending| pending.requests = (pending.requests + after).saturating_sub(before));
    }
}

/// Reads a large message off the arbiter, once there is a place for it.
pub(super) async fn read_elsewhere(text: ByteString) -> Reading {
    // The places are never closed.
    let place = PARSES.acquire().await.ok();
    let reading = tokio::task::spawn_blocking(move || {
        let reading = envelope::read(&text);
        // A connection may end meanwhile; the memory is in use until here all the same.
        drop(place);
        reading
    });
    // The parser panics over no input; if it does, the message is lost like one that nobody could read.
    reading.await.unwrap_or(Reading::Nothing)
}

async fn elapsed(left: Option<Duration>) {
    match left {
        Some(left) => tokio::time::sleep(left).await,
        None => pending().await,
    }
}
