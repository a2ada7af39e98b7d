//! The end of a call: what it ended with is logged and counted once, be it that its task panicked.

use std::time::Duration;

use super::journal::Journal;
use super::messages::Answer;
use super::steps::Standing;
use crate::clock::{self, Instant};
use crate::error::{CallError, ErrorKind};
use crate::events::{self, Direction, Facts, Kind, Lot, Weight};
use crate::ids::ToolName;
use crate::meter::{self, Counter, Distribution};
use crate::models::Model;
use crate::storage::rows::{AttemptState, EndedAttempt, NewAttempt};

/// The outcome of a call, or of a request, whose row stands without its end.
pub(super) const UNWRITTEN: &str = "unwritten";
/// The outcome of a call that was answered from another call's row.
const REPLAYED: &str = "replayed";

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
        tell_end(&self.journal, "", &self.tool, self.asked, &answer);
        answer
    }
}

/// Logs and counts the end of a call.
pub(super) fn tell_end(journal: &Journal, session: &str, tool: &ToolName, asked: Instant, answer: &Answer) {
    let took = clock::now() - asked;
    let (level, outcome) = match answer {
        Ok(_) => (log::Level::Info, "completed"),
        Err(error) => (level_of(error.kind), error.kind.as_str()),
    };
    let call = journal.call().to_string();
    log::log!(
        level, call = call.as_str(), session = session, tool = tool.as_str(), outcome = outcome,
        ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        "call ended"
    );
    meter::observe(Distribution::Call, took);
    count(journal, tool, outcome);
}

/// Counts a call by what its row in the journal says, and those that have no row of their own as such: so the counters can be held
/// against the journal to the last call.
fn count(journal: &Journal, tool: &ToolName, outcome: &str) {
    let counted = |provider, model, outcome: &str| {
        meter::add(Counter::Calls, &[tool.as_str(), provider, model, outcome], 1);
    };
    let steps = journal.steps();
    let (provider, model) =
        steps.model().map_or(("", ""), |model| (model.provider.as_str(), model.id.as_str()));
    match steps.standing() {
        Standing::Own => counted(provider, model, outcome),
        Standing::Unwritten => counted(provider, model, UNWRITTEN),
        Standing::Replayed => counted(provider, model, REPLAYED),
        Standing::None => counted(provider, model, &refused(outcome)),
    }
}

/// Counts a call that was refused before anything of it began.
pub(super) fn count_refusal(tool: &ToolName, error: &CallError) {
    meter::add(Counter::Calls, &[tool.as_str(), "", "", &refused(error.kind.as_str())], 1);
}

fn refused(kind: &str) -> String {
    format!("refused_{kind}")
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

/// Counts an upstream request as its row says it ended.
pub(super) fn count_attempt(model: &Model, ended: &EndedAttempt, written: bool) {
    let (provider, model) = (model.provider.as_str(), model.id.as_str());
    let status = match (written, ended.state, ended.status) {
        (false, ..) => UNWRITTEN,
        (true, AttemptState::Failed, Some(status)) => &status.to_string(),
        (true, state, _) => state.as_str(),
    };
    meter::add(Counter::UpstreamRequests, &[provider, model, status], 1);
    if let Some(usage) = ended.usage {
        for (kind, tokens) in [
            ("prompt", usage.prompt),
            ("cached", usage.cached),
            ("completion", usage.completion),
            ("reasoning", usage.reasoning),
        ] {
            meter::add(Counter::Tokens, &[provider, model, kind], tokens.into());
        }
    }
    if let Some(cost) = ended.cost_usd {
        meter::add(Counter::Cost, &[provider, model], billionths(cost));
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a price is not negative, and no call costs billions"
)]
fn billionths(usd: f64) -> u64 {
    (usd * 1e9).round() as u64
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
