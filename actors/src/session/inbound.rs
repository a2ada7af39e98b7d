//! The queue from a session to whoever handles its messages. It refuses nothing: the session takes a place for a message before it
//! reads on, so that a client that says more than is handled is held back by TCP.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytestring::ByteString;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Messages that may wait to be handled; the client of the next one waits.
const MESSAGES_MAX: usize = 64;
/// Bytes that may wait to be handled. A larger message waits until it is alone.
const BYTES_MAX: u32 = 8 * 1024 * 1024;

/// A message, and its share of the bytes that may wait. Boxed: tokio keeps room for 32 of them in every session, and most are idle.
type Waiting = Box<(ByteString, OwnedSemaphorePermit)>;
type Places = Pin<Box<dyn Future<Output = Option<Place>>>>;

/// What the client says, in order.
#[derive(Debug)]
pub struct Inbound {
    queue: mpsc::Receiver<Waiting>,
}

/// The session's end.
pub(super) struct Gate {
    queue: mpsc::Sender<Waiting>,
    bytes: Arc<Semaphore>,
    next: Option<Places>,
}

/// A place in the queue for one message.
pub(super) struct Place {
    queue: mpsc::OwnedPermit<Waiting>,
    share: OwnedSemaphorePermit,
}

/// Both ends of a queue.
pub(super) fn queue() -> (Gate, Inbound) {
    let (sender, receiver) = mpsc::channel(MESSAGES_MAX);
    let bytes = Arc::new(Semaphore::new(BYTES_MAX as usize));
    (Gate { queue: sender, bytes, next: None }, Inbound { queue: receiver })
}

impl Inbound {
    /// The next message; none when the socket is gone. Cancel-safe.
    pub async fn recv(&mut self) -> Option<ByteString> {
        self.queue.recv().await.map(|waiting| waiting.0)
    }
}

impl Gate {
    /// Waits for a place for a message of this many bytes, the same one until it is ready; none when nobody handles messages.
    pub(super) fn poll_place(&mut self, bytes: usize, task: &mut Context<'_>) -> Poll<Option<Place>> {
        let next = self.next.get_or_insert_with(|| {
            let share = u32::try_from(bytes).unwrap_or(u32::MAX).min(BYTES_MAX);
            Box::pin(place(self.queue.clone(), Arc::clone(&self.bytes), share))
        });
        let place = ready!(next.as_mut().poll(task));
        self.next = None;
        Poll::Ready(place)
    }
}

async fn place(queue: mpsc::Sender<Waiting>, bytes: Arc<Semaphore>, share: u32) -> Option<Place> {
    let queue = queue.reserve_owned().await.ok()?;
    let share = bytes.acquire_many_owned(share).await.ok()?;
    Some(Place { queue, share })
}

impl Place {
    /// Queues the message.
    pub(super) fn fill(self, text: ByteString) {
        self.queue.send(Box::new((text, self.share)));
    }
}
