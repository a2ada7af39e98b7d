//! The end of a call: what it ended with is logged and counted once, be it that its task panicked.

use std::time::Duration;

use super::desk::Desk;
use super::journal::Journal;
use super::messages::Answer;
use crate::clock::{self, Instant};
use crate::error::{CallError, ErrorKind};
use crate::events::{self, Direction, Facts, Kind, Lot, Weight};
use crate::ids::{CallId, ToolName};
use crate::mail;
use crate::metrics::messages::CallEnded;
use crate::storage::rows::NewAttempt;

/// What is still known of a call whose task panicked.
pub(super) struct Lost {
    pub(super) tool: ToolName,
    pub(super) asked: Instant,
    pub(super) journal: Journal,
}

impl Lost {
    /// Its one answer.
    pub(super) async fn answer(self) -> Answer {
        let message =
            "The server failed on this call, by a defect of its own. Ask again; report it with the call id.";
        let answer = Err(self.journal.commit_failure(CallError::new(ErrorKind::Internal, message)).await);
        tell_end(self.journal.desk(), self.journal.call(), "", &self.tool, self.asked, &answer);
        answer
    }
}

/// Logs and counts the end of a call.
pub(super) fn tell_end(
    desk: &Desk,
    call: CallId,
    session: &str,
    tool: &ToolName,
    asked: Instant,
    answer: &Answer,
) {
    let took = clock::now() - asked;
    let (level, outcome) = match answer {
        Ok(_) => (log::Level::Info, "completed"),
        Err(error) => (level_of(error.kind), error.kind.as_str()),
    };
    let call = call.to_string();
    log::log!(
        level, call = call.as_str(), session = session, tool = tool.as_str(), outcome = outcome,
        ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        "call ended"
    );
    if mail::tell(&desk.setup.metrics, CallEnded { tool: tool.clone(), outcome, took }).is_err() {
        log::warn!(call = call.as_str(); "the end of a call was not counted");
    }
}

/// Our own failures are errors, the providers' are warnings, the callers' are their business.
fn level_of(kind: ErrorKind) -> log::Level {
    match kind {
        ErrorKind::Internal | ErrorKind::StorageUnavailable => log::Level::Error,
        ErrorKind::UpstreamError
        | ErrorKind::UpstreamTimeout
        | ErrorKind::UpstreamRejected
        | ErrorKind::RateLimited
        | ErrorKind::BreakerOpen
        | ErrorKind::OverCapacity
        | ErrorKind::DeadlineExceeded => log::Level::Warn,
        ErrorKind::InvalidArguments
        | ErrorKind::UnknownTool
        | ErrorKind::UnknownModel
        | ErrorKind::Unauthorized
        | ErrorKind::Cancelled
        | ErrorKind::Conflict
        | ErrorKind::NotFound
        | ErrorKind::TooLarge
        | ErrorKind::Draining => log::Level::Info,
    }
}

/// Tells the connection monitor how an upstream request ended.
pub(super) fn tell_attempt_end(attempt: &NewAttempt, outcome: &'static str) {
    let kind = Kind::Provider(attempt.provider.clone());
    let lot = Lot { kind, direction: Direction::Out, outcome: outcome.into(), weight: Weight::Lasting };
    events::note(lot, || {
        let lasted_ms = clock::utc_now().0.saturating_sub(attempt.dispatched_at.0);
        Facts {
            peer: attempt.host.as_str().into(),
            took: Duration::from_millis(u64::try_from(lasted_ms).unwrap_or(0)),
            call: Some(attempt.call),
            ..Facts::default()
        }
    });
}
