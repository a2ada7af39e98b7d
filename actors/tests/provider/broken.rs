//! Everything that can go wrong with a connection or a stream, and what a caller is told of it.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use exai_actors::provider::Timeouts;
use exai_actors::provider::messages::FailureClass::{self, *};
use exai_upstream::Make;

use crate::support::{Rig, begin, outcome, prompt, provider_at, rig, rig_with};

const SILENCE: Duration = Duration::from_millis(1500);

pub(crate) fn impatient(make: Make) -> Rig {
    rig_with(make, make.to_string(), Timeouts { first_byte: SILENCE, idle: SILENCE })
}

#[actix::test]
async fn a_stream_that_breaks_is_no_answer() {
    for make in Make::ALL {
        let rig = rig(make);
        for (script, class) in [
            ("cut-after=4", BrokenStream),
            ("eof-after=4", BrokenStream),
            ("reset-after=4", BrokenStream),
            ("garbage-after=4", BrokenStream),
            ("error-after=4", Server),
            ("huge=9000000", Garbage),
            ("finish=sensitive", ContentPolicy),
            ("finish=network_error", Server),
        ] {
            let failure = rig.ask(&format!("think=0+tokens=20+pace=1+{script}")).await.unwrap_err();
            assert!(same(failure.class, class), "{make} {script}: {failure:?}");
            assert_eq!(failure.status, Some(200), "{make} {script}");
            if script != "huge=9000000" {
                assert!(failure.partial.is_some_and(|partial| !partial.0.is_empty()), "{make} {script}");
            }
            // The double closes the connection too, and a call that met the closing would be a reset.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Bytes that are no SSE are either a stream without an end or, where they look like an event, garbage.
fn same(seen: FailureClass, expected: FailureClass) -> bool {
    seen == expected || (expected == BrokenStream && seen == Garbage)
}

#[actix::test]
async fn an_answer_that_is_none_is_garbage() {
    for make in Make::ALL {
        let rig = rig(make);
        for script in ["html", "wrong-type", "tokens=0+think=2"] {
            assert_eq!(rig.ask(script).await.unwrap_err().class, Garbage, "{make} {script}");
        }
        let failure = rig.ask("garbage").await.unwrap_err();
        assert!(same(failure.class, BrokenStream), "{make}: {failure:?}");
        let failure = rig.ask("tokens=0+think=2+finish=length").await.unwrap_err();
        assert_eq!(failure.class, OutputCap, "{make}");
        let error = failure.to_call_error(&rig.name, &"m".into());
        assert!(error.message.contains("raise max_tokens"), "{error}");
    }
}

#[actix::test]
async fn an_answer_behind_early_hints_is_nobody_elses() {
    for make in Make::ALL {
        let rig = rig(make);
        let short = rig.ask("tokens=5").await.unwrap().text;
        // It comes while the next call waits for its own.
        let failure = rig.ask("early-hints=300+tokens=60").await.unwrap_err();
        assert_eq!((failure.class, failure.status), (Garbage, Some(103)), "{make}");
        let answer = rig.ask("slow-headers=600+tokens=5").await.unwrap();
        assert_eq!(answer.text.len(), short.len(), "{make}: {}", answer.text);
    }
}

#[actix::test]
async fn a_connection_that_dies_before_a_byte_is_a_reset() {
    for make in Make::ALL {
        let rig = rig(make);
        for script in ["hang-up", "reset"] {
            let failure = rig.ask(script).await.unwrap_err();
            assert_eq!((failure.class, failure.status), (Reset, None), "{make} {script}");
        }
        rig.ask("tokens=2").await.unwrap();
    }
}

#[actix::test]
async fn silence_ends_a_call_in_every_phase() {
    let rig = impatient(Make::Glm);
    for (script, status, partial) in [
        ("slow-headers=5000", None, false),
        ("delay=5000", Some(200), false),
        ("think=0+pace=0+stall-after=5", Some(200), true),
    ] {
        let failure = rig.ask(script).await.unwrap_err();
        assert_eq!((failure.class, failure.status), (Timeout, status), "{script}");
        assert_eq!(failure.partial.is_some(), partial, "{script}");
    }
    // Slow is not silent.
    rig.ask("tokens=10+pace=80").await.unwrap();
}

#[actix::test]
async fn an_endless_answer_is_ended() {
    let rig = rig(Make::OpenAi);
    let mut asked = prompt(&rig.name, "double-1+endless+pace=0");
    asked.output_tokens_max = 100;
    let failure = outcome(begin(&rig.provider, asked)).await.unwrap_err();
    assert_eq!(failure.class, Flood);
    assert!(rig.upstream.wait_for(Duration::from_secs(2), |entries| {
        entries[0].ended == exai_upstream::Ended::ClientClosed
    }));
}

#[actix::test]
async fn a_redirect_is_not_followed() {
    let (rig, elsewhere) = (rig(Make::Kimi), rig(Make::Kimi));
    let target = format!("{}/chat/completions", elsewhere.upstream.base_url());
    let failure = rig.ask(&format!("redirect={target}")).await.unwrap_err();
    assert_eq!((failure.class, failure.status), (Garbage, Some(302)));
    assert_eq!(elsewhere.upstream.journal(), []);
}

#[actix::test]
async fn nobody_listens() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let silence = Duration::from_secs(5);
    let timeouts = Timeouts { first_byte: silence, idle: silence };
    let name = "openai";
    let (provider, _) = provider_at(&format!("http://{address}/v1"), Make::OpenAi, name, timeouts);
    let failure = outcome(begin(&provider, prompt(&name.into(), "m"))).await.unwrap_err();
    assert_eq!((failure.class, failure.status), (Connect, None));
}

#[actix::test]
async fn a_server_without_tls_gets_no_key() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base_url = format!("https://{}/v1", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut hello = vec![0; 4096];
        let read = socket.read(&mut hello).unwrap();
        let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        hello.truncate(read);
        hello
    });
    let silence = Duration::from_secs(5);
    let timeouts = Timeouts { first_byte: silence, idle: silence };
    let (provider, _) = provider_at(&base_url, Make::OpenAi, "plain", timeouts);
    let failure = outcome(begin(&provider, prompt(&"plain".into(), "m"))).await.unwrap_err();
    assert_eq!((failure.class, failure.status), (Connect, None));
    let hello = server.join().unwrap();
    let offers = |protocol: &[u8]| hello.windows(protocol.len()).any(|bytes| bytes == protocol);
    assert!(offers(b"http/1.1") && !offers(b"\x02h2") && !offers(b"sk-plain"));
}

