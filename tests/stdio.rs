//! `exai stdio` as a client meets it: real bridges at real pipes, a daemon that they start, restarts, kills and rude clients.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "stdio/away.rs"]
mod away;
#[path = "support/bridge.rs"]
mod bridge;
#[path = "support/exai.rs"]
mod exai;
#[path = "stdio/outages.rs"]
mod outages;
#[path = "support/ports.rs"]
mod ports;
#[path = "stdio/settings.rs"]
mod settings;

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use bridge::{Bridge, Place, SOON, is_alive, signal};
use exai::within;
use exai_upstream::{Ended, Script};
use serde_json::{Value, json};

/// How soon a bridge has ended; twice what it promises, for a debug build on a busy machine.
const EXIT: Duration = Duration::from_secs(2);

fn text(answer: &Value) -> &str {
    answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text: {answer}"))
}

#[test]
fn a_kill_under_fifty_calls_leaves_none_unanswered_and_sends_none_twice() {
    let mut place = Place::new();
    for (key, value) in [("PROVIDERS__KIMI__MAX_IN_FLIGHT", "20"), ("LIMITS__QUEUE_WAIT_MS", "60000")] {
        place.home.set(&format!("EXAI_{key}"), value);
    }
    // The first twenty never end by themselves, so that the kill finds all of them under way.
    for _ in 0..20 {
        place.kimi.push_script(Script::of("stall-after=2"));
    }
    let mut bridges = (0..10)
        .map(|n| if n % 2 == 0 { place.bridge().modern() } else { place.bridge() })
        .collect::<Vec<_>>();
    for bridge in bridges.iter_mut().skip(1).step_by(2) {
        bridge.shake_hands();
    }
    for (n, bridge) in bridges.iter_mut().enumerate() {
        for call in 1..=5 {
            bridge.begin_chat(call, &format!("call {n} {call}."));
        }
    }
    place.until_asked(20);
    // A daemon that has answered something asked later has taken all of these.
    for bridge in &mut bridges {
        bridge.request(90, "tools/call", json!({ "name": "version", "arguments": {} }));
    }
    let daemon = place.daemon();
    signal(daemon, "KILL");
    let (mut answered, mut unknown) = (0, 0);
    for bridge in &mut bridges {
        for call in 1..=5 {
            let answer = bridge.answer(call);
            if answer["result"]["isError"] == true {
                assert_eq!(answer["result"]["_meta"]["exai/error"]["kind"], "conflict", "{answer}");
                assert!(text(&answer).contains("may have been billed"), "{answer}");
                unknown += 1;
            } else {
                assert!(text(&answer).contains("call "), "{answer}");
                answered += 1;
            }
        }
    }
    assert_eq!((answered, unknown), (30, 20));
    assert_ne!(place.daemon(), daemon);
    let mut sent = BTreeMap::<String, usize>::new();
    for entry in place.kimi.journal() {
        *sent.entry(entry.last_user).or_default() += 1;
    }
    assert!(sent.len() == 50 && sent.values().all(|times| *times == 1), "{sent:?}");
    for bridge in &mut bridges {
        bridge.request(91, "tools/list", json!({}));
        assert!((1..=5).all(|call| bridge.answers(call) == 1), "{:?}", bridge.seen);
    }
}

