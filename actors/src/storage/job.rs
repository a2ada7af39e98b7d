//! What the writer's connection is given to do and what it says afterwards, for both databases.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::error::{ConnectError, Refusal, in_words};
use crate::storage_writer::messages::{Record, Subject, WriteError, Written};

/// Something to do on the writer's connection.
#[derive(Debug, Clone)]
pub(crate) enum Job {
    /// Write these, in this order.
    Write(Arc<Vec<Record>>, Rules),
    /// Say whether the database is there.
    Ping {
        /// By a write, which a full disk refuses; by a read otherwise.
        thoroughly: bool,
    },
}

/// What the statements go by beside the records.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// How long an answer that was never delivered waits for whoever asks the same.
    pub(crate) result_ttl: Duration,
}

/// What became of a job.
#[derive(Debug)]
pub(crate) struct Done {
    /// For each record, in order.
    pub(crate) outcomes: Vec<Result<Written, WriteError>>,
    /// Transactions that were committed.
    pub(crate) commits: u64,
    /// Why the database is not available, if it is not. Then the connection must not be used again.
    pub(crate) down: Option<Down>,
}

/// Why a database is not available.
#[derive(Debug)]
pub(crate) struct Down {
    /// In one sentence, for operators.
    pub(crate) words: String,
    /// Whether the connection alone was lost, so that a fresh one may do.
    pub(crate) lost: bool,
}

impl Job {
    /// How many records it has.
    pub(crate) fn records(&self) -> usize {
        match self {
            Self::Write(records, _) => records.len(),
            Self::Ping { .. } => 0,
        }
    }
}

/// Cuts a batch into runs of records of different calls, conversations and sessions: within a run the order does not matter. A
/// record about everything is a run of its own.
pub(crate) fn waves(records: &[Record]) -> Vec<&[Record]> {
    let mut waves = Vec::new();
    let (mut start, mut seen) = (0, HashSet::new());
    for (n, record) in records.iter().enumerate() {
        let subjects = record.subjects();
        let about_all = subjects.contains(&Some(Subject::Everything)) && n > start;
        let after_all = seen.contains(&Subject::Everything);
        if about_all || after_all || subjects.iter().flatten().any(|subject| seen.contains(subject)) {
            waves.push(&records[start..n]);
            start = n;
            seen.clear();
        }
        seen.extend(subjects.into_iter().flatten());
    }
    waves.push(&records[start..]);
    waves
}

impl Done {
    /// Nothing was written.
    pub(crate) fn unavailable(records: usize, down: Down) -> Self {
        Self { outcomes: vec![Err(WriteError::Unavailable); records], commits: 0, down: Some(down) }
    }

    /// Nobody knows what was written.
    pub(crate) fn uncertain(records: usize, down: Down) -> Self {
        Self { outcomes: vec![Err(WriteError::Uncertain); records], commits: 0, down: Some(down) }
    }

    /// The same, of a job that had been tried before: what was not written now may have been then.
    pub(crate) fn after(mut self, before: &Self) -> Self {
        for (outcome, before) in self.outcomes.iter_mut().zip(&before.outcomes) {
            if (&*outcome, before) == (&Err(WriteError::Unavailable), &Err(WriteError::Uncertain)) {
                *outcome = Err(WriteError::Uncertain);
            }
        }
        self
    }
}

impl Down {
    /// The database is not available, and a fresh connection would not help.
    pub(crate) fn because(words: &str) -> Self {
        Self { words: words.to_owned(), lost: false }
    }

    /// The same, in the database's own words: what it refused holds nothing of anyone's.
    pub(crate) fn of_probe(refusal: &Refusal) -> Self {
        let down = Self::from(refusal);
        match refusal {
            Refusal::Database(error) => {
                Self { words: format!("the database takes no writes: {error}"), ..down }
            }
            Refusal::Missing(_) | Refusal::TimedOut | Refusal::LostConnection | Refusal::Unconfirmed(_) => {
                down
            }
        }
    }
}

impl From<&Refusal> for Down {
    fn from(refusal: &Refusal) -> Self {
        Self { words: refusal.for_people(), lost: refusal.is_lost_connection() }
    }
}

impl From<&ConnectError> for Down {
    fn from(error: &ConnectError) -> Self {
        Self { words: in_words(error), lost: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::UtcMillis;
    use crate::ids::CallId;

    #[test]
    fn a_wave_ends_where_a_call_comes_again() {
        let (a, b) = (CallId::mint(), CallId::mint());
        let delivered = |call| Record::CallDelivered { call, at: UtcMillis(0) };
        let records = [delivered(a), delivered(b), delivered(a), delivered(a), delivered(b)];
        let sizes = waves(&records).iter().map(|wave| wave.len()).collect::<Vec<_>>();
        assert_eq!(sizes, [2, 1, 2]);
    }

    #[test]
    fn what_is_about_everything_goes_alone() {
        let delivered = || Record::CallDelivered { call: CallId::mint(), at: UtcMillis(0) };
        let renewed = || Record::LeasesRenewed { calls: Vec::new(), until: UtcMillis(0) };
        let records = [renewed(), delivered(), delivered(), renewed(), renewed(), delivered()];
        let sizes = waves(&records).iter().map(|wave| wave.len()).collect::<Vec<_>>();
        assert_eq!(sizes, [1, 2, 1, 1, 1]);
    }
}
