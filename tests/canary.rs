//! What a user wrote, what a model answered and what opens a door never gets into a log, a health page or an error: at the loudest
//! log level, in both formats, through success and every way to fail.

#[path = "support/client.rs"]
mod client;
#[path = "support/database.rs"]
mod database;
#[path = "support/server.rs"]
mod server;
#[path = "support/world.rs"]
mod world;
#[path = "support/ws.rs"]
mod ws;

use std::time::Duration;

use client::{Client, Era};
use database::Database;
use exai_actors::clock;
use exai_upstream::Script;
use serde_json::{Value, json};
use server::{SOON, TOKEN};
use world::World;

/// In every question.
const PROMPT: &str = "CANARY-PROMPT-5d1f";
/// In every answer of the doubles.
const ANSWER: &str = "This is the double of";
/// In arguments that are wrong.
const ARGUMENT: &str = "CANARY-ARGUMENT-77aa";
/// The keys of the two providers, as [`server::Setup::provider`] makes them.
const KEYS: [&str; 2] = ["sk-KIMI", "sk-GLM"];
/// A token that opens nothing.
const WRONG_TOKEN: &str = "CANARY-WRONG-TOKEN-31";

const FAILURES: &[&str] = &[
    "refuse=auth",
    "refuse=content_filter",
    "refuse=too_long",
    "refuse=rate_limit",
    "refuse=server_error",
    "refuse=gateway_html",
    "cut-after=4",
    "eof-after=4",
    "reset-after=4",
    "garbage-after=4",
    "error-after=4",
    "garbage",
    "html",
    "wrong-type",
    "hang-up",
    "reset",
    "huge=9000000",
    "stall-after=4",
    "slow-headers=30000",
    "tokens=0+finish=length",
];

async fn world(levels: &str, format: &str) -> World {
    World::with(Database::sqlite(), |with| {
        with.set("RUST_LOG", levels).set("EXAI_LOG__FORMAT", format).set("EXAI_LIMITS__BURST", "1000");
        with.set("EXAI_PROVIDERS__KIMI__IDLE_TIMEOUT_S", "1")
            .set("EXAI_PROVIDERS__KIMI__FIRST_BYTE_TIMEOUT_S", "1");
    })
    .await
}

fn question() -> Value {
    json!({ "prompt": format!("{PROMPT} why?"), "max_tokens": 200 })
}

/// No canary stands in what the daemon wrote or in what it shows of itself.
fn silent(what: &str, text: &str) {
    for canary in [PROMPT, ANSWER, ARGUMENT, KEYS[0], KEYS[1], WRONG_TOKEN, TOKEN] {
        let line = text.lines().find(|line| line.contains(canary)).unwrap_or_default();
        assert!(!text.contains(canary), "{canary} in {what}: {line}");
    }
}

/// Success in both eras, a conversation, an echo, a key, a cancel.
async fn succeed(world: &World, client: &mut Client) {
    let first = client.call("chat", question()).await;
    assert!(first.text().contains(ANSWER) && first.text().contains(PROMPT));
    world.next("echo");
    let thread = first.of_receipt("conversation_id");
    let again = json!({ "prompt": PROMPT, "continuation_id": thread, "model": "kimi-k2.6" });
    let echoed = client.call("chat", again).await;
    assert!(echoed.text().contains(ANSWER), "it was shown its own answer: {}", echoed.text());
    let mut modern = Client::of(&world.server, Era::Modern).await;
    let glm = json!({ "prompt": PROMPT, "model": "glm-5.2" });
    assert!(modern.call("chat", glm).await.text().contains(PROMPT));
    let keyed = client.begin_keyed(question(), "canary-1").await;
    let keyed = client.reply(keyed).await;
    let fetched = client.call("result", json!({ "call_id": keyed.of_receipt("call_id") })).await;
    assert!(fetched.text().contains(PROMPT));
    let asked = world.kimi.journal().len();
    world.next("delay=30000");
    let cancelled = client.begin_call("chat", question()).await;
    world.until_asked(asked + 1).await;
    client.cancel(cancelled).await;
    client.until_at_rest().await;
}

