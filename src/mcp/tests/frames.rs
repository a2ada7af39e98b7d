//! The rules of RFC 6455 on the wire, with frames that no client library would send.

use exai_actors::session::messages::Settings;

use super::ws::{BINARY, CLOSE, CONTINUE, CONTINUE_END, Frame, PING, PONG, TEXT, TEXT_START, frame, header};
use super::*;

/// What a frame that is too large may cost beside the limit itself.
const SLACK_BYTES: u64 = 1024 * 1024;

#[actix_web::test]
async fn every_broken_rule_closes_with_its_code() {
    let server = Server::start().await.unwrap();
    let ping_text = ping(json!(1)).to_string();
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        ("binary", frame(BINARY, b"{}"), 1003),
        ("broken UTF-8", frame(TEXT, b"\"\xff\""), 1007),
        (
            "UTF-8 broken across fragments",
            [frame(TEXT_START, b"\xe2\x82"), frame(CONTINUE_END, b"\x00")].concat(),
            1007,
        ),
        ("reserved bits", frame(TEXT | 0x40, b"{}"), 1002),
        ("reserved opcode", frame(0x83, b"{}"), 1002),
        ("unmasked", vec![TEXT, 2, b'{', b'}'], 1002),
        ("a continuation of nothing", frame(CONTINUE_END, b"{}"), 1002),
        ("a message within a message", [frame(TEXT_START, b"{"), frame(TEXT, b"}")].concat(), 1002),
        ("a fragmented ping", frame(0x09, b""), 1002),
        ("a ping of 126 bytes", frame(PING, &[0; 126]), 1002),
        ("close code 1006", frame(CLOSE, &1006u16.to_be_bytes()), 1002),
        ("close code 0", frame(CLOSE, &[0, 0]), 1002),
        ("half a close code", frame(CLOSE, &[3]), 1002),
        ("a close reason that is not UTF-8", frame(CLOSE, b"\x03\xe8\xff"), 1007),
        (
            "a good message and then a bad one",
            [frame(TEXT, ping_text.as_bytes()), frame(0x87, b"")].concat(),
            1002,
        ),
    ];
    for (name, bytes, code) in cases {
        let mut ws = server.connect().await.unwrap();
        ws.send_raw(&bytes).await.unwrap();
        assert_eq!(ws.close_code().await.unwrap(), code, "{name}");
        assert!(ws.is_closed_within(Duration::from_millis(900)).await, "{name}: the socket lingers");
    }
    assert!(server.until(|server| server.connections.total() == 0).await);
}

#[actix_web::test]
async fn a_close_is_answered_with_its_own_code() {
    let server = Server::start().await.unwrap();
    for code in [1000, 1001, 3000, 4999] {
        let mut ws = server.connect().await.unwrap();
        ws.send_close(code).await.unwrap();
        assert_eq!(ws.close_code().await.unwrap(), code);
        assert!(ws.is_closed_within(Duration::from_millis(500)).await);
    }
    let mut ws = server.connect().await.unwrap();
    ws.send_frame(CLOSE, b"").await.unwrap();
    assert_eq!(ws.close_code().await.unwrap(), 1005);
}

#[actix_web::test]
async fn fragments_make_one_message_with_pings_between_them() {
    let server = Server::start().await.unwrap();
    let mut ws = server.initialized().await.unwrap();
    let text = ping(json!("€")).to_string().into_bytes();
    let (start, rest) = text.split_at(text.iter().position(|byte| *byte > 127).unwrap() + 1);
    ws.send_frame(TEXT_START, start).await.unwrap();
    ws.send_frame(PING, b"between").await.unwrap();
    let pong = Frame { first: PONG, payload: b"between".to_vec() };
    assert_eq!(ws.next_frame().await.unwrap(), Some(pong));
    ws.send_frame(CONTINUE, b"").await.unwrap();
    ws.send_frame(CONTINUE_END, rest).await.unwrap();
    assert_eq!(next(&mut ws).await.unwrap()["id"], "€");
}

