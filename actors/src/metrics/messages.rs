//! The facts that are counted, and the question for the sums.

use std::time::Duration;

use actix::Message;

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

/// A client connected.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct SessionOpened;

/// A client went.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct SessionEnded {
    /// Messages from the client.
    pub messages_in: u64,
    /// Messages to the client.
    pub messages_out: u64,
}

/// Asks for the sums.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Snapshot")]
pub struct GetSnapshot;
