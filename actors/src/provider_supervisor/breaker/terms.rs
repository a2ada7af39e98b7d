//! What a breaker is asked and told, and what it says. Pure.

use std::time::Duration;

use crate::clock::Instant;
use crate::metrics::messages::BreakerPosition;

/// Leave for one call. Its outcome counts only while the breaker is in the life that granted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::provider_supervisor) struct Pass(pub(super) u64);

/// What a call's end means to a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::provider_supervisor) enum Tally {
    /// It works.
    Success,
    /// It does not.
    Failure {
        /// In one word.
        why: &'static str,
        /// How long the upstream asks us to wait.
        stated: Option<Duration>,
    },
    /// It says nothing; its place is free again.
    Nothing,
}

/// Whether a call may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::provider_supervisor) enum Leave {
    /// It may.
    Granted,
    /// Not before `until`, at the latest, where that is known; to be asked again after `wait`, where waiting helps.
    Refused { until: Option<Instant>, wait: Option<Duration> },
}

impl Leave {
    pub(super) fn refused(until: Instant, wait: Duration) -> Self {
        Self::Refused { until: Some(until), wait: Some(wait) }
    }
}

/// What can be seen of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::provider_supervisor) struct Seen {
    pub(in crate::provider_supervisor) position: BreakerPosition,
    pub(in crate::provider_supervisor) since: Instant,
    pub(in crate::provider_supervisor) until: Option<Instant>,
    /// Why it last opened, until it closes.
    pub(in crate::provider_supervisor) why: Option<&'static str>,
    /// In the window.
    pub(in crate::provider_supervisor) failures: u32,
}
