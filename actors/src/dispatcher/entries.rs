//! The rows of a call's journal, made from what the call knows. Pure but for the time of day.

use std::sync::Arc;
use std::time::Duration;

use super::consultation::{Completed, Request};
use super::desk::Desk;
use super::plan::Plan;
use crate::clock::{self, UtcMillis};
use crate::ids::CallId;
use crate::models::tokens::estimate;
use crate::models::{Model, Usage, cost};
use crate::receipt::Receipt;
use crate::storage::rows::{AttemptState, EndedAttempt, NewAttempt, NewCall, NewExchange};
use crate::storage_writer::messages::LEASE_MS;

/// Characters of the first question that become a conversation's title.
const TITLE_CHARS: usize = 80;

pub(super) fn new_call(request: &Request, plan: &Plan, desk: &Desk) -> NewCall {
    let Request { call, caller, question, request_hash, .. } = request;
    let now = clock::utc_now();
    NewCall {
        id: *call,
        principal: caller.principal.clone(),
        session: caller.session,
        conversation: Some(plan.conversation),
        tool: question.tool.clone(),
        request_hash: request_hash.clone(),
        idempotency_key: caller.idempotency_key.clone(),
        replica: desk.setup.replica.clone(),
        lease_until: UtcMillis(now.0 + LEASE_MS),
        retry_unknown: caller.retry_unknown,
        on_its_way: desk.roster.on_their_way(&caller.principal, request_hash),
        accepted_at: now,
    }
}

pub(super) fn new_attempt(call: CallId, n: i32, plan: &Plan, host: &str) -> NewAttempt {
    NewAttempt {
        call,
        n,
        provider: plan.model.provider.clone(),
        model: plan.model.id.clone(),
        host: host.to_owned(),
        dispatched_at: clock::utc_now(),
    }
}

pub(super) fn ended(
    call: CallId,
    n: i32,
    state: AttemptState,
    status: Option<u16>,
    usage: Option<Usage>,
    cost_usd: Option<f64>,
) -> EndedAttempt {
    EndedAttempt { call, n, state, status, usage, cost_usd, ended_at: clock::utc_now() }
}

pub(super) fn receipt(
    request: &Request,
    completed: &Completed,
    attempts: u32,
    cost_usd: Option<f64>,
) -> Receipt {
    let Completed { plan, completion, breaker, queued, .. } = completed;
    Receipt {
        call_id: request.call,
        conversation_id: plan.conversation,
        tool: request.question.tool.clone(),
        model_asked: plan.model.id.clone(),
        model_served: completion.served.model.clone(),
        provider: plan.model.provider.clone(),
        host: completion.served.host.clone(),
        key_fingerprint: completion.served.key_fingerprint.clone(),
        attempts,
        breaker: *breaker,
        queue_ms: millis(*queued),
        first_token_ms: millis(completion.served.first_token),
        total_ms: millis(clock::now() - request.asked),
        tokens: completion.usage,
        turns: plan.turns,
        cost_usd,
        cached: false,
        truncated: !completion.finish.is_whole(),
        fallback: None,
    }
}

pub(super) fn exchange(
    request: &Request,
    plan: &Plan,
    answer: &Arc<str>,
    usage: Option<Usage>,
) -> NewExchange {
    let Request { call, caller, question, .. } = request;
    let counted = usage.map(|usage| usage.completion.saturating_sub(usage.reasoning));
    let answer_tokens = counted.filter(|tokens| *tokens > 0).unwrap_or_else(|| estimate(answer));
    NewExchange {
        conversation: plan.conversation,
        principal: caller.principal.clone(),
        title: question.prompt.chars().take(TITLE_CHARS).collect(),
        tool: question.tool.clone(),
        call: *call,
        question: Arc::clone(&question.prompt),
        question_tokens: i32::try_from(question.prompt_tokens).unwrap_or(i32::MAX),
        answer: Arc::clone(answer),
        answer_tokens: i32::try_from(answer_tokens).unwrap_or(i32::MAX),
        model: plan.model.id.clone(),
        provider: plan.model.provider.clone(),
        at: clock::utc_now(),
    }
}

pub(super) fn cost_usd(model: &Model, usage: Option<&Usage>) -> Option<f64> {
    model.price.as_ref().zip(usage).map(|(price, usage)| cost(price, usage))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
