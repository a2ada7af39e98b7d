//! A breaker's whole story over real requests: it opens, refuses while nothing is sent, lets one through, and closes.

use std::time::Duration;

use exai_actors::clock::{self, Instant};
use exai_actors::error::{CallError, ErrorKind};
use exai_actors::ids::CallId;
use exai_actors::mail;
use exai_actors::metrics::messages::BreakerPosition;
use exai_actors::models::Role;
use exai_actors::provider::messages::{ChatMessage, Prompt, StartUpstreamCall};
use exai_actors::provider_supervisor::messages::{BreakerState, GetStanding, Settled, TakeTicket, Ticket};
use exai_actors::trail::Trail;
use exai_upstream::Script;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::{ASK_WITHIN, Measures, Step, in_ms};
use crate::wiring::scratch::Scratch;

/// Failures in a row that open it.
const FAILURES: usize = 5;
/// Answers that close it.
const ANSWERS: usize = 3;
/// How long beyond the time that it told it may stay shut.
const LATE_MAX: Duration = Duration::from_secs(5);
/// How often it is asked meanwhile.
const PAUSE: Duration = Duration::from_millis(50);
/// What the double fails with.
const FAILURE: &str = "refuse=500";

/// Goes through it.
pub(super) async fn of(scratch: &Scratch, measures: &mut Measures) -> Vec<Step> {
    let mut steps = Vec::new();
    let before = scratch.double.journal().len();
    for _ in 0..FAILURES {
        scratch.double.push_script(Script::of(FAILURE));
        if let Ok(ticket) = ticket(scratch).await {
            send(scratch, ticket).await;
        }
    }
    let (at, sent) = (position(scratch).await, scratch.double.journal().len() - before);
    let said = format!("{sent} requests failed, and it is {}", word(at));
    note(
        &mut steps,
        "five failures in a row open it",
        at == Some(BreakerPosition::Open) && sent == FAILURES,
        said,
    );

    let asked = clock::now();
    let refused = ticket(scratch).await.err();
    let took = in_ms(clock::now() - asked);
    measures.refusal_ms = Some(took);
    let is_open = refused.as_ref().is_some_and(|error| error.kind == ErrorKind::BreakerOpen);
    let more = scratch.double.journal().len() - before - sent;
    let how = refused.as_ref().map_or("let through", |error| error.kind.as_str());
    let said = format!("{how} in {took:.1} ms, {more} requests were sent");
    note(&mut steps, "while it is open calls are refused and nothing is sent", is_open && more == 0, said);

    let wait = refused.and_then(|error| error.retry_after_ms).map(Duration::from_millis).unwrap_or_default();
    let probe = first_probe(scratch, clock::now() + wait + LATE_MAX).await;
    let waited = clock::now() - asked;
    let alone = probe.is_some() && ticket(scratch).await.is_err();
    let said = format!("told to wait {} ms, let through after {:.0} ms", wait.as_millis(), in_ms(waited));
    note(
        &mut steps,
        "half-open it lets one call through, at the time that it told",
        alone && waited >= wait,
        said,
    );

    let mut probe = probe;
    let mut answers = 0;
    while answers < ANSWERS {
        let Some(held) = probe.take() else { break };
        if !send(scratch, held).await {
            break;
        }
        answers += 1;
        probe = if answers < ANSWERS { ticket(scratch).await.ok() } else { None };
    }
    let at = position(scratch).await;
    let said = format!("after {answers} answers it is {}", word(at));
    note(
        &mut steps,
        "three answers close it",
        answers == ANSWERS && at == Some(BreakerPosition::Closed),
        said,
    );
    steps
}

fn note(steps: &mut Vec<Step>, what: &'static str, ok: bool, said: String) {
    steps.push(Step { part: "breaker", what, ok, said });
}

fn word(at: Option<BreakerPosition>) -> &'static str {
    at.map_or("not known", BreakerPosition::as_str)
}

async fn ticket(scratch: &Scratch) -> Result<Ticket, CallError> {
    let ask = TakeTicket { model: scratch.model.id.clone(), attempt: 1, trail: Trail::default() };
    let lost = |error: mail::MailError| Err(CallError::new(ErrorKind::Internal, error.to_string()));
    mail::ask(&scratch.supervisor, ask, ASK_WITHIN).await.unwrap_or_else(lost)
}

/// The first call that is let through half-open, if one is by then.
async fn first_probe(scratch: &Scratch, by: Instant) -> Option<Ticket> {
    while clock::now() < by {
        match ticket(scratch).await {
            Ok(probe) if probe.breaker == BreakerState::HalfOpen => return Some(probe),
            Ok(_) => return None,
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
    None
}

/// Makes the call that the ticket is for; whether it was answered.
async fn send(scratch: &Scratch, ticket: Ticket) -> bool {
    let (done, outcome) = oneshot::channel();
    let message =
        ChatMessage { role: Role::User, content: "A synthetic question of the operator's test.".into() };
    let prompt = Prompt {
        model: scratch.model.clone(),
        messages: vec![message],
        temperature: None,
        thinking: None,
        output_tokens_max: 64,
    };
    let call = StartUpstreamCall {
        call: CallId::mint(),
        trail: Trail::default(),
        prompt,
        progress: watch::channel(Default::default()).0,
        cancel: CancellationToken::new(),
        done,
    };
    if mail::tell(&ticket.provider, call).is_err() {
        return false;
    }
    match tokio::time::timeout(ASK_WITHIN, outcome).await {
        Ok(Ok(Ok(_))) => {
            ticket.settle(Settled::Answered);
            true
        }
        Ok(Ok(Err(failure))) => {
            ticket.settle(Settled::Failed { class: failure.class, retry_after: failure.retry_after });
            false
        }
        Ok(Err(_)) | Err(_) => {
            ticket.settle(Settled::Lost);
            false
        }
    }
}

async fn position(scratch: &Scratch) -> Option<BreakerPosition> {
    let standing = mail::ask(&scratch.supervisor, GetStanding, ASK_WITHIN).await.ok()?;
    standing.models.get(&scratch.model.id).map(|one| one.state)
}
