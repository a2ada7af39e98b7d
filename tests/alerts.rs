//! Alerts over the wire: a real webhook and the log hear of each rule once when it begins and once when it is over, though the webhook
//! fails at first.

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
#[path = "support/sink.rs"]
mod sink;
#[path = "support/world.rs"]
mod world;
#[path = "support/ws.rs"]
mod ws;

use database::Database;
use disk::Disk;
use exai_upstream::Script;
use outage::Postgres;
use serde_json::json;
use sink::{SECRET, Sink};
use world::World;

#[tokio::test]
async fn calls_breakers_and_the_bill_wake_the_operator_once() {
    let sink = Sink::start().await;
    let world = World::with(Database::sqlite(), |with| {
        with.set("EXAI_ALERTS__WEBHOOK_URL", &sink.url);
        with.set("EXAI_ALERTS__BREAKER_OPEN_S", "2").set("EXAI_ALERTS__DAILY_BUDGET_USD", "0.01");
    })
    .await;
    let mut client = world.client().await;
    // What a client's own input is rejected for is nobody's alarm, however often.
    world.kimi.set_default(Script::of("refuse=400"));
    for _ in 0..12 {
        assert_eq!(client.chat("a canary in the prompt").await.kind(), "upstream_rejected");
    }
    world.kimi.set_default(Script::of("cut-after=4+pace=0"));
    let order = |order: &str| json!({ "provider": "kimi", "order": order });
    let model = json!({ "provider": "kimi", "model": "kimi-k2.6", "order": "disable" });
    for order in [order("disable"), model] {
        assert_eq!(world.server.operate(&order).await.0, 200);
    }
    for _ in 0..10 {
        assert_eq!(client.chat("a canary in the prompt").await.kind(), "upstream_error");
    }
    // The first try was refused, so it comes twice.
    let notice = sink.until("error_rate", "firing", 2).await;
    assert!(notice["detail"].as_str().unwrap().contains("10 of the 10 calls"), "{notice}");
    assert!(notice["since"].as_i64() <= notice["at"].as_i64() && notice["replica"].is_string(), "{notice}");

    world.next("tokens=6000+pace=0");
    assert!(!client.chat("a dear one").await.is_error());
    assert_eq!(world.server.operate(&order("force_open")).await.0, 200);
    let notice = sink.until("breaker_open", "firing", 1).await;
    assert_eq!(
        (&notice["subject"], &notice["detail"]),
        (&json!("kimi"), &json!("the circuit breaker of kimi has not been closed for 2 s"))
    );
    assert_eq!(world.server.operate(&order("reset")).await.0, 200);
    let notice = sink.until("budget_near", "firing", 1).await;
    assert!(notice["detail"].as_str().unwrap().contains("of the 0.01 US dollars of the day"), "{notice}");
    sink.until("breaker_open", "resolved", 1).await;
    let heard = sink.heard();
    // A minute later the error rate would be over; while they last nothing more is said of any.
    assert_eq!(heard.len(), 5, "{heard:?}");
    let output = world.server.output();
    assert_eq!(output.lines().filter(|line| line.contains("alert: ")).count(), 3, "{output}");
    assert!(!output.contains(SECRET) && !format!("{heard:?}").contains("canary"), "{output}");
}

#[tokio::test]
#[ignore = "needs root: a small disk is mounted"]
async fn a_full_disk_wakes_and_room_is_told() {
    let (sink, disk) = (Sink::start().await, Disk::mount());
    let url = format!("sqlite://{}/exai.db", disk.path().display());
    let world = World::with(Database::sqlite(), |with| {
        with.set("EXAI_ALERTS__WEBHOOK_URL", &sink.url);
        with.set("EXAI_STORAGE__URL", &url).set("EXAI_STORAGE__SPOOL_MIB", "2");
    })
    .await;
    disk.fill();
    let notice = sink.until("disk_low", "firing", 1).await;
    assert!(notice["detail"].as_str().unwrap().ends_with("MiB free"), "{notice}");
    disk.clear();
    sink.until("disk_low", "resolved", 1).await;
    let output = world.server.output();
    assert_eq!(
        output.lines().filter(|line| line.contains("alert: ") && line.contains("disk_low")).count(),
        1,
        "{output}"
    );
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
    // Answers of running calls wait for it.
    let mut client = world.client().await;
    for n in 0..3 {
        world.next("delay=1500+tokens=3");
        client.begin_call("chat", json!({ "prompt": format!("one that runs, {n}") })).await;
    }
    world.until_asked(3).await;
    postgres.order("kill_postgres");
    sink.until("storage_away", "firing", 2).await;
    let notice = sink.until("spool_growing", "firing", 1).await;
    assert!(notice["detail"].as_str().unwrap().contains("wait in the spool"), "{notice}");
    postgres.order("resume_postgres");
    sink.until("spool_growing", "resolved", 1).await;
    let over = sink.until("storage_away", "resolved", 1).await;
    assert!(over["at"].as_i64() > over["since"].as_i64(), "{over}");
    assert_eq!(sink.of("storage_away", "firing").len(), 2);
    let output = world.server.output();
    assert!(output.contains("alert is over") && !output.contains(SECRET), "{output}");
}
