//! What operators browse. None of it is content but titles, which are the beginnings of what was asked, the turns of a conversation and
//! the words of the auditor.

use serde::Serialize;
use uuid::Uuid;

use crate::clock::UtcMillis;
use crate::ids::{CallId, Principal};

/// Which conversations are asked for.
#[derive(Debug, Clone, Default)]
pub struct Browse {
    /// What the id must begin with, or the principal, the tool or a title that is asked for must have in it; none for all.
    pub search: Option<String>,
    /// Whether titles are told.
    pub titles: bool,
    /// Only what is older than this.
    pub before: Option<UtcMillis>,
    /// At most so many.
    pub limit: u16,
}

/// A conversation, without what was said.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConversationSeen {
    /// Its id.
    pub id: String,
    /// Whose.
    pub principal: String,
    /// How it began, where that was asked for.
    pub title: Option<String>,
    /// The tool that began it.
    pub tool: String,
    /// Its turns.
    pub turns: i32,
    /// Tokens of all its turns.
    pub tokens: i64,
    /// Characters of all its turns.
    pub chars: i64,
    /// When it began.
    pub created_at: UtcMillis,
    /// Its last turn.
    pub updated_at: UtcMillis,
}

/// What was said.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TurnSeen {
    /// Its place.
    pub seq: i32,
    /// Who spoke.
    pub role: String,
    /// What.
    pub content: String,
    /// The model.
    pub model: String,
    /// Its tokens.
    pub tokens: i32,
    /// When.
    pub at: UtcMillis,
}

/// A call of the journal with its story.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CallStory {
    /// Its id.
    pub id: CallId,
    /// Whose.
    pub principal: String,
    /// Over which connection.
    pub session: String,
    /// In which conversation.
    pub conversation: Option<String>,
    /// Which tool.
    pub tool: String,
    /// How it stands.
    pub state: String,
    /// The process that has it.
    pub replica: String,
    /// What came when, oldest first: the state and its time.
    pub timeline: Vec<(&'static str, UtcMillis)>,
    /// The receipt as JSON.
    pub receipt: Option<String>,
    /// The error as JSON.
    pub error: Option<String>,
    /// Its upstream requests, in their order.
    pub attempts: Vec<AttemptSeen>,
}

/// One upstream request.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AttemptSeen {
    /// 1, 2, 3.
    pub n: i32,
    /// The provider.
    pub provider: String,
    /// The model.
    pub model: String,
    /// Its host.
    pub host: String,
    /// How it stands.
    pub state: String,
    /// The HTTP status, if there was one.
    pub status: Option<i32>,
    /// US dollars, where known.
    pub cost_usd: Option<f64>,
    /// When it was sent.
    pub dispatched_at: UtcMillis,
    /// When it ended.
    pub ended_at: Option<UtcMillis>,
}

/// What the auditor saw.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ObservationSeen {
    /// Its id.
    pub id: String,
    /// When.
    pub at: UtcMillis,
    /// How bad.
    pub severity: String,
    /// About what.
    pub category: String,
    /// What it says.
    pub text: String,
    /// What it would do.
    pub recommendation: String,
    /// How sure it is, 0 to 1.
    pub confidence: f64,
    /// Who took note of it.
    pub acknowledged_by: Option<String>,
    /// When.
    pub acknowledged_at: Option<UtcMillis>,
}

/// An operator takes note of what the auditor saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledgement {
    /// Of what.
    pub which: Which,
    /// Who.
    pub by: Principal,
    /// When.
    pub at: UtcMillis,
}

/// Which observations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// This one.
    One(Uuid),
    /// Every one up to this moment: what the operator has not seen stays open.
    Until(UtcMillis),
}

/// One metric over one window.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RollupSeen {
    /// The window's first millisecond.
    pub start: UtcMillis,
    /// The metric.
    pub metric: String,
    /// Its labels as a JSON object.
    pub labels: String,
    /// Events, or values.
    pub count: i64,
    /// Their sum in the metric's unit.
    pub sum: f64,
    /// Half of the values are at most this.
    pub p50: Option<f64>,
    /// 95 of 100.
    pub p95: Option<f64>,
    /// 99 of 100.
    pub p99: Option<f64>,
}
