//! What the writer is asked to make durable.

use std::sync::Arc;
use std::time::Duration;

use actix::Message;
use tokio::sync::oneshot;

use crate::clock::UtcMillis;
use crate::ids::{CallId, ConversationId, SessionId};
use crate::storage::rows::history::Acknowledgement;
use crate::storage::rows::{
    Abandoned, EndedAttempt, EndedCall, EndedLife, EndedSession, Life, MetricsBatch, NewAttempt, NewCall,
    NewEvent, NewSession, Outdated,
};
use crate::trail::Trail;

/// One write. It is answered through `done` once it is durable, or has failed; dropping the asking task does not take it back.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Write {
    /// What to write.
    pub record: Record,
    /// Where the outcome goes; nobody need listen.
    pub done: oneshot::Sender<Result<Written, WriteError>>,
}

/// How long a replica answers for its open calls without saying so again, in milliseconds.
pub const LEASE_MS: i64 = 30_000;

/// What can be written.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// A call enters the journal: `accepted` when made to wait, `dispatched` together with its first attempt otherwise.
    CallOpened(NewCall, Option<NewAttempt>),
    /// A further upstream request of a call; the call is `dispatched` from now on.
    AttemptOpened(NewAttempt),
    /// An upstream request ended and the call goes on: with another attempt, or with another wait.
    AttemptEnded(EndedAttempt),
    /// The answer of a call has begun to arrive.
    CallStreaming {
        /// The call.
        call: CallId,
        /// Since when.
        at: UtcMillis,
    },
    /// A call ended.
    CallEnded(Box<EndedCall>),
    /// The outcome of a call reached its caller.
    CallDelivered {
        /// The call.
        call: CallId,
        /// When.
        at: UtcMillis,
    },
    /// A client connected.
    SessionOpened(NewSession),
    /// A client went.
    SessionEnded(EndedSession),
    /// What happened on connections since the last batch. Not kept in the spool.
    Events(Vec<NewEvent>),
    /// A replica still answers for these open calls of its own.
    LeasesRenewed {
        /// The calls that it works on.
        calls: Vec<CallId>,
        /// Until when.
        until: UtcMillis,
    },
    /// Nobody works on these calls any more: what was never sent is `interrupted`, what was sent is `unknown`.
    Recovered {
        /// Which calls.
        abandoned: Abandoned,
        /// When that was found out.
        at: UtcMillis,
    },
    /// The time of these rows has come. One step: it is repeated while rows go.
    Expired(Outdated),
    /// The sums of the windows that moved.
    MetricsFlushed(Arc<MetricsBatch>),
    /// A process begins to count, at this time.
    LifeBegan(Life, UtcMillis),
    /// It is known, at this time, what the rollups lack of a process that has ended.
    LifeEnded(EndedLife, UtcMillis),
    /// An operator took note of observations.
    Acknowledged(Acknowledgement),
}

/// A write that is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It stands.
    Done,
    /// The principal has already used this idempotency key; nothing was written.
    DuplicateKey,
    /// The principal has an answer to this very request that was never delivered; nothing was written.
    Undelivered(CallId),
    /// What was to be closed had never been opened.
    Absent(Absent),
    /// The abandoned calls are closed.
    Recovered {
        /// Calls that had never been sent: safe to ask again.
        interrupted: u64,
        /// Calls that had been sent, and of which nobody knows what became.
        unknown: u64,
    },
    /// So many observations are acknowledged by this.
    Acknowledged(u64),
    /// This many rows are gone, or have lost what they kept; 0 when none was left.
    Expired(u64),
}

/// What had never been opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absent {
    /// The call; nothing was written.
    Call,
    /// Its last upstream request; the call is closed.
    Attempt,
}

/// A write that did not happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The database cannot be reached or is full: nothing was written.
    #[error("the database is not available")]
    Unavailable,
    /// The database went away, or did not answer in time, while the row was being written: it may stand or not.
    #[error("the database did not confirm the row")]
    Uncertain,
    /// The database refused this very row; a defect of ours.
    #[error("the database refused the row")]
    Refused,
    /// More writes are waiting than the limit.
    #[error("too many writes are waiting")]
    Full,
}

/// Asks to be told, through `done`, when everything that was taken before this is durable or has failed.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Flush {
    /// Where the answer goes.
    pub done: oneshot::Sender<()>,
}

/// What the writer has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WriterFacts {
    /// Transactions that were committed.
    pub commits: u64,
    /// Records that became durable.
    pub records: u64,
    /// Records that the database refused.
    pub refused: u64,
    /// Records that were given up because the database was not available.
    pub unavailable: u64,
    /// Records in the last batch.
    pub last_batch: usize,
    /// How long the last batch took.
    pub last_commit: Duration,
    /// When the last commit came through.
    pub last_commit_at: Option<UtcMillis>,
    /// Records that wait for the next batch.
    pub waiting: usize,
    /// Outcomes that are durable in the spool and wait for the database.
    pub spool_rows: u64,
    /// Their size in bytes.
    pub spool_bytes: u64,
    /// Outcomes that the database took from the spool.
    pub spool_replayed: u64,
}

