//! The journal tells the truth, alone and under load, and the HTTP reader takes what HTTP allows and no more.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use crate::support::{ask, chat, open, raw, read};
use exai_upstream::{Ended, Entry, Make, Options, Upstream, key_fingerprint, read_journal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[test]
fn an_entry_says_what_came_and_what_went() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("journal.jsonl");
    let glm =
        Upstream::start_with(Make::Glm, Options { journal_file: Some(file.clone()), ..Options::default() })
            .unwrap();
    let body = ask(Make::Glm, "tokens=5+think=2+pace=0", true);
    let response = chat(&glm, &body);
    assert!(
        glm.wait_for(Duration::from_secs(1), |all| all.iter().all(|entry| entry.ended != Ended::Running))
    );
    let entry = glm.journal().remove(0);
    assert_eq!((entry.n, entry.make, entry.status, entry.ended), (1, Make::Glm, 200, Ended::Complete));
    assert_eq!((entry.method.as_str(), entry.path.as_str()), ("POST", "/api/paas/v4/chat/completions"));
    assert_eq!(entry.host, glm.addr().to_string());
    assert_eq!(entry.key_fingerprint, key_fingerprint("sk-test"));
    assert_eq!(
        (entry.model.as_str(), entry.script.as_str()),
        (body["model"].as_str().unwrap(), "tokens=5+think=2+pace=0")
    );
    assert_eq!((entry.messages, entry.request_bytes), (1, body.to_string().len()));
    assert_eq!((entry.prompt_tokens, entry.completion_tokens), (9, 7));
    assert_eq!(entry.last_user, "Why is the sky blue?");
    assert!(entry.sent_bytes > response.head.len() + response.body.len());
    assert!(entry.ended_at_ms >= Some(entry.at_ms));
    drop(glm);
    assert_eq!(read_journal(&file).unwrap(), [entry]);
    assert_eq!(
        std::fs::read_to_string(&file).unwrap().lines().count(),
        2,
        "one line for the arrival, one for the end"
    );
}

#[test]
fn two_requests_share_a_connection_even_in_one_write() {
    let kimi = Upstream::start(Make::Kimi).unwrap();
    let one = raw(
        &kimi,
        "POST",
        "/chat/completions",
        "",
        ask(Make::Kimi, "tokens=1+pace=0", false).to_string().as_bytes(),
    );
    let models = raw(&kimi, "GET", "/models", "", b"");
    let mut stream = TcpStream::connect(kimi.addr()).unwrap();
    stream.write_all(&[one.clone(), models].concat()).unwrap();
    assert!(kimi.wait_for(Duration::from_secs(2), |all| all.len() == 2 && all[1].ended == Ended::Complete));
    stream.write_all(&one).unwrap();
    assert!(kimi.wait_for(Duration::from_secs(2), |all| all.len() == 3 && all[2].ended == Ended::Complete));
    assert!(kimi.journal().iter().all(|entry| entry.connection == 1 && entry.status == 200));
}

