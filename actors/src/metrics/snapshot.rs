//! The sums as they are published: immutable, and read by whoever wants without asking the actor.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::messages::BreakerPosition;
use super::recent::Percentiles;
use crate::meter::{Counter, Distribution, Labels, Values};

/// The upper bounds of the buckets of times, in microseconds: 1 ms to 15 min, a call's deadline.
const TIMES: [u64; 16] = [
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    10_000_000,
    30_000_000,
    60_000_000,
    300_000_000,
    900_000_000,
];
/// The upper bounds of the buckets of rows in a commit.
const ROWS: [u64; 11] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];

/// All sums since the process started.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    /// Every series of every family, in the family's own unit.
    pub counters: BTreeMap<(Counter, Labels), u64>,
    /// The distributions that have a value.
    pub distributions: BTreeMap<Distribution, Buckets>,
    /// The percentiles of the last five minutes, of the distributions that had a value in them.
    pub recent: BTreeMap<Distribution, Percentiles>,
    /// Where each breaker stands that ever moved, by provider and model; the model is empty for a provider's own.
    pub breakers: BTreeMap<(String, String), BreakerPosition>,
    /// How late each thread's last tick came.
    pub lags: BTreeMap<&'static str, Duration>,
    /// How long a message lately waited for each actor.
    pub mailboxes: BTreeMap<&'static str, Duration>,
}

/// A distribution, cut into buckets.
#[derive(Debug, Clone, PartialEq)]
pub struct Buckets {
    /// The upper bound of each bucket as recorded, and how many values are in it; what is beyond the last is in none.
    pub buckets: Vec<(u64, u64)>,
    /// Values.
    pub count: u64,
    /// Their sum as recorded.
    pub sum: u64,
}

impl Buckets {
    /// Empty ones.
    pub fn of(distribution: Distribution) -> Self {
        let bounds: &[u64] = match distribution {
            Distribution::Call
            | Distribution::Queue
            | Distribution::FirstToken
            | Distribution::StorageCommit => &TIMES,
            Distribution::StorageBatchRows => &ROWS,
        };
        Self { buckets: bounds.iter().map(|bound| (*bound, 0)).collect(), count: 0, sum: 0 }
    }

    pub(super) fn merge(&mut self, values: &Values) {
        for (value, count) in &values.counts {
            let bucket = self.buckets.partition_point(|(bound, _)| bound < value);
            if let Some((_, inside)) = self.buckets.get_mut(bucket) {
                *inside += count;
            }
            self.count += count;
        }
        self.sum += values.sum;
    }
}

/// The sums that the tool `status` tells.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Sums {
    /// Ended calls by outcome.
    pub calls: BTreeMap<String, u64>,
    /// Ended calls by tool.
    pub calls_by_tool: BTreeMap<String, u64>,
    /// Time that ended calls took together, in milliseconds.
    pub call_ms: u64,
    /// Upstream requests by provider and status, as `kimi:completed`.
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

/// What the dashboard tells beside the [`Sums`].
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Breakdown {
    /// US dollars by provider and model, as `kimi:kimi-k2.6`, where prices are known.
    pub costs: BTreeMap<String, f64>,
    /// Ended calls by provider, and of each by outcome; the provider is empty where none was chosen.
    pub outcomes: BTreeMap<String, BTreeMap<String, u64>>,
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

impl Snapshot {
    /// The series of one family.
    pub fn of(&self, counter: Counter) -> impl Iterator<Item = (&Labels, u64)> {
        self.counters
            .iter()
            .filter(move |((family, _), _)| *family == counter)
            .map(|((_, labels), n)| (labels, *n))
    }

    /// What the dashboard tells beside them.
    pub fn breakdown(&self) -> Breakdown {
        let costs =
            self.of(Counter::Cost).map(|(labels, n)| (format!("{}:{}", labels[0], labels[1]), usd(n)));
        let mut outcomes = BTreeMap::<String, BTreeMap<String, u64>>::new();
        for (labels, n) in self.of(Counter::Calls) {
            let of_provider = outcomes.entry(labels[1].to_string()).or_default();
            *of_provider.entry(labels[3].to_string()).or_default() += n;
        }
        Breakdown { costs: costs.collect(), outcomes }
    }

    /// What people are told.
    pub fn sums(&self) -> Sums {
        let total = |counter| self.of(counter).map(|(_, n)| n).sum::<u64>();
        let by = |counter, labels: &[usize]| {
            let mut sums = BTreeMap::new();
            for (values, n) in self.of(counter) {
                let named = labels.iter().map(|label| &*values[*label]).filter(|value| !value.is_empty());
                *sums.entry(named.collect::<Vec<_>>().join(":")).or_default() += n;
            }
            sums
        };
        let mut tokens = BTreeMap::<String, Tokens>::new();
        for (labels, n) in self.of(Counter::Tokens) {
            let tokens = tokens.entry(format!("{}:{}", labels[0], labels[1])).or_default();
            match &*labels[2] {
                "prompt" => tokens.prompt += n,
                "cached" => tokens.cached += n,
                "reasoning" => tokens.reasoning += n,
                _ => tokens.completion += n,
            }
        }
        let joined = |(provider, model): &(String, String)| {
            if model.is_empty() { provider.clone() } else { format!("{provider}:{model}") }
        };
        let opened = total(Counter::SessionsOpened);
        Sums {
            calls: by(Counter::Calls, &[3]),
            calls_by_tool: by(Counter::Calls, &[0]),
            call_ms: self.distributions.get(&Distribution::Call).map_or(0, |calls| calls.sum / 1000),
            upstream: by(Counter::UpstreamRequests, &[0, 2]),
            tokens,
            cost_usd: usd(total(Counter::Cost)),
            breakers: self.breakers.iter().map(|(name, at)| (joined(name), *at)).collect(),
            breaker_transitions: by(Counter::BreakerTransitions, &[0, 1, 2]),
            sessions_active: opened.saturating_sub(total(Counter::SessionsClosed)),
            sessions_total: opened,
        }
    }
}

/// Dollars of what [`Counter::Cost`] counts.
#[expect(clippy::cast_precision_loss, reason = "a bill of 9 million dollars is still exact to a billionth")]
pub(super) fn usd(billionths: u64) -> f64 {
    billionths as f64 / 1e9
}
