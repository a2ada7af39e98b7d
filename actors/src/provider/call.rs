//! One upstream call, from its first byte out to its outcome, as one linear task: send, status, stream, fold. Dropping any step
//! closes the socket, so a cancel needs nothing but a drop. It retries nothing.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use awc::ClientResponse;
use awc::http::StatusCode;
use awc::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::watch;
use tokio::time::{timeout, timeout_at};

use super::actor::Line;
use super::client::{WentOn, noting};
use super::endpoint::Resource;
use super::errors::{Cause, ERROR_BYTES_MAX, classify};
use super::fold::{Fold, Folded};
use super::messages::{
    Completion, FailureClass, Partial, Prompt, Served, StartUpstreamCall, UpstreamFailure, UpstreamProgress,
};
use super::patience::{Next, Patience, Read};
use super::pulse::Pulse;
use super::sse::{Decoder, Stop};
use super::transport::{of_payload_error, of_send_error};
use crate::clock::{self, Instant};
use crate::faults::{self, Point};

/// How long an error's body may take: its status says most already.
const ERROR_WITHIN: Duration = Duration::from_secs(5);
/// The codings that change a body (RFC 9110, section 8.4.1, and those registered since).
const CODINGS: [&str; 7] = ["gzip", "x-gzip", "deflate", "compress", "x-compress", "br", "zstd"];
/// What is read after the terminal event, so that the connection can serve the next call.
const REST_BYTES_MAX: usize = 4 * 1024;
/// How long that may take; the answer does not wait for it.
const REST_WITHIN: Duration = Duration::from_millis(500);

/// What is known of a call from outside while it runs.
pub(super) type Folding = Rc<RefCell<Fold>>;

/// Runs one call and sends its outcome, exactly once.
pub(super) async fn run(line: Line, ask: StartUpstreamCall, folding: Folding) {
    faults::point(Point::UpstreamCall);
    let StartUpstreamCall { call, trail: _, prompt, progress, cancel, mut done } = ask;
    let started = clock::now();
    let mut talk = Talk { line, folding, status: None, first_token: None, rest: None };
    let outcome = tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Cause::of(FailureClass::Cancelled)),
        // Nobody waits for the outcome: whoever asked has died, and nothing more shall be paid for it.
        () = done.closed() => Err(Cause::of(FailureClass::Cancelled)),
        outcome = talk.hold(&prompt, &progress, started) => outcome,
    };
    let outcome = match outcome {
        Ok(folded) => Ok(talk.completion(folded, &prompt, started)),
        Err(cause) => Err(talk.failure(cause)),
    };
    let class = outcome.as_ref().map_or_else(|failure| failure.class.as_str(), |_| "ok");
    log::info!(
        call:% = call, host = talk.line.endpoint.host(), status = talk.status.map_or(0, |status| status.as_u16()),
        class = class, ms = clock::now().duration_since(started).as_millis();
        "upstream call ended"
    );
    // An error here means that nobody waits any more.
    let _ = done.send(outcome);
    if let Some(rest) = talk.rest {
        let _ = timeout(REST_WITHIN, drain(rest)).await;
    }
}

/// Where reading stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stopped {
    /// After the terminal event; the end of the body is yet to be read.
    Early,
    /// At the end of the body, or where nothing more came of it.
    AtEnd,
}

/// One exchange with the upstream, and what became known in it.
struct Talk {
    line: Line,
    folding: Folding,
    status: Option<StatusCode>,
    first_token: Option<Duration>,
    /// The response after its terminal event. One whose body has ended must not be read again: awc panics then.
    rest: Option<ClientResponse>,
}

