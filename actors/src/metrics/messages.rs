//! The rare facts that are told by mail, and the last flush. What happens per call is counted by [`crate::meter`].

use actix::Message;
use serde::Serialize;

use crate::ids::{ModelId, ProviderName};

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

/// Asks to merge what has been handed in and to store the sums; the answer comes when that is done, or has failed.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Flush;
