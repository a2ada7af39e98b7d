//! Alerts over the wire: a real webhook hears of each once when it begins and once when it is over, though it fails at first.

#[path = "support/client.rs"]
mod client;
#[macro_use]
#[path = "support/database.rs"]
mod database;
#[path = "support/outage.rs"]
mod outage;
#[path = "support/server.rs"]
mod server;
#[path = "support/world.rs"]
mod world;
#[path = "support/ws.rs"]
mod ws;

use std::sync::Arc;
use std::time::Duration;

use database::Database;
use exai_actors::clock;
use exai_upstream::Script;
use outage::Postgres;
use parking_lot::Mutex;
use serde_json::Value;
use server::SOON;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use world::World;

/// What comes in the path of the webhook's address and must show nowhere.
const SECRET: &str = "T0-webhook-secret";

/// A webhook that refuses the first of its requests.
struct Sink {
    url: String,
    heard: Arc<Mutex<Vec<Value>>>,
}

impl Sink {
    async fn start() -> Self {
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

    fn heard(&self) -> Vec<Value> {
        self.heard.lock().clone()
    }

    /// What was heard of an alert in a state.
    fn of(&self, alert: &str, state: &str) -> Vec<Value> {
        let is = |one: &Value| one["alert"] == alert && one["state"] == state;
        self.heard().into_iter().filter(is).collect()
    }

    async fn until(&self, alert: &str, state: &str, count: usize) -> Value {
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

#[tokio::test]
async fn failing_calls_wake_the_operator_once() {
    let sink = Sink::start().await;
    let world = World::with(Database::sqlite(), |with| {
        with.set("EXAI_ALERTS__WEBHOOK_URL", &sink.url);
    })
    .await;
    world.kimi.set_default(Script::of("refuse=400"));
    let mut client = world.client().await;
    for _ in 0..10 {
        assert!(client.chat("a canary in the prompt").await.is_error());
    }
    // The first try was refused, so it comes twice.
    let notice = sink.until("error_rate", "firing", 2).await;
    assert!(notice["detail"].as_str().unwrap().contains("10 of the 10 calls"), "{notice}");
    assert!(notice["since"].as_i64() <= notice["at"].as_i64() && notice["replica"].is_string(), "{notice}");
    // A minute later it would be over; while it lasts nothing more is said.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let heard = sink.heard();
    assert_eq!(heard.len(), 2, "{heard:?}");
    let output = world.server.output();
    assert_eq!(output.lines().filter(|line| line.contains("alert: ")).count(), 1, "{output}");
    assert!(!output.contains(SECRET) && !format!("{heard:?}").contains("canary"), "{output}");
}

#[tokio::test]
#[ignore = "needs Postgres: tests/run starts one"]
async fn a_database_that_is_away_wakes_and_its_return_is_told() {
    let sink = Sink::start().await;
    let mut postgres = Postgres::start();
    let world = World::with(Database::on_server(&postgres.url).await, |with| {
        with.set("EXAI_ALERTS__WEBHOOK_URL", &sink.url);
    })
    .await;
    postgres.order("kill_postgres");
    sink.until("storage_away", "firing", 2).await;
    postgres.order("resume_postgres");
    let over = sink.until("storage_away", "resolved", 1).await;
    assert!(over["at"].as_i64() > over["since"].as_i64(), "{over}");
    assert_eq!(sink.of("storage_away", "firing").len(), 2);
    let output = world.server.output();
    assert!(output.contains("alert is over") && !output.contains(SECRET), "{output}");
}
