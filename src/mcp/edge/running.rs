//! The requests of one connection that the engine holds. It knows each by a number of ours that never comes again: whatever a
//! client does with its ids, a late answer cannot be taken for another's. Pure.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use rmcp::model::{ProgressToken, RequestId};

use crate::mcp::delivery::{Answers, Outcome};

/// What a request carries through the engine; dropped when its handler has ended, cancelled or not.
#[derive(Debug, Clone, Default)]
pub(in crate::mcp) struct Hold {
    /// Where the handler notes which call its response answers.
    pub(in crate::mcp) answers: Answers,
    alive: Arc<()>,
}

/// Requests by the client's ids, and the ids of those that are to be answered by our numbers.
#[derive(Default)]
pub(super) struct Running {
    by_id: HashMap<RequestId, Request>,
    waiting: HashMap<i64, RequestId>,
    last: i64,
}

struct Request {
    number: i64,
    token: Option<ProgressToken>,
    answers: Answers,
    handler: Weak<()>,
}

/// A request that its response has ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// The client's id of it.
    pub(super) id: RequestId,
    /// The outcome of a call that the response is, if it is one.
    pub(super) outcome: Option<Outcome>,
}

impl Running {
    /// Requests that wait for their answers.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// These, and cancelled ones whose handlers have not ended.
    pub(super) fn all(&self) -> usize {
        self.by_id.len()
    }

    /// Forgets the cancelled requests whose handlers have ended.
    pub(super) fn sweep(&mut self) {
        if self.by_id.len() > self.waiting.len() {
            let waiting = &self.waiting;
            self.by_id.retain(|_, request| {
                waiting.contains_key(&request.number) || request.handler.strong_count() > 0
            });
        }
    }

    /// Whether there is none, not even a cancelled one. Then the memory of those that there were is given back.
    pub(super) fn is_quiet(&mut self) -> bool {
        self.sweep();
        let is_quiet = self.by_id.is_empty();
        if is_quiet {
            self.by_id.shrink_to_fit();
            self.waiting.shrink_to_fit();
        }
        is_quiet
    }

    /// Whether a request with this id waits or was cancelled and runs on.
    pub(super) fn has(&self, id: &RequestId) -> bool {
        self.by_id.contains_key(id)
    }

    /// Whether progress with this token is waited for.
    pub(super) fn has_token(&self, token: &ProgressToken) -> bool {
        let mut waiting = self.waiting.values().filter_map(|id| self.by_id.get(id));
        waiting.any(|request| request.token.as_ref() == Some(token))
    }

    /// Notes a request, and gives what it is to the engine.
    pub(super) fn begin(&mut self, id: RequestId, token: Option<ProgressToken>) -> (RequestId, Hold) {
        self.last += 1;
        let (number, hold) = (self.last, Hold::default());
        self.waiting.insert(number, id.clone());
        let (answers, handler) = (hold.answers.clone(), Arc::downgrade(&hold.alive));
        self.by_id.insert(id, Request { number, token, answers, handler });
        (RequestId::Number(number), hold)
    }

    /// Takes a request's answer away from it, and gives what it is to the engine; its id stays taken until its handler has ended.
    pub(super) fn cancel(&mut self, id: &RequestId) -> Option<RequestId> {
        let number = self.by_id.get(id)?.number;
        self.waiting.remove(&number).map(|_| RequestId::Number(number))
    }

    /// The client's id of a request that waits.
    pub(super) fn id(&self, engines: &RequestId) -> Option<&RequestId> {
        let RequestId::Number(number) = engines else { return None };
        self.waiting.get(number)
    }

    /// Ends a request with its answer; none for one that was cancelled.
    pub(super) fn end(&mut self, engines: &RequestId) -> Option<Ended> {
        let RequestId::Number(number) = engines else { return None };
        let id = self.waiting.remove(number)?;
        let outcome = self.by_id.remove(&id).and_then(|request| request.answers.outcome());
        Some(Ended { id, outcome })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancelled_id_is_taken_until_its_handler_ends_and_its_answer_is_nobodys() {
        let mut running = Running::default();
        let id = RequestId::String("id".into());
        let (old, hold) = running.begin(id.clone(), None);
        assert_eq!(running.cancel(&id), Some(old.clone()));
        assert_eq!(running.cancel(&id), None, "once is enough");
        running.sweep();
        assert!(running.has(&id) && running.waiting() == 0);
        drop(hold);
        running.sweep();
        assert!(!running.has(&id));
        let (new, _hold) = running.begin(id.clone(), None);
        assert!(running.end(&old).is_none(), "the old answer comes late");
        let ended = running.end(&new).unwrap();
        assert_eq!((ended.id, ended.outcome.map(|outcome| outcome.call)), (id, None));
        assert_eq!(running.all(), 0);
    }

    #[test]
    fn the_call_that_a_response_answers_outlives_its_handler() {
        let mut running = Running::default();
        let (id, call) = (RequestId::Number(7), exai_actors::ids::CallId::mint());
        let (number, hold) = running.begin(id.clone(), None);
        hold.answers.outcome_of(call, None);
        drop(hold);
        let ended = running.end(&number).unwrap();
        assert_eq!((ended.id, ended.outcome.map(|outcome| outcome.call)), (id, Some(call)));
    }
}
