//! What the log and the connection monitor hear of a breaker's move.

use super::circuit::Moved;
use crate::events::{self, Direction, Facts, Kind, Lot, Weight};
use crate::ids::{ModelId, ProviderName};
use crate::metrics::messages::BreakerPosition;

/// Says that a breaker moved.
pub(super) fn tell(provider: &ProviderName, moved: &Moved) {
    log_move(provider, moved);
    let (direction, outcome) = match moved.to {
        BreakerPosition::Closed => (Direction::Open, "breaker_closed"),
        BreakerPosition::Disabled => (Direction::Open, "breaker_disabled"),
        BreakerPosition::HalfOpen => (Direction::Open, "breaker_half_open"),
        BreakerPosition::Open => (Direction::Close, "breaker_open"),
        BreakerPosition::ForcedOpen => (Direction::Close, "breaker_forced_open"),
        BreakerPosition::Parked => (Direction::Close, "breaker_parked"),
    };
    let kind = Kind::Provider(provider.clone());
    let lot = Lot { kind, direction, outcome: outcome.into(), weight: Weight::Lasting };
    events::note(lot, || Facts {
        peer: moved.model.as_ref().map_or(provider.as_str(), ModelId::as_str).into(),
        ..Facts::default()
    });
}

fn log_move(provider: &ProviderName, moved: &Moved) {
    let Moved { model, to, why, wait } = moved;
    let model = model.as_ref().map_or("", ModelId::as_str);
    let (why, seconds) = (why.unwrap_or_default(), wait.unwrap_or_default().as_secs_f64());
    match to {
        BreakerPosition::Open | BreakerPosition::ForcedOpen | BreakerPosition::Parked => {
            log::warn!(provider:% = provider, model = model, to = to.as_str(), why = why, for_s = seconds; "breaker opened");
        }
        BreakerPosition::HalfOpen => {
            log::info!(provider:% = provider, model = model, why = why; "breaker lets one call at a time through");
        }
        BreakerPosition::Closed | BreakerPosition::Disabled => {
            log::info!(provider:% = provider, model = model, to = to.as_str(); "breaker closed");
        }
    }
}
