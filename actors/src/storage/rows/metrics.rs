//! The rows of the metrics.

use crate::clock::UtcMillis;

/// The label that names a life of the process in every rollup.
pub const LIFE_LABEL: &str = "life";

/// One life of a replica's process: its sums bear it, and its lines in the flush log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Life {
    /// The replica.
    pub replica: String,
    /// The life.
    pub id: String,
}

/// A life that has ended, however it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedLife {
    /// It.
    pub life: Life,
    /// Calls of it that the journal has and the rollups lack.
    pub lost: u64,
}

/// What is stored of the sums at once, in one transaction.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricsBatch {
    /// Its own name in the flush log: written twice, it stands there once.
    pub id: uuid::Uuid,
    /// Whose sums they are.
    pub life: Life,
    /// When it was put together.
    pub at: UtcMillis,
    /// The windows' sums.
    pub rows: Vec<Rollup>,
    /// The flushes before it that failed.
    pub failed: Option<FailedFlushes>,
}

/// Flushes in a row that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedFlushes {
    /// When the first of them did.
    pub since: UtcMillis,
    /// How many.
    pub times: u32,
    /// Why the last of them did.
    pub error: String,
}

/// One metric's sum over one window; written again, it replaces what stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Rollup {
    /// Which table.
    pub span: Span,
    /// The window's first millisecond.
    pub start: UtcMillis,
    /// The metric's name.
    pub metric: String,
    /// Its labels as a JSON object with sorted keys.
    pub labels: String,
    /// Events, or values.
    pub count: i64,
    /// Their sum in the metric's unit.
    pub sum: f64,
    /// Of a distribution: least, median, 95th and 99th percentile, greatest.
    pub shape: Option<[f64; 5]>,
}

/// What the database has of one life of a replica, counted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Books {
    /// Calls by tool and state.
    pub calls: Vec<(String, String, i64)>,
    /// Upstream requests by provider, model and status: the HTTP status of a failure that had one, else the state.
    pub attempts: Vec<(String, String, String, i64)>,
    /// Sums of the counts of all hours by metric and labels.
    pub rollups: Vec<(String, String, i64)>,
}

/// How long a window is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// `metrics_1min`.
    Minute,
    /// `metrics_1hour`.
    Hour,
}

impl Span {
    /// The same in milliseconds.
    pub const fn ms(self) -> i64 {
        match self {
            Self::Minute => 60_000,
            Self::Hour => 3_600_000,
        }
    }
}
