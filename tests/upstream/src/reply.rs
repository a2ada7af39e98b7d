//! Plays a reply out on the connection, byte by byte: pauses, faults, splits. It decides nothing about what the reply says.

use std::time::Duration;

use crate::Make;
use crate::answer::Answer;
use crate::conn::{Conn, Gone};
use crate::feed::Feed;
use crate::journal::{Ended, Ticket};
use crate::refusal::{Body, Refusal};
use crate::script::{Fault, Script};
use crate::sse::{self, Sse};
use crate::wire;

/// Pause between chunks when the script names none.
const PACE_MS_DEFAULT: u32 = 10;
/// Events of a flood that leave in one write.
const FLOOD_EVENTS: usize = 500;
/// Given to the kernel to deliver what was written before a reset overtakes it.
const RESET_GRACE: Duration = Duration::from_millis(20);

/// What a whole reply is.
#[derive(Clone, Debug)]
pub(crate) struct Whole {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    /// How long the real server would have worked before its head.
    pub(crate) work: Duration,
}

/// What to send.
#[derive(Debug)]
pub(crate) enum Reply {
    Whole(Whole),
    Stream(Box<Answer>, Vec<(&'static str, String)>),
}

/// What happens to the connection next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    KeepAlive,
    /// It looks kept; whatever comes on it meets a reset.
    Corpse,
    Close,
    Reset,
}

/// How it went, and what follows.
pub(crate) type Played = (Ended, Then);

impl Whole {
    pub(crate) fn json(status: u16, body: &serde_json::Value) -> Whole {
        Whole::text(status, "application/json", body.to_string())
    }

    pub(crate) fn text(status: u16, content_type: &'static str, body: String) -> Whole {
        Whole { status, content_type, headers: Vec::new(), body: body.into_bytes(), work: Duration::ZERO }
    }

    pub(crate) fn refusal(refusal: Refusal, script: &Script) -> Whole {
        let mut whole = match refusal.body {
            Body::Json(body) => Whole::json(refusal.status, &body),
            Body::Html(page) => Whole::text(refusal.status, "text/html", page),
            Body::Empty => Whole::text(refusal.status, "", String::new()),
        };
        whole.headers.extend(script.retry_after.map(|seconds| ("retry-after", seconds.to_string())));
        whole
    }
}

fn ms(value: Option<u32>) -> Duration {
    Duration::from_millis(u64::from(value.unwrap_or(0)))
}

/// How long a whole completion takes that the script paces as a stream.
pub(crate) fn work(script: &Script, chunks: usize) -> Duration {
    let chunks = u32::try_from(chunks).unwrap_or(u32::MAX);
    ms(script.delay_ms)
        + Duration::from_millis(u64::from(script.pace_ms.unwrap_or(PACE_MS_DEFAULT))).saturating_mul(chunks)
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        302 => "Found",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        413 => "Content Too Large",
        422 => "Unprocessable Entity",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Other",
    }
}

/// A response under way.
pub(crate) struct Player<'a> {
    pub(crate) conn: &'a mut Conn,
    pub(crate) ticket: &'a Ticket,
    pub(crate) script: &'a Script,
    pub(crate) keep_alive: bool,
    sse: Sse,
}

