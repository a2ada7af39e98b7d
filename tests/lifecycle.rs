//! How the daemon ends, and what it finds when it starts again: the drain, a second signal, a kill, a database that goes away.

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

use std::net::TcpListener;
use std::time::Duration;

use database::Database;
use exai_actors::clock;
use exai_upstream::Ended;
use outage::Postgres;
use serde_json::json;
use server::{SOON, run_to_end};
use world::{World, until_journal};

/// How soon an idle daemon has ended; twice what it promises, for a debug build on a busy machine.
const IDLE_EXIT: Duration = Duration::from_secs(2);

on_both! {
    a_kill_in_the_middle_leaves_a_journal_that_opens,
}

#[tokio::test]
async fn sigterm_lets_running_calls_finish_and_takes_no_new_ones() {
    let mut world = World::start().await;
    let (mut client, mut idle) = (world.client().await, world.client().await);
    world.next("delay=1500+tokens=30");
    let running = client.begin_call("chat", json!({ "prompt": "let me finish" })).await;
    world.until_asked(1).await;
    world.server.sigterm();
    world.server.until_ready(503).await;
    assert!(world.server.get("/health/ready").await.1.contains("draining"));
    assert_eq!(world.server.get("/health/live").await.0, 200);
    let refused = idle.chat("too late").await;
    assert_eq!(refused.kind(), "draining");
    assert!(refused.error()["retry_after_ms"].is_u64(), "{}", refused.0);
    let reply = client.reply(running).await;
    assert!(reply.text().contains("let me finish"), "{}", reply.0);
    assert_eq!((client.close_code().await, idle.close_code().await), (1001, 1001));
    assert_eq!(world.server.exit_code(SOON).await, Some(0));
    assert_eq!((world.db.open_rows().await, world.kimi.journal().len()), (0, 1));
    assert_eq!(world.db.number("SELECT count(*) AS n FROM sessions WHERE closed_at IS NULL").await, 0);
}

#[tokio::test]
async fn an_idle_daemon_ends_at_once() {
    let mut world = World::start().await;
    let asked = clock::now();
    world.server.sigterm();
    assert_eq!(world.server.exit_code(SOON).await, Some(0));
    let alone = clock::now() - asked;
    world.server.restart().await;
    let mut client = world.client().await;
    client.chat("something before").await;
    let asked = clock::now();
    world.server.sigterm();
    assert_eq!(client.close_code().await, 1001);
    drop(client);
    assert_eq!(world.server.exit_code(SOON).await, Some(0));
    let with_a_client = clock::now() - asked;
    assert!(alone < IDLE_EXIT && with_a_client < IDLE_EXIT, "{alone:?} and {with_a_client:?}");
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let mut world = World::start().await;
    let mut client = world.client().await;
    world.next("stall-after=2");
    client.begin_call("chat", json!({ "prompt": "hang" })).await;
    world.until_asked(1).await;
    world.server.sigterm();
    world.server.until_ready(503).await;
    let asked = clock::now();
    world.server.sigterm();
    world.server.exit_code(SOON).await;
    assert!(clock::now() - asked < IDLE_EXIT, "{:?}", clock::now() - asked);
    until_journal(&world.kimi, |entries| entries[0].ended == Ended::ClientClosed).await;
    world.server.restart().await;
    assert!(!world.client().await.chat("it starts again").await.is_error());
}

