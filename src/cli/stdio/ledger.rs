//! What the client has asked and nobody has answered, and how it introduced itself: all that a new connection needs, so that the
//! client notices nothing of the old one's end. Every request leaves it once. Pure: randomness and time are arguments.

mod given_up;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use exai_actors::clock::Instant;
use exai_actors::error::{CallError, ErrorKind};

use self::given_up::{GivenUp, Name};
use super::message::{self, Id, Said, Told};

/// Requests without an answer, at most; the daemon takes as many on one connection.
const UNANSWERED_MAX: usize = 128;
/// Messages of the largest size that may be kept to be sent again.
const LARGEST_KEPT: usize = 4;
/// Connections on which one request may be sent: one that ends them all is not sent for ever.
const SENT_MAX: u32 = 8;
/// The id under which the handshake is repeated; no client has it.
const REPLAY_ID: &str = "\"exai-stdio/handshake\"";

/// What becomes of a line of the client's.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// It goes to the daemon.
    Send(String),
    /// The client gets this.
    Answer(String),
    /// Nothing, or not yet.
    Done,
}

/// The handshake of a legacy client, to be repeated on each new connection.
#[derive(Debug)]
struct Handshake {
    /// `initialize`, under an id of ours.
    hello: String,
    /// `notifications/initialized`, once the client said it.
    initialized: Option<String>,
}

/// A request without an answer.
#[derive(Debug)]
struct Open {
    id: Id,
    line: String,
    progress_token: Option<String>,
    is_call: bool,
    /// Where it has one of ours.
    name: Option<Name>,
    /// The cancel of a call that a connection before took, until the next one has both; the client gets no answer.
    cancel: Option<String>,
    /// What the client heard last of how far it is, and what a new connection's numbers are counted from: they must increase (MCP
    /// 2025-11-25, basic/utilities/progress).
    heard: f64,
    counted_from: f64,
    /// On how many connections it was sent.
    sent: u32,
}

/// The book of one client.
#[derive(Debug)]
pub(super) struct Ledger {
    open: VecDeque<Open>,
    handshake: Option<Handshake>,
    /// The `initialize` that has no answer yet: its id, and what is repeated once it is taken.
    greeting: Option<(Id, Handshake)>,
    /// What the daemon asked on this connection and the client has not answered.
    asked: VecDeque<Id>,
    given_up: GivenUp,
    message_bytes_max: usize,
}

impl Ledger {
    pub(super) fn new(message_bytes_max: usize) -> Self {
        Self {
            open: VecDeque::new(),
            handshake: None,
            greeting: None,
            asked: VecDeque::new(),
            given_up: GivenUp::default(),
            message_bytes_max,
        }
    }

    /// Whether the client waits for something.
    pub(super) fn is_empty(&self) -> bool {
        self.open.iter().all(|open| open.cancel.is_some())
    }

    /// The `initialize` to repeat before anything else, if the client was taken once.
    pub(super) fn hello(&self) -> Option<String> {
        self.handshake.as_ref().map(|handshake| handshake.hello.clone())
    }

    /// Decides about a line of the client's. A tool call without a name of its own gets `key`, under which it can be sent again, or the
    /// one of a call that was given up and asked the same. Where there is no connection, requests wait for [`Self::resend`], and nobody
    /// hears the rest.
    pub(super) fn hear(
        &mut self,
        line: String,
        key: impl FnOnce() -> String,
        connected: bool,
        now: Instant,
    ) -> Step {
        let send = |line| if connected { Step::Send(line) } else { Step::Done };
        match message::said(&line) {
            Said::Refused(answer) => Step::Answer(answer),
            // An answer to what an earlier connection asked would answer something else on this one.
            Said::Response(id) => match self.asked.iter().position(|asked| *asked == id) {
                Some(at) => {
                    self.asked.remove(at);
                    send(line)
                }
                None => Step::Done,
            },
            Said::Cancelled(id) => self.cancel(&id, line, connected),
            Said::Notification(method) => {
                let greeting = self.greeting.as_mut().map(|(_, handshake)| handshake);
                if let Some(handshake) = greeting.or(self.handshake.as_mut())
                    && method == "notifications/initialized"
                {
                    handshake.initialized = Some(line.clone());
                }
                send(line)
            }
            Said::Request { id, method, progress_token } => {
                let (is_call, is_hello) = (method == "tools/call", method == "initialize");
                let name = is_call.then(|| self.given_up.name(&line, key, now));
                let keyed = name.and_then(|name| Some((message::keyed(&line, &name.key)?, name)));
                let (line, name) = keyed.map_or((line, None), |(line, name)| (line, Some(name)));
                if let Err(answer) = self.has_room(&id, &line) {
                    return Step::Answer(answer);
                }
                name.iter().for_each(|name| self.given_up.forget(name));
                if is_hello {
                    let hello = message::under_id(&line, REPLAY_ID).unwrap_or_else(|| line.clone());
                    self.greeting = Some((id.clone(), Handshake { hello, initialized: None }));
                }
                let (heard, counted_from, sent) = (0.0, 0.0, u32::from(connected));
                self.open.push_back(Open {
                    id,
                    line: line.clone(),
                    progress_token,
                    is_call,
                    name,
                    cancel: None,
                    heard,
                    counted_from,
                    sent,
                });
                send(line)
            }
        }
    }

