//! What a provider is asked, and what it answers. Nothing here can name a host or a key: the provider that gets it has its own.

use std::sync::Arc;
use std::time::Duration;

use actix::Message;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::ids::CallId;
use crate::models::{Model, Role, Usage};
use crate::trail::Trail;

/// Starts one upstream call. It is answered at once; the outcome comes through `done`, exactly once.
#[derive(Message)]
#[rtype(result = "()")]
pub struct StartUpstreamCall {
    /// The call, for the logs.
    pub call: CallId,
    /// Its trail, for the log.
    pub trail: Trail,
    /// What is asked.
    pub prompt: Prompt,
    /// Where to publish how far it is; at most once a second.
    pub progress: watch::Sender<UpstreamProgress>,
    /// Ends the call: the upstream's socket closes.
    pub cancel: CancellationToken,
    /// Where the outcome goes.
    pub done: oneshot::Sender<Result<Completion, UpstreamFailure>>,
}

/// Asks for the text that a running call has so far; none where the call is not running.
#[derive(Message)]
#[rtype(result = "Option<String>")]
pub struct GetPartial {
    /// The call.
    pub call: CallId,
}

/// One question to one model.
#[derive(Debug, Clone)]
pub struct Prompt {
    /// The model, and with it the provider.
    pub model: Arc<Model>,
    /// The conversation, oldest first, ending with the user's message.
    pub messages: Vec<ChatMessage>,
    /// The sampling temperature, where the model takes one.
    pub temperature: Option<f32>,
    /// Whether the model shall think; its own default when none.
    pub thinking: Option<bool>,
    /// The most tokens of the answer, reasoning included.
    pub output_tokens_max: u32,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatMessage {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: Arc<str>,
}

/// How far an upstream call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UpstreamProgress {
    /// What it is doing.
    pub phase: UpstreamPhase,
    /// Deltas received, a fair stand-in for tokens until the usage arrives.
    pub tokens: u32,
}

/// What an upstream call is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum UpstreamPhase {
    /// Sent, nothing came yet.
    #[default]
    Waiting,
    /// Reasoning arrives.
    Thinking,
    /// The answer arrives.
    Answering,
}

/// An answer whose stream came to its proper end.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// The answer. Never empty: an empty one is a failure.
    pub text: String,
    /// Why the model stopped.
    pub finish: Finish,
    /// Tokens that the provider counted; none where it said nothing.
    pub usage: Option<Usage>,
    /// Who answered.
    pub served: Served,
}

/// Who answered, as seen on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// The model that the answer itself names; what was asked where it names none.
    pub model: String,
    /// The host that the request went to, with its port where that is not the scheme's own.
    pub host: String,
    /// The first eight hex digits of the SHA-256 of the key that was used.
    pub key_fingerprint: String,
    /// From sending to the first delta.
    pub first_token: Duration,
}

/// Why a model stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finish {
    /// It had said everything.
    Stop,
    /// The output cap was reached; the answer is cut.
    Length,
    /// Another word of the provider's, kept as it is.
    Other(String),
}

/// An end by itself in the words of other makes.
const ENDS: [&str; 5] = ["eos", "end_turn", "stop_sequence", "tool_calls", "function_call"];

impl Finish {
    /// Whether the model had said everything. A word that nobody knows, such as DeepSeek's `insufficient_system_resource`, is no end.
    pub fn is_whole(&self) -> bool {
        match self {
            Self::Stop => true,
            Self::Length => false,
            Self::Other(word) => ENDS.contains(&word.as_str()),
        }
    }
}

/// An upstream call that gave no answer. Holds no text of the upstream's: that could quote the prompt.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("upstream call failed: {class:?}")]
pub struct UpstreamFailure {
    /// What kind of failure; decides what the breaker, the retry loop and the caller make of it.
    pub class: FailureClass,
    /// The HTTP status, when there was one.
    pub status: Option<u16>,
    /// The provider's own code or type word (`1302`, `rate_limit_reached_error`), bounded and made of `[A-Za-z0-9_.-]` alone.
    pub code: Option<String>,
    /// How long the upstream asks us to wait.
    pub retry_after: Option<Duration>,
    /// The answer's text so far, when it broke off in the middle.
    pub partial: Option<Partial>,
    /// Deltas received before it failed, reasoning included; none means that no token of an answer ever came.
    pub tokens: u32,
    /// Tokens that were spent, when the provider said so.
    pub usage: Option<Usage>,
    /// The host that the request went to.
    pub host: String,
}

/// A part of an answer. Its `Debug` tells its length alone: an answer never reaches a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Partial(pub String);

impl std::fmt::Debug for Partial {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} bytes", self.0.len())
    }
}

/// What kind of failure. Each class is one row of what the breaker, the retry loop and the caller make of an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureClass {
    /// No connection: DNS, TCP or TLS.
    Connect,
    /// The connection died before a byte of the answer.
    Reset,
    /// A reused connection of the pool had died before a byte came; nobody has seen the request, as far as can be known.
    Stale,
    /// No first byte, or no further byte, in time.
    Timeout,
    /// The stream broke off, or had no terminal event.
    BrokenStream,
    /// Not what the protocol promises: HTML, another content type, garbage, an oversized line, an empty answer.
    Garbage,
    /// Without end: more than any answer within its cap, or on and on what is no part of one.
    Flood,
    /// The provider says that it failed (5xx, or an error inside the stream).
    Server,
    /// Too many requests or too little capacity just now; waiting helps.
    Busy,
    /// The account's quota or balance is used up; waiting does not help.
    Quota,
    /// The key is wrong, or not allowed here.
    Key,
    /// The provider does not have the model, or not for this account.
    UnknownModel,
    /// The prompt is longer than the model takes.
    TooLong,
    /// The provider's content policy refused the prompt or the answer.
    ContentPolicy,
    /// The request is refused as it stands.
    Rejected,
    /// The output cap was reached before the answer began: the reasoning ate it.
    OutputCap,
    /// The request asks for what this model cannot do; `code` names the argument. Nothing was sent.
    InvalidArguments,
    /// The model belongs to another provider: a defect of ours, caught before a byte left.
    Misrouted,
    /// We cancelled it.
    Cancelled,
}
