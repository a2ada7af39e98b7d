//! What a consultation writes down: that it was accepted and sent, before either is so for anyone else, and how it ended, before
//! anyone hears of it.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::consultation::Completed;
use super::desk::Desk;
use super::messages::{Answer, Caller, Finished, Question};
use super::plan::{Plan, storage_unavailable};
use crate::clock::{self, Instant};
use crate::error::{CallError, ErrorKind};
use crate::ids::CallId;
use crate::mail;
use crate::metrics::messages::UpstreamEnded;
use crate::models::Usage;
use crate::models::tokens::estimate;
use crate::models::{Model, cost};
use crate::provider::messages::{FailureClass, Finish, UpstreamFailure};
use crate::receipt::Receipt;
use crate::storage::rows::{
    AttemptState, CallState, EndedAttempt, EndedCall, NewAttempt, NewCall, NewExchange,
};
use crate::storage_writer::messages::{Record, WriteError, Written};
use crate::storage_writer::write;

/// The number of a call's first upstream request.
const FIRST_ATTEMPT: i32 = 1;
/// Characters of the first question that become a conversation's title.
const TITLE_CHARS: usize = 80;

/// The journal of one call.
pub(super) struct Journal {
    desk: Rc<Desk>,
    call: CallId,
    opened: bool,
    attempt: Option<NewAttempt>,
    ended_attempt: Option<EndedAttempt>,
}

impl Journal {
    pub(super) fn new(desk: Rc<Desk>, call: CallId) -> Self {
        Self { desk, call, opened: false, attempt: None, ended_attempt: None }
    }

    /// The journal of a call whose task is gone, and with it the knowledge of how far it was.
    pub(super) fn of_a_lost_call(desk: Rc<Desk>, call: CallId) -> Self {
        let ended_attempt = Some(ended(call, AttemptState::Failed, None, None, None));
        Self { desk, call, opened: true, attempt: None, ended_attempt }
    }

    /// Writes the call, or the attempt of a call that had to wait, and waits until it is durable.
    pub(super) async fn open(
        &mut self,
        caller: &Caller,
        question: &Question,
        request_hash: &str,
        plan: &Plan,
        dispatched: bool,
    ) -> Result<Written, CallError> {
        let attempt = match dispatched {
            true => Some(self.next_attempt(plan)?),
            false => None,
        };
        let record = match (self.opened, attempt.clone()) {
            (true, Some(attempt)) => Record::AttemptOpened(attempt),
            (_, attempt) => Record::CallOpened(self.new_call(caller, question, request_hash, plan), attempt),
        };
        // Noted before it is known: a call that is cancelled meanwhile must close what may have been opened.
        self.opened = true;
        self.attempt = attempt;
        write(&self.desk.setup.writer, record).await.map_err(|error| not_written(self.call, &error))
    }

    /// There is nothing of this call to be closed.
    pub(super) fn forget(&mut self) {
        self.opened = false;
        self.attempt = None;
    }

    /// Notes how the attempt failed, and says it to the caller.
    pub(super) fn attempt_failed(&mut self, failure: &UpstreamFailure, model: &Model) -> CallError {
        let cancelled = failure.class == FailureClass::Cancelled;
        let state = if cancelled { AttemptState::Cancelled } else { AttemptState::Failed };
        let cost = cost_usd(model, failure.usage.as_ref());
        self.ended_attempt = Some(ended(self.call, state, failure.status, failure.usage, cost));
        self.count_attempt(failure.class.as_str(), failure.usage, cost);
        failure.to_call_error(&model.provider, &model.id)
    }

    /// Makes the answer durable, then gives it.
    pub(super) async fn commit_answer(
        &self,
        caller: &Caller,
        question: &Question,
        asked: Instant,
        completed: Completed,
    ) -> Answer {
        let model = &completed.plan.model;
        let usage = completed.completion.usage;
        let cost = cost_usd(model, usage.as_ref());
        self.count_attempt("completed", usage, cost);
        let receipt = receipt(self.call, question, asked, &completed, cost);
        let text: Arc<str> = completed.completion.text.into();
        let record = Record::CallEnded(Box::new(EndedCall {
            id: self.call,
            state: CallState::Completed,
            result: Some(Arc::clone(&text)),
            receipt: serde_json::to_string(&receipt).ok(),
            error: None,
            attempt: Some(ended(self.call, AttemptState::Completed, Some(200), usage, cost)),
            exchange: Some(exchange(self.call, caller, question, &completed.plan, &text, usage)),
            ended_at: clock::utc_now(),
        }));
        match write(&self.desk.setup.writer, record).await {
            Ok(_) => Ok(Finished { text, receipt }),
            Err(error) => Err(not_written(self.call, &error).of_call(self.call)),
        }
    }

    /// Makes the failure durable, if anything of the call was; gives it back with the call's id.
    pub(super) async fn commit_failure(&mut self, error: CallError) -> CallError {
        if !self.opened {
            return error;
        }
        let error = error.of_call(self.call);
        let state = self.state_after(&error);
        let attempt = self.ended_attempt.take().or_else(|| self.stopped_attempt(state));
        let record = Record::CallEnded(Box::new(EndedCall {
            id: self.call,
            state,
            result: None,
            receipt: None,
            error: serde_json::to_string(&error).ok(),
            attempt,
            exchange: None,
            ended_at: clock::utc_now(),
        }));
        if let Err(reason) = write(&self.desk.setup.writer, record).await {
            log::error!(call = self.call.to_string().as_str(); "the end of a call was not written: {reason}");
        }
        error
    }

