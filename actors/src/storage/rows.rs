//! What goes into the tables and what comes out, in our own types. Column names and rules are those of the README's table list.

mod events;
pub mod history;
mod metrics;

pub use events::NewEvent;
pub use metrics::{Books, EndedLife, FailedFlushes, LIFE_LABEL, Life, MetricsBatch, Rollup, Span};

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::clock::UtcMillis;
use crate::ids::{
    CallId, ConversationId, IdempotencyKey, ModelId, Principal, ProviderName, SessionId, ToolName,
};
use crate::models::{Role, Usage};

/// The state of a call in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallState {
    /// Committed, not yet sent upstream.
    Accepted,
    /// An attempt has been sent, or is about to be.
    Dispatched,
    /// Answered.
    Completed,
    /// Failed, typed.
    Failed,
    /// Cancelled by its caller.
    Cancelled,
    /// Never sent; safe to ask again.
    Interrupted,
    /// Sent, and nobody knows what became of it.
    Unknown,
}

/// The state of one upstream request in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptState {
    /// Sent, or about to be.
    Dispatched,
    /// Answered.
    Completed,
    /// Failed.
    Failed,
    /// Cancelled.
    Cancelled,
    /// Sent, and nobody knows what became of it.
    Unknown,
}

/// A call on its way into the journal.
#[derive(Debug, Clone, PartialEq)]
pub struct NewCall {
    /// Its id.
    pub id: CallId,
    /// Who asks.
    pub principal: Principal,
    /// Over which connection.
    pub session: SessionId,
    /// Which conversation it continues, if any.
    pub conversation: Option<ConversationId>,
    /// Which tool.
    pub tool: ToolName,
    /// SHA-256 of the canonical request, lowercase hex.
    pub request_hash: String,
    /// The caller's own name for the call.
    pub idempotency_key: Option<IdempotencyKey>,
    /// The replica that owns it.
    pub replica: String,
    /// Until when that replica answers for it without saying so again.
    pub lease_until: UtcMillis,
    /// Whether it takes over the key of a call of the same request whose outcome nobody knows.
    pub retry_unknown: bool,
    /// Calls of the same request whose answers others wait for: they are not handed out to this one.
    pub on_its_way: Vec<CallId>,
    /// When it was accepted.
    pub accepted_at: UtcMillis,
}

/// An upstream request on its way into the journal.
#[derive(Debug, Clone, PartialEq)]
pub struct NewAttempt {
    /// The call.
    pub call: CallId,
    /// 1, 2, 3.
    pub n: i32,
    /// The provider.
    pub provider: ProviderName,
    /// The model as asked upstream.
    pub model: ModelId,
    /// The provider's host.
    pub host: String,
    /// When it is sent.
    pub dispatched_at: UtcMillis,
}

/// How an upstream request ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndedAttempt {
    /// The call.
    pub call: CallId,
    /// 1, 2, 3.
    pub n: i32,
    /// How it ended.
    pub state: AttemptState,
    /// The HTTP status, when there was one.
    pub status: Option<u16>,
    /// Tokens, as the provider counted them.
    pub usage: Option<Usage>,
    /// Cost in US dollars, when the price is known.
    pub cost_usd: Option<f64>,
    /// When.
    pub ended_at: UtcMillis,
}

/// How a call ended: one transaction with its attempt and its turns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndedCall {
    /// The call.
    pub id: CallId,
    /// How it ended.
    pub state: CallState,
    /// The answer, when there is one.
    pub result: Option<Arc<str>>,
    /// The receipt as JSON.
    pub receipt: Option<String>,
    /// The error as JSON.
    pub error: Option<String>,
    /// The last upstream request, when there was one.
    pub attempt: Option<EndedAttempt>,
    /// The two turns to remember, when it was answered.
    pub exchange: Option<NewExchange>,
    /// Whether its idempotency key may name another call from now on, because this one was never sent.
    pub frees_key: bool,
    /// Whether the call may not stand, because nobody knows whether its opening was written; then there is nothing to end.
    pub may_be_missing: bool,
    /// When.
    pub ended_at: UtcMillis,
}