impl<'a> Player<'a> {
    pub(crate) fn new(
        conn: &'a mut Conn,
        ticket: &'a Ticket,
        script: &'a Script,
        keep_alive: bool,
    ) -> Player<'a> {
        Player { conn, ticket, script, keep_alive, sse: Sse::new(script) }
    }

    /// Plays it; a client that leaves ends it wherever it is.
    pub(crate) async fn play(mut self, reply: Reply) -> Played {
        let played = self.run(reply).await;
        played.unwrap_or((Ended::ClientClosed, Then::Close))
    }

    async fn run(&mut self, reply: Reply) -> Result<Played, Gone> {
        self.conn.pause(ms(self.script.slow_headers_ms)).await?;
        if let Some(later) = self.script.early_hints_ms {
            self.write(b"HTTP/1.1 103 Early Hints\r\nlink: </answer>; rel=preload\r\n\r\n").await?;
            self.conn.pause(ms(Some(later))).await?;
        }
        if self.script.reset {
            return Ok((Ended::Scripted, Then::Reset));
        }
        if self.script.hang_up {
            return Ok((Ended::Scripted, Then::Close));
        }
        match reply {
            Reply::Whole(whole) => self.whole(&whole).await,
            Reply::Stream(answer, headers) => self.stream(&answer, &headers).await,
        }
    }

    /// Hands on SSE bytes; `last` ends the body.
    async fn body(&mut self, bytes: &[u8], last: bool) -> Result<(), Gone> {
        for piece in self.sse.pieces(bytes, last) {
            self.write(&piece).await?;
        }
        Ok(())
    }

    fn pace(&self) -> Duration {
        Duration::from_millis(u64::from(self.script.pace_ms.unwrap_or(PACE_MS_DEFAULT)))
    }

    fn after(&self) -> Then {
        if !self.keep_alive || self.script.leave {
            Then::Close
        } else if self.script.corpse {
            Then::Corpse
        } else {
            Then::KeepAlive
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        let ticket = self.ticket;
        self.conn.write(bytes, |taken| ticket.note(|entry| entry.sent_bytes += taken)).await
    }

    fn head(
        &self,
        status: u16,
        content_type: &str,
        headers: &[(&'static str, String)],
        framing: &str,
    ) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {status} {}\r\n", reason(status));
        if !content_type.is_empty() {
            head += &format!("content-type: {content_type}\r\n");
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        let connection = if self.keep_alive { "keep-alive" } else { "close" };
        head += &format!("{framing}\r\nconnection: {connection}\r\n\r\n");
        head.into_bytes()
    }

    async fn whole(&mut self, whole: &Whole) -> Result<Played, Gone> {
        self.conn.pause(whole.work).await?;
        let framing = format!("content-length: {}", whole.body.len());
        let mut bytes = self.head(whole.status, whole.content_type, &whole.headers, &framing);
        self.ticket.note(|entry| entry.status = whole.status);
        // A whole reply is one chunk: a fault after 0 strikes behind the head, a later one in the middle of the body.
        if let Some(fault) = [0, 1].into_iter().find_map(|sent| self.script.fault_at(sent)) {
            let part = if self.script.fault_at(0).is_some() { 0 } else { whole.body.len() / 2 };
            bytes.extend_from_slice(&whole.body[..part]);
            self.write(&bytes).await?;
            return match fault {
                Fault::Stall => Err(self.conn.stall().await),
                Fault::Reset => self.reset().await,
                Fault::Cut
                | Fault::Eof
                | Fault::Garbage
                | Fault::Error
                | Fault::Comments
                | Fault::Empties => Ok((Ended::Scripted, Then::Close)),
            };
        }
        bytes.extend_from_slice(&whole.body);
        self.write(&bytes).await?;
        Ok((Ended::Complete, self.after()))
    }

    async fn reset(&mut self) -> Result<Played, Gone> {
        self.conn.pause(RESET_GRACE).await?;
        Ok((Ended::Scripted, Then::Reset))
    }

    async fn stream(&mut self, answer: &Answer, headers: &[(&'static str, String)]) -> Result<Played, Gone> {
        let head = self.head(200, wire::content_type(answer.make), headers, "transfer-encoding: chunked");
        self.ticket.note(|entry| entry.status = 200);
        self.write(&head).await?;
        self.conn.pause(ms(self.script.delay_ms)).await?;
        if self.script.garbage {
            self.body(sse::GARBAGE, true).await?;
            return Ok((Ended::Complete, self.after()));
        }
        let pace = self.pace();
        for (payload, sent) in Feed::new(answer).zip(0..) {
            if let Some(fault) = self.script.fault_at(sent) {
                return self.fault(fault, &payload.text, answer.make).await;
            }
            if payload.paced && sent > 0 {
                self.conn.pause(pace).await?;
            }
            let line = self.sse.line(&payload.text);
            self.body(&line, payload.last).await?;
        }
        Ok((Ended::Complete, self.after()))
    }

    async fn fault(&mut self, fault: Fault, next: &str, make: Make) -> Result<Played, Gone> {
        let rest = self.sse.flush();
        self.write(&rest).await?;
        let line = self.sse.line(next);
        match fault {
            Fault::Stall => return Err(self.conn.stall().await),
            Fault::Comments => return Err(self.flood(b": ping\n\n").await),
            Fault::Empties => {
                let empty = self.sse.line(r#"{"choices":[{"index":0,"delta":{"content":""}}]}"#);
                return Err(self.flood(&empty).await);
            }
            Fault::Eof => {}
            Fault::Cut => self.body(b"", true).await?,
            Fault::Garbage => self.body(sse::GARBAGE, true).await?,
            Fault::Error => {
                let error = self.sse.line(wire::error(make));
                self.body(&error, true).await?;
            }
            Fault::Reset => {
                let half = &line[..line.len() / 2];
                self.body(half, false).await?;
                let rest = self.sse.flush();
                self.write(&rest).await?;
                return self.reset().await;
            }
        }
        Ok((Ended::Scripted, Then::Close))
    }

    /// The same event without end, each in a chunk of its own, until the client leaves.
    async fn flood(&mut self, event: &[u8]) -> Gone {
        let pace = self.pace();
        let times = if pace.is_zero() { FLOOD_EVENTS } else { 1 };
        loop {
            let mut events = Vec::new();
            for _ in 0..times {
                events.extend(self.sse.pieces(event, false).concat());
            }
            if let Err(gone) = self.write(&events).await {
                return gone;
            }
            if let Err(gone) = self.conn.pause(pace).await {
                return gone;
            }
        }
    }
}
