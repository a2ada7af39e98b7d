//! What the door says to those it does not let in, and how it lets the others in.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::ws::{self, Answer, Opened, upgrade_headers};
use super::*;

async fn refused(server: &Server, method: &str, headers: &[(&str, &str)]) -> Answer {
    match ws::open(server.address, method, "/mcp", headers).await.unwrap() {
        Opened::Refused(answer) => answer,
        Opened::Ws(_) => panic!("{method} {headers:?} was let in"),
    }
}

fn without(name: &str) -> Vec<(&'static str, &'static str)> {
    upgrade_headers().into_iter().filter(|(header, _)| *header != name).collect()
}

fn with(name: &'static str, value: &'static str) -> Vec<(&'static str, &'static str)> {
    [without(name), vec![(name, value)]].concat()
}

#[actix_web::test]
async fn only_an_upgrade_gets_in() {
    let server = Server::start().await.unwrap();
    let cases = [
        ("GET", vec![], 426),
        ("GET", without("Upgrade"), 426),
        ("GET", without("Connection"), 426),
        ("GET", with("Upgrade", "h2c"), 426),
        ("GET", without("Sec-WebSocket-Version"), 426),
        ("GET", with("Sec-WebSocket-Version", "8"), 426),
        ("GET", without("Sec-WebSocket-Key"), 400),
        ("GET", with("Sec-WebSocket-Key", "short"), 400),
        ("PUT", upgrade_headers(), 405),
        ("PATCH", vec![], 405),
        ("GET", with("Authorization", "Bearer wrong"), 401),
        ("POST", with("Authorization", "Bearer wrong"), 401),
    ];
    for (method, headers, status) in cases {
        let answer = refused(&server, method, &headers).await;
        assert_eq!(answer.status, status, "{method} {headers:?}: {answer:?}");
        let head = answer.head.to_ascii_lowercase();
        assert_eq!(head.contains("sec-websocket-version: 13"), status == 426, "{head}");
        if status != 401 {
            assert!(
                serde_json::from_str::<Value>(&answer.body).unwrap()["error"]["message"].is_string(),
                "{answer:?}"
            );
        }
    }
    assert_eq!(server.connections.total(), 0);
}

#[actix_web::test]
async fn the_subprotocol_is_echoed_where_it_is_offered() {
    let server = Server::start().await.unwrap();
    let said = |ws: &Ws| ws.head.to_ascii_lowercase().contains("sec-websocket-protocol: mcp\r\n");
    for (offered, echoed) in [("mcp", true), ("other, mcp", true), ("other", false)] {
        let ws = ws::connect(server.address, "/mcp", &[("Sec-WebSocket-Protocol", offered)]).await.unwrap();
        assert_eq!(said(&ws), echoed, "{offered}");
    }
    assert!(!said(&ws::connect(server.address, "/mcp", &[]).await.unwrap()));
}

/// Sends these bytes at once, and gives what comes until `enough` of it came or the server closed.
async fn said_to(server: &Server, bytes: &[u8], enough: impl Fn(&str) -> bool) -> String {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut said = Vec::new();
    while !enough(&String::from_utf8_lossy(&said)) {
        let more = tokio::time::timeout(Duration::from_secs(10), stream.read_buf(&mut said));
        if more.await.unwrap().unwrap() == 0 {
            break;
        }
    }
    String::from_utf8_lossy(&said).into_owned()
}

fn head(method: &str, headers: &[(&str, &str)]) -> String {
    let headers = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect::<String>();
    format!("{method} /mcp HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n")
}

#[actix_web::test]
async fn nothing_is_lost_where_the_connection_is_taken_over() {
    let server = Server::start().await.unwrap();
    let message = ping(json!("at once")).to_string();
    let length = u8::try_from(message.len()).unwrap();
    assert!(length < 126);
    // A request before it, whose answer may still wait to be written, and a message right behind it, with a mask of zeros.
    let mut bytes =
        [head("PUT", &[("Content-Length", "0")]), head("GET", &upgrade_headers())].concat().into_bytes();
    bytes.extend([ws::TEXT, 0x80 | length, 0, 0, 0, 0]);
    bytes.extend(message.as_bytes());
    let said = said_to(&server, &bytes, |said| said.contains("\"at once\"")).await;
    let at = |words: &str| said.find(words).unwrap_or_else(|| panic!("no {words} in {said}"));
    assert!(at("HTTP/1.1 405") < at("HTTP/1.1 101") && at("HTTP/1.1 101") < at("\"at once\""), "{said}");
}

#[actix_web::test]
async fn a_refused_upgrade_ends_its_connection() {
    let server = Server::start().await.unwrap();
    let refused = head("GET", &with("Sec-WebSocket-Version", "8"));
    let said = said_to(&server, refused.as_bytes(), |_| false).await;
    assert!(said.starts_with("HTTP/1.1 426") && said.contains("connection: close"), "{said}");
}

#[actix_web::test]
async fn who_opens_too_fast_is_refused_before_the_upgrade_and_others_are_not() {
    let mut http = super::super::http::Sessions::new(1);
    http.upgrades_per_second = 0.01;
    let server = Setup { http, ..Setup::default() }.start().await.unwrap();
    for _ in 0..3 {
        drop(server.connect().await.unwrap());
    }
    let answer = refused(&server, "GET", &upgrade_headers()).await;
    assert_eq!(answer.status, 429, "{answer:?}");
    assert!(answer.head.to_ascii_lowercase().contains("retry-after: "), "{answer:?}");
    assert_eq!(serde_json::from_str::<Value>(&answer.body).unwrap()["error"]["kind"], "rate_limited");
    let other = ws::open(server.address, "GET", "/mcp", &with("Authorization", "Bearer other")).await;
    assert!(matches!(other.unwrap(), Opened::Ws(_)), "another principal has a rate of its own");
}
