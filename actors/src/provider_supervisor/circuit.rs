//! Whether one provider's calls may go: its connection, its account, its own breaker, and for each model a breaker and a rate gate,
//! asked in one order. Pure: what happened comes in, with time and chance; leave, a refusal or news comes out.

mod picture;

pub(super) use picture::Moved;

use std::collections::BTreeMap;
use std::time::Duration;

use super::breaker::{Breaker, Leave, Pass, Tally};
use super::connection::{Connection, Fitness};
use super::messages::{BreakerState, Order, ParkReason, Settled};
use super::parking::{ParkPass, Parking};
use super::rate_gate::{GatePass, RateGate};
use super::retry_budget::RetryBudget;
use super::verdict::Verdict;
use crate::clock::Instant;
use crate::ids::ModelId;
use crate::metrics::messages::BreakerPosition;

/// How many models have a breaker of their own; calls to what comes beyond are judged by the provider's alone.
const MODELS_MAX: usize = 1024;

/// What is known of one provider.
#[derive(Debug)]
pub(super) struct Circuit {
    connection: Connection,
    parking: Parking,
    own: Breaker,
    models: BTreeMap<ModelId, Lane>,
    budget: RetryBudget,
    probe_within: Duration,
    /// The position that was last told of.
    told: BreakerPosition,
}

/// What is known of one model.
#[derive(Debug)]
struct Lane {
    breaker: Breaker,
    gate: RateGate,
    told: BreakerPosition,
}

/// What a call carries that may go; it comes back with what became of the call.
#[derive(Debug, Clone)]
pub(super) struct Passes {
    model: ModelId,
    parking: ParkPass,
    own: Pass,
    lane: Option<(Pass, GatePass)>,
}

/// Leave for one call.
#[derive(Debug)]
pub(super) struct Granted {
    pub(super) passes: Passes,
    pub(super) state: BreakerState,
    /// The connection must be started anew first.
    pub(super) start_anew: bool,
}

/// No leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) reason: Reason,
    pub(super) since: Option<Instant>,
    /// The latest moment at which it is over, where that is known.
    pub(super) until: Option<Instant>,
    /// When to ask again, where waiting helps.
    pub(super) wait: Option<Duration>,
}

/// Why a call may not go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    ForcedOpen(Scope),
    Parked(ParkReason),
    ConnectionGone,
    Open(Scope),
    Probing(Scope),
    TooFast,
    NoRetries,
}

/// Whose breaker refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    Provider,
    Model,
}

impl Circuit {
    /// A provider that starts now. A probe that does not answer takes its place for `probe_within` at most.
    pub(super) fn new(probe_within: Duration, now: Instant) -> Self {
        Self {
            connection: Connection::new(now),
            parking: Parking::default(),
            own: Breaker::new(probe_within, now),
            models: BTreeMap::new(),
            budget: RetryBudget::new(now),
            probe_within,
            told: BreakerPosition::Closed,
        }
    }

    /// What the connection's deaths are told to.
    pub(super) fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Asks leave for one call. A refusal takes nothing.
    pub(super) fn ask(&mut self, model: &ModelId, attempt: u32, now: Instant) -> Result<Granted, Refusal> {
        let fitness = self.check(model, now)?;
        if attempt <= 1 {
            self.budget.deposit(now);
        } else {
            let wait = self.budget.wait(now);
            if !wait.is_zero() {
                let wait = Some(wait);
                return Err(Refusal { reason: Reason::NoRetries, since: None, until: None, wait });
            }
            self.budget.withdraw(now);
        }
        let own = self.own.take(now);
        let lane = self.lane(model, now).map(|lane| (lane.breaker.take(now), lane.gate.pass()));
        let probes = self.is_half_open(model);
        let state = if probes { BreakerState::HalfOpen } else { BreakerState::Closed };
        let passes = Passes { model: model.clone(), parking: self.parking.pass(), own, lane };
        let start_anew = matches!(fitness, Fitness::ToBeStarted { .. });
        Ok(Granted { passes, state, start_anew })
    }

    /// Whether a call would be granted leave. It takes nothing.
    pub(super) fn may_go(&mut self, model: &ModelId, now: Instant) -> Result<(), Refusal> {
        self.check(model, now).map(drop)
    }

    /// Whether a call would be granted leave, and would not be a probe.
    pub(super) fn is_free(&mut self, model: &ModelId, now: Instant) -> bool {
        self.check(model, now).is_ok() && !self.is_half_open(model)
    }

    /// Notes that a call's answer has begun to arrive.
    pub(super) fn answering(&mut self, passes: &Passes, now: Instant) {
        self.own.answering(passes.own, now);
        if let (Some(lane), Some((pass, _))) = (self.models.get_mut(&passes.model), passes.lane) {
            lane.breaker.answering(pass, now);
        }
    }