    /// The end of an attempt that was under way when the call was stopped.
    fn stopped_attempt(&self, state: CallState) -> Option<EndedAttempt> {
        self.attempt.as_ref()?;
        let stopped = matches!(state, CallState::Cancelled | CallState::Unknown);
        let state = if stopped { AttemptState::Cancelled } else { AttemptState::Failed };
        self.count_attempt(state.as_str(), None, None);
        Some(ended(self.call, state, None, None, None))
    }

    /// A shutdown leaves open whether a call that was sent has been answered, and billed.
    fn state_after(&self, error: &CallError) -> CallState {
        let sent = self.attempt.is_some();
        if error.kind == ErrorKind::Cancelled {
            CallState::Cancelled
        } else if error.kind != ErrorKind::Draining {
            CallState::Failed
        } else if sent {
            CallState::Unknown
        } else {
            CallState::Interrupted
        }
    }

    fn next_attempt(&self, plan: &Plan) -> Result<NewAttempt, CallError> {
        let link = self.desk.link(&plan.model.provider)?;
        Ok(NewAttempt {
            call: self.call,
            n: FIRST_ATTEMPT,
            provider: plan.model.provider.clone(),
            model: plan.model.id.clone(),
            host: link.host.clone(),
            dispatched_at: clock::utc_now(),
        })
    }

    fn new_call(&self, caller: &Caller, question: &Question, request_hash: &str, plan: &Plan) -> NewCall {
        NewCall {
            id: self.call,
            principal: caller.principal.clone(),
            session: caller.session,
            conversation: Some(plan.conversation),
            tool: question.tool.clone(),
            request_hash: request_hash.to_owned(),
            idempotency_key: caller.idempotency_key.clone(),
            replica: self.desk.setup.replica.clone(),
            accepted_at: clock::utc_now(),
        }
    }

    fn count_attempt(&self, outcome: &str, usage: Option<Usage>, cost_usd: Option<f64>) {
        let Some(attempt) = &self.attempt else { return };
        let provider = attempt.provider.clone();
        let model = attempt.model.clone();
        let fact = UpstreamEnded { provider, model, outcome: outcome.to_owned(), usage, cost_usd };
        if mail::tell(&self.desk.setup.metrics, fact).is_err() {
            log::warn!(call = self.call.to_string().as_str(); "an upstream request was not counted");
        }
    }
}

fn ended(
    call: CallId,
    state: AttemptState,
    status: Option<u16>,
    usage: Option<Usage>,
    cost_usd: Option<f64>,
) -> EndedAttempt {
    EndedAttempt { call, n: FIRST_ATTEMPT, state, status, usage, cost_usd, ended_at: clock::utc_now() }
}

fn receipt(
    call: CallId,
    question: &Question,
    asked: Instant,
    completed: &Completed,
    cost_usd: Option<f64>,
) -> Receipt {
    let Completed { plan, completion, breaker, queued, .. } = completed;
    Receipt {
        call_id: call,
        conversation_id: plan.conversation,
        tool: question.tool.clone(),
        model_asked: plan.model.id.clone(),
        model_served: completion.served.model.clone(),
        provider: plan.model.provider.clone(),
        host: completion.served.host.clone(),
        key_fingerprint: completion.served.key_fingerprint.clone(),
        attempts: 1,
        breaker: *breaker,
        queue_ms: millis(*queued),
        first_token_ms: millis(completion.served.first_token),
        total_ms: millis(asked.elapsed()),
        tokens: completion.usage,
        turns: plan.turns,
        cost_usd,
        cached: false,
        truncated: completion.finish == Finish::Length,
        fallback: None,
    }
}

fn exchange(
    call: CallId,
    caller: &Caller,
    question: &Question,
    plan: &Plan,
    answer: &Arc<str>,
    usage: Option<Usage>,
) -> NewExchange {
    let counted =
        usage.map(|usage| usage.completion.saturating_sub(usage.reasoning)).filter(|tokens| *tokens > 0);
    let answer_tokens = counted.unwrap_or_else(|| estimate(answer));
    NewExchange {
        conversation: plan.conversation,
        principal: caller.principal.clone(),
        title: question.prompt.chars().take(TITLE_CHARS).collect(),
        tool: question.tool.clone(),
        call,
        question: Arc::clone(&question.prompt),
        question_tokens: i32::try_from(plan.question_tokens).unwrap_or(i32::MAX),
        answer: Arc::clone(answer),
        answer_tokens: i32::try_from(answer_tokens).unwrap_or(i32::MAX),
        model: plan.model.id.clone(),
        provider: plan.model.provider.clone(),
        at: clock::utc_now(),
    }
}

fn cost_usd(model: &Model, usage: Option<&Usage>) -> Option<f64> {
    model.price.as_ref().zip(usage).map(|(price, usage)| cost(price, usage))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
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
