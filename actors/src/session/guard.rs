//! Stands between a session and its socket. Contains the session's panics: its future is actix's own and cannot be restarted, so a
//! panic is caught around it; the first one in a message's handling costs that message alone, any other ends the session with
//! 1011, never the thread. And ends a session that was given up, because it is polled exactly when the socket takes bytes.

use std::cell::{Cell, RefCell};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_http::ws::{CloseCode, Codec, Message};
use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use futures_util::Stream;
use tokio_util::codec::Encoder;
use tokio_util::sync::CancellationToken;

use super::messages::Refuse;
use crate::clock::{self, Instant};
use crate::trail::Trail;

/// Panics in handling a message that a session outlives.
const PANICS_MAX: u32 = 1;
/// Bytes that are given to the socket at a time: little, so that the next poll says how fast the peer takes them.
const CHUNK_BYTES_MAX: usize = 16 * 1024;

/// What the session and its guard both know.
pub(super) struct Shared {
    /// The message that is being handled.
    pub(super) in_hand: RefCell<Option<ByteString>>,
    /// The close code that was sent or received first.
    pub(super) close_code: Cell<Option<CloseCode>>,
    /// Cancelled when the session is given up.
    stalled: CancellationToken,
    /// Since when bytes wait for the socket to take them; none when it has taken all.
    behind_since: Cell<Option<Instant>>,
}

impl Shared {
    pub(super) fn new(stalled: CancellationToken) -> Self {
        Self {
            in_hand: RefCell::default(),
            close_code: Cell::default(),
            stalled,
            behind_since: Cell::default(),
        }
    }

    /// Whether the session was given up, or the socket has taken nothing for `write_stall`, after which the kernel ends it.
    pub(super) fn is_stalled(&self, now: Instant, write_stall: Duration) -> bool {
        let is_behind = |since| now.duration_since(since) >= write_stall;
        self.stalled.is_cancelled() || self.behind_since.get().is_some_and(is_behind)
    }
}

/// A session's outgoing bytes.
pub(super) struct Guard<S> {
    life: Option<Pin<Box<S>>>,
    shared: Rc<Shared>,
    refuse: Refuse,
    /// The one that it was made on, which every line of the session's is on.
    trail: Trail,
    panics: u32,
    /// What the session wrote and the socket has not been given yet.
    rest: Bytes,
}

impl<S> Guard<S> {
    pub(super) fn new(life: S, shared: Rc<Shared>, refuse: Refuse) -> Self {
        let life = Some(Box::pin(life));
        Self { life, shared, refuse, trail: Trail::current(), panics: 0, rest: Bytes::new() }
    }

    /// What is written after a panic.
    fn contain(&mut self) -> BytesMut {
        let in_hand = self.shared.in_hand.take();
        self.panics += 1;
        match in_hand {
            Some(text) if self.panics <= PANICS_MAX => {
                log::error!("a session panicked while it handled a message; it goes on");
                (self.refuse)(&text).map(|reply| encode(Message::Text(reply.into())))
            }
            Some(_) | None => {
                log::error!("a session panicked and is closed; its calls go on");
                self.shared.close_code.set(Some(CloseCode::Error));
                let life = self.life.take();
                // Half-mutated state may panic once more while it is dropped.
                catch_unwind(AssertUnwindSafe(|| drop(life))).ok();
                Some(encode(Message::Close(Some(CloseCode::Error.into()))))
            }
        }
        .unwrap_or_default()
    }
}

impl<S> Guard<S> {
    /// Gives the socket the next chunk.
    fn next_chunk(&mut self) -> Bytes {
        self.shared.behind_since.set(Some(clock::now()));
        self.rest.split_to(self.rest.len().min(CHUNK_BYTES_MAX))
    }
}

impl<S, E> Stream for Guard<S>
where
    S: Stream<Item = Result<Bytes, E>>,
    E: From<io::Error>,
{
    type Item = Result<Bytes, E>;

    fn poll_next(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        this.trail.within(|| this.poll(task))
    }
}

impl<S, E> Guard<S>
where
    S: Stream<Item = Result<Bytes, E>>,
    E: From<io::Error>,
{
    fn poll(&mut self, task: &mut Context<'_>) -> Poll<Option<Result<Bytes, E>>> {
        if self.shared.stalled.is_cancelled() {
            // An error, and not the end: that would wait until the peer has taken what is left.
            self.rest.clear();
            return Poll::Ready(Some(Err(io::Error::from(io::ErrorKind::TimedOut).into())));
        }
        if !self.rest.is_empty() {
            return Poll::Ready(Some(Ok(self.next_chunk())));
        }
        self.shared.behind_since.set(None);
        let Some(life) = &mut self.life else { return Poll::Ready(None) };
        match catch_unwind(AssertUnwindSafe(|| life.as_mut().poll_next(task))) {
            Ok(Poll::Ready(Some(Ok(bytes)))) => {
                self.rest = bytes;
                return Poll::Ready(Some(Ok(self.next_chunk())));
            }
            Ok(polled) => return polled,
            Err(_) => {}
        }
        let written = self.contain();
        if !written.is_empty() {
            return Poll::Ready(Some(Ok(written.freeze())));
        }
        // The panic may have eaten a wake-up.
        task.waker().wake_by_ref();
        Poll::Pending
    }
}

fn encode(message: Message) -> BytesMut {
    let mut bytes = BytesMut::new();
    // Only fragments can be refused, and these are none.
    Codec::new().encode(message, &mut bytes).ok();
    bytes
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use futures_util::stream;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_large_message_goes_out_in_pieces_until_the_session_is_given_up() {
        let stalled = CancellationToken::new();
        let shared = Rc::new(Shared::new(stalled.clone()));
        let message = Bytes::from(vec![7; 3 * CHUNK_BYTES_MAX + 1]);
        let life = stream::iter([Ok::<_, io::Error>(message.clone()), Ok(message)]);
        let mut guard = Guard::new(life, Rc::clone(&shared), |_| None);
        let mut sizes = Vec::new();
        for _ in 0..5 {
            sizes.push(guard.next().await.unwrap().unwrap().len());
        }
        assert_eq!(sizes, [CHUNK_BYTES_MAX, CHUNK_BYTES_MAX, CHUNK_BYTES_MAX, 1, CHUNK_BYTES_MAX]);
        // The socket takes nothing from here on: that alone is a stall, in time.
        let second = Duration::from_secs(1);
        tokio::time::sleep(second).await;
        assert!(shared.is_stalled(clock::now(), second) && !shared.is_stalled(clock::now(), second * 2));
        stalled.cancel();
        assert!(shared.is_stalled(clock::now(), second * 2));
        assert!(guard.next().await.unwrap().is_err(), "an error, so that nothing waits for the peer");
    }
}
