//! What clients sent and got: their journal, in memory and, where somebody wants to read it afterwards, line by line in a file.

use std::cell::{Ref, RefCell};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::clock::{self, Instant};

/// What is asked: one question of the storm, told from all others by the first word of its prompt.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// The first word of the prompt, and the idempotency key where there is one.
    pub tag: String,
    /// Whether it is asked under an idempotency key.
    pub keyed: bool,
    /// The model that is asked.
    pub model: &'static str,
}

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `chat`.
    Chat,
    /// `chat`, with leave to send again what may have been sent before.
    RetryUnknown,
    /// `result`, by the id of a call.
    Result(String),
    /// Something that is answered behind everything else.
    Fence,
}

/// What must come of a request, where something must.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Any answer of the closed list.
    Any,
    /// A model's answer, at the latest after what the refusals say of asking again.
    Text,
    /// A refusal, as the outcome of an earlier request is unknown.
    Conflict,
}

/// What a client got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A model's answer.
    Text {
        /// The words.
        text: String,
        /// The call, by its receipt.
        call: Option<String>,
    },
    /// A failure.
    Failed {
        /// Its kind, of the closed list.
        kind: String,
        /// The call, once it had been accepted.
        call: Option<String>,
        /// When asking again makes sense.
        retry_after: Option<Duration>,
    },
    /// What is neither: the answer of a fence.
    Other,
}

/// One request, from its sending to its end. Times are counted from the start of the storm.
#[derive(Clone, Debug)]
pub struct Ask {
    /// What was asked.
    pub tag: String,
    /// Whether under a key.
    pub keyed: bool,
    /// The model that is asked.
    pub model: &'static str,
    /// How.
    pub kind: Kind,
    /// What must come of it.
    pub expect: Expect,
    /// Over which connection, counted from 1.
    pub connection: u64,
    /// When it was sent.
    pub sent: Duration,
    /// When it was cancelled.
    pub cancelled: Option<Duration>,
    /// Whether its connection went down, or was left, before an answer came.
    pub lost: bool,
    /// Every answer; one is right.
    pub answers: Vec<(Duration, Answer)>,
}

/// The journal of all clients.
#[derive(Clone)]
pub(crate) struct Book(Rc<RefCell<Pages>>);

struct Pages {
    started: Instant,
    asks: Vec<Ask>,
    /// Answers to nothing, and connections that ended as they must not.
    oddities: Vec<String>,
    /// How connections ended: code and how often.
    closes: BTreeMap<u16, usize>,
    connections: u64,
    file: Option<File>,
}

impl Book {
    pub(crate) fn new(file: Option<&Path>) -> io::Result<Self> {
        let file = file.map(|path| File::options().create(true).append(true).open(path)).transpose()?;
        let pages = Pages {
            started: clock::now(),
            asks: Vec::new(),
            oddities: Vec::new(),
            closes: BTreeMap::new(),
            connections: 0,
            file,
        };
        Ok(Self(Rc::new(RefCell::new(pages))))
    }

    /// Time since the start of the storm.
    pub(crate) fn now(&self) -> Duration {
        clock::now().duration_since(self.0.borrow().started)
    }

    /// The number of a new connection.
    pub(crate) fn connected(&self) -> u64 {
        let mut pages = self.0.borrow_mut();
        pages.connections += 1;
        pages.connections
    }

    /// Notes a request that is about to be sent; gives the number by which the rest of its story is told.
    pub(crate) fn sent(&self, question: &Question, kind: Kind, expect: Expect, connection: u64) -> usize {
        let sent = self.now();
        let mut pages = self.0.borrow_mut();
        let number = pages.asks.len();
        pages.write(
            json!({ "ask": number, "tag": question.tag, "kind": format!("{kind:?}"), "on": connection,
            "ms": sent.as_millis() as u64 }),
        );
        pages.asks.push(Ask {
            tag: question.tag.clone(),
            keyed: question.keyed,
            model: question.model,
            kind,
            expect,
            connection,
            sent,
            cancelled: None,
            lost: false,
            answers: Vec::new(),
        });
        number
    }

    /// Notes a cancel.
    pub(crate) fn cancelled(&self, ask: usize) {
        let at = self.now();
        let mut pages = self.0.borrow_mut();
        pages.write(json!({ "cancelled": ask, "ms": at.as_millis() as u64 }));
        pages.asks[ask].cancelled = Some(at);
    }

    /// Notes an answer.
    pub(crate) fn answered(&self, ask: usize, answer: Answer) {
        let at = self.now();
        let mut pages = self.0.borrow_mut();
        pages.write(json!({ "answered": ask, "ms": at.as_millis() as u64, "what": format!("{answer:?}") }));
        pages.asks[ask].answers.push((at, answer));
    }

    /// Notes that nothing more can be heard of a request.
    pub(crate) fn lost(&self, ask: usize) {
        let mut pages = self.0.borrow_mut();
        if pages.asks[ask].answers.is_empty() {
            pages.write(json!({ "lost": ask }));
            pages.asks[ask].lost = true;
        }
    }

    /// Notes what must never happen.
    pub(crate) fn odd(&self, what: String) {
        let mut pages = self.0.borrow_mut();
        pages.write(json!({ "odd": what }));
        pages.oddities.push(what);
    }

    /// Notes how the server closed a connection.
    pub(crate) fn closed(&self, code: u16) {
        *self.0.borrow_mut().closes.entry(code).or_default() += 1;
    }

    /// How connections were closed since this was last asked.
    pub(crate) fn take_closes(&self) -> BTreeMap<u16, usize> {
        std::mem::take(&mut self.0.borrow_mut().closes)
    }

    /// What must never happen, since this was last asked.
    pub(crate) fn take_oddities(&self) -> Vec<String> {
        std::mem::take(&mut self.0.borrow_mut().oddities)
    }

    /// The requests so far.
    pub(crate) fn asks(&self) -> Ref<'_, [Ask]> {
        Ref::map(self.0.borrow(), |pages| pages.asks.as_slice())
    }

    /// What came of a request last.
    pub(crate) fn answer_to(&self, ask: usize) -> Option<Answer> {
        self.0.borrow().asks[ask].answers.last().map(|(_, answer)| answer.clone())
    }

    /// Forgets what has been judged.
    pub(crate) fn turn_page(&self) -> Vec<Ask> {
        std::mem::take(&mut self.0.borrow_mut().asks)
    }
}

impl Pages {
    fn write(&mut self, line: Value) {
        let Some(file) = self.file.as_mut() else { return };
        // One write a line, so that a killed storm leaves whole ones. A full disk costs the file alone.
        if file.write_all(format!("{line}\n").as_bytes()).is_err() {
            self.file = None;
        }
    }
}
