//! When to publish how far a call is: at once when the phase changes, else at most once a second. Pure.

use std::time::Duration;

use super::messages::UpstreamProgress;
use crate::clock::Instant;

/// The least time between two reports of the same phase.
const PACE: Duration = Duration::from_secs(1);

/// What was published, and when.
#[derive(Debug)]
pub(super) struct Pulse {
    said: UpstreamProgress,
    at: Instant,
}

impl Pulse {
    /// The beginning of a call, of which everyone knows that nothing came yet.
    pub(super) fn new(now: Instant) -> Self {
        Self { said: UpstreamProgress::default(), at: now }
    }

    /// When `progress` is worth a report: none when it was said already.
    pub(super) fn due(&self, progress: UpstreamProgress, now: Instant) -> Option<Instant> {
        if progress == self.said {
            None
        } else if progress.phase != self.said.phase {
            Some(now)
        } else {
            Some(self.at + PACE)
        }
    }

    /// Notes that `progress` has been published.
    pub(super) fn said(&mut self, progress: UpstreamProgress, now: Instant) {
        self.said = progress;
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::provider::messages::UpstreamPhase;

    #[test]
    fn a_phase_is_told_at_once_and_a_count_once_a_second() {
        let start = clock::now();
        let mut pulse = Pulse::new(start);
        let thinking = |tokens| UpstreamProgress { phase: UpstreamPhase::Thinking, tokens };
        assert_eq!(pulse.due(UpstreamProgress::default(), start), None);
        assert_eq!(pulse.due(thinking(1), start), Some(start));
        pulse.said(thinking(1), start);
        assert_eq!(pulse.due(thinking(1), start), None);
        assert_eq!(pulse.due(thinking(2), start), Some(start + PACE));
        let answering = UpstreamProgress { phase: UpstreamPhase::Answering, tokens: 3 };
        assert_eq!(pulse.due(answering, start), Some(start));
    }
}
