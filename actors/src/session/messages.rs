//! What goes in and out of a session: its settings, the two channels, and how it ended.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix_http::ws::CloseCode;
use bytestring::ByteString;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

pub use super::inbound::Inbound;

/// Messages that may wait to be written; the sender of the next one waits.
pub const OUTBOUND_MAX: usize = 64;
/// Bytes that may wait to be written. A larger message waits until it is alone.
const OUTBOUND_BYTES_MAX: u32 = 8 * 1024 * 1024;
/// How long a message may find no place before the session is given up: as long as the kernel waits for a peer that takes nothing.
pub const WRITE_STALL: Duration = Duration::from_secs(10);

/// The limits of one session.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// The largest message, in one frame or in fragments, in bytes.
    pub message_bytes_max: usize,
    /// How often a ping goes out.
    pub ping_every: Duration,
    /// How soon something must be heard after a ping. Shorter than `ping_every`.
    pub pong_within: Duration,
    /// How long a message may wait for its place before the session is given up.
    pub write_stall: Duration,
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
            write_stall: WRITE_STALL,
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
    /// The peer took nothing, or too little of what was sent, for too long.
    pub write_stall: bool,
    /// Messages from the client.
    pub messages_in: u64,
    /// Messages to the client.
    pub messages_out: u64,
}

/// Told when the peer has read a message; dropped when the session ends first.
pub type Delivered = Box<dyn FnOnce() + Send>;

/// Sends to one session; clones send to the same one, in the order of their sends.
#[derive(Debug, Clone)]
pub struct Outbox {
    /// Of boxes: tokio keeps room for 32 of what it queues, in every session, and most sessions are idle.
    queue: mpsc::Sender<Box<Outgoing>>,
    bytes: Arc<Semaphore>,
    write_stall: Duration,
    stalled: CancellationToken,
    taken: Arc<AtomicU64>,
}

/// What waits to be written.
pub(super) enum Outgoing {
    /// A text message, its share of the bytes that may wait, and who hears that the peer has it.
    Text(ByteString, OwnedSemaphorePermit, Option<Delivered>),
    /// The closing handshake.
    Close(CloseCode),
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text, ..) => write!(out, "a text of {} bytes", text.len()),
            Self::Close(code) => write!(out, "close {code:?}"),
        }
    }
}

impl Outbox {
    pub(super) fn new(write_stall: Duration) -> (Self, mpsc::Receiver<Box<Outgoing>>) {
        let (queue, outgoing) = mpsc::channel(OUTBOUND_MAX);
        let bytes = Arc::new(Semaphore::new(OUTBOUND_BYTES_MAX as usize));
        let (stalled, taken) = (CancellationToken::new(), Arc::default());
        (Self { queue, bytes, write_stall, stalled, taken }, outgoing)
    }

    /// Queues a text message, and waits while the socket is behind; `delivered` hears when the peer has read it. A session that is
    /// gone takes it and does nothing, and one that finds no place for it in time is given up. Dropping the future before it is
    /// done sends nothing.
    pub async fn send(&self, text: ByteString, delivered: Option<Delivered>) {
        let share = u32::try_from(text.len()).unwrap_or(u32::MAX).min(OUTBOUND_BYTES_MAX);
        let place = async {
            let place = self.queue.reserve().await.ok()?;
            let share = Arc::clone(&self.bytes).acquire_many_owned(share).await.ok()?;
            Some((place, share))
        };
        if let Some(Some((place, share))) = self.in_time(place).await {
            place.send(Box::new(Outgoing::Text(text, share, delivered)));
        }
        self.taken.fetch_add(1, Ordering::Relaxed);
    }

    /// Starts the closing handshake behind everything that is queued. Nothing is sent after it.
    pub async fn close(&self, code: CloseCode) {
        // A session that is gone or given up is as closed as it gets.
        let queued = self.in_time(self.queue.send(Box::new(Outgoing::Close(code))));
        // Boxed: whoever may close a session waits for that all its life.
        Box::pin(queued).await;
    }

    /// Waits until the session is gone.
    pub async fn gone(&self) {
        self.queue.closed().await;
    }

    /// Waits until the session is given up because its peer takes too little.
    pub async fn stalled(&self) {
        self.stalled.cancelled().await;
    }

    /// Messages that it was given so far. What the session has not written of them when it has ended is lost.
    pub fn messages_taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// The flag that a sender sets when it gives the session up.
    pub(super) fn stall_flag(&self) -> CancellationToken {
        self.stalled.clone()
    }

    /// What `place` gives; nothing when the session is given up, before or for this.
    async fn in_time<T>(&self, place: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.stalled.cancelled() => None,
            placed = place => Some(placed),
            () = tokio::time::sleep(self.write_stall) => {
                self.stalled.cancel();
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[tokio::test(start_paused = true)]
    async fn a_message_without_a_place_gives_the_session_up_and_the_next_ones_wait_for_nothing() {
        let (outbox, mut outgoing) = Outbox::new(WRITE_STALL);
        for _ in 0..OUTBOUND_MAX {
            outbox.send("text".into(), None).await;
        }
        let started_at = clock::now();
        outbox.send("one too many".into(), None).await;
        assert_eq!(clock::now() - started_at, WRITE_STALL);
        outbox.stalled().await;
        let (dropped, was_dropped) = oneshot::channel::<()>();
        outbox.send("later".into(), Some(Box::new(move || drop(dropped)))).await;
        outbox.close(CloseCode::Normal).await;
        assert_eq!(clock::now() - started_at, WRITE_STALL, "nobody waits for a session that is given up");
        assert!(was_dropped.await.is_err(), "what is not sent is not delivered");
        assert_eq!(outbox.messages_taken(), OUTBOUND_MAX as u64 + 2);
        outgoing.close();
        let mut queued = 0;
        while outgoing.recv().await.is_some() {
            queued += 1;
        }
        assert_eq!(queued, OUTBOUND_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_are_bounded_too_and_one_large_message_is_let_in_alone() {
        let (outbox, mut outgoing) = Outbox::new(WRITE_STALL);
        let large = "l".repeat(OUTBOUND_BYTES_MAX as usize + 1);
        outbox.send(large.into(), None).await;
        let beside = outbox.clone();
        let beside = tokio::spawn(async move { beside.send("small".into(), None).await });
        tokio::time::sleep(WRITE_STALL / 2).await;
        assert!(!beside.is_finished());
        drop(outgoing.recv().await);
        beside.await.unwrap();
        let next = outgoing.recv().await.map(|next| *next);
        assert!(matches!(next, Some(Outgoing::Text(text, ..)) if text == "small"));
    }
}
