//! A corpus of frames over `/echo`, the product's session and codec: what Autobahn's cases 1 to 7 and 10 try, each kind in full.

use super::ws::{BINARY, CLOSE, CONTINUE, CONTINUE_END, Frame, PING, PONG, TEXT, TEXT_START, Ws, frame};
use super::*;

/// The longest that the whole corpus may take.
const WITHIN: Duration = Duration::from_secs(15);

/// Good bytes and the frames that must come of them; then the bytes that end it, and the close code that must come of those. What
/// stands right before a broken frame may go unanswered, so the answers are read first.
struct Case {
    name: String,
    good: Vec<u8>,
    echoed: Vec<Frame>,
    end: Vec<u8>,
    code: u16,
}

/// A case whose bytes break a rule.
fn broken(name: impl Into<String>, bytes: Vec<u8>, code: u16) -> Case {
    Case { name: name.into(), good: Vec::new(), echoed: Vec::new(), end: bytes, code }
}

/// A case whose bytes are right; a Close of ours ends it.
fn right(name: impl Into<String>, bytes: Vec<u8>, echoed: Vec<Frame>) -> Case {
    Case { name: name.into(), good: bytes, echoed, end: frame(CLOSE, &1000u16.to_be_bytes()), code: 1000 }
}

fn text(text: impl AsRef<[u8]>) -> Frame {
    Frame { first: TEXT, payload: text.as_ref().to_vec() }
}

/// Cases 1: messages of every length.
fn messages(cases: &mut Vec<Case>) {
    for length in [0, 1, 125, 126, 127, 128, 65_535, 65_536, 65_537] {
        for first in [TEXT, BINARY] {
            let payload = vec![b'*'; length];
            let bytes = frame(first, &payload);
            cases.push(right(format!("1: {first:#x} of {length}"), bytes, vec![Frame { first, payload }]));
        }
    }
}

/// Cases 2: pings and pongs.
fn pings(cases: &mut Vec<Case>) {
    for payload in [&b""[..], b"Hello", b"\x00\xff\xfe", &[0xfe; 125]] {
        let pong = Frame { first: PONG, payload: payload.to_vec() };
        cases.push(right(format!("2: a ping of {}", payload.len()), frame(PING, payload), vec![pong]));
        cases.push(right("2: a pong of nobody's", frame(PONG, payload), Vec::new()));
    }
    cases.push(broken("2: a ping of 126", frame(PING, &[0xfe; 126]), 1002));
    let (many, pongs) = (0..10u8)
        .map(|number| (frame(PING, &[number]), Frame { first: PONG, payload: vec![number] }))
        .unzip::<_, _, Vec<_>, Vec<_>>();
    cases.push(right("2: ten pings at once", many.concat(), pongs));
}

