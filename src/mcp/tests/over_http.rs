//! Streamable HTTP's own limits, over real sockets: how many sessions, how long, how fast, how large, whose, and how they end.

mod headers;

use std::collections::HashSet;

use exai_actors::session::messages::Settings;
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::super::http::Sessions;
use super::*;

const WITHIN: Duration = Duration::from_secs(20);
const MODERN: (&str, &str) = ("MCP-Protocol-Version", "2026-07-28");

/// One request on a connection of its own, and what came back so far.
struct Exchange {
    stream: TcpStream,
    got: String,
}

impl Exchange {
    async fn begin(server: &Server, method: &str, headers: &[(&str, &str)], body: &str) -> Self {
        let mut head = format!("{method} /mcp HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", server.address);
        if !headers.iter().any(|(name, _)| *name == "Accept") {
            head += "Accept: application/json, text/event-stream\r\n";
        }
        if method == "POST" {
            head += "Content-Type: application/json\r\n";
        }
        if !headers.iter().any(|(name, _)| *name == "Transfer-Encoding") {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(format!("{head}\r\n{body}").as_bytes()).await.unwrap();
        Self { stream, got: String::new() }
    }

    async fn more(&mut self) -> bool {
        let mut piece = [0; 4096];
        let read = tokio::time::timeout(WITHIN, self.stream.read(&mut piece)).await.unwrap().unwrap_or(0);
        self.got += &String::from_utf8_lossy(&piece[..read]);
        read > 0
    }

    async fn until(&mut self, words: &str) {
        while !self.got.contains(words) {
            assert!(self.more().await, "{words} never came: {}", self.got);
        }
    }

    async fn status(&mut self) -> u16 {
        self.until("\r\n\r\n").await;
        self.got.split(' ').nth(1).unwrap().parse().unwrap()
    }

    fn session(&self) -> String {
        let line = self.got.lines().find_map(|line| line.strip_prefix("mcp-session-id: "));
        line.unwrap().to_owned()
    }

    /// Everything up to the end of the connection.
    async fn whole(&mut self) -> &str {
        while self.more().await {}
        &self.got
    }

    /// Every message that it brought, as one body or as events.
    async fn messages(&mut self) -> Vec<Value> {
        let lines = self.whole().await.lines().map(|line| line.strip_prefix("data: ").unwrap_or(line));
        lines.filter_map(|line| serde_json::from_str(line).ok()).filter(Value::is_object).collect()
    }
}

async fn post(server: &Server, headers: &[(&str, &str)], message: &Value) -> Exchange {
    Exchange::begin(server, "POST", headers, &message.to_string()).await
}

/// Opens a session; gives its name.
async fn open(server: &Server) -> String {
    let mut opened = post(server, &[], &initialize("2025-11-25")).await;
    assert_eq!(opened.status().await, 200, "{}", opened.got);
    opened.session()
}

/// The status of a ping in a session.
async fn ping_in(server: &Server, session: &str) -> u16 {
    post(server, &[("Mcp-Session-Id", session)], &ping(json!(1))).await.status().await
}

/// The stream of a session; it reads until it is dropped.
async fn listen(server: &Server, session: &str) -> Exchange {
    let mut stream = Exchange::begin(server, "GET", &[("Mcp-Session-Id", session)], "").await;
    stream.until("\r\n\r\n").await;
    assert_eq!(stream.status().await, 200, "{}", stream.got);
    stream
}

fn sessions(sessions_max: usize, idle: Duration) -> Sessions {
    let mut sessions = Sessions::new(100);
    (sessions.sessions_max, sessions.idle) = (sessions_max, idle);
    sessions
}

#[actix_web::test]
async fn a_crowd_opens_as_many_sessions_as_there_may_be_and_no_more() {
    let http = sessions(4, Duration::from_secs(600));
    let server = Setup { http, ..Setup::default() }.start().await.unwrap();
    let hello = initialize("2025-11-25");
    let crowd = join_all((0..40).map(|_| async {
        let mut opened = post(&server, &[], &hello).await;
        let is_open = opened.status().await == 200;
        is_open.then(|| opened.session())
    }));
    let opened = crowd.await.into_iter().flatten().collect::<HashSet<_>>();
    assert!(opened.len() >= 4, "only {} were let in", opened.len());
    let mut alive = 0;
    for session in &opened {
        alive += usize::from(ping_in(&server, session).await == 200);
    }
    assert!((1..=4).contains(&alive), "{alive} live");
    let ended = server.seen.closed.lock().iter().map(|row| row.close_code).collect::<Vec<_>>();
    assert!(ended.iter().all(|code| *code == 1013), "{ended:?}");
}

#[actix_web::test]
async fn who_is_listened_to_does_not_give_way() {
    let http = sessions(2, Duration::from_secs(600));
    let server = Setup { http, ..Setup::default() }.start().await.unwrap();
    let (first, second) = (open(&server).await, open(&server).await);
    let kept = [listen(&server, &first).await, listen(&server, &second).await];
    let mut refused = post(&server, &[], &initialize("2025-11-25")).await;
    assert_eq!(refused.status().await, 503);
    assert!(refused.whole().await.contains("over_capacity") && refused.got.contains("retry-after: 10"));
    let list = modern(json!(1), "tools/list", json!({}));
    let mut visitor = post(&server, &[MODERN, ("Mcp-Method", "tools/list")], &list).await;
    assert_eq!(visitor.status().await, 503, "a visitor needs a place too");
    drop(kept);
    let gone = async {
        // The place is given up once the server has noticed.
        while post(&server, &[], &initialize("2025-11-25")).await.status().await != 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(WITHIN, gone).await.unwrap();
}

#[actix_web::test]
async fn sessions_expire_and_their_rows_say_how_they_ended() {
    let http = sessions(10, Duration::from_millis(500));
    let server = Setup { http, ..Setup::default() }.start().await.unwrap();
    let (left, ended) = (open(&server).await, open(&server).await);
    let headers = [("Mcp-Session-Id", ended.as_str())];
    assert_eq!(Exchange::begin(&server, "DELETE", &headers, "").await.status().await, 204);
    assert!(server.until(|server| server.seen.closed.lock().len() == 2).await);
    let codes = server.seen.closed.lock().iter().map(|row| row.close_code).collect::<Vec<_>>();
    assert_eq!(codes, [1000, 1008]);
    assert_eq!((ping_in(&server, &left).await, ping_in(&server, &ended).await), (404, 404));
}

#[actix_web::test]
async fn a_leaving_server_opens_nothing_and_says_so_in_the_rows() {
    let server = Server::start().await.unwrap();
    let session = open(&server).await;
    let stream = listen(&server, &session).await;
    server.leaving.cancel();
    let mut refused = post(&server, &[], &initialize("2025-11-25")).await;
    assert_eq!(refused.status().await, 503);
    assert!(refused.whole().await.contains("draining"), "{}", refused.got);
    assert!(server.until(|server| !server.seen.closed.lock().is_empty()).await);
    assert_eq!(server.seen.closed.lock()[0].close_code, 1001);
    drop(stream);
}

#[actix_web::test]
async fn anothers_session_looks_exactly_like_an_unknown_one() {
    let server = Server::start().await.unwrap();
    let session = open(&server).await;
    let mut answers = Vec::new();
    for (token, name) in
        [("Bearer other", session.as_str()), ("Bearer other", "unknown"), ("Bearer right", "unknown")]
    {
        for method in ["POST", "GET", "DELETE"] {
            let body = if method == "POST" { ping(json!(1)).to_string() } else { String::new() };
            let headers = [("Mcp-Session-Id", name), ("Authorization", token)];
            let mut answer = Exchange::begin(&server, method, &headers, &body).await;
            assert_eq!(answer.status().await, 404, "{method} {name}");
            let without_date = answer.whole().await.lines().filter(|line| !line.starts_with("date: "));
            answers.push(without_date.collect::<Vec<_>>().join("\n"));
        }
    }
    assert!(answers.chunks(3).all(|each| each == &answers[..3]), "{answers:#?}");
    assert_eq!(ping_in(&server, &session).await, 200, "its owner has it still");
}

#[actix_web::test]
async fn what_is_too_large_is_refused_while_it_comes_however_it_comes() {
    let session = Settings { message_bytes_max: 1024, ..session_settings() };
    let server = Setup { session, ..Setup::default() }.start().await.unwrap();
    let chunked = [("Transfer-Encoding", "chunked")];
    let mut endless = Exchange::begin(&server, "POST", &chunked, "").await;
    let chunk = format!("200\r\n{}\r\n", "x".repeat(512));
    let sending = async {
        // The server stops reading sooner or later; that is what is waited for.
        for _ in 0..100_000 {
            if endless.stream.write_all(chunk.as_bytes()).await.is_err() {
                return;
            }
            let mut peeked = [0; 1];
            let answered = endless.stream.peek(&mut peeked);
            if tokio::time::timeout(Duration::ZERO, answered).await.is_ok() {
                return;
            }
        }
        panic!("it took 50 MB");
    };
    tokio::time::timeout(WITHIN, sending).await.unwrap();
    assert_eq!(endless.status().await, 413);
    let whole = "x".repeat(1025);
    assert_eq!(Exchange::begin(&server, "POST", &[], &whole).await.status().await, 413);
    assert_eq!(open(&server).await.len(), 64, "others go on");
}

#[actix_web::test]
async fn noise_and_requests_without_a_session_cost_their_sender_its_rate() {
    let limits = Limits { requests_burst: 3, requests_per_second: 0.01, ..Limits::default() };
    let server = Setup { limits, ..Setup::default() }.start().await.unwrap();
    for _ in 0..3 {
        assert_eq!(Exchange::begin(&server, "POST", &[], "{").await.status().await, 400);
    }
    let mut refused = Exchange::begin(&server, "POST", &[], "{").await;
    assert_eq!(refused.status().await, 429);
    assert!(refused.whole().await.contains("rate_limited") && refused.got.contains("retry-after: "));
    // Whatever a client calls itself, it is the same sender.
    let mut list = modern(json!(1), "tools/list", json!({}));
    list["params"]["_meta"]["io.modelcontextprotocol/clientInfo"]["name"] = json!("somebody else");
    let headers = [MODERN, ("Mcp-Method", "tools/list")];
    let mut refused = post(&server, &headers, &list).await;
    assert_eq!(refused.messages().await[0]["error"]["data"]["kind"], "rate_limited", "{}", refused.got);
    // Another principal has a rate of its own, and a session has one too.
    let other = [headers[0], headers[1], ("Authorization", "Bearer other")];
    assert!(post(&server, &other, &list).await.messages().await[0]["result"].is_object());
    let session = open(&server).await;
    for (id, kind) in [(1, None), (2, None), (3, Some("rate_limited"))] {
        let mut answer = post(&server, &[("Mcp-Session-Id", &session)], &ping(json!(id))).await;
        let answer = answer.messages().await;
        assert_eq!(answer[0]["error"]["data"]["kind"].as_str(), kind, "{id}: {answer:?}");
    }
}

#[actix_web::test]
async fn sessions_are_opened_at_their_principals_rate() {
    let limits = Limits { requests_burst: 3, requests_per_second: 0.01, ..Limits::default() };
    let server = Setup { limits, ..Setup::default() }.start().await.unwrap();
    for _ in 0..3 {
        open(&server).await;
    }
    let mut refused = post(&server, &[], &initialize("2025-11-25")).await;
    assert_eq!(refused.messages().await[0]["error"]["data"]["kind"], "rate_limited", "{}", refused.got);
    assert!(!refused.got.contains("mcp-session-id"), "{}", refused.got);
    let other = [("Authorization", "Bearer other")];
    assert_eq!(post(&server, &other, &initialize("2025-11-25")).await.status().await, 200);
    assert!(server.until(|server| server.seen.opened.lock().len() == 4).await, "and no row for the refused");
}

#[actix_web::test]
async fn a_stream_takes_a_place_among_the_connections() {
    let connections = Connections::new(1, 64, &[]);
    let server = Setup { connections, ..Setup::default() }.start().await.unwrap();
    let session = open(&server).await;
    assert!(server.until(|server| server.connections.total() == 0).await);
    let stream = listen(&server, &session).await;
    assert_eq!(ping_in(&server, &session).await, 503);
    drop(stream);
    assert!(server.until(|server| server.connections.total() == 0).await);
    assert_eq!(ping_in(&server, &session).await, 200);
}

#[actix_web::test]
async fn a_subscription_is_acknowledged_first_and_answered_when_the_server_leaves() {
    let server = Server::start().await.unwrap();
    let wanted = json!({ "notifications": { "toolsListChanged": true } });
    let listen = modern(json!("sub"), "subscriptions/listen", wanted);
    let mut stream = post(&server, &[MODERN, ("Mcp-Method", "subscriptions/listen")], &listen).await;
    stream.until("acknowledged").await;
    server.leaving.cancel();
    let messages = stream.messages().await;
    let tag = "io.modelcontextprotocol/subscriptionId";
    assert_eq!(messages[0]["method"], "notifications/subscriptions/acknowledged", "{messages:?}");
    assert_eq!(messages[0]["params"]["_meta"][tag], "sub", "{messages:?}");
    let end = &messages[1];
    assert_eq!((&end["id"], &end["result"]["_meta"][tag]), (&json!("sub"), &json!("sub")), "{messages:?}");
    assert_eq!(messages.len(), 2, "{messages:?}");
}
