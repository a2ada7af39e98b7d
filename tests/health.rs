//! The truth table of `/health`: every dependency is made sick in turn and says so within 5 s, gets well by itself, and never takes
//! `/health/live` along.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/client.rs"]
mod client;
#[macro_use]
#[path = "support/database.rs"]
mod database;
#[path = "support/disk.rs"]
mod disk;
#[path = "support/outage.rs"]
mod outage;
#[path = "support/server.rs"]
mod server;
#[path = "support/world.rs"]
mod world;
#[path = "support/ws.rs"]
mod ws;

use std::fs;
use std::time::Duration;

use database::Database;
use disk::Disk;
use exai_actors::clock;
use exai_upstream::Script;
use outage::Postgres;
use serde_json::{Value, json};
use server::SOON;
use world::World;

/// How soon a sickness shows.
const SHOWS_WITHIN: Duration = Duration::from_secs(5);
/// How long getting well may take: a database that was killed recovers, and waits between two tries grow to 2 s.
const CLEARS_WITHIN: Duration = SOON;
const PARTS: [&str; 9] =
    ["actors", "clock", "disk", "dispatcher", "memory", "permits", "provider:glm", "provider:kimi", "spool"];

/// Waits until `part` is as `holds` wants it; `/health/live` answers 200 all the while.
async fn until(world: &World, part: &str, within: Duration, holds: impl Fn(&str) -> bool) -> Value {
    let by = clock::now() + within;
    loop {
        assert_eq!(world.server.get("/health/live").await.0, 200);
        let health = world.server.health().await;
        if health["components"][part]["status"].as_str().is_some_and(&holds) {
            return health;
        }
        assert!(clock::now() < by, "{part} did not come to it within {within:?}: {health:#}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn until_sick(world: &World, part: &str) -> Value {
    until(world, part, SHOWS_WITHIN, |status| status != "ok").await
}

async fn until_well(world: &World, part: &str) {
    until(world, part, CLEARS_WITHIN, |status| status == "ok").await;
}

#[tokio::test]
async fn every_part_is_told_of_and_busy_is_not_sick() {
    let world = World::with(Database::sqlite(), |with| {
        with.set("EXAI_LIMITS__GLOBAL", "1");
    })
    .await;
    for part in PARTS {
        until_well(&world, part).await;
    }
    world.next("delay=2500+tokens=3");
    let mut client = world.client().await;
    let running = client.begin_call("chat", json!({ "prompt": "a long one" })).await;
    let waiting = client.begin_call("chat", json!({ "prompt": "one more than there are permits" })).await;
    let by = clock::now() + SHOWS_WITHIN;
    loop {
        let health = world.server.health().await;
        assert_eq!(health["status"], "ok", "{health:#}");
        let detail = health["components"]["permits"]["detail"].as_str().unwrap().to_owned();
        assert_eq!(world.server.get("/health/ready").await.0, 200);
        if detail == "1 of 1 in use, 1 calls wait" {
            break;
        }
        assert!(clock::now() < by, "{detail}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for call in [running, waiting] {
        assert!(!client.reply(call).await.is_error());
    }
}

/// Kimi does this with every request: the part is sick by then, and well once Kimi is and somebody asks again.
async fn provider(script: &str, says: &str) {
    let world = World::with(Database::sqlite(), |with| {
        with.set("EXAI_PROVIDERS__KIMI__FIRST_BYTE_TIMEOUT_S", "1")
            .set("EXAI_PROVIDERS__KIMI__IDLE_TIMEOUT_S", "1");
    })
    .await;
    let mut client = world.client().await;
    world.kimi.set_default(Script::of(script));
    while client.chat("does it work?").await.kind() != "breaker_open" {}
    let health = until_sick(&world, "provider:kimi").await;
    assert_eq!((&health["status"], world.server.get("/health").await.0), (&json!("degraded"), 200));
    let kimi = &health["components"]["provider:kimi"];
    assert!(kimi["since"].as_i64().is_some_and(|since| since > 0), "{script}: {kimi}");
    assert!(kimi["detail"].as_str().unwrap().contains(says), "{script}: {kimi}");
    assert_eq!(health["components"]["provider:glm"]["status"], "ok");
    assert_eq!(world.server.get("/health/ready").await.0, 200);
    world.kimi.set_default(Script::default());
    if script == "refuse=auth" {
        // A key is mended by the operator, who says so.
        world.server.reset_breakers("kimi").await;
    }
    let by = clock::now() + CLEARS_WITHIN;
    while world.server.health().await["components"]["provider:kimi"]["status"] != "ok" {
        assert!(clock::now() < by, "{script}: it did not get well");
        client.chat("does it work again?").await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_provider_that_fails_hangs_or_goes_away_leaves_the_server_ready() {
    tokio::join!(
        provider("refuse=500", "left alone after failures"),
        provider("slow-headers=30000", "left alone after failures"),
        provider("stall-after=4", "left alone after failures"),
        provider("hang-up", "left alone after failures"),
        provider("refuse=auth", "takes no call of this account"),
    );
}

#[tokio::test]
async fn a_file_that_somebody_else_locks_shows_and_clears() {
    let world = World::start().await;
    until_well(&world, "storage").await;
    let lock = world.db.lock();
    let mut client = world.client().await;
    let waiting = client.begin_call("chat", json!({ "prompt": "asked meanwhile" })).await;
    until_sick(&world, "storage").await;
    drop(lock);
    until_well(&world, "storage").await;
    world.server.until_ready(200).await;
    // It had its one answer, whichever, and the next one is taken.
    client.reply(waiting).await;
    assert!(!client.chat("again").await.is_error());
}

#[cfg(feature = "faults")]
#[tokio::test]
async fn an_actor_that_was_restarted_shows_and_calls_are_taken() {
    let world = World::start().await;
    until_well(&world, "actors").await;
    let mut client = world.client().await;
    for actor in ["metrics", "dispatcher", "provider_supervisor"] {
        assert_eq!(world.server.post(&format!("/faults/{actor}")).await, 204);
        let asked = client.begin_call("chat", json!({ "prompt": actor })).await;
        client.answer(asked).await;
    }
    let health = until_sick(&world, "actors").await;
    let detail = health["components"]["actors"]["detail"].as_str().unwrap();
    assert!(health["status"] == "degraded" && detail.contains("restarted in the last minute"), "{detail}");
    assert_eq!(world.server.get("/health/ready").await.0, 200);
    assert!(!client.chat("again").await.is_error());
}

#[tokio::test]
async fn a_damaged_spool_is_told_of_until_somebody_has_looked() {
    let world = World::start().await;
    until_well(&world, "spool").await;
    let database = world.db.url.strip_prefix("sqlite://").unwrap();
    let damaged = format!("{database}.replicas/replica-0/spool.damaged");
    fs::write(&damaged, "no spool").unwrap();
    let health = until_sick(&world, "spool").await;
    assert_eq!(health["status"], "degraded");
    assert_eq!(world.server.get("/health/ready").await.0, 200);
    fs::remove_file(damaged).unwrap();
    until_well(&world, "spool").await;
}

#[tokio::test]
#[ignore = "needs Postgres: tests/run starts one"]
async fn a_database_that_is_killed_or_frozen_shows_and_clears() {
    let mut postgres = Postgres::start();
    let world = World::with(Database::on_server(&postgres.url).await, |_| {}).await;
    for (begins, ends) in [("kill_postgres", "resume_postgres"), ("pause_postgres", "unpause_postgres")] {
        until_well(&world, "storage").await;
        postgres.order(begins);
        until_sick(&world, "storage").await;
        until(&world, "storage", CLEARS_WITHIN, |status| status == "down").await;
        assert_eq!(world.server.health().await["status"], "down");
        assert_eq!(world.server.get("/health/ready").await.0, 503, "{begins}");
        postgres.order(ends);
        until_well(&world, "storage").await;
        until_well(&world, "spool").await;
        world.server.until_ready(200).await;
        assert!(!world.client().await.chat("again").await.is_error(), "{ends}");
    }
    // Slow: it is there, and what is written waits.
    let (other, driver) = tokio_postgres::connect(&world.db.url, tokio_postgres::NoTls).await.unwrap();
    let driver = tokio::spawn(driver);
    other.batch_execute("BEGIN; LOCK TABLE calls").await.unwrap();
    let mut client = world.client().await;
    let asked = client.begin_call("chat", json!({ "prompt": "asked meanwhile" })).await;
    until_sick(&world, "storage").await;
    drop(other);
    driver.await.unwrap().unwrap();
    until_well(&world, "storage").await;
    client.reply(asked).await;
    assert!(!client.chat("again").await.is_error());
}

#[tokio::test]
#[ignore = "needs root: a small disk is mounted"]
async fn a_full_disk_shows_and_clears() {
    let disk = Disk::mount();
    let url = format!("sqlite://{}/exai.db", disk.path().display());
    let world = World::with(Database::sqlite(), |with| {
        with.set("EXAI_STORAGE__URL", &url).set("EXAI_STORAGE__SPOOL_MIB", "2");
    })
    .await;
    until_well(&world, "disk").await;
    disk.fill();
    let health = until_sick(&world, "disk").await;
    assert_ne!(health["status"], "ok");
    // What is written does not fit any more, and the database says so with the next write.
    until(&world, "storage", CLEARS_WITHIN, |status| status == "down").await;
    assert_eq!(world.server.get("/health/ready").await.0, 503);
    disk.clear();
    until_well(&world, "disk").await;
    until_well(&world, "storage").await;
    world.server.until_ready(200).await;
    assert!(!world.client().await.chat("again").await.is_error());
}
