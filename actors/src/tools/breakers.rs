//! How every provider stands: for programs, as `exai://breakers` and in `status`, and in a line for people.

use std::collections::BTreeMap;
use std::fmt::Write;

use std::time::Duration;

use actix::Addr;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::clock::UtcMillis;
use crate::ids::ProviderName;
use crate::mail;
use crate::provider_supervisor::ProviderSupervisor;
use crate::provider_supervisor::messages::{BreakerState, GetStanding, Standing};

/// How long a supervisor may take; it decides, and never waits for an upstream.
const ASK_WITHIN: Duration = Duration::from_secs(2);

/// How each provider stands; none where its supervisor did not say so in time.
pub(super) type Standings = BTreeMap<ProviderName, Option<Standing>>;

/// Asks every supervisor.
pub(super) async fn ask(supervisors: &BTreeMap<ProviderName, Addr<ProviderSupervisor>>) -> Standings {
    let asked = supervisors.iter().map(|(provider, supervisor)| async move {
        (provider.clone(), mail::ask(supervisor, GetStanding, ASK_WITHIN).await.ok())
    });
    join_all(asked).await.into_iter().collect()
}

/// How every provider stands, for programs: `providers` by their names, each `null` where its supervisor did not say so in time.
pub async fn standings(supervisors: &BTreeMap<ProviderName, Addr<ProviderSupervisor>>) -> Value {
    facts(&ask(supervisors).await)
}

/// For programs: `providers` by their names, each `null` where it is not known.
pub(super) fn facts(standings: &Standings) -> Value {
    json!({ "providers": standings })
}

/// For people, such as `api.moonshot.ai, breaker open for another 5 s, 3 upstream calls`.
pub(super) fn line(standing: Option<&Standing>, now: UtcMillis) -> String {
    let Some(standing) = standing else { return "does not say how it stands".to_owned() };
    let breaker = match standing.breaker {
        BreakerState::Closed => "closed",
        BreakerState::Open => "open",
        BreakerState::HalfOpen => "half-open",
    };
    let Standing { host, in_flight, .. } = standing;
    let until = standing.parked.map_or(standing.own.until, |parked| parked.until);
    let seconds = |until: UtcMillis| until.0.saturating_sub(now.0).max(0).div_euclid(1000);
    let left = until.map(|until| format!(" for another {} s", seconds(until))).unwrap_or_default();
    let mut line = format!("{host}, breaker {breaker}{left}, {in_flight} upstream calls");
    for (model, stands) in &standing.models {
        if let Some(until) = stands.until {
            let _ = write!(line, "; {model} is left alone for another {} s", seconds(until));
        }
    }
    line
}
