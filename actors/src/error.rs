//! The one shape in which a call fails: a kind from a closed list and a sentence that says what to do. Must never carry a prompt,
//! an answer, a file or a key.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ids::CallId;

/// Why a call failed; the closed list that clients may match on (`error.data.kind`, `_meta["exai/error"].kind`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The tool's arguments do not fit its schema.
    InvalidArguments,
    /// No tool has that name.
    UnknownTool,
    /// No configured provider serves that model.
    UnknownModel,
    /// The token is missing or wrong.
    Unauthorized,
    /// Every permit stayed taken for as long as a call may wait.
    OverCapacity,
    /// The caller, or the provider's account, sends too fast.
    RateLimited,
    /// The provider is being left alone after failures.
    BreakerOpen,
    /// The provider failed: a 5xx, a reset, a broken stream.
    UpstreamError,
    /// The provider did not answer in time.
    UpstreamTimeout,
    /// The provider refused this request, and would refuse it again.
    UpstreamRejected,
    /// The call used up its own time.
    DeadlineExceeded,
    /// The caller cancelled.
    Cancelled,
    /// The idempotency key, or the conversation, is in use by another request.
    Conflict,
    /// No such conversation or call of this principal.
    NotFound,
    /// The request is larger than a stated limit.
    TooLarge,
    /// The database cannot take the call now.
    StorageUnavailable,
    /// The server is shutting down.
    Draining,
    /// A defect of this server.
    Internal,
}

impl ErrorKind {
    /// The kind as it stands in answers, journal rows and metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidArguments => "invalid_arguments",
            Self::UnknownTool => "unknown_tool",
            Self::UnknownModel => "unknown_model",
            Self::Unauthorized => "unauthorized",
            Self::OverCapacity => "over_capacity",
            Self::RateLimited => "rate_limited",
            Self::BreakerOpen => "breaker_open",
            Self::UpstreamError => "upstream_error",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::UpstreamRejected => "upstream_rejected",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::Cancelled => "cancelled",
            Self::Conflict => "conflict",
            Self::NotFound => "not_found",
            Self::TooLarge => "too_large",
            Self::StorageUnavailable => "storage_unavailable",
            Self::Draining => "draining",
            Self::Internal => "internal",
        }
    }
}

/// A failed call, as the caller gets it and as the journal keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct CallError {
    /// Why it failed.
    pub kind: ErrorKind,
    /// One sentence that says what to do.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// How long to wait before asking again, in milliseconds, where waiting helps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The call that failed, once it had been accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_id: Option<CallId>,
    /// Facts for a program to read, such as the upstream's status and code.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub detail: Map<String, Value>,
}

impl CallError {
    /// A failure of this kind; `message` says what to do.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), retry_after_ms: None, call_id: None, detail: Map::new() }
    }

    /// Says when asking again makes sense.
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after_ms = Some(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        self
    }

    /// Names the accepted call that failed.
    pub fn of_call(mut self, call: CallId) -> Self {
        self.call_id = Some(call);
        self
    }

    /// Adds a fact for programs. `value` must not be content.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.detail.insert(name.to_owned(), value.into());
        self
    }
}