/// Every way to fail that a client or an upstream has.
async fn fail(world: &World, client: &mut Client) {
    for script in FAILURES {
        world.kimi.set_default(Script::of(&format!("think=1+pace=0+{script}")));
        world.server.reset_breakers("kimi").await;
        let reply = client.call("chat", question()).await;
        silent(&format!("the error of {script}"), &reply.error().to_string());
        silent(&format!("the words of {script}"), reply.text());
    }
    world.kimi.set_default(Script::default());
    world.server.reset_breakers("kimi").await;
    for arguments in [
        json!({ "prompt": PROMPT, "model": 7, "x": ARGUMENT }),
        json!({ "prompt": PROMPT, "temperature": ARGUMENT }),
        json!({ "prompt": PROMPT, "continuation_id": ARGUMENT }),
        json!({ "prompt": [PROMPT, ARGUMENT] }),
        json!({ "prompt": format!("{PROMPT} {}", "long ".repeat(400_000)) }),
    ] {
        let reply = client.call("chat", arguments).await;
        silent("an error about arguments", &reply.0.to_string());
    }
    let meta = json!({ "traceparent": ARGUMENT, "tracestate": PROMPT });
    let traced = json!({ "name": "chat", "arguments": question(), "_meta": meta });
    client.request("tools/call", traced).await;
    let unknown = json!({ "prompt": PROMPT, "model": ARGUMENT });
    assert_eq!(client.call("chat", unknown).await.kind(), "unknown_model");
    let tool = json!({ "name": ARGUMENT, "arguments": { "prompt": PROMPT } });
    assert!(client.request("tools/call", tool).await["error"].is_object());
    assert!(client.request(ARGUMENT, json!({ "prompt": PROMPT })).await["error"].is_object());
    client.notify(ARGUMENT, json!({ "prompt": PROMPT })).await;
    let asked = json!({ "jsonrpc": "2.0", "id": 9001, "method": "tools/call", "params": [PROMPT, ARGUMENT] });
    client.tell(asked).await;
    assert!(client.answer(9001).await["error"].is_object());
    client.tell(json!([PROMPT, ARGUMENT])).await;
    let wrong = format!("Bearer {WRONG_TOKEN}");
    let query = format!("/mcp?token={TOKEN}&prompt={PROMPT}");
    for (path, header, status) in [("/mcp", wrong.as_str(), "401"), (query.as_str(), "Basic CANARY", "400")] {
        let refused = ws::connect(world.server.mcp, path, &[("Authorization", header)]).await;
        assert!(refused.is_err_and(|error| error.to_string().contains(status)));
    }
    assert_eq!(world.server.get(&format!("/{ARGUMENT}?prompt={PROMPT}")).await.0, 404);
}

/// What it tells of itself.
async fn tell(world: &World, client: &mut Client) {
    for tool in ["status", "listmodels", "version"] {
        silent(tool, &client.call(tool, json!({})).await.0.to_string());
    }
    // What happened just now is handed over within a second.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let wrong = format!("/api/events?kind={ARGUMENT}&{PROMPT}={WRONG_TOKEN}");
    for path in ["/health", "/health/ready", "/health/live", "/api/events?limit=1000", &wrong] {
        silent(path, &world.server.get(path).await.1);
    }
    for format in [&["events"][..], &["events", "--json"]] {
        let (code, said) = world.server.run(format).await;
        silent("exai events", &said);
        assert!(code == Some(0) && said.contains("kimi") && said.contains("websocket"), "{said}");
    }
}

async fn nothing_is_said(levels: &str, format: &str) {
    let mut world = world(levels, format).await;
    let mut client = world.client().await;
    succeed(&world, &mut client).await;
    fail(&world, &mut client).await;
    #[cfg(feature = "faults")]
    for (point, _) in exai_actors::faults::Point::ALL {
        assert_eq!(world.server.post(&format!("/faults/{point}")).await, 204);
        let id = client.begin_call("chat", question()).await;
        client.answer(id).await;
    }
    tell(&world, &mut client).await;
    world.next("delay=30000");
    client.begin_call("chat", question()).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    world.server.kill9().await;
    world.server.restart().await;
    let mut client = world.client().await;
    client.call("chat", question()).await;
    tell(&world, &mut client).await;
    world.server.sigterm();
    world.server.exit_code(SOON).await;
    let output = world.server.output();
    silent("its output", &output);
    let lines = output.lines().count();
    assert!(lines > 40 && output.contains("call ended") && output.contains("stopped"), "{lines} lines");
    if format == "json" {
        assert!(output.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{output}");
    }
}

#[tokio::test]
async fn nothing_of_a_user_is_logged_as_text() {
    nothing_is_said("trace", "text").await;
}

#[tokio::test]
async fn nothing_of_a_user_is_logged_for_debugging() {
    nothing_is_said("debug", "json").await;
}

#[tokio::test]
async fn nothing_of_a_user_is_logged_as_json() {
    nothing_is_said("trace,rmcp=trace,exai=trace,awc=trace,actix_http=trace", "json").await;
}

#[tokio::test]
async fn every_line_of_a_call_names_it() {
    let world = world("trace", "text").await;
    let mut client = world.client().await;
    client.chat("nothing is new any more").await;
    world.until_introduced(1).await;
    for script in ["tokens=30", "refuse=content_filter", "cut-after=4", "reset", "stall-after=4"] {
        let before = world.server.output().len();
        world.next(script);
        let reply = client.call("chat", question()).await;
        let facts = if reply.is_error() { reply.error() } else { reply.receipt() };
        let call = facts["call_id"].as_str().unwrap();
        let by = clock::now() + SOON;
        // The provider's line ends in the same words, and comes first.
        while !world.server.output()[before..].contains("outcome=") {
            assert!(clock::now() < by, "{script}: its end was not logged");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let output = world.server.output();
        let lines = output[before..].lines().collect::<Vec<_>>();
        assert!(lines.len() >= 2, "{script}: {lines:?}");
        for line in lines {
            assert!(line.contains(&format!("call={call}")), "{script}: {line}");
        }
    }
}
