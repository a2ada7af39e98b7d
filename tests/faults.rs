//! A panic planted in each class of actor, in a consultation and in an upstream call: it costs one request, typed, and everything
//! beside it goes on.

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

use client::{Client, Reply};
use exai_actors::clock;
use server::SOON;
use world::World;

/// What is asked beside the poisoned request, and runs while the panic happens.
const BESIDE: &str = "beside it";

/// Plants one panic.
async fn plant(world: &World, point: &str) {
    assert_eq!(world.server.post(&format!("/faults/{point}")).await, 204, "{point}");
}

/// Waits until that many planted panics have happened.
async fn until_panicked(world: &World, times: usize) {
    let by = clock::now() + SOON;
    loop {
        let output = world.server.output();
        let seen =
            output.lines().filter(|line| line.contains("panicked") && line.contains("faults.rs")).count();
        assert!(seen <= times, "{seen} panics");
        if seen == times {
            return;
        }
        assert!(clock::now() < by, "{seen} panics of {times}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A world in which a call of another session runs already.
struct Busy {
    world: World,
    client: Client,
    other: Client,
    beside: i64,
}

impl Busy {
    async fn start() -> Self {
        let world = World::start().await;
        let (client, mut other) = (world.client().await, world.client().await);
        world.until_introduced(2).await;
        world.next("delay=1200+tokens=30");
        let beside = other.begin_call("chat", serde_json::json!({ "prompt": BESIDE })).await;
        world.until_asked(1).await;
        other.fence().await;
        Self { world, client, other, beside }
    }

    /// Asks once while a panic is planted.
    async fn poisoned(&mut self, point: &str) -> Reply {
        plant(&self.world, point).await;
        let reply = self.client.chat("poison").await;
        until_panicked(&self.world, 1).await;
        reply
    }

    /// Everything beside it went on, the next call works, and nothing is left behind.
    async fn goes_on(mut self, calls: &[&str]) {
        assert!(self.other.fence().await < Duration::from_secs(1));
        let next = self.client.chat("the next one").await;
        assert!(next.text().contains("the next one"), "{}", next.0);
        let beside = self.other.reply(self.beside).await;
        assert!(beside.text().contains(BESIDE), "{}", beside.0);
        self.client.until_at_rest().await;
        self.world.until_closed().await;
        let mut states = self.world.db.states().await;
        states.sort();
        assert_eq!(states, calls);
        assert_eq!(self.world.server.get("/health/ready").await.0, 200);
        until_panicked(&self.world, 1).await;
    }
}

const TWO: &[&str] = &["completed", "completed"];

#[tokio::test]
#[cfg_attr(not(feature = "faults"), ignore = "needs --features faults: tests/run gives it")]
async fn a_dispatchers_death_costs_the_call_in_hand() {
    let mut busy = Busy::start().await;
    assert_eq!(busy.poisoned("dispatcher").await.kind(), "internal");
    busy.goes_on(TWO).await;
}

#[tokio::test]
#[cfg_attr(not(feature = "faults"), ignore = "needs --features faults: tests/run gives it")]
async fn a_consultations_panic_is_its_own() {
    let mut busy = Busy::start().await;
    assert_eq!(busy.poisoned("consultation").await.kind(), "internal");
    busy.goes_on(TWO).await;
}

#[tokio::test]
#[cfg_attr(not(feature = "faults"), ignore = "needs --features faults: tests/run gives it")]
async fn a_supervisors_death_costs_the_ticket_in_hand() {
    let mut busy = Busy::start().await;
    assert_eq!(busy.poisoned("provider_supervisor").await.kind(), "internal");
    busy.goes_on(TWO).await;
}

#[tokio::test]
#[cfg_attr(not(feature = "faults"), ignore = "needs --features faults: tests/run gives it")]
async fn a_providers_death_leaves_its_other_calls_alone() {
    let mut busy = Busy::start().await;
    let reply = busy.poisoned("provider").await;
    assert_eq!(reply.kind(), "internal");
    assert!(reply.error()["call_id"].is_string(), "it was in the journal: {}", reply.0);
    busy.goes_on(&["completed", "completed", "failed"]).await;
}

#[tokio::test]
#[cfg_attr(not(feature = "faults"), ignore = "needs --features faults: tests/run gives it")]
async fn an_upstream_calls_panic_is_its_own() {
    let mut busy = Busy::start().await;
    assert_eq!(busy.poisoned("upstream_call").await.kind(), "internal");
    busy.goes_on(&["completed", "completed", "failed"]).await;
}

#[tokio::test]
#[cfg_attr(not(feature = "faults"), ignore = "needs --features faults: tests/run gives it")]
async fn a_writers_death_costs_the_write_in_hand() {
    let mut busy = Busy::start().await;
    assert_eq!(busy.poisoned("storage_writer").await.kind(), "storage_unavailable");
    assert_eq!(busy.world.kimi.journal().len(), 1, "what is not in the journal is not sent");
    busy.goes_on(TWO).await;
}

#[tokio::test]
#[cfg_attr(not(feature = "faults"), ignore = "needs --features faults: tests/run gives it")]
async fn a_counters_death_costs_nobody_an_answer() {
    let mut busy = Busy::start().await;
    let reply = busy.poisoned("metrics").await;
    assert!(reply.text().contains("poison"), "{}", reply.0);
    busy.goes_on(&["completed"; 3]).await;
}

#[tokio::test]
#[cfg_attr(not(feature = "faults"), ignore = "needs --features faults: tests/run gives it")]
async fn a_sessions_first_panic_costs_a_message_and_its_second_the_socket() {
    let mut busy = Busy::start().await;
    plant(&busy.world, "session").await;
    let lost = busy.client.request("tools/list", serde_json::json!({})).await;
    assert_eq!(
        (&lost["error"]["code"], &lost["error"]["data"]["kind"]),
        (&(-32603).into(), &"internal".into())
    );
    assert!(busy.client.request("tools/list", serde_json::json!({})).await["result"].is_object());
    busy.world.next("delay=600+tokens=30");
    busy.client.begin_call("chat", serde_json::json!({ "prompt": "I go on" })).await;
    busy.world.until_asked(2).await;
    plant(&busy.world, "session").await;
    busy.client.begin("tools/list", serde_json::json!({})).await;
    assert_eq!(busy.client.close_code().await, 1011);
    until_panicked(&busy.world, 2).await;
    let session = busy.world.db.texts("SELECT session_id AS t FROM calls ORDER BY id").await.pop().unwrap();
    let output = busy.world.server.output();
    let told = output.lines().filter(|line| line.contains("panicked")).collect::<Vec<_>>();
    assert!(told.len() >= 4 && told.iter().all(|line| line.contains(&session)), "{told:?}");
    let mine = busy.world.db.texts("SELECT id AS t FROM calls ORDER BY id").await.pop().unwrap();
    let answer = busy.other.call("result", serde_json::json!({ "call_id": mine })).await;
    assert!(answer.text().contains("I go on"), "{}", answer.0);
    assert!(busy.other.reply(busy.beside).await.text().contains(BESIDE));
    busy.other.until_at_rest().await;
    assert_eq!(busy.world.db.states().await, ["completed"; 2]);
}

#[tokio::test]
#[cfg_attr(not(feature = "faults"), ignore = "needs --features faults: tests/run gives it")]
async fn a_provider_that_dies_too_often_is_left_alone_and_comes_back() {
    let world = World::start().await;
    let mut client = world.client().await;
    for death in 1..=6 {
        plant(&world, "provider").await;
        // In turn, so that it is the connection that is given up, and no model's breaker before it.
        let model = if death % 2 == 0 { "kimi-k2.6" } else { "kimi-k3" };
        let died = client.call("chat", serde_json::json!({ "prompt": "die", "model": model })).await;
        assert_eq!(died.kind(), "internal");
        until_panicked(&world, death).await;
    }
    let refused = client.chat("too early").await;
    assert_eq!(refused.kind(), "breaker_open");
    let wait = refused.error()["retry_after_ms"].as_u64().unwrap();
    assert!((1..=5000).contains(&wait), "{wait}");
    let elsewhere = client.call("chat", serde_json::json!({ "prompt": "to GLM", "model": "glm" })).await;
    assert!(elsewhere.text().contains("to GLM"), "{}", elsewhere.0);
    assert!(world.kimi.journal().is_empty());
    assert_eq!(world.server.health().await["components"]["provider:kimi"]["status"], "down");
    tokio::time::sleep(Duration::from_millis(wait + 50)).await;
    assert!(client.chat("back again").await.text().contains("back again"));
    client.until_at_rest().await;
    world.until_closed().await;
}

/// Asks until the process has given itself up, and checks how.
async fn dies_of(point: &str, deaths: usize) {
    let mut world = World::start().await;
    let mut client = world.client().await;
    world.until_introduced(1).await;
    for death in 1..deaths {
        plant(&world, point).await;
        // What dies of it is this call, or a write that an earlier one left behind.
        client.chat("die").await;
        until_panicked(&world, death).await;
    }
    plant(&world, point).await;
    client.begin_call("chat", serde_json::json!({ "prompt": "die for good" })).await;
    assert_eq!(world.server.exit_code(SOON).await, Some(70), "{point}");
    world.server.restart().await;
    let mut client = world.client().await;
    assert!(client.chat("alive").await.text().contains("alive"));
    client.until_at_rest().await;
}

#[tokio::test]
#[cfg_attr(not(feature = "faults"), ignore = "needs --features faults: tests/run gives it")]
async fn a_dispatcher_that_dies_three_times_ends_the_process() {
    dies_of("dispatcher", 3).await;
}

#[tokio::test]
#[cfg_attr(not(feature = "faults"), ignore = "needs --features faults: tests/run gives it")]
async fn a_writers_death_with_an_outcome_in_hand_leaves_no_call_open() {
    let busy = Busy::start().await;
    plant(&busy.world, "storage_writer").await;
    let Busy { world, mut client, mut other, beside } = busy;
    let reply = other.reply(beside).await;
    until_panicked(&world, 1).await;
    assert!(!reply.is_error(), "{}", reply.0);
    assert!(client.chat("the next one").await.text().contains("the next one"));
    client.until_at_rest().await;
    world.until_closed().await;
    assert_eq!(world.kimi.journal().len(), 2);
}

#[tokio::test]
#[cfg_attr(not(feature = "faults"), ignore = "needs --features faults: tests/run gives it")]
async fn a_writer_that_dies_too_often_ends_the_process() {
    dies_of("storage_writer", 6).await;
}
