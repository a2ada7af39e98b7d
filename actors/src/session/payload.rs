//! The client's bytes on their way in: one frame is taken out before more is read, so a connection never holds more than one
//! message and one chunk, and what broke (a rule, or the socket) is never in doubt. A message waits here until there is a place
//! for it, and meanwhile nothing is read.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use actix_http::ws::Codec;
use actix_web::error::PayloadError;
use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use futures_util::Stream;
use tokio::task::coop;
use tokio_util::codec::Decoder;

use super::frames::{Assembly, Broken, Received};
use super::heartbeat::Hearing;
use super::inbound::{Gate, Place};
use super::messages::Settings;
use crate::clock;

/// How much of a frame that was refused for its size is still read, and thrown away: a socket that is closed while bytes wait
/// unread is reset, and the peer never sees why.
const DISCARD_BYTES_MAX: usize = 1024 * 1024;
/// What a message spends of the 128 units that tokio gives a task at a time: eight messages, and then the thread's other sessions.
const BUDGET_PER_MESSAGE: u32 = 16;

/// The messages in a stream of bytes.
pub(super) struct Incoming<S> {
    source: S,
    codec: Codec,
    assembly: Assembly,
    buffer: BytesMut,
    gate: Gate,
    /// A message that has no place yet.
    held_back: Option<ByteString>,
    hearing: Rc<Hearing>,
    /// Set once a rule was broken: bytes are read and thrown away, up to this many more.
    discard: Option<usize>,
}

/// What a peer sent; a text with its place in the queue, unless nobody is there to handle it.
pub(super) type Arrived = (Received, Option<Place>);

impl<S> Incoming<S> {
    /// Reads `source` as far as `gate` has places, and notes in `hearing` when bytes came.
    pub(super) fn new(source: S, settings: &Settings, gate: Gate, hearing: Rc<Hearing>) -> Self {
        let bytes_max = settings.message_bytes_max;
        Self {
            source,
            codec: Codec::new().max_size(bytes_max),
            assembly: Assembly::new(bytes_max, settings.binary),
            buffer: BytesMut::new(),
            gate,
            held_back: None,
            hearing,
            discard: None,
        }
    }

    fn next_message(&mut self) -> Result<Option<Received>, Broken> {
        if let Some(text) = self.held_back.take() {
            return Ok(Some(Received::Text(text)));
        }
        loop {
            self.assembly.look_ahead(&self.buffer)?;
            let Some(frame) = self.codec.decode(&mut self.buffer)? else { return Ok(None) };
            if self.buffer.is_empty() {
                // The empty rest of a buffer keeps the whole of it, and a session may be idle for hours after its one large frame.
                self.buffer = BytesMut::new();
            }
            if let Some(received) = self.assembly.take(frame)? {
                return Ok(Some(received));
            }
        }
    }

    /// Waits until a message can be handed on.
    fn poll_arrived(&mut self, received: Received, task: &mut Context<'_>) -> Poll<Arrived> {
        let Received::Text(text) = received else { return Poll::Ready((received, None)) };
        let Poll::Ready(place) = self.gate.poll_place(text.len(), task) else {
            self.held_back = Some(text);
            self.hearing.hold_back();
            return Poll::Pending;
        };
        self.hearing.let_go(clock::now());
        Poll::Ready((Received::Text(text), place))
    }

    /// Takes a chunk in; false when the peer has sent more into the void than it may.
    fn fill(&mut self, chunk: &Bytes) -> bool {
        self.hearing.heard(clock::now());
        match &mut self.discard {
            None => self.buffer.extend_from_slice(chunk),
            Some(left) if *left < chunk.len() => return false,
            Some(left) => *left -= chunk.len(),
        }
        true
    }
}

impl<S> Stream for Incoming<S>
where
    S: Stream<Item = Result<Bytes, PayloadError>> + Unpin,
{
    type Item = Result<Arrived, Broken>;

    /// The next message, or the one rule that was broken; the end when the socket is gone.
    fn poll_next(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        // A client that sends faster than it is answered would otherwise keep its worker thread, and every session there waiting.
        let budget = ready!(coop::poll_proceed(task));
        loop {
            if this.discard.is_none() {
                match this.next_message() {
                    Ok(Some(received)) => {
                        let arrived = ready!(this.poll_arrived(received, task));
                        budget.made_progress();
                        spend(BUDGET_PER_MESSAGE - 1, task);
                        return Poll::Ready(Some(Ok(arrived)));
                    }
                    Ok(None) => {}
                    Err(broken) => {
                        this.discard = Some(DISCARD_BYTES_MAX);
                        this.buffer = BytesMut::new();
                        return Poll::Ready(Some(Err(broken)));
                    }
                }
            }
            match ready!(Pin::new(&mut this.source).poll_next(task)) {
                Some(Ok(chunk)) if this.fill(&chunk) => {}
                Some(Ok(_) | Err(_)) | None => return Poll::Ready(None),
            }
        }
    }
}

fn spend(units: u32, task: &mut Context<'_>) {
    for _ in 0..units {
        let Poll::Ready(unit) = coop::poll_proceed(task) else { return };
        unit.made_progress();
    }
}