#[actix_web::test]
async fn a_frame_may_come_byte_by_byte_and_many_may_come_at_once() {
    let server = Server::start().await.unwrap();
    let mut ws = server.initialized().await.unwrap();
    for byte in frame(TEXT, ping(json!(1)).to_string().as_bytes()) {
        ws.send_raw(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(next(&mut ws).await.unwrap()["id"], 1);
    let many = (2..30).flat_map(|id| frame(TEXT, ping(json!(id)).to_string().as_bytes())).collect::<Vec<_>>();
    ws.send_raw(&many).await.unwrap();
    for id in 2..30 {
        assert_eq!(next(&mut ws).await.unwrap()["id"], id);
    }
}

#[actix_web::test]
async fn a_declared_terabyte_costs_nothing() {
    let server = Setup { alone: true, ..Setup::default() }.start().await.unwrap();
    let limit = session_settings().message_bytes_max as u64;
    let before = resident_bytes();
    let mut sockets = Vec::new();
    for _ in 0..20 {
        let mut ws = server.connect().await.unwrap();
        ws.send_raw(&header(TEXT, 1 << 40)).await.unwrap();
        // The server may close at any time, and then these bytes have nowhere to go.
        for _ in 0..64 {
            if ws.send_raw(&[b'a'; 64 * 1024]).await.is_err() {
                break;
            }
        }
        sockets.push(ws);
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < limit + SLACK_BYTES, "twenty such frames cost {grown} bytes");
    let mut ws = server.connect().await.unwrap();
    ws.send_raw(&header(TEXT, 1 << 40)).await.unwrap();
    ws.send_raw(&[b'a'; 100_000]).await.unwrap();
    assert_eq!(ws.close_code().await.unwrap(), 1009);
}

#[actix_web::test]
async fn a_message_over_the_limit_is_1009_however_it_is_cut() {
    let session = Settings { message_bytes_max: 10_000, ..session_settings() };
    let server = Setup { session, ..Setup::default() }.start().await.unwrap();
    let half = vec![b' '; 5_000];
    let fits = {
        let mut padded = ping(json!(1)).to_string().into_bytes();
        padded.resize(10_000, b' ');
        padded
    };
    let mut ws = server.initialized().await.unwrap();
    ws.send_frame(TEXT, &fits).await.unwrap();
    assert_eq!(next(&mut ws).await.unwrap()["id"], 1);
    let whole = frame(TEXT, &[b' '; 10_001]);
    let cut = [frame(TEXT_START, &half), frame(CONTINUE, &half), frame(CONTINUE_END, b" ")].concat();
    for bytes in [whole, cut] {
        let mut ws = server.connect().await.unwrap();
        ws.send_raw(&bytes).await.unwrap();
        assert_eq!(ws.close_code().await.unwrap(), 1009);
        ws.send_close(1009).await.unwrap();
        assert!(ws.is_closed_within(Duration::from_secs(2)).await);
    }
}

#[cfg(feature = "faults")]
#[actix_web::test]
async fn the_echo_gives_back_what_it_gets() {
    let server = Server::start().await.unwrap();
    let mut ws = super::ws::connect(server.address, "/echo", &[]).await.unwrap();
    for length in [0, 1, 125, 126, 65_535, 65_536, 1 << 20] {
        let payload = vec![b'x'; length];
        for first in [TEXT, BINARY] {
            ws.send_frame(first, &payload).await.unwrap();
            assert_eq!(ws.next_frame().await.unwrap(), Some(Frame { first, payload: payload.clone() }));
        }
    }
}

/// A whole text message, masked.
pub(super) fn text_frame(text: &str) -> Vec<u8> {
    frame(TEXT, text.as_bytes())
}

/// The memory of this process that is really there.
pub(super) fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0);
    pages * 4096
}
