//! What the dispatcher is asked, and what everyone attached to a call can watch.

use std::sync::Arc;
use std::time::Duration;

use actix::Message;
use tokio::sync::watch;

use super::admission::Limits;
use super::request_hash::request_hash;
use crate::clock::Instant;
use crate::error::{CallError, ErrorKind};
use crate::ids::{CallId, ConversationId, IdempotencyKey, Principal, SessionId, ToolName};
use crate::provider::messages::{UpstreamPhase, UpstreamProgress};
use crate::receipt::Receipt;

/// Starts a consultation, or attaches to the running one that has the same idempotency key.
#[derive(Message)]
#[rtype(result = "Result<Attached, CallError>")]
pub struct Consult {
    /// Who asks.
    pub caller: Caller,
    /// What is asked.
    pub question: Question,
    /// What makes another request the same one.
    pub request_hash: String,
}

impl Consult {
    /// Measures and hashes the question. Takes milliseconds for a long prompt, so it is not the dispatcher's thread that does it.
    pub fn new(caller: Caller, question: Question) -> Self {
        let request_hash = request_hash(&question);
        Self { caller, question, request_hash }
    }
}

/// Who asks, and on what terms.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The owner of conversations and calls.
    pub principal: Principal,
    /// The connection, for its limits and the logs.
    pub session: SessionId,
    /// The caller's own name for the call.
    pub idempotency_key: Option<IdempotencyKey>,
    /// Whether a call of this key whose outcome nobody knows shall be sent, and billed, again.
    pub retry_unknown: bool,
}

impl Caller {
    /// One that asks without any terms of its own.
    pub fn new(principal: Principal, session: SessionId) -> Self {
        Self { principal, session, idempotency_key: None, retry_unknown: false }
    }
}

/// One question to one model.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// The tool that asks.
    pub tool: ToolName,
    /// The user's text.
    pub prompt: Arc<str>,
    /// An estimate of its tokens.
    pub prompt_tokens: u32,
    /// The model, by id or alias; the conversation's last, or the default, when none.
    pub model: Option<String>,
    /// The conversation to go on with.
    pub conversation: Option<ConversationId>,
    /// The sampling temperature.
    pub temperature: Option<f32>,
    /// Whether the model shall think.
    pub thinking: Option<bool>,
    /// The most tokens of the answer, reasoning included.
    pub output_tokens_max: Option<u32>,
}

/// Someone who waits for a call's answer, held until the answer has reached its client. A call without any goes on all the same,
/// and it, or its answer, goes to whoever asks the same again.
pub type Follower = Arc<()>;

/// A hold on a running call: one for each who follows it. Dropping it detaches; the call goes on.
#[derive(Debug, Clone)]
pub struct Attached {
    /// The call. Not to be told to anyone before `progress` says that it is accepted.
    pub call: CallId,
    /// Whether it was asked for as a call of its own: its cancel is then the call's, unless others follow it. False for those who
    /// only look on.
    pub started: bool,
    /// Whether it ran already when it was asked for.
    pub joined: bool,
    /// How far it is.
    pub progress: watch::Receiver<Progress>,
    /// Its one answer, once there is one.
    pub answer: watch::Receiver<Option<Arc<Answer>>>,
    /// Counts whoever holds this among the call's followers.
    pub follower: Follower,
}

/// What a call ends with.
pub type Answer = Result<Finished, CallError>;

/// An answered call.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// The answer.
    pub text: Arc<str>,
    /// How it came about.
    pub receipt: Receipt,
}

impl Attached {
    /// Waits for the answer.
    pub async fn answered(&mut self) -> Arc<Answer> {
        match self.answer.wait_for(Option::is_some).await {
            Ok(answer) => answer.clone().unwrap_or_else(|| lost(self.call)),
            Err(_) => lost(self.call),
        }
    }
}

fn lost(call: CallId) -> Arc<Answer> {
    let message = "The server lost track of this call. Fetch it with `result` in a moment.";
    Arc::new(Err(CallError::new(ErrorKind::Internal, message).of_call(call)))
}

/// How far a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What it is doing.
    pub phase: Phase,
    /// When it was asked.
    pub since: Instant,
    /// Tokens received so far.
    pub tokens: u32,
}

impl Progress {
    /// How far a call is that was asked `since`, by what its upstream request says.
    pub(super) fn told(upstream: UpstreamProgress, since: Instant) -> Self {
        let phase = match upstream.phase {
            UpstreamPhase::Waiting => Phase::Dispatched,
            UpstreamPhase::Thinking => Phase::Thinking,
            UpstreamPhase::Answering => Phase::Answering,
        };
        Self { phase, since, tokens: upstream.tokens }
    }
}

/// What a call is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Being looked at; not yet in the journal.
    Received,
    /// In the journal, waiting for a permit.
    Waiting,
    /// Sent upstream; nothing came yet.
    Dispatched,
    /// Waiting to be sent once more, after a failure that may pass.
    Retrying,
    /// The model is reasoning.
    Thinking,
    /// The answer arrives.
    Answering,
    /// The answer is being made durable.
    Committing,
}

impl Phase {
    /// The phase in the words of a progress message.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Waiting => "waiting for a free place",
            Self::Dispatched => "waiting for the model",
            Self::Retrying => "waiting to ask the model again",
            Self::Thinking => "thinking",
            Self::Answering => "answering",
            Self::Committing => "saving the answer",
        }
    }
}

/// Cancels a call of this principal. Unknown and finished calls are left as they are.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Cancel {
    /// Whose call.
    pub principal: Principal,
    /// Which call.
    pub call: CallId,
    /// The one who no longer wants it: while others follow it, the call goes on for them. None ends it for all.
    pub follower: Option<Follower>,
}

/// Finds a running call of this principal.
#[derive(Message)]
#[rtype(result = "Option<Attached>")]
pub struct Attach {
    /// Whose call.
    pub principal: Principal,
    /// Which call.
    pub call: CallId,
}

/// Asks for the text that a running call of this principal has so far; none where nothing came yet.
#[derive(Message)]
#[rtype(result = "Option<String>")]
pub struct GetPartial {
    /// Whose call.
    pub principal: Principal,
    /// Which call.
    pub call: CallId,
}

/// Stops taking consultations, and answers once the running ones are done or `within` has passed; says how many were left.
#[derive(Message)]
#[rtype(result = "usize")]
pub struct Drain {
    /// How long running calls may take.
    pub within: Duration,
}

/// Puts other limits in force: calls that run keep what they have, and whoever waits may go where there is room now.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SetLimits {
    /// How many calls may run, by scope.
    pub limits: Limits,
}

/// Asks which calls live here, so that their leases are kept.
#[derive(Message)]
#[rtype(result = "Vec<CallId>")]
pub struct GetLive;

/// Asks what is going on.
#[derive(Message)]
#[rtype(result = "Load")]
pub struct GetLoad;

/// What is going on.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct Load {
    /// Calls that hold permits.
    pub in_flight: usize,
    /// Calls that wait for permits.
    pub waiting: usize,
    /// Calls that have a task: all that are not answered yet.
    pub live: usize,
    /// Whether new calls are refused because the server is shutting down.
    pub draining: bool,
    /// Every limit: scope, taken, whole.
    pub permits: Vec<PermitGauge>,
}

/// One limit and how much of it is taken.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct PermitGauge {
    /// `global`, or `provider:NAME`.
    pub scope: String,
    /// Taken now.
    pub in_use: usize,
    /// The limit.
    pub limit: usize,
}
