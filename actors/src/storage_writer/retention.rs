//! What is kept no longer, and when it goes: hourly, in steps so small that nobody waits for them.

use std::rc::Rc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::committer::Waiting;
use super::messages::{Record, Write, Written};
use crate::clock::{self, UtcMillis};
use crate::storage::rows::Outdated;

/// How long after the start the first round is: when those who were waiting for us have been served.
pub(super) const FIRST_AFTER: Duration = Duration::from_secs(60);
/// How long it is from one round to the next.
pub(super) const EVERY: Duration = Duration::from_secs(60 * 60);

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long calls, without their answers, and sessions are kept.
const ROWS_KEPT: Duration = Duration::from_secs(90 * DAY.as_secs());
/// How long a conversation is kept after its last turn.
const CONVERSATIONS_KEPT: Duration = Duration::from_secs(30 * DAY.as_secs());
/// How long the metrics of each minute, and the log of their flushes, are kept.
const METRIC_MINUTES_KEPT: Duration = Duration::from_secs(7 * DAY.as_secs());
/// How long the metrics of each hour are kept.
const METRIC_HOURS_KEPT: Duration = Duration::from_secs(90 * DAY.as_secs());
/// How long events are kept.
const EVENTS_KEPT: Duration = Duration::from_secs(7 * DAY.as_secs());
/// Events that are kept at most. Between two rounds fewer than as many again are written (`events::keep`).
const EVENTS_KEPT_MAX: u32 = 100_000;
/// Rows of each kind that one step takes.
const STEP_ROWS: u32 = 1000;

/// Takes away what is outdated, step by step, until nothing is or the database is away; the next round goes on.
pub(super) async fn expire(waiting: Rc<Waiting>, result_ttl: Duration) {
    let outdated = outdated(clock::utc_now(), result_ttl);
    let mut rows = 0;
    loop {
        let (done, outcome) = oneshot::channel();
        waiting.push(Write { record: Record::Expired(outdated), done });
        match outcome.await {
            Ok(Ok(Written::Expired(gone))) if gone > 0 => rows += gone,
            Ok(_) | Err(_) => break,
        }
    }
    if rows > 0 {
        log::info!(rows; "what is kept no longer is gone");
    }
}

fn outdated(now: UtcMillis, result_ttl: Duration) -> Outdated {
    let before = |kept: Duration| {
        let kept_ms = i64::try_from(kept.as_millis()).unwrap_or(i64::MAX);
        UtcMillis(now.0.saturating_sub(kept_ms))
    };
    Outdated {
        results: before(result_ttl),
        calls: before(ROWS_KEPT),
        conversations: before(CONVERSATIONS_KEPT),
        sessions: before(ROWS_KEPT),
        metric_minutes: before(METRIC_MINUTES_KEPT),
        metric_hours: before(METRIC_HOURS_KEPT),
        events: before(EVENTS_KEPT),
        events_kept_max: EVENTS_KEPT_MAX,
        rows_max: STEP_ROWS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_own_time() {
        let day_ms = 86_400_000;
        let now = UtcMillis(1000 * day_ms);
        let outdated = outdated(now, DAY);
        assert_eq!(outdated.results, UtcMillis(999 * day_ms));
        assert_eq!(outdated.conversations, UtcMillis(970 * day_ms));
        assert_eq!(outdated.metric_minutes, UtcMillis(993 * day_ms));
        assert_eq!(outdated.metric_hours, UtcMillis(910 * day_ms));
        assert_eq!((outdated.events, outdated.events_kept_max), (UtcMillis(993 * day_ms), 100_000));
        assert_eq!((outdated.calls, outdated.sessions), (UtcMillis(910 * day_ms), UtcMillis(910 * day_ms)));
    }
}
