//! Records as the dispatcher would make them.

use std::sync::Arc;

use exai_actors::clock::UtcMillis;
use exai_actors::ids::{CallId, ConversationId, Principal, SessionId};
use exai_actors::models::Usage;
use exai_actors::storage::rows::*;

pub(crate) fn principal(name: &str) -> Principal {
    Principal::from(name)
}

pub(crate) fn call(id: CallId, owner: &str, key: Option<&str>) -> NewCall {
    NewCall {
        id,
        principal: principal(owner),
        session: SessionId::mint(),
        conversation: None,
        tool: "chat".into(),
        // Every call asks something else, unless a test says otherwise.
        request_hash: format!("{:0>64}", id.to_string().replace('-', "")),
        idempotency_key: key.map(Into::into),
        replica: "r1".into(),
        lease_until: UtcMillis(0),
        retry_unknown: false,
        on_its_way: Vec::new(),
        accepted_at: UtcMillis(1_000),
    }
}

pub(crate) fn attempt(call: CallId, n: i32) -> NewAttempt {
    NewAttempt {
        call,
        n,
        provider: "kimi".into(),
        model: "kimi-k2.6".into(),
        host: "api.example".into(),
        dispatched_at: UtcMillis(2_000),
    }
}

pub(crate) fn attempt_end(call: CallId, n: i32, state: AttemptState) -> EndedAttempt {
    EndedAttempt {
        call,
        n,
        state,
        status: Some(200),
        usage: Some(Usage { prompt: 10, cached: 2, completion: 5, reasoning: 3 }),
        cost_usd: Some(0.25),
        ended_at: UtcMillis(3_000),
    }
}

pub(crate) fn exchange(conversation: ConversationId, owner: &str, call: CallId, text: &str) -> NewExchange {
    NewExchange {
        conversation,
        principal: principal(owner),
        title: format!("about {text}"),
        tool: "chat".into(),
        call,
        question: Arc::from(format!("{text}?")),
        question_tokens: 3,
        answer: Arc::from(format!("{text}!")),
        answer_tokens: 4,
        model: "kimi-k2.6".into(),
        provider: "kimi".into(),
        at: UtcMillis(3_000),
    }
}

pub(crate) fn end(call: CallId, exchange: Option<NewExchange>) -> EndedCall {
    EndedCall {
        id: call,
        state: CallState::Completed,
        result: exchange.as_ref().map(|exchange| Arc::clone(&exchange.answer)),
        frees_key: false,
        may_be_missing: false,
        receipt: Some("{}".into()),
        error: None,
        attempt: Some(attempt_end(call, 1, AttemptState::Completed)),
        exchange,
        ended_at: UtcMillis(3_000),
    }
}
