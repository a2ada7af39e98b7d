//! What the client has asked and nobody has answered, and how it introduced itself: all that a new connection needs, so that the
//! client notices nothing of the old one's end. Every request leaves it once. Pure: randomness is an argument.

use std::collections::VecDeque;

use exai_actors::error::{CallError, ErrorKind};

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
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Handshake {
    /// `initialize`, under an id of ours.
    pub(super) hello: String,
    /// `notifications/initialized`, once the client said it.
    pub(super) initialized: Option<String>,
}

/// A request without an answer.
#[derive(Debug)]
struct Open {
    id: Id,
    line: String,
    progress_token: Option<String>,
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
    /// The `initialize` that has no answer yet: its id and itself.
    greeting: Option<(Id, String)>,
    message_bytes_max: usize,
}

impl Ledger {
    pub(super) fn new(message_bytes_max: usize) -> Self {
        Self { open: VecDeque::new(), handshake: None, greeting: None, message_bytes_max }
    }

    /// Whether the client waits for something.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// The handshake to repeat, if the client made one.
    pub(super) fn handshake(&self) -> Option<Handshake> {
        self.handshake.clone()
    }

    /// Decides about a line of the client's. A tool call without a name of its own gets `key`, under which it can be sent again. Where
    /// there is no connection, requests wait for [`Self::resend`], and nobody hears the rest.
    pub(super) fn hear(&mut self, line: String, key: impl FnOnce() -> String, connected: bool) -> Step {
        let send = |line| if connected { Step::Send(line) } else { Step::Done };
        match message::said(&line) {
            Said::Refused(answer) => Step::Answer(answer),
            Said::Response => send(line),
            Said::Cancelled(id) => {
                // Nothing more is said of it, whoever answers.
                let at = self.open.iter().position(|open| open.id == id);
                match at.and_then(|at| self.open.remove(at)) {
                    Some(_) => send(line),
                    None => Step::Done,
                }
            }
            Said::Notification(method) => {
                if let Some(handshake) = &mut self.handshake
                    && method == "notifications/initialized"
                {
                    handshake.initialized = Some(line.clone());
                }
                send(line)
            }
            Said::Request { id, method, progress_token } => {
                let (is_call, is_hello) = (method == "tools/call", method == "initialize");
                let keyed = is_call.then(|| message::keyed(&line, &key())).flatten();
                let line = keyed.unwrap_or(line);
                if let Err(answer) = self.has_room(&id, &line) {
                    return Step::Answer(answer);
                }
                if is_hello {
                    let hello = message::under_id(&line, REPLAY_ID).unwrap_or_else(|| line.clone());
                    self.greeting = Some((id.clone(), hello));
                }
                let (heard, counted_from, sent) = (0.0, 0.0, u32::from(connected));
                self.open.push_back(Open {
                    id,
                    line: line.clone(),
                    progress_token,
                    heard,
                    counted_from,
                    sent,
                });
                send(line)
            }
        }
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
            Told::Answer { id, is_result } => {
                let at = self.open.iter().position(|open| open.id == id)?;
                // The next daemon gets it.
                if message::says_draining(&line) {
                    return None;
                }
                self.open.remove(at);
                self.greeting.take_if(|(hello, _)| *hello == id).map(|(_, hello)| {
                    if is_result {
                        self.handshake = Some(Handshake { hello, initialized: None });
                    }
                });
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

    /// Everything to be sent on a new connection, in the order in which it was asked; and the answers of what ended too many.
    pub(super) fn resend(&mut self) -> (VecDeque<String>, Vec<String>) {
        let (again, given_up): (VecDeque<Open>, VecDeque<Open>) =
            self.open.drain(..).partition(|open| open.sent < SENT_MAX);
        self.open = again;
        for open in &mut self.open {
            open.sent += 1;
            open.counted_from = open.heard;
        }
        let message =
            "The connection to EXAI ended each time that this request was sent; look at the daemon's log.";
        let failed = CallError::new(ErrorKind::Internal, message);
        let answers = given_up.iter().map(|open| message::failure(Some(&open.id), &failed)).collect();
        (self.open.iter().map(|open| open.line.clone()).collect(), answers)
    }

    /// Gives everything up: the answers that the client gets.
    pub(super) fn fail(&mut self, why: &CallError) -> Vec<String> {
        self.greeting = None;
        self.open.drain(..).map(|open| message::failure(Some(&open.id), why)).collect()
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
        Told::Answer { .. } | Told::Progress { .. } | Told::Other => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = r#"{"id":1,"method":"tools/list"}"#;

    fn ledger() -> Ledger {
        Ledger::new(1000)
    }

    fn hear(ledger: &mut Ledger, line: &str, connected: bool) -> Step {
        ledger.hear(line.to_owned(), || "k".to_owned(), connected)
    }

    #[test]
    fn a_request_is_answered_once_whatever_comes() {
        let mut ledger = ledger();
        assert_eq!(hear(&mut ledger, LIST, true), Step::Send(LIST.to_owned()));
        let again = hear(&mut ledger, LIST, true);
        assert!(matches!(again, Step::Answer(text) if text.contains("a request with this id is running")));
        assert_eq!(ledger.resend().0, [LIST]);
        let answer = r#"{"id":1,"result":{}}"#;
        assert_eq!(ledger.tell(answer.to_owned()).as_deref(), Some(answer));
        assert_eq!((ledger.tell(answer.to_owned()), ledger.is_empty()), (None, true));
        assert!(ledger.resend().0.is_empty());
    }

    #[test]
    fn what_is_asked_without_a_connection_waits_and_a_cancel_ends_it() {
        let mut ledger = ledger();
        assert_eq!(hear(&mut ledger, LIST, false), Step::Done);
        let call = r#"{"id":2,"method":"tools/call","params":{}}"#;
        assert_eq!(hear(&mut ledger, call, false), Step::Done);
        let cancel = r#"{"method":"notifications/cancelled","params":{"requestId":1}}"#;
        assert_eq!(hear(&mut ledger, cancel, false), Step::Done);
        let keyed = r#"{"id":2,"method":"tools/call","params":{"_meta":{"exai/idempotencyKey":"k"}}}"#;
        assert_eq!(ledger.resend().0, [keyed]);
        let cancel = r#"{"method":"notifications/cancelled","params":{"requestId":2}}"#;
        assert_eq!(hear(&mut ledger, cancel, true), Step::Send(cancel.to_owned()));
        assert!(ledger.resend().0.is_empty());
    }

    #[test]
    fn a_handshake_is_kept_once_it_is_taken() {
        let mut ledger = ledger();
        hear(&mut ledger, r#"{"id":0,"method":"initialize"}"#, true);
        assert_eq!(ledger.handshake(), None);
        ledger.tell(r#"{"id":0,"result":{}}"#.to_owned());
        hear(&mut ledger, r#"{"method":"notifications/initialized"}"#, false);
        let Handshake { hello, initialized } = ledger.handshake().unwrap();
        assert_eq!(hello, format!(r#"{{"id":{REPLAY_ID},"method":"initialize"}}"#));
        assert!(initialized.is_some());
        let answer = |what: &str| is_replay(&format!(r#"{{"id":{REPLAY_ID},"{what}":{{}}}}"#));
        assert_eq!((answer("result"), answer("error"), is_replay(LIST)), (Some(true), Some(false), None));
    }

    #[test]
    fn progress_goes_on_where_it_was() {
        let mut ledger = ledger();
        hear(&mut ledger, r#"{"id":1,"method":"x","params":{"_meta":{"progressToken":"t"}}}"#, true);
        let told = |number: u32| {
            format!(
                r#"{{"method":"notifications/progress","params":{{"progress":{number},"progressToken":"t"}}}}"#
            )
        };
        assert_eq!(ledger.tell(told(5)), Some(told(5)));
        ledger.resend();
        assert_eq!(ledger.tell(told(1)), Some(told(6)));
        assert_eq!(ledger.tell(told(2)), Some(told(7)));
        ledger.tell(r#"{"id":1,"result":{}}"#.to_owned());
        assert_eq!(ledger.tell(told(3)), None);
    }

    #[test]
    fn a_server_that_leaves_keeps_the_call_and_one_that_never_takes_it_does_not() {
        let mut ledger = ledger();
        hear(&mut ledger, LIST, true);
        assert_eq!(ledger.tell(r#"{"id":1,"error":{"data":{"kind":"draining"}}}"#.to_owned()), None);
        for _ in 1..SENT_MAX {
            assert_eq!(ledger.resend(), (VecDeque::from([LIST.to_owned()]), vec![]));
        }
        let (again, answers) = ledger.resend();
        assert!(again.is_empty() && answers.len() == 1 && ledger.is_empty(), "{answers:?}");
    }

    #[test]
    fn there_is_an_end_to_what_is_kept() {
        let mut ledger = ledger();
        let line = |id: usize, bytes: usize| format!(r#"{{"id":{id},"method":"{}"}}"#, "x".repeat(bytes));
        assert!(is_refused(&hear(&mut ledger, &line(1, 1001), true)));
        let steps = (0..5).map(|id| hear(&mut ledger, &line(id, 900), true));
        assert_eq!(steps.filter(is_refused).count(), 1);
        let mut ledger = Ledger::new(1_000_000);
        let steps = (0..UNANSWERED_MAX + 3).map(|id| hear(&mut ledger, &line(id, 1), true));
        assert_eq!(steps.filter(is_refused).count(), 3);
        let why = CallError::new(ErrorKind::Internal, "gone");
        assert_eq!((ledger.fail(&why).len(), ledger.is_empty()), (UNANSWERED_MAX, true));
    }

    fn is_refused(step: &Step) -> bool {
        matches!(step, Step::Answer(_))
    }
}