#[tokio::test]
async fn a_drain_ends_when_its_time_is_up() {
    let mut world = World::with(Database::sqlite(), |with| {
        with.set("EXAI_LIMITS__DRAIN_S", "1");
    })
    .await;
    let mut client = world.client().await;
    world.next("think=1+stall-after=12");
    let id = client.begin_call("chat", json!({ "prompt": "hang" })).await;
    world.until_asked(1).await;
    client.until_progress(id).await;
    let asked = clock::now();
    world.server.sigterm();
    assert_eq!(client.close_code().await, 1001);
    let told = "; the server is shutting down and waits up to 1 s for this answer";
    let heard = client.progress(id);
    assert!(heard.iter().any(|heard| heard["message"].as_str().unwrap().ends_with(told)), "{heard:?}");
    assert_eq!(world.server.exit_code(SOON).await, Some(0));
    let took = clock::now() - asked;
    assert!((Duration::from_secs(1)..Duration::from_secs(6)).contains(&took), "{took:?}");
    assert_eq!((world.db.states().await, world.db.open_rows().await), (vec!["unknown".to_owned()], 0));
    world.server.restart().await;
    let mut client = world.client().await;
    let call = world.db.texts("SELECT id AS t FROM calls").await.pop().unwrap();
    let fetched = client.call("result", json!({ "call_id": call })).await;
    assert_eq!(fetched.kind(), "conflict");
    let partial = fetched.0["content"][2]["text"].as_str().unwrap_or_else(|| panic!("{}", fetched.0));
    assert!(partial.starts_with("This is the double"), "what had come by then is kept: {partial}");
}

#[tokio::test]
async fn a_taken_port_is_an_exit_code_and_the_name_of_a_key() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    for (key, free) in
        [("EXAI_LISTEN__MCP", "EXAI_LISTEN__DASHBOARD"), ("EXAI_LISTEN__DASHBOARD", "EXAI_LISTEN__MCP")]
    {
        let (code, said) = run_to_end(|with| {
            with.set(key, &taken.local_addr().unwrap().to_string()).set(free, "127.0.0.1:0");
        })
        .await;
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("error: ") && said.contains(key) && !said.contains(free), "{said}");
    }
}

