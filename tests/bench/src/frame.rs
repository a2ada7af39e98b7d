//! The frames of a call, built once and stamped with an id each time; and as much of an answer as a generator must read. It builds no
//! tree of an answer: the generator shares its machine with the server that it measures.

use std::sync::LazyLock;

use bytes::BytesMut;
use memchr::memmem::{self, Finder};

/// Digits of an id. All ids have the same length, so that a stamp moves nothing.
const DIGITS: usize = 10;
/// The first id; the smallest number of that length.
pub(crate) const FIRST_ID: u64 = 1_000_000_000;
/// What a template holds in the place of its id.
const PLACE: &[u8; DIGITS] = b"9999999999";
/// A masked payload is the payload under this mask (RFC 6455 5.3), and the server does the same work for it as for any other.
const NO_MASK: [u8; 4] = [0; 4];
/// A whole text message.
pub(crate) const TEXT: u8 = 0x81;
/// The peer's end.
pub(crate) const CLOSE: u8 = 0x88;
/// Wants a pong.
pub(crate) const PING: u8 = 0x89;
/// The answer to a ping.
pub(crate) const PONG: u8 = 0x8a;

static IS_ERROR: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(br#""isError":true"#));
static KIND: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(br#""kind":""#));
static RESULT: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(br#","result":"#));
static ID: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(br#""id":"#));

/// A frame that lacks its id.
#[derive(Clone)]
pub(crate) struct Template {
    bytes: Vec<u8>,
    places: Vec<usize>,
}

impl Template {
    /// A `chat` of this model; with `progress`, its progress is asked for under the id.
    pub(crate) fn chat(model: &str, progress: bool) -> Self {
        let meta = if progress { r#","_meta":{"progressToken":9999999999}"# } else { "" };
        Self::of(&format!(
            r#"{{"jsonrpc":"2.0","id":9999999999,"method":"tools/call","params":{{"name":"chat","arguments":{{"prompt":"call 9999999999","model":"{model}"}}{meta}}}}}"#
        ))
    }

    /// A `version`, which needs no upstream.
    pub(crate) fn version() -> Self {
        Self::of(
            r#"{"jsonrpc":"2.0","id":9999999999,"method":"tools/call","params":{"name":"version","arguments":{}}}"#,
        )
    }

    fn of(text: &str) -> Self {
        let mut bytes = Vec::new();
        write(&mut bytes, TEXT, text.as_bytes());
        let places = memmem::find_iter(&bytes, PLACE).collect();
        Self { bytes, places }
    }

    /// Appends the frame with this id to `out`.
    pub(crate) fn stamp(&self, id: u64, out: &mut BytesMut) {
        let mut digits = [b'0'; DIGITS];
        let mut rest = id;
        for digit in digits.iter_mut().rev() {
            *digit += u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
        }
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        for place in &self.places {
            out[start + place..start + place + DIGITS].copy_from_slice(&digits);
        }
    }
}

/// Appends a client's frame.
pub(crate) fn write(out: &mut Vec<u8>, first: u8, payload: &[u8]) {
    out.push(first);
    if let Ok(length @ 0..=125) = u8::try_from(payload.len()) {
        out.push(0x80 | length);
    } else if let Ok(length) = u16::try_from(payload.len()) {
        out.push(0x80 | 126);
        out.extend(length.to_be_bytes());
    } else {
        out.push(0x80 | 127);
        out.extend((payload.len() as u64).to_be_bytes());
    }
    out.extend(NO_MASK);
    out.extend(payload);
}

/// The length of the head and of the payload of the server's frame at the start of these bytes; none while its head is cut.
pub(crate) fn lengths(bytes: &[u8]) -> Option<(usize, usize)> {
    match bytes.get(1)? & 0x7f {
        126 => Some((4, usize::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?)))),
        127 => Some((10, usize::try_from(u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?)).ok()?)),
        length => Some((2, usize::from(length))),
    }
}

/// What a text message is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard<'a> {
    /// The answer to a request: its id, and the kind of its failure.
    Answer(u64, Option<&'a str>),
    /// Anything that answers nothing.
    Notice,
}

/// Reads the id and the outcome. A quotation mark in a text is escaped, so that no text can look like a key.
pub(crate) fn read(message: &[u8]) -> Heard<'_> {
    let Some(id) = id_of(message) else { return Heard::Notice };
    let failed = RESULT.find(message).is_none() || IS_ERROR.find(message).is_some();
    if !failed {
        return Heard::Answer(id, None);
    }
    let kind = KIND.find(message).and_then(|at| {
        let kind = &message[at + KIND.needle().len()..];
        std::str::from_utf8(&kind[..memchr::memchr(b'"', kind)?]).ok()
    });
    Heard::Answer(id, Some(kind.unwrap_or("unnamed")))
}

fn id_of(message: &[u8]) -> Option<u64> {
    let digits = &message[ID.find(message)? + ID.needle().len()..];
    let end = digits.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(&digits[..end]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_fills_every_place_and_moves_nothing() {
        let template = Template::chat("kimi-k2.6", true);
        let mut out = BytesMut::new();
        template.stamp(FIRST_ID + 42, &mut out);
        assert_eq!(out.len(), template.bytes.len());
        let text = String::from_utf8_lossy(&out[8..]).into_owned();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["id"], 1_000_000_042);
        assert_eq!(value["params"]["_meta"]["progressToken"], 1_000_000_042);
        assert_eq!(value["params"]["arguments"]["prompt"], "call 1000000042");
    }

    #[test]
    fn answers_and_failures_are_told_apart_whatever_their_texts_say() {
        let fine =
            br#"{"jsonrpc":"2.0","id":7,"result":{"content":[{"text":"\"isError\":true"}],"isError":false}}"#;
        assert_eq!(read(fine), Heard::Answer(7, None));
        let failed = br#"{"jsonrpc":"2.0","id":8,"result":{"_meta":{"exai/error":{"kind":"over_capacity"}},"isError":true}}"#;
        assert_eq!(read(failed), Heard::Answer(8, Some("over_capacity")));
        let refused = br#"{"jsonrpc":"2.0","id":9,"error":{"code":-32602,"message":"no"}}"#;
        assert_eq!(read(refused), Heard::Answer(9, Some("unnamed")));
        let notice = br#"{"jsonrpc":"2.0","method":"notifications/progress","params":{}}"#;
        assert_eq!(read(notice), Heard::Notice);
    }
}
