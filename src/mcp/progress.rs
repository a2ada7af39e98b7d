//! When a caller hears how its call is going, and in which words. Pure: time is an argument. Says only what was measured.

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
    last: Option<(Instant, Phase)>,
    number: u32,
}

impl Pace {
    /// When the next message is due: the first at once, then on a change of phase, and otherwise before the silence is too long.
    pub(super) fn due_at(&self, phase: Phase, now: Instant) -> Instant {
        match self.last {
            None => now,
            Some((at, told)) if told != phase => at + PAUSE_MIN,
            Some((at, _)) => at + SILENCE_MAX,
        }
    }

    /// Notes that a message goes out; gives its `progress`, which must increase (MCP 2025-11-25, basic/utilities/progress).
    pub(super) fn tell(&mut self, phase: Phase, now: Instant) -> f64 {
        self.last = Some((now, phase));
        self.number += 1;
        f64::from(self.number)
    }
}

/// Such as `thinking, 12 s, 340 tokens`.
pub(super) fn words(progress: &Progress, now: Instant) -> String {
    let seconds = now.duration_since(progress.since).as_secs();
    let phase = progress.phase.as_str();
    match progress.tokens {
        0 => format!("{phase}, {seconds} s"),
        tokens => format!("{phase}, {seconds} s, {tokens} tokens"),
    }
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
        assert_eq!(pace.due_at(Phase::Received, start), start);
        assert_eq!(pace.tell(Phase::Received, start), 1.0);
        assert_eq!(pace.due_at(Phase::Received, start + second * 3), start + second * 10);
        assert_eq!(pace.due_at(Phase::Thinking, start), start + second);
        assert_eq!(pace.tell(Phase::Thinking, start + second), 2.0);
    }

    #[test]
    fn the_words_say_what_is_known() {
        let since = clock::now();
        let progress = |phase, tokens| Progress { phase, since, tokens };
        let later = since + Duration::from_millis(12_700);
        assert_eq!(words(&progress(Phase::Thinking, 340), later), "thinking, 12 s, 340 tokens");
        assert_eq!(words(&progress(Phase::Dispatched, 0), later), "waiting for the model, 12 s");
    }
}
