//! The frame rules that the codec leaves to its user (RFC 6455 5.2 to 5.5, 7.4, 8.1): how large a frame may declare itself, what
//! its fragments add up to, and that text is UTF-8. Pure: bytes and frames in, messages or the reason to close out.

use actix_http::ws::{CloseCode, CloseReason, Frame, Item, ProtocolError};
use bytes::{Bytes, BytesMut};
use bytestring::ByteString;

use super::messages::Binary;

/// Fragments of one message. A client sends one frame per message; a thousand is somebody playing.
const FRAGMENTS_MAX: u32 = 1024;
/// The payload of a control frame, at most (RFC 6455 5.5).
const CONTROL_BYTES_MAX: u64 = 125;
/// The mask's bytes behind a header (RFC 6455 5.3).
const MASK_BYTES: usize = 4;

/// A rule was broken: the code and the words to close with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken {
    /// RFC 6455 7.4.1.
    pub(super) code: CloseCode,
    /// For people who read their client's log.
    pub(super) reason: &'static str,
}

impl Broken {
    const TOO_BIG: Self = Self { code: CloseCode::Size, reason: "the message is too large" };
    const NOT_UTF8: Self = Self { code: CloseCode::Invalid, reason: "text must be UTF-8" };
    const NOT_TEXT: Self = Self { code: CloseCode::Unsupported, reason: "only text messages are taken" };
    const PROTOCOL: Self = Self { code: CloseCode::Protocol, reason: "not a valid WebSocket frame" };
    const CRUMBS: Self = Self { code: CloseCode::Policy, reason: "too many fragments" };
}

impl From<ProtocolError> for Broken {
    fn from(error: ProtocolError) -> Self {
        if matches!(error, ProtocolError::Overflow) { Self::TOO_BIG } else { Self::PROTOCOL }
    }
}

/// What a peer sent, put together.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// A whole text message.
    Text(ByteString),
    /// A whole binary message.
    Binary(Bytes),
    /// To be answered with the same bytes.
    Ping(Bytes),
    /// The answer to a ping, with the ping's bytes.
    Pong(Bytes),
    /// The closing handshake, begun or answered.
    Close(Option<CloseReason>),
}

/// Puts the frames of one connection together.
#[derive(Debug)]
pub(super) struct Assembly {
    bytes_max: usize,
    binary: Binary,
    open: Option<Fragments>,
}

#[derive(Debug)]
struct Fragments {
    is_text: bool,
    bytes: BytesMut,
    count: u32,
    utf8_until: usize,
}

impl Assembly {
    /// Takes messages of at most this many bytes.
    pub(super) fn new(bytes_max: usize, binary: Binary) -> Self {
        Self { bytes_max, binary, open: None }
    }

    /// Looks at the first bytes of a frame before the rest is let in: the codec checks a size only when the whole frame is there.
    /// What the codec itself refuses from the header alone is left to it.
    pub(super) fn look_ahead(&self, head: &[u8]) -> Result<(), Broken> {
        let Some(header) = Header::read(head) else { return Ok(()) };
        if header.refused_by_codec {
            return Ok(());
        }
        if header.is_control() {
            return if header.length > CONTROL_BYTES_MAX {
                Err(Broken::PROTOCOL)
            } else {
                header.close_reason(head)
            };
        }
        let before = self.open.as_ref().map_or(0, |open| open.bytes.len());
        let room = u64::try_from(self.bytes_max - before).unwrap_or(u64::MAX);
        if header.length > room { Err(Broken::TOO_BIG) } else { Ok(()) }
    }

    /// Takes the next frame; gives a message when it completes one.
    pub(super) fn take(&mut self, frame: Frame) -> Result<Option<Received>, Broken> {
        match frame {
            Frame::Text(bytes) => match ByteString::try_from(bytes) {
                Ok(text) => Ok(Some(Received::Text(text))),
                Err(_) => Err(Broken::NOT_UTF8),
            },
            Frame::Binary(bytes) => {
                self.binary_allowed()?;
                Ok(Some(Received::Binary(bytes)))
            }
            Frame::Continuation(Item::FirstText(bytes)) => self.begin(true, &bytes),
            Frame::Continuation(Item::FirstBinary(bytes)) => {
                self.binary_allowed()?;
                self.begin(false, &bytes)
            }
            Frame::Continuation(Item::Continue(bytes)) => self.add(&bytes).map(|()| None),
            Frame::Continuation(Item::Last(bytes)) => {
                self.add(&bytes)?;
                self.finish().map(Some)
            }
            Frame::Ping(bytes) => Ok(Some(Received::Ping(bytes))),
            Frame::Pong(bytes) => Ok(Some(Received::Pong(bytes))),
            Frame::Close(reason) => Ok(Some(Received::Close(reason))),
        }
    }

