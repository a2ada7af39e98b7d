//! What a client gets that cannot wait, what counts as delivered to it, and what it can read of the providers.

use std::time::Duration;

use exai_actors::clock;
use serde_json::{Value, json};

use crate::client::{Client, Reply};
use crate::database::Database;
use crate::server::SOON;
use crate::world::World;

async fn ask(client: &mut Client, tool: &str, arguments: Value, meta: Value) -> i64 {
    client.begin("tools/call", json!({ "name": tool, "arguments": arguments, "_meta": meta })).await
}

/// The call of a hand-over, which the answer that came later went on from.
fn handed_over(reply: &Reply) -> String {
    assert!(!reply.is_error(), "{}", reply.0);
    let facts = &reply.0["_meta"]["exai/handover"];
    let call = facts["call_id"].as_str().unwrap_or_else(|| panic!("no hand-over: {}", reply.0)).to_owned();
    assert!(reply.0["content"][1]["text"].as_str().unwrap().contains(&call), "{}", reply.0);
    assert!(reply.0.get("structuredContent").is_none() && facts["tokens"].is_u64(), "{facts}");
    call
}

fn goes_on(from: &Reply, to: &Reply) -> bool {
    let partial = from.0["_meta"]["exai/handover"]["partial_chars"].as_u64().unwrap();
    partial > 0 && from.text().chars().count() as u64 == partial && to.text().starts_with(from.text())
}

#[tokio::test]
async fn who_cannot_wait_gets_what_there_is_and_the_rest_later() {
    let world = World::start().await;
    let mut client = world.client().await;
    world.next("delay=300+tokens=60+pace=40");
    let soon = json!({ "exai/answerWithinMs": 1200, "progressToken": "t" });
    let asked = clock::now();
    let id = ask(&mut client, "chat", json!({ "prompt": "a long story" }), soon.clone()).await;
    let first = client.reply(id).await;
    let took = clock::now() - asked;
    assert!((Duration::from_millis(1200)..Duration::from_millis(3500)).contains(&took), "{took:?}");
    let call = handed_over(&first);
    // Of an answered request a cancel is nothing.
    client.cancel(id).await;
    let hurry = json!({ "exai/answerWithinMs": 100 });
    let id = ask(&mut client, "result", json!({ "call_id": call }), hurry).await;
    let second = client.reply(id).await;
    assert_eq!(handed_over(&second), call, "`result` does not keep anybody waiting either");
    assert!(client.fence().await < Duration::from_millis(200));
    let whole = client.call("result", json!({ "call_id": call })).await;
    assert_eq!(whole.of_receipt("call_id"), call);
    assert!(goes_on(&first, &whole) && goes_on(&second, &whole), "{} .. {}", first.0, whole.0);
    assert_eq!((world.kimi.journal().len(), world.db.states().await), (1, vec!["completed".to_owned()]));
    client.until_at_rest().await;
}

/// In real time: a client of a minute's patience and a call of five.
#[tokio::test]
#[ignore = "takes five minutes: tests/run --long"]
async fn long_a_minutes_patience_and_a_call_of_five() {
    let world = World::with(Database::sqlite(), |with| {
        with.set("EXAI_LIMITS__DEADLINE_S", "900").config("[clients]\nsystest = 60\n");
    })
    .await;
    let mut client = world.client().await;
    world.next("think=50+tokens=250+pace=1000");
    let mut slowest = Duration::ZERO;
    let asked = clock::now();
    let arguments = json!({ "prompt": "a question for five minutes" });
    let mut id = client.begin("tools/call", json!({ "name": "chat", "arguments": arguments })).await;
    let mut reply = beside_pings(&mut client, id, &mut slowest).await;
    let first = clock::now() - asked;
    assert!((Duration::from_secs(54)..Duration::from_secs(59)).contains(&first), "{first:?}");
    let call = handed_over(&reply);
    let mut hand_overs = 1;
    while reply.0["_meta"]["exai/handover"].is_object() {
        id = ask(&mut client, "result", json!({ "call_id": call }), json!({ "progressToken": "t" })).await;
        reply = beside_pings(&mut client, id, &mut slowest).await;
        hand_overs += u32::from(reply.0["_meta"]["exai/handover"].is_object());
    }
    assert!(hand_overs >= 4 && clock::now() - asked >= Duration::from_secs(290), "{hand_overs}");
    assert_eq!(reply.of_receipt("call_id"), call);
    // A debug build on a busy machine; `exai-bench isolation` measures what is promised.
    assert!(slowest < Duration::from_millis(500), "{slowest:?}");
    assert_eq!(world.kimi.journal().len(), 1);
}

