//! What an MCP client meets over Streamable HTTP: the real daemon, raw requests, the doubles of Kimi and GLM.

#[path = "support/client.rs"]
mod client;
#[macro_use]
#[path = "support/database.rs"]
mod database;
#[path = "support/http.rs"]
mod http;
#[path = "http/lost.rs"]
mod lost;
#[path = "support/server.rs"]
mod server;
#[path = "support/world.rs"]
mod world;
#[path = "support/ws.rs"]
mod ws;

use std::time::Duration;

use exai_actors::clock;
use exai_upstream::Ended;
use serde_json::{Value, json};

use crate::http::{modern, open, post, request, send};
use crate::server::SOON;
use crate::world::{World, until_journal};

const MODERN: (&str, &str) = ("MCP-Protocol-Version", "2026-07-28");

fn chat(prompt: &str) -> Value {
    json!({ "name": "chat", "arguments": { "prompt": prompt }, "_meta": { "progressToken": "t" } })
}

fn modern_call(method: &'static str, name: &'static str) -> Vec<(&'static str, &'static str)> {
    vec![MODERN, ("Mcp-Method", method), ("Mcp-Name", name)]
}

/// What `/metrics` says once this line is in it.
async fn until_scraped(world: &World, line: &str) -> String {
    let by = clock::now() + SOON;
    loop {
        let (_, text) = world.server.get("/metrics").await;
        if text.lines().any(|told| told == line) {
            return text;
        }
        assert!(clock::now() < by, "no {line} in\n{text}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn who_ends_a_session_hears_that_its_call_goes_on() {
    let world = World::start().await;
    let session = open(&world.server, "2025-11-25").await;
    let of = [("Mcp-Session-Id", session.as_str()), ("MCP-Protocol-Version", "2025-11-25")];
    world.next("think=0+pace=20+tokens=60");
    let mut running = post(&world.server, &of, &request(1, "tools/call", chat("a long one"))).await;
    world.until_asked(1).await;
    assert_eq!(send(&world.server, "DELETE", &of, "").await.status().await, 204);
    let reply = running.answer(1).await;
    assert_ne!(reply["result"]["isError"], true, "{reply}");
    let call =
        reply["result"]["_meta"]["exai/handover"]["call_id"].as_str().unwrap_or_else(|| panic!("{reply}"));
    let by = clock::now() + SOON;
    while world.db.texts("SELECT state AS t FROM calls").await != ["completed"] {
        assert!(clock::now() < by, "{call} does not go on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn both_eras_with_sessions_list_call_and_end() {
    let world = World::start().await;
    for version in ["2025-06-18", "2025-11-25"] {
        let session = open(&world.server, version).await;
        let of = [("Mcp-Session-Id", session.as_str()), ("MCP-Protocol-Version", version)];
        let list = post(&world.server, &of, &request(1, "tools/list", json!({}))).await.answer(1).await;
        assert!(list["result"]["tools"].as_array().unwrap().len() >= 5, "{list}");
        let reply =
            post(&world.server, &of, &request(2, "tools/call", chat("over http"))).await.answer(2).await;
        assert!(reply["result"]["content"][0]["text"].as_str().unwrap().contains("over http"), "{reply}");
        assert_eq!(reply["result"]["_meta"]["exai/receipt"]["provider"], "kimi", "{reply}");
        until_scraped(&world, r#"exai_sessions_active{transport="http"} 1.0"#).await;
        assert_eq!(send(&world.server, "DELETE", &of, "").await.status().await, 204);
        let mut gone = post(&world.server, &of, &request(3, "ping", json!({}))).await;
        assert_eq!(gone.status().await, 404);
    }
    world.until_introduced(2).await;
    let rows = world.db.number("SELECT count(*) AS n FROM sessions WHERE transport = 'http'").await;
    assert_eq!(rows, 2);
    let by = clock::now() + SOON;
    while world.db.number("SELECT count(*) AS n FROM calls WHERE delivered_at IS NOT NULL").await < 2 {
        assert!(clock::now() < by, "a delivery was not noted");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    until_scraped(&world, r#"exai_sessions_active{transport="http"} 0.0"#).await;
    let scraped = until_scraped(&world, r#"exai_messages_total{transport="http",direction="in"} 8"#).await;
    assert!(!scraped.contains(r#"transport="websocket""#), "{scraped}");
}

#[tokio::test]
async fn a_modern_client_asks_without_a_session_and_its_stream_starts_at_once() {
    let world = World::start().await;
    let found = [MODERN, ("Mcp-Method", "server/discover")];
    let found = post(&world.server, &found, &modern(1, "server/discover", json!({}))).await.answer(1).await;
    assert_eq!(found["result"]["resultType"], "complete", "{found}");
    assert!(found["result"]["ttlMs"].is_u64() && found["result"]["cacheScope"].is_string(), "{found}");
    world.next("delay=3000");
    let asked = clock::now();
    let call = modern(2, "tools/call", chat("modern"));
    let mut stream = post(&world.server, &modern_call("tools/call", "chat"), &call).await;
    stream.until("notifications/progress").await;
    assert!(clock::now() - asked < Duration::from_millis(1500), "{:?}", clock::now() - asked);
    assert!(stream.header("mcp-session-id").await.is_none());
    assert!(stream.answer(2).await["result"]["content"][0]["text"].as_str().unwrap().contains("modern"));
}

#[tokio::test]
async fn a_modern_disconnect_cancels_and_closes_the_upstreams_socket() {
    let world = World::start().await;
    world.next("delay=20000");
    let call = modern(1, "tools/call", chat("never mind"));
    let mut stream = post(&world.server, &modern_call("tools/call", "chat"), &call).await;
    stream.until("notifications/progress").await;
    world.until_asked(1).await;
    let cut = clock::now();
    drop(stream);
    until_journal(&world.kimi, |entries| entries[0].ended == Ended::ClientClosed).await;
    // 100 ms are promised; a loaded machine adds its own.
    assert!(clock::now() - cut < Duration::from_secs(1), "{:?}", clock::now() - cut);
    world.until_closed().await;
}

/// How long it takes from the cut of a modern client's connection to the end of the upstream's: 100 ms are promised.
#[tokio::test]
#[expect(clippy::print_stdout, reason = "a figure for whoever runs the tests with --nocapture")]
async fn a_modern_disconnect_reaches_the_upstream_soon_every_time() {
    let world = World::start().await;
    let mut took = Vec::new();
    for number in 0..20 {
        world.next("delay=20000");
        let call = modern(1, "tools/call", chat(&format!("never mind {number}")));
        let mut stream = post(&world.server, &modern_call("tools/call", "chat"), &call).await;
        stream.until("notifications/progress").await;
        world.until_asked(number + 1).await;
        let cut = clock::now();
        drop(stream);
        until_journal(&world.kimi, |entries| entries[number].ended == Ended::ClientClosed).await;
        took.push(clock::now() - cut);
    }
    took.sort();
    println!("cut to closed upstream, of 20: median {:?}, slowest {:?}", took[10], took[19]);
    // A loaded machine adds its own.
    assert!(took[10] < Duration::from_millis(500) && took[19] < Duration::from_secs(2), "{took:?}");
    world.until_closed().await;
}

#[tokio::test]
async fn a_key_is_one_request_in_either_era_and_who_cannot_wait_is_handed_over() {
    let world = World::start().await;
    let session = open(&world.server, "2025-11-25").await;
    let of = [("Mcp-Session-Id", session.as_str()), ("MCP-Protocol-Version", "2025-11-25")];
    let mut keyed = chat("asked twice");
    keyed["_meta"]["exai/idempotencyKey"] = json!("a-key");
    let first = post(&world.server, &of, &request(1, "tools/call", keyed.clone())).await.answer(1).await;
    let call = modern(2, "tools/call", keyed);
    let again = post(&world.server, &modern_call("tools/call", "chat"), &call).await.answer(2).await;
    let id = |answer: &Value| answer["result"]["_meta"]["exai/receipt"]["call_id"].clone();
    assert!(id(&first).is_string(), "{first}");
    assert_eq!(id(&first), id(&again), "{again}");
    assert_eq!(world.kimi.journal().len(), 1);
    for era in ["2025-11-25", "2026-07-28"] {
        world.next("delay=300+tokens=60+pace=40");
        let mut hurried = chat(&format!("a long story of {era}"));
        hurried["_meta"]["exai/answerWithinMs"] = json!(1000);
        let answer = if era == "2025-11-25" {
            post(&world.server, &of, &request(3, "tools/call", hurried)).await.answer(3).await
        } else {
            let call = modern(3, "tools/call", hurried);
            post(&world.server, &modern_call("tools/call", "chat"), &call).await.answer(3).await
        };
        let handed = &answer["result"]["_meta"]["exai/handover"];
        let arguments = json!({ "name": "result", "arguments": { "call_id": handed["call_id"] } });
        let whole = post(&world.server, &of, &request(4, "tools/call", arguments)).await.answer(4).await;
        assert_eq!(id(&whole), handed["call_id"], "{era}: {whole}");
        assert!(handed["call_id"].is_string(), "{era}: {answer}");
    }
    assert_eq!(world.kimi.journal().len(), 3, "nothing was asked again");
}

#[tokio::test]
async fn headers_that_say_something_else_than_the_body_are_refused() {
    let world = World::start().await;
    let call = modern(1, "tools/call", json!({ "name": "version", "arguments": {} }));
    let cases: [(&[(&str, &str)], i64); 5] = [
        (&[MODERN, ("Mcp-Name", "version")], -32020),
        (&[MODERN, ("Mcp-Method", "tools/list"), ("Mcp-Name", "version")], -32020),
        (&[MODERN, ("Mcp-Method", "tools/call"), ("Mcp-Name", "chat")], -32020),
        (&[("Mcp-Method", "tools/call"), ("Mcp-Name", "version")], -32020),
        (
            &[("MCP-Protocol-Version", "2027-01-01"), ("Mcp-Method", "tools/call"), ("Mcp-Name", "version")],
            -32020,
        ),
    ];
    for (headers, code) in cases {
        let mut refused = post(&world.server, headers, &call).await;
        assert_eq!(refused.status().await, 400, "{headers:?}");
        assert_eq!(refused.answer(1).await["error"]["code"], code, "{headers:?}");
    }
    let encoded = [MODERN, ("Mcp-Method", "tools/call"), ("Mcp-Name", "=?base64?dmVyc2lvbg==?=")];
    assert_eq!(post(&world.server, &encoded, &call).await.status().await, 200);
    let mut ping =
        post(&world.server, &[MODERN, ("Mcp-Method", "ping")], &modern(2, "ping", json!({}))).await;
    assert_eq!((ping.status().await, &ping.answer(2).await["error"]["code"]), (404, &json!(-32601)));
    let bare = json!({ "jsonrpc": "2.0", "id": 3, "method": "tools/list", "params": {} });
    let mut bare = post(&world.server, &[MODERN, ("Mcp-Method", "tools/list")], &bare).await;
    assert_eq!((bare.status().await, &bare.answer(3).await["error"]["code"]), (400, &json!(-32602)));
}

#[tokio::test]
async fn hostile_bodies_are_refused_and_open_no_session() {
    let world = World::start().await;
    let nested = format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":{}1{}}}",
        "[".repeat(200),
        "]".repeat(200)
    );
    let doubled = r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#;
    for body in ["", "{", "[]", "7", doubled, &nested, r#"{"jsonrpc":"2.0","id":1}"#] {
        assert_eq!(send(&world.server, "POST", &[], body).await.status().await, 400, "{body}");
    }
    let huge = [("Content-Length", "9000000")];
    assert_eq!(send(&world.server, "POST", &huge, "").await.status().await, 413);
    for header in [("Origin", "https://evil.example"), ("Origin", "null")] {
        assert_eq!(send(&world.server, "POST", &[header], "{}").await.status().await, 403);
    }
    let ping = request(1, "ping", json!({}));
    assert_eq!(post(&world.server, &[], &ping).await.status().await, 400, "without a session");
    assert_eq!(post(&world.server, &[("Mcp-Session-Id", "x")], &ping).await.status().await, 404);
    let old = [("Mcp-Session-Id", "x"), ("MCP-Protocol-Version", "2024-11-05")];
    assert_eq!(post(&world.server, &old, &ping).await.status().await, 400);
    assert_eq!(world.db.number("SELECT count(*) AS n FROM sessions").await, 0);
}

#[tokio::test]
async fn a_drain_ends_streams_and_lets_calls_finish() {
    let mut world = World::start().await;
    let session = open(&world.server, "2025-11-25").await;
    let of = [("Mcp-Session-Id", session.as_str()), ("MCP-Protocol-Version", "2025-11-25")];
    let mut listening = send(&world.server, "GET", &of, "").await;
    listening.until("retry:").await;
    world.next("delay=1000");
    let mut call = post(&world.server, &of, &request(1, "tools/call", chat("the last"))).await;
    call.until("notifications/progress").await;
    world.until_asked(1).await;
    world.server.sigterm();
    assert!(call.answer(1).await["result"]["content"][0]["text"].as_str().unwrap().contains("the last"));
    listening.whole().await;
    assert_eq!(world.server.exit_code(SOON).await, Some(0));
}
