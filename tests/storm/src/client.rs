//! One MCP client over one connection, of either era: it asks, cancels, listens, and notes everything in the book.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use crate::book::{Answer, Book, Expect, Kind, Question};
use crate::clock;
use crate::ws::{Said, Ws};

/// What opens the daemon.
pub(crate) const TOKEN: &str = "storm-token-storm-token-storm-token";
/// What follows the tag in every prompt.
const PROMPT: &str = "would two models see more than one?";

/// An open connection.
pub(crate) struct Client {
    ws: Ws,
    modern: bool,
    book: Book,
    connection: u64,
    next_id: u64,
    /// Every request of this connection, answered or not: a second answer must be seen.
    asked: HashMap<u64, usize>,
    close: Option<u16>,
}

/// The connection has ended, or broke; who waited for something on it hears nothing more.
#[derive(Debug)]
pub(crate) struct Ended;

/// Whether `initialize` was granted.
fn is_welcome(hello: &[u8]) -> bool {
    serde_json::from_slice::<Value>(hello).is_ok_and(|hello| hello["result"].is_object())
}

impl Client {
    /// Connects; the legacy era shakes hands first.
    pub(crate) async fn connect(to: SocketAddr, modern: bool, book: &Book) -> io::Result<Self> {
        let ws = Ws::connect(to, TOKEN).await?;
        let (book, connection) = (book.clone(), book.connected());
        let mut client =
            Self { ws, modern, book, connection, next_id: 0, asked: HashMap::new(), close: None };
        if !modern {
            let hello = json!({ "jsonrpc": "2.0", "id": "hello", "method": "initialize", "params": {
                "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "exai-storm", "version": "1" } } });
            client.ws.send(&hello.to_string()).await?;
            match tokio::time::timeout(Duration::from_secs(20), client.ws.next()).await {
                Ok(Ok(Said::Text(hello))) if is_welcome(&hello) => {}
                // A panic that was planted hit the handshake.
                Ok(Ok(Said::Text(_))) => return Err(io::Error::other("the handshake was refused")),
                Ok(Ok(Said::Close(code))) => {
                    return Err(io::Error::other(format!("closed with {code} while shaking hands")));
                }
                Ok(Err(error)) => return Err(error),
                Err(_) => return Err(io::ErrorKind::TimedOut.into()),
            }
            client.ws.send(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).await?;
        }
        Ok(client)
    }

    /// Sends a question; gives its number in the book.
    pub(crate) async fn ask(
        &mut self,
        question: &Question,
        kind: Kind,
        expect: Expect,
    ) -> Result<usize, Ended> {
        let (method, mut params) = match &kind {
            Kind::Chat | Kind::RetryUnknown => {
                let prompt = format!("{} {PROMPT}", question.tag);
                (
                    "tools/call",
                    json!({ "name": "chat", "arguments": { "prompt": prompt, "model": question.model } }),
                )
            }
            Kind::Result(call) => {
                ("tools/call", json!({ "name": "result", "arguments": { "call_id": call } }))
            }
            Kind::Fence if self.modern => ("tools/list", json!({})),
            Kind::Fence => ("ping", json!({})),
        };
        if question.keyed && matches!(kind, Kind::Chat | Kind::RetryUnknown) {
            params["_meta"]["exai/idempotencyKey"] = json!(question.tag);
        }
        if kind == Kind::RetryUnknown {
            params["_meta"]["exai/retryUnknown"] = json!(true);
        }
        let number = self.book.sent(question, kind, expect, self.connection);
        self.next_id += 1;
        self.asked.insert(self.next_id, number);
        let sent = self.request(self.next_id, method, params).await;
        if sent.is_err() {
            self.leave();
            return Err(Ended);
        }
        Ok(number)
    }

    /// Takes a request back.
    pub(crate) async fn cancel(&mut self, ask: usize) -> Result<(), Ended> {
        let id = self.asked.iter().find(|(_, number)| **number == ask).map(|(id, _)| *id);
        self.book.cancelled(ask);
        let cancel = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled",
            "params": { "requestId": id, "reason": "the weather" } });
        self.ws.send(&cancel.to_string()).await.map_err(|_| self.leave())
    }

    /// Reads until a request is answered, at most so long; whether it was.
    pub(crate) async fn answered(&mut self, ask: usize, within: Duration) -> Result<bool, Ended> {
        let by = clock::now() + within;
        while self.book.answer_to(ask).is_none() {
            let left = by.saturating_duration_since(clock::now());
            match tokio::time::timeout(left, self.hear()).await {
                Ok(heard) => heard?,
                Err(_) => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Asks, waits, and gives the answer; none where none came in time.
    pub(crate) async fn consult(
        &mut self,
        question: &Question,
        kind: Kind,
        expect: Expect,
        within: Duration,
    ) -> Result<Option<Answer>, Ended> {
        let ask = self.ask(question, kind, expect).await?;
        self.answered(ask, within).await?;
        Ok(self.book.answer_to(ask))
    }

    /// Reads for so long, whatever comes.
    pub(crate) async fn listen(&mut self, time: Duration) -> Result<(), Ended> {
        let by = clock::now() + time;
        loop {
            let left = by.saturating_duration_since(clock::now());
            match tokio::time::timeout(left, self.hear()).await {
                Ok(heard) => heard?,
                Err(_) => return Ok(()),
            }
        }
    }

    /// Reads until the server closes, at most so long; the code it closed with.
    pub(crate) async fn until_closed(&mut self, within: Duration) -> Option<u16> {
        let _ = self.listen(within).await;
        self.close
    }

    /// Calls a tool that asks no model; its structured answer.
    pub(crate) async fn structured(&mut self, tool: &str) -> Result<Value, Ended> {
        let number = self.next_id + 1;
        self.next_id = number;
        let sent = self.request(number, "tools/call", json!({ "name": tool, "arguments": {} })).await;
        sent.map_err(|_| Ended)?;
        let by = clock::now() + Duration::from_secs(20);
        loop {
            let left = by.saturating_duration_since(clock::now());
            let Ok(Ok(Said::Text(text))) = tokio::time::timeout(left, self.ws.next()).await else {
                return Err(Ended);
            };
            let message: Value = serde_json::from_slice(&text).map_err(|_| Ended)?;
            if message["id"] == number {
                return Ok(message["result"]["structuredContent"].clone());
            }
        }
    }

    /// Ends the connection without a word.
    pub(crate) fn drop_dead(mut self) {
        self.leave();
        self.ws.reset();
    }

    async fn request(&mut self, id: u64, method: &str, mut params: Value) -> io::Result<()> {
        if self.modern {
            let meta = &mut params["_meta"];
            meta["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
            meta["io.modelcontextprotocol/clientCapabilities"] = json!({});
            meta["io.modelcontextprotocol/clientInfo"] = json!({ "name": "exai-storm", "version": "1" });
        }
        let message = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        self.ws.send(&message.to_string()).await
    }

    async fn hear(&mut self) -> Result<(), Ended> {
        match self.ws.next().await {
            Ok(Said::Text(text)) => {
                self.note(&text);
                Ok(())
            }
            Ok(Said::Close(code)) => {
                self.close = Some(code);
                self.book.closed(code);
                Err(self.leave())
            }
            Err(_) => Err(self.leave()),
        }
    }

    fn note(&mut self, text: &[u8]) {
        let Ok(message) = serde_json::from_slice::<Value>(text) else {
            return self.book.odd(format!("connection {}: a message that is no JSON", self.connection));
        };
        if message.get("method").is_some() {
            return;
        }
        match message["id"].as_u64().and_then(|id| self.asked.get(&id)) {
            Some(ask) => self.book.answered(*ask, read(&message)),
            None => {
                self.book
                    .odd(format!("connection {}: an answer to nothing: {}", self.connection, message["id"]));
            }
        }
    }

    /// Nothing more can be heard here.
    fn leave(&mut self) -> Ended {
        for ask in self.asked.values() {
            self.book.lost(*ask);
        }
        Ended
    }
}

fn read(message: &Value) -> Answer {
    let result = &message["result"];
    let error = if message.get("error").is_some() {
        &message["error"]["data"]
    } else if result["isError"] == true {
        &result["_meta"]["exai/error"]
    } else {
        let Some(text) = result["content"][0]["text"].as_str() else { return Answer::Other };
        let call = result["_meta"]["exai/receipt"]["call_id"].as_str().map(str::to_owned);
        return Answer::Text { text: text.to_owned(), call };
    };
    let kind = match error["kind"].as_str() {
        Some(kind) => kind.to_owned(),
        None => format!("no kind, code {}", message["error"]["code"]),
    };
    let retry_after = error["retry_after_ms"].as_u64().map(Duration::from_millis);
    Answer::Failed { kind, call: error["call_id"].as_str().map(str::to_owned), retry_after }
}
