//! How far a call may be in the journal: what was written of it, or may have been. Pure.

use std::sync::Arc;

use serde_json::{Value, json};

use super::entries::{cost_usd, ended};
use super::plan::Plan;
use crate::error::{CallError, ErrorKind};
use crate::ids::CallId;
use crate::models::{Model, Usage};
use crate::provider::messages::UpstreamFailure;
use crate::storage::rows::{AttemptState, CallState, EndedAttempt, NewAttempt};

/// How far the requests of a call have gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// Nothing was sent.
    Never,
    /// One was sent, and its end is not written.
    Open,
    /// All that were sent have ended.
    Ended,
}

/// The journal's view of one call.
#[derive(Default)]
pub(super) struct Steps {
    /// The call's row stands.
    stands: bool,
    /// A write is under way, or was lost: what it holds may stand.
    uncertain: bool,
    /// The request whose row stands, or may stand, open.
    attempt: Option<NewAttempt>,
    /// How that request ended.
    ended: Option<EndedAttempt>,
    /// Requests whose rows stand.
    made: u32,
    /// The end could not be written.
    unwritten: bool,
    /// The answer is another call's.
    replayed: bool,
    model: Option<Arc<Model>>,
    prompt_tokens: u32,
    partial: Option<Arc<str>>,
}

/// What the journal has of a call that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// A row with its end.
    Own,
    /// A row without its end; recovery closes it.
    Unwritten,
    /// Nothing: the answer is another call's.
    Replayed,
    /// Nothing: it was refused before.
    None,
}

impl Steps {
    pub(super) fn standing(&self) -> Standing {
        if self.replayed {
            Standing::Replayed
        } else if !self.opened() {
            Standing::None
        } else if self.unwritten {
            Standing::Unwritten
        } else {
            Standing::Own
        }
    }

    pub(super) fn unwritten(&mut self) {
        self.unwritten = true;
    }

    /// There is nothing of this call to be closed: its answer is another one's.
    pub(super) fn replayed() -> Self {
        Self { replayed: true, ..Self::default() }
    }

    /// The model is known: what becomes of the call is counted as its.
    pub(super) fn planned(&mut self, model: &Arc<Model>) {
        self.model = Some(Arc::clone(model));
    }

    /// There is nothing of this call to be closed.
    pub(super) fn forget(&mut self) {
        *self = Self { model: self.model.take(), ..Self::default() };
    }

    pub(super) fn accepting(&mut self) {
        self.uncertain = true;
    }

    /// Whether the call's own row stood before.
    pub(super) fn dispatching(&mut self, attempt: NewAttempt, plan: &Plan) -> bool {
        self.uncertain = true;
        self.attempt = Some(attempt);
        self.ended = None;
        self.model = Some(Arc::clone(&plan.model));
        self.prompt_tokens = plan.prompt_tokens;
        self.stands
    }

    /// What was being written stands.
    pub(super) fn certain(&mut self) {
        self.uncertain = false;
        self.stands = true;
        if self.attempt.is_some() {
            self.made += 1;
        }
    }

    /// Whether the call's row stands for certain.
    pub(super) fn stands(&self) -> bool {
        self.stands
    }

    /// Whether the call's row stands, or may.
    pub(super) fn opened(&self) -> bool {
        self.stands || self.uncertain
    }

    /// Whether anything may have been sent. A request whose row is not known to stand was not.
    pub(super) fn sent(&self) -> Sent {
        match (self.made, &self.attempt) {
            (0, _) => Sent::Never,
            (_, Some(_)) if !self.uncertain => Sent::Open,
            (_, _) => Sent::Ended,
        }
    }

    /// Whether a row that is closed now may not be there at all.
    pub(super) fn is_uncertain(&self) -> bool {
        self.uncertain
    }

    pub(super) fn made(&self) -> u32 {
        self.made
    }

    pub(super) fn next_attempt(&self) -> i32 {
        i32::try_from(self.made).unwrap_or(i32::MAX).saturating_add(1)
    }

    /// The request whose row stands, or may stand, open.
    pub(super) fn attempt(&self) -> Option<&NewAttempt> {
        self.attempt.as_ref()
    }

    pub(super) fn model(&self) -> Option<&Arc<Model>> {
        self.model.as_ref()
    }

    pub(super) fn to_call_error(&self, failure: &UpstreamFailure) -> CallError {
        match &self.model {
            Some(model) => failure.to_call_error(&model.provider, &model.id),
            None => CallError::new(
                ErrorKind::Internal,
                "A request failed that was never made; report this defect.",
            ),
        }
    }

    /// Notes how the open request ended, and keeps what it had of an answer.
    pub(super) fn failed(&mut self, call: CallId, failure: UpstreamFailure, state: AttemptState) {
        let cost = self.cost(failure.usage);
        let Some(attempt) = &self.attempt else { return };
        self.ended = Some(ended(call, attempt.n, state, failure.status, failure.usage, cost));
        self.partial = failure.partial.map(|partial| partial.0.into());
    }

    /// The end of a request whose call goes on; it stays with the call until it is durable.
    pub(super) fn ended_attempt(&self) -> Option<EndedAttempt> {
        self.ended.clone()
    }

    /// The end of the last request stands.
    pub(super) fn attempt_closed(&mut self) {
        self.attempt = None;
        self.ended = None;
    }

    /// The end of the last request, with that of its call: as it was noted, or else as `stopped`.
    pub(super) fn end_attempt(&mut self, call: CallId, stopped: AttemptState) -> Option<EndedAttempt> {
        let attempt = self.attempt.take()?;
        Some(self.ended.take().unwrap_or_else(|| ended(call, attempt.n, stopped, None, None, None)))
    }

    pub(super) fn take_partial(&mut self) -> Option<Arc<str>> {
        self.partial.take()
    }

    /// What a request cost that was ended early: by the provider's count where it gave one, else by ours.
    pub(super) fn spent(&self, had: &UpstreamFailure) -> Value {
        let estimated = had.usage.is_none();
        let usage = had.usage.unwrap_or(Usage {
            prompt: self.prompt_tokens,
            completion: had.tokens,
            ..Usage::default()
        });
        json!({
            "prompt_tokens": usage.prompt, "completion_tokens": usage.completion,
            "cost_usd": self.cost(Some(usage)), "estimated": estimated,
        })
    }

    fn cost(&self, usage: Option<Usage>) -> Option<f64> {
        self.model.as_ref().and_then(|model| cost_usd(model, usage.as_ref()))
    }
}

/// A shutdown leaves open whether a request that was on its way has been answered, and billed.
pub(super) fn state_after(kind: ErrorKind, sent: Sent) -> CallState {
    if kind == ErrorKind::Cancelled {
        return CallState::Cancelled;
    }
    if kind != ErrorKind::Draining {
        return CallState::Failed;
    }
    match sent {
        Sent::Never => CallState::Interrupted,
        Sent::Open => CallState::Unknown,
        Sent::Ended => CallState::Failed,
    }
}
