//! What upstream trouble does to callers, over real sockets: an open breaker, a half-open one under a crowd, a key that many ask
//! under, a provider that hangs.

#[path = "support/client.rs"]
mod client;
#[macro_use]
#[path = "support/database.rs"]
mod database;
#[path = "support/server.rs"]
mod server;
#[path = "support/world.rs"]
mod world;
#[path = "support/ws.rs"]
mod ws;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use client::{Client, Reply};
use database::Database;
use exai_actors::clock;
use exai_upstream::Script;
use futures_util::future::join_all;
use serde_json::{Value, json};
use server::Setup;
use world::World;

/// Nothing stands in a crowd's way but what is tested.
fn crowded(with: &mut Setup) {
    for (limit, value) in
        [("GLOBAL", "4096"), ("PER_SESSION", "1000"), ("BURST", "4096"), ("REQUESTS_PER_SECOND", "4096")]
    {
        with.set(&format!("EXAI_LIMITS__{limit}"), value);
    }
    with.set("EXAI_PROVIDERS__KIMI__MAX_IN_FLIGHT", "1000");
}

/// Has Kimi's default model fail until it is left alone; gives the refusal.
async fn until_open(world: &World, client: &mut Client) -> Reply {
    world.kimi.set_default(Script::of("refuse=500"));
    for _ in 0..10 {
        let reply = client.chat("does it work?").await;
        if reply.kind() == "breaker_open" {
            return reply;
        }
        assert_eq!(reply.kind(), "upstream_error", "{}", reply.0);
    }
    panic!("ten failed calls did not open the breaker");
}

/// The same question from each of these clients, so many times at once.
async fn crowd(clients: &mut [Client], each: usize) -> Vec<Reply> {
    let asking = clients.iter_mut().map(|client| async move {
        let mut ids = Vec::new();
        for n in 0..each {
            ids.push(client.begin_call("chat", json!({ "prompt": format!("one of many, {n}") })).await);
        }
        let mut replies = Vec::new();
        for id in ids {
            replies.push(client.reply(id).await);
        }
        replies
    });
    join_all(asking).await.into_iter().flatten().collect()
}

async fn clients(world: &World, count: usize) -> Vec<Client> {
    join_all((0..count).map(|_| world.client())).await
}

#[tokio::test]
async fn an_open_breaker_sends_nothing_and_says_who_would_answer() {
    let world = World::with(Database::sqlite(), crowded).await;
    let mut client = world.client().await;
    let refusal = until_open(&world, &mut client).await;
    let sent = world.kimi.journal().len();
    let error = refusal.error();
    let wait = error["retry_after_ms"].as_u64().expect("a time to come back");
    assert!((1..=6_000).contains(&wait), "{error}");
    let detail = &error["detail"];
    assert!(detail["since"].as_i64() <= detail["until"].as_i64() && detail["since"].is_i64(), "{error}");
    let mut others = clients(&world, 4).await;
    let refused = crowd(&mut others, 50).await;
    assert!(refused.iter().all(|reply| reply.kind() == "breaker_open"));
    assert_eq!(world.kimi.journal().len(), sent, "nothing goes upstream while it is open");
    let elsewhere = detail["would_answer"].as_str().expect("another model").to_owned();
    world.kimi.set_default(Script::default());
    let sibling = client.call("chat", json!({ "prompt": "a sibling", "model": elsewhere })).await;
    assert_eq!(sibling.of_receipt("model_asked"), elsewhere);
    let glm = client.call("chat", json!({ "prompt": "a neighbour", "model": "glm" })).await;
    assert!(!glm.is_error(), "{}", glm.0);
    let health = world.server.health().await;
    assert_eq!(health["components"]["provider:kimi"]["status"], "degraded", "{health}");
    client.until_at_rest().await;
}

