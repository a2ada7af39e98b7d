//! What a client says while its bridge has no connection, and how its last words are taken.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use exai_upstream::{Ended, Script};
use serde_json::{Value, json};

use crate::bridge::{Bridge, Place, SOON};
use crate::exai::within;

/// How it treats connections.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Open,
    /// Takes them and passes nothing on.
    Held,
    /// Closes them.
    Cut,
    /// Has the daemon take them, and then closes them: so does one that leaves, until its port is closed too.
    Leaving,
}

/// The way from a bridge to its daemon, which can be cut.
struct Way {
    at: SocketAddr,
    state: Arc<Mutex<(Mode, Vec<TcpStream>)>>,
    /// What the bridge has said since the last cut.
    heard: Heard,
}

type Heard = Arc<Mutex<Vec<u8>>>;

impl Way {
    fn to(daemon: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new((Mode::Open, Vec::new())));
        let (shared, heard) = (Arc::clone(&state), Heard::default());
        let hears = Arc::clone(&heard);
        std::thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                while shared.lock().unwrap().0 == Mode::Held {
                    std::thread::sleep(Duration::from_millis(5));
                }
                let mut state = shared.lock().unwrap();
                if state.0 == Mode::Cut {
                    continue;
                }
                let server = TcpStream::connect(daemon).unwrap();
                if state.0 == Mode::Leaving {
                    head(&client, &server).and_then(|()| head(&server, &client)).ok();
                    continue;
                }
                let ways = [(&client, &server, Arc::clone(&hears)), (&server, &client, Heard::default())];
                for (from, to, heard) in ways {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    std::thread::spawn(move || pass(from, to, &heard).ok());
                }
                state.1.extend([client, server]);
            }
        });
        Self { at, state, heard }
    }

    /// Ends every connection; those that come from here on find it so.
    fn cut(&self, mode: Mode) {
        let mut state = self.state.lock().unwrap();
        state.0 = mode;
        self.heard.lock().unwrap().clear();
        for stream in state.1.drain(..) {
            stream.shutdown(Shutdown::Both).ok();
        }
    }

    fn open(&self) {
        self.state.lock().unwrap().0 = Mode::Open;
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, heard: &Heard) -> io::Result<()> {
    let mut piece = [0; 8192];
    loop {
        let read = from.read(&mut piece)?;
        if read == 0 {
            return to.shutdown(Shutdown::Both);
        }
        heard.lock().unwrap().extend_from_slice(&piece[..read]);
        to.write_all(&piece[..read])?;
    }
}

/// Passes the head of an HTTP message.
fn head(mut from: &TcpStream, mut to: &TcpStream) -> io::Result<()> {
    let (mut passed, mut byte) = (Vec::new(), [0]);
    while !passed.ends_with(b"\r\n\r\n") {
        from.read_exact(&mut byte)?;
        passed.push(byte[0]);
    }
    to.write_all(&passed)
}

/// The methods of the messages in a client's side of a WebSocket, each in one masked frame (RFC 6455 5.2).
fn methods(heard: &[u8]) -> Vec<String> {
    let head = heard.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let (mut rest, mut methods) = (&heard[head..], Vec::new());
    while let [first, length, ..] = *rest {
        let (length, from) = match length & 0x7f {
            126 => (usize::from(u16::from_be_bytes([rest[2], rest[3]])), 4),
            short => (usize::from(short), 2),
        };
        let (mask, payload) = rest[from..from + 4 + length].split_at(4);
        let plain =
            payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect::<Vec<_>>();
        if first == 0x81 {
            let message = serde_json::from_slice::<Value>(&plain).unwrap();
            methods.push(message["method"].as_str().unwrap_or_default().to_owned());
        }
        rest = &rest[from + 4 + length..];
    }
    methods
}

/// A bridge behind a way that can be cut, to a daemon that another one has started.
fn behind_a_way(place: &mut Place) -> (Way, Bridge) {
    let mut first = place.bridge().modern();
    first.request(1, "tools/list", json!({}));
    let way = Way::to(place.mcp);
    place.home.set("EXAI_LISTEN__MCP", &way.at.to_string());
    (way, place.bridge())
}

/// Waits until the bridge has heard everything so far: it answers this one itself.
fn until_heard(bridge: &mut Bridge) {
    bridge.seen.clear();
    bridge.tell_bytes(b"garbage\n");
    bridge.until(|message| message["error"]["code"] == -32700);
}

fn until_said(bridge: &mut Bridge, words: &str) {
    while !bridge.said().contains(words) {}
}

#[test]
fn a_cancel_that_is_said_while_the_daemon_is_away_reaches_it() {
    let mut place = Place::new();
    let (way, mut bridge) = behind_a_way(&mut place);
    bridge.shake_hands();
    place.kimi.push_script(Script::of("stall-after=2"));
    bridge.begin_chat(5, "hang");
    place.until_asked(1);
    way.cut(Mode::Cut);
    until_said(&mut bridge, "the connection to the daemon ended");
    bridge.tell(&json!({
        "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 5 },
    }));
    until_heard(&mut bridge);
    assert_eq!(place.kimi.journal()[0].ended, Ended::Running, "the call goes on meanwhile");
    way.open();
    assert!(within(SOON, || place.kimi.journal()[0].ended == Ended::ClientClosed));
    assert!(bridge.chat(6, "the next one")["result"].is_object());
    assert_eq!((bridge.answers(5), place.kimi.journal().len()), (0, 2));
}

#[test]
fn the_end_of_a_handshake_reaches_the_connection_that_is_being_made() {
    let mut place = Place::new();
    let (way, mut bridge) = behind_a_way(&mut place);
    let who = json!({ "name": "systest", "version": "1" });
    let params = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": who });
    bridge.request(0, "initialize", params);
    way.cut(Mode::Held);
    until_said(&mut bridge, "the connection to the daemon ended");
    bridge.tell(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
    bridge.begin_chat(1, "is the handshake over?");
    until_heard(&mut bridge);
    way.open();
    assert!(bridge.answer(1)["result"].is_object());
    let said = methods(&way.heard.lock().unwrap());
    assert_eq!(said, ["initialize", "notifications/initialized", "tools/call"]);
}

#[test]
fn a_daemon_that_takes_its_time_to_leave_wears_out_no_request() {
    let mut place = Place::new();
    let (way, bridge) = behind_a_way(&mut place);
    let (mut modern, mut legacy) = (bridge.modern(), place.bridge());
    modern.request(1, "tools/list", json!({}));
    legacy.shake_hands();
    way.cut(Mode::Leaving);
    for bridge in [&mut modern, &mut legacy] {
        bridge.begin_chat(2, "are you still there?");
    }
    // So long it leaves; whoever comes again as fast as the port can be opened has come very often meanwhile.
    std::thread::sleep(Duration::from_secs(1));
    way.open();
    for bridge in [&mut modern, &mut legacy] {
        let answer = bridge.answer(2);
        assert!(answer["result"].is_object(), "{answer}");
    }
}

#[test]
fn the_last_line_needs_no_line_break() {
    let place = Place::new();
    let mut bridge = place.bridge();
    bridge.shake_hands();
    bridge.tell_bytes(br#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#);
    bridge.close();
    assert_eq!(bridge.exit_code(crate::EXIT), Some(0));
    assert_eq!(bridge.answers(1), 1);
}
