//! What a load counted, and what it cost.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::io;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::process::{self, Process};

/// The longest latency that is told apart.
const LATENCY_MAX: Duration = Duration::from_secs(600);
/// Significant figures of a latency.
const FIGURES: u8 = 3;

/// Answers as they came.
pub(crate) struct Tally {
    latency: Histogram<u64>,
    /// Answered calls, failures included.
    pub(crate) answered: u64,
    /// Progress and other notifications.
    pub(crate) notices: u64,
    /// Failures by kind.
    pub(crate) errors: BTreeMap<String, u64>,
}

impl Tally {
    pub(crate) fn new() -> Result<Self, hdrhistogram::CreationError> {
        let nanos_max = u64::try_from(LATENCY_MAX.as_nanos()).unwrap_or(u64::MAX);
        let latency = Histogram::new_with_bounds(1_000, nanos_max, FIGURES)?;
        Ok(Self { latency, answered: 0, notices: 0, errors: BTreeMap::new() })
    }

    /// Counts an answer that took so long.
    pub(crate) fn answer(&mut self, took: Duration, failure: Option<&str>) {
        self.answered += 1;
        self.latency.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        if let Some(kind) = failure {
            self.fail(kind, 1);
        }
    }

    /// Counts failures; none counts nothing.
    pub(crate) fn fail(&mut self, kind: &str, times: u64) {
        if times > 0 {
            *self.errors.entry(kind.to_owned()).or_default() += times;
        }
    }

    /// How many calls failed, in whatever way.
    pub(crate) fn failed(&self) -> u64 {
        self.errors.values().sum()
    }

    /// What 99 of 100 answers took at most.
    pub(crate) fn p99(&self) -> Duration {
        Duration::from_nanos(self.latency.value_at_quantile(0.99))
    }

    /// Such as `p50 0.21 ms, p95 .., p99 .., max ..`.
    pub(crate) fn latencies(&self) -> String {
        let millis = |nanos: u64| nanos as f64 / 1e6;
        let at = |quantile| millis(self.latency.value_at_quantile(quantile));
        format!(
            "p50 {:.3} ms, p95 {:.3} ms, p99 {:.3} ms, max {:.3} ms",
            at(0.5),
            at(0.95),
            at(0.99),
            millis(self.latency.max())
        )
    }
}

impl Display for Tally {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}; errors {}", self.latencies(), self.failed())?;
        for (kind, times) in &self.errors {
            write!(out, ", {kind} {times}")?;
        }
        Ok(())
    }
}

/// Where everybody's CPU stood at a moment.
#[derive(Clone, Copy)]
pub(crate) struct Meter {
    at: Instant,
    server: Duration,
    doubles: Duration,
    all_here: Duration,
}

/// What everybody used between two moments.
#[derive(Clone, Copy)]
pub(crate) struct Used {
    pub(crate) elapsed: Duration,
    pub(crate) server: Duration,
    doubles: Duration,
    generator: Duration,
}

impl Meter {
    pub(crate) fn read(server: Process) -> io::Result<Self> {
        Ok(Self {
            at: Instant::now(),
            server: server.cpu()?,
            doubles: process::doubles_cpu()?,
            all_here: Process(std::process::id()).cpu()?,
        })
    }

    /// What was used since.
    pub(crate) fn used(self, server: Process) -> io::Result<Used> {
        let end = Self::read(server)?;
        let doubles = end.doubles.saturating_sub(self.doubles);
        Ok(Used {
            elapsed: end.at - self.at,
            server: end.server.saturating_sub(self.server),
            doubles,
            generator: end.all_here.saturating_sub(self.all_here).saturating_sub(doubles),
        })
    }
}

impl Used {
    /// Microseconds of the server's CPU for each of these calls.
    pub(crate) fn server_us_per(self, calls: u64) -> f64 {
        self.server.as_secs_f64() * 1e6 / calls.max(1) as f64
    }
}

impl Display for Used {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = |cpu: Duration| 100.0 * cpu.as_secs_f64() / self.elapsed.as_secs_f64();
        write!(
            out,
            "of one core: server {:.0} %, generator {:.0} %, double {:.0} %",
            share(self.server),
            share(self.generator),
            share(self.doubles)
        )
    }
}