/// Cases 3 and 4: reserved bits and opcodes, alone and behind a good message.
fn reserved(cases: &mut Vec<Case>) {
    let firsts = (1..8u8)
        .flat_map(|bits| [TEXT, BINARY, PING, CLOSE].map(|first| first | (bits << 4)))
        .chain([3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map(|opcode| 0x80 | opcode));
    for first in firsts {
        for payload in [&b""[..], b"reserved"] {
            cases.push(broken(format!("3, 4: {first:#x}"), frame(first, payload), 1002));
        }
        let bytes = [frame(first, b""), frame(PING, b"")].concat();
        let mut case = broken(format!("3, 4: {first:#x} behind a text"), bytes, 1002);
        case.good = frame(TEXT, b"good");
        case.echoed.push(text("good"));
        cases.push(case);
    }
}

/// Cases 5: fragments, and what may come between them.
fn fragments(cases: &mut Vec<Case>) {
    let pong = |payload: &[u8]| Frame { first: PONG, payload: payload.to_vec() };
    let whole = [frame(TEXT_START, b"one"), frame(CONTINUE, b""), frame(CONTINUE_END, b"two")].concat();
    cases.push(right("5: three fragments", whole, vec![text("onetwo")]));
    let empty = [frame(TEXT_START, b""), frame(CONTINUE, b""), frame(CONTINUE_END, b"")].concat();
    cases.push(right("5: fragments of nothing", empty, vec![text("")]));
    let between = [
        frame(TEXT_START, b"1"),
        frame(PING, b"a"),
        frame(CONTINUE, b"2"),
        frame(PING, b"b"),
        frame(CONTINUE_END, b"3"),
    ];
    cases.push(right("5: pings between", between.concat(), vec![pong(b"a"), pong(b"b"), text("123")]));
    for (name, bytes) in [
        ("5: a ping in fragments", [frame(0x09, b"a"), frame(CONTINUE_END, b"b")].concat()),
        ("5: a pong in fragments", [frame(0x0a, b"a"), frame(CONTINUE_END, b"b")].concat()),
        ("5: a close in fragments", frame(0x08, b"")),
        ("5: the end of nothing", frame(CONTINUE_END, b"x")),
        ("5: the middle of nothing", frame(CONTINUE, b"x")),
        ("5: a text in a text", [frame(TEXT_START, b"1"), frame(TEXT, b"2")].concat()),
        ("5: a binary in a text", [frame(TEXT_START, b"1"), frame(BINARY, b"2")].concat()),
        ("5: a start in a text", [frame(TEXT_START, b"1"), frame(TEXT_START, b"2")].concat()),
    ] {
        cases.push(broken(name, bytes, 1002));
    }
    let mut case = broken("5: a continuation behind the end", frame(CONTINUE_END, b"c"), 1002);
    case.good = whole_in_two(b"a", b"b");
    case.echoed.push(text("ab"));
    cases.push(case);
}

fn whole_in_two(start: &[u8], end: &[u8]) -> Vec<u8> {
    [frame(TEXT_START, start), frame(CONTINUE_END, end)].concat()
}

/// Cases 6: UTF-8, whole, cut at every byte, and wrong in every way (Unicode 15, table 3-7).
fn encodings(cases: &mut Vec<Case>) {
    let valid: [&[u8]; 12] = [
        b"",
        "Hello-\u{b5}@\u{df}\u{f6}\u{e4}\u{fc}\u{e0}\u{e1}-UTF-8!!".as_bytes(),
        "\u{3ba}\u{1f79}\u{3c3}\u{3bc}\u{3b5}".as_bytes(),
        b"\x00",
        b"\x7f",
        b"\xc2\x80",
        b"\xdf\xbf",
        b"\xe0\xa0\x80",
        b"\xed\x9f\xbf\xee\x80\x80",
        b"\xef\xbf\xbe\xef\xbf\xbf",
        b"\xf0\x90\x80\x80",
        b"\xf4\x8f\xbf\xbf",
    ];
    for payload in valid {
        cases.push(right(format!("6: {payload:x?}"), frame(TEXT, payload), vec![text(payload)]));
        let single = payload.iter().flat_map(|byte| frame(CONTINUE, &[*byte]));
        let cut = [frame(TEXT_START, b""), single.collect(), frame(CONTINUE_END, b"")].concat();
        cases.push(right(format!("6: {payload:x?} byte by byte"), cut, vec![text(payload)]));
    }
    let invalid: [&[u8]; 21] = [
        b"\x80",
        b"\xbf",
        b"\x80\xbf",
        b"\xc0\xaf",
        b"\xc1\xbf",
        b"\xc3\x28",
        b"\xe0\x80\xaf",
        b"\xe0\x9f\xbf",
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xed\xa0\x80\xed\xb0\x80",
        b"\xf0\x80\x80\xaf",
        b"\xf0\x8f\xbf\xbf",
        b"\xf4\x90\x80\x80",
        b"\xf5\x80\x80\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\xfc\x84\x80\x80\x80\x80",
        b"\xfe",
        b"\xff",
        b"\xce\xba\xed\xa0\x80edited",
        b"ok\xff",
    ];
    for payload in invalid {
        cases.push(broken(format!("6: {payload:x?}"), frame(TEXT, payload), 1007));
        // It fails at the frame that is wrong, and does not wait for the message's end.
        cases.push(broken(
            format!("6: {payload:x?}, at once"),
            frame(TEXT_START, &[payload, b"..."].concat()),
            1007,
        ));
    }
    for cut_off in [&b"\xce"[..], b"\xe2\x82", b"\xf0\x90\x80", b"\xf4\x8f\xbf"] {
        cases.push(broken(format!("6: {cut_off:x?} ends"), frame(TEXT, cut_off), 1007));
        cases.push(broken(format!("6: {cut_off:x?} ends in parts"), whole_in_two(cut_off, b""), 1007));
    }
    cases.push(broken("6: a point whose rest is wrong", whole_in_two(b"\xf4", b"\x90\x80\x80"), 1007));
}

/// Cases 7: closing, with every code and reason.
fn closings(cases: &mut Vec<Case>) {
    let close = |code: u16, reason: &[u8]| frame(CLOSE, &[&code.to_be_bytes(), reason].concat());
    let case = |name: String, bytes: Vec<u8>, code: u16| broken(name, bytes, code);
    for code in (1000..=1003).chain(1007..=1014).chain([3000, 3999, 4000, 4999]) {
        cases.push(case(format!("7: code {code}"), close(code, b""), code));
        cases.push(case(format!("7: code {code} with a reason"), close(code, &[b'r'; 123]), code));
    }
    for code in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999] {
        cases.push(case(format!("7: code {code}"), close(code, b""), 1002));
        cases.push(case(format!("7: code {code} with a reason"), close(code, b"reason"), 1002));
    }
    cases.push(case("7: no code".to_owned(), frame(CLOSE, b""), 1005));
    cases.push(case("7: half a code".to_owned(), frame(CLOSE, b"\x03"), 1002));
    cases.push(case("7: a reason of 124".to_owned(), close(1000, &[b'r'; 124]), 1002));
    cases.push(case("7: a reason that is not text".to_owned(), close(1000, b"\xce\xba\xed\xa0\x80"), 1007));
    for (name, after) in
        [("a text", frame(TEXT, b"late")), ("a ping", frame(PING, b"late")), ("a close", close(1001, b""))]
    {
        cases.push(case(format!("7: {name} after the close"), [close(1000, b""), after].concat(), 1000));
    }
    cases.push(case(
        "7: a close within a message".to_owned(),
        [frame(TEXT_START, b"half"), close(1000, b"")].concat(),
        1000,
    ));
}