#[test]
fn ten_bridges_at_once_start_one_daemon() {
    let place = Place::new();
    let mut bridges = (0..10).map(|_| place.bridge()).collect::<Vec<_>>();
    for bridge in &mut bridges {
        bridge.shake_hands();
        let list = bridge.request(1, "tools/list", json!({}));
        assert!(list["result"]["tools"].as_array().unwrap().len() >= 5, "{list}");
    }
    let daemon = place.daemon();
    let log = place.log();
    assert_eq!(log.matches(" listening mcp=").count(), 1, "{log}");
    let (started, mut said) = ("started a daemon", 0);
    for mut bridge in bridges {
        bridge.close();
        assert_eq!(bridge.exit_code(EXIT), Some(0));
        said += bridge.all_said().iter().filter(|line| line.contains(started)).count();
    }
    assert_eq!(said, 1);
    assert!(is_alive(daemon), "the daemon outlives its bridges");
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(place.log_file()).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_daemon_that_restarts_is_not_noticed_in_either_era() {
    let place = Place::new();
    let (mut legacy, mut modern) = (place.bridge(), place.bridge().modern());
    legacy.shake_hands();
    for (n, word) in ["TERM", "KILL", "TERM"].iter().enumerate() {
        let id = i64::try_from(n).unwrap() * 10 + 1;
        for bridge in [&mut legacy, &mut modern] {
            let answer = bridge.chat(id, &format!("before {word}"));
            assert!(text(&answer).contains(&format!("before {word}")), "{answer}");
            assert_eq!(
                answer["result"]["_meta"]["exai/receipt"]["host"].as_str(),
                Some(host(&place).as_str())
            );
        }
        let daemon = place.daemon();
        signal(daemon, word);
        assert!(within(SOON, || !is_alive(daemon)));
        for bridge in [&mut legacy, &mut modern] {
            let list = bridge.request(id + 1, "tools/list", json!({}));
            assert!(list["result"]["tools"].is_array(), "{list}");
            assert!(text(&bridge.chat(id + 2, "and after")).contains("and after"));
        }
    }
    assert_eq!(legacy.answers(0), 1, "the handshake's repetition is the bridge's own");
    assert!(legacy.seen.iter().chain(&modern.seen).all(|message| !message["id"].is_string()));
}

fn host(place: &Place) -> String {
    place.kimi.addr().to_string()
}

#[test]
fn a_call_that_finds_the_daemon_leaving_waits_for_the_next_one() {
    let place = Place::new();
    let (mut one, mut other) = (place.bridge().modern(), place.bridge().modern());
    other.request(1, "tools/list", json!({}));
    place.kimi.push_script(Script::of("delay=2000+tokens=30"));
    one.begin_chat(1, "let me finish");
    place.until_asked(1);
    let daemon = place.daemon();
    signal(daemon, "TERM");
    assert!(within(SOON, || place.log().contains("draining")));
    let answer = other.chat(2, "in between");
    assert!(text(&answer).contains("in between"), "{answer}");
    assert!(text(&one.answer(1)).contains("let me finish"));
    // Its ports are closed before its last writes are done.
    assert!(within(SOON, || !is_alive(daemon)));
    assert_ne!(place.daemon(), daemon);
    assert_eq!(place.kimi.journal().len(), 2);
}

#[test]
fn what_waited_for_a_connection_is_not_sent_too_fast_for_the_daemon() {
    let mut place = Place::new();
    place.home.set("EXAI_LIMITS__BURST", "10");
    let mut bridge = place.bridge().modern();
    for id in 1..=30 {
        bridge.begin(id, "tools/call", json!({ "name": "version", "arguments": {} }));
    }
    for id in 1..=30 {
        let answer = bridge.answer(id);
        assert!(text(&answer).contains("EXAI"), "{answer}");
    }
}

#[test]
fn progress_goes_on_and_a_cancel_passes() {
    let place = Place::new();
    let mut bridge = place.bridge();
    bridge.shake_hands();
    place.kimi.push_script(Script::of("stall-after=2"));
    bridge.begin_chat(5, "hang");
    bridge.until(|message| message["params"]["progressToken"] == 5);
    place.until_asked(1);
    let cancel = json!({ "requestId": 5, "reason": "a test" });
    bridge.tell(&json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": cancel }));
    assert!(within(SOON, || place.kimi.journal()[0].ended == Ended::ClientClosed));
    assert!(text(&bridge.chat(6, "the next one")).contains("the next one"));
    assert_eq!(bridge.answers(5), 0);
    for id in [5, 6] {
        let told = bridge.progress(id);
        assert!(!told.is_empty() && told.windows(2).all(|pair| pair[0] < pair[1]), "{told:?}");
    }
}

#[test]
fn the_end_of_the_input_ends_it() {
    let place = Place::new();
    let mut idle = place.bridge();
    idle.shake_hands();
    idle.close();
    assert_eq!(idle.exit_code(EXIT), Some(0));
    let mut asks = place.bridge().modern();
    asks.begin(1, "tools/list", json!({}));
    asks.close();
    assert_eq!(asks.exit_code(EXIT), Some(0));
    assert_eq!(asks.answers(1), 1, "an answer that comes at once still comes");
    place.kimi.push_script(Script::of("stall-after=2"));
    let mut waits = place.bridge().modern();
    waits.begin_chat(1, "hang");
    place.until_asked(1);
    waits.close();
    assert_eq!((waits.exit_code(EXIT), waits.answers(1)), (Some(0), 0));
    // A bridge that has found no daemon yet ends as soon.
    let mut place = Place::new();
    place.home.set("EXAI_TOKEN", "");
    place.home.set("EXAI_STORAGE__URL", "sqlite:///proc/none/exai.db");
    let mut lost = place.bridge().modern();
    lost.begin(1, "tools/list", json!({}));
    lost.close();
    assert_eq!(lost.exit_code(EXIT), Some(0));
}

#[test]
fn a_killed_parent_leaves_no_bridge() {
    let place = Place::new();
    let bridge = place.home.command(&["stdio"]);
    let script =
        format!("exec 3<&0; '{}' stdio <&3 & echo \"pid $!\" >&2; wait", bridge.get_program().display());
    let mut client = Command::new("sh");
    client.args(["-c", &script]).current_dir(bridge.get_current_dir().unwrap()).env_clear();
    client.envs(bridge.get_envs().filter_map(|(name, value)| Some((name, value?))));
    // The test holds the other ends of the pipes, so the bridge sees no end of its input.
    let mut client = Bridge::of(client).modern();
    let pid = loop {
        if let Some(pid) = client.said().strip_prefix("pid ") {
            break pid.parse::<u32>().unwrap();
        }
    };
    client.request(1, "tools/list", json!({}));
    assert!(is_alive(pid));
    client.child.kill().unwrap();
    assert!(within(EXIT, || !is_alive(pid)), "the bridge lives on");
    assert!(is_alive(place.daemon()));
}

#[test]
fn garbage_is_answered_by_the_book_and_harms_nothing() {
    let mut place = Place::new();
    place.home.set("EXAI_LIMITS__MESSAGE_BYTES", "65536");
    let mut bridge = place.bridge();
    bridge.shake_hands();
    let code = |bridge: &mut Bridge, line: &[u8]| {
        bridge.seen.clear();
        bridge.tell_bytes(line);
        let error = bridge.until(|message| message["id"].is_null() && message["error"].is_object());
        error["error"]["code"].as_i64().unwrap()
    };
    for line in [&b"garbage\n"[..], b"{\"jsonrpc\":\n", b"\xff\xfe\n", b"\x00\x01\n"] {
        assert_eq!(code(&mut bridge, line), -32700, "{line:?}");
    }
    for line in [&b"[]\n"[..], b"[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}]\n", b"7\n", b"{}\n"] {
        assert_eq!(code(&mut bridge, line), -32600, "{line:?}");
    }
    bridge.tell_bytes(b"\n  \n\r\n");
    let large =
        json!({ "jsonrpc": "2.0", "params": { "x": "x".repeat(200_000) }, "method": "ping", "id": 55 });
    bridge.tell_bytes(format!("{}\n", serde_json::to_string(&large).unwrap()).as_bytes());
    let refused = bridge.answer(55);
    assert_eq!(refused["error"]["data"]["kind"], "too_large", "{refused}");
    bridge.begin(56, "tools/call", json!({ "name": "chat", "arguments": { "prompt": "x".repeat(65_400) } }));
    assert_eq!(bridge.answer(56)["error"]["data"]["kind"], "too_large", "with the name that it gets");
    let unknown = bridge.request(57, "tools/call", json!({ "name": "no such tool", "arguments": {} }));
    assert!(unknown["error"].is_object(), "{unknown}");
    assert!(text(&bridge.chat(58, "and still")).contains("and still"));
}
