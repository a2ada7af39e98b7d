//! What answers of all shapes are read as.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::*;
use crate::config::Secret;

fn answer(result: Value) -> Result<Reply, ClientError> {
    read(serde_json::from_value(result).unwrap())
}

#[test]
fn an_answer_is_its_first_block_and_its_receipt_is_optional() {
    let reply = answer(json!({
        "content": [{ "type": "text", "text": "yes" }, { "type": "text", "text": "receipt line" }],
        "structuredContent": { "a": 1 },
        "_meta": { "exai/receipt": { "not": "a receipt" } },
    }));
    let reply = reply.unwrap();
    assert_eq!(
        (reply.text.as_str(), reply.receipt, reply.structured),
        ("yes", None, Some(json!({ "a": 1 })))
    );
}

#[test]
fn errors_keep_their_kind_and_find_their_sentence() {
    let failed_result = answer(json!({
        "content": [{ "type": "text", "text": "Come back later." }],
        "isError": true,
        "_meta": { "exai/error": { "kind": "breaker_open", "retry_after_ms": 5000 } },
    }));
    assert_eq!(failed_result.unwrap_err().to_string(), "Come back later. (breaker_open)");
    let data = Some(json!({ "kind": "draining" }));
    let refused = ErrorData::new(model::ErrorCode::INTERNAL_ERROR, "The server is shutting down.", data);
    let refused = failed(ServiceError::McpError(refused));
    assert_eq!(refused.to_string(), "The server is shutting down. (draining)");
    assert!(matches!(failed(ServiceError::TransportClosed), ClientError::Gone));
}

#[test]
fn a_password_in_the_address_is_not_shown() {
    let url = Url::parse("ws://exai:hunter2@127.0.0.1:8079/mcp").unwrap();
    assert_eq!(wire::shown(&url).as_str(), "ws://127.0.0.1:8079/mcp");
}

/// A server that opens a WebSocket, and what it does then, which has an end.
fn server(then: impl FnOnce(TcpStream) + Send + 'static) -> (Url, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("ws://{}/mcp", listener.local_addr().unwrap())).unwrap();
    let thread = tokio::task::spawn_blocking(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let mut fields = head.lines().filter_map(|line| line.split_once(": "));
        let (_, key) = fields.find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key")).unwrap();
        let accept = actix_http::ws::hash_key(key.as_bytes());
        let accept = std::str::from_utf8(&accept).unwrap();
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Protocol: mcp\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        stream.write_all(answer.as_bytes()).unwrap();
        then(stream);
    });
    (url, thread)
}

/// The next message from there, where silence for a second is its end once the connection stands, and before that would be none.
async fn next(url: &Url) -> Option<String> {
    let token = Token::from_secret(Secret::from("a-token"));
    let decode = |text: &bytes::Bytes| String::from_utf8(text.to_vec()).ok();
    let (silence_max, limit) = watch::channel(Duration::from_hours(1));
    let opened = wire::open::<String, String>(url, &token, None, limit, (Some, decode)).await;
    let mut opened = opened.unwrap();
    // The reader is at it.
    tokio::task::yield_now().await;
    silence_max.send(Duration::from_secs(1)).unwrap();
    opened.from_server.recv().await
}

#[actix_web::test]
async fn a_silent_server_is_pinged_and_gone_when_that_does_not_wake_it() {
    // An empty ping of a client (RFC 6455 5.2): what there is of it, and its mask.
    let ping = |stream: &mut TcpStream| {
        let mut frame = [0; 6];
        stream.read_exact(&mut frame).unwrap();
        assert_eq!(frame[..2], [0x89, 0x80]);
    };
    let (hung, served) = server(move |mut stream| {
        ping(&mut stream);
        // Until the client hangs up.
        let _ = stream.read_to_end(&mut Vec::new());
    });
    assert_eq!(next(&hung).await, None);
    served.await.unwrap();
    let (quiet, served) = server(move |mut stream| {
        for _ in 0..4 {
            ping(&mut stream);
            stream.write_all(&[0x8a, 0]).unwrap();
        }
        stream.write_all(&[0x81, 2, b'{', b'}']).unwrap();
    });
    assert_eq!(next(&quiet).await.as_deref(), Some("{}"));
    served.await.unwrap();
}
