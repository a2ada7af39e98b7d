//! How every provider stands: for programs, as `exai://breakers` and in `status`, and in a line for people.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::ids::ProviderName;
use crate::provider_supervisor::messages::{BreakerState, Standing};

/// How each provider stands; none where its supervisor did not say so in time.
pub(super) type Standings = BTreeMap<ProviderName, Option<Standing>>;

/// For programs: `providers` by their names, each `null` where it is not known.
pub(super) fn facts(standings: &Standings) -> Value {
    let facts = |standing: &Option<Standing>| standing.as_ref().map_or(Value::Null, facts_of);
    let named = standings.iter().map(|(provider, standing)| (provider.to_string(), facts(standing)));
    json!({ "providers": named.collect::<Map<_, _>>() })
}

fn facts_of(standing: &Standing) -> Value {
    let Standing { host, key_fingerprint, breaker, restarts, in_flight, .. } = standing;
    json!({
        "host": host, "key_fingerprint": key_fingerprint, "breaker": breaker, "restarts": restarts,
        "in_flight": in_flight,
    })
}

/// For people, such as `api.moonshot.ai, breaker closed, 3 upstream calls`.
pub(super) fn line(standing: Option<&Standing>) -> String {
    let Some(Standing { host, breaker, in_flight, .. }) = standing else {
        return "does not say how it stands".to_owned();
    };
    let breaker = match breaker {
        BreakerState::Closed => "closed",
        BreakerState::Open => "open",
        BreakerState::HalfOpen => "half-open",
    };
    format!("{host}, breaker {breaker}, {in_flight} upstream calls")
}
