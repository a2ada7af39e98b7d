//! One answer's way to a client over HTTP: the messages of one stream, kept until they were read whole, so that a cut connection can
//! go on where it was. Bounded: the oldest messages give way, the last one (the answer) never does.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use actix_web::web::Bytes;
use exai_actors::clock::{self, Instant};
use futures_util::stream::{self, Stream};
use rmcp::model::ErrorCode;
use tokio::sync::watch;

use super::arrival::{Arrival, Attending, Readers};
use super::kept::{Kept, Share};

/// Messages that one stream keeps.
const MESSAGES_MAX: usize = 128;
/// Bytes that one stream keeps beside its last message.
const BYTES_MAX: usize = 1024 * 1024;
/// How often a silent stream says that it is alive.
const COMFORT_EVERY: Duration = Duration::from_secs(15);
/// How soon a client whose stream broke comes back.
const RETRY_MS: u64 = 1000;

/// Clones are the same stream. Its one lock (inside the `watch`) is held for a few instructions: the engine writes on one worker
/// thread and a connection reads on another, so neither owns it.
#[derive(Clone)]
pub(in crate::mcp) struct Log {
    id: u64,
    state: Arc<watch::Sender<State>>,
    readers: Readers,
}

struct State {
    messages: VecDeque<Arc<str>>,
    /// Messages that gave way.
    dropped: u64,
    share: Share,
    ended: bool,
    code: Option<ErrorCode>,
    /// Connections that read it, ever: the newest one alone goes on.
    readers: u64,
    /// Whether one of them was told how to come back.
    resumable: bool,
    read_at: Option<Instant>,
}

/// What a stream has to say first.
pub(super) enum First {
    /// Its one message, and the code of the error that it is.
    Whole(Arc<str>, Option<ErrorCode>),
    /// Nothing, and nothing will come.
    Nothing,
    /// More than one message, or it takes its time.
    Stream,
}

impl Log {
    pub(super) fn new(id: u64, kept: Kept) -> Self {
        let state = State {
            messages: VecDeque::new(),
            dropped: 0,
            share: Share::new(kept),
            ended: false,
            code: None,
            readers: 0,
            resumable: false,
            read_at: None,
        };
        Self { id, state: Arc::new(watch::Sender::new(state)), readers: Readers::default() }
    }

    /// One message among several.
    pub(super) fn push(&self, text: &str) {
        self.state.send_if_modified(|state| !state.ended && state.keep(text));
    }

    /// A connection takes it. To be asked before anything can be said on it.
    pub(super) fn attend(&self) -> Attending {
        self.readers.attend()
    }

    /// Who takes it.
    pub(super) fn readers(&self) -> Readers {
        self.readers.clone()
    }

    /// The last message, and the outcome that it is.
    pub(super) fn finish(&self, text: &str, code: Option<ErrorCode>, arrival: Option<Arrival>) {
        if let Some(arrival) = arrival {
            self.readers.expect(arrival);
        }
        self.state.send_modify(|state| {
            state.keep(text);
            (state.ended, state.code) = (true, code);
        });
    }

    /// Nothing more will come.
    pub(super) fn end(&self) {
        self.state.send_modify(|state| state.ended = true);
    }

    /// Whether everything was said, and nobody can have a use for it at this time who read it so long before.
    pub(super) fn is_done(&self, read_kept_for: Duration, now: Instant) -> bool {
        let state = self.state.borrow();
        let long_ago = |at| now.duration_since(at) > read_kept_for;
        state.ended && (state.messages.is_empty() || state.read_at.is_some_and(long_ago))
    }

    /// Whether everything was said, and none of it is kept.
    pub(super) fn is_gone(&self) -> bool {
        let state = self.state.borrow();
        state.ended && state.messages.is_empty() && state.dropped > 0
    }

    /// Whether everything was said; of those that were written whole to a client, or of the others.
    pub(super) fn has_ended(&self, is_read: bool) -> bool {
        let state = self.state.borrow();
        state.ended && state.read_at.is_some() == is_read
    }

    /// Waits until it was.
    pub(super) async fn ended(&self) {
        self.state.subscribe().wait_for(|state| state.ended).await.ok();
    }

    /// Closes the connection that reads it, once one does; where it can be resumed its client comes back for the rest.
    #[cfg(feature = "conformance")]
    pub(in crate::mcp) async fn hang_up(&self) {
        self.state.subscribe().wait_for(|state| state.readers > 0).await.ok();
        self.state.send_modify(|state| state.readers += 1);
    }

    /// Whether nobody reads it.
    pub(super) fn is_idle(&self) -> bool {
        self.state.receiver_count() == 0
    }

