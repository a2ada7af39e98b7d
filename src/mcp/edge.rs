//! What stands between one connection's messages and the engine: who may go in, what may come out, and when the connection has
//! said who it is. Closes the engine's gaps (no limits, doubled ids, a service that ends over an early notification). Pure.

mod asked;
mod handshake;
mod running;

use std::time::Duration;

use exai_actors::clock::Instant;
use exai_actors::error::{CallError, ErrorKind};
use rmcp::model::{
    ClientJsonRpcMessage, ClientNotification, ClientRequest, ErrorCode, ErrorData, GetExtensions, GetMeta,
    JsonRpcMessage, ProtocolVersion, RequestId, ServerJsonRpcMessage, ServerNotification, ServerRequest,
    ServerResult,
};
use rmcp::service::OriginatingRequestId;

use self::asked::Asked;
use self::handshake::Handshake;
pub(super) use self::handshake::{Facts, Greeting};
pub(super) use self::running::Hold;
use self::running::{Ended, Running};
use super::delivery::Outcome;
use super::envelope::{Fault, Reading};
use super::rate::Bucket;

/// The protocol versions that are served, on every transport.
pub(super) const VERSIONS: [ProtocolVersion; 3] =
    [ProtocolVersion::V_2025_06_18, ProtocolVersion::V_2025_11_25, ProtocolVersion::V_2026_07_28];
/// When a client with too many open requests may come back.
const OVER_CAPACITY_RETRY: Duration = Duration::from_secs(1);
/// What one connection may do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// `tools/call` requests at once; as many others beside them.
    pub requests_burst: u32,
    /// `tools/call` requests a second in the long run; as many others beside them.
    pub requests_per_second: f64,
    /// Requests that wait for their answers.
    pub requests_in_flight_max: usize,
    /// How long a connection may say nothing after it opened.
    pub hello_within: Duration,
    /// How long an engine has nothing to do before it sleeps, at least; at most twice that.
    pub sleep_after: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests_burst: 50,
            requests_per_second: 20.0,
            requests_in_flight_max: 128,
            hello_within: Duration::from_secs(10),
            sleep_after: Duration::from_millis(250),
        }
    }
}

/// What becomes of a message from the client.
#[derive(Debug)]
pub(super) enum Verdict {
    /// The engine gets it.
    Forward(Box<ClientJsonRpcMessage>),
    /// The client gets this, the engine nothing.
    Answer(String),
    /// Nobody hears of it.
    Drop,
}

/// What becomes of a message from the engine.
#[derive(Debug, Clone)]
pub(super) enum Passage {
    /// The client gets it; with the outcome of a call that it is, if it is one.
    Out(Option<Outcome>),
    /// Nobody waits for it.
    Dropped,
}

/// One connection.
pub(super) struct Edge {
    limits: Limits,
    calls: Bucket,
    /// Every other request: a handshake, lists and pings must not cost a client its calls. What asks for nothing is never refused,
    /// because nothing could tell its sender; it is read as fast as it is handled.
    others: Bucket,
    running: Running,
    asked: Asked,
    handshake: Handshake,
    greeted: bool,
}

impl Edge {
    pub(super) fn new(limits: Limits, now: Instant) -> Self {
        let bucket = || Bucket::new(limits.requests_burst, limits.requests_per_second, now);
        Self {
            limits,
            calls: bucket(),
            others: bucket(),
            running: Running::default(),
            asked: Asked::default(),
            handshake: Handshake::default(),
            greeted: false,
        }
    }

    /// Whether any request came yet.
    pub(super) fn is_greeted(&self) -> bool {
        self.greeted
    }

    /// Requests that wait for their answers.
    pub(super) fn in_flight(&self) -> usize {
        self.running.waiting()
    }

    /// Whether no request runs, not even a cancelled one.
    pub(super) fn is_quiet(&mut self) -> bool {
        let is_quiet = self.running.is_quiet();
        if is_quiet {
            self.asked.clear();
        }
        is_quiet
    }

    /// How the connection left the handshake, once it has.
    pub(super) fn greeting(&self) -> Option<&Greeting> {
        self.handshake.greeting()
    }

    /// Who is on the other side; once, when it is known.
    pub(super) fn take_facts(&mut self) -> Option<Facts> {
        self.handshake.take_facts()
    }

    /// Decides about a message from the client.
    pub(super) fn admit(&mut self, reading: Reading, now: Instant) -> Verdict {
        match reading {
            Reading::Nothing => Verdict::Drop,
            Reading::Refused(fault) => match self.others.take(now) {
                Ok(()) => Verdict::Answer(fault.to_text()),
                Err(wait) => Verdict::Answer(too_fast(fault.id, wait)),
            },
            Reading::Message(mut message) => match &mut *message {
                JsonRpcMessage::Request(request) => {
                    match (self.may_start(&request.id), self.rate(&request.request, now)) {
                        (Err(refusal), _) => Verdict::Answer(refusal.to_text()),
                        (Ok(()), Err(wait)) => Verdict::Answer(too_fast(Some(request.id.clone()), wait)),
                        (Ok(()), Ok(())) => {
                            self.greeted = true;
                            self.handshake.asked(&request.request);
                            let token = request.request.get_meta().get_progress_token();
                            let (number, hold) = self.running.begin(request.id.clone(), token);
                            request.id = number;
                            request.request.extensions_mut().insert(hold);
                            Verdict::Forward(message)
                        }
                    }
                }
                JsonRpcMessage::Notification(notification) => {
                    if self.wants(&mut notification.notification) {
                        Verdict::Forward(message)
                    } else {
                        Verdict::Drop
                    }
                }
                JsonRpcMessage::Response(response) => match self.asked.end(&response.id) {
                    Some(id) => {
                        response.id = id;
                        Verdict::Forward(message)
                    }
                    None => Verdict::Drop,
                },
                JsonRpcMessage::Error(error) => match error.id.as_ref().and_then(|id| self.asked.end(id)) {
                    Some(id) => {
                        error.id = Some(id);
                        Verdict::Forward(message)
                    }
                    None => Verdict::Drop,
                },
            },
        }
    }