async fn a_kill_in_the_middle_leaves_a_journal_that_opens(db: Database) {
    let mut world = World::with(db, |with| {
        with.set("EXAI_PROVIDERS__KIMI__MAX_IN_FLIGHT", "1");
    })
    .await;
    let mut client = world.client().await;
    let answered = client.chat("answered before").await;
    world.next("stall-after=2");
    let question = json!({ "prompt": "sent" });
    client.begin_keyed(question.clone(), "sent-once").await;
    world.until_asked(2).await;
    client.begin_call("chat", json!({ "prompt": "waiting" })).await;
    let by = clock::now() + SOON;
    while world.db.states().await.len() < 3 {
        assert!(clock::now() < by, "the waiting call was not journalled");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    world.server.kill9().await;
    assert_eq!(world.db.states().await, ["completed", "dispatched", "accepted"]);
    world.server.restart().await;
    assert_eq!(world.db.states().await, ["completed", "unknown", "interrupted"]);
    assert_eq!(world.db.number("SELECT count(*) AS n FROM attempts WHERE state = 'unknown'").await, 1);
    let mut client = world.client().await;
    let calls = world.db.texts("SELECT id AS t FROM calls ORDER BY id").await;
    let fetched = client.call("result", json!({ "call_id": calls[0] })).await;
    assert_eq!(fetched.0, answered.0);
    for call in &calls[1..] {
        assert!(client.call("result", json!({ "call_id": call })).await.is_error(), "{call}");
    }
    let again = client.begin_keyed(question, "sent-once").await;
    assert!(client.reply(again).await.is_error(), "what was sent is not sent again unasked");
    assert_eq!(world.kimi.journal().len(), 2);
    assert!(!client.chat("a new one").await.is_error());
    assert_eq!(world.db.number("SELECT count(*) AS n FROM messages").await, 4, "two turns for each answer");
    client.until_at_rest().await;
}

#[tokio::test]
#[ignore = "needs Postgres: tests/run starts one"]
async fn a_postgres_that_stops_is_said_and_waited_for() {
    let mut postgres = Postgres::start();
    let world = World::with(Database::on_server(&postgres.url).await, |_| {}).await;
    let mut client = world.client().await;
    let before = client.chat("before").await;
    world.next("delay=1500+tokens=30");
    let mut other = world.client().await;
    let running = other.begin_call("chat", json!({ "prompt": "in the middle" })).await;
    world.until_asked(2).await;
    postgres.order("kill_postgres");
    let asked = clock::now();
    let refused = client.chat("meanwhile").await;
    assert_eq!(refused.kind(), "storage_unavailable");
    assert!(clock::now() - asked < Duration::from_secs(5), "{:?}", clock::now() - asked);
    let thread = json!({ "prompt": "go on", "continuation_id": before.of_receipt("conversation_id") });
    assert_eq!(client.call("chat", thread.clone()).await.kind(), "storage_unavailable");
    world.server.until_ready(503).await;
    let health = world.server.health().await;
    assert_eq!(
        (&health["status"], &health["components"]["storage"]["status"]),
        (&json!("down"), &json!("down"))
    );
    assert!(client.fence().await < Duration::from_secs(1));
    assert_eq!(world.kimi.journal().len(), 2, "what is not in the journal is not sent");
    let output = world.server.output();
    let complaints =
        output.lines().filter(|line| line.contains("the journal could not be")).collect::<Vec<_>>();
    assert!(complaints.len() >= 2 && complaints.iter().all(|line| line.contains(" call=")), "{complaints:?}");
    postgres.order("resume_postgres");
    world.server.until_ready(200).await;
    let paid = other.reply(running).await;
    assert!(
        paid.text().contains("in the middle"),
        "an answer that is paid for waits for the database: {}",
        paid.0
    );
    assert_eq!(client.call("chat", thread).await.receipt()["turns"]["used"], 2);
    assert_eq!(world.server.health().await["components"]["storage"]["status"], "ok");
    client.until_at_rest().await;
}

#[tokio::test]
#[ignore = "needs Postgres: tests/run starts one"]
async fn a_postgres_that_freezes_is_waited_for_once() {
    let mut postgres = Postgres::start();
    let world = World::with(Database::on_server(&postgres.url).await, |with| {
        with.set("EXAI_METRICS__FLUSH_S", "1");
    })
    .await;
    let (mut client, mut other, mut reader) =
        (world.client().await, world.client().await, world.client().await);
    let before = client.chat("before").await;
    let thread = json!({ "prompt": "go on", "continuation_id": before.of_receipt("conversation_id") });
    world.next("delay=1500+tokens=30");
    let running = other.begin_call("chat", json!({ "prompt": "in the middle" })).await;
    world.until_asked(2).await;
    postgres.order("pause_postgres");
    let asked = clock::now();
    let reading = reader.begin_call("chat", thread.clone()).await;
    assert_eq!(client.chat("the first").await.kind(), "storage_unavailable");
    let bound = Duration::from_secs(8);
    assert!(clock::now() - asked < bound, "{:?}", clock::now() - asked);
    let asked = clock::now();
    for n in 0..20 {
        assert_eq!(client.chat(&format!("number {n}")).await.kind(), "storage_unavailable");
    }
    assert!(clock::now() - asked < Duration::from_secs(2), "{:?}", clock::now() - asked);
    let paid = other.reply(running).await;
    assert!(paid.text().contains("in the middle"), "an answer that is paid for is in the spool: {}", paid.0);
    // A conversation is read before its call is written: the last read that waits is the one that began before it was sure.
    assert_eq!(reader.reply(reading).await.kind(), "storage_unavailable");
    assert_eq!(reader.call("chat", thread.clone()).await.kind(), "storage_unavailable");
    let asked = clock::now();
    for _ in 0..10 {
        assert_eq!(reader.call("chat", thread.clone()).await.kind(), "storage_unavailable");
    }
    assert!(clock::now() - asked < Duration::from_secs(2), "{:?}", clock::now() - asked);
    postgres.order("unpause_postgres");
    let thawed = clock::now();
    while client.call("chat", thread.clone()).await.is_error() {
        assert!(clock::now() - thawed < bound, "it takes no calls");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    world.until_closed().await;
    assert_eq!(world.db.states().await, ["completed"; 3], "what was refused is not in the journal");
    assert_eq!(world.kimi.journal().len(), 3, "nor was it sent");
    client.until_at_rest().await;
    let (code, said) = world.server.command("audit").await;
    assert_eq!(code, Some(0), "{said}");
}
