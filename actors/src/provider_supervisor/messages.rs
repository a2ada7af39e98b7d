//! What a provider's supervisor is asked.

use std::time::Duration;

use actix::{Addr, Message};

use crate::error::CallError;
use crate::ids::ModelId;
use crate::provider::Provider;
use crate::provider::messages::FailureClass;

/// Asks for leave to make one upstream call. Refused at once, typed, while the provider must be left alone.
#[derive(Message)]
#[rtype(result = "Result<Ticket, CallError>")]
pub struct TakeTicket {
    /// The model that would be asked.
    pub model: ModelId,
    /// Which upstream request of its call this is: 1 for the first; a later one spends the provider's retry budget.
    pub attempt: u32,
}

/// Leave to make one upstream call. Whoever holds it settles it with what became of the call; dropped unsettled it is given back
/// and counts as nothing.
#[derive(Debug)]
pub struct Ticket {
    /// Who makes it.
    pub provider: Addr<Provider>,
    /// The breaker's state in the caller's receipt.
    pub breaker: BreakerState,
}

/// What became of an upstream call, as far as its provider's standing is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It was answered.
    Answered,
    /// It failed.
    Failed {
        /// How; decides what it counts for.
        class: FailureClass,
        /// How long the upstream asks us to wait.
        retry_after: Option<Duration>,
    },
    /// Its task or its provider panicked: a defect of ours.
    Lost,
}

impl Ticket {
    /// Notes that the answer has begun to arrive.
    pub fn answering(&self) {}

    /// Gives the ticket back with what became of its call.
    pub fn settle(self, _settled: Settled) {}
}

/// Asks which of these models a call could go to now; the first of them in the asker's order.
#[derive(Message)]
#[rtype(result = "Option<ModelId>")]
pub struct FirstFree {
    /// Models of this provider, best first.
    pub models: Vec<ModelId>,
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
