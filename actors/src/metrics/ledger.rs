//! The sums. Pure: facts go in, a snapshot comes out.

use std::collections::BTreeMap;

use serde::Serialize;

use super::messages::{BreakerMoved, BreakerPosition, CallEnded, UpstreamEnded};

/// Different labels of one counter; what comes beyond is counted under [`OTHER`].
const LABELS_MAX: usize = 256;
/// The label of everything beyond the bound.
const OTHER: &str = "other";

/// All sums since the process started.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Snapshot {
    /// Ended calls by outcome: `completed`, or the kind of the error.
    pub calls: BTreeMap<String, u64>,
    /// Ended calls by tool.
    pub calls_by_tool: BTreeMap<String, u64>,
    /// Time that ended calls took together, in milliseconds.
    pub call_ms: u64,
    /// Upstream requests by provider and outcome, as `kimi:completed`.
    pub upstream: BTreeMap<String, u64>,
    /// Tokens by provider and model, as `kimi:kimi-k2.6`.
    pub tokens: BTreeMap<String, Tokens>,
    /// US dollars, where prices are known.
    pub cost_usd: f64,
    /// Where each breaker stands that ever moved, as `kimi` for a provider's own and `kimi:kimi-k2.6` for a model's.
    pub breakers: BTreeMap<String, BreakerPosition>,
    /// Moves of breakers by provider, model and where to, as `kimi:open` and `kimi:kimi-k2.6:open`.
    pub breaker_transitions: BTreeMap<String, u64>,
    /// Clients connected now.
    pub sessions_active: u64,
    /// Clients that ever connected.
    pub sessions_total: u64,
}

/// Tokens of one model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tokens {
    /// In prompts.
    pub prompt: u64,
    /// In prompts, from the provider's cache.
    pub cached: u64,
    /// In answers, reasoning included.
    pub completion: u64,
    /// In reasoning.
    pub reasoning: u64,
}

/// Keeps the sums.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger {
    sums: Snapshot,
}

impl Ledger {
    pub(super) fn call_ended(&mut self, fact: &CallEnded) {
        *slot(&mut self.sums.calls, fact.outcome) += 1;
        *slot(&mut self.sums.calls_by_tool, fact.tool.as_str()) += 1;
        self.sums.call_ms += u64::try_from(fact.took.as_millis()).unwrap_or(u64::MAX);
    }

    pub(super) fn upstream_ended(&mut self, fact: &UpstreamEnded) {
        *slot(&mut self.sums.upstream, &format!("{}:{}", fact.provider, fact.outcome)) += 1;
        self.sums.cost_usd += fact.cost_usd.unwrap_or(0.0);
        if let Some(usage) = fact.usage {
            let tokens = slot(&mut self.sums.tokens, &format!("{}:{}", fact.provider, fact.model));
            tokens.prompt += u64::from(usage.prompt);
            tokens.cached += u64::from(usage.cached);
            tokens.completion += u64::from(usage.completion);
            tokens.reasoning += u64::from(usage.reasoning);
        }
    }

    pub(super) fn breaker_moved(&mut self, fact: &BreakerMoved) {
        let breaker = match &fact.model {
            Some(model) => format!("{}:{model}", fact.provider),
            None => fact.provider.to_string(),
        };
        *slot(&mut self.sums.breaker_transitions, &format!("{breaker}:{}", fact.to.as_str())) += 1;
        // Positions cannot be summed under a common label.
        if self.sums.breakers.len() < LABELS_MAX || self.sums.breakers.contains_key(&breaker) {
            self.sums.breakers.insert(breaker, fact.to);
        }
    }

    pub(super) fn session_opened(&mut self) {
        self.sums.sessions_active += 1;
        self.sums.sessions_total += 1;
    }

    pub(super) fn session_ended(&mut self) {
        self.sums.sessions_active = self.sums.sessions_active.saturating_sub(1);
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        self.sums.clone()
    }
}

fn slot<'a, V: Default>(sums: &'a mut BTreeMap<String, V>, label: &str) -> &'a mut V {
    let bounded = if sums.len() < LABELS_MAX || sums.contains_key(label) { label } else { OTHER };
    sums.entry(bounded.to_owned()).or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ids::{ModelId, ProviderName, ToolName};
    use crate::models::Usage;

    #[test]
    fn sums_what_it_is_told() {
        let mut ledger = Ledger::default();
        ledger.session_opened();
        let call = CallEnded { tool: "chat".into(), outcome: "completed", took: Duration::from_millis(20) };
        ledger.call_ended(&call);
        ledger.call_ended(&CallEnded { outcome: "cancelled", ..call });
        ledger.upstream_ended(&UpstreamEnded {
            provider: ProviderName::from("kimi"),
            model: ModelId::from("kimi-k2.6"),
            outcome: "completed".to_owned(),
            usage: Some(Usage { prompt: 5, cached: 1, completion: 7, reasoning: 2 }),
            cost_usd: Some(0.5),
        });
        ledger.session_ended();
        let sums = ledger.snapshot();
        assert_eq!(sums.calls, [("cancelled".to_owned(), 1), ("completed".to_owned(), 1)].into());
        assert_eq!(sums.calls_by_tool, [("chat".to_owned(), 2)].into());
        assert_eq!(sums.upstream, [("kimi:completed".to_owned(), 1)].into());
        assert_eq!(sums.tokens["kimi:kimi-k2.6"].completion, 7);
        assert_eq!((sums.sessions_active, sums.sessions_total), (0, 1));
        assert_eq!((sums.call_ms, sums.cost_usd), (40, 0.5));
    }

    #[test]
    fn breakers_stand_where_they_last_moved() {
        let mut ledger = Ledger::default();
        let model = Some(ModelId::from("kimi-k2.6"));
        for to in [BreakerPosition::Open, BreakerPosition::HalfOpen, BreakerPosition::Open] {
            ledger.breaker_moved(&BreakerMoved { provider: "kimi".into(), model: model.clone(), to });
        }
        let parked = BreakerMoved { provider: "glm".into(), model: None, to: BreakerPosition::Parked };
        ledger.breaker_moved(&parked);
        let sums = ledger.snapshot();
        let stand = [
            ("glm".to_owned(), BreakerPosition::Parked),
            ("kimi:kimi-k2.6".to_owned(), BreakerPosition::Open),
        ];
        assert_eq!(sums.breakers, stand.into());
        assert_eq!(sums.breaker_transitions["kimi:kimi-k2.6:open"], 2);
        assert_eq!(sums.breaker_transitions["glm:parked"], 1);
    }

    #[test]
    fn labels_are_bounded() {
        let mut ledger = Ledger::default();
        for n in 0..2 * LABELS_MAX {
            let tool = ToolName::from(format!("tool-{n}"));
            ledger.call_ended(&CallEnded { tool, outcome: "completed", took: Duration::ZERO });
        }
        let sums = ledger.snapshot();
        assert_eq!(sums.calls_by_tool.len(), LABELS_MAX + 1);
        assert_eq!(sums.calls_by_tool.values().sum::<u64>(), 2 * LABELS_MAX as u64);
    }
}