/// Cases 10: a large message in many fragments.
fn many_fragments(cases: &mut Vec<Case>) {
    let payload = vec![b'*'; 65_536];
    let middle = payload.chunks(1300).flat_map(|piece| frame(CONTINUE, piece)).collect();
    let bytes = [frame(TEXT_START, b""), middle, frame(CONTINUE_END, b"")].concat();
    cases.push(right("10: 64 KiB in pieces of 1300", bytes, vec![text(payload)]));
}

async fn send(ws: &mut Ws, bytes: &[u8], piece_bytes: usize) {
    for piece in bytes.chunks(piece_bytes) {
        // The server may have closed already.
        if ws.send_raw(piece).await.is_err() {
            break;
        }
    }
}

async fn run(server: &Server, case: &Case, piece_bytes: usize) -> Ws {
    let Case { name, good, echoed, end, code } = case;
    let mut ws = super::ws::connect(server.address, "/echo", &[]).await.unwrap();
    send(&mut ws, good, piece_bytes).await;
    for wanted in echoed {
        assert_eq!(ws.next_frame().await.unwrap().as_ref(), Some(wanted), "{name}");
    }
    send(&mut ws, end, piece_bytes).await;
    match ws.next_frame().await.unwrap() {
        Some(Frame { first: CLOSE, payload }) => {
            let got = payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
            assert_eq!(got, *code, "{name}");
        }
        other => panic!("{name}: wanted Close {code}, got {other:?}"),
    }
    ws
}

#[actix_web::test]
async fn the_corpus_holds() {
    let server = Setup { alone: true, ..Setup::default() }.start().await.unwrap();
    let began = exai_actors::clock::now();
    let mut cases = Vec::new();
    for part in [messages, pings, reserved, fragments, encodings, closings, many_fragments] {
        part(&mut cases);
    }
    assert!(cases.len() >= 247, "{} cases", cases.len());
    for case in &cases {
        let mut ws = run(&server, case, usize::MAX).await;
        assert!(ws.is_closed_within(Duration::from_secs(2)).await, "{}: the socket lingers", case.name);
        if case.good.len() + case.end.len() < 300 {
            run(&server, case, 1).await;
        }
    }
    let took = exai_actors::clock::now() - began;
    assert!(took < WITHIN, "{} cases took {took:?}", cases.len());
}