#[test]
fn chunked_bodies_and_expectations_are_understood() {
    let kimi = Upstream::start(Make::Kimi).unwrap();
    let body = ask(Make::Kimi, "tokens=1+pace=0", false).to_string();
    let (a, b) = body.split_at(17);
    let mut stream = TcpStream::connect(kimi.addr()).unwrap();
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer k\r\ntransfer-encoding: chunked\r\n\r\n";
    for piece in [
        head.to_owned(),
        format!("{:x};a=b\r\n{a}\r", a.len()),
        format!("\n{:X}\r\n{b}\r\n0\r\nt: v\r\n", b.len()),
        "\r\n".into(),
    ] {
        stream.write_all(piece.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(read(&mut stream).status, 200);
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer k\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut interim = [0; 25];
    std::io::Read::read_exact(&mut stream, &mut interim).unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(body.as_bytes()).unwrap();
    assert_eq!(read(&mut stream).status, 200);
    assert_eq!(kimi.journal()[1].request_bytes, body.len());
}

#[test]
fn malformed_and_oversized_requests_are_refused() {
    let kimi = Upstream::start(Make::Kimi).unwrap();
    let huge = format!("GET / HTTP/1.1\r\na: {}", "x".repeat(70_000));
    for (bytes, status) in [
        ("nonsense\r\n\r\n", 400),
        ("\x16\x03\x01\x02\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", 400),
        ("POST / HTTP/1.1\r\ncontent-length: 16777217\r\n\r\n", 413),
        ("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nffffffffff\r\n", 413),
        (huge.as_str(), 413),
        ("GET /elsewhere HTTP/1.1\r\nauthorization: Bearer k\r\n\r\n", 404),
        ("GET /v1/models HTTP/1.1\r\n\r\n", 401),
    ] {
        let mut stream = TcpStream::connect(kimi.addr()).unwrap();
        stream.write_all(bytes.as_bytes()).unwrap();
        assert_eq!(read(&mut stream).status, status, "{bytes:.60}");
    }
    assert!(kimi.wait_for(Duration::from_secs(1), |_| kimi.in_flight() == 0));
}

#[test]
fn sixteen_mebibytes_are_taken() {
    let openai = Upstream::start(Make::OpenAi).unwrap();
    let mut body = ask(Make::OpenAi, "pace=0", false).to_string().into_bytes();
    body.resize(16 * 1024 * 1024, b' ');
    assert_eq!(crate::support::send(&openai, "POST", "/chat/completions", "", &body).status, 200);
}

#[test]
fn a_client_that_leaves_in_its_own_body_is_noticed() {
    let kimi = Upstream::start(Make::Kimi).unwrap();
    let mut stream = TcpStream::connect(kimi.addr()).unwrap();
    stream.write_all(b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 10\r\n\r\n{").unwrap();
    assert!(kimi.wait_for(Duration::from_secs(1), |all| all.len() == 1));
    drop(stream);
    assert!(kimi.wait_for(Duration::from_secs(1), |all| all[0].ended == Ended::ClientClosed));
}

#[test]
fn dropping_the_double_closes_what_is_open() {
    let kimi = Upstream::start(Make::Kimi).unwrap();
    let mut stream = open(&kimi, &ask(Make::Kimi, "stall-after=1", true));
    assert!(kimi.wait_for(Duration::from_secs(1), |all| all.iter().any(|entry| entry.sent_bytes > 400)));
    let addr = kimi.addr();
    drop(kimi);
    assert!(!read(&mut stream).whole);
    assert!(TcpStream::connect(addr).is_err());
}

#[tokio::test]
async fn five_hundred_streams_run_side_by_side() {
    const STREAMS: usize = 500;
    let kimi = Upstream::start(Make::Kimi).unwrap();
    let began = crate::support::now();
    let clients: Vec<_> = (0..STREAMS)
        .map(|i| {
            // Every tenth leaves early, and the journal must know which.
            let early = i % 10 == 0;
            let mut body = ask(Make::Kimi, "tokens=50+pace=20", true);
            body["messages"][0]["content"] = format!("client {i}").into();
            let (request, addr) =
                (raw(&kimi, "POST", "/chat/completions", "", body.to_string().as_bytes()), kimi.addr());
            tokio::spawn(async move {
                let mut stream = tokio::net::TcpStream::connect(addr).await.unwrap();
                stream.write_all(&request).await.unwrap();
                let mut bytes = Vec::new();
                while !(bytes.ends_with(b"0\r\n\r\n") || early && bytes.len() > 2000) {
                    assert!(stream.read_buf(&mut bytes).await.unwrap() > 0);
                }
                String::from_utf8(bytes).unwrap()
            })
        })
        .collect();
    for (i, client) in clients.into_iter().enumerate() {
        let text = client.await.unwrap();
        assert_eq!(text.contains("data: [DONE]"), i % 10 != 0, "{i}");
    }
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    let settled =
        |all: &[Entry]| all.len() == STREAMS && all.iter().all(|entry| entry.ended != Ended::Running);
    assert!(kimi.wait_for(Duration::from_secs(2), settled));
    for entry in kimi.journal() {
        let i: usize = entry.last_user.strip_prefix("client ").unwrap().parse().unwrap();
        let wanted = if i.is_multiple_of(10) { Ended::ClientClosed } else { Ended::Complete };
        assert_eq!(entry.ended, wanted, "{i}");
    }
}
