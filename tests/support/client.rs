//! A plain MCP client over a WebSocket: it writes JSON-RPC as it stands in the specification, in either era, keeps requests in
//! parallel by their ids, and remembers every message in the order in which it came.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each test binary uses a part of it")]

use std::time::Duration;

use exai_actors::clock::{self, Instant};
use serde_json::{Value, json};

use crate::server::{SOON, Server, TOKEN};
use crate::ws::{self, Ws};

/// What the usual clients offer.
const MCP: (&str, &str) = ("Sec-WebSocket-Protocol", "mcp");

/// How a client speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Era {
    /// `initialize`, with this version.
    Legacy(&'static str),
    /// 2026-07-28: everything in each request's `_meta`.
    Modern,
}

/// One connection.
pub struct Client {
    ws: Ws,
    era: Era,
    next_id: i64,
    /// Every message so far, with when it was read.
    pub seen: Vec<(Instant, Value)>,
    /// What `initialize` gave.
    pub hello: Value,
}

/// The result of one `tools/call`.
#[derive(Debug, Clone)]
pub struct Reply(pub Value);

impl Client {
    /// A connection that has shaken hands as 2025-11-25.
    pub async fn connect(server: &Server) -> Self {
        Self::of(server, Era::Legacy("2025-11-25")).await
    }

    /// A connection of a client that gives itself this name.
    pub async fn named(server: &Server, name: &str) -> Self {
        Self::introduced(server, Era::Legacy("2025-11-25"), TOKEN, name, MCP).await
    }

    /// A connection of that era, ready to ask.
    pub async fn of(server: &Server, era: Era) -> Self {
        Self::introduced(server, era, TOKEN, "systest", MCP).await
    }

    /// A connection that presents this token.
    pub async fn with_token(server: &Server, era: Era, token: &str) -> Self {
        Self::introduced(server, era, token, "systest", MCP).await
    }

    /// A connection that says one thing more as it opens.
    pub async fn with_header(server: &Server, era: Era, token: &str, header: (&str, &str)) -> Self {
        Self::introduced(server, era, token, "systest", header).await
    }

    async fn introduced(server: &Server, era: Era, token: &str, name: &str, header: (&str, &str)) -> Self {
        let bearer = format!("Bearer {token}");
        let ws = ws::connect(server.mcp, "/mcp", &[("Authorization", &bearer), header]).await.unwrap();
        let mut client = Self { ws, era, next_id: 0, seen: Vec::new(), hello: Value::Null };
        if let Era::Legacy(version) = era {
            let who = json!({ "name": name, "version": "1" });
            let params = json!({ "protocolVersion": version, "capabilities": {}, "clientInfo": who });
            client.hello = client.request("initialize", params).await;
            client.notify("notifications/initialized", json!({})).await;
        }
        client
    }