#[actix::test]
async fn no_call_goes_out_where_a_body_without_a_length_may_still_come() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
    // Each connection is answered once, and stays open.
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            let _ = socket.read(&mut [0; 4096]);
            let _ = socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n");
            held.push(socket);
        }
    });
    let silence = Duration::from_secs(5);
    let timeouts = Timeouts { first_byte: silence, idle: silence };
    let (provider, _) = provider_at(&base_url, Make::OpenAi, "odd", timeouts);
    for _ in 0..2 {
        let failure = outcome(begin(&provider, prompt(&"odd".into(), "m"))).await.unwrap_err();
        assert_eq!((failure.class, failure.status), (BrokenStream, Some(200)));
    }
}

/// Servers that no well-behaved double would be: what they write, verbatim.
#[actix::test]
async fn odd_servers_are_bounded_and_typed() {
    let endless_error = format!("HTTP/1.1 500 no\r\ncontent-length: 99999999\r\n\r\n{}", "x".repeat(200_000));
    let long_head = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(400_000));
    let in_success = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 42\r\n\r\n\
                      {\"error\":{\"message\":\"m\",\"code\":\"q\",\"a\":1}}";
    let unprefixed = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 59\r\n\r\n\
                      {\"error\":{\"message\":\"m\",\"type\":\"rate_limit_reached_error\"}}";
    for (answer, class) in [
        (endless_error.as_str(), Server),
        (long_head.as_str(), Garbage),
        ("SSH-2.0-OpenSSH_9.2\r\n", Garbage),
        ("HTTP/1.1 204 No Content\r\n\r\n", Garbage),
        (
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
            BrokenStream,
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\n\x1f\x08\x08",
            Garbage,
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: none\r\n\r\ndata: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n",
            BrokenStream,
        ),
        (unprefixed, Busy),
        (in_success, Server),
        (
            "HTTP/1.1 200 OK\r\ncontent-type: Text/Event-Stream; charset=utf-8\r\n\r\ndata: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n",
            BrokenStream,
        ),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
        let answer = answer.to_owned();
        let server = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let _ = socket.read(&mut [0; 4096]);
            let _ = socket.write_all(answer.as_bytes());
        });
        let silence = Duration::from_secs(3);
        let (provider, _) =
            provider_at(&base_url, Make::OpenAi, "odd", Timeouts { first_byte: silence, idle: silence });
        let failure = outcome(begin(&provider, prompt(&"odd".into(), "m"))).await.unwrap_err();
        assert_eq!(failure.class, class, "{:.60}", failure.status.unwrap_or(0));
        server.join().unwrap();
    }
}
