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
#[path = "support/sink.rs"]
mod sink;
#[path = "support/world.rs"]
mod world;
#[path = "support/ws.rs"]
mod ws;

use std::time::Duration;

use database::Database;
use exai_upstream::Script;
use outage::Postgres;
use sink::{SECRET, Sink};
use world::World;

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
