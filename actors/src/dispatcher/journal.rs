//! What a consultation writes down: that it was accepted and sent, before either is so for anyone else, and how it ended, before
//! anyone hears of it.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::consultation::{Completed, Request};
use super::desk::Desk;
use super::entries::{cost_usd, ended, exchange, new_attempt, new_call, receipt};
use super::messages::{Answer, Finished};
use super::plan::{Plan, storage_unavailable};
use crate::clock;
use crate::error::{CallError, ErrorKind};
use crate::ids::CallId;
use crate::mail;
use crate::metrics::messages::UpstreamEnded;
use crate::models::{Model, Usage};
use crate::provider::messages::{FailureClass, UpstreamFailure};
use crate::storage::rows::{AttemptState, CallState, EndedAttempt, EndedCall, NewAttempt};
use crate::storage_writer::messages::{Record, Write, WriteError, Written};
use crate::storage_writer::write;

/// How long an answer that is paid for waits for a database that is away.
const ANSWER_WAITS: Duration = Duration::from_secs(60);
/// How long a failure waits for it: long enough for a writer that is being restarted.
const FAILURE_WAITS: Duration = Duration::from_secs(2);
/// How often the database is tried meanwhile.
const TRY_EVERY: Duration = Duration::from_millis(250);

/// The journal of one call; clones share what is known of it, so that it can be closed when its task has panicked.
#[derive(Clone)]
pub(super) struct Journal {
    desk: Rc<Desk>,
    call: CallId,
    steps: Rc<RefCell<Steps>>,
}

/// How far the call may be in the journal.
#[derive(Default)]
struct Steps {
    opened: bool,
    attempt: Option<NewAttempt>,
    ended_attempt: Option<EndedAttempt>,
}

impl Journal {
    pub(super) fn new(desk: Rc<Desk>, call: CallId) -> Self {
        Self { desk, call, steps: Rc::default() }
    }

    pub(super) fn desk(&self) -> &Desk {
        &self.desk
    }

    pub(super) fn call(&self) -> CallId {
        self.call
    }

    /// Writes the call, or the attempt of a call that had to wait, and waits until it is durable.
    pub(super) async fn open(
        &self,
        request: &Request,
        plan: &Plan,
        dispatched: bool,
    ) -> Result<Written, CallError> {
        let attempt = match dispatched {
            true => Some(new_attempt(self.call, plan, &self.desk.link(&plan.model.provider)?.host)),
            false => None,
        };
        let accepted_before = self.steps.borrow().opened;
        let record = match attempt.clone() {
            Some(attempt) if accepted_before => Record::AttemptOpened(attempt),
            attempt => Record::CallOpened(new_call(request, plan, &self.desk.setup.replica), attempt),
        };
        {
            // Noted before it is known: a call that is cancelled meanwhile must close what may have been opened.
            let mut steps = self.steps.borrow_mut();
            steps.opened = true;
            steps.attempt = attempt;
        }
        match write(&self.desk.setup.writer, record).await {
            Ok(written) => Ok(written),
            Err(error) => {
                self.steps.borrow_mut().attempt = None;
                if !accepted_before {
                    self.close_what_may_stand(&error);
                    self.forget();
                }
                Err(not_written(self.call, &error))
            }
        }
    }

    /// There is nothing of this call to be closed.
    pub(super) fn forget(&self) {
        *self.steps.borrow_mut() = Steps::default();
    }

    /// Notes how the attempt failed, and says it to the caller.
    pub(super) fn attempt_failed(&self, failure: &UpstreamFailure, model: &Model) -> CallError {
        let cancelled = failure.class == FailureClass::Cancelled;
        let state = if cancelled { AttemptState::Cancelled } else { AttemptState::Failed };
        let cost = cost_usd(model, failure.usage.as_ref());
        self.count_attempt(failure.class.as_str(), failure.usage, cost);
        let attempt = ended(self.call, state, failure.status, failure.usage, cost);
        self.steps.borrow_mut().ended_attempt = Some(attempt);
        failure.to_call_error(&model.provider, &model.id)
    }

