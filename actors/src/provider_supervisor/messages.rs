//! What a provider's supervisor is asked.

use actix::{Addr, Message};

use crate::error::CallError;
use crate::ids::ModelId;
use crate::provider::Provider;

/// Asks for leave to make one upstream call. Refused at once, typed, while the provider must be left alone.
#[derive(Message)]
#[rtype(result = "Result<Ticket, CallError>")]
pub struct TakeTicket {
    /// The model that would be asked.
    pub model: ModelId,
}

/// Leave to make one upstream call.
#[derive(Debug)]
pub struct Ticket {
    /// Who makes it.
    pub provider: Addr<Provider>,
    /// The breaker's state in the caller's receipt.
    pub breaker: BreakerState,
}

/// Asks how the provider stands.
#[derive(Message)]
#[rtype(result = "Standing")]
pub struct GetStanding;

/// How a provider stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The provider's host, with its port where that is not the scheme's own.
    pub host: String,
    /// The first eight hex digits of the SHA-256 of its key.
    pub key_fingerprint: String,
    /// The breaker's state.
    pub breaker: BreakerState,
    /// Times that the provider's actor has been restarted.
    pub restarts: u32,
    /// Upstream calls that are running.
    pub in_flight: usize,
}

/// The state of a circuit breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// Calls go through.
    Closed,
    /// No call goes through.
    Open,
    /// One call at a time goes through, to find out.
    HalfOpen,
}