/// A question and its answer, to be appended to a conversation, which is made if it does not exist.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewExchange {
    /// The conversation.
    pub conversation: ConversationId,
    /// Its owner.
    pub principal: Principal,
    /// Its title, if it is made by this.
    pub title: String,
    /// The tool that was used.
    pub tool: ToolName,
    /// The call that made it.
    pub call: CallId,
    /// What was asked.
    pub question: Arc<str>,
    /// Estimated tokens of the question.
    pub question_tokens: i32,
    /// What was answered.
    pub answer: Arc<str>,
    /// Tokens of the answer, without reasoning where that is known.
    pub answer_tokens: i32,
    /// The model that answered.
    pub model: ModelId,
    /// Its provider.
    pub provider: ProviderName,
    /// When.
    pub at: UtcMillis,
}

/// The open calls that nobody works on any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Abandoned {
    /// Those of a replica whose process has ended.
    OfReplica(String),
    /// Those of any replica whose lease ran out before this.
    ExpiredBefore(UtcMillis),
}

/// What is kept no longer. Each moment is the newest that goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outdated {
    /// The text of answers that came before this; their calls stay.
    pub results: UtcMillis,
    /// Calls that were accepted before this, with their attempts.
    pub calls: UtcMillis,
    /// Conversations without a turn since this.
    pub conversations: UtcMillis,
    /// Sessions that ended before this, or of which nothing was heard since.
    pub sessions: UtcMillis,
    /// Minutes of the metrics that began before this, and flushes of them.
    pub metric_minutes: UtcMillis,
    /// Hours of the metrics that began before this.
    pub metric_hours: UtcMillis,
    /// Events that happened before this.
    pub events: UtcMillis,
    /// Events that are kept at most; the oldest go.
    pub events_kept_max: u32,
    /// Rows of each kind that one transaction takes, so that it holds no lock for long.
    pub rows_max: u32,
}

/// A connection, as the journal keeps it.
#[derive(Debug, Clone, PartialEq)]
pub struct NewSession {
    /// Its id.
    pub id: SessionId,
    /// Who connected.
    pub principal: Principal,
    /// The client's name and version, as it says.
    pub client: String,
    /// The protocol version in use.
    pub protocol: String,
    /// `websocket`, `http` or `stdio`.
    pub transport: String,
    /// When.
    pub connected_at: UtcMillis,
}

/// The end of a connection.
#[derive(Debug, Clone, PartialEq)]
pub struct EndedSession {
    /// Its id.
    pub id: SessionId,
    /// The WebSocket close code that we sent or got; 1006 where there was none.
    pub close_code: i32,
    /// Messages from the client.
    pub messages_in: i64,
    /// Messages to the client.
    pub messages_out: i64,
    /// When.
    pub closed_at: UtcMillis,
}

/// A conversation, loaded to be continued.
#[derive(Debug, Clone, PartialEq)]
pub struct Thread {
    /// Its id.
    pub id: ConversationId,
    /// All turns that it has, loaded or not.
    pub turn_count: i32,
    /// The newest turns, oldest first.
    pub turns: Vec<Turn>,
}

/// One stored turn.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    /// Who spoke.
    pub role: Role,
    /// What was said.
    pub content: Arc<str>,
    /// Its tokens.
    pub tokens: i32,
    /// The model that answered; on the questions, the model that was asked.
    pub model: ModelId,
}

/// A call read back from the journal.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredCall {
    /// Its id.
    pub id: CallId,
    /// How it stands.
    pub state: CallState,
    /// The replica that owns it.
    pub replica: String,
    /// Which tool.
    pub tool: ToolName,
    /// SHA-256 of the canonical request, lowercase hex.
    pub request_hash: String,
    /// The answer, while it is kept.
    pub result: Option<Arc<str>>,
    /// The receipt as JSON.
    pub receipt: Option<String>,
    /// The error as JSON.
    pub error: Option<String>,
    /// When it was accepted.
    pub accepted_at: UtcMillis,
}