impl Talk {
    async fn hold(
        &mut self,
        prompt: &Prompt,
        progress: &watch::Sender<UpstreamProgress>,
        started: Instant,
    ) -> Result<Folded, Cause> {
        if prompt.model.provider != *self.line.endpoint.provider() {
            return Err(Cause::of(FailureClass::Misrouted));
        }
        let body = self.line.dialect.request(prompt).map_err(|argument| Cause {
            code: Some(argument.as_str().to_owned()),
            ..Cause::of(FailureClass::InvalidArguments)
        })?;
        let first_byte_by = started + self.line.timeouts.first_byte;
        let taken = self.line.pool.take();
        let sent = self.line.endpoint.post(taken.client(), Resource::ChatCompletions).send_body(body);
        let (sent, went_on) = noting(timeout_at(first_byte_by, sent)).await;
        if !matches!(sent, Ok(Ok(_))) && went_on == WentOn::Reused {
            // Whatever ended this connection has most likely ended those that waited beside it.
            taken.abandon();
        }
        let mut response = sent.map_err(|_| Cause::of(FailureClass::Timeout))?.map_err(|error| {
            Cause::of(of_send_error(&error, went_on, clock::now().duration_since(started)))
        })?;
        self.status = Some(response.status());
        if !is_all_there_is(&response) {
            taken.abandon();
        }
        if response.status() != StatusCode::OK || !is_event_stream(&response) || is_encoded(&response) {
            return Err(self.refusal(&mut response).await);
        }
        let patience = Patience::new(self.line.timeouts, first_byte_by, prompt.output_tokens_max);
        let stopped = self.stream(&mut response, progress, started, patience).await?;
        self.rest = (stopped == Stopped::Early).then_some(response);
        self.folding.borrow_mut().conclude()
    }

    /// Reads events until the terminal one, the end of the body, or the silence that ends a finished answer.
    async fn stream(
        &mut self,
        response: &mut ClientResponse,
        progress: &watch::Sender<UpstreamProgress>,
        started: Instant,
        mut patience: Patience,
    ) -> Result<Stopped, Cause> {
        let mut decoder = Decoder::default();
        let mut pulse = Pulse::new(started);
        while !self.folding.borrow().done() {
            let ends_at = patience.ends_at();
            if clock::now() >= ends_at {
                return self.ended(FailureClass::Timeout);
            }
            let report_at = pulse.due(self.folding.borrow().progress(), clock::now());
            let wake_at = report_at.map_or(ends_at, |at| at.min(ends_at));
            match timeout_at(wake_at, response.next()).await {
                Ok(Some(Ok(bytes))) => {
                    match patience.read(self.take(&mut decoder, &bytes, started)?, clock::now()) {
                        Next::ReadOn => {}
                        Next::Yield => tokio::task::yield_now().await,
                        Next::Flooded => return self.ended(FailureClass::Flood),
                    }
                }
                Ok(Some(Err(error))) => return self.ended(of_payload_error(&error)),
                Ok(None) => return self.finish(decoder),
                Err(_) => {}
            }
            let (state, now) = (self.folding.borrow().progress(), clock::now());
            if pulse.due(state, now).is_some_and(|at| at <= now) {
                pulse.said(state, now);
                progress.send_replace(state);
            }
        }
        Ok(Stopped::Early)
    }

    fn take(&mut self, decoder: &mut Decoder, bytes: &Bytes, started: Instant) -> Result<Read, Cause> {
        let now = clock::utc_now();
        let mut fold = self.folding.borrow_mut();
        let before = fold.brought();
        let taken = decoder.push(bytes, &mut |payload: &[u8]| fold.push(payload, now));
        if self.first_token.is_none() && fold.progress().tokens > 0 {
            self.first_token = Some(clock::now().duration_since(started));
        }
        taken.map_err(|stop| match stop {
            Stop::TooLong => Cause::of(FailureClass::Garbage),
            Stop::Refused(cause) => cause,
        })?;
        Ok(Read { bytes: bytes.len(), is_news: fold.brought() != before, finished: fold.finished() })
    }

