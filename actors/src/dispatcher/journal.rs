//! What a consultation writes down: that it was accepted and sent, before either is so for anyone else, and how it ended, before
//! anyone hears of it.

use std::cell::{Ref, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::consultation::{Completed, Request};
use super::desk::Desk;
use super::ending::{count_attempt, tell_attempt_end};
use super::entries::{cost_usd, ended, exchange, new_attempt, new_call, receipt};
use super::late::persist;
use super::messages::{Answer, Finished};
use super::plan::{Plan, storage_unavailable};
use super::steps::{Sent, Steps, state_after};
use crate::clock;
use crate::error::{CallError, ErrorKind};
use crate::ids::CallId;
use crate::mail;
use crate::meter::{self, Distribution};
use crate::provider::messages::UpstreamFailure;
use crate::storage::rows::{AttemptState, CallState, EndedAttempt, EndedCall};
use crate::storage_writer::messages::{Absent, Record, Write, WriteError, Written};
use crate::storage_writer::write;

/// How long an answer that is paid for waits for a database that is away, where not even the spool takes it.
const ANSWER_WAITS: Duration = Duration::from_secs(600);
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

impl Journal {
    pub(super) fn new(desk: Rc<Desk>, call: CallId) -> Self {
        Self { desk, call, steps: Rc::default() }
    }

    /// What is known to be written.
    pub(super) fn steps(&self) -> Ref<'_, Steps> {
        self.steps.borrow()
    }

    pub(super) fn call(&self) -> CallId {
        self.call
    }

    /// Notes which model will answer.
    pub(super) fn planned(&self, plan: &Plan) {
        self.steps.borrow_mut().planned(&plan.model);
    }

    /// Writes down a call that has to wait, and waits until that is durable.
    pub(super) async fn accept(&self, request: &Request, plan: &Plan) -> Result<Written, CallError> {
        self.steps.borrow_mut().accepting();
        self.opened(Record::CallOpened(new_call(request, plan, &self.desk), None)).await
    }

    /// Writes down the next upstream request, with the call where that is not in the journal yet, and waits until that is durable.
    pub(super) async fn dispatch(&self, request: &Request, plan: &Plan) -> Result<Written, CallError> {
        let host = &self.desk.link(&plan.model.provider)?.host;
        let n = self.steps.borrow().next_attempt();
        let attempt = new_attempt(self.call, n, plan, host);
        // Noted before it is known: a call that is cancelled meanwhile must close what may have been opened.
        let stood = self.steps.borrow_mut().dispatching(attempt.clone(), plan);
        self.opened(if stood {
            Record::AttemptOpened(attempt)
        } else {
            Record::CallOpened(new_call(request, plan, &self.desk), Some(attempt))
        })
        .await
    }

    async fn opened(&self, record: Record) -> Result<Written, CallError> {
        let written = match write(&self.desk.setup.writer, record).await {
            Ok(written) => written,
            Err(error) => {
                if !self.steps.borrow().stands() {
                    self.close_what_may_stand(&error);
                    self.steps.borrow_mut().forget();
                }
                return Err(not_written(self.call, &error));
            }
        };
        if let Written::DuplicateKey | Written::Undelivered(_) = written {
            *self.steps.borrow_mut() = Steps::replayed();
        } else {
            self.steps.borrow_mut().certain();
        }
        Ok(written)
    }

    /// Notes, without anybody waiting for it, that the answer arrives.
    pub(super) fn streaming(&self) {
        self.tell(Record::CallStreaming { call: self.call, at: clock::utc_now() });
    }

    /// Notes how the last request failed, and says it to the caller.
    pub(super) fn attempt_failed(&self, failure: UpstreamFailure) -> CallError {
        let error = self.steps.borrow().to_call_error(&failure);
        self.tell_attempt(failure.class.as_str());
        self.steps.borrow_mut().failed(self.call, failure, AttemptState::Failed);
        error
    }

    /// Notes what the request had that was ended because its call had to, and adds what was spent to the call's end.
    pub(super) fn attempt_stopped(&self, had: UpstreamFailure, end: CallError) -> CallError {
        let state = match state_after(end.kind, Sent::Open) {
            CallState::Unknown => AttemptState::Unknown,
            CallState::Accepted
            | CallState::Dispatched
            | CallState::Completed
            | CallState::Failed
            | CallState::Cancelled
            | CallState::Interrupted => AttemptState::Cancelled,
        };
        self.tell_attempt(state.as_str());
        let mut steps = self.steps.borrow_mut();
        let spent = steps.spent(&had);
        steps.failed(self.call, had, state);
        end.with("spent", spent)
    }

    /// Makes the end of a failed request durable while its call goes on.
    pub(super) async fn close_attempt(&self) {
        let Some(ended) = self.steps.borrow().ended_attempt() else { return };
        match self.persist(Record::AttemptEnded(ended.clone()), FAILURE_WAITS).await {
            Ok(_) => {
                self.count_attempt(&ended, true);
                self.steps.borrow_mut().attempt_closed();
            }
            // The next request cannot be written down either, and the end of the call takes this one along.
            Err(error) => {
                log::error!(call = self.call.to_string().as_str(); "the end of an upstream request was not written: {error}");
            }
        }
    }

    /// Makes the answer durable, then gives it.
    pub(super) async fn commit_answer(&self, request: &Request, completed: Completed) -> Answer {
        let usage = completed.completion.usage;
        let cost = cost_usd(&completed.plan.model, usage.as_ref());
        self.tell_attempt("completed");
        let attempts = self.steps.borrow().made();
        let receipt = receipt(request, &completed, attempts, cost);
        let text: Arc<str> = completed.completion.text.as_str().into();
        let n = i32::try_from(attempts).unwrap_or(i32::MAX);
        let attempt = ended(self.call, n, AttemptState::Completed, Some(200), usage, cost);
        let record = Record::CallEnded(Box::new(EndedCall {
            id: self.call,
            state: CallState::Completed,
            result: Some(Arc::clone(&text)),
            receipt: serde_json::to_string(&receipt).ok(),
            error: None,
            attempt: Some(attempt.clone()),
            exchange: Some(exchange(request, &completed.plan, &text, usage)),
            frees_key: false,
            may_be_missing: false,
            ended_at: clock::utc_now(),
        }));
        if !completed.queued.is_zero() {
            meter::observe(Distribution::Queue, completed.queued);
        }
        meter::observe(Distribution::FirstToken, completed.completion.served.first_token);
        let written = self.persist(record, ANSWER_WAITS).await;
        self.count_attempt(&attempt, written.is_ok());
        match written {
            Ok(_) => Ok(Finished { text, receipt }),
            Err(error) => {
                self.steps.borrow_mut().unwritten();
                Err(not_written(self.call, &error).of_call(self.call))
            }
        }
    }

    /// Makes the failure durable, if anything of the call was; gives it back with the call's id.
    pub(super) async fn commit_failure(&self, error: CallError) -> CallError {
        if !self.steps.borrow().opened() {
            return error;
        }
        let error = error.of_call(self.call);
        let (record, attempt) = self.failure(&error);
        let written = self.persist(record.clone(), FAILURE_WAITS).await;
        let stands = !matches!(written, Ok(Written::Absent(_)));
        if let Some(attempt) = attempt.filter(|_| stands) {
            self.count_attempt(&attempt, written.is_ok());
        }
        match written {
            // Its opening was under way when it had to end, and came to nothing.
            Ok(Written::Absent(Absent::Call)) => self.steps.borrow_mut().forget(),
            Ok(_) => {}
            Err(reason) => {
                self.steps.borrow_mut().unwritten();
                log::error!(call = self.call.to_string().as_str(); "the end of a call was not written: {reason}");
                self.desk.late.write(&self.desk.setup.writer, record);
            }
        }
        error
    }

    fn failure(&self, error: &CallError) -> (Record, Option<EndedAttempt>) {
        let sent = self.steps.borrow().sent();
        let state = state_after(error.kind, sent);
        let stopped = match state {
            CallState::Cancelled => AttemptState::Cancelled,
            CallState::Unknown => AttemptState::Unknown,
            CallState::Accepted
            | CallState::Dispatched
            | CallState::Completed
            | CallState::Failed
            | CallState::Interrupted => AttemptState::Failed,
        };
        // A request whose end nobody noted, because its task or its provider died with it.
        if self.steps.borrow().ended_attempt().is_none() {
            self.tell_attempt(stopped.as_str());
        }
        let mut steps = self.steps.borrow_mut();
        let attempt = steps.end_attempt(self.call, stopped);
        let record = Record::CallEnded(Box::new(EndedCall {
            id: self.call,
            state,
            result: steps.take_partial(),
            receipt: None,
            error: serde_json::to_string(error).ok(),
            attempt: attempt.clone(),
            exchange: None,
            // Whoever was told to ask again may do so with the same key: nothing was sent under it.
            frees_key: sent == Sent::Never,
            may_be_missing: steps.is_uncertain(),
            ended_at: clock::utc_now(),
        }));
        (record, attempt)
    }

    async fn persist(&self, record: Record, within: Duration) -> Result<Written, WriteError> {
        persist(&self.desk.setup.writer, record, within, TRY_EVERY).await
    }

    /// A write whose outcome is unknown may stand; it is closed without making its caller wait for that.
    fn close_what_may_stand(&self, error: &WriteError) {
        if *error == WriteError::Uncertain {
            self.desk.late.write(&self.desk.setup.writer, self.failure(&storage_unavailable()).0);
        }
    }

    fn tell(&self, record: Record) {
        let kind = record.kind();
        let unheard = Write { record, done: oneshot::channel().0 };
        if mail::tell(&self.desk.setup.writer, unheard).is_err() {
            log::warn!(call = self.call.to_string().as_str(), record = kind; "a line of the journal was not written");
        }
    }

    fn tell_attempt(&self, outcome: &'static str) {
        if let Some(attempt) = self.steps.borrow().attempt() {
            tell_attempt_end(attempt, outcome);
        }
    }

    /// Counts an upstream request as its row says it ended.
    fn count_attempt(&self, ended: &EndedAttempt, written: bool) {
        if let Some(model) = self.steps.borrow().model() {
            count_attempt(model, ended, written);
        }
    }
}

fn not_written(call: CallId, error: &WriteError) -> CallError {
    log::error!(call = call.to_string().as_str(); "the journal could not be written: {error}");
    match error {
        WriteError::Unavailable | WriteError::Uncertain | WriteError::Full => storage_unavailable(),
        WriteError::Refused => CallError::new(
            ErrorKind::Internal,
            "The journal refused this call, by a defect of the server. Report it with the call id.",
        ),
    }
}
