//! What whoever asks is told where there is no daemon and none can be started.

use std::io::{Read, Write};
use std::net::TcpListener;

use exai_upstream::Script;
use serde_json::json;

use crate::bridge::{Place, signal};
use crate::text;

#[test]
fn a_port_that_somebody_else_has_is_said_to_whoever_asks() {
    std::thread::scope(|others| {
        others.spawn(|| met(None, "does not answer"));
        others.spawn(|| met(Some("220 mail.example ready\r\n"), "is no EXAI"));
        others.spawn(|| met(Some("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"), "is no EXAI"));
    });
}

/// Another program has the port, and greets like this or takes connections in silence.
fn met(greeting: Option<&'static str>, what: &str) {
    let place = Place::new();
    let taken = TcpListener::bind(place.mcp).unwrap();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = taken.accept() {
            if let Some(greeting) = greeting {
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(greeting.as_bytes());
            } else {
                open.push(stream);
            }
        }
    });
    let mut bridge = place.bridge().modern();
    bridge.begin_chat(1, "anyone?");
    bridge.begin(2, "tools/list", json!({}));
    for id in [1, 2] {
        let answer = bridge.answer(id);
        assert_eq!(answer["error"]["code"], -32603, "{answer}");
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains(what) && message.contains("EXAI_LISTEN__MCP"), "{message}");
    }
    assert!(place.daemons().is_empty());
}

/// Stopped, it holds its port, and the kernel takes connections for it. A call that it was at is given up by the bridge and asked again.
#[test]
fn a_daemon_that_hangs_is_told_from_none_and_serves_once_it_goes_on() {
    let place = Place::new();
    let mut first = place.bridge().modern();
    assert!(first.request(1, "tools/list", json!({}))["result"].is_object());
    let daemon = place.daemon();
    place.kimi.push_script(Script::of("delay=1000+tokens=30"));
    first.begin_chat(2, "paid for");
    place.until_asked(1);
    signal(daemon, "STOP");
    let mut bridge = place.bridge().modern();
    bridge.begin_chat(1, "anyone?");
    bridge.begin(2, "tools/list", json!({}));
    let asked = place.home.run(&["health"]);
    assert!(
        asked.code == Some(1) && asked.stderr.contains("does not answer: an EXAI that hangs"),
        "{asked:?}"
    );
    let looked = place.home.run(&["doctor"]);
    let told =
        format!("FAIL daemon: what listens at {} does not answer", place.home.get("EXAI_LISTEN__DASHBOARD"));
    assert!(looked.stdout.contains(&told) && looked.stdout.contains("kill -CONT"), "{looked:?}");
    for id in [1, 2] {
        let answer = bridge.answer(id);
        assert_eq!(
            answer["error"]["data"],
            json!({ "kind": "internal", "retry_after_ms": 5000 }),
            "{answer}"
        );
        let message = answer["error"]["message"].as_str().unwrap();
        let ss = format!("ss -ltnp 'sport = :{}'", place.mcp.port());
        for words in [&place.mcp.to_string(), "does not answer", "hangs", &ss, "kill -CONT", "goes on trying"]
        {
            assert!(message.contains(words), "{words}: {message}");
        }
    }
    assert_eq!(place.daemon(), daemon, "no second one is started");
    assert_eq!(first.answer(2)["error"]["data"]["retry_after_ms"], 5000);
    // What is asked while it still hangs is answered once it goes on.
    bridge.begin_chat(3, "now?");
    signal(daemon, "CONT");
    let again = first.chat(4, "paid for");
    assert!(text(&again).contains("paid for"), "{again}");
    assert!(bridge.answer(3)["result"].is_object());
    assert_eq!((place.daemon(), bridge.answers(1), bridge.answers(2)), (daemon, 1, 1));
    let mut asked = place.kimi.journal().into_iter().map(|entry| entry.last_user).collect::<Vec<_>>();
    asked.sort();
    assert_eq!(asked, ["now?", "paid for"], "each once");
}

#[test]
fn a_daemon_that_cannot_start_or_takes_no_token_is_said_too() {
    let mut place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let free = place.home.get("EXAI_LISTEN__DASHBOARD").to_owned();
    place.home.set("EXAI_LISTEN__DASHBOARD", &taken.local_addr().unwrap().to_string());
    let mut bridge = place.bridge().modern();
    let answer = bridge.request(1, "tools/list", json!({}));
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.contains("EXAI_LISTEN__DASHBOARD") && message.contains("exai serve"), "{message}");
    assert!(message.contains(place.log_file().to_str().unwrap()), "{message}");
    // The same bridge serves once the port is free.
    drop(taken);
    assert!(bridge.request(2, "tools/list", json!({}))["result"].is_object());
    place.home.set("EXAI_LISTEN__DASHBOARD", &free);
    place.home.set("EXAI_TOKEN", "a-token-that-is-not-the-daemons");
    let mut stranger = place.bridge();
    stranger.begin(1, "initialize", json!({}));
    let answer = stranger.answer(1);
    assert_eq!(answer["error"]["data"]["kind"], "unauthorized", "{answer}");
    assert!(answer["error"]["message"].as_str().unwrap().contains("exai token"), "{answer}");
    assert!(!answer.to_string().contains("a-token-"), "{answer}");
    assert_eq!(stranger.seen.len(), 1);
}

#[test]
fn a_token_that_does_not_open_the_door_is_not_taken_for_a_wrong_name() {
    let mut place = Place::new();
    let mut first = place.bridge().modern();
    assert!(first.request(1, "tools/list", json!({}))["result"].is_object());
    let viewer = place.home.run(&["token", "add", "viewer", "--scope", "dashboard"]);
    place.home.set("EXAI_TOKEN", viewer.stdout.trim());
    let mut stranger = place.bridge();
    stranger.begin(1, "initialize", json!({}));
    let answer = stranger.answer(1);
    assert_eq!(answer["error"]["data"]["kind"], "unauthorized", "{answer}");
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.contains("--scope client") && !message.contains("allowed_hosts"), "{message}");
}
