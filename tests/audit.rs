//! Counters are exact: after calls that end in every way, a counter's death, a database that was away and clients that went, what
//! `/metrics` says, the journal, the rollups and the upstream's own journal agree to the last call.

#[path = "support/client.rs"]
mod client;
#[path = "support/database.rs"]
mod database;
#[path = "audit/lives.rs"]
mod lives;
#[path = "support/outage.rs"]
mod outage;
#[path = "support/server.rs"]
mod server;
#[path = "support/world.rs"]
mod world;
#[path = "support/ws.rs"]
mod ws;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use client::Client;
use database::Database;
use exai_actors::clock;
use exai_upstream::Script;
use outage::Postgres;
use serde_json::json;
use server::SOON;
use world::World;

/// The sum of all samples of a metric whose line holds all of these words.
async fn counted(world: &World, metric: &str, words: &[&str]) -> f64 {
    let (status, text) = world.server.get("/metrics").await;
    assert_eq!(status, 200, "{text}");
    let samples = text
        .lines()
        .filter(|line| line.starts_with(&format!("{metric}{{")) || line.starts_with(&format!("{metric} ")));
    let wanted = samples.filter(|line| words.iter().all(|word| line.contains(word)));
    wanted.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

async fn until_counted(world: &World, metric: &str, words: &[&str], wanted: f64) {
    let by = clock::now() + SOON;
    loop {
        let found = counted(world, metric, words).await;
        if found == wanted {
            return;
        }
        assert!(
            clock::now() < by,
            "{metric} {words:?}: {found}, not {wanted}\n{}",
            world.server.get("/metrics").await.1
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn world() -> World {
    World::with(Database::sqlite(), |with| {
        with.set("EXAI_METRICS__FLUSH_S", "1").set("EXAI_LIMITS__REQUESTS_PER_SECOND", "1000");
        with.set("EXAI_LIMITS__BURST", "1000");
    })
    .await
}

/// Completed, failed after retries, cancelled, refused.
async fn calls_of_every_kind(world: &World) {
    let mut client = world.client().await;
    for n in 0..20 {
        assert!(!client.chat(&format!("question {n}")).await.is_error());
    }
    world.next("refuse=503");
    assert!(!client.chat("asked twice").await.is_error());
    world.next("refuse=400");
    assert!(client.chat("refused upstream").await.is_error());
    world.next("delay=5000");
    let asked = world.kimi.journal().len();
    let slow = client.begin_call("chat", json!({ "prompt": "cancelled" })).await;
    world.until_asked(asked + 1).await;
    client.cancel(slow).await;
    assert!(client.call("chat", json!({ "prompt": "to nobody", "model": "no-such-model" })).await.is_error());
    world.until_closed().await;
}

#[tokio::test]
async fn counters_journals_and_rollups_agree_to_the_last_call() {
    let world = world().await;
    calls_of_every_kind(&world).await;
    // The client has gone.
    until_counted(&world, "exai_sessions_active", &["websocket"], 0.0).await;
    until_counted(&world, "exai_calls_total", &["chat", "completed"], 21.0).await;
    until_counted(&world, "exai_calls_total", &["outcome=\"cancelled\""], 1.0).await;
    until_counted(&world, "exai_calls_total", &["outcome=\"refused_unknown_model\""], 1.0).await;
    until_counted(&world, "exai_retries_total", &["kimi"], 1.0).await;
    assert_eq!(counted(&world, "exai_call_seconds_count", &[]).await, 24.0);
    let upstream = counted(&world, "exai_upstream_requests_total", &[]).await;
    assert_eq!(upstream as usize, world.kimi.journal().len());
    let (code, said) = world.server.command("audit").await;
    assert_eq!((code, said.contains("agree")), (Some(0), true), "{said}");
    let flushes = world.db.number("SELECT count(*) AS n FROM metrics_flush_log WHERE status = 'ok'").await;
    assert!(flushes > 0);
    // A row that nobody counted is found.
    world.db.number("UPDATE calls SET state = 'failed' WHERE state = 'cancelled' RETURNING 1 AS n").await;
    let (code, said) = world.server.command("audit").await;
    assert_eq!(
        (code, said.contains("chat cancelled: 1 counted, 0 in the journal")),
        (Some(1), true),
        "{said}"
    );
}

#[tokio::test]
#[cfg_attr(not(feature = "faults"), ignore = "needs --features faults: tests/run gives it")]
async fn sums_outlive_the_actor_that_keeps_them() {
    let world = world().await;
    world.kimi.set_default(Script::of("tokens=3"));
    let mut client = world.client().await;
    for n in 0..5 {
        assert!(!client.chat(&format!("before {n}")).await.is_error());
    }
    until_counted(&world, "exai_calls_total", &["completed"], 5.0).await;
    assert_eq!(world.server.post("/faults/metrics").await, 204);
    for n in 0..5 {
        assert!(!client.chat(&format!("after {n}")).await.is_error());
    }
    until_counted(&world, "exai_actor_restarts_total", &["metrics"], 1.0).await;
    until_counted(&world, "exai_calls_total", &["completed"], 10.0).await;
    let (code, said) = world.server.command("audit").await;
    assert_eq!(code, Some(0), "{said}");
}

/// Asks until it is told to stop; how many answers it got, refusals among them.
async fn ask_until(mut client: Client, over: Arc<AtomicBool>) -> u64 {
    let mut answers = 0;
    while !over.load(Ordering::Relaxed) {
        client.chat("whatever the database does").await;
        answers += 1;
    }
    answers
}

/// The database is killed under load, stays away for `away`, and comes back.
async fn an_outage_costs_no_metric(away: Duration) {
    const CLIENTS: usize = 4;
    const GROWTH_MAX: f64 = 64.0 * 1024.0 * 1024.0;
    let mut postgres = Postgres::start();
    let world = World::with(Database::on_server(&postgres.url).await, |with| {
        with.set("EXAI_METRICS__FLUSH_S", "1").set("EXAI_LIMITS__REQUESTS_PER_SECOND", "100000");
        with.set("EXAI_LIMITS__BURST", "100000");
    })
    .await;
    world.kimi.set_default(Script::of("tokens=3"));
    let over = Arc::new(AtomicBool::new(false));
    let mut asking = Vec::new();
    for _ in 0..CLIENTS {
        asking.push(tokio::spawn(ask_until(world.client().await, Arc::clone(&over))));
    }
    let flushed = "SELECT count(*) AS n FROM metrics_flush_log WHERE status = 'ok'";
    let by = clock::now() + SOON;
    while world.db.number(flushed).await < 2 {
        assert!(clock::now() < by, "the sums were not stored");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let memory = "exai_process_resident_memory_bytes";
    let before = counted(&world, memory, &[]).await;
    postgres.order("kill_postgres");
    let back_at = clock::now() + away;
    let mut most = before;
    while clock::now() < back_at {
        most = most.max(counted(&world, memory, &[]).await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let refused = counted(&world, "exai_calls_total", &["refused_storage_unavailable"]).await;
    assert!(refused > 0.0, "calls came while it was away, and were counted");
    postgres.order("resume_postgres");
    world.server.until_ready(200).await;
    over.store(true, Ordering::Relaxed);
    let mut answers = 0;
    for client in asking {
        answers += client.await.expect("whoever asks does not panic");
    }
    until_counted(&world, "exai_calls_total", &[], answers as f64).await;
    assert!(most - before < GROWTH_MAX, "its memory grew from {before} to {most} bytes");
    assert_eq!(counted(&world, "exai_dropped_total", &["rollup_rows"]).await, 0.0);
    let (code, said) = world.server.run(&["audit", "--within", "90"]).await;
    assert_eq!(code, Some(0), "{said}");
    let failures = world.db.texts("SELECT error AS t FROM metrics_flush_log WHERE status = 'failed'").await;
    assert!(!failures.is_empty(), "the log of flushes tells nothing of it");
}

#[tokio::test]
#[ignore = "needs Postgres: tests/run starts one"]
async fn a_database_that_stops_under_load_costs_no_metric() {
    an_outage_costs_no_metric(Duration::from_secs(5)).await;
}

#[tokio::test]
#[ignore = "needs Postgres, and two minutes: tests/run --long"]
async fn long_a_database_that_stops_for_a_minute_costs_no_metric() {
    an_outage_costs_no_metric(Duration::from_secs(60)).await;
}

/// Somebody makes up names without end: of models, of tools and of clients.
#[tokio::test]
async fn names_without_end_make_no_series_without_end() {
    const NAMES: usize = 10_000;
    const ABREAST: usize = 50;
    const SERIES_MAX: usize = 256;
    const TEXT_BYTES_MAX: usize = 512 * 1024;
    let world = World::with(Database::sqlite(), |with| {
        with.set("EXAI_LIMITS__REQUESTS_PER_SECOND", "100000").set("EXAI_LIMITS__BURST", "100000");
    })
    .await;
    let mut client = world.client().await;
    for first in (0..NAMES).step_by(ABREAST) {
        let mut asked = Vec::new();
        for n in first..first + ABREAST {
            let arguments = json!({ "prompt": "x", "model": format!("made-up-model-{n}") });
            asked.push(client.begin_call("chat", arguments).await);
            asked.push(client.begin_call(&format!("made-up-tool-{n}"), json!({})).await);
        }
        for id in asked {
            client.answer(id).await;
        }
        client.seen.clear();
        let newcomers = (first..first + ABREAST).map(|n| format!("a \"made-up\" client \\{n}"));
        for name in newcomers {
            drop(Client::named(&world.server, &name).await);
        }
    }
    until_counted(&world, "exai_calls_total", &["refused_unknown_model"], NAMES as f64).await;
    until_counted(&world, "exai_client_sessions_total", &[], NAMES as f64 + 1.0).await;
    let (_, text) = world.server.get("/metrics").await;
    let mut series = BTreeMap::<&str, usize>::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        *series.entry(line.split(['{', ' ']).next().unwrap()).or_default() += 1;
    }
    assert!(series.values().all(|series| *series <= SERIES_MAX), "{series:?}");
    assert!(text.contains(r#"client="a \"made-up\" client \\"#), "what a client makes up breaks no line");
    assert!(text.len() < TEXT_BYTES_MAX, "{} bytes", text.len());
}

#[tokio::test]
async fn a_call_that_was_never_sent_is_counted_for_its_model() {
    let world = World::with(Database::sqlite(), |with| {
        with.set("EXAI_LIMITS__GLOBAL", "1");
    })
    .await;
    let mut client = world.client().await;
    world.next("delay=60000");
    let first = client.begin_call("chat", json!({ "prompt": "takes the only place" })).await;
    world.until_asked(1).await;
    let waiting = client.begin_call("chat", json!({ "prompt": "waits for it" })).await;
    let by = clock::now() + SOON;
    while world.db.number("SELECT count(*) AS n FROM calls WHERE state = 'accepted'").await < 1 {
        assert!(clock::now() < by, "the call does not wait");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    client.cancel(waiting).await;
    let named = ["provider=\"kimi\"", "model=\"kimi-"];
    until_counted(&world, "exai_calls_total", &[&named[..], &["\"cancelled\""]].concat(), 1.0).await;
    client.cancel(first).await;
    world.kimi.set_default(Script::of("refuse=503"));
    while client.chat("whose breaker opens").await.kind() != "breaker_open" {}
    until_counted(&world, "exai_calls_total", &[&named[..], &["refused_breaker_open"]].concat(), 1.0).await;
    until_counted(&world, "exai_calls_total", &["provider=\"\""], 0.0).await;
}

/// A call is cancelled while its first row is on its way, and the row comes to nothing: its key is another call's.
#[tokio::test]
async fn a_call_that_never_stood_is_not_counted_as_one_that_did() {
    let world = world().await;
    let mut client = world.client().await;
    let question = json!({ "prompt": "once" });
    let first = client.begin_keyed(question.clone(), "one-key").await;
    assert!(!client.reply(first).await.is_error());
    let locked = world.db.lock();
    let again = client.begin_keyed(question, "one-key").await;
    let by = clock::now() + SOON;
    while client.call("status", json!({})).await.0["structuredContent"]["load"]["in_flight"] != 1 {
        assert!(clock::now() < by, "the call never began");
    }
    client.cancel(again).await;
    client.fence().await;
    drop(locked);
    until_counted(&world, "exai_calls_total", &["provider=\"kimi\"", "refused_cancelled"], 1.0).await;
    let (code, said) = world.server.command("audit").await;
    assert_eq!(code, Some(0), "{said}");
}
