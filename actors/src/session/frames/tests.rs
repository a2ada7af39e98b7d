//! The frame rules, as tables and as properties.

use actix_http::ws::Codec;
use proptest::prelude::*;
use tokio_util::codec::Decoder;

use super::*;

const MAX: usize = 1000;
const MASK: [u8; 4] = [0x11, 0x22, 0x33, 0x44];

const FIN_TEXT: u8 = 0x81;
const TEXT: u8 = 0x01;
const FIN_BINARY: u8 = 0x82;
const CONTINUE: u8 = 0x00;
const FIN_CONTINUE: u8 = 0x80;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;

/// A masked frame with this first byte.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match u16::try_from(payload.len()) {
        Ok(short @ 0..=125) => bytes.push(0x80 | short as u8),
        Ok(long) => {
            bytes.push(0x80 | 126);
            bytes.extend(long.to_be_bytes());
        }
        Err(_) => {
            bytes.push(0x80 | 127);
            bytes.extend((payload.len() as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// Only a header, which declares `length`.
fn declares(first: u8, length: u64) -> Vec<u8> {
    let mut bytes = vec![first, 0x80 | 127];
    bytes.extend(length.to_be_bytes());
    bytes.extend(MASK);
    bytes
}

/// What a connection makes of these bytes, in order, up to the first broken rule.
fn read(bytes: &[u8], binary: Binary) -> (Vec<Received>, Option<CloseCode>) {
    let mut codec = Codec::new().max_size(MAX);
    let mut assembly = Assembly::new(MAX, binary);
    let mut buffer = BytesMut::from(bytes);
    let mut received = Vec::new();
    loop {
        let step = assembly.look_ahead(&buffer).and_then(|()| match codec.decode(&mut buffer)? {
            Some(frame) => assembly.take(frame).map(|message| (message, true)),
            None => Ok((None, false)),
        });
        match step {
            Ok((message, more)) => {
                received.extend(message);
                if !more {
                    return (received, None);
                }
            }
            Err(broken) => return (received, Some(broken.code)),
        }
    }
}

fn text(text: &'static str) -> Received {
    Received::Text(ByteString::from_static(text))
}

#[test]
fn every_broken_rule_has_its_close_code() {
    let unmasked = vec![FIN_TEXT, 2, b'h', b'i'];
    let cases: Vec<(&str, Vec<u8>, CloseCode)> = vec![
        ("reserved bits", frame(FIN_TEXT | 0x40, b"hi"), CloseCode::Protocol),
        ("reserved opcode", frame(0x83, b""), CloseCode::Protocol),
        ("reserved control opcode", frame(0x8b, b""), CloseCode::Protocol),
        ("unmasked", unmasked, CloseCode::Protocol),
        ("fragmented ping", frame(0x09, b""), CloseCode::Protocol),
        ("long ping", frame(PING, &[0; 126]), CloseCode::Protocol),
        ("a ping that declares 2^40", declares(PING, 1 << 40), CloseCode::Protocol),
        ("a text that declares 2^40", declares(FIN_TEXT, 1 << 40), CloseCode::Size),
        ("a text that declares 2^63", declares(FIN_TEXT, 1 << 63), CloseCode::Size),
        ("one byte too many", frame(FIN_TEXT, &[b'a'; MAX + 1]), CloseCode::Size),
        ("binary", frame(FIN_BINARY, b"hi"), CloseCode::Unsupported),
        ("fragmented binary", frame(0x02, b"hi"), CloseCode::Unsupported),
        ("not UTF-8", frame(FIN_TEXT, b"\xff"), CloseCode::Invalid),
        ("not UTF-8 in a first fragment", frame(TEXT, b"\xc0\xaf"), CloseCode::Invalid),
        ("a character cut off at the end", frame(FIN_TEXT, b"\xc3"), CloseCode::Invalid),
        ("a continuation of nothing", frame(FIN_CONTINUE, b"hi"), CloseCode::Protocol),
        ("text within a message", [frame(TEXT, b"a"), frame(FIN_TEXT, b"b")].concat(), CloseCode::Protocol),
        ("close code 1005", frame(CLOSE, &1005u16.to_be_bytes()), CloseCode::Protocol),
        ("close code 999", frame(CLOSE, &999u16.to_be_bytes()), CloseCode::Protocol),
        ("half a close code", frame(CLOSE, &[3]), CloseCode::Protocol),
        ("a close reason that is not UTF-8", frame(CLOSE, b"\x03\xe8\xff"), CloseCode::Invalid),
    ];
    for (name, bytes, code) in cases {
        assert_eq!(read(&bytes, Binary::Refused), (vec![], Some(code)), "{name}");
    }
}

#[test]
fn fragments_are_put_together_around_control_frames() {
    let euro = "€".as_bytes();
    let bytes = [
        frame(TEXT, &euro[..1]),
        frame(PING, b"still there?"),
        frame(CONTINUE, b""),
        frame(CONTINUE, &euro[1..2]),
        frame(FIN_CONTINUE, &euro[2..]),
        frame(FIN_TEXT, b"next"),
    ]
    .concat();
    let ping = Received::Ping(Bytes::from_static(b"still there?"));
    assert_eq!(read(&bytes, Binary::Refused), (vec![ping, text("€"), text("next")], None));
}

#[test]
fn a_character_that_stays_cut_is_refused_with_the_message() {
    let bytes = [frame(TEXT, b"\xe2"), frame(FIN_CONTINUE, b"\x82")].concat();
    assert_eq!(read(&bytes, Binary::Refused), (vec![], Some(CloseCode::Invalid)));
}

#[test]
fn fragments_together_are_bounded_like_one_frame() {
    let half = vec![b'a'; MAX / 2];
    let fits = [frame(TEXT, &half), frame(FIN_CONTINUE, &half)].concat();
    assert_eq!(read(&fits, Binary::Refused).1, None);
    let over = [frame(TEXT, &half), frame(CONTINUE, &half), frame(FIN_CONTINUE, b"a")].concat();
    assert_eq!(read(&over, Binary::Refused).1, Some(CloseCode::Size));
    let crumbs = [frame(TEXT, b""), frame(CONTINUE, b"").repeat(FRAGMENTS_MAX as usize)].concat();
    assert_eq!(read(&crumbs, Binary::Refused).1, Some(CloseCode::Policy));
}

#[test]
fn binary_is_taken_where_it_is_echoed() {
    let bytes = [frame(FIN_BINARY, b"\xff"), frame(0x02, b"\xfe"), frame(FIN_CONTINUE, b"\xfd")].concat();
    let whole = |bytes: &'static [u8]| Received::Binary(Bytes::from_static(bytes));
    assert_eq!(read(&bytes, Binary::Echoed), (vec![whole(b"\xff"), whole(b"\xfe\xfd")], None));
}

proptest! {
    /// However a text is cut, it arrives whole; and no bytes at all make the rules panic.
    #[test]
    fn any_cut_gives_the_same_text(whole in ".{0,80}", cuts in proptest::collection::vec(0usize..300, 0..6)) {
        let bytes = whole.as_bytes();
        let mut ends = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect::<Vec<_>>();
        ends.sort_unstable();
        let mut frames = Vec::new();
        let mut start = 0;
        for end in ends {
            let first = if frames.is_empty() { TEXT } else { CONTINUE };
            frames.extend(frame(first, &bytes[start..end]));
            start = end;
        }
        let last = if frames.is_empty() { FIN_TEXT } else { FIN_CONTINUE };
        frames.extend(frame(last, &bytes[start..]));
        prop_assert_eq!(read(&frames, Binary::Refused), (vec![Received::Text(whole.into())], None));
    }

    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let (received, _) = read(&bytes, Binary::Echoed);
        prop_assert!(received.len() <= bytes.len());
    }
}
