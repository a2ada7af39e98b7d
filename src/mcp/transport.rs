//! One session's channels as the engine's transport. It owns the [`Edge`], so that everything passes it, both ways and in order.

use std::convert::Infallible;
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
use rmcp::service::RoleServer;
use rmcp::transport::Transport;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::delivery::Outcome;
use super::edge::{Edge, Facts, Limits, Passage, Verdict};
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

/// The engine's end of a session.
pub(super) struct SocketTransport {
    inbound: Inbound,
    outbox: Outbox,
    edge: Edge,
    /// An answer of the edge's own that still waits for room. Everything that `receive` waits for is kept here, because the engine
    /// drops that future whenever something else happens.
    answer: Option<ByteString>,
    parsing: Option<Pin<Box<dyn Future<Output = Reading> + Send>>>,
    hello_by: Instant,
    ends: Ends,
    /// Messages of the engine's that wait for a place at the session.
    unqueued: watch::Sender<usize>,
    tells: Tells,
    monitor: Monitor,
}

/// Whom the transport tells what happens on a connection.
pub(super) struct Tells {
    /// Who is on the other side; once.
    pub(super) on_open: Box<dyn Fn(Facts) + Send>,
    /// The client has a call's answer.
    pub(super) on_delivered: Arc<dyn Fn(CallId) + Send + Sync>,
}

/// How the two sides of a connection hear of each other's end.
#[derive(Clone)]
pub(super) struct Ends {
    /// The socket is gone: cancelled before `service` is, so that a handler can tell a lost client from one that cancels.
    pub(super) gone: CancellationToken,
    /// Ends the engine's service. Without it the engine would wait five seconds for its handlers first.
    pub(super) service: CancellationToken,
    /// Requests whose answers are not queued yet.
    pub(super) in_flight: watch::Sender<usize>,
}

impl SocketTransport {
    pub(super) fn new(
        (inbound, outbox): (Inbound, Outbox),
        limits: Limits,
        ends: Ends,
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
            ends,
            unqueued: watch::Sender::new(0),
            tells,
            monitor,
        }
    }

    /// The next message, read; none when the socket is gone, takes too little or said nothing for too long. Cancel-safe.
    async fn next_reading(&mut self) -> Option<Reading> {
        loop {
            let mut unqueued = self.unqueued.subscribe();
            tokio::select! {
                _ = unqueued.wait_for(|unqueued| *unqueued < UNQUEUED_MAX) => {}
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

    async fn next_message(&mut self) -> Option<ClientJsonRpcMessage> {
        loop {
            if let Some(answer) = &self.answer {
                let bytes = answer.len();
                self.outbox.send(answer.clone(), None).await;
                self.answer = None;
                self.monitor.message_out(bytes);
                // What the edge says of its own accord is a refusal.
                self.monitor.error();
            }
            let reading = self.next_reading().await?;
            let before = self.edge.in_flight();
            let verdict = self.edge.admit(reading, clock::now());
            self.ends.count(before, self.edge.in_flight());
            self.introduce();
            match verdict {
                Verdict::Forward(message) => return Some(*message),
                Verdict::Answer(text) => self.answer = Some(text.into()),
                Verdict::Drop => {}
            }
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
            let Outcome { call, follower } = outcome;
            // In this order: who asks the same again from here on must find the answer delivered.
            on_delivered(call);
            drop(follower);
        })
    }
}

impl Ends {
    /// Notes how many requests one event started or ended.
    fn count(&self, before: usize, after: usize) {
        if before != after {
            self.in_flight.send_modify(|in_flight| *in_flight = (*in_flight + after).saturating_sub(before));
        }
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

impl Transport<RoleServer> for SocketTransport {
    type Error = Infallible;

    fn send(
        &mut self,
        mut item: ServerJsonRpcMessage,
    ) -> impl Future<Output = Result<(), Infallible>> + Send + 'static {
        // Nothing in a message can fail to serialize: its maps have text keys.
        let before = self.edge.in_flight();
        let message = match self.edge.let_out(&mut item) {
            Passage::Out(outcome) => {
                let text = serde_json::to_string(&item).unwrap_or_default();
                self.monitor.message_out(text.len());
                Some((text, outcome.map(|outcome| self.sent(outcome))))
            }
            Passage::Dropped => None,
        };
        let after = self.edge.in_flight();
        self.introduce();
        self.unqueued.send_modify(|unqueued| *unqueued += 1);
        let (outbox, ends, unqueued) = (self.outbox.clone(), self.ends.clone(), self.unqueued.clone());
        async move {
            if let Some((text, delivered)) = message {
                outbox.send(text.into(), delivered).await;
            }
            unqueued.send_modify(|unqueued| *unqueued -= 1);
            // Only once the answer is queued, so that a close at shutdown queues behind it.
            ends.count(before, after);
            Ok(())
        }
    }

    async fn receive(&mut self) -> Option<ClientJsonRpcMessage> {
        let message = self.next_message().await;
        if message.is_none() {
            self.ends.gone.cancel();
            self.ends.service.cancel();
        }
        message
    }

    async fn close(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}
