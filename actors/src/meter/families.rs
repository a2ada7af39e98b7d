//! What is counted: the closed list of families, each with its name, its labels and its help. The names are the public contract.

/// A family of counters. Its discriminant is its place in every thread's array.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Counter {
    /// Ended calls.
    Calls,
    /// Ended upstream requests.
    UpstreamRequests,
    /// Messages of clients.
    Messages,
    /// Clients that connected.
    SessionsOpened,
    /// Clients that went; with those that connected it makes those that are there.
    SessionsClosed,
    /// Tokens, as providers count them.
    Tokens,
    /// Billionths of US dollars, where prices are known.
    Cost,
    /// Second and third upstream requests of a call.
    Retries,
    /// Moves of circuit breakers.
    BreakerTransitions,
    /// Operations of the response cache.
    CacheOperations,
    /// Actors that panicked and live again.
    ActorRestarts,
    /// What was given up.
    Dropped,
    /// Files handled.
    Files,
}

impl Counter {
    /// Every family, in the order of the discriminants.
    pub const ALL: [Self; 13] = [
        Self::Calls,
        Self::UpstreamRequests,
        Self::Messages,
        Self::SessionsOpened,
        Self::SessionsClosed,
        Self::Tokens,
        Self::Cost,
        Self::Retries,
        Self::BreakerTransitions,
        Self::CacheOperations,
        Self::ActorRestarts,
        Self::Dropped,
        Self::Files,
    ];

    /// The metric's name without `_total`, as `/metrics` and the rollups know it.
    pub fn name(self) -> &'static str {
        self.told().0
    }

    /// The names of its labels, in the order in which values are given.
    pub fn labels(self) -> &'static [&'static str] {
        self.told().1
    }

    /// One sentence for operators.
    pub fn help(self) -> &'static str {
        self.told().2
    }

    fn told(self) -> (&'static str, &'static [&'static str], &'static str) {
        match self {
            Self::Calls => (
                "exai_calls",
                &["tool", "provider", "model", "outcome"],
                "Ended calls; refused_* and replayed have no row of their own in the journal",
            ),
            Self::UpstreamRequests => (
                "exai_upstream_requests",
                &["provider", "model", "status"],
                "Ended upstream requests: completed, the HTTP status of a failure, or failed, cancelled, unknown",
            ),
            Self::Messages => {
                ("exai_messages", &["transport", "direction"], "Messages from (in) and to (out) clients")
            }
            Self::SessionsOpened => ("exai_sessions_opened", &["transport"], "Clients that connected"),
            Self::SessionsClosed => ("exai_sessions_closed", &["transport"], "Clients that went"),
            Self::Tokens => {
                ("exai_tokens", &["provider", "model", "kind"], "Tokens, as the providers count them")
            }
            Self::Cost => ("exai_cost_usd", &["provider", "model"], "US dollars, where the price is known"),
            Self::Retries => (
                "exai_retries",
                &["provider", "reason"],
                "Repeated upstream requests, by what the one before failed of",
            ),
            Self::BreakerTransitions => {
                ("exai_breaker_transitions", &["provider", "model", "to"], "Moves of circuit breakers")
            }
            Self::CacheOperations => {
                ("exai_cache_operations", &["operation", "outcome"], "Operations of the response cache")
            }
            Self::ActorRestarts => ("exai_actor_restarts", &["actor"], "Actors that panicked and live again"),
            Self::Dropped => ("exai_dropped", &["what"], "What was given up for want of room"),
            Self::Files => ("exai_files", &["outcome"], "Files handled"),
        }
    }
}

/// A distribution. Times are recorded in microseconds, sizes as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Distribution {
    /// From asking to the committed answer.
    Call,
    /// Waiting for permits.
    Queue,
    /// From sending to the first token.
    FirstToken,
    /// Records in one commit.
    StorageBatchRows,
    /// One commit.
    StorageCommit,
}

impl Distribution {
    /// Every one, in the order of the discriminants.
    pub const ALL: [Self; 5] =
        [Self::Call, Self::Queue, Self::FirstToken, Self::StorageBatchRows, Self::StorageCommit];

    /// The metric's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Call => "exai_call_seconds",
            Self::Queue => "exai_queue_seconds",
            Self::FirstToken => "exai_first_token_seconds",
            Self::StorageBatchRows => "exai_storage_batch_rows",
            Self::StorageCommit => "exai_storage_commit_seconds",
        }
    }

    /// One sentence for operators.
    pub fn help(self) -> &'static str {
        match self {
            Self::Call => "From asking to the committed answer, of every ended call",
            Self::Queue => "Waiting for permits, of calls that had to",
            Self::FirstToken => "From sending to the first token, of answered upstream requests",
            Self::StorageBatchRows => "Records in one commit",
            Self::StorageCommit => "One commit",
        }
    }

    /// How many recorded steps make one of the metric's unit. A quotient is as near to the decimal fraction as a float can be.
    pub fn steps(self) -> f64 {
        match self {
            Self::Call | Self::Queue | Self::FirstToken | Self::StorageCommit => 1e6,
            Self::StorageBatchRows => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_stands_at_its_own_place() {
        assert!(Counter::ALL.iter().enumerate().all(|(n, one)| *one as usize == n));
        assert!(Distribution::ALL.iter().enumerate().all(|(n, one)| *one as usize == n));
    }
}
