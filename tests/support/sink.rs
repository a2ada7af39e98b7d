//! A real webhook for one test: a small HTTP server that keeps what it was sent.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each test binary uses a part of it")]

use std::sync::Arc;
use std::time::Duration;

use exai_actors::clock;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::server::SOON;

/// What comes in the path of the webhook's address and must show nowhere.
pub const SECRET: &str = "T0-webhook-secret";

/// A webhook that refuses the first of its requests.
pub struct Sink {
    /// What the daemon is told.
    pub url: String,
    heard: Arc<Mutex<Vec<Value>>>,
}

impl Sink {
    /// Starts one.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hooks/{SECRET}", listener.local_addr().unwrap());
        let heard = Arc::<Mutex<Vec<Value>>>::default();
        let hears = Arc::clone(&heard);
        tokio::spawn(async move {
            let mut refused = false;
            while let Ok((stream, _)) = listener.accept().await {
                let body = answer(stream, std::mem::replace(&mut refused, true)).await;
                hears.lock().push(body);
            }
        });
        Self { url, heard }
    }

    /// Everything that was heard, in order.
    pub fn heard(&self) -> Vec<Value> {
        self.heard.lock().clone()
    }

    /// What was heard of an alert in a state.
    pub fn of(&self, alert: &str, state: &str) -> Vec<Value> {
        let is = |one: &Value| one["alert"] == alert && one["state"] == state;
        self.heard().into_iter().filter(is).collect()
    }

    /// Waits until that was heard so many times; gives the first.
    pub async fn until(&self, alert: &str, state: &str, count: usize) -> Value {
        let by = clock::now() + SOON * 2;
        while self.of(alert, state).len() < count {
            assert!(clock::now() < by, "{alert} {state} did not come: {:?}", self.heard());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.of(alert, state)[0].clone()
    }
}

/// Reads one request to its end and answers it; gives its body.
async fn answer(mut stream: TcpStream, well: bool) -> Value {
    let mut got = Vec::new();
    let body = loop {
        let mut piece = [0; 4096];
        let read = stream.read(&mut piece).await.unwrap();
        assert!(read > 0, "the request has no end: {}", String::from_utf8_lossy(&got));
        got.extend_from_slice(&piece[..read]);
        let text = String::from_utf8_lossy(&got).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        assert!(head.starts_with(&format!("POST /hooks/{SECRET} HTTP/1.1")), "{head}");
        let length = head.to_ascii_lowercase();
        let length = length.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()).unwrap();
        if body.len() >= length.parse::<usize>().unwrap() {
            break serde_json::from_str(body).unwrap();
        }
    };
    let status = if well { "204 No Content" } else { "503 Service Unavailable" };
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    body
}
