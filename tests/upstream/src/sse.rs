//! Server-sent events inside a chunked body: line ends, comments, and where the bytes are torn.

use crate::script::Script;

/// Bytes that no SSE reader can use: no field, broken UTF-8, a lone brace.
pub(crate) const GARBAGE: &[u8] = b"\x00\xff\xfe{\"id\":\nthis is not an event stream\n<<<>>>\n\n\xc3\x28}\n";

/// The end of a chunked body.
const END: &[u8] = b"0\r\n\r\n";

pub(crate) struct Sse {
    newline: &'static str,
    prefix: &'static str,
    comments: bool,
    split: Option<usize>,
    /// Bytes held back until a piece of `split` is full.
    held: Vec<u8>,
}

fn framed(bytes: &[u8]) -> Vec<u8> {
    // An empty chunk would end the body.
    if bytes.is_empty() {
        return Vec::new();
    }
    let mut out = format!("{:x}\r\n", bytes.len()).into_bytes();
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
    out
}

impl Sse {
    pub(crate) fn new(script: &Script) -> Sse {
        Sse {
            newline: if script.crlf { "\r\n" } else { "\n" },
            prefix: if script.no_space { "data:" } else { "data: " },
            comments: script.comments,
            split: script.split.and_then(|bytes| usize::try_from(bytes).ok()),
            held: Vec::new(),
        }
    }

    /// The event of one payload, with comments in front of it where the script wants them.
    pub(crate) fn line(&self, payload: &str) -> Vec<u8> {
        let newline = self.newline;
        let comment =
            if self.comments { format!(": keep-alive{newline}{newline}{newline}") } else { String::new() };
        format!("{comment}{}{payload}{newline}{newline}", self.prefix).into_bytes()
    }

    /// The chunks to write now, each in a write of its own.
    pub(crate) fn pieces(&mut self, bytes: &[u8], last: bool) -> Vec<Vec<u8>> {
        let Some(split) = self.split else {
            let mut piece = framed(bytes);
            if last {
                piece.extend_from_slice(END);
            }
            return vec![piece];
        };
        self.held.extend_from_slice(bytes);
        if !last {
            let whole = self.held.len() / split * split;
            let ready: Vec<u8> = self.held.drain(..whole).collect();
            return ready.chunks(split).map(framed).collect();
        }
        // A client may hang up on the last line, so that line's end and the body's end leave together.
        let held = std::mem::take(&mut self.held);
        let tail = held.len().saturating_sub(2 * self.newline.len());
        let mut pieces: Vec<Vec<u8>> = held[..tail].chunks(split).map(framed).collect();
        let mut end = framed(&held[tail..]);
        end.extend_from_slice(END);
        pieces.push(end);
        pieces
    }

    /// What is held back.
    pub(crate) fn flush(&mut self) -> Vec<u8> {
        framed(&std::mem::take(&mut self.held))
    }
}
