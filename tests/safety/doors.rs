//! Host, Origin and token at every route and upgrade of both ports.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{Client, Era};
use crate::server::{Server, TOKEN, run_to_end};
use crate::world::World;
use crate::ws;

const ROUTES: [(&str, &str); 10] = [
    ("GET", "/"),
    ("GET", "/health"),
    ("GET", "/api/events"),
    ("GET", "/api/breakers"),
    ("POST", "/api/breakers"),
    ("POST", "/api/reload"),
    ("GET", "/nothing"),
    ("GET", "/mcp"),
    ("POST", "/mcp"),
    ("DELETE", "/mcp"),
];

/// Sends a request as it stands, with the headers of an upgrade where it could be one: status and body.
async fn raw(to: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let mut text = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: 0\r\n");
    if method == "GET" && path.starts_with("/mcp") {
        text = format!("{method} {path} HTTP/1.1\r\n");
        for (name, value) in ws::upgrade_headers() {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = vec![0; 16 * 1024];
    let mut read = 0;
    while let Ok(more @ 1..) = stream.read(&mut answer[read..]).await {
        read += more;
        if answer[..read].starts_with(b"HTTP/1.1 101") || complete(&answer[..read]) {
            break;
        }
    }
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

fn complete(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length =
        head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse().ok());
    length.is_some_and(|length: usize| body.len() >= length)
}

fn refused(body: &str) -> String {
    let body = serde_json::from_str::<Value>(body).unwrap_or_default();
    body["error"]["detail"]["refused"].as_str().unwrap_or("nothing").to_owned()
}

#[tokio::test]
async fn every_route_refuses_strange_hosts_origins_and_queries() {
    let world = World::start().await;
    let server = &world.server;
    let bearer = format!("Bearer {TOKEN}");
    for (method, path) in ROUTES {
        let to = if path.starts_with("/mcp") { server.mcp } else { server.dashboard };
        let (own, query) = (to.to_string(), format!("{path}?access_token={TOKEN}"));
        let foreign = format!("evil.example:{}", to.port());
        let cases = [
            (path, foreign.as_str(), None, 403, "host"),
            (path, "localhost@evil.example", None, 403, "host"),
            (path, "127.0.0.1.nip.example", None, 403, "host"),
            (path, own.as_str(), Some("https://evil.example"), 403, "origin"),
            (path, own.as_str(), Some("null"), 403, "origin"),
            (path, own.as_str(), Some("http://localhost:1"), 403, "origin"),
            (query.as_str(), own.as_str(), None, 400, "query"),
        ];
        for (path, host, origin, status, what) in cases {
            let mut headers = vec![("Host", host), ("Authorization", bearer.as_str())];
            headers.extend(origin.map(|origin| ("Origin", origin)));
            let (got, body) = raw(to, method, path, &headers).await;
            assert_eq!((got, refused(&body).as_str()), (status, what), "{method} {path} {host} {origin:?}");
            assert!(!body.contains(TOKEN) && !body.contains("evil"), "{body}");
        }
    }
    assert_eq!(world.db.number("SELECT count(*) AS n FROM sessions").await, 0);
    assert!(!server.output().contains(TOKEN));
}

#[tokio::test]
async fn wrong_tokens_get_nothing_and_guessing_ends() {
    let world = World::start().await;
    let server = &world.server;
    let own = server.mcp.to_string();
    let huge = format!("Bearer {}", "x".repeat(4000));
    let (cut, doubled) = (format!("Bearer {}", &TOKEN[1..]), format!("Bearer {TOKEN} {TOKEN}"));
    for authorization in ["", "Bearer", "Bearer ", "Basic !", &huge, &cut, &doubled] {
        let headers = [("Host", own.as_str()), ("Authorization", authorization)];
        let (status, body) = raw(server.mcp, "GET", "/mcp", &headers).await;
        assert_eq!((status, refused(&body).as_str()), (401, "token"), "{authorization}");
    }
    assert_eq!(raw(server.mcp, "GET", "/mcp", &[("Host", &own)]).await.0, 401);
    // A program with an old token comes back for ever, and locks nobody out.
    for _ in 0..100 {
        let headers = [("Host", own.as_str()), ("Authorization", "Bearer yesterdays-token")];
        assert_eq!(raw(server.mcp, "GET", "/mcp", &headers).await.0, 401);
    }
    world.client().await.fence().await;
    let mut statuses = Vec::new();
    for number in 0..30 {
        let guess = format!("Bearer guess-{number}");
        let headers = [("Host", own.as_str()), ("Authorization", guess.as_str())];
        statuses.push(raw(server.mcp, "GET", "/mcp", &headers).await.0);
    }
    assert_eq!((statuses[0], statuses[29]), (401, 429), "{statuses:?}");
    let output = server.output();
    assert!(
        output.contains("login failed") && !output.contains("guess-"),
        "the log tells of it, without tokens"
    );
    assert_eq!(world.db.number("SELECT count(*) AS n FROM sessions").await, 1);
}

#[tokio::test]
async fn a_scope_opens_its_part_and_a_revoked_token_nothing() {
    let world = World::start().await;
    let server = &world.server;
    let mut tokens = Vec::new();
    for scope in ["client", "dashboard", "admin"] {
        let name = format!("only-{scope}");
        let (code, said) = server.run(&["token", "add", &name, "--scope", scope]).await;
        assert_eq!(code, Some(0), "{said}");
        tokens.push((scope, said.lines().next().unwrap().to_owned()));
    }
    let parts = [
        ("client", "GET", "/mcp", 101),
        ("dashboard", "GET", "/health", 200),
        ("dashboard", "GET", "/api/events", 200),
        ("dashboard", "GET", "/api/breakers", 200),
        ("admin", "POST", "/api/breakers", 400),
        ("admin", "POST", "/api/reload", 200),
    ];
    let asked = async |token: &str, method: &str, path: &str| {
        let to = if path == "/mcp" { server.mcp } else { server.dashboard };
        let (host, bearer) = (to.to_string(), format!("Bearer {token}"));
        raw(to, method, path, &[("Host", &host), ("Authorization", &bearer)]).await
    };
    for (scope, token) in &tokens {
        for (wanted, method, path, status) in parts {
            let (got, body) = asked(token, method, path).await;
            if *scope == wanted {
                assert_eq!(got, status, "{scope}: {method} {path}: {body}");
            } else {
                assert_eq!((got, refused(&body).as_str()), (403, "scope"), "{scope}: {method} {path}");
            }
        }
    }
    let (_, listed) = server.run(&["token", "list"]).await;
    assert!(
        listed.contains("only-admin") && tokens.iter().all(|(_, token)| !listed.contains(token)),
        "{listed}"
    );
    assert_eq!(server.run(&["token", "add", "only-admin"]).await.0, Some(2), "twice");
    assert_eq!(server.run(&["token", "revoke", "only-client"]).await.0, Some(0));
    assert_eq!(asked(&tokens[0].1, "GET", "/mcp").await.0, 401);
    assert_eq!(server.run(&["token", "revoke", "only-client"]).await.0, Some(2), "unknown");
}

#[tokio::test]
async fn another_machine_gets_in_with_a_token_of_somebodys_making_alone() {
    for token in ["", "short"] {
        let (code, said) = run_to_end(|with| {
            with.set("EXAI_LISTEN__MCP", "0.0.0.0:0").set("EXAI_LISTEN__DASHBOARD", "127.0.0.1:0");
            with.set("EXAI_TOKEN", token);
        })
        .await;
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("set EXAI_TOKEN") && said.contains("listen.mcp"), "{said}");
    }
    let server = Server::start(|with| {
        with.set("EXAI_LISTEN__MCP", "0.0.0.0:0");
    })
    .await;
    assert!(server.output().contains("no TLS"), "it warns");
}

#[tokio::test]
async fn hostile_messages_are_refused_and_leave_nothing() {
    let world = World::with(crate::database::Database::sqlite(), |with| {
        with.set("EXAI_LIMITS__MESSAGE_BYTES", "100000");
    })
    .await;
    let bearer = format!("Bearer {TOKEN}");
    let deep = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{}1{}}}"#,
        "[".repeat(5000),
        "]".repeat(5000)
    );
    let doubled = r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#;
    let truncated = r#"{"jsonrpc":"2.0","id":1,"method":"#;
    for text in [deep.as_str(), doubled, truncated, "[]", "null", "\u{0}"] {
        let mut ws = ws::connect(world.server.mcp, "/mcp", &[("Authorization", &bearer)]).await.unwrap();
        ws.send_text(text).await.unwrap();
        let answer = serde_json::from_str::<Value>(&ws.next_text().await.unwrap()).unwrap();
        let code = answer["error"]["code"].as_i64().unwrap();
        assert!([-32700, -32600].contains(&code), "{answer}");
    }
    for _ in 0..20 {
        let mut ws = ws::connect(world.server.mcp, "/mcp", &[("Authorization", &bearer)]).await.unwrap();
        ws.send_text(&" ".repeat(100_001)).await.unwrap();
        assert_eq!(ws.close_code().await.unwrap(), 1009);
    }
    assert_eq!(world.db.number("SELECT count(*) AS n FROM sessions").await, 0);
    let mut client = Client::of(&world.server, Era::Modern).await;
    client.fence().await;
}