    /// Sends a request; gives its id.
    pub async fn begin(&mut self, method: &str, mut params: Value) -> i64 {
        self.next_id += 1;
        if self.era == Era::Modern {
            let meta = &mut params["_meta"];
            meta["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
            meta["io.modelcontextprotocol/clientCapabilities"] = json!({});
            meta["io.modelcontextprotocol/clientInfo"] = json!({ "name": "systest", "version": "2" });
        }
        self.tell(json!({ "jsonrpc": "2.0", "id": self.next_id, "method": method, "params": params })).await;
        self.next_id
    }

    /// Waits for the answer of a request, however many other messages come before it.
    pub async fn answer(&mut self, id: i64) -> Value {
        let by = clock::now() + SOON * 2;
        loop {
            if let Some((_, answer)) = self.seen.iter().find(|(_, message)| message["id"] == id) {
                return answer.clone();
            }
            assert!(clock::now() < by, "no answer to {id}: {:?}", self.seen);
            self.read().await;
        }
    }

    /// When the answer of a request was read.
    pub fn answered_at(&self, id: i64) -> Instant {
        self.seen.iter().find(|(_, message)| message["id"] == id).unwrap().0
    }

    /// Asks and waits.
    pub async fn request(&mut self, method: &str, params: Value) -> Value {
        let id = self.begin(method, params).await;
        self.answer(id).await
    }

    /// Sends a notification.
    pub async fn notify(&mut self, method: &str, params: Value) {
        self.tell(json!({ "jsonrpc": "2.0", "method": method, "params": params })).await;
    }

    /// Starts a tool, with its own id as progress token.
    pub async fn begin_call(&mut self, tool: &str, arguments: Value) -> i64 {
        let meta = json!({ "progressToken": self.next_id + 1 });
        self.begin("tools/call", json!({ "name": tool, "arguments": arguments, "_meta": meta })).await
    }

    /// Starts `chat` under an idempotency key.
    pub async fn begin_keyed(&mut self, arguments: Value, key: &str) -> i64 {
        let meta = json!({ "exai/idempotencyKey": key });
        self.begin("tools/call", json!({ "name": "chat", "arguments": arguments, "_meta": meta })).await
    }

    /// Waits for a tool's result.
    pub async fn reply(&mut self, id: i64) -> Reply {
        let answer = self.answer(id).await;
        assert!(answer["result"].is_object(), "no result: {answer}");
        Reply(answer["result"].clone())
    }

    /// Calls a tool and waits.
    pub async fn call(&mut self, tool: &str, arguments: Value) -> Reply {
        let id = self.begin_call(tool, arguments).await;
        self.reply(id).await
    }

    /// Asks a model.
    pub async fn chat(&mut self, prompt: &str) -> Reply {
        self.call("chat", json!({ "prompt": prompt })).await
    }

    /// Cancels a request.
    pub async fn cancel(&mut self, id: i64) {
        self.notify("notifications/cancelled", json!({ "requestId": id, "reason": "a test" })).await;
    }

    /// Reads until the server has answered something that was asked after everything else; how long that took.
    pub async fn fence(&mut self) -> Duration {
        let asked = clock::now();
        let method = if self.era == Era::Modern { "tools/list" } else { "ping" };
        let id = self.begin(method, json!({})).await;
        self.answer(id).await;
        self.answered_at(id) - asked
    }

    /// The progress notifications of a request, so far.
    pub fn progress(&self, id: i64) -> Vec<Value> {
        let told = self.seen.iter().filter(|(_, message)| message["params"]["progressToken"] == id);
        told.map(|(_, message)| message["params"].clone()).collect()
    }

    /// Waits for the first progress of a request.
    pub async fn until_progress(&mut self, id: i64) {
        while self.progress(id).is_empty() {
            assert!(
                !self.seen.iter().any(|(_, message)| message["id"] == id),
                "answered without a word before"
            );
            self.read().await;
        }
    }

    /// Every message about a request, so far: its answer and its progress.
    pub fn about(&self, id: i64) -> Vec<Value> {
        let of = |message: &Value| message["id"] == id || message["params"]["progressToken"] == id;
        self.seen.iter().map(|(_, message)| message.clone()).filter(of).collect()
    }

    /// Waits until nothing runs and every limit is whole.
    pub async fn until_at_rest(&mut self) {
        let by = clock::now() + SOON;
        loop {
            let load = self.call("status", json!({})).await.0["structuredContent"]["load"].clone();
            let permits = load["permits"].as_array().unwrap();
            assert!(
                permits.len() >= 2 && permits.iter().all(|permit| permit["limit"].as_u64() > Some(0)),
                "{load}"
            );
            let taken = permits.iter().any(|permit| permit["in_use"] != 0);
            if !taken && load["in_flight"] == 0 && load["waiting"] == 0 && load["live"] == 0 {
                return;
            }
            assert!(clock::now() < by, "never at rest: {load}");
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
    }

    /// The code with which the server closes; what it sends before is remembered.
    pub async fn close_code(&mut self) -> u16 {
        loop {
            match self.ws.next_frame().await {
                Ok(Some(ws::Frame { first: ws::CLOSE, payload })) => {
                    return payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                }
                Ok(Some(ws::Frame { first: ws::TEXT, payload })) => self.note(&payload),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return 1006,
            }
        }
    }

    /// Sends a message as it is.
    pub async fn tell(&mut self, message: Value) {
        self.ws.send_text(&message.to_string()).await.unwrap();
    }

    async fn read(&mut self) {
        let text = self.ws.next_text().await.unwrap();
        self.note(text.as_bytes());
    }

    fn note(&mut self, text: &[u8]) {
        self.seen.push((clock::now(), serde_json::from_slice(text).unwrap()));
    }
}

impl Reply {
    /// Whether it is a failure.
    pub fn is_error(&self) -> bool {
        self.0["isError"] == true
    }

    /// The answer, or the sentence of the failure.
    pub fn text(&self) -> &str {
        self.0["content"][0]["text"].as_str().unwrap()
    }

    /// The receipt of an answer.
    pub fn receipt(&self) -> &Value {
        assert!(!self.is_error(), "failed: {}", self.0);
        &self.0["_meta"]["exai/receipt"]
    }

    /// One field of the receipt that is text.
    pub fn of_receipt(&self, name: &str) -> String {
        self.receipt()[name].as_str().unwrap().to_owned()
    }

    /// The shape of the failure.
    pub fn error(&self) -> &Value {
        assert!(self.is_error(), "no failure: {}", self.0);
        &self.0["_meta"]["exai/error"]
    }

    /// The kind of the failure.
    pub fn kind(&self) -> &str {
        self.error()["kind"].as_str().unwrap()
    }
}
