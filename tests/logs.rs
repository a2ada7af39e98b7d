//! What the real daemon logs: one line an event, as text or JSON, and every line of a call says whose it is, whatever part of the
//! system wrote it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/client.rs"]
mod client;
#[path = "support/database.rs"]
mod database;
#[path = "support/http.rs"]
mod http;
#[path = "support/server.rs"]
mod server;
#[path = "support/world.rs"]
mod world;
#[path = "support/ws.rs"]
mod ws;

use std::collections::BTreeMap;
use std::time::Duration;

use client::{Client, Era};
use database::Database;
use exai_actors::clock;
use serde_json::{Value, json};
use server::{SOON, TOKEN};
use world::World;

/// What one client calls its work, and what it calls one request of it.
const OF_CONNECTION: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const OF_REQUEST: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

/// A line, taken apart.
#[derive(Debug)]
struct Line {
    target: String,
    message: String,
    fields: BTreeMap<String, String>,
}

impl Line {
    /// Takes apart a line of JSON, or of text; a line that is not one of ours fails the test.
    fn read(format: &str, line: &str) -> Self {
        let (time, level, read) = if format == "json" { Self::of_json(line) } else { Self::of_text(line) };
        let time = time.parse::<jiff::Timestamp>();
        assert!(
            time.is_ok() && ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"].contains(&level.as_str()),
            "{line}"
        );
        read
    }

    fn of_json(line: &str) -> (String, String, Self) {
        let line = serde_json::from_str::<BTreeMap<String, Value>>(line).unwrap();
        assert!(line.keys().eq(["fields", "level", "message", "target", "time"]), "{line:?}");
        let text = |name: &str| line[name].as_str().unwrap().to_owned();
        let fields = line["fields"].as_object().unwrap().iter().map(|(name, value)| {
            (name.clone(), value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned))
        });
        let read = Self { target: text("target"), message: text("message"), fields: fields.collect() };
        (text("time"), text("level"), read)
    }

    fn of_text(line: &str) -> (String, String, Self) {
        let mut words = line.split_whitespace();
        let (time, level, target) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
        let named = words.clone().filter_map(|word| word.split_once('='));
        let fields = named.map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned()));
        let message = words.take_while(|word| !word.contains('=')).collect::<Vec<_>>().join(" ");
        (time.into(), level.into(), Self { target: target.into(), message, fields: fields.collect() })
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }
}

/// What an operator did between two calls: the pipe may bring it late.
fn is_of_operator(line: &Line) -> bool {
    line.field("operator").is_some() || line.message == "breaker closed"
}

/// The lines since `before` but those of an operator, once one of them tells the end of a call.
async fn lines_of_call(world: &World, format: &str, before: usize) -> Vec<Line> {
    let by = clock::now() + SOON;
    loop {
        let output = world.server.output();
        if let Some((whole, _)) = output[before..].rsplit_once('\n') {
            let lines = whole.lines().map(|line| Line::read(format, line));
            let lines = lines.filter(|line| !is_of_operator(line)).collect::<Vec<_>>();
            if lines.iter().any(|line| line.message == "call ended") {
                return lines;
            }
        }
        assert!(clock::now() < by, "its end was not logged: {}", &output[before..]);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn expect(lines: &[Line], call: &str, session: &str, traceparent: &str) {
    for line in lines {
        assert_eq!(line.field("call"), Some(call), "{line:?}");
        assert_eq!(line.field("session"), Some(session), "{line:?}");
        assert_eq!(line.field("traceparent"), Some(traceparent), "{line:?}");
    }
}

async fn lines_name_their_call(format: &str) {
    let world = World::with(Database::sqlite(), |with| {
        with.set("RUST_LOG", "trace").set("EXAI_LOG__FORMAT", format);
    })
    .await;
    let era = Era::Legacy("2025-11-25");
    let mut client = Client::with_header(&world.server, era, TOKEN, ("traceparent", OF_CONNECTION)).await;
    client.chat("the connection to the upstream is made").await;
    world.until_introduced(1).await;
    let session = world.db.texts("SELECT id AS t FROM sessions").await.concat();
    let ways = [
        ("tokens=3", &["exai_actors::provider::call", "exai_actors::dispatcher::ending"][..]),
        ("refuse=auth", &["exai_actors::provider_supervisor::moves", "exai_actors::dispatcher::ending"]),
    ];
    for (script, targets) in ways {
        for traceparent in [OF_CONNECTION, OF_REQUEST] {
            world.server.reset_breakers("kimi").await;
            let before = world.server.output().len();
            world.next(script);
            let mut asked =
                json!({ "name": "chat", "arguments": { "prompt": format!("{script} {traceparent}") } });
            // What is no traceparent is as if nothing were said.
            asked["_meta"] = json!({ "traceparent": traceparent.replace(OF_CONNECTION, "forged\ncall=x") });
            let id = client.begin("tools/call", asked).await;
            let reply = client.reply(id).await;
            let facts = if reply.is_error() { reply.error() } else { reply.receipt() };
            let lines = lines_of_call(&world, format, before).await;
            expect(&lines, facts["call_id"].as_str().unwrap(), &session, traceparent);
            for target in targets {
                assert!(lines.iter().any(|line| line.target == *target), "{script}: {target} in {lines:?}");
            }
        }
    }
    let output = world.server.output();
    assert!(output.lines().all(|line| !Line::read(format, line).message.is_empty()), "{output}");
    assert!(!output.contains(TOKEN) && !output.contains("forged"), "{output}");
}

#[tokio::test]
async fn every_line_of_a_call_says_whose_it_is_as_text() {
    lines_name_their_call("text").await;
}

#[tokio::test]
async fn every_line_of_a_call_says_whose_it_is_as_json() {
    lines_name_their_call("json").await;
}

/// Over HTTP each request has a header of its own, and what one says is nothing to the next.
#[tokio::test]
async fn over_http_each_request_has_a_trace_of_its_own() {
    let world = World::with(Database::sqlite(), |with| {
        with.set("RUST_LOG", "trace").set("EXAI_LOG__FORMAT", "json");
    })
    .await;
    let session = http::open(&world.server, "2025-11-25").await;
    let legacy = [("Mcp-Session-Id", session.as_str()), ("MCP-Protocol-Version", "2025-11-25")];
    let modern = [("MCP-Protocol-Version", "2026-07-28"), ("Mcp-Method", "tools/call"), ("Mcp-Name", "chat")];
    let mut id = 0;
    for era in [&legacy[..], &modern[..]] {
        for traceparent in [Some(OF_CONNECTION), Some(OF_REQUEST), None] {
            id += 1;
            let params = json!({ "name": "chat", "arguments": { "prompt": format!("question {id}") } });
            let method = if era.len() == 3 { http::modern } else { http::request };
            let asked = method(id, "tools/call", params);
            let headers = era.iter().copied().chain(traceparent.map(|said| ("traceparent", said)));
            let headers = headers.collect::<Vec<_>>();
            let before = world.server.output().len();
            let reply = http::post(&world.server, &headers, &asked).await.answer(id).await;
            let call = reply["result"]["_meta"]["exai/receipt"]["call_id"].as_str().unwrap().to_owned();
            let lines = lines_of_call(&world, "json", before).await;
            let of_call = lines.iter().filter(|line| line.field("call") == Some(&call)).collect::<Vec<_>>();
            assert!(of_call.len() >= 2, "{lines:?}");
            for line in of_call {
                assert_eq!(line.field("traceparent"), traceparent, "{line:?}");
                assert!(line.field("session").is_some(), "{line:?}");
            }
        }
    }
}
