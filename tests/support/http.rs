//! A client of Streamable HTTP that knows nothing of it: one connection a request, and every byte can be looked at.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each test binary uses a part of it")]

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::server::{SOON, Server, TOKEN};

/// One request and what came of it so far.
pub struct Exchange {
    stream: TcpStream,
    got: Vec<u8>,
}

/// Sends a request; `headers` come after the usual ones and so do not replace them.
pub async fn send(server: &Server, method: &str, headers: &[(&str, &str)], body: &str) -> Exchange {
    send_as(server, TOKEN, method, headers, body).await
}

/// The same, with this token.
pub async fn send_as(
    server: &Server,
    token: &str,
    method: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Exchange {
    let mut stream = TcpStream::connect(server.mcp).await.unwrap();
    let mut head = format!("{method} /mcp HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", server.mcp);
    head += &format!("Authorization: Bearer {token}\r\nAccept: application/json, text/event-stream\r\n");
    if method == "POST" {
        head += "Content-Type: application/json\r\n";
        if !headers.iter().any(|(name, _)| *name == "Content-Length") {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
    }
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all(format!("{head}\r\n{body}").as_bytes()).await.unwrap();
    Exchange { stream, got: Vec::new() }
}

/// Posts a message.
pub async fn post(server: &Server, headers: &[(&str, &str)], message: &Value) -> Exchange {
    send(server, "POST", headers, &message.to_string()).await
}

impl Exchange {
    /// What came so far.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.got).into_owned()
    }

    /// Reads until it holds this; gives all of it.
    pub async fn until(&mut self, words: &str) -> String {
        while !self.text().contains(words) {
            let more = self.more().await;
            assert!(more, "{words} never came: {}", self.text());
        }
        self.text()
    }

    /// Reads until the server closes; gives all of it.
    pub async fn whole(&mut self) -> String {
        while self.more().await {}
        self.text()
    }

    /// The status.
    pub async fn status(&mut self) -> u16 {
        self.until("\r\n\r\n").await.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// A header's value.
    pub async fn header(&mut self, name: &str) -> Option<String> {
        let head = self.until("\r\n\r\n").await;
        let head = head.split("\r\n\r\n").next().unwrap().to_owned();
        let mut pairs = head.lines().filter_map(|line| line.split_once(": "));
        pairs.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
    }

    /// The answer to request `id`, whether it comes as one body or as an event; read up to the end of the connection.
    pub async fn answer(&mut self, id: i64) -> Value {
        self.whole().await;
        self.found(id).unwrap_or_else(|| panic!("no answer {id}: {}", self.text()))
    }

    /// The same, read no further than to its end.
    pub async fn answer_alone(&mut self, id: i64) -> Value {
        loop {
            if let Some(answer) = self.found(id) {
                return answer;
            }
            assert!(self.more().await, "no answer {id}: {}", self.text());
        }
    }

    fn found(&self, id: i64) -> Option<Value> {
        let text = self.text();
        let lines = text.lines().map(|line| line.strip_prefix("data: ").unwrap_or(line));
        let mut messages = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
        messages.find(|message| message["id"] == id)
    }

    async fn more(&mut self) -> bool {
        let mut chunk = [0; 16 * 1024];
        let read = tokio::time::timeout(SOON, self.stream.read(&mut chunk)).await.unwrap();
        let read = read.unwrap_or(0);
        self.got.extend_from_slice(&chunk[..read]);
        read > 0
    }
}

/// Opens a session; gives its name.
pub async fn open(server: &Server, version: &str) -> String {
    let params = json!({
        "protocolVersion": version, "capabilities": {}, "clientInfo": { "name": "over-http", "version": "1" },
    });
    let hello = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params });
    let mut opened = post(server, &[], &hello).await;
    let session = opened.header("mcp-session-id").await.unwrap();
    assert_eq!(opened.answer(0).await["result"]["protocolVersion"], version);
    let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    let of = [("Mcp-Session-Id", session.as_str()), ("MCP-Protocol-Version", version)];
    assert_eq!(post(server, &of, &ready).await.status().await, 202);
    session
}

/// A request of the eras with sessions.
pub fn request(id: i64, method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

/// A request of 2026-07-28.
pub fn modern(id: i64, method: &str, params: Value) -> Value {
    let mut message = request(id, method, params);
    let meta = &mut message["params"]["_meta"];
    meta["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
    meta["io.modelcontextprotocol/clientCapabilities"] = json!({});
    meta["io.modelcontextprotocol/clientInfo"] = json!({ "name": "modern-http", "version": "2" });
    message
}
