//! The live consultations. An entry stands in it exactly as long as its task runs, so a restarted dispatcher finds them all.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use actix::Addr;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::messages::{Answer, Attached, Follower, Progress};
use crate::ids::{CallId, IdempotencyKey, ModelId, Principal, ProviderName, SessionId, ToolName};
use crate::provider::Provider;

/// Ended calls that are kept before those are forgotten whose answers have arrived.
const ARRIVING_MIN: usize = 64;

/// What others may know of a running consultation, and do to it.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) call: CallId,
    pub(super) principal: Principal,
    pub(super) session: SessionId,
    pub(super) tool: ToolName,
    pub(super) key: Option<IdempotencyKey>,
    pub(super) request_hash: String,
    pub(super) prompt_bytes: usize,
    pub(super) cancel: CancellationToken,
    pub(super) progress: watch::Receiver<Progress>,
    pub(super) answer: watch::Receiver<Option<Arc<Answer>>>,
    pub(super) follower: Follower,
    pub(super) answering: Answering,
}

/// What is known of a call on its way: which model is asked, and who is answering just now.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) model: RefCell<Option<(ProviderName, ModelId)>>,
    pub(super) provider: RefCell<Option<Addr<Provider>>>,
}

/// Shared by a consultation and whoever asks about it.
pub(super) type Answering = Rc<Asked>;

impl Live {
    pub(super) fn attached(&self, started: bool) -> Attached {
        Attached {
            call: self.call,
            started,
            joined: true,
            progress: self.progress.clone(),
            answer: self.answer.clone(),
            follower: Arc::clone(&self.follower),
        }
    }

    /// Whether anybody waits for its answer.
    pub(super) fn is_followed(&self) -> bool {
        Arc::strong_count(&self.follower) > 1
    }
}

/// Shared by the dispatcher's lives and the tasks that they started.
#[derive(Debug, Clone, Default)]
pub(super) struct Roster {
    entries: Rc<RefCell<Entries>>,
}

#[derive(Debug, Default)]
struct Entries {
    calls: HashMap<CallId, Rc<Live>>,
    keys: HashMap<(Principal, IdempotencyKey), Rc<Live>>,
    requests: HashMap<(Principal, String), Vec<Rc<Live>>>,
    /// Calls that have ended and whose answers have not reached all of their followers, and some that have since.
    arriving: Vec<Arriving>,
    prompt_bytes: usize,
}

/// A call that has ended, without its answer: who waits for that has it.
#[derive(Debug)]
struct Arriving {
    call: CallId,
    principal: Principal,
    request_hash: String,
    follower: Follower,
}

impl Arriving {
    fn is_followed(&self) -> bool {
        Arc::strong_count(&self.follower) > 1
    }
}

/// Takes the consultation off the roster when its task ends, however it ends.
#[derive(Debug)]
pub(super) struct Entry {
    roster: Roster,
    live: Rc<Live>,
}

impl Roster {
    pub(super) fn enter(&self, live: Live) -> Entry {
        let live = Rc::new(live);
        let mut entries = self.entries.borrow_mut();
        entries.calls.insert(live.call, Rc::clone(&live));
        entries.prompt_bytes += live.prompt_bytes;
        if let Some(key) = &live.key {
            entries.keys.insert((live.principal.clone(), key.clone()), Rc::clone(&live));
        }
        let request = (live.principal.clone(), live.request_hash.clone());
        entries.requests.entry(request).or_default().push(Rc::clone(&live));
        Entry { roster: self.clone(), live }
    }

    pub(super) fn of_key(&self, principal: &Principal, key: &IdempotencyKey) -> Option<Rc<Live>> {
        self.entries.borrow().keys.get(&(principal.clone(), key.clone())).cloned()
    }

    /// A call of the very same request that nobody follows any more: its caller was lost, or was handed over. One that was
    /// cancelled has no answer to give.
    pub(super) fn unfollowed(&self, principal: &Principal, request_hash: &str) -> Option<Rc<Live>> {
        let entries = self.entries.borrow();
        let same = entries.requests.get(&(principal.clone(), request_hash.to_owned()))?;
        same.iter().find(|live| !live.is_followed() && !live.cancel.is_cancelled()).cloned()
    }

    /// The calls of the very same request whose answers others wait for: who asks the same beside them wants an answer of its own.
    pub(super) fn on_their_way(&self, principal: &Principal, request_hash: &str) -> Vec<CallId> {
        let entries = self.entries.borrow();
        let running =
            entries.requests.get(&(principal.clone(), request_hash.to_owned())).into_iter().flatten();
        let same = |ended: &&Arriving| ended.request_hash == request_hash && ended.principal == *principal;
        let arriving = entries.arriving.iter().filter(same).filter(|ended| ended.is_followed());
        running.map(|live| live.call).chain(arriving.map(|ended| ended.call)).collect()
    }

    /// The call, if it is this principal's: another's looks like none.
    pub(super) fn of_call(&self, principal: &Principal, call: CallId) -> Option<Rc<Live>> {
        self.entries.borrow().calls.get(&call).filter(|live| live.principal == *principal).cloned()
    }

    /// What the prompts of all of them take together.
    pub(super) fn prompt_bytes(&self) -> usize {
        self.entries.borrow().prompt_bytes
    }

    /// The oldest of them, at most so many.
    pub(super) fn oldest(&self, max: usize) -> Vec<Rc<Live>> {
        let mut all = self.entries.borrow().calls.values().cloned().collect::<Vec<_>>();
        all.sort_by_key(|live| live.call);
        all.truncate(max);
        all
    }

    /// The call, whosever it is.
    pub(super) fn of_anyone(&self, call: CallId) -> Option<Rc<Live>> {
        self.entries.borrow().calls.get(&call).cloned()
    }

    pub(super) fn calls(&self) -> Vec<CallId> {
        self.entries.borrow().calls.keys().copied().collect()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.borrow().calls.len()
    }
}

impl Entry {
    pub(super) fn attached(&self) -> Attached {
        Attached { joined: false, ..self.live.attached(true) }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut entries = self.roster.entries.borrow_mut();
        entries.calls.remove(&self.live.call);
        entries.prompt_bytes -= self.live.prompt_bytes;
        if let Some(key) = &self.live.key {
            entries.keys.remove(&(self.live.principal.clone(), key.clone()));
        }
        let request = (self.live.principal.clone(), self.live.request_hash.clone());
        if let Some(same) = entries.requests.get_mut(&request) {
            same.retain(|live| !Rc::ptr_eq(live, &self.live));
            if same.is_empty() {
                entries.requests.remove(&request);
            }
        }
        if entries.arriving.len() == entries.arriving.capacity() {
            entries.arriving.retain(Arriving::is_followed);
            let room = entries.arriving.len().max(ARRIVING_MIN);
            entries.arriving.reserve(room);
        }
        // Its own hold goes with the entry, right after this.
        if self.live.is_followed() {
            let Live { call, principal, request_hash, follower, .. } = &*self.live;
            entries.arriving.push(Arriving {
                call: *call,
                principal: principal.clone(),
                request_hash: request_hash.clone(),
                follower: Arc::clone(follower),
            });
        }
    }
}
