//! The live consultations. An entry stands in it exactly as long as its task runs, so a restarted dispatcher finds them all.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::messages::{Answer, Attached, Progress};
use crate::ids::{CallId, IdempotencyKey, Principal};

/// What others may know of a running consultation, and do to it.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) call: CallId,
    pub(super) principal: Principal,
    pub(super) key: Option<IdempotencyKey>,
    pub(super) request_hash: String,
    pub(super) prompt_bytes: usize,
    pub(super) cancel: CancellationToken,
    pub(super) progress: watch::Receiver<Progress>,
    pub(super) answer: watch::Receiver<Option<Arc<Answer>>>,
}

impl Live {
    pub(super) fn attached(&self) -> Attached {
        Attached {
            call: self.call,
            started: false,
            progress: self.progress.clone(),
            answer: self.answer.clone(),
        }
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
    prompt_bytes: usize,
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
        Entry { roster: self.clone(), live }
    }

    pub(super) fn of_key(&self, principal: &Principal, key: &IdempotencyKey) -> Option<Rc<Live>> {
        self.entries.borrow().keys.get(&(principal.clone(), key.clone())).cloned()
    }

    /// The call, if it is this principal's: another's looks like none.
    pub(super) fn of_call(&self, principal: &Principal, call: CallId) -> Option<Rc<Live>> {
        self.entries.borrow().calls.get(&call).filter(|live| live.principal == *principal).cloned()
    }

    /// What the prompts of all of them take together.
    pub(super) fn prompt_bytes(&self) -> usize {
        self.entries.borrow().prompt_bytes
    }

    pub(super) fn len(&self) -> usize {
        self.entries.borrow().calls.len()
    }
}

impl Entry {
    pub(super) fn attached(&self) -> Attached {
        Attached { started: true, ..self.live.attached() }
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
    }
}
