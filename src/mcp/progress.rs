//! When a caller hears how its call is going, and in which words. Pure: time is an argument. Says only what was measured.

use std::fmt::Write;
use std::time::Duration;

use exai_actors::clock::Instant;
use exai_actors::dispatcher::messages::{Phase, Progress};

/// The longest silence: well under the 60 s after which the usual clients give up.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// The shortest pause between two messages.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// The progress messages of one call.
#[derive(Debug, Default)]
pub(super) struct Pace {
    last: Option<Told>,
    number: u32,
}

#[derive(Debug)]
struct Told {
    at: Instant,
    phase: Phase,
    draining: bool,
}

impl Pace {
    /// When the next message is due: the first at once, and that the server is shutting down too; then on a change of phase, and
    /// otherwise before the silence is too long.
    pub(super) fn due_at(&self, phase: Phase, draining: bool, now: Instant) -> Instant {
        match self.last {
            None => now,
            Some(Told { draining: told, .. }) if told != draining => now,
            Some(Told { at, phase: told, .. }) if told != phase => at + PAUSE_MIN,
            Some(Told { at, .. }) => at + SILENCE_MAX,
        }
    }

    /// Notes that a message goes out; gives its `progress`, which must increase (MCP 2025-11-25, basic/utilities/progress).
    pub(super) fn tell(&mut self, phase: Phase, draining: bool, now: Instant) -> f64 {
        self.last = Some(Told { at: now, phase, draining });
        self.number += 1;
        f64::from(self.number)
    }
}

/// Such as `thinking, 12 s, 340 tokens`; where the server is shutting down, also how long it waits in all.
pub(super) fn words(progress: &Progress, drains_within: Option<Duration>, now: Instant) -> String {
    let seconds = now.duration_since(progress.since).as_secs();
    let phase = progress.phase.as_str();
    let mut words = format!("{phase}, {seconds} s");
    if progress.tokens > 0 {
        let _ = write!(words, ", {} tokens", progress.tokens);
    }
    if let Some(within) = drains_within {
        let within = within.as_secs();
        let _ = write!(words, "; the server is shutting down and waits up to {within} s for this answer");
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use exai_actors::clock;

    #[test]
    fn one_at_once_then_by_phase_and_never_ten_seconds_of_silence() {
        let start = clock::now();
        let second = Duration::from_secs(1);
        let mut pace = Pace::default();
        assert_eq!(pace.due_at(Phase::Received, false, start), start);
        assert_eq!(pace.tell(Phase::Received, false, start), 1.0);
        assert_eq!(pace.due_at(Phase::Received, false, start + second * 3), start + second * 10);
        assert_eq!(pace.due_at(Phase::Thinking, false, start), start + second);
        assert_eq!(pace.tell(Phase::Thinking, false, start + second), 2.0);
        let drain = start + second * 5 / 4;
        assert_eq!(pace.due_at(Phase::Thinking, true, drain), drain, "a drain is told at once");
        assert_eq!(pace.tell(Phase::Thinking, true, drain), 3.0);
        assert_eq!(pace.due_at(Phase::Thinking, true, drain), drain + second * 10);
    }

    #[test]
    fn the_words_say_what_is_known() {
        let since = clock::now();
        let progress = |phase, tokens| Progress { phase, since, tokens };
        let later = since + Duration::from_millis(12_700);
        assert_eq!(words(&progress(Phase::Thinking, 340), None, later), "thinking, 12 s, 340 tokens");
        assert_eq!(words(&progress(Phase::Dispatched, 0), None, later), "waiting for the model, 12 s");
        let leaving = words(&progress(Phase::Dispatched, 0), Some(Duration::from_secs(25)), later);
        let told =
            "waiting for the model, 12 s; the server is shutting down and waits up to 25 s for this answer";
        assert_eq!(leaving, told);
    }
}