/// A row, or a family of rows, that a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    /// A call and its attempts.
    Call(CallId),
    /// A conversation and its turns.
    Conversation(ConversationId),
    /// A session.
    Session(SessionId),
    /// The windows of the metrics.
    Metrics,
    /// Whatever there is.
    Everything,
}

/// What a record without its texts takes in memory and in the database, roughly.
const RECORD_BYTES: usize = 512;
/// What a window's sum without its labels takes.
const ROLLUP_BYTES: usize = 160;
/// The same of one event.
const EVENT_BYTES: usize = 256;

impl Record {
    /// What kind of record it is, for logs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::CallOpened(..) => "call_opened",
            Self::AttemptOpened(_) => "attempt_opened",
            Self::AttemptEnded(_) => "attempt_ended",
            Self::CallStreaming { .. } => "call_streaming",
            Self::CallEnded(_) => "call_ended",
            Self::CallDelivered { .. } => "call_delivered",
            Self::SessionOpened(_) => "session_opened",
            Self::SessionEnded(_) => "session_ended",
            Self::Events(_) => "events",
            Self::LeasesRenewed { .. } => "leases_renewed",
            Self::Recovered { .. } => "recovered",
            Self::Expired(_) => "expired",
            Self::MetricsFlushed(_) => "metrics_flushed",
            Self::LifeBegan(..) => "life_began",
            Self::LifeEnded(..) => "life_ended",
            Self::Acknowledged(_) => "acknowledged",
        }
    }

    /// What it is about: two records about the same thing must be written in their order.
    pub(crate) fn subjects(&self) -> [Option<Subject>; 2] {
        match self {
            Self::CallOpened(call, _) => [Some(Subject::Call(call.id)), None],
            Self::AttemptOpened(attempt) => [Some(Subject::Call(attempt.call)), None],
            Self::AttemptEnded(ended) => [Some(Subject::Call(ended.call)), None],
            Self::CallEnded(ended) => {
                let conversation = ended.exchange.as_ref().map(|exchange| exchange.conversation);
                [Some(Subject::Call(ended.id)), conversation.map(Subject::Conversation)]
            }
            Self::CallStreaming { call, .. } | Self::CallDelivered { call, .. } => {
                [Some(Subject::Call(*call)), None]
            }
            Self::SessionOpened(session) => [Some(Subject::Session(session.id)), None],
            Self::SessionEnded(ended) => [Some(Subject::Session(ended.id)), None],
            // Rows of a table that nothing else touches.
            Self::Events(_) | Self::Acknowledged(_) => [None, None],
            Self::LeasesRenewed { .. } | Self::Recovered { .. } | Self::Expired(_) => {
                [Some(Subject::Everything), None]
            }
            Self::MetricsFlushed(_) | Self::LifeBegan(..) | Self::LifeEnded(..) => {
                [Some(Subject::Metrics), None]
            }
        }
    }

    /// Whose it is, for logs: as far as it says so itself.
    pub(crate) fn trail(&self) -> Trail {
        let mut trail = Trail::default();
        if let Self::CallOpened(call, _) = self {
            trail.session = Some(call.session);
        }
        for subject in self.subjects().into_iter().flatten() {
            match subject {
                Subject::Call(call) => trail.call = Some(call),
                Subject::Session(session) => trail.session = Some(session),
                Subject::Conversation(_) | Subject::Metrics | Subject::Everything => {}
            }
        }
        trail
    }

    /// Its size in bytes, roughly: what the limits of the writer count.
    pub fn bytes(&self) -> usize {
        let texts = match self {
            Self::Events(events) => events.len() * EVENT_BYTES,
            Self::CallEnded(ended) => {
                let optional = |text: Option<usize>| text.unwrap_or(0);
                optional(ended.result.as_ref().map(|text| text.len()))
                    + optional(ended.receipt.as_ref().map(String::len))
                    + optional(ended.error.as_ref().map(String::len))
                    + optional(
                        ended
                            .exchange
                            .as_ref()
                            .map(|exchange| exchange.question.len() + exchange.answer.len()),
                    )
            }
            Self::MetricsFlushed(batch) => batch.rows.iter().map(|row| ROLLUP_BYTES + row.labels.len()).sum(),
            Self::CallOpened(..)
            | Self::AttemptOpened(_)
            | Self::AttemptEnded(_)
            | Self::CallStreaming { .. }
            | Self::CallDelivered { .. }
            | Self::SessionOpened(_)
            | Self::SessionEnded(_)
            | Self::LeasesRenewed { .. }
            | Self::Recovered { .. }
            | Self::Acknowledged(_)
            | Self::LifeBegan(..)
            | Self::LifeEnded(..)
            | Self::Expired(_) => 0,
        };
        RECORD_BYTES + texts
    }
}
