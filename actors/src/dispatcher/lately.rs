//! What operators see of calls: those that run and those that ended lately. Never what was asked or answered.

use std::cell::RefCell;
use std::collections::VecDeque;

use actix::{Context, Handler, Message, MessageResult};
use serde::Serialize;

use super::Dispatcher;
use super::consultation::Request;
use super::messages::Answer;
use crate::clock::{self, Moment, UtcMillis};
use crate::ids::{CallId, ModelId, Principal, ProviderName, SessionId, ToolName};

/// Ended calls that are remembered.
const ENDED_MAX: usize = 1024;
/// Running calls that are shown; the oldest of more.
const LIVE_MAX: usize = 512;

/// Asks which calls run and which ended after `since`.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Calls")]
pub struct GetCalls {
    /// The last ended call that is known already, by its place: [`Calls::ended_next`] of an earlier answer; 0 for all.
    pub since: u64,
}

/// Ends a call for all who follow it, whosever it is; false where no such call runs.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "bool")]
pub struct EndCall {
    /// Which call.
    pub call: CallId,
}

/// What runs and what ended.
#[derive(Debug, Clone, Default)]
pub struct Calls {
    /// Running calls, the oldest first.
    pub live: Vec<CallSeen>,
    /// Calls that ended, in the order of their ends.
    pub ended: Vec<CallSeen>,
    /// Where the next question begins.
    pub ended_next: u64,
}

/// A call as operators see it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CallSeen {
    /// Which.
    pub id: CallId,
    /// Whose.
    pub principal: Principal,
    /// Over which connection.
    pub session: SessionId,
    /// The tool.
    pub tool: ToolName,
    /// Who is asked, once that is decided.
    pub provider: Option<ProviderName>,
    /// The model, once it is decided.
    pub model: Option<ModelId>,
    /// What it is doing; `completed`, or the kind of its error, once it has ended.
    pub phase: &'static str,
    /// When it was asked (UTC, milliseconds).
    pub asked_at: UtcMillis,
    /// How long it took, in milliseconds, once it has ended.
    pub ms: Option<u64>,
    /// From sending it to the first token of the answer, in milliseconds, once it was answered.
    pub first_token_ms: Option<u64>,
    /// Tokens so far; of the answer, reasoning included, once it has ended.
    pub tokens: u64,
    /// US dollars, where known.
    pub cost_usd: Option<f64>,
    /// Whether it has ended.
    pub ended: bool,
}

/// The calls that ended lately.
#[derive(Debug, Default)]
pub(super) struct Ended {
    held: RefCell<(VecDeque<CallSeen>, u64)>,
}

impl Ended {
    pub(super) fn push(
        &self,
        request: &Request,
        asked_model: Option<(ProviderName, ModelId)>,
        answer: &Answer,
    ) {
        let at = Moment::read();
        let (provider, model) = asked_model.unzip();
        let took = u64::try_from((clock::now() - request.asked).as_millis()).ok();
        // An answered call tells what its receipt tells.
        let (phase, ms, tokens, cost_usd, first_token_ms) = match answer {
            Ok(finished) => {
                let receipt = &finished.receipt;
                let tokens = receipt.tokens.map_or(0, |tokens| u64::from(tokens.completion));
                let first = Some(receipt.first_token_ms);
                ("completed", Some(receipt.total_ms), tokens, receipt.cost_usd, first)
            }
            Err(error) => (error.kind.as_str(), took, 0, None, None),
        };
        let seen = CallSeen {
            id: request.call,
            principal: request.caller.principal.clone(),
            session: request.caller.session,
            tool: request.question.tool.clone(),
            provider,
            model,
            phase,
            asked_at: at.utc_of(request.asked),
            ms,
            first_token_ms,
            tokens,
            cost_usd,
            ended: true,
        };
        let (held, next) = &mut *self.held.borrow_mut();
        if held.len() >= ENDED_MAX {
            held.pop_front();
        }
        held.push_back(seen);
        *next += 1;
    }

    fn since(&self, since: u64) -> (Vec<CallSeen>, u64) {
        let (held, next) = &*self.held.borrow();
        let new = usize::try_from(next.saturating_sub(since)).unwrap_or(usize::MAX).min(held.len());
        (held.iter().skip(held.len() - new).cloned().collect(), *next)
    }
}

impl Handler<GetCalls> for Dispatcher {
    type Result = MessageResult<GetCalls>;

    fn handle(&mut self, asked: GetCalls, _: &mut Context<Self>) -> Self::Result {
        let at = Moment::read();
        let live = self.desk.roster.oldest(LIVE_MAX).into_iter().map(|live| {
            let progress = *live.progress.borrow();
            let (provider, model) = live.answering.model.borrow().clone().unzip();
            CallSeen {
                id: live.call,
                principal: live.principal.clone(),
                session: live.session,
                tool: live.tool.clone(),
                provider,
                model,
                phase: progress.phase.as_str(),
                asked_at: at.utc_of(progress.since),
                ms: None,
                first_token_ms: None,
                tokens: u64::from(progress.tokens),
                cost_usd: None,
                ended: false,
            }
        });
        let live = live.collect();
        let (ended, ended_next) = self.desk.ended.since(asked.since);
        MessageResult(Calls { live, ended, ended_next })
    }
}

impl Handler<EndCall> for Dispatcher {
    type Result = bool;

    fn handle(&mut self, end: EndCall, _: &mut Context<Self>) -> bool {
        let live = self.desk.roster.of_anyone(end.call);
        if let Some(live) = &live {
            live.cancel.cancel();
        }
        live.is_some()
    }
}