/// Waits for a reply, and pings and lists twice a second meanwhile; notes the slowest of these.
async fn beside_pings(client: &mut Client, id: i64, slowest: &mut Duration) -> Reply {
    let by = clock::now() + Duration::from_secs(70);
    while !client.about(id).iter().any(|message| message["id"] == id) {
        assert!(clock::now() < by, "no reply within a minute");
        *slowest = (*slowest).max(client.fence().await);
        let listed = clock::now();
        client.request("tools/list", json!({})).await;
        *slowest = (*slowest).max(clock::now() - listed);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    client.reply(id).await
}

#[tokio::test]
async fn the_configuration_knows_how_long_a_client_waits() {
    let world = World::with(Database::sqlite(), |with| {
        with.set("EXAI_CLIENTS__SYSTEST", "2");
    })
    .await;
    let mut client = world.client().await;
    world.next("delay=2500+tokens=5");
    let id = client.begin_call("chat", json!({ "prompt": "later" })).await;
    let call = handed_over(&client.reply(id).await);
    let by = clock::now() + SOON;
    loop {
        let reply = client.call("result", json!({ "call_id": call })).await;
        if reply.0["_meta"]["exai/receipt"].is_object() {
            break;
        }
        handed_over(&reply);
        assert!(clock::now() < by, "never answered");
    }
}

#[tokio::test]
async fn an_answer_is_delivered_once_its_client_has_said_so() {
    let world = World::start().await;
    let mut client = world.client().await;
    let delivered = "SELECT count(*) AS n FROM calls WHERE delivered_at IS NOT NULL";
    client.chat("something").await;
    assert_eq!(world.db.number(delivered).await, 0, "the client has not read on to the ping");
    // Reading on answers the ping; then the record has its way to go.
    let by = clock::now() + SOON;
    while world.db.number(delivered).await == 0 {
        assert!(clock::now() < by, "never delivered");
        client.fence().await;
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    world.next("delay=300+tokens=30");
    let hurry = json!({ "exai/answerWithinMs": 50 });
    let id = ask(&mut client, "chat", json!({ "prompt": "a part is not the answer" }), hurry).await;
    handed_over(&client.reply(id).await);
    client.fence().await;
    world.until_closed().await;
    client.fence().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(world.db.number(delivered).await, 1);
}

#[tokio::test]
async fn every_provider_says_how_it_stands() {
    let world = World::start().await;
    let mut client = world.client().await;
    let read = client.request("resources/read", json!({ "uri": "exai://breakers" })).await;
    let text = read["result"]["contents"][0]["text"].as_str().unwrap_or_else(|| panic!("{read}"));
    let breakers = serde_json::from_str::<Value>(text).unwrap();
    for (provider, double) in [("kimi", &world.kimi), ("glm", &world.glm)] {
        let standing = &breakers["providers"][provider];
        assert_eq!(standing["host"], double.addr().to_string(), "{breakers}");
        assert!(standing["breaker"].is_string() || standing["breaker"].is_object(), "{breakers}");
    }
    let status = client.call("status", json!({})).await;
    assert!(status.text().contains(&world.kimi.addr().to_string()), "{}", status.text());
    assert!(status.0["structuredContent"]["breakers"]["providers"]["kimi"].is_object());
}