    /// Takes back what a call carried, with what became of it. `chance` in `0.0..1.0` is the jitter of open times.
    pub(super) fn settle(&mut self, passes: &Passes, settled: Option<Settled>, chance: f64, now: Instant) {
        let verdict = Verdict::of(settled);
        let (why, stated) = Verdict::failure(settled);
        let failure = Tally::Failure { why, stated };
        let (own, model) = match verdict {
            Verdict::Works => (Tally::Success, Tally::Success),
            // A provider that answers can be reached, whatever it answers.
            Verdict::ModelFails if Verdict::was_reached(settled) => (Tally::Success, failure),
            Verdict::ModelFails => (Tally::Nothing, failure),
            Verdict::ProviderFails => (failure, failure),
            Verdict::Busy | Verdict::Park(_) => (Tally::Success, Tally::Nothing),
            Verdict::Nothing => (Tally::Nothing, Tally::Nothing),
        };
        self.own.settle(passes.own, own, chance, now);
        if let Verdict::Park(reason) = verdict {
            self.parking.park(passes.parking, reason, stated, now);
        }
        let Some((pass, gate_pass)) = passes.lane else { return };
        let Some(lane) = self.models.get_mut(&passes.model) else { return };
        lane.breaker.settle(pass, model, chance, now);
        match verdict {
            Verdict::Works => lane.gate.answered(gate_pass),
            Verdict::Busy => lane.gate.busy(gate_pass, stated, now),
            Verdict::ModelFails | Verdict::ProviderFails | Verdict::Park(_) | Verdict::Nothing => {}
        }
    }

    /// Whether no call of this account is taken.
    pub(super) fn is_parked(&mut self, now: Instant) -> bool {
        self.parking.parked(now).is_some()
    }

    /// Does what the operator says, with one model's breaker or the provider's own.
    pub(super) fn operate(&mut self, model: Option<&ModelId>, order: Order, now: Instant) {
        let breaker = match model {
            Some(model) => match self.lane(model, now) {
                Some(lane) => {
                    if order == Order::Reset {
                        lane.gate.reset();
                    }
                    &mut lane.breaker
                }
                None => return,
            },
            None => &mut self.own,
        };
        match order {
            Order::ForceOpen => breaker.force_open(now),
            Order::Disable => breaker.disable(now),
            Order::Reset => breaker.reset(now),
        }
        if model.is_none() && order == Order::Reset {
            self.parking.take_out();
            self.connection.forgive(now);
            for lane in self.models.values_mut() {
                lane.breaker.reset(now);
                lane.gate.reset();
            }
        }
    }

    /// The first reason why a call may not go, in the order in which the reasons matter to whoever is told.
    fn check(&mut self, model: &ModelId, now: Instant) -> Result<Fitness, Refusal> {
        let own = self.own.leave(now);
        let lane = self.models.get_mut(model);
        let (of_model, gate) = match lane {
            Some(lane) => (lane.breaker.leave(now), lane.gate.closed(now)),
            None => (Leave::Granted, None),
        };
        let forced = |breaker: &Breaker| breaker.position() == BreakerPosition::ForcedOpen;
        let lane = self.models.get(model).map(|lane| &lane.breaker);
        if forced(&self.own) {
            return Err(refused_by(&self.own, Scope::Provider, own, now));
        }
        if let Some(lane) = lane.filter(|lane| forced(lane)) {
            return Err(refused_by(lane, Scope::Model, of_model, now));
        }
        if let Some(parked) = self.parking.parked(now) {
            let wait = parked.until.map(|until| until.duration_since(now));
            let reason = Reason::Parked(parked.reason);
            return Err(Refusal { reason, since: Some(parked.since), until: parked.until, wait });
        }
        let fitness = self.connection.fitness(now);
        if let Fitness::LeftAlone { since, until } = fitness {
            return Err(Refusal::timed(Reason::ConnectionGone, since, until, now));
        }
        if own != Leave::Granted {
            return Err(refused_by(&self.own, Scope::Provider, own, now));
        }
        if let Some(lane) = lane.filter(|_| of_model != Leave::Granted) {
            return Err(refused_by(lane, Scope::Model, of_model, now));
        }
        match gate {
            Some(gate) => Err(Refusal::timed(Reason::TooFast, gate.since, gate.until, now)),
            None => Ok(fitness),
        }
    }

    fn is_half_open(&self, model: &ModelId) -> bool {
        let of_model = self.models.get(model).map(|lane| lane.breaker.position());
        of_model == Some(BreakerPosition::HalfOpen) || self.own.position() == BreakerPosition::HalfOpen
    }

    /// The model's own place, made when it is first asked; none beyond the bound.
    fn lane(&mut self, model: &ModelId, now: Instant) -> Option<&mut Lane> {
        if !self.models.contains_key(model) {
            if self.models.len() >= MODELS_MAX {
                return None;
            }
            let breaker = Breaker::new(self.probe_within, now);
            let lane = Lane { breaker, gate: RateGate::new(), told: BreakerPosition::Closed };
            self.models.insert(model.clone(), lane);
        }
        self.models.get_mut(model)
    }
}

impl Refusal {
    fn timed(reason: Reason, since: Instant, until: Instant, now: Instant) -> Self {
        Self { reason, since: Some(since), until: Some(until), wait: Some(until.duration_since(now)) }
    }
}

/// The refusal of a breaker that refuses.
fn refused_by(breaker: &Breaker, scope: Scope, leave: Leave, now: Instant) -> Refusal {
    let reason = match breaker.position() {
        BreakerPosition::ForcedOpen => Reason::ForcedOpen(scope),
        BreakerPosition::HalfOpen => Reason::Probing(scope),
        BreakerPosition::Open
        | BreakerPosition::Closed
        | BreakerPosition::Disabled
        | BreakerPosition::Parked => Reason::Open(scope),
    };
    let (until, wait) = match leave {
        Leave::Refused { until, wait } => (until, wait),
        Leave::Granted => (None, None),
    };
    Refusal { reason, since: Some(breaker.seen(now).since), until, wait }
}

#[cfg(test)]
mod tests;
