//! What waits to be written, within limits. It decides what goes into the next commit and who is told when; it writes nothing.

use std::collections::VecDeque;
use std::time::Duration;

/// How long an answer is kept: 24 hours.
const RESULT_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// Bounds of a [`Batch`], and of what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Rows that may wait.
    pub waiting_rows_max: usize,
    /// Bytes that may wait.
    pub waiting_bytes_max: usize,
    /// Rows in one commit.
    pub commit_rows_max: usize,
    /// Bytes in one commit; a single larger row goes alone.
    pub commit_bytes_max: usize,
    /// How long an answer is kept, delivered or not.
    pub result_ttl: Duration,
}

impl Default for Limits {
    /// A commit of 1024 rows is where SQLite and Postgres stop getting faster (`facts/traps.md`, 26); what waits is sixteen of them.
    fn default() -> Self {
        Self {
            waiting_rows_max: 16_384,
            waiting_bytes_max: 128 << 20,
            commit_rows_max: 1024,
            commit_bytes_max: 16 << 20,
            result_ttl: RESULT_TTL,
        }
    }
}

/// Rows that wait, in the order in which they came, and flushes that wait for them.
#[derive(Debug)]
pub struct Batch<T, F> {
    limits: Limits,
    waiting: VecDeque<(T, usize)>,
    waiting_bytes: usize,
    /// Rows taken in so far.
    accepted: u64,
    /// Rows whose outcome is known.
    settled: u64,
    /// Flushes, each with the number of rows that must be settled before it is answered.
    flushes: VecDeque<(u64, F)>,
}

impl<T, F> Batch<T, F> {
    /// An empty one.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            accepted: 0,
            settled: 0,
            flushes: VecDeque::new(),
        }
    }

    /// Takes a row in, or gives it back when it would go beyond the limits. An empty batch takes a row of any size: a row that
    /// could never wait could never be written.
    pub fn push(&mut self, row: T, bytes: usize) -> Result<(), T> {
        let too_many = self.waiting.len() >= self.limits.waiting_rows_max;
        let too_large = self.waiting_bytes.saturating_add(bytes) > self.limits.waiting_bytes_max;
        if !self.waiting.is_empty() && (too_many || too_large) {
            return Err(row);
        }
        self.waiting.push_back((row, bytes));
        self.waiting_bytes += bytes;
        self.accepted += 1;
        Ok(())
    }

    /// Has `flush` handed back once every row that was taken in before it is settled: at once when all are.
    pub fn flush(&mut self, flush: F) -> Option<F> {
        if self.settled == self.accepted {
            return Some(flush);
        }
        self.flushes.push_back((self.accepted, flush));
        None
    }

    /// The oldest rows, as many as one commit takes; empty when none wait.
    pub fn take(&mut self) -> Vec<T> {
        let mut taken = Vec::new();
        let mut taken_bytes = 0usize;
        while let Some((_, bytes)) = self.waiting.front() {
            let full = taken.len() >= self.limits.commit_rows_max
                || taken_bytes.saturating_add(*bytes) > self.limits.commit_bytes_max;
            if full && !taken.is_empty() {
                break;
            }
            if let Some((row, bytes)) = self.waiting.pop_front() {
                taken_bytes += bytes;
                taken.push(row);
            }
        }
        self.waiting_bytes -= taken_bytes;
        taken
    }

    /// Notes that `rows` more rows, the oldest ones, have their outcome; the flushes that waited for just them.
    pub fn settle(&mut self, rows: usize) -> Vec<F> {
        self.settled += u64::try_from(rows).unwrap_or(u64::MAX);
        assert!(self.settled <= self.accepted, "more rows are settled than were taken in");
        let ready = self.flushes.iter().take_while(|(target, _)| *target <= self.settled).count();
        self.flushes.drain(..ready).map(|(_, flush)| flush).collect()
    }

    /// Rows that wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SMALL: Limits = Limits {
        waiting_rows_max: 6,
        waiting_bytes_max: 40,
        commit_rows_max: 3,
        commit_bytes_max: 20,
        result_ttl: RESULT_TTL,
    };

    #[derive(Debug, Clone)]
    enum Step {
        Push(usize),
        Flush,
        Commit,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0usize..50).prop_map(Step::Push),
            1 => Just(Step::Flush),
            2 => Just(Step::Commit),
        ]
    }

    proptest! {
        /// The naive model keeps every row for ever and counts anew each time.
        #[test]
        fn it_does_what_the_naive_model_does(steps in prop::collection::vec(step(), 1..200)) {
            let mut batch = Batch::new(SMALL);
            let (mut rows, mut done): (Vec<usize>, usize) = (Vec::new(), 0);
            let (mut asked, mut answered): (Vec<(usize, usize)>, Vec<usize>) = (Vec::new(), Vec::new());
            for (n, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Push(bytes) => {
                        let waiting = &rows[done..];
                        let room = waiting.is_empty()
                            || (waiting.len() < 6 && waiting.iter().sum::<usize>() + bytes <= 40);
                        prop_assert_eq!(batch.push(rows.len(), bytes).is_ok(), room);
                        if room {
                            rows.push(bytes);
                        }
                    }
                    Step::Flush => {
                        if batch.flush(n).is_some() { answered.push(n) }
                        asked.push((n, rows.len()));
                    }
                    Step::Commit => {
                        let mut end = done;
                        while end < rows.len()
                            && (end == done || (end - done < 3 && rows[done..=end].iter().sum::<usize>() <= 20))
                        {
                            end += 1;
                        }
                        prop_assert_eq!(batch.take(), (done..end).collect::<Vec<_>>());
                        answered.extend(batch.settle(end - done));
                        done = end;
                    }
                }
                prop_assert_eq!(batch.waiting(), rows.len() - done);
                let due = asked.iter().filter(|(_, target)| *target <= done).map(|(n, _)| *n).collect::<Vec<_>>();
                prop_assert_eq!(&answered, &due);
            }
        }
    }
}
