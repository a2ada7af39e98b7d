//! The facts that are counted, and the question for the sums.

use std::time::Duration;

use actix::Message;
use serde::Serialize;

use super::Snapshot;
use crate::ids::{ModelId, ProviderName, ToolName};
use crate::models::Usage;

/// A call ended.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct CallEnded {
    /// The tool.
    pub tool: ToolName,
    /// `completed`, or the kind of the error.
    pub outcome: &'static str,
    /// From asking to the committed answer.
    pub took: Duration,
}

/// An upstream request ended.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct UpstreamEnded {
    /// The provider.
    pub provider: ProviderName,
    /// The model asked for.
    pub model: ModelId,
    /// `completed`, or the class of the failure in lowercase words.
    pub outcome: String,
    /// Tokens, as the provider counted them.
    pub usage: Option<Usage>,
    /// US dollars, where the price is known.
    pub cost_usd: Option<f64>,
}

/// A circuit breaker moved.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct BreakerMoved {
    /// The provider.
    pub provider: ProviderName,
    /// The model whose breaker it is; none for the provider's own.
    pub model: Option<ModelId>,
    /// Where it stands.
    pub to: BreakerPosition,
}

/// Where a circuit breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerPosition {
    /// Calls go through.
    Closed,
    /// No call goes through, for a time.
    Open,
    /// One call at a time goes through, to find out.
    HalfOpen,
    /// No call goes through until the operator says so.
    ForcedOpen,
    /// Calls go through whatever becomes of them: the operator wants it so.
    Disabled,
    /// The provider takes no call of this account: its key or its quota is at fault. The provider's own alone stands here.
    Parked,
}

impl BreakerPosition {
    /// The position as it stands in answers, logs and metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
            Self::ForcedOpen => "forced_open",
            Self::Disabled => "disabled",
            Self::Parked => "parked",
        }
    }
}

/// A client connected.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct SessionOpened;

/// A client went.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct SessionEnded;

/// Asks for the sums.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Snapshot")]
pub struct GetSnapshot;
