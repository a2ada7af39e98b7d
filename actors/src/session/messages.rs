//! What goes in and out of a session: its settings, the two channels, and how it ended.

use std::sync::Arc;
use std::time::Duration;

use actix_http::ws::CloseCode;
use bytestring::ByteString;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

pub use super::inbound::Inbound;

/// Messages that may wait to be written; the sender of the next one waits.
pub const OUTBOUND_MAX: usize = 64;
/// Bytes that may wait to be written. A larger message waits until it is alone.
const OUTBOUND_BYTES_MAX: u32 = 8 * 1024 * 1024;

/// The limits of one session.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// The largest message, in one frame or in fragments, in bytes.
    pub message_bytes_max: usize,
    /// How often a ping goes out.
    pub ping_every: Duration,
    /// How soon something must be heard after a ping. Shorter than `ping_every`.
    pub pong_within: Duration,
    /// What binary messages get.
    pub binary: Binary,
    /// Answers a message whose handling panicked.
    pub refuse: Refuse,
}

impl Settings {
    /// The default limits, with this way of refusing.
    pub fn new(refuse: Refuse) -> Self {
        Self {
            message_bytes_max: 8 * 1024 * 1024,
            ping_every: Duration::from_secs(30),
            pong_within: Duration::from_secs(10),
            binary: Binary::Refused,
            refuse,
        }
    }
}

/// What binary messages get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binary {
    /// Close 1003 (RFC 6455 7.4.1): the protocol above is text.
    Refused,
    /// The same bytes back, for the conformance suite of RFC 6455.
    Echoed,
}

/// Makes the answer to a message that the session held when it panicked; none where the message wants no answer.
pub type Refuse = fn(&str) -> Option<String>;

/// The other end of a session. Dropping it closes the socket.
pub struct Link {
    /// What the client says, in order; ends when the socket is gone.
    pub inbound: Inbound,
    /// Where answers go.
    pub outbox: Outbox,
    /// How it ended. An error means that it ended without a word, as 1006 does.
    pub ended: oneshot::Receiver<Ended>,
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// The close code that was sent or received first; 1006 where there was none (RFC 6455 7.1.5).
    pub close_code: u16,
    /// Messages from the client.
    pub messages_in: u64,
    /// Messages to the client.
    pub messages_out: u64,
}

/// Sends to one session; clones send to the same one, in the order of their sends.
#[derive(Debug, Clone)]
pub struct Outbox {
    queue: mpsc::Sender<Outgoing>,
    bytes: Arc<Semaphore>,
}

/// What waits to be written.
#[derive(Debug)]
pub(super) enum Outgoing {
    /// A text message, and its share of the bytes that may wait.
    Text(ByteString, OwnedSemaphorePermit),
    /// The closing handshake.
    Close(CloseCode),
}

impl Outbox {
    pub(super) fn new() -> (Self, mpsc::Receiver<Outgoing>) {
        let (queue, outgoing) = mpsc::channel(OUTBOUND_MAX);
        (Self { queue, bytes: Arc::new(Semaphore::new(OUTBOUND_BYTES_MAX as usize)) }, outgoing)
    }

    /// Queues a text message, and waits while the socket is behind. A session that is gone takes it and does nothing. Dropping
    /// the future before it is done sends nothing.
    pub async fn send(&self, text: ByteString) {
        let share = u32::try_from(text.len()).unwrap_or(u32::MAX).min(OUTBOUND_BYTES_MAX);
        let Ok(place) = self.queue.reserve().await else { return };
        if let Ok(share) = Arc::clone(&self.bytes).acquire_many_owned(share).await {
            place.send(Outgoing::Text(text, share));
        }
    }

    /// Starts the closing handshake behind everything that is queued. Nothing is sent after it.
    pub async fn close(&self, code: CloseCode) {
        // A session that is gone is as closed as it gets.
        self.queue.send(Outgoing::Close(code)).await.ok();
    }

    /// Waits until the session is gone.
    pub async fn gone(&self) {
        self.queue.closed().await;
    }
}