    /// The body has ended. A last line without its end may still be whole; when it is not, the stream was cut there, which
    /// `Fold::conclude` says by itself.
    fn finish(&mut self, mut decoder: Decoder) -> Result<Stopped, Cause> {
        let now = clock::utc_now();
        let mut fold = self.folding.borrow_mut();
        match decoder.finish(&mut |payload: &[u8]| fold.push(payload, now)) {
            Err(Stop::Refused(cause)) if cause.class != FailureClass::Garbage => Err(cause),
            Ok(()) | Err(Stop::Refused(_) | Stop::TooLong) => Ok(Stopped::AtEnd),
        }
    }

    /// The stream died. An answer that had its finish reason is whole all the same.
    fn ended(&self, class: FailureClass) -> Result<Stopped, Cause> {
        if self.folding.borrow().finished() { Ok(Stopped::AtEnd) } else { Err(Cause::of(class)) }
    }

    /// What a response that is no stream says.
    async fn refusal(&self, response: &mut ClientResponse) -> Cause {
        let body = timeout(ERROR_WITHIN, bounded(response, ERROR_BYTES_MAX)).await.unwrap_or_default();
        let status = response.status();
        if status.is_success() && !body.trim_ascii().starts_with(b"{\"error\"") {
            return Cause::of(FailureClass::Garbage);
        }
        classify(self.line.dialect, status.as_u16(), response.headers(), &body, clock::utc_now())
    }

    fn completion(&self, folded: Folded, prompt: &Prompt, started: Instant) -> Completion {
        let fold = self.folding.borrow();
        let endpoint = &self.line.endpoint;
        Completion {
            text: folded.text,
            finish: folded.finish,
            usage: fold.usage(),
            served: Served {
                model: fold.model().unwrap_or(prompt.model.id.as_str()).to_owned(),
                host: endpoint.host().to_owned(),
                key_fingerprint: endpoint.key_fingerprint().to_owned(),
                first_token: self.first_token.unwrap_or_else(|| clock::now().duration_since(started)),
            },
        }
    }

    fn failure(&self, cause: Cause) -> UpstreamFailure {
        let fold = self.folding.borrow();
        UpstreamFailure {
            class: cause.class,
            status: self.status.map(|status| status.as_u16()),
            code: cause.code,
            retry_after: cause.retry_after,
            partial: (!fold.text().is_empty()).then(|| Partial(fold.text().to_owned())),
            tokens: fold.progress().tokens,
            usage: fold.usage(),
            host: self.line.endpoint.host().to_owned(),
        }
    }
}

/// Whether nothing more can come of it: it is no interim response, and says how long its body is. awc takes a body without a length for none.
fn is_all_there_is(response: &ClientResponse) -> bool {
    let says = |name| response.headers().contains_key(name);
    !response.status().is_informational() && (says(CONTENT_LENGTH) || says(TRANSFER_ENCODING))
}

fn is_event_stream(response: &ClientResponse) -> bool {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream"))
}

/// Whether it comes compressed, although `identity` alone was asked for. Names that change no byte do no harm.
fn is_encoded(response: &ClientResponse) -> bool {
    let named = response.headers().get_all(CONTENT_ENCODING).filter_map(|coding| coding.to_str().ok());
    let is_known = |coding: &str| CODINGS.iter().any(|known| coding.trim().eq_ignore_ascii_case(known));
    named.flat_map(|codings| codings.split(',')).any(is_known)
}

/// The beginning of a body, as far as it comes.
async fn bounded(response: &mut ClientResponse, bytes_max: usize) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(Ok(bytes)) = response.next().await {
        let room = bytes_max - body.len();
        body.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if body.len() == bytes_max {
            break;
        }
    }
    body
}

/// Reads a response to its end, if that is near: only then does its connection go back to the pool.
async fn drain(mut response: ClientResponse) {
    let mut bytes_left = REST_BYTES_MAX;
    while let Some(Ok(bytes)) = response.next().await {
        match bytes_left.checked_sub(bytes.len()) {
            Some(left) => bytes_left = left,
            None => return,
        }
    }
}
