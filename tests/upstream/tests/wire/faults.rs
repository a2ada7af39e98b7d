//! What a client sees of the scripted faults, and what the journal says of them.

use std::io::Read;
use std::time::Duration;

use crate::support::{ask, chat, open};
use exai_upstream::{Ended, Make, Script, Upstream};

/// It takes a few milliseconds; the rest is for a busy machine.
const NOTICED: Duration = Duration::from_millis(300);

/// How the last request ended, once it has.
fn ended(upstream: &Upstream) -> Ended {
    let done =
        |entries: &[exai_upstream::Entry]| entries.last().is_some_and(|entry| entry.ended != Ended::Running);
    assert!(upstream.wait_for(Duration::from_secs(2), done));
    upstream.journal().last().unwrap().ended
}

#[test]
fn cut_is_a_proper_end_without_finish() {
    for make in Make::ALL {
        let upstream = Upstream::start(make).unwrap();
        let response = chat(&upstream, &ask(make, "cut-after=4+pace=0", true));
        assert!(response.whole && !response.reset);
        assert_eq!(response.data().len(), 4);
        assert!(!response.text().contains("[DONE]") && !response.text().contains("\"stop\""));
        assert_eq!(ended(&upstream), Ended::Scripted);
    }
}

#[test]
fn eof_leaves_the_body_open() {
    let upstream = Upstream::start(Make::Kimi).unwrap();
    let response = chat(&upstream, &ask(Make::Kimi, "eof-after=4+pace=0", true));
    assert!(!response.whole && !response.reset);
    assert_eq!((response.data().len(), ended(&upstream)), (4, Ended::Scripted));
}

#[test]
fn reset_is_a_reset_in_the_middle_of_a_line() {
    for script in ["reset-after=3+pace=0", "reset-after=3+pace=0+split=5"] {
        let upstream = Upstream::start(Make::Glm).unwrap();
        let response = chat(&upstream, &ask(Make::Glm, script, true));
        assert!(response.reset && !response.whole, "{script}");
        let lines = response.data();
        assert_eq!(lines.len(), 4, "{script}");
        assert!(serde_json::from_str::<serde_json::Value>(&lines[3]).is_err(), "{}", lines[3]);
        assert_eq!(ended(&upstream), Ended::Scripted);
    }
}

#[test]
fn no_byte_comes_of_a_hang_up_or_an_early_reset() {
    for (script, reset) in [("hang-up", false), ("reset", true)] {
        let upstream = Upstream::start(Make::Kimi).unwrap();
        let response = chat(&upstream, &ask(Make::Kimi, script, true));
        assert_eq!((response.status, response.reset, response.body.len()), (0, reset, 0), "{script}");
        assert_eq!((ended(&upstream), upstream.journal()[0].sent_bytes), (Ended::Scripted, 0));
    }
}

#[test]
fn leave_is_a_whole_answer_and_then_the_end() {
    let upstream = Upstream::start(Make::Kimi).unwrap();
    let mut stream = open(&upstream, &ask(Make::Kimi, "leave+tokens=2+pace=0", true));
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("connection: keep-alive") && text.contains("[DONE]"), "{text}");
    assert_eq!(ended(&upstream), Ended::Complete);
}

#[test]
fn stall_is_silence_until_the_client_leaves() {
    let upstream = Upstream::start(Make::Kimi).unwrap();
    let mut stream = open(&upstream, &ask(Make::Kimi, "stall-after=2+pace=0", true));
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut bytes = Vec::new();
    assert!(stream.read_to_end(&mut bytes).is_err(), "it must time out");
    assert_eq!(String::from_utf8_lossy(&bytes).matches("data: ").count(), 2);
    assert_eq!((upstream.in_flight(), upstream.journal()[0].ended), (1, Ended::Running));
    let left = crate::support::now();
    drop(stream);
    assert_eq!(ended(&upstream), Ended::ClientClosed);
    assert!(left.elapsed() < NOTICED, "{:?}", left.elapsed());
    assert_eq!(upstream.in_flight(), 0);
}