    /// Nothing more is said of the request, whoever answers. Where nobody hears the cancel, a call that the daemon may be at is kept,
    /// and cancelled under its name on the next connection.
    fn cancel(&mut self, id: &Id, cancel: String, connected: bool) -> Step {
        let running = |open: &Open| open.id == *id && open.cancel.is_none();
        let Some(at) = self.open.iter().position(running) else { return Step::Done };
        if connected {
            self.open.remove(at);
            return Step::Send(cancel);
        }
        match self.open.get_mut(at).filter(|open| open.is_call && open.sent > 0) {
            Some(call) => call.cancel = Some(cancel),
            None => drop(self.open.remove(at)),
        }
        Step::Done
    }

    fn has_room(&self, id: &Id, line: &str) -> Result<(), String> {
        if self.open.iter().any(|open| open.id == *id) {
            return Err(message::refusal(
                Some(id),
                message::INVALID_REQUEST,
                "a request with this id is running",
            ));
        }
        if line.len() > self.message_bytes_max {
            return Err(too_large(Some(id), self.message_bytes_max));
        }
        let kept = self.open.iter().map(|open| open.line.len()).sum::<usize>();
        if self.open.len() >= UNANSWERED_MAX || kept + line.len() > LARGEST_KEPT * self.message_bytes_max {
            let message = "Too many requests of this client are unanswered; wait for some of them.";
            return Err(message::failure(Some(id), &CallError::new(ErrorKind::OverCapacity, message)));
        }
        Ok(())
    }

    /// Decides about a line of the daemon's: what the client gets of it.
    pub(super) fn tell(&mut self, line: String) -> Option<String> {
        match message::told(&line) {
            Told::Other => Some(line),
            Told::Request(id) => {
                // The oldest that a client leaves unanswered gives way.
                if self.asked.len() >= UNANSWERED_MAX {
                    self.asked.pop_front();
                }
                self.asked.push_back(id);
                Some(line)
            }
            Told::Answer { id, is_result } => {
                let at = self.open.iter().position(|open| open.id == id && open.cancel.is_none())?;
                // The next daemon gets it.
                if message::says_draining(&line) {
                    return None;
                }
                self.open.remove(at);
                let greeted = self.greeting.take_if(|(hello, _)| *hello == id);
                if let Some((_, handshake)) = greeted.filter(|_| is_result) {
                    self.handshake = Some(handshake);
                }
                Some(line)
            }
            Told::Progress { token, number, place } => {
                let asked = |open: &&mut Open| open.progress_token.as_ref() == Some(&token);
                let open = self.open.iter_mut().find(asked)?;
                open.heard = open.counted_from + number;
                if open.counted_from == 0.0 {
                    return Some(line);
                }
                Some(format!("{}{}{}", &line[..place.start], open.heard, &line[place.end..]))
            }
        }
    }

    /// Everything to be sent on a new connection, behind the hello: the rest of the handshake, the calls that were cancelled meanwhile,
    /// and what is unanswered, in the order in which it was asked; and the answers of what ended too many.
    pub(super) fn resend(&mut self, now: Instant) -> (VecDeque<String>, Vec<String>) {
        self.asked.clear();
        let initialized = self.handshake.as_ref().and_then(|handshake| handshake.initialized.clone());
        let mut lines = VecDeque::from_iter(initialized);
        let (cancelled, open): (VecDeque<Open>, VecDeque<Open>) =
            self.open.drain(..).partition(|open| open.cancel.is_some());
        for call in cancelled {
            lines.push_back(call.line);
            lines.extend(call.cancel);
        }
        let (again, given_up): (VecDeque<Open>, VecDeque<Open>) =
            open.into_iter().partition(|open| open.sent < SENT_MAX);
        self.open = again;
        for open in &mut self.open {
            open.sent += 1;
            open.counted_from = open.heard;
            lines.push_back(open.line.clone());
            let greeting = self.greeting.as_ref().filter(|(id, _)| *id == open.id);
            lines.extend(greeting.and_then(|(_, handshake)| handshake.initialized.clone()));
        }
        let message =
            "The connection to EXAI ended each time that this request was sent; look at the daemon's log.";
        let failed = CallError::new(ErrorKind::Internal, message);
        (lines, self.give_up(given_up, &failed, now))
    }

    /// Gives everything up: the answers that the client gets.
    pub(super) fn fail(&mut self, why: &CallError, now: Instant) -> Vec<String> {
        self.greeting = None;
        let (cancelled, open): (VecDeque<Open>, VecDeque<Open>) =
            self.open.drain(..).partition(|open| open.cancel.is_some());
        self.open = cancelled;
        self.give_up(open, why, now)
    }

    /// What the daemon has taken may go on there, and is paid for: nothing cancels it, and who asks the same again gets it.
    fn give_up(&mut self, open: VecDeque<Open>, why: &CallError, now: Instant) -> Vec<String> {
        let failed = open.into_iter().map(|Open { id, name, sent, .. }| {
            if let Some(name) = name.filter(|_| sent > 0) {
                self.given_up.keep(name, now);
            }
            message::failure(Some(&id), why)
        });
        failed.collect()
    }
}

/// The refusal of a message that is too large.
pub(super) fn too_large(id: Option<&Id>, allowed: usize) -> String {
    let message = format!(
        "The message is larger than limits.message_bytes ({allowed} bytes); ask less, or raise it for the daemon and for this bridge."
    );
    message::failure(id, &CallError::new(ErrorKind::TooLarge, message))
}

/// Whether the daemon's line is the answer to the repeated handshake; and whether it was taken.
pub(super) fn is_replay(line: &str) -> Option<bool> {
    match message::told(line) {
        Told::Answer { id, is_result } if id == REPLAY_ID => Some(is_result),
        Told::Answer { .. } | Told::Progress { .. } | Told::Request(_) | Told::Other => None,
    }
}
