//! One client: a WebSocket that has shaken hands, and asks one thing after the other or many at once.

use std::collections::HashMap;
use std::error::Error;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::{Duration, Instant};

use awc::error::WsProtocolError;
use awc::ws::{Frame, Message};
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use serde_json::{Value, json};

use crate::daemon::TOKEN;

/// How long an answer may take before the measurement is given up.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// What went wrong with a measurement.
pub(crate) type Failed = Box<dyn Error>;

/// A connection.
pub(crate) struct Session {
    sink: Pin<Box<dyn Sink<Message, Error = WsProtocolError>>>,
    stream: Pin<Box<dyn Stream<Item = Result<Frame, WsProtocolError>>>>,
    last: i64,
    asked: HashMap<i64, Instant>,
}

/// An answer, and how long it took to come.
pub(crate) struct Answer {
    pub(crate) id: i64,
    pub(crate) message: Value,
    pub(crate) took: Duration,
}

impl Session {
    /// Connects and shakes hands. Needs the actix system of this thread.
    pub(crate) async fn open(mcp: SocketAddr) -> Result<Self, Failed> {
        let connect = awc::Client::new().ws(format!("ws://{mcp}/mcp")).bearer_auth(TOKEN).connect();
        let (_, socket) = connect.await.map_err(|error| error.to_string())?;
        let (sink, stream) = socket.split();
        let mut session =
            Self { sink: Box::pin(sink), stream: Box::pin(stream), last: 0, asked: HashMap::new() };
        let who = json!({ "name": "exai-bench", "version": "1" });
        let hello = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": who });
        let answer = session.ask("initialize", hello).await?;
        if !answer.message["result"].is_object() {
            return Err(format!("initialize was not answered: {}", answer.message).into());
        }
        session.send(json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await?;
        Ok(session)
    }

    /// Sends a request; gives its id.
    pub(crate) async fn begin(&mut self, method: &str, params: Value) -> Result<i64, Failed> {
        self.last += 1;
        self.asked.insert(self.last, Instant::now());
        self.send(json!({ "jsonrpc": "2.0", "id": self.last, "method": method, "params": params })).await?;
        Ok(self.last)
    }

    /// Starts a `chat`; gives its id.
    pub(crate) async fn begin_chat(&mut self, prompt: &str, model: &str) -> Result<i64, Failed> {
        let arguments = json!({ "prompt": prompt, "model": model });
        self.begin("tools/call", json!({ "name": "chat", "arguments": arguments })).await
    }

    /// The next answer to any request.
    pub(crate) async fn next(&mut self) -> Result<Answer, Failed> {
        loop {
            let frame = tokio::time::timeout(ANSWER_WITHIN, self.stream.next()).await?;
            match frame.ok_or("the server closed the connection")?? {
                Frame::Ping(payload) => self.sink.send(Message::Pong(payload)).await?,
                Frame::Text(text) => {
                    let message: Value = serde_json::from_slice(&text)?;
                    let asked = message["id"].as_i64().and_then(|id| Some((id, self.asked.remove(&id)?)));
                    if let Some((id, asked)) = asked {
                        return Ok(Answer { id, message, took: asked.elapsed() });
                    }
                }
                Frame::Pong(_) => {}
                other @ (Frame::Binary(_) | Frame::Continuation(_) | Frame::Close(_)) => {
                    return Err(format!("the server sent {other:?}").into());
                }
            }
        }
    }

    /// Asks and waits; answers to other requests on the way are dropped.
    pub(crate) async fn ask(&mut self, method: &str, params: Value) -> Result<Answer, Failed> {
        let id = self.begin(method, params).await?;
        loop {
            let answer = self.next().await?;
            if answer.id == id {
                return Ok(answer);
            }
        }
    }

    /// Asks a model and waits.
    pub(crate) async fn chat(&mut self, prompt: &str, model: &str) -> Result<Answer, Failed> {
        let arguments = json!({ "prompt": prompt, "model": model });
        self.ask("tools/call", json!({ "name": "chat", "arguments": arguments })).await
    }

    /// Cancels a request; nothing is answered to it any more.
    pub(crate) async fn cancel(&mut self, id: i64) -> Result<(), Failed> {
        self.asked.remove(&id);
        let params = json!({ "requestId": id });
        self.send(json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params })).await
    }

    async fn send(&mut self, message: Value) -> Result<(), Failed> {
        Ok(self.sink.send(Message::Text(message.to_string().into())).await?)
    }
}

impl Answer {
    /// The kind of the failure; empty for a success.
    pub(crate) fn kind(&self) -> &str {
        self.message["result"]["_meta"]["exai/error"]["kind"].as_str().unwrap_or_default()
    }
}