    fn binary_allowed(&self) -> Result<(), Broken> {
        match self.binary {
            Binary::Refused => Err(Broken::NOT_TEXT),
            Binary::Echoed => Ok(()),
        }
    }

    fn begin(&mut self, is_text: bool, bytes: &[u8]) -> Result<Option<Received>, Broken> {
        self.open = Some(Fragments { is_text, bytes: BytesMut::new(), count: 0, utf8_until: 0 });
        self.add(bytes).map(|()| None)
    }

    fn add(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        // The codec has refused a continuation of nothing.
        let Some(open) = &mut self.open else { return Err(Broken::PROTOCOL) };
        open.count += 1;
        if open.count > FRAGMENTS_MAX {
            return Err(Broken::CRUMBS);
        }
        open.bytes.extend_from_slice(bytes);
        if open.is_text { open.check_utf8() } else { Ok(()) }
    }

    fn finish(&mut self) -> Result<Received, Broken> {
        let Some(whole) = self.open.take() else { return Err(Broken::PROTOCOL) };
        if !whole.is_text {
            return Ok(Received::Binary(whole.bytes.freeze()));
        }
        ByteString::try_from(whole.bytes).map(Received::Text).map_err(|_| Broken::NOT_UTF8)
    }
}

impl Fragments {
    /// Checks what came, and leaves a character that the fragment's end cut in two to the next fragment (RFC 6455 5.6, 8.1).
    fn check_utf8(&mut self) -> Result<(), Broken> {
        match std::str::from_utf8(&self.bytes[self.utf8_until..]) {
            Ok(_) => self.utf8_until = self.bytes.len(),
            Err(error) if error.error_len().is_some() => return Err(Broken::NOT_UTF8),
            Err(error) => self.utf8_until += error.valid_up_to(),
        }
        Ok(())
    }
}

/// A frame's header (RFC 6455 5.2), as far as it decides whether the frame is let in.
struct Header {
    opcode: u8,
    length: u64,
    bytes: usize,
    refused_by_codec: bool,
}

impl Header {
    fn read(head: &[u8]) -> Option<Self> {
        let (&[first, second], rest) = head.split_first_chunk::<2>()?;
        let (length, bytes) = match second & 0x7f {
            126 => (u64::from(u16::from_be_bytes(*rest.first_chunk()?)), 4),
            127 => (u64::from_be_bytes(*rest.first_chunk()?), 10),
            short => (u64::from(short), 2),
        };
        let opcode = first & 0x0f;
        let reserved = first & 0x70 != 0 || matches!(opcode, 3..=7 | 11..=15);
        let masked = second & 0x80 != 0;
        Some(Self { opcode, length, bytes, refused_by_codec: reserved || !masked })
    }

    fn is_control(&self) -> bool {
        self.opcode & 0x08 != 0
    }

    /// The codec calls a close reason that is not UTF-8 the same as a wrong code, but it is 1007 (RFC 6455 8.1).
    fn close_reason(&self, head: &[u8]) -> Result<(), Broken> {
        let length = usize::try_from(self.length).unwrap_or(usize::MAX);
        let payload = head.get(self.bytes..).and_then(|rest| rest.split_first_chunk::<MASK_BYTES>());
        let Some((mask, payload)) = payload else { return Ok(()) };
        if self.opcode != 8 || length < 2 || payload.len() < length {
            return Ok(());
        }
        let plain = payload[..length].iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
        let reason = plain.skip(2).collect::<Vec<_>>();
        if std::str::from_utf8(&reason).is_ok() { Ok(()) } else { Err(Broken::NOT_UTF8) }
    }
}

#[cfg(test)]
mod tests;