    /// Makes the answer durable, then gives it.
    pub(super) async fn commit_answer(&self, request: &Request, completed: Completed) -> Answer {
        let usage = completed.completion.usage;
        let cost = cost_usd(&completed.plan.model, usage.as_ref());
        self.count_attempt("completed", usage, cost);
        let receipt = receipt(request, &completed, cost);
        let text: Arc<str> = completed.completion.text.as_str().into();
        let record = Record::CallEnded(Box::new(EndedCall {
            id: self.call,
            state: CallState::Completed,
            result: Some(Arc::clone(&text)),
            receipt: serde_json::to_string(&receipt).ok(),
            error: None,
            attempt: Some(ended(self.call, AttemptState::Completed, Some(200), usage, cost)),
            exchange: Some(exchange(request, &completed.plan, &text, usage)),
            frees_key: false,
            may_be_missing: false,
            ended_at: clock::utc_now(),
        }));
        match self.persist(record, ANSWER_WAITS).await {
            Ok(_) => Ok(Finished { text, receipt }),
            Err(error) => Err(not_written(self.call, &error).of_call(self.call)),
        }
    }

    /// Makes the failure durable, if anything of the call was; gives it back with the call's id.
    pub(super) async fn commit_failure(&self, error: CallError) -> CallError {
        if !self.steps.borrow().opened {
            return error;
        }
        let error = error.of_call(self.call);
        let record = self.failure(&error);
        if let Err(reason) = self.persist(record, FAILURE_WAITS).await {
            log::error!(call = self.call.to_string().as_str(); "the end of a call was not written: {reason}");
        }
        error
    }

    fn failure(&self, error: &CallError) -> Record {
        let sent = self.steps.borrow().attempt.is_some();
        let state = state_after(error.kind, sent);
        let known = self.steps.borrow_mut().ended_attempt.take();
        Record::CallEnded(Box::new(EndedCall {
            id: self.call,
            state,
            result: None,
            receipt: None,
            error: serde_json::to_string(error).ok(),
            attempt: known.or_else(|| self.stopped_attempt(state)),
            exchange: None,
            // Whoever was told to ask again may do so with the same key: nothing was sent under it.
            frees_key: !sent,
            may_be_missing: false,
            ended_at: clock::utc_now(),
        }))
    }

    /// Writes an outcome; a database that is away is waited for, at most `within`. Writing it twice is the same as once.
    async fn persist(&self, record: Record, within: Duration) -> Result<Written, WriteError> {
        let give_up_at = clock::now() + within;
        loop {
            match write(&self.desk.setup.writer, record.clone()).await {
                Err(WriteError::Unavailable | WriteError::Full) if clock::now() < give_up_at => {
                    tokio::time::sleep(TRY_EVERY).await;
                }
                outcome => return outcome,
            }
        }
    }

    /// A write whose outcome is unknown may stand; it is closed without making its caller wait for that.
    fn close_what_may_stand(&self, error: &WriteError) {
        if *error != WriteError::Unavailable {
            return;
        }
        let record = self.failure(&storage_unavailable());
        let unheard = Write { record, done: oneshot::channel().0 };
        if mail::tell(&self.desk.setup.writer, unheard).is_err() {
            log::warn!(call = self.call.to_string().as_str(); "a call that may have been opened was not closed");
        }
    }

    /// The end of an attempt that was under way when the call was stopped.
    fn stopped_attempt(&self, state: CallState) -> Option<EndedAttempt> {
        self.steps.borrow().attempt.as_ref()?;
        let stopped = matches!(state, CallState::Cancelled | CallState::Unknown);
        let state = if stopped { AttemptState::Cancelled } else { AttemptState::Failed };
        self.count_attempt(state.as_str(), None, None);
        Some(ended(self.call, state, None, None, None))
    }

    fn count_attempt(&self, outcome: &str, usage: Option<Usage>, cost_usd: Option<f64>) {
        let steps = self.steps.borrow();
        let Some(attempt) = &steps.attempt else { return };
        let provider = attempt.provider.clone();
        let model = attempt.model.clone();
        let fact = UpstreamEnded { provider, model, outcome: outcome.to_owned(), usage, cost_usd };
        if mail::tell(&self.desk.setup.metrics, fact).is_err() {
            log::warn!(call = self.call.to_string().as_str(); "an upstream request was not counted");
        }
    }
}

/// A shutdown leaves open whether a call that was sent has been answered, and billed.
fn state_after(kind: ErrorKind, sent: bool) -> CallState {
    if kind == ErrorKind::Cancelled {
        CallState::Cancelled
    } else if kind != ErrorKind::Draining {
        CallState::Failed
    } else if sent {
        CallState::Unknown
    } else {
        CallState::Interrupted
    }
}

fn not_written(call: CallId, error: &WriteError) -> CallError {
    log::error!(call = call.to_string().as_str(); "the journal could not be written: {error}");
    match error {
        WriteError::Unavailable | WriteError::Full => storage_unavailable(),
        WriteError::Refused => CallError::new(
            ErrorKind::Internal,
            "The journal refused this call, by a defect of the server. Report it with the call id.",
        ),
    }
}