    /// Waits, at most so long, for what it has to say first.
    pub(super) async fn first(&self, within: Duration) -> First {
        let mut changes = self.state.subscribe();
        let spoke = changes.wait_for(|state| state.ended || !state.messages.is_empty());
        let Ok(Ok(state)) = tokio::time::timeout(within, spoke).await else { return First::Stream };
        match (state.ended, state.messages.len(), state.messages.front()) {
            (true, 1, Some(text)) if state.dropped == 0 => First::Whole(Arc::clone(text), state.code),
            (true, 0, _) => First::Nothing,
            _ => First::Stream,
        }
    }

    /// The client has it whole.
    pub(super) fn delivered(&self) {
        self.state.send_modify(State::was_read);
        self.readers.has_arrived();
    }

    /// The stream from its message number `next` on, as Server-Sent Events; with ids where it can be resumed. `held` lives as long as
    /// the connection reads.
    pub(super) fn events<T: 'static>(
        &self,
        next: u64,
        resumable: bool,
        held: T,
    ) -> impl Stream<Item = Result<Bytes, Infallible>> + use<T> {
        let mut number = 0;
        self.state.send_modify(|state| {
            state.readers += 1;
            state.resumable |= resumable;
            number = state.readers;
        });
        let reader = Reader {
            log: self.clone(),
            changes: self.state.subscribe(),
            next,
            number,
            resumable,
            begun: false,
            held,
        };
        stream::unfold(reader, |mut reader| async {
            let bytes = reader.next().await?;
            Some((Ok(bytes), reader))
        })
    }

    /// One message as the whole body.
    pub(super) fn body<T: 'static>(
        self,
        text: Arc<str>,
        held: T,
    ) -> impl Stream<Item = Result<Bytes, Infallible>> + use<T> {
        stream::unfold((self, Some(text), held), |(log, text, held)| async {
            let Some(text) = text else {
                written().await;
                log.delivered();
                return None;
            };
            Some((Ok(Bytes::copy_from_slice(text.as_bytes())), (log, None, held)))
        })
    }
}

impl State {
    fn keep(&mut self, text: &str) -> bool {
        self.share.add(text.len());
        self.messages.push_back(text.into());
        while self.messages.len() > 1 && (self.messages.len() > MESSAGES_MAX || self.share.is_over(BYTES_MAX))
        {
            self.drop_oldest();
        }
        true
    }

    /// It is kept on only for who can come back to it.
    fn was_read(&mut self) {
        self.read_at = Some(clock::now());
        let has_place = self.share.was_read();
        while !(self.resumable && has_place || self.messages.is_empty()) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.messages.pop_front() {
            self.share.give_up(oldest.len());
            self.dropped += 1;
        }
    }
}

/// One connection that reads a stream.
struct Reader<T> {
    log: Log,
    changes: watch::Receiver<State>,
    next: u64,
    number: u64,
    resumable: bool,
    begun: bool,
    #[expect(dead_code, reason = "held, never read")]
    held: T,
}

impl<T> Reader<T> {
    async fn next(&mut self) -> Option<Bytes> {
        if !self.begun {
            self.begun = true;
            // Headers go out with the first bytes, and only then does the server notice a client that goes away.
            let first = if self.resumable {
                format!("id: {}-{}\nretry: {RETRY_MS}\ndata: \n\n", self.log.id, self.next)
            } else {
                ": open\n\n".to_owned()
            };
            return Some(first.into());
        }
        loop {
            let found = {
                let state = self.changes.borrow_and_update();
                if state.readers != self.number {
                    return None;
                }
                let at = self.next.max(state.dropped);
                let found = state.messages.get(usize::try_from(at - state.dropped).unwrap_or(usize::MAX));
                (found.map(|text| (at, Arc::clone(text))), state.ended)
            };
            match found {
                (Some((at, text)), _) => {
                    self.next = at + 1;
                    return Some(self.event(&text));
                }
                (None, true) => {
                    written().await;
                    self.log.delivered();
                    return None;
                }
                (None, false) => match tokio::time::timeout(COMFORT_EVERY, self.changes.changed()).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return None,
                    Err(_) => return Some(Bytes::from_static(b": alive\n\n")),
                },
            }
        }
    }

    fn event(&self, text: &str) -> Bytes {
        if self.resumable {
            format!("id: {}-{}\nevent: message\ndata: {text}\n\n", self.log.id, self.next).into()
        } else {
            format!("event: message\ndata: {text}\n\n").into()
        }
    }
}

/// Waits until what was said is written. A body is asked for more only when nothing of it waits ([`crate::serving`]); once more after
/// that, so that it is dropped here if its connection turns out to be broken. One that its client has closed properly is asked too.
async fn written() {
    tokio::task::yield_now().await;
}
