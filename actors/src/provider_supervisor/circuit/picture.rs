//! What can be seen of a provider's circuit: what moved since it was last asked, how healthy it is, how each breaker stands.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Circuit;
use crate::clock::{Instant, Moment};
use crate::health::Status;
use crate::ids::ModelId;
use crate::metrics::messages::BreakerPosition;
use crate::provider::endpoint::Endpoint;
use crate::provider_supervisor::breaker::Seen;
use crate::provider_supervisor::connection::Fitness;
use crate::provider_supervisor::messages::{BreakerStanding, BreakerState, ParkedStanding, Standing};

/// How many models the health board names.
const NAMED_MAX: usize = 3;

/// A breaker stands elsewhere than when it was last told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::provider_supervisor) struct Moved {
    /// None for the provider's own.
    pub(in crate::provider_supervisor) model: Option<ModelId>,
    pub(in crate::provider_supervisor) to: BreakerPosition,
    pub(in crate::provider_supervisor) why: Option<&'static str>,
    /// How long no call goes, where that is known.
    pub(in crate::provider_supervisor) wait: Option<Duration>,
}

impl Circuit {
    /// What moved since this was last asked, time included.
    pub(in crate::provider_supervisor) fn news(&mut self, now: Instant) -> Vec<Moved> {
        let mut news = Vec::new();
        let own = self.own_seen(now);
        if own.position != self.told {
            self.told = own.position;
            news.push(moved(None, own, now));
        }
        for (model, lane) in &mut self.models {
            lane.breaker.advance(now);
            let seen = lane.breaker.seen(now);
            if seen.position != lane.told {
                lane.told = seen.position;
                news.push(moved(Some(model.clone()), seen, now));
            }
        }
        news
    }

    /// Whether everything was closed when it was last asked for news: time alone can bring none.
    pub(in crate::provider_supervisor) fn is_at_rest(&self) -> bool {
        rests(self.told) && self.models.values().all(|lane| rests(lane.told))
    }

    /// How the provider is, and one sentence for the operator.
    pub(in crate::provider_supervisor) fn health(&mut self, now: Instant) -> (Status, String) {
        let own = self.own_seen(now);
        let why = own.why.unwrap_or("failures");
        let next = own.until.map_or_else(
            || "until it is reset".to_owned(),
            |until| format!("tried again in {} s", until.duration_since(now).as_secs() + 1),
        );
        match own.position {
            BreakerPosition::ForcedOpen => (Status::Down, format!("forced open by the operator, {next}")),
            BreakerPosition::Parked => {
                (Status::Down, format!("it takes no call of this account ({why}), {next}"))
            }
            BreakerPosition::Open => (Status::Down, format!("left alone after failures ({why}), {next}")),
            BreakerPosition::HalfOpen => {
                (Status::Degraded, format!("tried with one call at a time after failures ({why})"))
            }
            BreakerPosition::Closed | BreakerPosition::Disabled => self.health_of_models(now),
        }
    }

    fn health_of_models(&self, now: Instant) -> (Status, String) {
        let away = self.models.iter().map(|(model, lane)| (model, lane.breaker.seen(now)));
        let away = away.filter(|(_, seen)| !rests(seen.position));
        let said = |(model, seen): (&ModelId, Seen)| {
            format!("{model} ({}, {})", seen.position.as_str(), seen.why.unwrap_or("failures"))
        };
        let mut away = away.map(said).collect::<Vec<_>>();
        if away.is_empty() {
            return (Status::Ok, String::new());
        }
        let beyond = away.len().saturating_sub(NAMED_MAX);
        away.truncate(NAMED_MAX);
        let more = if beyond == 0 { String::new() } else { format!(" and {beyond} more") };
        (Status::Degraded, format!("left alone after failures: {}{more}", away.join(", ")))
    }

    /// The whole picture, on the wall clock, with what a circuit itself does not know.
    pub(in crate::provider_supervisor) fn standing(
        &mut self,
        endpoint: &Endpoint,
        in_flight: usize,
        at: Moment,
    ) -> Standing {
        let now = at.now;
        let effective = self.own_seen(now).position;
        let own = standing(self.own.seen(now), None, at);
        let mut models = BTreeMap::new();
        for (model, lane) in &mut self.models {
            lane.breaker.advance(now);
            let gate = lane.gate.closed(now).map(|closed| closed.until);
            models.insert(model.clone(), standing(lane.breaker.seen(now), gate, at));
        }
        let parked = self.parking.parked(now).map(|parked| ParkedStanding {
            reason: parked.reason,
            since: at.utc_of(parked.since),
            until: parked.until.map(|until| at.utc_of(until)),
        });
        Standing {
            provider: endpoint.provider().clone(),
            host: endpoint.host().to_owned(),
            key_fingerprint: endpoint.key_fingerprint().to_owned(),
            breaker: state(effective),
            restarts: self.connection.restarts(),
            in_flight,
            own,
            models,
            parked,
            retries_left: self.budget.left(now),
        }
    }

    /// The provider's own breaker, behind what stops all calls besides.
    fn own_seen(&mut self, now: Instant) -> Seen {
        self.own.advance(now);
        let own = self.own.seen(now);
        if own.position == BreakerPosition::ForcedOpen {
            return own;
        }
        if let Some(parked) = self.parking.parked(now) {
            let why = Some(parked.reason.as_str());
            return Seen {
                position: BreakerPosition::Parked,
                since: parked.since,
                until: parked.until,
                why,
                ..own
            };
        }
        let why = Some("connection");
        match self.connection.fitness(now) {
            Fitness::Fit => own,
            Fitness::ToBeStarted { since } => {
                Seen { position: BreakerPosition::HalfOpen, since, until: None, why, ..own }
            }
            Fitness::LeftAlone { since, until } => {
                Seen { position: BreakerPosition::Open, since, until: Some(until), why, ..own }
            }
        }
    }
}

fn moved(model: Option<ModelId>, seen: Seen, now: Instant) -> Moved {
    let wait = seen.until.map(|until| until.saturating_duration_since(now));
    Moved { model, to: seen.position, why: seen.why, wait }
}

/// Whether calls go through as if there were no breaker.
fn rests(position: BreakerPosition) -> bool {
    match position {
        BreakerPosition::Closed | BreakerPosition::Disabled => true,
        BreakerPosition::Open
        | BreakerPosition::HalfOpen
        | BreakerPosition::ForcedOpen
        | BreakerPosition::Parked => false,
    }
}

fn state(position: BreakerPosition) -> BreakerState {
    match position {
        BreakerPosition::Closed | BreakerPosition::Disabled => BreakerState::Closed,
        BreakerPosition::HalfOpen => BreakerState::HalfOpen,
        BreakerPosition::Open | BreakerPosition::ForcedOpen | BreakerPosition::Parked => BreakerState::Open,
    }
}

fn standing(seen: Seen, gate_until: Option<Instant>, at: Moment) -> BreakerStanding {
    BreakerStanding {
        state: seen.position,
        since: at.utc_of(seen.since),
        until: seen.until.map(|until| at.utc_of(until)),
        why: seen.why,
        failures: seen.failures,
        gate_until: gate_until.map(|until| at.utc_of(until)),
    }
}