#[test]
fn a_client_that_leaves_is_noticed_in_every_phase() {
    for make in Make::ALL {
        let upstream = Upstream::start(make).unwrap();
        for (n, script) in [
            "slow-headers=60000",
            "delay=60000",
            "pace=60000",
            "endless+pace=0",
            "endless+pace=5",
            "split=1+endless",
            "comments-after=1+pace=0",
            "empties-after=1+pace=5",
        ]
        .into_iter()
        .enumerate()
        {
            for stream in [true, false] {
                if !stream && (script.contains("endless") || script.contains("after=")) {
                    continue;
                }
                let client = open(&upstream, &ask(make, script, stream));
                assert!(upstream.wait_for(Duration::from_secs(2), |all| {
                    all.iter().any(|e| e.ended == Ended::Running && !e.script.is_empty())
                }));
                std::thread::sleep(Duration::from_millis(30));
                let left = crate::support::now();
                drop(client);
                assert_eq!(ended(&upstream), Ended::ClientClosed, "{n} {script} {stream}");
                assert!(left.elapsed() < NOTICED, "{script}: {:?}", left.elapsed());
            }
        }
    }
}

#[test]
fn slow_headers_delay_and_pace_take_their_time() {
    let upstream = Upstream::start(Make::OpenAi).unwrap();
    for (script, stream, ms) in [
        ("slow-headers=200+pace=0", true, 200),
        ("delay=200+pace=0", true, 200),
        ("delay=200+pace=0", false, 200),
        ("tokens=20+pace=10", true, 200),
        ("tokens=20+pace=10", false, 200),
    ] {
        let began = crate::support::now();
        assert!(chat(&upstream, &ask(Make::OpenAi, script, stream)).whole);
        let took = began.elapsed();
        assert!(
            took >= Duration::from_millis(ms) && took < Duration::from_millis(ms + 2000),
            "{script} {stream}: {took:?}"
        );
    }
}

#[test]
fn wrong_bodies_come_with_status_200() {
    for make in Make::ALL {
        let upstream = Upstream::start(make).unwrap();
        let garbage = chat(&upstream, &ask(make, "garbage", true));
        assert!(
            garbage.whole
                && garbage.head.contains("text/event-stream")
                && String::from_utf8(garbage.body).is_err()
        );
        let html = chat(&upstream, &ask(make, "html", true));
        assert!(html.status == 200 && html.head.contains("text/html") && html.text().starts_with("<html>"));
        let wrong = chat(&upstream, &ask(make, "wrong-type+pace=0", true));
        assert_eq!(wrong.json()["object"], "chat.completion");
        assert!(wrong.head.contains("application/json"));
        let late = chat(&upstream, &ask(make, "garbage-after=2+pace=0", true));
        assert!(late.whole && String::from_utf8_lossy(&late.body).contains("not an event stream"));
        let huge = chat(&upstream, &ask(make, "huge=3000000+pace=0", true));
        assert!(huge.whole && huge.joined("content").len() > 3_000_000);
        let failed = chat(&upstream, &ask(make, "error-after=3+pace=0", true));
        assert!(failed.chunks().last().unwrap()["error"].is_object() && failed.data().len() == 4);
        assert_eq!(ended(&upstream), Ended::Scripted);
    }
}

#[test]
fn soft_failures_ride_on_finish_reason_and_another_model_may_answer() {
    let upstream = Upstream::start(Make::Glm).unwrap();
    for reason in ["sensitive", "network_error", "model_context_window_exceeded"] {
        let response =
            chat(&upstream, &ask(Make::Glm, &format!("finish={reason}+pace=0+model=glm-4.6"), true));
        let last = response.chunks().pop().unwrap();
        assert_eq!(
            (&last["choices"][0]["finish_reason"], &last["model"]),
            (&reason.into(), &"glm-4.6".into())
        );
    }
}

#[test]
fn the_queue_comes_before_the_header_and_the_name_and_the_default() {
    let upstream = Upstream::start(Make::Kimi).unwrap();
    upstream.set_default(Script::of("tokens=4+pace=0"));
    upstream.push_script(Script::of("tokens=1+pace=0"));
    upstream.push_script_to("/models", Script::of("refuse=503"));
    let words = |name: &str, header: &str| {
        let body = ask(Make::Kimi, name, true).to_string();
        let response = crate::support::send(&upstream, "POST", "/chat/completions", header, body.as_bytes());
        response.joined("content").split_whitespace().count()
    };
    assert_eq!(words("tokens=3+pace=0", "x-upstream-script: tokens=2+pace=0\r\n"), 1);
    assert_eq!(words("tokens=3+pace=0", "x-upstream-script: tokens=2+pace=0\r\n"), 2);
    assert_eq!(words("tokens=3+pace=0", ""), 3);
    assert_eq!(words("", ""), 4);
    assert_eq!(crate::support::send(&upstream, "GET", "/models", "", b"").status, 503);
    assert_eq!(crate::support::send(&upstream, "GET", "/models", "", b"").status, 200);
}