    /// Decides about a message from the engine, and gives it the client's id: nothing is sent for a request that was cancelled or
    /// answered.
    pub(super) fn let_out(&mut self, message: &mut ServerJsonRpcMessage) -> Passage {
        match message {
            JsonRpcMessage::Response(response) => {
                if let ServerResult::InitializeResult(result) = &response.result {
                    self.handshake.initialized(result);
                }
                let Some(Ended { id, outcome }) = self.running.end(&response.id) else {
                    return Passage::Dropped;
                };
                if let ServerResult::SubscriptionsListenResult(result) = &mut response.result {
                    result.meta.set_subscription_id(id.clone());
                }
                response.id = id;
                Passage::Out(outcome)
            }
            JsonRpcMessage::Error(error) => {
                let Some(number) = &error.id else { return Passage::Out(None) };
                let Some(Ended { id, outcome }) = self.running.end(number) else { return Passage::Dropped };
                error.id = Some(id);
                Passage::Out(outcome)
            }
            JsonRpcMessage::Notification(notification) => {
                let wanted = self.tells(&mut notification.notification);
                if wanted { Passage::Out(None) } else { Passage::Dropped }
            }
            JsonRpcMessage::Request(request) => {
                if !self.asks(&mut request.request) {
                    return Passage::Dropped;
                }
                request.id = self.asked.begin(request.id.clone());
                Passage::Out(None)
            }
        }
    }

    fn rate(&mut self, request: &ClientRequest, now: Instant) -> Result<(), Duration> {
        let is_call = matches!(request, ClientRequest::CallToolRequest(_));
        if is_call { self.calls.take(now) } else { self.others.take(now) }
    }

    fn may_start(&mut self, id: &RequestId) -> Result<(), Fault> {
        self.running.sweep();
        if self.running.has(id) {
            let error = ErrorData::new(ErrorCode::INVALID_REQUEST, "a request with this id is running", None);
            return Err(Fault { id: Some(id.clone()), error });
        }
        let requests_max = self.limits.requests_in_flight_max;
        // Cancelled ones end soon, and a client that cancels must not wait for that; but they are not without end either.
        if self.running.waiting() >= requests_max || self.running.all() >= 2 * requests_max {
            return Err(over_capacity(Some(id.clone())));
        }
        Ok(())
    }

    /// Whether a question is for a request that still waits; notes the client's id of that, for transports with a stream for each.
    fn asks(&self, question: &mut ServerRequest) -> bool {
        let extensions = question.extensions_mut();
        let Some(OriginatingRequestId(number)) = extensions.get().cloned() else { return true };
        let id = self.running.id(&number).cloned();
        id.is_some_and(|id| extensions.insert(OriginatingRequestId(id)).is_some())
    }

    fn tells(&mut self, notification: &mut ServerNotification) -> bool {
        if let ServerNotification::ProgressNotification(progress) = notification {
            return self.running.has_token(&progress.params.progress_token);
        }
        if let ServerNotification::CancelledNotification(cancelled) = notification
            && let Some(id) = &cancelled.params.request_id
            && let Some(asked) = self.asked.withdraw(id)
        {
            cancelled.params.request_id = Some(asked);
            return true;
        }
        let Some(number) = notification.get_meta().subscription_id() else { return true };
        let Some(id) = self.running.id(&number) else { return false };
        notification.get_meta_mut().set_subscription_id(id.clone());
        true
    }

    fn wants(&mut self, notification: &mut ClientNotification) -> bool {
        // Before it has left its handshake, a notification would end the engine without a word.
        if self.handshake.greeting().is_none() {
            return false;
        }
        if let ClientNotification::CancelledNotification(cancelled) = notification {
            let number = cancelled.params.request_id.as_ref().and_then(|id| self.running.cancel(id));
            cancelled.params.request_id = number;
            return cancelled.params.request_id.is_some();
        }
        true
    }
}

/// The refusal of a request that finds too many before it.
fn over_capacity(id: Option<RequestId>) -> Fault {
    let message = "Too many requests of this connection are unanswered; wait for some of them.";
    let error = CallError::new(ErrorKind::OverCapacity, message).retry_after(OVER_CAPACITY_RETRY);
    Fault::of_call(id, &error)
}

fn too_fast(id: Option<RequestId>, wait: Duration) -> String {
    let message = "This connection sends requests too fast; slow down.";
    Fault::of_call(id, &CallError::new(ErrorKind::RateLimited, message).retry_after(wait)).to_text()
}
