//! The connection monitor over real sockets: what happened is shown, counted exactly, kept where it matters, and told per client.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

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

use std::time::Duration;

use client::Client;
use database::Database;
use exai_actors::clock;
use outage::Postgres;
use serde_json::{Value, json};
use server::SOON;
use world::World;

on_both! {
    what_matters_is_kept_in_the_database,
}

/// A page of events, which must be given.
async fn page(world: &World, query: &str) -> Value {
    let (status, body) = world.server.get(&format!("/api/events?{query}")).await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

/// Everything of this kind, direction and outcome: the events, and how many they stand for.
async fn told(world: &World, kind: &str, direction: &str, outcome: &str) -> (Vec<Value>, u64) {
    let page = page(world, &format!("limit=1000&kind={kind}")).await;
    let mut events = page["events"].as_array().unwrap().clone();
    events.retain(|event| event["direction"] == direction && event["outcome"] == outcome);
    let stood_for = events.iter().map(|event| event["sampled"].as_u64().unwrap()).sum();
    (events, stood_for)
}

/// Waits until so many have been told of.
async fn until_told(world: &World, kind: &str, direction: &str, outcome: &str, count: u64) -> Vec<Value> {
    let by = clock::now() + SOON;
    loop {
        let (events, stood_for) = told(world, kind, direction, outcome).await;
        if stood_for >= count {
            assert_eq!(stood_for, count, "{kind} {direction} {outcome}: {events:?}");
            return events;
        }
        assert!(clock::now() < by, "{kind} {direction} {outcome}: {stood_for} of {count}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What the server knows of the clients of this name.
async fn client_totals(client: &mut Client, name: &str) -> Value {
    client.call("status", json!({})).await.0["structuredContent"]["clients"][name].clone()
}

#[tokio::test]
async fn what_happens_on_connections_is_shown() {
    let world = World::start().await;
    let mut client = world.client().await;
    let reply = client.chat("hello").await;
    world.next("refuse=content_filter");
    client.chat("hello again").await;
    let opened = until_told(&world, "websocket", "open", "opened", 1).await;
    assert!(opened[0]["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{opened:?}");
    let answered = until_told(&world, "kimi", "out", "completed", 1).await;
    assert_eq!(answered[0]["call_id"], reply.of_receipt("call_id"));
    assert_eq!(answered[0]["peer"], reply.of_receipt("host"));
    let kimi = page(&world, "kind=kimi").await;
    assert_eq!(kimi["events"].as_array().unwrap().len(), 2, "{kimi}");
    until_told(&world, "database", "open", "up", 1).await;
    until_told(&world, "server", "open", "started", 1).await;
    // initialize, initialized, two calls; and the answers, of which each call had progress besides.
    until_told(&world, "websocket", "in", "message", 4).await;
    assert!(told(&world, "websocket", "out", "message").await.1 >= 3);
    let refused = ws::connect(world.server.mcp, "/mcp", &[("Authorization", "Bearer wrong")]).await;
    assert!(refused.is_err());
    until_told(&world, "websocket", "in", "refused_401", 1).await;
    drop(client);
    until_told(&world, "websocket", "close", "closed_1006", 1).await;
}

#[tokio::test]
async fn what_is_too_much_to_show_is_stood_for() {
    let world = World::with(Database::sqlite(), |with| {
        with.set("EXAI_LIMITS__BURST", "100000");
    })
    .await;
    let mut client = world.client().await;
    let asked = 500;
    for _ in 0..asked {
        client.begin("ping", json!({})).await;
    }
    client.fence().await;
    let messages = until_told(&world, "websocket", "in", "message", asked + 3).await;
    assert!(messages.len() < 100, "{} are shown", messages.len());
    assert!(messages.iter().any(|event| event["sampled"].as_u64() > Some(50)));
    let (sums, out) =
        (client_totals(&mut client, "systest").await, told(&world, "websocket", "out", "message").await.1);
    assert!(sums["messages_in"].as_u64() >= Some(asked + 3), "{sums}");
    assert_eq!(out, asked + 2, "one answer each");
}

#[tokio::test]
async fn pages_follow_one_another_and_bad_questions_are_refused_by_name() {
    let world = World::start().await;
    let mut client = world.client().await;
    client.chat("hello").await;
    until_told(&world, "kimi", "out", "completed", 1).await;
    let (mut seen, mut since) = (Vec::new(), 0);
    loop {
        let page = page(&world, &format!("since={since}&limit=2")).await;
        since = page["next"].as_u64().unwrap();
        let events = page["events"].as_array().unwrap();
        seen.extend(events.iter().map(|event| event["seq"].as_u64().unwrap()));
        if events.len() < 2 {
            break;
        }
    }
    assert_eq!(seen, (0..since).collect::<Vec<_>>());
    assert_eq!(page(&world, "since=1970-01-01T00:00:00Z&limit=1").await["events"][0]["seq"], 0);
    assert_eq!(page(&world, "since=2999-01-01T00:00:00Z").await["events"], json!([]));
    for query in ["kind=nobody", "since=soon", "limit=0", "limit=5000", "x=1"] {
        let (status, body) = world.server.get(&format!("/api/events?{query}")).await;
        let body = serde_json::from_str::<Value>(&body).unwrap();
        assert_eq!((status, &body["error"]["kind"]), (400, &json!("invalid_arguments")), "{query}");
    }
    let (code, said) = world.server.run(&["events", "--kind", "kimi", "--json"]).await;
    let event = serde_json::from_str::<Value>(said.trim()).unwrap();
    assert_eq!((code, &event["outcome"]), (Some(0), &json!("completed")));
    let (code, said) = world.server.run(&["events", "--kind", "nobody"]).await;
    assert!(code == Some(1) && said.contains("kind is one of"), "{said}");
}

#[tokio::test]
async fn each_client_is_counted_under_its_name() {
    let world = World::start().await;
    let mut client = world.client().await;
    let keyed = json!({ "prompt": "once" });
    let first = client.begin_keyed(keyed.clone(), "the-key").await;
    client.reply(first).await;
    drop(client);
    until_told(&world, "websocket", "close", "closed_1006", 1).await;
    let mut client = world.client().await;
    let again = client.begin_keyed(keyed, "the-key").await;
    client.reply(again).await;
    client.call("chat", json!({ "prompt": 7 })).await;
    let by = clock::now() + SOON;
    loop {
        let sums = client_totals(&mut client, "systest").await;
        if sums["errors"] == 1 && sums["deduplicated"] == 1 {
            assert_eq!((&sums["sessions"], &sums["reconnections"]), (&json!(2), &json!(1)), "{sums}");
            assert_eq!(sums["connected"], 1, "{sums}");
            assert!(sums["last_activity"].as_i64() > Some(0) && sums["connected_ms"].as_i64() > Some(0));
            break;
        }
        assert!(clock::now() < by, "{sums}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn what_matters_is_kept_in_the_database(db: Database) {
    let mut world = World::with(db, |_| {}).await;
    let mut client = world.client().await;
    let call = client.chat("hello").await.of_receipt("call_id");
    world.server.sigterm();
    assert_eq!(client.close_code().await, 1001);
    world.server.exit_code(SOON).await;
    for (of, expected) in [
        ("kind = 'server' AND outcome = 'started'", 1),
        ("kind = 'server' AND outcome = 'draining'", 1),
        ("kind = 'database' AND outcome = 'up'", 1),
        ("kind = 'websocket' AND direction = 'open'", 1),
        ("kind = 'websocket' AND outcome = 'closed_1001'", 1),
        (&format!("kind = 'kimi' AND outcome = 'completed' AND call_id = '{call}'"), 1),
        ("outcome IN ('message', 'committed', 'status_200')", 0),
    ] {
        let sql = format!("SELECT count(*) AS n FROM events WHERE {of}");
        assert_eq!(world.db.number(&sql).await, expected, "{sql}");
    }
}

#[tokio::test]
#[ignore = "needs Postgres: tests/run starts one"]
async fn what_a_database_that_is_away_does_not_get_is_counted_and_still_shown() {
    let mut postgres = Postgres::start();
    let world = World::with(Database::on_server(&postgres.url).await, |_| {}).await;
    let mut client = world.client().await;
    client.chat("before").await;
    postgres.order("kill_postgres");
    world.server.until_ready(503).await;
    until_told(&world, "database", "close", "down", 1).await;
    let second = world.client().await;
    let opened = until_told(&world, "websocket", "open", "opened", 2).await;
    assert_eq!(opened.len(), 2);
    let by = clock::now() + SOON;
    while page(&world, "limit=1").await["lost"] == 0 {
        assert!(clock::now() < by, "nothing was lost");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    postgres.order("resume_postgres");
    world.server.until_ready(200).await;
    until_told(&world, "database", "open", "up", 2).await;
    drop(second);
    until_told(&world, "websocket", "close", "closed_1006", 1).await;
    let kept = "SELECT count(*) AS n FROM events WHERE outcome = 'closed_1006'";
    while world.db.number(kept).await == 0 {
        assert!(clock::now() < by + SOON, "what happens after is kept again");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
