//! What the double does with one request. A script is data: it fits in a model name, a header or a test's queue, and prints as it parses.

mod grammar;

/// Where usage numbers are put in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsagePlace {
    /// Nowhere.
    None,
    /// Inside `choices[0]` of the chunk that carries `finish_reason`, as Kimi does.
    Choice,
    /// At the top level: of the last chunk (GLM), or of an extra chunk with empty `choices`.
    Top,
    /// In both places.
    Both,
}

/// What to do with one request. The empty script is a short, well-formed answer.
///
/// `FromStr` and `Display` round-trip: parts joined by `+`, each `key` or `key=value`; `+`, `%` and whatever is not printable ASCII are
/// percent-encoded in a value. "Chunks" are SSE events with data, `[DONE]` included; comments do not count. Times are milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// `tokens=N`: length of the answer in words (default about 40).
    pub tokens: Option<u32>,
    /// `think=N`: reasoning deltas before the answer (default 3 where the model thinks).
    pub think: Option<u32>,
    /// `pace=MS`: pause between chunks (default 10).
    pub pace_ms: Option<u32>,
    /// `delay=MS`: pause before the first chunk, after the head; without a stream, before the head.
    pub delay_ms: Option<u32>,
    /// `slow-headers=MS`: pause before the head.
    pub slow_headers_ms: Option<u32>,
    /// `early-hints=MS`: status 103, and the answer itself so much later (RFC 8297).
    pub early_hints_ms: Option<u32>,
    /// `stall-after=N`: silent for ever after N chunks, the socket stays open.
    pub stall_after: Option<u32>,
    /// `cut-after=N`: a proper end of the body after N chunks, without finish and `[DONE]`.
    pub cut_after: Option<u32>,
    /// `eof-after=N`: the connection closes after N chunks, and the chunked body lacks its end.
    pub eof_after: Option<u32>,
    /// `reset-after=N`: half of a line after N chunks, then a TCP reset.
    pub reset_after: Option<u32>,
    /// `garbage-after=N`: bytes that are no SSE after N chunks, then the end.
    pub garbage_after: Option<u32>,
    /// `error-after=N`: `data: {"error":..}` after N chunks, then the end.
    pub error_after: Option<u32>,
    /// `comments-after=N`: nothing but comments after N chunks, without end, at the pace; with none as fast as they are read.
    pub comments_after: Option<u32>,
    /// `empties-after=N`: the same with deltas that carry nothing.
    pub empties_after: Option<u32>,
    /// `hang-up`: the connection closes before any byte of an answer.
    pub hang_up: bool,
    /// `reset`: a TCP reset before any byte of an answer.
    pub reset: bool,
    /// `leave`: after the whole answer, which promised to keep it, the connection closes.
    pub leave: bool,
    /// `corpse`: after the whole answer, which promised to keep it, the connection is dead, and the next request on it finds that out.
    pub corpse: bool,
    /// `garbage`: 200 `text/event-stream` whose body is no SSE.
    pub garbage: bool,
    /// `html`: 200 `text/html`.
    pub html: bool,
    /// `wrong-type`: the whole completion as `application/json` although a stream was asked.
    pub wrong_type: bool,
    /// `huge=BYTES`: one delta with that much text before the answer.
    pub huge: Option<u32>,
    /// `endless`: text without end, at the pace.
    pub endless: bool,
    /// `no-done`: finish_reason comes, `[DONE]` does not.
    pub no_done: bool,
    /// `comments`: comment and blank lines between chunks.
    pub comments: bool,
    /// `split=N`: the body leaves in pieces of N bytes, whatever they cut.
    pub split: Option<u32>,
    /// `crlf`: lines end in CR LF.
    pub crlf: bool,
    /// `no-space`: `data:{..}`.
    pub no_space: bool,
    /// `bare`: chunks without `object`, as Z.ai's were in 2025, and tool deltas without `index`.
    pub bare: bool,
    /// `usage=none|choice|top|both`: instead of what the make does.
    pub usage: Option<UsagePlace>,
    /// `cached=N`: cached prompt tokens, instead of the prefix rule.
    pub cached: Option<u32>,
    /// `finish=REASON`: the finish_reason.
    pub finish: Option<String>,
    /// `model=OTHER`: the model the answer names.
    pub model: Option<String>,
    /// `reasoning=FIELD`: the name of the reasoning field (default `reasoning_content`).
    pub reasoning: Option<String>,
    /// `tool=NAME`: the answer is a call of this tool, with small arguments.
    pub tool: Option<String>,
    /// `echo`: the answer is a JSON description of the request.
    pub echo: bool,
    /// `refuse=NAME`: a documented error of the make, or any status 400..599 by number.
    pub refuse: Option<String>,
    /// `retry-after=SECONDS`: this header on a refusal.
    pub retry_after: Option<u32>,
    /// `wait=SECONDS`: the time a refusal names in its prose (default 1).
    pub wait: Option<u32>,
    /// `int-code`: GLM error codes as numbers.
    pub int_code: bool,
    /// `redirect=URL`: 302 with this Location.
    pub redirect: Option<String>,
}

/// A script that does not parse, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bad upstream script: {0}")]
pub struct ScriptError(String);

/// A fault that strikes between two chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Stall,
    Cut,
    Eof,
    Reset,
    Garbage,
    Error,
    Comments,
    Empties,
}

impl Script {
    /// The script that `text` spells, for tests and demos that write it as a literal.
    ///
    /// # Panics
    /// When the text is no script.
    pub fn of(text: &str) -> Script {
        match text.parse() {
            Ok(script) => script,
            Err(error) => panic!("{error} in {text:?}"),
        }
    }

    /// The fault due once `sent` chunks have left.
    pub(crate) fn fault_at(&self, sent: u32) -> Option<Fault> {
        let plan = [
            (self.stall_after, Fault::Stall),
            (self.cut_after, Fault::Cut),
            (self.eof_after, Fault::Eof),
            (self.reset_after, Fault::Reset),
            (self.garbage_after, Fault::Garbage),
            (self.error_after, Fault::Error),
            (self.comments_after, Fault::Comments),
            (self.empties_after, Fault::Empties),
        ];
        plan.into_iter().find(|(after, _)| *after == Some(sent)).map(|(_, fault)| fault)
    }
}
