//! Contains the panics of one session. Its future is actix's own and cannot be restarted, so the panic is caught around it: the
//! first one in a message's handling costs that message alone; any other ends the session with 1011, never the thread.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_http::ws::{CloseCode, Codec, Message};
use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use futures_util::Stream;
use tokio_util::codec::Encoder;

use super::messages::Refuse;

/// Panics in handling a message that a session outlives.
const PANICS_MAX: u32 = 1;

/// What the session and its guard both know.
#[derive(Default)]
pub(super) struct Shared {
    /// The message that is being handled.
    pub(super) in_hand: RefCell<Option<ByteString>>,
    /// The close code that was sent or received first.
    pub(super) close_code: Cell<Option<CloseCode>>,
}

/// A session's outgoing bytes, panics contained.
pub(super) struct Guard<S> {
    life: Option<Pin<Box<S>>>,
    shared: Rc<Shared>,
    refuse: Refuse,
    panics: u32,
}

impl<S> Guard<S> {
    pub(super) fn new(life: S, shared: Rc<Shared>, refuse: Refuse) -> Self {
        Self { life: Some(Box::pin(life)), shared, refuse, panics: 0 }
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

impl<S, E> Stream for Guard<S>
where
    S: Stream<Item = Result<Bytes, E>>,
{
    type Item = Result<Bytes, E>;

    fn poll_next(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let Some(life) = &mut this.life else { return Poll::Ready(None) };
        if let Ok(polled) = catch_unwind(AssertUnwindSafe(|| life.as_mut().poll_next(task))) {
            return polled;
        }
        let written = this.contain();
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
