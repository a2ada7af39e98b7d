//! What the writer is asked to make durable.

use actix::Message;
use tokio::sync::oneshot;

use crate::storage::rows::{EndedCall, EndedSession, NewAttempt, NewCall, NewSession};

/// One write. It is answered through `done` once it is durable, or has failed; dropping the asking task does not take it back.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Write {
    /// What to write.
    pub record: Record,
    /// Where the outcome goes; nobody need listen.
    pub done: oneshot::Sender<Result<Written, WriteError>>,
}

/// What can be written.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// A call enters the journal: `accepted` when made to wait, `dispatched` together with its first attempt otherwise.
    CallOpened(NewCall, Option<NewAttempt>),
    /// A further upstream request of a call; the call is `dispatched` from now on.
    AttemptOpened(NewAttempt),
    /// A call ended.
    CallEnded(Box<EndedCall>),
    /// A client connected.
    SessionOpened(NewSession),
    /// A client went.
    SessionEnded(EndedSession),
}

/// A write that is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It stands.
    Done,
    /// The principal has already used this idempotency key; nothing was written.
    DuplicateKey,
}

/// A write that did not happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The database cannot be reached, is full, or did not answer in time.
    #[error("the database is not available")]
    Unavailable,
    /// The database refused this very row; a defect of ours.
    #[error("the database refused the row")]
    Refused,
    /// More writes are waiting than the limit.
    #[error("too many writes are waiting")]
    Full,
}
