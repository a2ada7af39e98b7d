//! What a provider's supervisor is asked.

use std::collections::BTreeMap;
use std::time::Duration;

use actix::Message;
use serde::{Deserialize, Serialize};

pub use super::ticket::Ticket;
use crate::clock::UtcMillis;
use crate::error::CallError;
use crate::ids::{ModelId, ProviderName};
use crate::metrics::messages::BreakerPosition;
use crate::provider::endpoint::{EndpointError, Key};
use crate::provider::messages::FailureClass;

/// Asks for leave to make one upstream call. Refused at once, typed, while the provider or the model must be left alone:
/// `breaker_open`, `rate_limited` (the provider is too busy), or `over_capacity` (the retry budget is spent).
#[derive(Message)]
#[rtype(result = "Result<Ticket, CallError>")]
pub struct TakeTicket {
    /// The model that would be asked.
    pub model: ModelId,
    /// Which upstream request of its call this is: 1 for the first; a later one spends the provider's retry budget.
    pub attempt: u32,
}

/// Asks whether a call could go now, without taking anything: refused exactly as [`TakeTicket`] would be for a first request.
#[derive(Message)]
#[rtype(result = "Result<(), CallError>")]
pub struct MayGo {
    /// The model that would be asked.
    pub model: ModelId,
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

/// Asks which of these models a call could go to now; the first of them in the asker's order. It takes no place, and a half-open
/// breaker counts as not free.
#[derive(Message)]
#[rtype(result = "Option<ModelId>")]
pub struct FirstFree {
    /// Models of this provider, best first.
    pub models: Vec<ModelId>,
}

/// The operator's word on a breaker.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Operate {
    /// The model whose breaker is meant; none for the provider's own, and for everything where it is reset.
    pub model: Option<ModelId>,
    /// What shall be done.
    pub order: Order,
}

/// What an operator may do with a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Open it until it is reset.
    ForceOpen,
    /// Let everything through until it is reset.
    Disable,
    /// Close it and its gate and forget what was; without a model, all breakers and gates, and a parked provider is tried again.
    Reset,
}

/// Has the provider go on with another key: new calls go by a new connection that is born with it, running ones end on the old one. A
/// provider that is parked is tried again.
#[derive(Debug, Message)]
#[rtype(result = "Result<bool, EndpointError>")]
pub struct Rekey {
    /// The key; the answer says whether it is another one.
    pub key: Key,
}

/// Asks how the provider stands.
#[derive(Message)]
#[rtype(result = "Standing")]
pub struct GetStanding;

/// How a provider stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// Its name.
    pub provider: ProviderName,
    /// The provider's host, with its port where that is not the scheme's own.
    pub host: String,
    /// The first eight hex digits of the SHA-256 of its key.
    pub key_fingerprint: String,
    /// Whether calls may go to the provider as a whole: parked, forced open and given up are all `open` here.
    pub breaker: BreakerState,
    /// Times that the provider's actor has been restarted.
    pub restarts: u32,
    /// Upstream calls that are running.
    pub in_flight: usize,
    /// The provider's own breaker.
    pub own: BreakerStanding,
    /// The models that have been asked, each with its breaker.
    pub models: BTreeMap<ModelId, BreakerStanding>,
    /// Why no call of this account is taken, if none is.
    pub parked: Option<ParkedStanding>,
    /// Second and third attempts that may go now.
    pub retries_left: u32,
}

/// How a breaker stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BreakerStanding {
    /// Where it stands.
    pub state: BreakerPosition,
    /// Since when (UTC, milliseconds).
    pub since: UtcMillis,
    /// When it lets the next call through (UTC, milliseconds), where that is known.
    pub until: Option<UtcMillis>,
    /// The class of the failure that opened it, until it closes; `operator` where the operator did.
    pub why: Option<&'static str>,
    /// Failures in the last 30 s.
    pub failures: u32,
    /// Until when calls would be too fast (UTC, milliseconds); none for a provider's own, and where the gate is open.
    pub gate_until: Option<UtcMillis>,
}

/// How long a provider is parked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ParkedStanding {
    /// Why.
    pub reason: ParkReason,
    /// Since when (UTC, milliseconds).
    pub since: UtcMillis,
    /// When it is tried again (UTC, milliseconds); none until it is reset or has another key.
    pub until: Option<UtcMillis>,
}

/// Why a provider takes no call of this account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ParkReason {
    /// The key is wrong, or not allowed here.
    Key,
    /// The quota or the balance is used up.
    Quota,
}

impl ParkReason {
    /// The reason as it stands in answers and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Quota => "quota",
        }
    }
}

/// The state of a circuit breaker, as a caller's receipt names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// Calls go through.
    Closed,
    /// No call goes through.
    Open,
    /// One call at a time goes through, to find out.
    HalfOpen,
}