#[tokio::test]
async fn a_half_open_breaker_lets_one_of_a_thousand_go() {
    let world = World::with(Database::sqlite(), crowded).await;
    let mut client = world.client().await;
    let refusal = until_open(&world, &mut client).await;
    let sent = world.kimi.journal().len();
    let wait = refusal.error()["retry_after_ms"].as_u64().expect("a time to come back");
    world.kimi.set_default(Script::of("delay=1500+pace=0+tokens=5"));
    let mut many = clients(&world, 10).await;
    tokio::time::sleep(Duration::from_millis(wait + 20)).await;
    let (most, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    let watching = async {
        while !done.load(Ordering::Relaxed) {
            most.fetch_max(world.kimi.in_flight(), Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let asking = async {
        let replies = crowd(&mut many, 100).await;
        done.store(true, Ordering::Relaxed);
        replies
    };
    let (replies, ()) = tokio::join!(asking, watching);
    let answered = replies.iter().filter(|reply| !reply.is_error()).count();
    assert!(answered >= 1);
    assert!(replies.iter().all(|reply| !reply.is_error() || reply.kind() == "breaker_open"));
    assert_eq!(world.kimi.journal().len() - sent, answered);
    assert_eq!(most.load(Ordering::Relaxed), 1, "one at a time");
    // Recovery needs no more than the open time and one call.
    world.kimi.set_default(Script::of("pace=0+tokens=5"));
    assert!(!client.chat("and again").await.is_error());
    for _ in 0..3 {
        client.chat("until it is closed").await;
    }
    assert_eq!(client.chat("closed").await.of_receipt("breaker"), "closed");
    client.until_at_rest().await;
}

#[tokio::test]
async fn a_hundred_askers_of_one_key_get_one_answer() {
    let world = World::with(Database::sqlite(), crowded).await;
    world.kimi.set_default(Script::of("delay=500+tokens=20"));
    let mut many = clients(&world, 10).await;
    let asking = many.iter_mut().map(|client| async move {
        let mut ids = Vec::new();
        for _ in 0..10 {
            ids.push(client.begin_keyed(json!({ "prompt": "once" }), "the-key").await);
        }
        let mut replies = Vec::new();
        for id in ids {
            replies.push(client.reply(id).await.0);
        }
        replies
    });
    let replies: Vec<Value> = join_all(asking).await.into_iter().flatten().collect();
    assert_eq!(replies.len(), 100);
    assert!(replies.iter().all(|reply| *reply == replies[0] && reply["isError"] != true), "{}", replies[0]);
    assert_eq!(world.kimi.journal().len(), 1);
    assert_eq!(world.db.states().await, ["completed"]);
    many[0].until_at_rest().await;
}

#[tokio::test]
async fn a_hung_provider_with_a_full_queue_holds_nobody_else_up() {
    let world = World::with(Database::sqlite(), |with| {
        crowded(with);
        with.set("EXAI_PROVIDERS__KIMI__MAX_IN_FLIGHT", "4");
    })
    .await;
    world.kimi.set_default(Script::of("stall-after=1"));
    world.glm.set_default(Script::of("pace=0+tokens=5"));
    let mut stuck = clients(&world, 4).await;
    for client in &mut stuck {
        for n in 0..100 {
            client.begin_call("chat", json!({ "prompt": format!("hang {n}") })).await;
        }
    }
    world.until_asked(4).await;
    for client in &mut stuck {
        client.fence().await;
    }
    let mut well = world.client().await;
    let load = well.call("status", json!({})).await.0["structuredContent"]["load"].clone();
    assert_eq!(
        (&load["in_flight"], &load["waiting"]),
        (&json!(4), &json!(256)),
        "the rest was refused at once"
    );
    for n in 0..20 {
        let answer = well.call("chat", json!({ "prompt": format!("pass {n}"), "model": "glm" })).await;
        assert_eq!(answer.receipt()["queue_ms"], 0);
    }
}

#[tokio::test]
async fn a_provider_that_floods_slows_nobody_else_down() {
    let world = World::with(Database::sqlite(), crowded).await;
    world.kimi.set_default(Script::of("comments-after=2+pace=0"));
    world.glm.set_default(Script::of("pace=0+tokens=5"));
    let mut flooded = world.client().await;
    let mut calls = Vec::new();
    for n in 0..4 {
        let question = json!({ "prompt": format!("flood {n}"), "model": "kimi-k2.6", "max_tokens": 32_768 });
        calls.push(flooded.begin_call("chat", question).await);
    }
    world.until_asked(4).await;
    let mut well = world.client().await;
    for n in 0..10 {
        let asked = clock::now();
        let answer = well.call("chat", json!({ "prompt": format!("pass {n}"), "model": "glm" })).await;
        assert!(!answer.is_error(), "{}", answer.0);
        assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    }
    for call in calls {
        let reply = flooded.reply(call).await;
        assert_eq!((reply.kind(), &reply.error()["detail"]["class"]), ("upstream_error", &json!("flood")));
    }
    assert_eq!(world.kimi.journal().len(), 4, "what floods may have run, and is not sent again");
    well.until_at_rest().await;
}
